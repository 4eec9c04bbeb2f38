//! Softmax and cross-entropy over the vocabulary: logits become their gradient, in place.
//!
//! Per token of the window: the maximum and the sum of exponentials over the lane's row, then
//! `dlogits = (softmax − onehot) · weight`. The host sends one word per token: the target as a
//! 16-bit number, and 1 or 0 (bf16, in the high half) for real or padding tokens; and one word
//! with the loss weight. It enters at the west edge, is scattered to the first columns of the
//! lanes, and broadcast from there. Each PE finds the target's logit by address arithmetic:
//! where the target belongs to another column, the address is that of a dummy.
//!
//! **Invariant.** No timing depends on a target: an operand at a computed address never meets
//! another vector (rule C5).
//! **Not here.** Where logits come from (`gemm`); the sum of the loss over rows (`row_sum`). So rows
//! do not depend on each other here.

use super::lanes::{buffers, main_task};
use super::price;
use super::row_sum::Parts;
use super::window::{Moving, chunk_slots, per_token, sweep, whole};
use crate::banks::{Banks, Side};
use crate::codegen::instr::{at as moving, fab, imm, mem, op, repeat, set, spawn, step, vec, word};
use crate::codegen::math::{self, Scratch};
use crate::codegen::resources::{Port, Use, Uses, address_registers, microthreads};
use crate::codegen::ring::spans;
use crate::codegen::row::{RowClass, RowReduce};
use crate::codegen::scatter::{Scatter, Station};
use crate::cost::remembered;
use crate::kernel::{Access, ActivationView, Addresses, HostSource, Kernel, Requirement};
use crate::kernels::stencil::{Relabel, Relabelled};
use crate::layout::Geometry;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Dir, DirSet, PeCoord, Region, Span};
use sim_core::program::{
    AddrOp, AddrReg, DType, Dim, Image, Instr, MemRef, Op, Operand, Param, Placement, Program, Route,
};

/// Stream of targets.
const TARGETS: &str = "targets";

microthreads! { MICROTHREADS:
    /// Receives targets and passes them on.
    RECEIVER = "targets",
    /// Broadcasts them along the lane.
    SENDER = "targets along the lane",
}

address_registers! {
    /// Number of the PE's first vocabulary entry, as `1 − first`; of the column, as `−column`, where a
    /// target has two numbers. Set per column.
    COLUMN,
    /// Bytes from the first token's f32 number to the current one's.
    TOKEN,
    /// Bytes from the first token's logit to the current one's.
    WITHIN,
    /// Bytes from the dummy to the logit of the target.
    PLACE,
    /// For multiplication.
    FACTOR,
    /// Bytes from the first slot to the current chunk.
    CHUNK,
    /// The target's column, less the own one.
    OTHER,
}

/// Vectors with a number per token.
#[derive(Debug, Clone, Copy)]
enum Stat {
    /// Largest logit.
    Max,
    /// Sum of exponentials.
    Sum,
    /// Logit of the target if it is in this column, else 0.
    Target,
    /// Weight, 0 for padding.
    Weight,
    /// Weight over sum; later the negative weight.
    Factor,
    /// For products.
    Product,
}

/// Vectors of [`Stat`].
const STATS: u32 = 6;

/// Softmax, cross-entropy and its gradient; the logits are replaced by their gradient.
///
/// Leaves the PE's parts of the loss of the window's real tokens for [`super::row_sum::RowSum`].
/// With f16, exponentials below 2^-38 of the largest count as zero
/// in the gradient (but not in the sum).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CrossEntropy {
    /// The window, features of the vocabulary; padding entries hold −30000 or less.
    pub logits: ActivationView,
    /// Token of the PE that is the first one of the window.
    pub first_token: u32,
    /// Whether only the first token of a sequence has a target: the sequence's label.
    pub per_sequence: bool,
    /// Whether a target is sent as the number of its column and that of its slot there, because its
    /// own has more than 16 bits.
    pub wide: bool,
}

impl Relabelled for CrossEntropy {
    fn relabelled(&self, with: &mut dyn Relabel) -> Self {
        let CrossEntropy { logits, first_token, per_sequence, wide } = self;
        let (logits, first_token) = (logits.relabelled(with), with.beginning(*first_token));
        CrossEntropy { logits, first_token, per_sequence: *per_sequence, wide: *wide }
    }
}

/// Emits the code of one class of PEs.
struct Code<'a> {
    act: &'a ActivationView,
    at: &'a Addresses,
    banks: Banks,
    row: &'a RowReduce,
    class: RowClass,
    scatter: &'a Scatter,
    /// As in [`CrossEntropy`].
    wide: bool,
    /// Color of the targets along the lane.
    along: Color,
    /// What the first column of a lane does in the scatter.
    station: Option<Station>,
}

