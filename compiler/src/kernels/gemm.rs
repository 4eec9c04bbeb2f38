//! `Y[o][t] = bias[o] + Σ_i X[i][t] · W[i][o]`: a reduce-scatter along the rows' rings, with the
//! weights streamed from the north.
//!
//! **Invariant.** Weights are received one step ahead, and partial sums are awaited by a
//! microthread before the PE's own are sent, so that a full ring of senders always drains.
//! **Not here.** Where weights come from (the store, by [`Kernel::feed`]).

use super::lanes::{RING_QUEUES, buffers, classes, main_task, place, ring_routes, row_ring};
use crate::code::{at, color, fab, mem, op, pack, repeat, set, spawn, step, vec, word};
use crate::geometry::{Features, Geometry};
use crate::kernel::{Access, Act, Addresses, HostSource, Kernel, Need, PAD_BIAS, Part, WeightRef};
use crate::ring::RingClass;
use crate::streams::{broadcast_south, feed_north};
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Span};
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

/// Place of a step in its round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The sum starts from the bias, and is sent.
    Start,
    /// The sum is received and sent.
    Middle,
    /// The sum is received and kept.
    End,
    /// There is no ring: from the bias to the result.
    Only,
}

impl Place {
    fn starts(self) -> bool {
        matches!(self, Place::Start | Place::Only)
    }

    fn ends(self) -> bool {
        matches!(self, Place::End | Place::Only)
    }
}

/// Emits the code of one class of PEs.
struct Code<'a> {
    gemm: &'a Gemm,
    at: &'a Addresses,
    act: DType,
    class: Option<RingClass>,
}

impl Gemm {
    /// Weights of a step, elements: those of the PE's inputs, and the bias where the sum starts.
    fn block(&self, starts: bool) -> u32 {
        self.x.slots + u32::from(starts)
    }

    /// Elements between the two weight buffers.
    fn weights_stride(&self) -> u32 {
        self.block(true).next_multiple_of(4)
    }

    /// Whether a block of zeros follows the last weights: with several rounds, every round's last
    /// step receives the first weights of the next one, and the last round is no exception.
    fn trailing(&self) -> bool {
        self.y.slots > 1
    }

    /// Wavelets of a step's weights.
    fn block_wavelets(&self, act: DType, starts: bool) -> u64 {
        u64::from(act.wavelets(self.block(starts)))
    }

