//! Rotary positions: pairs of features of queries and keys, turned by angles that grow with the
//! position, and their gradients turned back.
//!
//! The two features of a pair are in one column ([`Geometry::pair`]), so nothing travels but what
//! the angles are made of: the positions of a row's tokens, and the turns per position of all pairs
//! of a head, which enter at the west edge and are broadcast along the row. Sines and cosines are
//! computed on the wafer, for queries and keys at once.
//!
//! **Invariant.** All PEs do the same: a column whose slots hold fewer pairs turns the rest by
//! nothing, exactly. Only the place of a column's own numbers among those received differs.
//! **Not here.** Polynomials (`math`); the slots of pairs (`geometry`).

use super::attention::window_requirements;
use super::lanes::{buffers, main_task};
use super::price;
use super::window::{Moving, chunk_slots, per_slot, per_token, sweep};
use crate::banks::{Banks, Side};
use crate::codegen::instr::{at as moving, fab, imm, mem, vec};
use crate::codegen::math::{self, Scratch};
use crate::codegen::resources::{Port, Use, Uses, address_registers};
use crate::codegen::streams::interval;
use crate::cost::remembered;
use crate::kernel::{ActivationView, Addresses, HostSource, Kernel, Requirement};
use crate::kernels::stencil::relabelled;
use crate::layout::Geometry;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Dir, DirSet, Region, Span};
use sim_core::program::{
    AddrReg, DType, EdgeStream, Flow, Image, Instr, Op, Operand, Param, Placement, Program, Route,
};

/// Stream of positions and turns.
const ANGLES: &str = "angles";

address_registers! {
    /// Bytes from the turns of the head's first column to those of this one.
    COLUMN,
    /// Bytes from the first pair's word to the current chunk's.
    PAIR,
    /// Bytes from the first slot of queries to the current chunk's.
    QUERIES,
    /// The same of keys.
    KEYS,
}
const WINDOWS: [AddrReg; 2] = [QUERIES, KEYS];
/// 1.5 · 2^23: adding it rounds a number below 2^22 to an integer.
const ROUND: f32 = 12_582_912.0;
/// Significant bits of the coarse part of turns per position: times a position below 2^13 it is
/// exact.
const COARSE_BITS: u32 = 11;

/// Turns the pairs of queries and keys in place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rotate {
    /// Queries: all slots of a column's hidden features.
    pub q: ActivationView,
    /// Keys likewise.
    pub k: ActivationView,
    /// Whether they are turned back, as gradients are.
    pub back: bool,
}

relabelled!(Rotate { q, k; back });

/// Turns per position of a pair, as a coarse and a fine part.
fn turns(radians: f64) -> (f32, f32) {
    let turns = radians / std::f64::consts::TAU;
    let coarse = f32::from_bits((turns as f32).to_bits() >> (24 - COARSE_BITS) << (24 - COARSE_BITS));
    (coarse, (turns - f64::from(coarse)) as f32)
}

/// Addresses and views.
struct Code<'a> {
    kernel: &'a Rotate,
    at: &'a Addresses,
    banks: Banks,
    /// Color on which positions and turns come.
    color: Color,
    tokens: u32,
    pairs: u32,
    /// Pairs of a chunk.
    per: u32,
    /// Words received, and pairs of all columns of a head.
    words: u32,
    head_pairs: u32,
}