/// Factor on exponentials in memory: with f16, small ones would be lost.
fn stored(act: &ActivationView) -> f32 {
    if act.dtype == DType::F16 { 16_384.0 } else { 1.0 }
}

/// Words for a PE: numbers of targets, and the loss weight.
fn received(tokens: u32, wide: bool) -> u32 {
    if wide { 2 * tokens + 1 } else { tokens + 1 }
}

/// The scatter of targets: one station per lane.
fn scatter(g: &Geometry, wavelets: u32, port: Port) -> Scatter {
    let rows = Span::run(0, g.used_rows());
    let colors = port.colors();
    Scatter { period: g.lane_columns(), stations: g.lanes, rows, wavelets, colors }
}

/// Routes from the first column of every lane to its others.
fn along(g: &Geometry, color: Color) -> Vec<Route> {
    let (columns, y) = (g.lane_columns(), Span::run(0, g.used_rows()));
    let mut routes = Vec::new();
    let mut push = |x: Option<Span>, rx, tx: &[Dir]| {
        if let Some(x) = x {
            routes.push(Route { color, region: Region { x, y }, rx, tx: DirSet::of(tx) });
        }
    };
    for start in (0..g.lanes).map(|lane| lane * columns).filter(|_| columns > 1) {
        push(Some(Span::one(start)), Dir::Ramp, &[Dir::East]);
        push(Span::every(start + 1, start + columns - 1, 1), Dir::West, &[Dir::Ramp, Dir::East]);
        push(Some(Span::one(start + columns - 1)), Dir::West, &[Dir::Ramp]);
    }
    routes
}

/// `reg = reg · factor`, `factor` at least 1, by doubling and adding.
fn multiply(reg: AddrReg, factor: u32) -> Vec<Instr> {
    let double = || Instr::Addr(AddrOp::AddReg(reg, reg));
    let odd = factor >> factor.trailing_zeros();
    let mut code = Vec::new();
    if odd > 1 {
        code.push(Instr::Addr(AddrOp::Copy(FACTOR, reg)));
    }
    for bit in (0..odd.ilog2()).rev() {
        code.push(double());
        if odd >> bit & 1 == 1 {
            code.push(Instr::Addr(AddrOp::AddReg(reg, FACTOR)));
        }
    }
    code.extend((0..factor.trailing_zeros()).map(|_| double()));
    code
}

