//! The instructions of a matrix product with stationary inputs, for one class of PEs at a time.
//!
//! **Invariant.** All PEs of a class run the same code; classes differ in colors, and in what they do in which half of a
//! step.
//! **Not here.** How sums travel, and why (`gemm`).

use super::piggyback::Moves;
use super::turns::Accumulators;
use super::{Gemm, Hop, Sums, UNROLLED};
use crate::codegen::instr::{at, fab, grid, imm, mem, op, repeat, set, spawn, step, vec, word};
use crate::codegen::resources::{Ports, Use, address_registers, microthreads};
use crate::codegen::ring::RingClass;
use crate::cost::Source;
use crate::kernel::{Addresses, Kernel};
use crate::kernels::lanes::{ChainRows, any_class, bind_ring, buffers, main_task, row_places};
use crate::kernels::pace::wait;
use crate::kernels::price;
use crate::layout::Geometry;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Span};
use sim_core::program::{DType, Image, Instr, Op, Operand, Param, VecOp};

/// AXPYs in the body of that loop.
const GROUP: u32 = 8;
/// Pairs of steps by whose price ways are compared: enough for the first ones not to count.
const STEPS_PRICED: u32 = 64;

microthreads! { MICROTHREADS:
    /// Receives weights.
    LOADER = "weights",
    /// Receives what travels: partial sums, or inputs.
    RECEIVER = "what comes around the row",
    /// Sends it on.
    SENDER = "what goes around the row",
}

address_registers! {
    /// Bytes from the first output slot to the one of this round.
    Y_REG,
    /// Bytes from the first input slot of the loop of AXPYs to the current group's.
    X_REG,
    /// Bytes from the first weight of the loop of AXPYs to the current group's.
    W_REG,
}

/// Emits the code of one class of PEs.
struct Code<'a> {
    gemm: &'a Gemm,
    at: &'a Addresses,
    /// Color of the weights.
    weights: Color,
    act: DType,
    sums: Accumulators<'a>,
    /// Outputs that go around together.
    outs: u32,
    way: Sums,
    /// Cycles of an AXPY, and of an instruction of one element.
    axpy: u32,
    pause: u32,
    /// What is carried along, by a step's instructions.
    piggyback: Option<Moves>,
    class: Option<RingClass>,
    /// Whether a PE sends before it receives: those of even place in the ring.
    sends_first: bool,
}

impl Gemm {
    /// The image of a class of columns, in rows that do the same, and its start values.
    pub(super) fn image(
        &self,
        g: &Geometry,
        (arch, ports): (&ArchSpec, &Ports),
        at: &Addresses,
        (class, columns): (Option<RingClass>, &[u32]),
        (chain, rows): (Option<&ChainRows>, Span),
    ) -> (Image, Vec<Param>) {
        let weights = ports.of(Use::North);
        let inputs = vec![(weights.input(), weights.color())];
        let mut image = Image { name: "gemm".to_owned(), inputs, ..Image::default() };
        if let Some(class) = &class {
            bind_ring(&mut image, ports, class);
        }
        let mut params = Vec::new();
        if let Some(piggyback) = &self.piggyback {
            params = piggyback.bind(&mut image, g, (ports, chain), rows);
        }
        let sends_first = row_places(g).is_none_or(|ring| ring.index(columns[0]).is_multiple_of(2));
        image.buffers = buffers(&self.all_requirements(g, arch), at);
        image.tasks = vec![main_task(self.body(g, (arch, ports), at, (class, sends_first), chain))];
        (image, params)
    }

    /// The code of a class of PEs, in rows that do the same.
    fn body(
        &self,
        g: &Geometry,
        (arch, ports): (&ArchSpec, &Ports),
        at: &Addresses,
        (class, sends_first): (Option<RingClass>, bool),
        chain: Option<&ChainRows>,
    ) -> Vec<Instr> {
        let mut body = vec![set(Y_REG, 0)];
        let mut piggyback =
            self.piggyback.as_ref().map(|piggyback| piggyback.moves(self, (g, arch), at, (ports, chain)));
        for (outs, rounds) in self.runs() {
            let (way, piggyback, class) = (self.way(g, arch, outs), piggyback.take(), class.clone());
            let code = Code { class, sends_first, piggyback, ..self.code(g, (arch, ports), at, (outs, way)) };
            body.extend(code.rounds(g.lane_columns(), rounds));
        }
        body
    }

