//! `Y[o][t] = bias[o] + Σ_i X[i][t] · W[i][o]`: a reduce-scatter along the rows' rings, with the
//! weights streamed from the north.
//!
//! The owner of an output lets a sum that starts from the bias go around its ring. In a step every PE
//! adds its own features' products for one output to it; what the step before gave goes on at the
//! same time (`Way`).
//!
//! **Invariant.** Weights are received one step ahead, and a PE receives while it sends, so that a
//! ring full of senders drains.
//! **Not here.** Where weights come from (the store, by [`Kernel::feed`]).

use super::lanes::{RING_QUEUES, axpy_cycles, buffers, classes, main_task, place, ring_routes, row_ring};
use super::pace::Pace;
use crate::code::{at, color, fab, imm, mem, op, pack, repeat, set, spawn, step, vec, word};
use crate::geometry::{Features, Geometry};
use crate::kernel::{Access, Act, Addresses, HostSource, Kernel, Need, PAD_BIAS, Part, WeightRef};
use crate::ring::RingClass;
use crate::streams::{broadcast_south, feed_north};
use sim_core::arch::ArchSpec;
use sim_core::coord::Span;
use sim_core::program::{AddrReg, DType, Image, Instr, Op, Operand, Program, VecOp};
use std::sync::Arc;

/// Name of the stream of weights.
const WEIGHTS: &str = "weights";
/// Most AXPYs of a step that are written out; beyond that they are a loop.
const UNROLLED: u32 = 64;
/// AXPYs in the body of that loop.
const GROUP: u32 = 8;
/// Microthread that receives weights.
const LOADER: u8 = 0;
/// Microthread that receives partial sums.
const RECEIVER: u8 = 1;
/// Microthread that sends them on.
const SENDER: u8 = 2;
/// Bytes from the first output slot to the one of this round.
const Y_REG: AddrReg = AddrReg(0);
/// Bytes from the first input slot of the loop of AXPYs to the current group's.
const X_REG: AddrReg = AddrReg(1);
/// Bytes from the first weight of the loop of AXPYs to the current group's.
const W_REG: AddrReg = AddrReg(2);

/// A matrix product of activations with streamed weights.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gemm {
    /// What it computes, for people.
    pub label: String,
    /// Input window: its slots are the summed features of each column.
    pub x: Act,
    /// Output window: one round per slot. As many tokens as `x`.
    pub y: Act,
    /// The weights, and the bias of every output.
    pub weight: WeightRef,
    /// Whether the product is added to `y` instead of replacing it.
    pub add: bool,
}

/// How sums travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Beside the products of the next step, in the issue slots that their setups leave: in the first
    /// half of a step every second PE of the ring sends, in its second half the others do. A hop takes
    /// the same time wherever the PE is (`pace`), so all stay in step.
    Beside(Hop),
    /// Between the products of two steps, where their setups leave too few slots.
    Between,
    /// Likewise, and the PE's products are added to the sum that came: the last one when it is sent.
    InPlace,
}

/// How the products of a step are shared between the halves of a hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hop {
    /// Feature whose AXPY is the first one of the second half.
    second: u32,
    /// Instructions of one element at the end of each half.
    pauses: [u32; 2],
}

/// Emits the code of one class of PEs.
struct Code<'a> {
    gemm: &'a Gemm,
    at: &'a Addresses,
    act: DType,
    sums: DType,
    way: Way,
    class: Option<RingClass>,
    /// Whether a PE sends before it receives: those of even place in the ring.
    sends_first: bool,
}

impl Gemm {
    /// Elements between the two weight buffers: weights of the PE's inputs, and room for the bias.
    fn weights_stride(&self) -> u32 {
        (self.x.slots + 1).next_multiple_of(4)
    }

    /// Wavelets of a step's weights.
    fn block_wavelets(&self, act: DType) -> u32 {
        act.wavelets(self.x.slots)
    }

    /// Wavelets of all weights of a column: every step's, every round's bias behind its first ones,
    /// and a block of zeros, since the last step receives the next one's weights as every other does.
    fn wavelets(&self, g: &Geometry) -> u64 {
        let (rounds, steps) = (u64::from(self.y.slots), u64::from(g.lane_columns()));
        (rounds * steps + 1) * u64::from(self.block_wavelets(g.act)) + rounds
    }