impl Code<'_> {
    fn tokens(&self) -> u32 {
        self.act.tokens
    }

    fn addr(&self, stat: Stat) -> u32 {
        self.at[".stats"] + stat as u32 * self.tokens() * 4
    }

    fn stat(&self, stat: Stat) -> Operand {
        mem(DType::F32, self.addr(stat), self.tokens())
    }

    /// An instruction over the tokens.
    fn small(&self, op: Op, dst: Stat, src: &[Operand]) -> Instr {
        vec(op, self.tokens(), self.stat(dst), src)
    }

    fn small_scratch(&self) -> Scratch {
        Scratch::new(self.banks, self.at[".small"], self.tokens(), Side::of(self.act.dtype).other(), (1, 3))
    }

    /// How many words come from the host.
    fn received(&self) -> u32 {
        received(self.tokens(), self.wide)
    }

    /// The words from the host.
    fn words(&self) -> Operand {
        mem(DType::F32, self.at[".targets"], self.received())
    }

    /// Starts to receive the words.
    fn receive(&self) -> Instr {
        let from = self.station.map_or(self.along, |s| s.recv);
        spawn(RECEIVER, op(Op::Mov, self.received(), self.words(), &[fab(from, DType::F32)]))
    }

    /// In the first column of a lane: once the words are there, passes them on.
    fn pass_on(&self) -> Vec<Instr> {
        let Some(station) = self.station else { return Vec::new() };
        let mut code = self.scatter.forward(station, RECEIVER);
        if code.is_empty() {
            code.push(Instr::Join(RECEIVER));
        }
        if self.class.send.is_some() {
            let to = fab(self.along, DType::F32);
            code.push(spawn(SENDER, op(Op::Mov, self.received(), to, &[self.words()])));
        }
        code
    }

    /// The largest logit of every token; words are passed on after a quarter of it.
    fn maximum(&self) -> Vec<Instr> {
        let (slots, tokens) = (self.act.slots, self.tokens());
        let part = |first: u32, count: u32| {
            let window = ActivationView { first_slot: self.act.first_slot + first, slots: count, ..self.act.clone() };
            let max = per_token(self.addr(Stat::Max), count, tokens);
            vec(Op::Max, count * tokens, max.clone(), &[max, whole(&window, self.at, count)])
        };
        let quarter = slots.div_ceil(4);
        let mut code = vec![self.small(Op::Mov, Stat::Max, &[whole(self.act, self.at, 1)]), part(0, quarter)];
        code.extend(self.pass_on());
        if quarter < slots {
            code.push(part(quarter, slots - quarter));
        }
        self.row.all_reduce(self.class, Op::Max, tokens, self.addr(Stat::Max), &mut code);
        code
    }

    /// For every token: finds its target's logit, relative to the dummy in [`PLACE`], and goes on
    /// with `then`. Entry numbers outside of the column, below and above, become 0 here, the
    /// others 1 and up; a multiple of the bytes of a slot, the latter move to the logits.
    fn for_targets(&self, then: Instr) -> Vec<Instr> {
        let slots = self.act.slots as i32;
        let bytes = self.act.row * self.act.dtype.bytes();
        let logits = self.act.slot(self.at, 0) as i32 - self.at[".dummy"] as i32;
        let load = |reg, from: u32| {
            let offset = (self.at[".targets"] + 4 * from) as i32;
            Instr::Addr(AddrOp::Load { reg, base: Some(TOKEN), offset })
        };
        let mut body = vec![load(PLACE, 0)];
        if self.wide {
            // Columns before the own one lead below, those behind it above its slots.
            body.extend([load(OTHER, self.tokens()), Instr::Addr(AddrOp::AddReg(OTHER, COLUMN))]);
            body.extend(multiply(OTHER, self.act.slots + 1));
            body.extend([AddrOp::AddReg(PLACE, OTHER), AddrOp::Add(PLACE, 1)].map(Instr::Addr));
        } else {
            body.push(Instr::Addr(AddrOp::AddReg(PLACE, COLUMN)));
        }
        body.push(Instr::Addr(AddrOp::Clamp(PLACE, 0, slots + 1)));
        body.push(Instr::Addr(AddrOp::Wrap { reg: PLACE, end: slots + 1, size: slots + 1 }));
        body.extend(multiply(PLACE, bytes));
        body.push(Instr::Addr(AddrOp::Wrap { reg: PLACE, end: bytes as i32, size: bytes as i32 - logits }));
        body.push(Instr::Addr(AddrOp::AddReg(PLACE, WITHIN)));
        body.push(then);
        body.extend([step(TOKEN, 4), step(WITHIN, self.act.dtype.bytes() as i32)]);
        let mut code = vec![set(TOKEN, 0), set(WITHIN, 0)];
        code.extend(repeat(self.tokens(), body));
        code
    }

    /// The logit that [`PLACE`] points at.
    fn target(&self) -> Operand {
        moving(PLACE, mem(self.act.dtype, self.at[".dummy"], 1))
    }

    /// Takes the targets' logits out.
    fn gather(&self) -> Vec<Instr> {
        let dummy = mem(self.act.dtype, self.at[".dummy"], self.tokens());
        let to = moving(TOKEN, mem(DType::F32, self.addr(Stat::Target), 1));
        let mut code = vec![vec(Op::Mov, self.tokens(), dummy, &[imm(0.0)])];
        if self.station.is_none() {
            // Elsewhere the words were there before they were passed on.
            code.push(Instr::Join(RECEIVER));
        }
        code.extend(self.for_targets(vec(Op::Mov, 1, to, &[self.target()])));
        code
    }

    /// Replaces logits by exponentials relative to the maximum, and sums them up.
    fn exponentials(&self) -> Vec<Instr> {
        let (slots, tokens) = (self.act.slots, self.tokens());
        let per = chunk_slots(slots, tokens);
        let scratch = Scratch::new(self.banks, self.at[".f"], per * tokens, Side::of(self.act.dtype), (1, 2));
        let x = Moving { act: self.act, reg: CHUNK };
        let mut code = vec![self.small(Op::Mov, Stat::Sum, &[imm(0.0)])];
        code.extend(sweep((slots, per), &[x], &[], |n| {
            let (len, e) = (n * tokens, mem(DType::F32, scratch.like(0), n * tokens));
            let [max, sum] = [Stat::Max, Stat::Sum].map(|s| per_token(self.addr(s), n, tokens));
            let mut code = vec![vec(Op::Sub, len, e.clone(), &[x.chunk(self.at, n), max])];
            math::exp(&mut code, len, &e, &e, &scratch);
            code.push(vec(Op::Add, len, sum.clone(), &[sum, e.clone()]));
            code.push(match self.act.dtype {
                DType::F16 => vec(Op::Mul, len, x.chunk(self.at, n), &[e, imm(stored(self.act))]),
                DType::Bf16 | DType::F32 => vec(Op::Mov, len, x.chunk(self.at, n), &[e]),
            });
            code
        }));
        self.row.all_reduce(self.class, Op::Add, tokens, self.addr(Stat::Sum), &mut code);
        code
    }

    /// The weights, what exponentials are multiplied with, and the PE's two words of the loss:
    /// `Σ weight · ln Σ e^logit`, the same in all columns, and `Σ weight · logit of the target`.
    fn factors(&self) -> Vec<Instr> {
        let (tokens, words) = (self.tokens(), self.at[".targets"]);
        let dims = [Dim { len: tokens, stride: 2 }].into_iter().collect();
        let real = Operand::Mem(MemRef {
            base: None,
            offset: words as i32 + 2,
            dtype: DType::Bf16,
            dims,
            ring: None,
            advance: false,
        });
        let mut code =
            vec![self.small(Op::Mul, Stat::Weight, &[real, word(DType::F32, words + 4 * (self.received() - 1))])];
        let [max, sum, target] = [Stat::Max, Stat::Sum, Stat::Target].map(|s| self.stat(s));
        let [weight, factor, product] = [Stat::Weight, Stat::Factor, Stat::Product].map(|s| self.stat(s));
        math::reciprocal(&mut code, tokens, &sum, &factor, &self.small_scratch());
        code.push(self.small(Op::Mul, Stat::Factor, &[factor.clone(), weight.clone()]));
        code.push(self.small(Op::Mul, Stat::Factor, &[factor, imm(1.0 / stored(self.act))]));
        math::ln(&mut code, tokens, &sum, &sum, &self.small_scratch());
        code.push(self.small(Op::Add, Stat::Sum, &[sum.clone(), max]));
        code.push(vec(Op::Mov, 2, mem(DType::F32, self.at[Parts::Loss.buffer()], 2), &[imm(0.0)]));
        for (i, of) in [sum, target].into_iter().enumerate() {
            let total = word(DType::F32, self.at[Parts::Loss.buffer()] + 4 * i as u32);
            code.push(self.small(Op::Mul, Stat::Product, &[of, weight.clone()]));
            code.push(vec(Op::Add, tokens, total.clone(), &[total, product.clone()]));
        }
        code
    }

    /// Turns exponentials into gradients.
    fn gradient(&self) -> Vec<Instr> {
        let (slots, tokens) = (self.act.slots, self.tokens());
        let all = whole(self.act, self.at, slots);
        let factor = per_token(self.addr(Stat::Factor), slots, tokens);
        let minus = moving(TOKEN, word(DType::F32, self.addr(Stat::Factor)));
        let mut code = vec![vec(Op::Mul, slots * tokens, all.clone(), &[all, factor])];
        code.push(self.small(Op::Sub, Stat::Factor, &[imm(0.0), self.stat(Stat::Weight)]));
        code.extend(self.for_targets(vec(Op::Add, 1, self.target(), &[self.target(), minus])));
        code
    }

    fn body(&self) -> Vec<Instr> {
        let parts = [self.maximum(), self.gather(), self.exponentials(), self.factors(), self.gradient()];
        let mut code = vec![self.receive()];
        code.extend(parts.concat());
        if let Some(station) = self.station {
            code.extend(self.scatter.finish(station, RECEIVER));
            code.push(Instr::Join(SENDER));
        }
        code
    }
}