    /// What emits the code of rounds with so many outputs whose sums travel in a way.
    fn code<'a>(
        &'a self,
        g: &Geometry,
        (arch, ports): (&ArchSpec, &Ports),
        at: &'a Addresses,
        (outs, way): (u32, Sums),
    ) -> Code<'a> {
        let act = g.precision.act;
        let (axpy, pause) = (self.axpy_cycles(arch, g.precision.accumulator), arch.pe.vector_setup.value + 1);
        Code {
            gemm: self,
            at,
            weights: ports.of(Use::North).color(),
            act,
            sums: self.accumulators(g, at, way),
            outs,
            way,
            axpy,
            pause,
            piggyback: None,
            class: None,
            sends_first: true,
        }
    }

    /// The price of the whole product.
    pub(super) fn price(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let ports = self.ports(g, arch);
        let chain = self.piggyback.as_ref().and_then(|piggyback| piggyback.images(g, &ports).swap_remove(0).0);
        let class = any_class(g, &ports);
        let mut sources = self.sources(g, (arch, &ports), class.as_ref());
        if let Some(piggyback) = &self.piggyback {
            let source = price::at_interval(arch, piggyback.interval());
            sources.extend(ports.of(piggyback.port()).colors::<2>().map(|color| (color, source)));
        }
        let at = price::anywhere(g, &self.all_requirements(g, arch));
        price::code(arch, &sources, &self.body(g, (arch, &ports), &at, (class, true), chain.as_ref()))
    }

    /// What comes to a PE, color by color.
    pub(super) fn sources(
        &self,
        g: &Geometry,
        (arch, ports): (&ArchSpec, &Ports),
        class: Option<&RingClass>,
    ) -> Vec<(Color, Source)> {
        let weights = price::at_interval(arch, self.weights_interval(g, arch));
        let ring = class.map(|class| (class.recv, price::ring(arch)));
        std::iter::once((ports.of(Use::North).color(), weights)).chain(ring).collect()
    }

    /// The price of some steps whose sums travel in a way.
    pub(super) fn steps_price(&self, g: &Geometry, arch: &ArchSpec, (outs, way): (u32, Sums)) -> u64 {
        let ports = self.ports(g, arch);
        let Some(class) = any_class(g, &ports) else { return 0 };
        let mut requirements = self.requirements(g);
        requirements.extend(self.scratch_of(g, way));
        let at = price::anywhere(g, &requirements);
        let code = self.code(g, (arch, &ports), &at, (outs, way));
        let pair = [0, 1].map(|parity| code.step(&class, (way, None), parity)).concat();
        price::code(arch, &self.sources(g, (arch, &ports), Some(&class)), &repeat(STEPS_PRICED, pair))
    }
}

/// Instructions of the given cycles each, a number of times the first and then the second kind, with
/// `count` times `others` evenly in time between them.
fn between(axpys: (Vec<Instr>, u32), pauses: (Instr, u32, u32), others: &[Instr], count: u32) -> Vec<Instr> {
    let (axpys, axpy) = axpys;
    let (pause, number, cycles) = pauses;
    let all = axpys.len() as u32 * axpy + number * cycles;
    let mut code: Vec<Instr> = Vec::new();
    if all == 0 {
        (0..count).for_each(|_| code.extend_from_slice(others));
    }
    let (mut now, mut done) = (0, 0);
    // Of those that are due, half of one stands for the first.
    let mut due = |now: u32, code: &mut Vec<Instr>| {
        while done < count && (2 * done + 1) * all <= 2 * count * now {
            code.extend_from_slice(others);
            done += 1;
        }
    };
    for instr in axpys {
        code.push(instr);
        now += axpy;
        due(now, &mut code);
    }
    let mut waiting = 0;
    for _ in 0..number {
        (waiting, now) = (waiting + 1, now + cycles);
        let mut more = Vec::new();
        due(now, &mut more);
        if !more.is_empty() {
            code.extend(wait(waiting, pause.clone()));
            code.extend(more);
            waiting = 0;
        }
    }
    code.extend(wait(waiting, pause));
    code
}