    /// The two halves of a hop. Weights arrive during the first one.
    fn hop(&self, pace: Pace, act: DType) -> Hop {
        let (tokens, axpys) = (self.x.tokens, self.x.slots - 1);
        let halves = [pace.slots(tokens + self.block_wavelets(act)), pace.slots(tokens)];
        let first = (axpys * halves[0]).div_ceil(halves[0] + halves[1]);
        let free = [pace.free(first), pace.free(axpys - first)];
        Hop { second: 1 + first, pauses: [0, 1].map(|i| pace.pauses(halves[i], free[i])) }
    }

    /// Cycles of an AXPY into sums of a type.
    fn axpy_cycles(&self, arch: &ArchSpec, sums: DType) -> u32 {
        axpy_cycles(arch, (self.x.dtype, sums), self.x.tokens)
    }

    /// Cycles of a step if sums travel so, but for what every step has.
    fn step_cycles(&self, g: &Geometry, arch: &ArchSpec, way: Way) -> u32 {
        let (axpy, setup) = (self.axpy_cycles(arch, g.sums), arch.vector_setup.value);
        let between = setup + 2 * self.x.tokens;
        match way {
            Way::Beside(hop) => (self.x.slots - 1) * axpy + (hop.pauses[0] + hop.pauses[1]) * (setup + 1),
            Way::Between => (self.x.slots - 1) * axpy + between,
            Way::InPlace => self.x.slots.saturating_sub(2) * axpy + between,
        }
    }

    /// The way that takes fewest cycles. Sums that are narrower than those of the ring stay apart.
    fn way(&self, g: &Geometry, arch: &ArchSpec) -> Way {
        let beside = Way::Beside(self.hop(Pace::of(arch), g.act));
        let other = if g.sums == DType::F32 { Way::InPlace } else { Way::Between };
        let cycles = |way| self.step_cycles(g, arch, way);
        if cycles(beside) <= cycles(other) { beside } else { other }
    }

    /// The weights of one step: output `out` (None for padding) from the inputs of `column`.
    fn step_weights(&self, g: &Geometry, column: u32, out: Option<u32>, host: &dyn HostSource) -> Vec<f32> {
        let weight = |i: u32| {
            let (i, o) = (self.x.feature(g, column, i)?, out?);
            let index = if self.weight.transposed { [o, i] } else { [i, o] };
            Some(host.value(&self.weight.tensor, &index))
        };
        (0..self.x.slots).map(|i| weight(i).unwrap_or(0.0)).collect()
    }

    fn bias(&self, out: Option<u32>, host: &dyn HostSource) -> f32 {
        match (out, &self.weight.bias) {
            (Some(o), Some(tensor)) => host.value(tensor, &[o]),
            (None, _) if self.weight.mask_padding => PAD_BIAS,
            _ => 0.0,
        }
    }
}