impl CrossEntropy {
    /// Places an image in the given columns of the given lanes.
    fn place(&self, program: &mut Program, g: &Geometry, image: Image, (lanes, columns): (&[u32], &[u32])) {
        let y = Span::run(0, g.used_rows());
        let index = program.images.len() as u32;
        program.images.push(image);
        for lane in lanes {
            for within in spans(columns) {
                let x = Span { start: lane * g.lane_columns() + within.start, ..within };
                let per = if self.wide { 1 } else { self.logits.slots };
                let entries = |columns: u32| (per * columns) as i32;
                let (base, dx) = (i32::from(!self.wide) - entries(within.start), -entries(within.step));
                let param = Param { reg: COLUMN, base, dx, dy: 0, mod_x: within.count, mod_y: 1 };
                program.placements.push(Placement { region: Region { x, y }, image: index, params: vec![param] });
            }
        }
    }
}

impl Kernel for CrossEntropy {
    fn name(&self) -> String {
        "loss".to_owned()
    }

    fn requirements(&self, g: &Geometry) -> Vec<Requirement> {
        let tokens = self.logits.tokens;
        let chunk = chunk_slots(self.logits.slots, tokens) * tokens;
        vec![
            self.logits.requirement(Access::Update),
            Requirement::scratch(".targets", DType::F32, received(tokens, self.wide), Side::Near),
            Requirement::scratch(".stats", DType::F32, STATS * tokens, Side::of(self.logits.dtype).other()),
            Requirement::scratch(".dummy", self.logits.dtype, tokens, Side::Near),
            Requirement::scratch(".f", DType::F32, Scratch::elements(g.banks, chunk, (1, 2)), Side::Near),
            Requirement::scratch(".small", DType::F32, Scratch::elements(g.banks, tokens, (1, 3)), Side::Near),
            Parts::Loss.requirement(Access::Write),
        ]
    }