impl Code<'_> {
    /// Tokens, and sums of all outputs that go around together.
    fn tokens(&self) -> u32 {
        self.gemm.x.tokens
    }

    fn len(&self) -> u32 {
        self.outs * self.tokens()
    }

    /// Partial sums that came along the ring.
    fn came(&self, parity: u32) -> Operand {
        let size = self.gemm.outs * self.tokens() * DType::F32.bytes();
        mem(DType::F32, self.at[".came"] + parity * size, self.len())
    }

    fn weight(&self, parity: u32, i: u32) -> Operand {
        word(self.act, self.weight_addr(parity, i))
    }

    fn weight_addr(&self, parity: u32, i: u32) -> u32 {
        self.at[".weights"] + (parity * self.gemm.weights_stride() + i) * self.act.bytes()
    }

    /// Where biases are: behind the weights.
    fn bias_addr(&self) -> u32 {
        self.weight_addr(1, self.outs * self.gemm.x.slots)
    }

    fn x(&self, i: u32) -> Operand {
        mem(self.gemm.x.dtype, self.gemm.x.slot(self.at, i), self.tokens())
    }

    /// The outputs of a round.
    fn y(&self) -> Operand {
        let (y, len) = (&self.gemm.y, self.tokens());
        let addr = y.slot(self.at, 0);
        let all = if self.outs == 1 {
            mem(y.dtype, addr, len)
        } else {
            grid(y.dtype, addr, &[(self.outs, y.row as i32), (len, 1)])
        };
        at(Y_REG, all)
    }

    fn axpy(&self, parity: u32, i: u32, dst: Operand, start: Operand) -> Instr {
        vec(Op::Fmac, self.tokens(), dst, &[start, self.x(i), self.weight(parity, i)])
    }

    /// Receives the weights of a step.
    fn load(&self, parity: u32) -> Instr {
        let n = self.outs * self.gemm.x.slots;
        let to = mem(self.act, self.weight_addr(parity, 0), n);
        spawn(LOADER, op(Op::Mov, n, to, &[fab(self.weights, self.act)]))
    }

    /// The sums of a step, complete but for other PEs' products.
    fn sum(&self, parity: u32, dst: Operand) -> VecOp {
        let (len, last, came) = (self.len(), self.gemm.x.slots - 1, self.came(parity));
        match self.way {
            _ if self.gemm.axpys() == 0 => op(Op::Mov, len, dst, &[came]),
            Sums::InPlace => op(Op::Fmac, len, dst, &[came, self.x(last), self.weight(parity, last)]),
            _ => op(Op::Add, len, dst, &[came, self.sums.all(parity, self.outs)]),
        }
    }

    /// Sends on what the step before gave.
    fn send(&self, class: &RingClass, parity: u32) -> VecOp {
        self.sum(1 - parity, fab(class.send, DType::F32))
    }

    /// Receives the sums that this step goes on with; the first AXPY goes along if it is one sum.
    fn receive(&self, class: &RingClass, parity: u32) -> Instr {
        let (came, from) = (self.came(parity), fab(class.recv, DType::F32));
        if self.gemm.outs > 1 {
            return spawn(RECEIVER, op(Op::Mov, self.len(), came, &[from]));
        }
        spawn(RECEIVER, op(Op::Fmac, self.tokens(), came, &[from, self.x(0), self.weight(parity, 0)]))
    }

    /// AXPYs into sums of one output, from feature `from` to before feature `to`. `sums` says where that of a feature
    /// finds them, which is where the one before it leaves them.
    fn axpys(&self, parity: u32, sums: impl Fn(u32) -> Operand, from: u32, to: u32) -> Vec<Instr> {
        let one = |i| self.axpy(parity, i, sums(i + 1), sums(i));
        if self.gemm.x.slots <= UNROLLED {
            return (from..to).map(one).collect();
        }
        let (row, size) = (self.gemm.x.row * self.gemm.x.dtype.bytes(), self.act.bytes());
        let moving = |i| {
            let (x, w) = (at(X_REG, self.x(i)), at(W_REG, self.weight(parity, i)));
            vec(Op::Fmac, self.tokens(), sums(i + 1), &[sums(i), x, w])
        };
        let groups = (to - from) / GROUP;
        if groups == 0 {
            return (from..to).map(one).collect();
        }
        let mut body: Vec<Instr> = (from..from + GROUP).map(moving).collect();
        body.extend([step(X_REG, (GROUP * row) as i32), step(W_REG, (GROUP * size) as i32)]);
        let mut code = vec![set(X_REG, 0), set(W_REG, 0)];
        code.extend(repeat(groups, body));
        code.extend((from + groups * GROUP..to).map(one));
        code
    }

    /// The PE's own AXPYs but for those that go along with what is received, from zero: number `from` to
    /// before number `to`, output by output.
    fn own(&self, parity: u32, from: u32, to: u32) -> Vec<Instr> {
        let (of_output, slots) = (self.gemm.axpys(), self.gemm.x.slots);
        let skipped = slots - of_output;
        let mut code = Vec::new();
        for out in 0..self.outs {
            let inside = |number: u32| number.saturating_sub(out * of_output).min(of_output);
            let (from, to, sums) = (inside(from), inside(to), |i| self.sums.of(parity, out, i));
            let one = |i: u32, start: Operand| {
                let weight = self.weight(parity, out * slots + skipped + i);
                vec(Op::Fmac, self.tokens(), sums(skipped + i + 1), &[start, self.x(skipped + i), weight])
            };
            if from == 0 && to > 0 {
                code.push(one(0, imm(0.0)));
            }
            let from = from.max(1);
            if self.gemm.outs == 1 && from < to {
                code.extend(self.axpys(parity, sums, skipped + from, skipped + to));
            } else {
                code.extend((from..to).map(|i| one(i, sums(skipped + i))));
            }
        }
        code
    }

    /// One step, for which weights are there or on their way; those of the next one are awaited.
    fn step(&self, class: &RingClass, (way, piggyback): (Sums, Option<&Moves>), parity: u32) -> Vec<Instr> {
        let slots = self.gemm.x.slots;
        let (load, receive) = (self.load(1 - parity), self.receive(class, parity));
        let send = self.send(class, parity);
        let mut code = vec![Instr::Join(LOADER)];
        match way {
            Sums::Beside(hop) => {
                code.push(load);
                code.extend(self.halves((hop, piggyback), parity, receive, spawn(SENDER, send)));
            }
            Sums::Between => {
                // What comes is awaited at once: so PEs stay in step.
                code.extend([receive, Instr::Vec(send), load, Instr::Join(RECEIVER)]);
                code.extend(self.own(parity, 0, self.gemm.axpys()));
            }
            Sums::InPlace => {
                // Weights of the step before are used until its sum is sent.
                code.extend([receive, Instr::Vec(send), load, Instr::Join(RECEIVER)]);
                code.extend(self.axpys(parity, |_| self.came(parity), 1, slots.max(2) - 1));
            }
        }
        code
    }

    /// The halves of a step beside which sums travel. In one of them the PE sends, in the other one it
    /// receives, so that what arrives takes no issue slot from what is sent.
    fn halves(&self, (hop, piggyback): (Hop, Option<&Moves>), parity: u32, receive: Instr, send: Instr) -> Vec<Instr> {
        let [first, second] = if self.sends_first { [send, receive] } else { [receive, send] };
        let one = self.sums.first(parity);
        // Their setups leave issue slots to the microthreads.
        let pause = vec(Op::Mov, 1, one.clone(), &[one]);
        let joins = [Instr::Join(RECEIVER), Instr::Join(SENDER)];
        let with = |axpys, half: usize| {
            let (code, count) = piggyback.map_or((&[][..], 0), |moves| (&moves.code[..], moves.counts[half]));
            between((axpys, self.axpy), (pause.clone(), hop.pauses[half], self.pause), code, count)
        };
        let mut code = vec![first];
        code.extend(with(self.own(parity, 0, hop.first), 0));
        code.extend(joins.clone());
        code.push(second);
        code.extend(with(self.own(parity, hop.first, self.outs * self.gemm.axpys()), 1));
        code.extend(joins);
        code
    }

    /// One round of a ring over `operations` columns: from the bias, which is on its way behind the first
    /// weights, to the result.
    fn round(&self, class: &RingClass, steps: u32, piggyback: Option<&Moves>) -> Vec<Instr> {
        let (len, slots) = (self.len(), self.gemm.x.slots);
        let (arrived, bias) = if self.outs == 1 {
            (self.weight(1, slots), self.weight(1, slots))
        } else {
            let biases = grid(self.act, self.bias_addr(), &[(self.outs, 1), (self.tokens(), 0)]);
            (mem(self.act, self.bias_addr(), self.outs), biases)
        };
        let mut code = vec![
            Instr::Join(LOADER),
            vec(Op::Mov, self.outs, arrived, &[fab(self.weights, self.act)]),
            vec(Op::Mov, len, self.came(1), &[bias]),
        ];
        // There are no products yet.
        match self.way {
            _ if self.gemm.axpys() == 0 => {}
            Sums::InPlace => code.push(vec(Op::Mov, 1, self.weight(1, slots - 1), &[imm(0.0)])),
            _ => code.push(vec(Op::Mov, len, self.sums.all(1, self.outs), &[imm(0.0)])),
        }
        let way = piggyback.map_or(self.way, |piggyback| Sums::Beside(piggyback.hop));
        let pair = [0, 1].map(|parity| self.step(class, (way, piggyback), parity)).concat();
        code.extend(repeat(steps / 2, pair));
        if self.gemm.add {
            code.push(Instr::Vec(self.sum(1, self.came(1))));
            code.push(vec(Op::Add, len, self.y(), &[self.y(), self.came(1)]));
        } else {
            code.push(Instr::Vec(self.sum(1, self.y())));
        }
        code.push(self.advance());
        code
    }

    /// A round without a ring.
    fn alone(&self, parity: u32) -> Vec<Instr> {
        let (last, len) = (self.gemm.x.slots - 1, self.tokens());
        let (bias, acc) = (self.weight(parity, last + 1), |i| self.sums.of(parity, 0, i));
        let arrives = vec(Op::Mov, 1, bias.clone(), &[fab(self.weights, self.act)]);
        let mut code = vec![Instr::Join(LOADER), arrives, self.load(1 - parity)];
        let mut sum = bias.clone();
        if last > 0 {
            code.push(self.axpy(parity, 0, acc(1), bias));
            code.extend(self.axpys(parity, acc, 1, last));
            sum = acc(last);
        }
        if self.gemm.add {
            code.push(self.axpy(parity, last, acc(last + 1), sum));
            code.push(vec(Op::Add, len, self.y(), &[self.y(), acc(last + 1)]));
        } else {
            code.push(self.axpy(parity, last, self.y(), sum));
        }
        code.push(self.advance());
        code
    }

    fn advance(&self) -> Instr {
        step(Y_REG, (self.outs * self.gemm.y.row * self.gemm.y.dtype.bytes()) as i32)
    }

    /// Some rounds with equally many outputs, the first ones of which carry the transfer.
    fn rounds(&self, steps: u32, rounds: u32) -> Vec<Instr> {
        let mut code = vec![self.load(0)];
        let Some(class) = &self.class else {
            code.extend(repeat(rounds / 2, [self.alone(0), self.alone(1)].concat()));
            if rounds % 2 == 1 {
                code.extend(self.alone(0));
            }
            code.push(Instr::Join(LOADER));
            return code;
        };
        let mut loaded = 0;
        if let Some(piggyback) = &self.piggyback {
            loaded = piggyback.rounds;
            // A row begins when weights come by, as much later than the one above it as they do.
            code.push(Instr::Join(LOADER));
            code.extend(piggyback.begin.clone());
            code.extend(repeat(loaded, self.round(class, steps, Some(piggyback))));
            code.extend(piggyback.end.clone());
        }
        if loaded < rounds {
            code.extend(repeat(rounds - loaded, self.round(class, steps, None)));
        }
        code.push(Instr::Join(LOADER));
        code
    }
}
