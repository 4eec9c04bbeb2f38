//! ALiBi: scores that fall with the distance of query and key, by three more features of queries and
//! keys.
//!
//! With `s` the head's slope, `c` what scores are multiplied by, and a key at position
//! `p = 64 a + b`, the score of the query at position `t` gets
//! `c · (64 s/c · a + s/c · b − s t/(64 c) · 64) = s (p − t)`. Numbers of keys are small integers, exact in
//! every type, and rounding of the first two numbers of queries is that of the slope alone; rounding
//! of the third is the same for all keys, which softmax does not see.
//!
//! The features are in the slots behind those of the head's own ([`Geometry::distance_slots`]), whose
//! weights are zero, so products pass them by. Attention takes them for features like others.
//!
//! **Invariant.** Columns differ in constants and in which slope is theirs, and in nothing that timing
//! depends on.
//! **Not here.** Attention; its gradients with respect to these features, which nothing asks for.

use super::attention::window_requirements;
use super::lanes::{buffers, main_task};
use super::price;
use super::rotary::west_routes;
use crate::banks::Side;
use crate::codegen::instr::{at as moving, fab, grid, imm, mem, vec, word};
use crate::codegen::resources::{Use, Uses, address_registers};
use crate::codegen::streams::interval;
use crate::cost::remembered;
use crate::kernel::{Access, ActivationView, Addresses, HostSource, Kernel, Requirement};
use crate::kernels::stencil::relabelled;
use crate::layout::Geometry;
use models::design::alibi_slope;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Dir, Region, Span};
use sim_core::program::{DType, EdgeStream, Flow, Image, Instr, Op, Operand, Param, Placement, Program};

/// Stream of positions and slopes.
const POSITIONS: &str = "positions";

address_registers! {
    /// Bytes from the first head's slope to this one's.
    HEAD,
}

/// Positions are split into multiples of this and rests.
const UNIT: u32 = 64;

/// Writes the features of distance into queries and keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Distances {
    /// Queries: all slots of a column's hidden features.
    pub q: ActivationView,
    /// Keys likewise.
    pub k: ActivationView,
}

relabelled!(Distances { q, k });

/// The numbers of one feature: of keys `multiple · a + rest · b + one`, of queries
/// `slope · (fixed + position · t)`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Feature {
    multiple: f32,
    rest: f32,
    one: f32,
    fixed: f32,
    position: f32,
}

/// Feature `i` of the three; nothing beyond.
fn feature(i: u32, scale: f32) -> Feature {
    let (unit, none) = (UNIT as f32, Feature::default());
    match i {
        0 => Feature { multiple: 1.0, fixed: unit / scale, ..none },
        1 => Feature { rest: 1.0, fixed: 1.0 / scale, ..none },
        2 => Feature { one: unit, position: -1.0 / (unit * scale), ..none },
        _ => none,
    }
}

/// Words per vector of received numbers: what follows is aligned.
fn padded(tokens: u32) -> u32 {
    tokens.next_multiple_of(2)
}

impl Distances {
    fn words(&self, g: &Geometry) -> u32 {
        3 * padded(self.q.tokens) + g.model.heads
    }

    /// The code of the columns at place `column` of their heads.
    fn body(&self, g: &Geometry, at: &Addresses, (column, from): (u32, Color)) -> Vec<Instr> {
        let (tokens, base) = (self.q.tokens, at[".words"]);
        let received = |i: u32| mem(DType::F32, base + 4 * i * padded(tokens), tokens);
        let [multiples, rests, positions] = [0, 1, 2].map(received);
        let slope = moving(HEAD, word(DType::F32, base + 12 * padded(tokens)));
        let [a, b] = [".a", ".b"].map(|name| mem(DType::F32, at[name], tokens));
        let words = self.words(g);
        let mut code = vec![vec(Op::Mov, words, mem(DType::F32, base, words), &[fab(from, DType::F32)])];
        let slots = g.distance_slots();
        for i in 0..slots {
            let f = feature(column * slots + i, g.score_scale());
            let slot = |act: &ActivationView| -> Operand {
                grid(act.dtype, act.slot(at, g.hidden - slots + i), &[(tokens, 1)])
            };
            let fmac = |dst: &Operand, start: f32, x: &Operand, factor: f32| {
                vec(Op::Fmac, tokens, dst.clone(), &[imm(start), x.clone(), imm(factor)])
            };
            code.extend([
                fmac(&a, f.one, &multiples, f.multiple),
                fmac(&b, 0.0, &rests, f.rest),
                vec(Op::Add, tokens, slot(&self.k), &[a.clone(), b.clone()]),
                fmac(&a, f.fixed, &positions, f.position),
                vec(Op::Mul, tokens, slot(&self.q), &[a.clone(), slope.clone()]),
            ]);
        }
        code
    }
}