impl Code<'_> {
    fn tokens(&self) -> u32 {
        self.gemm.x.tokens
    }

    /// Sums of the PE's own products.
    fn acc(&self, parity: u32) -> Operand {
        mem(self.sums, self.acc_addr(parity), self.tokens())
    }

    fn acc_addr(&self, parity: u32) -> u32 {
        // Where sums are sent before the next ones are made, one buffer is enough.
        let parity = if self.way == Way::Between { 0 } else { parity };
        self.at[".acc"] + parity * self.tokens() * self.sums.bytes()
    }

    /// Partial sums that came along the ring.
    fn came(&self, parity: u32) -> Operand {
        mem(DType::F32, self.at[".came"] + parity * self.tokens() * DType::F32.bytes(), self.tokens())
    }

    fn weight(&self, parity: u32, i: u32) -> Operand {
        word(self.act, self.weight_addr(parity, i))
    }

    fn weight_addr(&self, parity: u32, i: u32) -> u32 {
        self.at[".weights"] + (parity * self.gemm.weights_stride() + i) * self.act.bytes()
    }

    fn x(&self, i: u32) -> Operand {
        mem(self.gemm.x.dtype, self.gemm.x.slot(self.at, i), self.tokens())
    }

    fn y(&self) -> Operand {
        at(Y_REG, mem(self.gemm.y.dtype, self.gemm.y.slot(self.at, 0), self.tokens()))
    }

    fn axpy(&self, parity: u32, i: u32, dst: Operand, start: Operand) -> Instr {
        vec(Op::Fmac, self.tokens(), dst, &[start, self.x(i), self.weight(parity, i)])
    }

    /// Receives the weights of a step.
    fn load(&self, parity: u32) -> Instr {
        let to = mem(self.act, self.weight_addr(parity, 0), self.gemm.x.slots);
        spawn(LOADER, op(Op::Mov, self.gemm.x.slots, to, &[fab(color(0), self.act)]))
    }

    /// The sum of a step, complete but for other PEs' products.
    fn sum(&self, parity: u32, dst: Operand) -> VecOp {
        let (len, last, came) = (self.tokens(), self.gemm.x.slots - 1, self.came(parity));
        match self.way {
            _ if last == 0 => op(Op::Mov, len, dst, &[came]),
            Way::InPlace => op(Op::Fmac, len, dst, &[came, self.x(last), self.weight(parity, last)]),
            _ => op(Op::Add, len, dst, &[came, self.acc(parity)]),
        }
    }

    /// Sends on what the step before gave.
    fn send(&self, class: &RingClass, parity: u32) -> VecOp {
        self.sum(1 - parity, fab(class.send, DType::F32))
    }

    /// Receives the sum that this step goes on with; the first AXPY goes along.
    fn receive(&self, class: &RingClass, parity: u32) -> Instr {
        let product = [fab(class.recv, DType::F32), self.x(0), self.weight(parity, 0)];
        spawn(RECEIVER, op(Op::Fmac, self.tokens(), self.came(parity), &product))
    }

    /// AXPYs into sums, from feature `from` to before feature `to`.
    fn axpys(&self, parity: u32, sums: &Operand, from: u32, to: u32) -> Vec<Instr> {
        let one = |i| self.axpy(parity, i, sums.clone(), sums.clone());
        if self.gemm.x.slots <= UNROLLED {
            return (from..to).map(one).collect();
        }
        let (row, size) = (self.gemm.x.row * self.gemm.x.dtype.bytes(), self.act.bytes());
        let moving = |i| {
            let (x, w) = (at(X_REG, self.x(i)), at(W_REG, self.weight(parity, i)));
            vec(Op::Fmac, self.tokens(), sums.clone(), &[sums.clone(), x, w])
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

    /// The PE's own AXPYs but for the first one, up to before feature `to`, from zero.
    fn own(&self, parity: u32, to: u32) -> Vec<Instr> {
        if to < 2 {
            return Vec::new();
        }
        let mut code = vec![self.axpy(parity, 1, self.acc(parity), imm(0.0))];
        code.extend(self.axpys(parity, &self.acc(parity), 2, to));
        code
    }

    /// One step, for which weights are there or on their way; those of the next one are awaited.
    fn step(&self, class: &RingClass, parity: u32) -> Vec<Instr> {
        let slots = self.gemm.x.slots;
        let (load, receive) = (self.load(1 - parity), self.receive(class, parity));
        let send = self.send(class, parity);
        let mut code = vec![Instr::Join(LOADER)];
        match self.way {
            Way::Beside(hop) => {
                code.push(load);
                code.extend(self.halves(hop, parity, receive, spawn(SENDER, send)));
            }
            Way::Between => {
                // What comes is awaited at once: so PEs stay in step.
                code.extend([receive, Instr::Vec(send), load, Instr::Join(RECEIVER)]);
                code.extend(self.own(parity, slots));
            }
            Way::InPlace => {
                // Weights of the step before are used until its sum is sent.
                code.extend([receive, Instr::Vec(send), load, Instr::Join(RECEIVER)]);
                code.extend(self.axpys(parity, &self.came(parity), 1, slots.max(2) - 1));
            }
        }
        code
    }

    /// The halves of a step beside which sums travel. In one of them the PE sends, in the other one it
    /// receives, so that what arrives takes no issue slot from what is sent.
    fn halves(&self, hop: Hop, parity: u32, receive: Instr, send: Instr) -> Vec<Instr> {
        let [first, second] = if self.sends_first { [send, receive] } else { [receive, send] };
        let one = mem(self.sums, self.acc_addr(parity), 1);
        // Their setups leave issue slots to the microthreads.
        let pause =
            |half: usize| repeat(hop.pauses[half], vec![vec(Op::Mov, 1, one.clone(), std::slice::from_ref(&one))]);
        let joins = [Instr::Join(RECEIVER), Instr::Join(SENDER)];
        let mut code = vec![first];
        code.extend(self.own(parity, hop.second));
        code.extend(pause(0).into_iter().chain(joins.clone()));
        code.push(second);
        code.extend(self.axpys(parity, &self.acc(parity), hop.second, self.gemm.x.slots));
        code.extend(pause(1).into_iter().chain(joins));
        code
    }

    /// One round of a ring over `steps` columns: from the bias, which is on its way behind the first
    /// weights, to the result.
    fn round(&self, class: &RingClass, steps: u32) -> Vec<Instr> {
        let (len, slots) = (self.tokens(), self.gemm.x.slots);
        let bias = self.weight(1, slots);
        let mut code = vec![
            Instr::Join(LOADER),
            vec(Op::Mov, 1, bias.clone(), &[fab(color(0), self.act)]),
            vec(Op::Mov, len, self.came(1), &[bias]),
        ];
        // There are no products yet.
        match self.way {
            _ if slots == 1 => {}
            Way::InPlace => code.push(vec(Op::Mov, 1, self.weight(1, slots - 1), &[imm(0.0)])),
            _ => code.push(vec(Op::Mov, len, self.acc(1), &[imm(0.0)])),
        }
        code.extend(repeat(steps / 2, [self.step(class, 0), self.step(class, 1)].concat()));
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
        let (bias, acc) = (self.weight(parity, last + 1), self.acc(parity));
        let arrives = vec(Op::Mov, 1, bias.clone(), &[fab(color(0), self.act)]);
        let mut code = vec![Instr::Join(LOADER), arrives, self.load(1 - parity)];
        let mut sum = bias.clone();
        if last > 0 {
            code.push(self.axpy(parity, 0, acc.clone(), bias));
            code.extend(self.axpys(parity, &acc, 1, last));
            sum = acc.clone();
        }
        if self.gemm.add {
            code.push(self.axpy(parity, last, acc.clone(), sum));
            code.push(vec(Op::Add, len, self.y(), &[self.y(), acc]));
        } else {
            code.push(self.axpy(parity, last, self.y(), sum));
        }
        code.push(self.advance());
        code
    }

    fn advance(&self) -> Instr {
        step(Y_REG, (self.gemm.y.row * self.gemm.y.dtype.bytes()) as i32)
    }

    /// The whole task.
    fn body(&self, steps: u32) -> Vec<Instr> {
        let rounds = self.gemm.y.slots;
        let mut code = vec![set(Y_REG, 0), self.load(0)];
        if let Some(class) = &self.class {
            code.extend(repeat(rounds, self.round(class, steps)));
        } else {
            code.extend(repeat(rounds / 2, [self.alone(0), self.alone(1)].concat()));
            if rounds % 2 == 1 {
                code.extend(self.alone(0));
            }
        }
        code.push(Instr::Join(LOADER));
        code
    }
}

impl Kernel for Gemm {
    fn name(&self) -> String {
        format!("gemm {}", self.label)
    }

    fn needs(&self, g: &Geometry) -> Vec<Need> {
        let whole = self.y.slots == self.y.all_slots && self.y.tokens == self.y.row;
        let write = if whole && !self.add { Access::Write } else { Access::Update };
        vec![
            self.x.need(Access::Read),
            self.y.need(write),
            Need::scratch(".weights", g.act, 2 * self.weights_stride(), 0),
        ]
    }

    fn scratch(&self, g: &Geometry, arch: &ArchSpec) -> Vec<Need> {
        // Sums and inputs are read together, and sums and what came: never from one bank group.
        let phase = self.x.need(Access::Read).phase;
        let mut needs = Vec::new();
        let ring = g.lane_columns() > 1;
        let (way, tokens) = (self.way(g, arch), self.x.tokens);
        if ring {
            // Read together with the inputs, or with sums.
            let phase = if way == Way::InPlace { 4 - phase } else { phase };
            needs.push(Need::scratch(".came", DType::F32, 2 * tokens, phase));
        }
        let sums = if !ring {
            2
        } else if way == Way::InPlace {
            0
        } else if way == Way::Between {
            1
        } else {
            2
        };
        if sums > 0 {
            needs.push(Need::scratch(".acc", g.sums, sums * tokens, 4 - phase));
        }
        needs
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        assert_eq!(self.x.tokens, self.y.tokens, "{}: tokens in and out", self.label);
        let mut program = Program { name: self.name(), grid: Some(g.grid), ..Program::default() };
        program.routes = broadcast_south(g, color(0));
        let ring = row_ring(g);
        if let Some(ring) = &ring {
            program.routes.extend(ring_routes(g, ring));
        }
        program.edges = vec![feed_north(g, arch, WEIGHTS, color(0), self.wavelets(g))];
        let buffers = buffers(&self.all_needs(g, arch), at);
        for (class, columns) in classes(g) {
            let mut image = Image { name: "gemm".to_owned(), inputs: vec![(0, color(0))], ..Image::default() };
            if let Some(class) = &class {
                image.inputs.push((RING_QUEUES.0, class.recv));
                image.outputs.push((RING_QUEUES.1, class.send));
            }
            let sends_first = ring.as_ref().is_none_or(|ring| ring.index(columns[0]).is_multiple_of(2));
            let way = self.way(g, arch);
            let code = Code { gemm: self, at, act: g.act, sums: g.sums, way, class, sends_first };
            let body = code.body(g.lane_columns());
            image.buffers.clone_from(&buffers);
            image.tasks = vec![main_task(body)];
            place(&mut program, g, image, &columns, Span::run(0, g.used_rows()));
        }
        program
    }

    fn feed(&self, g: &Geometry, _stream: &str, port: u32, host: &dyn HostSource) -> Vec<u32> {
        let steps = g.lane_columns();
        let column = port % steps;
        let ring = row_ring(g);
        let index = ring.as_ref().map_or(0, |r| r.index(column));
        let mut words = Vec::new();
        for round in 0..self.y.slots {
            for step in 0..steps {
                let owner = (index + 2 * steps - 1 - step) % steps;
                let owner = ring.as_ref().map_or(0, |r| r.position(owner));
                let out = self.y.feature(g, owner, round);
                words.extend(pack(g.act, &self.step_weights(g, column, out, host)));
                if step == 0 {
                    words.extend(pack(g.act, &[self.bias(self.y.feature(g, column, round), host)]));
                }
            }
        }
        words.resize(self.wavelets(g) as usize, 0);
        words
    }

    fn part(&self, features: Features, first: u32, slots: u32) -> Part {
        let one = |x: Act, y: Act| {
            // What is not the first part of the inputs is added to what is there.
            let later = x.skipped + x.first_slot > self.x.first_slot;
            let bias = self.weight.bias.clone().filter(|_| !later);
            let weight = WeightRef { bias, ..self.weight.clone() };
            Part::Of(Arc::new(Gemm { x, y, weight, add: self.add || later, ..self.clone() }))
        };
        if self.x.features == features {
            self.x.part(first, slots).map_or(Part::Nothing, |x| one(x, self.y.clone()))
        } else if self.y.features == features {
            self.y.part(first, slots).map_or(Part::Nothing, |y| one(self.x.clone(), y))
        } else {
            Part::Apart
        }
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let axpy = self.axpy_cycles(arch, g.sums);
        let hop = self.hop(Pace::of(arch), g.act);
        let ring = if g.lane_columns() > 1 { hop.pauses[0] + hop.pauses[1] } else { 0 };
        let axpys = self.x.slots - u32::from(g.lane_columns() > 1);
        let compute = u64::from(axpys * axpy + ring * (arch.vector_setup.value + 1) + 9);
        let interval = crate::streams::interval(arch, g.lane_columns());
        let (rounds, steps) = (u64::from(self.y.slots), u64::from(g.lane_columns()));
        let edges = u64::from(3 * arch.vector_setup.value + 2 * self.x.tokens);
        rounds * (steps * compute.max(u64::from(interval * self.block_wavelets(g.act))) + edges)
    }
}