    fn uses(&self, _g: &Geometry) -> Uses {
        let ports = vec![Use::Scatter, Use::Along, Use::RowReduction];
        Uses { ports, microthreads: MICROTHREADS }
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        assert_eq!(self.logits.slots, g.vocab_slots, "the loss needs all entries of a column");
        let (ports, words) = (self.ports(g, arch), received(self.logits.tokens, self.wide));
        let row = RowReduce::lanes(g, ports.of(Use::RowReduction));
        let (from, to) = (ports.of(Use::Scatter), ports.of(Use::Along));
        let scatter = scatter(g, words, from);
        let mut program = Program { name: self.name(), grid: Some(g.grid), ..Program::default() };
        program.routes = [scatter.routes(), along(g, to.color()), row.routes()].concat();
        program.edges = vec![scatter.feed_west(arch, TARGETS)];
        let all: Vec<u32> = (0..g.lanes).collect();
        for (class, columns) in row.classes() {
            // The first columns of the lanes differ by their place in the scatter.
            let stations = match class.recv {
                None => scatter.classes().into_iter().map(|(s, lanes)| (Some(s), lanes)).collect(),
                Some(_) => vec![(None, all.clone())],
            };
            for (station, lanes) in &stations {
                let mut image = Image { name: "loss".to_owned(), ..Image::default() };
                image.buffers = buffers(&self.requirements(g), at);
                image.inputs.push((from.input(), station.map_or(to.color(), |s| s.recv)));
                if let Some(station) = station {
                    image.outputs.extend(station.send.map(|c| (from.output(), c)));
                    image.outputs.extend(class.send.map(|_| (to.output(), to.color())));
                }
                row.bind(class, &mut image);
                let code = Code {
                    act: &self.logits,
                    at,
                    banks: g.banks,
                    row: &row,
                    class,
                    scatter: &scatter,
                    along: to.color(),
                    wide: self.wide,
                    station: *station,
                };
                image.tasks = vec![main_task(code.body())];
                self.place(&mut program, g, image, (lanes, &columns));
            }
        }
        program
    }

    fn feed(&self, g: &Geometry, _stream: &str, port: u32, host: &dyn HostSource) -> Vec<u32> {
        let tokens = self.logits.tokens;
        scatter(g, received(tokens, self.wide), Port::NONE).feed(|lane| {
            let at = PeCoord { x: lane * g.lane_columns(), y: port };
            let target = |t| {
                let (sequence, position) = g.token(at, self.first_token + t)?;
                if self.per_sequence && position > 0 {
                    return None;
                }
                let entry = host.target(sequence, position);
                debug_assert!(entry < g.model.vocab && (self.wide || entry <= u32::from(u16::MAX)), "target {entry}");
                let per = if self.wide { g.vocab_slots } else { g.model.vocab };
                Some((0x3F80_0000 | (entry % per), entry / per))
            };
            let targets: Vec<(u32, u32)> = (0..tokens).map(|t| target(t).unwrap_or((0, 0))).collect();
            let columns = targets.iter().filter(|_| self.wide).map(|target| target.1);
            let words = targets.iter().map(|target| target.0).chain(columns);
            words.chain([host.loss_weight().to_bits()]).collect()
        })
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let (ports, words) = (self.ports(g, arch), received(self.logits.tokens, self.wide));
        let row = RowReduce::lanes(g, ports.of(Use::RowReduction));
        let rows = g.used_rows();
        let scatter = scatter(g, words, ports.of(Use::Scatter));
        let targets = || scatter.colors.map(|color| (color, price::edge(arch, rows)));
        let sources = || {
            let [a, b] = targets();
            [a, b, row.source(arch, self.logits.tokens)]
        };
        let key = (price::shape(&self.logits), self.wide, g.lanes, g.lane_columns(), price::edge(arch, rows));
        remembered(arch, ("loss", key), || price::whole(self, g, arch, &sources()))
    }
}