impl Kernel for Distances {
    fn name(&self) -> String {
        "alibi".to_owned()
    }

    fn requirements(&self, g: &Geometry) -> Vec<Requirement> {
        let mut requirements = window_requirements(&[&self.q, &self.k], &[&self.q, &self.k]);
        requirements.iter_mut().for_each(|requirement| requirement.access = Access::Update);
        requirements.push(Requirement::scratch(".words", DType::F32, self.words(g), Side::Near));
        requirements.push(Requirement::scratch(".a", DType::F32, self.q.tokens, Side::Near));
        requirements.push(Requirement::scratch(".b", DType::F32, self.q.tokens, Side::Far));
        requirements
    }

    fn uses(&self, _g: &Geometry) -> Uses {
        let ports = vec![Use::West];
        Uses { ports, ..Uses::default() }
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        let mut program = Program { name: self.name(), grid: Some(g.grid), ..Program::default() };
        let west = self.ports(g, arch).of(Use::West);
        program.routes = west_routes(g, west.color());
        for column in 0..g.head_columns {
            let mut image =
                Image { name: "alibi".to_owned(), inputs: vec![(west.input(), west.color())], ..Image::default() };
            image.buffers = buffers(&self.requirements(g), at);
            image.tasks = vec![main_task(self.body(g, at, (column, west.color())))];
            program.images.push(image);
            let x = Span { start: column, count: g.lanes * g.model.heads, step: g.head_columns };
            let region = Region { x, y: Span::run(0, g.used_rows()) };
            let slope = Param { reg: HEAD, base: 0, dx: 4, dy: 0, mod_x: g.model.heads, mod_y: 1 };
            program.placements.push(Placement { region, image: column, params: vec![slope] });
        }
        program.edges = vec![EdgeStream {
            name: POSITIONS.to_owned(),
            flow: Flow::In,
            side: Dir::West,
            ports: Span::run(0, g.used_rows()),
            color: west.color(),
            wavelets: u64::from(self.words(g)),
            interval: interval(arch, g.rows_per_sequence),
            fanout: g.sequences_per_lane,
        }];
        program
    }

    fn feed(&self, g: &Geometry, _stream: &str, port: u32, _host: &dyn HostSource) -> Vec<u32> {
        let tokens = self.q.tokens;
        let first = port % g.rows_per_sequence * g.tokens + self.q.first_token;
        let vector = |f: fn(u32) -> u32| {
            let real = (0..tokens).map(move |t| f(first + t) as f32);
            real.chain(std::iter::repeat_n(0.0, (padded(tokens) - tokens) as usize))
        };
        let positions = vector(|p| p / UNIT).chain(vector(|p| p % UNIT)).chain(vector(|p| p));
        let slopes = (0..g.model.heads).map(|h| alibi_slope(h, g.model.heads) as f32);
        positions.chain(slopes).map(f32::to_bits).collect()
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let positions = price::edge(arch, g.rows_per_sequence);
        let key = ([&self.q, &self.k].map(price::shape), g.distance_slots(), g.head_columns, g.model.heads, positions);
        remembered(arch, ("alibi", key), || {
            price::whole(self, g, arch, &[(self.ports(g, arch).of(Use::West).color(), positions)])
        })
    }
}
