//! A matrix product with stationary outputs: inputs travel around the row's ring, sums stay.
//!
//! In a step every PE multiplies the inputs of one column, its own ones first, and adds to the sums of its own outputs.
//! Meanwhile these inputs go on to the next PE of the ring, and those of the column before arrive. So a step has
//! products for every output of a round instead of one, and few wavelets; that pays where columns have few inputs.
//! Where sums within a PE are narrower than 32 bits, they are sums of the products of one step, and one instruction per
//! half step adds those of all of its outputs to 32-bit sums.
//!
//! **Invariant.** A buffer of inputs is written only after its products are finished and it is sent. After a round every
//! PE has its own inputs again, in the first buffer: a ring has evenly many PEs.
//! **Not here.** When this form is taken (`Gemm::tuned`); the other form (`code`).

use super::code::{LOADER, RECEIVER, SENDER, W_REG, X_REG, Y_REG};
use super::turns::{TURN, Turns};
use super::{Gemm, WEIGHTS};
use crate::banks::Banks;
use crate::codegen::instr::{at, fab, grid, imm, mem, op, repeat, set, spawn, step, vec, word};
use crate::codegen::resources::{Ports, Use, Uses};
use crate::codegen::ring::RingClass;
use crate::codegen::streams::{broadcast_south, feed_north, interval};
use crate::cost::remembered;
use crate::ids::Label;
use crate::kernel::{Access, Addresses, CheckpointTransfer, HostSource, Kernel, Requirement};
use crate::kernels::lanes::{
    any_class, bind_ring, buffers, classes, main_task, place, ring_of, ring_routes, row_places,
};
use crate::kernels::pace::{Pace, wait};
use crate::kernels::price;
use crate::kernels::stencil::relabelled;
use crate::layout::Geometry;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Span};
use sim_core::program::{AddrReg, DType, Image, Instr, Op, Operand, Program};

/// Bytes from the first sums of AXPYs to those of the present output.
const SUMS_REG: AddrReg = X_REG;
/// Most bytes of sums.
const SUMS_MAX: u32 = 4 << 10;
/// Most inputs of a column: their AXPYs are written out.
const INPUTS_MAX: u32 = 32;
/// The product, of which `outs` outputs of every PE are summed in a round.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OutputStationary {
    pub(in crate::kernels) gemm: Gemm,
}

relabelled!(OutputStationary { gemm });

/// The products of a step in the halves of a hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hop {
    /// Outputs of a round.
    outs: [u32; 2],
    /// Instructions of one element behind their products.
    pauses: [u32; 2],
}

impl OutputStationary {
    /// Which part of which product it computes.
    #[must_use]
    pub fn label(&self) -> Label {
        self.gemm.label
    }

    /// A product in this way, in as few rounds of about equally many outputs as sums have room for;
    /// None if it has no ring, or more inputs than are written out.
    #[must_use]
    pub fn of(gemm: &Gemm, g: &Geometry) -> Option<OutputStationary> {
        // Narrower ones are of half the outputs.
        let narrow =
            if g.precision.accumulator == DType::F32 { 0 } else { g.precision.accumulator.bytes().div_ceil(2) };
        let bytes = gemm.x.tokens * (DType::F32.bytes() + narrow);
        let most = (SUMS_MAX / bytes).clamp(1, gemm.y.slots.max(1));
        let outs = gemm.y.slots.div_ceil(gemm.y.slots.div_ceil(most).max(1));
        let fits = g.lane_columns() > 1 && (1..=INPUTS_MAX).contains(&gemm.x.slots) && outs > 0;
        fits.then(|| OutputStationary { gemm: Gemm { outs, piggyback: None, ..gemm.clone() } })
    }

    /// Wavelets of the inputs of a column.
    fn block(&self) -> u32 {
        let x = &self.gemm.x;
        x.dtype.wavelets(x.slots * x.tokens)
    }

    /// How narrow sums turn from side to side of the banks while the products of the inputs are added. In a buffer of
    /// inputs that travel these lie close together.
    fn turns(&self, g: &Geometry) -> Turns {
        let x = &self.gemm.x;
        Turns::of(g.banks, (x.dtype, x.tokens), g.precision.accumulator, x.requirement(Access::Read).side)
    }

    /// Bytes of a buffer of inputs: both start on one side of the banks.
    fn inputs_bytes(&self, banks: Banks) -> u32 {
        let x = &self.gemm.x;
        banks.whole(x.slots * x.tokens * x.dtype.bytes())
    }