impl<'a> Code<'a> {
    fn new(kernel: &'a Rotate, g: &Geometry, at: &'a Addresses, color: Color) -> Code<'a> {
        let (tokens, pairs) = (kernel.q.tokens, g.pairs());
        let head_pairs = pairs * g.head_columns;
        let words = tokens + 2 * head_pairs;
        let per = chunk_slots(pairs, tokens);
        Code { kernel, at, banks: g.banks, color, tokens, pairs, per, words, head_pairs }
    }

    fn side(&self) -> Side {
        Side::of(self.kernel.q.dtype)
    }

    /// Vectors of a chunk: two like queries and keys, four apart.
    fn scratch(&self) -> Scratch {
        Scratch::new(self.banks, self.at[".f"], self.per * self.tokens, self.side(), (2, 4))
    }

    /// Receives all words, and takes this column's turns out: where they are among them, no
    /// instruction with two operands in memory may depend on.
    fn receive(&self) -> Vec<Instr> {
        let received = self.at[".angles"];
        let from = |first: u32| moving(COLUMN, mem(DType::F32, received + 4 * first, self.pairs));
        let to = |part: u32| mem(DType::F32, self.at[".turns"] + 4 * part * even(self.pairs), self.pairs);
        vec![
            vec(Op::Mov, self.words, mem(DType::F32, received, self.words), &[fab(self.color, DType::F32)]),
            vec(Op::Mov, self.pairs, to(0), &[from(self.tokens)]),
            vec(Op::Mov, self.pairs, to(1), &[from(self.tokens + self.head_pairs)]),
        ]
    }

    /// Leaves cosine and sine of a chunk of `n` pairs in apart 0 and 1.
    fn table(&self, n: u32) -> Vec<Instr> {
        let (len, scratch) = (n * self.tokens, self.scratch());
        let [a, b, c] = [0, 1, 2].map(|i| mem(DType::F32, scratch.apart(i), len));
        let [k, v] = [0, 1].map(|i| mem(DType::F32, scratch.like(i), len));
        let position = per_token(self.at[".angles"], n, self.tokens);
        let part = |i: u32| {
            let addr = self.at[".turns"] + 4 * i * even(self.pairs);
            moving(PAIR, per_slot(addr, n, self.tokens))
        };
        let one = |o, dst: &Operand, x: &Operand, y: &Operand| vec(o, len, dst.clone(), &[x.clone(), y.clone()]);
        let mut code = vec![one(Op::Mul, &c, &position, &part(0)), one(Op::Mul, &v, &position, &part(1))];
        // Whole turns go, before and after the fine part is added.
        let whole = |code: &mut Vec<Instr>| {
            code.push(one(Op::Add, &k, &c, &imm(ROUND)));
            code.push(one(Op::Sub, &k, &k, &imm(ROUND)));
            code.push(one(Op::Sub, &c, &c, &k));
        };
        whole(&mut code);
        code.push(one(Op::Add, &c, &c, &v));
        whole(&mut code);
        // The polynomials' `like` is what is apart here.
        math::sin_cos_turns(&mut code, len, &c, (&b, &a), &scratch.swapped().behind(3, 0));
        code
    }

    /// Turns a chunk of `n` pairs of one window.
    fn turn(&self, act: &ActivationView, reg: AddrReg, n: u32) -> Vec<Instr> {
        let (len, scratch) = (n * self.tokens, self.scratch());
        let half = |first: u32| {
            let act = ActivationView { first_slot: act.first_slot + first, slots: self.pairs, ..act.clone() };
            Moving { act: &act, reg }.chunk(self.at, n)
        };
        let (a, b) = (half(0), half(self.pairs));
        let [cos, sin, p, q] = [0, 1, 2, 3].map(|i| mem(DType::F32, scratch.apart(i), len));
        let [r, s] = [0, 1].map(|i| mem(DType::F32, scratch.like(i), len));
        let one = |o, dst: &Operand, x: &Operand, y: &Operand| vec(o, len, dst.clone(), &[x.clone(), y.clone()]);
        let (first, second) = if self.kernel.back { (Op::Add, Op::Sub) } else { (Op::Sub, Op::Add) };
        vec![
            one(Op::Mul, &r, &a, &cos),
            one(Op::Mul, &p, &b, &sin),
            one(Op::Mul, &s, &b, &cos),
            one(Op::Mul, &q, &a, &sin),
            one(first, &a, &r, &p),
            one(second, &b, &s, &q),
        ]
    }

    fn body(&self) -> Vec<Instr> {
        let windows = [&self.kernel.q, &self.kernel.k];
        let acts = [0, 1].map(|i| Moving { act: windows[i], reg: WINDOWS[i] });
        let mut code = self.receive();
        code.extend(sweep((self.pairs, self.per), &acts, &[(PAIR, 4)], |n| {
            let mut code = self.table(n);
            code.extend((0..2).flat_map(|i| self.turn(windows[i], WINDOWS[i], n)));
            code
        }));
        code
    }
}

fn even(words: u32) -> u32 {
    words.next_multiple_of(2)
}