    /// Wavelets of all weights of a column.
    fn wavelets(&self, g: &Geometry) -> u64 {
        let (rounds, steps) = (u64::from(self.y.slots), u64::from(g.lane_columns()));
        let (first, other) = (self.block_wavelets(g.act, true), self.block_wavelets(g.act, false));
        rounds * (first + (steps - 1) * other) + if self.trailing() { first } else { 0 }
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
    fn acc(&self, parity: u32) -> Operand {
        let len = self.gemm.x.tokens;
        mem(DType::F32, self.at[".acc"] + parity * len * DType::F32.bytes(), len)
    }

    fn weight_addr(&self, parity: u32, i: u32) -> u32 {
        self.at[".weights"] + (parity * self.gemm.weights_stride() + i) * self.act.bytes()
    }

    fn weight(&self, parity: u32, i: u32) -> Operand {
        word(self.act, self.weight_addr(parity, i))
    }

    fn x(&self, i: u32) -> Operand {
        mem(self.gemm.x.dtype, self.gemm.x.slot(self.at, i), self.gemm.x.tokens)
    }

    fn y(&self) -> Operand {
        at(Y_REG, mem(self.gemm.y.dtype, self.gemm.y.slot(self.at, 0), self.gemm.y.tokens))
    }

    fn axpy(&self, parity: u32, i: u32, dst: Operand, start: Operand) -> VecOp {
        op(Op::Fmac, self.gemm.x.tokens, dst, &[start, self.x(i), self.weight(parity, i)])
    }

    /// Receives the weights of a step.
    fn load(&self, parity: u32, starts: bool) -> Instr {
        let len = self.gemm.block(starts);
        let to = mem(self.act, self.weight_addr(parity, 0), len);
        spawn(LOADER, op(Op::Mov, len, to, &[fab(color(0), self.act)]))
    }

    /// Receives the sum that the next step goes on with; the first AXPY goes along, unless it is
    /// also the last one.
    fn receive(&self, parity: u32, recv: Color) -> Instr {
        let (sum, acc) = (fab(recv, DType::F32), self.acc(parity));
        spawn(
            RECEIVER,
            match self.gemm.x.slots {
                1 => op(Op::Mov, self.gemm.x.tokens, acc, &[sum]),
                _ => self.axpy(parity, 0, acc, sum),
            },
        )
    }

    /// The AXPYs between the first and the last one.
    fn middle(&self, parity: u32) -> Vec<Instr> {
        let count = self.gemm.x.slots.saturating_sub(2);
        let one = |i| Instr::Vec(self.axpy(parity, i, self.acc(parity), self.acc(parity)));
        if count <= UNROLLED {
            return (1..=count).map(one).collect();
        }
        let (row, size) = (self.gemm.x.row * self.gemm.x.dtype.bytes(), self.act.bytes());
        let moving = |i| {
            let (x, w) = (at(X_REG, self.x(i)), at(W_REG, self.weight(parity, i)));
            vec(Op::Fmac, self.gemm.x.tokens, self.acc(parity), &[self.acc(parity), x, w])
        };
        let mut body: Vec<Instr> = (1..=GROUP).map(moving).collect();
        body.extend([step(X_REG, (GROUP * row) as i32), step(W_REG, (GROUP * size) as i32)]);
        let mut code = vec![set(X_REG, 0), set(W_REG, 0)];
        code.extend(repeat(count / GROUP, body));
        code.extend((count / GROUP * GROUP + 1..=count).map(one));
        code
    }

    /// One step. Its weights have arrived, and the receiver has its first AXPY in hand.
    fn step(&self, parity: u32, place: Place, load_next: Option<bool>) -> Vec<Instr> {
        let (other, last) = (1 - parity, self.gemm.x.slots - 1);
        let mut code = Vec::new();
        if place.starts() {
            code.push(Instr::Join(LOADER));
        }
        code.extend(load_next.map(|starts| self.load(other, starts)));
        // The sum so far: the bias word, or what the receiver takes from the ring.
        let mut sum = self.acc(parity);
        if place.starts() {
            let bias = self.weight(parity, self.gemm.x.slots);
            if last == 0 {
                sum = bias;
            } else {
                code.push(Instr::Vec(self.axpy(parity, 0, self.acc(parity), bias)));
            }
        } else {
            code.push(Instr::Join(RECEIVER));
        }
        code.extend(self.middle(parity));
        if place.ends() {
            code.extend(self.finish(parity, sum));
        } else if let Some(class) = &self.class {
            code.extend([Instr::Join(LOADER), self.receive(other, class.recv)]);
            code.push(Instr::Vec(self.axpy(parity, last, fab(class.send, DType::F32), sum)));
        }
        code
    }

    /// The last AXPY at the owner of the output.
    fn finish(&self, parity: u32, sum: Operand) -> Vec<Instr> {
        let (last, len) = (self.gemm.x.slots - 1, self.gemm.x.tokens);
        if self.gemm.add {
            let axpy = Instr::Vec(self.axpy(parity, last, self.acc(parity), sum));
            vec![axpy, vec(Op::Add, len, self.y(), &[self.y(), self.acc(parity)])]
        } else {
            vec![Instr::Vec(self.axpy(parity, last, self.y(), sum))]
        }
    }

    fn advance(&self) -> Instr {
        step(Y_REG, (self.gemm.y.row * self.gemm.y.dtype.bytes()) as i32)
    }

    /// One round of a ring over `steps` columns.
    fn round(&self, steps: u32) -> Vec<Instr> {
        let mut code = self.step(0, Place::Start, Some(false));
        let mut pair = self.step(1, Place::Middle, Some(false));
        pair.extend(self.step(0, Place::Middle, Some(false)));
        code.extend(repeat(steps / 2 - 1, pair));
        code.extend(self.step(1, Place::End, self.gemm.trailing().then_some(true)));
        code
    }

    /// The whole task.
    fn body(&self, steps: u32) -> Vec<Instr> {
        let rounds = self.gemm.y.slots;
        let mut code = vec![set(Y_REG, 0), self.load(0, true)];
        if steps > 1 {
            let mut round = self.round(steps);
            round.push(self.advance());
            code.extend(repeat(rounds, round));
        } else {
            let next = self.gemm.trailing().then_some(true);
            let one = |parity| {
                let mut round = self.step(parity, Place::Only, next);
                round.push(self.advance());
                round
            };
            code.extend(repeat(rounds / 2, [one(0), one(1)].concat()));
            if rounds % 2 == 1 {
                code.extend(one(0));
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
        // Sums and inputs are read together: never from one bank group.
        let phase = 4 - self.x.need(Access::Read).phase;
        vec![
            self.x.need(Access::Read),
            self.y.need(write),
            Need::scratch(".acc", DType::F32, 2 * self.x.tokens, phase),
            Need::scratch(".weights", g.act, 2 * self.weights_stride(), 0),
        ]
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        assert_eq!(self.x.tokens, self.y.tokens, "{}: tokens in and out", self.label);
        let mut program = Program { name: self.name(), grid: Some(g.grid), ..Program::default() };
        program.routes = broadcast_south(g, color(0));
        if let Some(ring) = row_ring(g) {
            program.routes.extend(ring_routes(g, &ring));
        }
        program.edges = vec![feed_north(g, arch, WEIGHTS, color(0), self.wavelets(g))];
        let buffers = buffers(&self.needs(g), at);
        for (class, columns) in classes(g) {
            let mut image = Image { name: "gemm".to_owned(), inputs: vec![(0, color(0))], ..Image::default() };
            if let Some(class) = &class {
                image.inputs.push((RING_QUEUES.0, class.recv));
                image.outputs.push((RING_QUEUES.1, class.send));
            }
            let body = Code { gemm: self, at, act: g.act, class }.body(g.lane_columns());
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
                let mut block = self.step_weights(g, column, out, host);
                if step == 0 {
                    block.push(self.bias(out, host));
                }
                words.extend(pack(g.act, &block));
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
        let widths = &arch.width_fmac.value;
        let width = if self.x.dtype == DType::F32 { widths.single } else { widths.mixed };
        let axpy = arch.vector_setup.value + self.x.tokens.div_ceil(width.max(1));
        let ring = if g.lane_columns() > 1 { self.x.tokens } else { 0 };
        let compute = u64::from(self.x.slots * axpy + ring + 4);
        let interval = crate::streams::interval(arch, g.lane_columns());
        let steps = u64::from(self.y.slots) * u64::from(g.lane_columns());
        steps * compute.max(u64::from(interval) * self.block_wavelets(g.act, false))
    }
}