    /// The halves of a hop in a round of so many outputs. Weights arrive during the first one.
    fn hop(&self, g: &Geometry, arch: &ArchSpec, outs: u32) -> Hop {
        let pace = Pace::of(arch);
        let weights = self.gemm.block_wavelets(g.precision.act, outs);
        let outs = [outs.div_ceil(2), outs / 2];
        let slots = [pace.slots(self.block() + weights), pace.slots(self.block())];
        let pauses = [0, 1].map(|i| pace.pauses(slots[i], pace.free(outs[i] * self.gemm.x.slots)));
        Hop { outs, pauses }
    }

    fn image(&self, g: &Geometry, (arch, ports): (&ArchSpec, &Ports), at: &Addresses, class: &RingClass) -> Image {
        let sends_first = row_places(g).is_none_or(|ring| ring.index(class.positions[0]).is_multiple_of(2));
        let weights = ports.of(Use::North);
        let mut image = Image {
            name: "gemm".to_owned(),
            inputs: vec![(weights.input(), weights.color())],
            buffers: buffers(&self.requirements(g), at),
            tasks: vec![main_task(self.body(g, (arch, ports), at, (class, sends_first)))],
            ..Image::default()
        };
        bind_ring(&mut image, ports, class);
        image
    }

    /// The code of a class of PEs.
    fn body(
        &self,
        g: &Geometry,
        (arch, ports): (&ArchSpec, &Ports),
        at: &Addresses,
        (class, sends_first): (&RingClass, bool),
    ) -> Vec<Instr> {
        let code = Code {
            product: self,
            at,
            weights: ports.of(Use::North).color(),
            act: g.precision.act,
            narrow: g.precision.accumulator,
            narrow_row: self.gemm.sums_row(g),
            turns: self.turns(g),
            inputs_bytes: self.inputs_bytes(g.banks),
            class,
            sends_first,
        };
        let mut body = vec![set(Y_REG, 0)];
        for (first, (outs, rounds)) in self.gemm.runs().enumerate() {
            body.push(code.load(0, outs));
            if first == 0 {
                // A row begins when weights come by, as much later than the one above it as they do.
                body.extend([Instr::Join(LOADER), code.own()]);
            }
            body.extend(repeat(rounds, code.round(g.lane_columns(), outs, self.hop(g, arch, outs))));
            body.push(Instr::Join(LOADER));
        }
        body
    }

    fn price(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let at = price::anywhere(g, &self.requirements(g));
        let ports = self.ports(g, arch);
        let class = any_class(g, &ports).expect("there is a ring");
        let sources = self.gemm.sources(g, (arch, &ports), Some(&class));
        price::code(arch, &sources, &self.body(g, (arch, &ports), &at, (&class, true)))
    }
}

/// Emits the code of one class of PEs.
struct Code<'a> {
    product: &'a OutputStationary,
    at: &'a Addresses,
    /// Color of the weights.
    weights: Color,
    act: DType,
    /// Type of the sums of a step's products.
    narrow: DType,
    /// Elements from those of an output to those of the next one.
    narrow_row: u32,
    /// Where products find them.
    turns: Turns,
    /// Bytes of a buffer of inputs.
    inputs_bytes: u32,
    class: &'a RingClass,
    /// Whether a PE sends before it receives: those of even place in the ring.
    sends_first: bool,
}