/// Routes from the west edge to all columns in use.
pub(super) fn west_routes(g: &Geometry, color: Color) -> Vec<Route> {
    let (columns, y) = (g.used_columns(), Span::run(0, g.used_rows()));
    let mut routes = Vec::new();
    let mut push = |x, tx: &[Dir]| {
        routes.push(Route { color, region: Region { x, y }, rx: Dir::West, tx: DirSet::of(tx) });
    };
    if columns > 1 {
        push(Span::run(0, columns - 1), &[Dir::Ramp, Dir::East]);
    }
    push(Span::one(columns - 1), &[Dir::Ramp]);
    routes
}

impl Kernel for Rotate {
    fn name(&self) -> String {
        if self.back { "rotary grad" } else { "rotary" }.to_owned()
    }

    fn requirements(&self, g: &Geometry) -> Vec<Requirement> {
        let code = Code::new(self, g, &Addresses::new(), Port::NONE.color()).counts();
        let mut requirements = window_requirements(&[&self.q, &self.k], &[&self.q, &self.k]);
        requirements.push(Requirement::scratch(".angles", DType::F32, code.0, Side::Near));
        requirements.push(Requirement::scratch(".turns", DType::F32, 2 * even(g.pairs()), Side::Far));
        requirements.push(Requirement::scratch(
            ".f",
            DType::F32,
            Scratch::elements(g.banks, code.1, (2, 4)),
            Side::Near,
        ));
        requirements
    }

    fn uses(&self, _g: &Geometry) -> Uses {
        let ports = vec![Use::West];
        Uses { ports, ..Uses::default() }
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        let west = self.ports(g, arch).of(Use::West);
        let code = Code::new(self, g, at, west.color());
        let mut image = Image { name: self.name(), inputs: vec![(west.input(), west.color())], ..Image::default() };
        image.buffers = buffers(&self.requirements(g), at);
        image.tasks = vec![main_task(code.body())];
        let param = Param { reg: COLUMN, base: 0, dx: 4 * g.pairs() as i32, dy: 0, mod_x: g.head_columns, mod_y: 1 };
        Program {
            name: self.name(),
            grid: Some(g.grid),
            images: vec![image],
            placements: vec![Placement { region: g.used(), image: 0, params: vec![param] }],
            routes: west_routes(g, west.color()),
            edges: vec![EdgeStream {
                name: ANGLES.to_owned(),
                flow: Flow::In,
                side: Dir::West,
                ports: Span::run(0, g.used_rows()),
                color: west.color(),
                wavelets: u64::from(code.words),
                interval: interval(arch, g.rows_per_sequence),
                fanout: g.sequences_per_lane,
            }],
            ..Program::default()
        }
    }

    fn feed(&self, g: &Geometry, _stream: &str, port: u32, _host: &dyn HostSource) -> Vec<u32> {
        let first = port % g.rows_per_sequence * g.tokens + self.q.first_token;
        let positions = (0..self.q.tokens).map(|t| (first + t) as f32);
        let pair = |c| (0..g.pairs()).map(move |i| g.pair(c, i));
        let frequency = |i| g.model.rotary.map_or(0.0, |rotary| rotary.frequency(i));
        let all: Vec<(f32, f32)> =
            (0..g.head_columns).flat_map(pair).map(|i| i.map_or((0.0, 0.0), |i| turns(frequency(i)))).collect();
        let words = positions.chain(all.iter().map(|t| t.0)).chain(all.iter().map(|t| t.1));
        words.map(f32::to_bits).collect()
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let angles = price::edge(arch, g.rows_per_sequence);
        let key = ([&self.q, &self.k].map(price::shape), g.pairs(), g.head_columns, angles);
        remembered(arch, ("rotary", key), || {
            price::whole(self, g, arch, &[(self.ports(g, arch).of(Use::West).color(), angles)])
        })
    }
}

impl Code<'_> {
    /// Words received, and elements of a chunk.
    fn counts(&self) -> (u32, u32) {
        (self.words, self.per * self.tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::turns;

    #[test]
    fn the_two_parts_of_turns_are_exact_enough() {
        for radians in [1.0, 0.1, 0.316_227_766, 1e-4] {
            let (coarse, fine) = turns(radians);
            let off = |p: f64| (f64::from(coarse) * p + f64::from(fine) * p) * std::f64::consts::TAU - radians * p;
            assert!(off(8191.0).abs() < 1e-6, "{radians}");
            // Exactly representable products.
            assert_eq!(f64::from(coarse * 8191.0), f64::from(coarse) * 8191.0);
        }
    }
}