impl Code<'_> {
    fn tokens(&self) -> u32 {
        self.product.gemm.x.tokens
    }

    /// Address of an input in one of the two buffers.
    fn input(&self, parity: u32, i: u32) -> u32 {
        let x = &self.product.gemm.x;
        self.at[".inputs"] + parity * self.inputs_bytes + i * x.tokens * x.dtype.bytes()
    }

    /// All inputs of a buffer.
    fn inputs(&self, parity: u32) -> Operand {
        let x = &self.product.gemm.x;
        mem(x.dtype, self.input(parity, 0), x.slots * x.tokens)
    }

    /// Copies the PE's own inputs into the first buffer.
    fn own(&self) -> Instr {
        let x = &self.product.gemm.x;
        let own = grid(x.dtype, x.slot(self.at, 0), &[(x.slots, x.row as i32), (x.tokens, 1)]);
        vec(Op::Mov, x.slots * x.tokens, self.inputs(0), &[own])
    }

    fn weight(&self, parity: u32, i: u32) -> u32 {
        self.at[".weights"] + (parity * self.product.gemm.weights_stride() + i) * self.act.bytes()
    }

    /// Receives the weights of a step.
    fn load(&self, parity: u32, outs: u32) -> Instr {
        let n = outs * self.product.gemm.x.slots;
        let to = mem(self.act, self.weight(parity, 0), n);
        spawn(LOADER, op(Op::Mov, n, to, &[fab(self.weights, self.act)]))
    }

    /// The sums of some outputs of a round, from number `first` on.
    fn sums(&self, first: u32, outs: u32) -> Operand {
        let of_output = self.tokens() * DType::F32.bytes();
        mem(DType::F32, self.at[".sums"] + first * of_output, outs * self.tokens())
    }

    /// The products of some outputs, from number `first` on.
    fn products(&self, parity: u32, first: u32, outs: u32) -> Vec<Instr> {
        let (x, tokens, narrow) = (&self.product.gemm.x, self.tokens(), self.narrow);
        let apart = narrow != DType::F32;
        // As the product of input `i` finds them, and that of the one before it leaves them.
        let sums = |i| match apart {
            true if self.turns.in_second(i, x.slots) => mem(narrow, self.at[TURN], tokens),
            true => at(SUMS_REG, mem(narrow, self.at[".narrow"], tokens)),
            false => at(SUMS_REG, self.sums(first, 1)),
        };
        let axpy = |i| {
            let start = if apart && i == 0 { imm(0.0) } else { sums(i) };
            let weight = at(W_REG, word(self.act, self.weight(parity, first * x.slots + i)));
            vec(Op::Fmac, tokens, sums(i + 1), &[start, mem(x.dtype, self.input(parity, i), tokens), weight])
        };
        let row = if apart { self.narrow_row } else { tokens };
        let mut one: Vec<Instr> = (0..x.slots).map(axpy).collect();
        one.push(step(SUMS_REG, (row * narrow.bytes()) as i32));
        one.push(step(W_REG, (x.slots * self.act.bytes()) as i32));
        let mut code = vec![set(SUMS_REG, 0), set(W_REG, 0)];
        code.extend(repeat(outs, one));
        if apart && outs > 0 {
            let (sums, len) = (self.sums(first, outs), outs * tokens);
            let narrow = if row == tokens {
                mem(narrow, self.at[".narrow"], len)
            } else {
                grid(narrow, self.at[".narrow"], &[(outs, row as i32), (tokens, 1)])
            };
            code.push(vec(Op::Fmac, len, sums.clone(), &[sums, narrow, imm(1.0)]));
        }
        code
    }

    /// One step: the weights are there or on their way, and those of the next one are awaited. In one
    /// half of it the PE sends, in the other one it receives.
    fn step(&self, parity: u32, outs: u32, hop: Hop) -> Vec<Instr> {
        let x = &self.product.gemm.x;
        let len = x.slots * x.tokens;
        let send = spawn(SENDER, op(Op::Mov, len, fab(self.class.send, x.dtype), &[self.inputs(parity)]));
        let receive = spawn(RECEIVER, op(Op::Mov, len, self.inputs(1 - parity), &[fab(self.class.recv, x.dtype)]));
        let exchange = if self.sends_first { [send, receive] } else { [receive, send] };
        let one = mem(DType::F32, self.at[".sums"], 1);
        let pause = vec(Op::Mov, 1, one.clone(), &[one]);
        let mut code = vec![Instr::Join(LOADER), self.load(1 - parity, outs)];
        for (half, moves) in exchange.into_iter().enumerate() {
            code.push(moves);
            code.extend(self.products(parity, if half == 0 { 0 } else { hop.outs[0] }, hop.outs[half]));
            code.extend(wait(hop.pauses[half], pause.clone()));
            code.extend([Instr::Join(RECEIVER), Instr::Join(SENDER)]);
        }
        code
    }

    /// One round: from biases, which are on their way behind the first weights, to results.
    fn round(&self, steps: u32, outs: u32, hop: Hop) -> Vec<Instr> {
        let (gemm, tokens) = (&self.product.gemm, self.tokens());
        let bias = self.weight(1, outs * gemm.x.slots);
        let biases = grid(self.act, bias, &[(outs, 1), (tokens, 0)]);
        let mut code = vec![
            Instr::Join(LOADER),
            vec(Op::Mov, outs, mem(self.act, bias, outs), &[fab(self.weights, self.act)]),
            vec(Op::Mov, outs * tokens, self.sums(0, outs), &[biases]),
        ];
        code.extend(repeat(steps / 2, [0, 1].map(|parity| self.step(parity, outs, hop)).concat()));
        let y = &gemm.y;
        let result = grid(y.dtype, y.slot(self.at, 0), &[(outs, y.row as i32), (tokens, 1)]);
        let result = at(Y_REG, result);
        code.push(match gemm.add {
            true => vec(Op::Add, outs * tokens, result.clone(), &[result, self.sums(0, outs)]),
            false => vec(Op::Mov, outs * tokens, result, &[self.sums(0, outs)]),
        });
        code.push(step(Y_REG, (outs * y.row * y.dtype.bytes()) as i32));
        code
    }
}

impl OutputStationary {
    /// The product with stationary inputs while it carries rows of a buffer, if that costs less than a
    /// kernel of its own.
    pub(crate) fn carrying(&self, g: &Geometry, arch: &ArchSpec, transfer: &CheckpointTransfer) -> Option<(Gemm, u32)> {
        let (loaded, rows) = self.gemm.fastest(g, arch).carrying(g, arch, transfer)?;
        let alone = u64::from(rows) * u64::from(transfer.of_row() * interval(arch, g.used_columns()));
        (loaded.estimate(g, arch) < self.estimate(g, arch) + alone).then_some((loaded, rows))
    }

    /// By how many cycles it is faster than with stationary inputs, by estimate.
    pub(crate) fn saved(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        self.gemm.fastest(g, arch).estimate(g, arch).saturating_sub(self.estimate(g, arch))
    }
}

impl Kernel for OutputStationary {
    fn name(&self) -> String {
        self.gemm.name()
    }

    fn requirements(&self, g: &Geometry) -> Vec<Requirement> {
        let (gemm, x) = (&self.gemm, self.gemm.x.requirement(Access::Read));
        let mut requirements = gemm.requirements(g);
        // Inputs and what their products are added to are read together, and narrow sums and f32 ones:
        // never from one bank at a time.
        let inputs = 2 * self.inputs_bytes(g.banks) / x.dtype.bytes();
        requirements.push(Requirement::scratch(".inputs", x.dtype, inputs, x.side));
        let narrow = g.precision.accumulator != DType::F32;
        let side = if narrow { x.side } else { x.side.other() };
        requirements.push(Requirement::scratch(".sums", DType::F32, gemm.outs * gemm.x.tokens, side));
        if narrow {
            let (dtype, turns, inputs) = (g.precision.accumulator, self.turns(g), gemm.x.slots);
            let half = gemm.outs.div_ceil(2) * gemm.sums_row(g);
            requirements.push(Requirement::scratch(".narrow", dtype, half, turns.sums(inputs)));
            requirements.extend(turns.scratch(dtype, gemm.x.tokens, inputs));
        }
        requirements
    }

    fn uses(&self, g: &Geometry) -> Uses {
        self.gemm.uses(g)
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        let gemm = &self.gemm;
        assert_eq!(gemm.x.tokens, gemm.y.tokens, "{}: tokens in and out", gemm.label);
        let mut program = Program { name: self.name(), grid: Some(g.grid), ..Program::default() };
        let ports = self.ports(g, arch);
        let weights = ports.of(Use::North).color();
        program.routes = broadcast_south(g, weights);
        program.routes.extend(ring_of(g, &ports).iter().flat_map(|ring| ring_routes(g, ring)));
        let interval = interval(arch, g.lane_columns());
        program.edges = vec![feed_north(g, interval, WEIGHTS, weights, gemm.wavelets(g))];
        for (class, columns) in classes(g, &ports) {
            let class = class.expect("there is a ring");
            let image = self.image(g, (arch, &ports), at, &class);
            place(&mut program, g, image, &columns, Span::run(0, g.used_rows()));
        }
        program
    }

    fn feed(&self, g: &Geometry, _stream: &str, port: u32, host: &dyn HostSource) -> Vec<u32> {
        let (gemm, steps) = (&self.gemm, g.lane_columns());
        let column = port % steps;
        let ring = row_places(g).expect("there is a ring");
        gemm.stream(g, column, host, |step, slot| {
            // After some steps a PE has the inputs of the PE as many places before it.
            let owner = ring.position((ring.index(column) + steps - step) % steps);
            gemm.step_weights(g, owner, gemm.y.feature(g, column, slot), host)
        })
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let (x, y) = (price::shape(&self.gemm.x), price::shape(&self.gemm.y));
        let types = [g.precision.act, g.precision.accumulator].map(DType::bytes);
        let numbers = [self.gemm.outs, u32::from(self.gemm.add), g.lane_columns(), self.gemm.weights_interval(g, arch)];
        remembered(arch, ("stationary outputs", x, y, types, numbers), || self.price(g, arch))
            + price::rows_of_broadcast(g, arch)
    }
}
