//! `Y[o][t] = bias[o] + Σ_i X[i][t] · W[i][o]`: a matrix product with weights that stream in from the north.
//!
//! The inputs `i` of a product are spread over the columns of a lane, and so are its outputs. Here the inputs stay and
//! sums travel: the owner of an output sends a sum that starts from the bias around the row's ring, and in every step
//! each PE adds the products of its own inputs for one output to the sum that is there ([`Gemm`]; how a sum travels
//! beside the products is `Sums`). Several outputs of an owner may go around together, so that the fixed time of a hop
//! counts once for all of them. Where columns have few inputs it is faster to let the inputs travel instead
//! ([`OutputStationary`]). A product may carry a checkpoint besides ([`Piggyback`]).
//!
//! **Invariant.** Weights are received one step ahead, and a PE receives while it sends, so that a ring full of senders
//! drains.
//! **Not here.** Code (`code`), the timetable of a checkpoint that goes along (`piggyback`), where weights come from (the
//! host, by [`Kernel::feed`]).

mod code;
mod output_stationary;
mod piggyback;
mod turns;

use super::by_features::by_features;
use super::lanes::{classes, place_with, ring_of, ring_routes, row_places, row_use};
use super::pace::Pace;
use super::price;
use crate::banks::Side;
use crate::codegen::instr::pack;
use crate::codegen::resources::{Use, Uses};
use crate::codegen::streams::{broadcast_south, feed_north, interval};
use crate::cost::remembered;
use crate::ids::Label;
use crate::kernel::{
    Access, ActivationView, Addresses, CheckpointTransfer, HostSink, HostSource, Kernel, PAD_BIAS, Part, Requirement,
    Way, WeightRef,
};
use crate::kernels::stencil::relabelled;
use crate::layout::{Features, Geometry};
use crate::options::Stationary;
pub use output_stationary::OutputStationary;
pub use piggyback::Piggyback;
use sim_core::arch::ArchSpec;
use sim_core::coord::Span;
use sim_core::program::{DType, Program};
use turns::{Accumulators, Turns};

/// Most AXPYs of a step that are written out; beyond that they are a loop.
const UNROLLED: u32 = 64;
/// Name of the stream of weights.
const WEIGHTS: &str = "weights";
/// Most outputs that go around together.
const OUTS_MAX: u32 = 4;
/// Most bytes of sums where it is more than one.
const SUMS_MAX: u32 = 4 << 10;
/// A matrix product of activations with streamed weights.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gemm {
    /// What it computes, for people.
    pub label: Label,
    /// Input window: its slots are the summed features of each column.
    pub x: ActivationView,
    /// Output window: one round per slot. As many tokens as `x`.
    pub y: ActivationView,
    /// The weights, and the bias of every output.
    pub weight: WeightRef,
    /// Whether the product is added to `y` instead of replacing it.
    pub add: bool,
    /// Outputs of an owner that go around together; 1 unless sums travel beside products.
    pub outs: u32,
    /// What goes along.
    pub piggyback: Option<Piggyback>,
}

relabelled!(Gemm { x, y, weight, piggyback; label, add, outs });
by_features!(Gemm);

/// A product in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tuned {
    /// Inputs stay in place, sums travel.
    Inputs(Gemm),
    /// Sums stay in place, inputs travel.
    Outputs(OutputStationary),
}

/// How sums travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sums {
    /// Beside the products of the next step, in the issue slots that their setups leave: in the first
    /// half of a step every second PE of the ring sends, in its second half the others do. A hop takes
    /// the same time wherever the PE is (`pace`), so all stay in step.
    Beside(Hop),
    /// Between the products of two steps, where their setups leave too few slots.
    Between,
    /// Sums travel between two steps, and the PE's products are added to the sum that came: the last one
    /// when it is sent.
    InPlace,
}

/// How the products of a step are shared between the halves of a hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hop {
    /// AXPYs in the first half.
    first: u32,
    /// Instructions of one element at the end of each half.
    pauses: [u32; 2],
}

impl Gemm {
    /// Elements between the two weight buffers: weights of the PE's inputs, and room for biases.
    fn weights_stride(&self) -> u32 {
        (self.outs * (self.x.slots + 1)).next_multiple_of(4)
    }

    /// AXPYs of the main thread for an output. Where one goes around alone, the first product goes along
    /// with the sum that is received.
    fn axpys(&self) -> u32 {
        self.x.slots - u32::from(self.outs == 1)
    }

    /// Wavelets of the weights of a step with so many outputs.
    fn block_wavelets(&self, act: DType, outs: u32) -> u32 {
        act.wavelets(outs * self.x.slots)
    }

    /// Outputs that go around together, and the rounds with so many: the last round may have fewer.
    fn runs(&self) -> impl Iterator<Item = (u32, u32)> {
        assert!(self.outs > 0, "{}: a round has outputs", self.label);
        let (outs, slots) = (self.outs, self.y.slots);
        [(outs, slots / outs), (slots % outs, 1)].into_iter().filter(|&(outs, rounds)| outs > 0 && rounds > 0)
    }

    /// Wavelets of all weights of a column: every step's, every round's biases behind its first ones,
    /// and behind all rounds of a kind a block of zeros, since the last step receives the next one's
    /// weights as every other does.
    fn wavelets(&self, g: &Geometry) -> u64 {
        let run = |(outs, rounds): (u32, u32)| {
            let blocks = u64::from(rounds) * u64::from(g.lane_columns()) + 1;
            blocks * u64::from(self.block_wavelets(g.precision.act, outs))
                + u64::from(rounds * g.precision.act.wavelets(outs))
        };
        self.runs().map(run).sum()
    }

    /// The two halves of a hop of so many outputs. Weights arrive during the first one. In each of them
    /// so many instructions move the transfer.
    fn hop(&self, g: &Geometry, arch: &ArchSpec, outs: u32, moves: [u32; 2]) -> Hop {
        let pace = Pace::of(arch);
        let (sums, axpys) = (outs * self.x.tokens, outs * self.axpys());
        let halves = [pace.slots(sums + self.block_wavelets(g.precision.act, outs)), pace.slots(sums)];
        let first = (axpys * halves[0]).div_ceil(halves[0] + halves[1]);
        let free = [pace.free(first + moves[0]), pace.free(axpys - first + moves[1])];
        Hop { first, pauses: [0, 1].map(|i| pace.pauses(halves[i], free[i])) }
    }

    /// Cycles of an AXPY into sums of a type.
    fn axpy_cycles(&self, arch: &ArchSpec, sums: DType) -> u32 {
        price::axpy(arch, (self.x.dtype, sums), self.x.tokens) as u32
    }

    /// The way of so many outputs that takes fewest cycles: several go beside products only. Sums that
    /// are narrower than those of the ring stay apart.
    fn way(&self, g: &Geometry, arch: &ArchSpec, outs: u32) -> Sums {
        let beside = Sums::Beside(self.hop(g, arch, outs, [0; 2]));
        if self.outs > 1 {
            return beside;
        }
        let other = if g.precision.accumulator == DType::F32 { Sums::InPlace } else { Sums::Between };
        let key = (
            price::shape(&self.x),
            [g.precision.act.bytes(), g.precision.accumulator.bytes(), self.weights_interval(g, arch)],
        );
        let saved = |way| self.steps_price(g, arch, (1, way));
        let better = || u64::from(saved(beside) <= saved(other));
        if remembered(arch, ("beside products", key), better) == 1 { beside } else { other }
    }

    /// How the PE's own sums turn from side to side of the banks while the products of the inputs are added.
    fn turns(&self, g: &Geometry) -> Turns {
        Turns::of(g.banks, (self.x.dtype, self.x.row), g.precision.accumulator, self.x.side(g.banks))
    }

    /// Elements from the sums of an output to those of the next one: all start on one side of the banks.
    fn sums_row(&self, g: &Geometry) -> u32 {
        let sums = g.precision.accumulator;
        if sums.bytes() == self.x.dtype.bytes() { g.banks.row(sums, self.x.tokens) } else { self.x.tokens }
    }

    /// The PE's own sums where they travel in a way.
    fn accumulators<'a>(&self, g: &Geometry, at: &'a Addresses, way: Sums) -> Accumulators<'a> {
        let (dtype, turns, row) = (g.precision.accumulator, self.turns(g), self.sums_row(g));
        // Where sums are sent before the next ones are made, one buffer is enough.
        let step = if way == Sums::Between { 0 } else { g.banks.whole(self.outs * row * dtype.bytes()) };
        Accumulators { at, dtype, turns, inputs: self.x.slots, tokens: self.x.tokens, row, step }
    }

    /// Scratch where sums travel in a way.
    fn scratch_of(&self, g: &Geometry, way: Sums) -> Vec<Requirement> {
        // Sums and what came are read together, and sums and inputs: never from one bank at a time.
        let side = self.x.side(g.banks);
        let mut requirements = Vec::new();
        let ring = g.lane_columns() > 1;
        let tokens = self.outs * self.x.tokens;
        if ring {
            // Read together with the inputs, or with sums.
            let side = if way == Sums::InPlace { side.other() } else { side };
            requirements.push(Requirement::scratch(".came", DType::F32, 2 * tokens, side));
        }
        let sums = if !ring {
            2
        } else if way == Sums::InPlace {
            0
        } else if way == Sums::Between {
            1
        } else {
            2
        };
        if sums > 0 {
            let (dtype, turns) = (g.precision.accumulator, self.turns(g));
            let row = g.banks.row(dtype, self.outs * self.sums_row(g));
            requirements.push(Requirement::scratch(".acc", dtype, sums * row, turns.sums(self.x.slots)));
            requirements.extend(turns.scratch(dtype, self.x.tokens, self.x.slots));
        }
        requirements
    }

    /// Least distance of two wavelets of weights.
    fn weights_interval(&self, g: &Geometry, arch: &ArchSpec) -> u32 {
        let least = interval(arch, g.lane_columns());
        self.piggyback.as_ref().map_or(least, Piggyback::weights_interval)
    }

    /// With as many outputs together as are fastest, within what is written out and takes little memory.
    fn fastest(&self, g: &Geometry, arch: &ArchSpec) -> Gemm {
        let with = |outs| Gemm { outs, ..self.clone() };
        let bytes = |gemm: &Gemm| gemm.scratch(g, arch).iter().map(|n| n.len * n.dtype.bytes()).sum::<u32>();
        let small =
            |gemm: &Gemm| gemm.outs * self.x.slots <= UNROLLED && gemm.outs <= self.y.slots && bytes(gemm) <= SUMS_MAX;
        let more = (2..=OUTS_MAX).map(with).filter(small);
        let all = std::iter::once(with(1)).chain(more.filter(|_| g.lane_columns() > 1));
        all.min_by_key(|gemm| (gemm.estimate(g, arch), gemm.outs)).unwrap_or_else(|| self.clone())
    }

    /// The weights of one step: output `out` (None for padding) from the inputs of `column`.
    fn step_weights(&self, g: &Geometry, column: u32, out: Option<u32>, host: &dyn HostSource) -> Vec<f32> {
        let weight = |i: u32| {
            let (i, o) = (self.x.feature(g, column, i)?, out?);
            let index = if self.weight.transposed { [o, i] } else { [i, o] };
            Some(host.value(self.weight.tensor, &index))
        };
        (0..self.x.slots).map(|i| weight(i).unwrap_or(0.0)).collect()
    }

    /// All wavelets of a column, of the weights that `weights` gives of a step for an output slot: see
    /// [`Gemm::wavelets`].
    fn stream(
        &self,
        g: &Geometry,
        column: u32,
        host: &dyn HostSource,
        weights: impl Fn(u32, u32) -> Vec<f32>,
    ) -> Vec<u32> {
        let (mut words, mut next) = (Vec::new(), 0);
        for (outs, rounds) in self.runs() {
            for first in (0..rounds).map(|round| next + round * outs) {
                let slots = || first..first + outs;
                for step in 0..g.lane_columns() {
                    words.extend(pack(
                        g.precision.act,
                        &slots().flat_map(|slot| weights(step, slot)).collect::<Vec<f32>>(),
                    ));
                    if step == 0 {
                        let bias = |slot| self.bias(self.y.feature(g, column, slot), host);
                        words.extend(pack(g.precision.act, &slots().map(bias).collect::<Vec<f32>>()));
                    }
                }
            }
            next += rounds * outs;
            words.resize(words.len() + self.block_wavelets(g.precision.act, outs) as usize, 0);
        }
        assert_eq!(
            words.len() as u64,
            self.wavelets(g),
            "{}: a column's weights are as many as its stream has",
            self.label
        );
        words
    }

    fn bias(&self, out: Option<u32>, host: &dyn HostSource) -> f32 {
        match (out, &self.weight.bias) {
            (Some(o), Some(tensor)) => host.value(*tensor, &[o]),
            (None, _) if self.weight.mask_padding => PAD_BIAS,
            _ => 0.0,
        }
    }
}

impl Gemm {
    pub(crate) fn own_stream(&self, stream: &str) -> bool {
        stream != WEIGHTS
    }

    /// The product in the form that is fastest on a geometry and a machine, or in that which is fixed.
    pub(crate) fn tuned(&self, g: &Geometry, arch: &ArchSpec, fixed: Option<Stationary>) -> Tuned {
        let inputs = self.fastest(g, arch);
        let faster = |outputs: &OutputStationary| match fixed {
            None => outputs.estimate(g, arch) < inputs.estimate(g, arch),
            Some(fixed) => fixed == Stationary::Outputs,
        };
        let outputs = OutputStationary::of(self, g).filter(faster);
        outputs.map_or_else(|| Tuned::Inputs(inputs), Tuned::Outputs)
    }

    /// The product while it carries rows of a buffer off the wafer or back: the first of the transfer's
    /// rows, as many as there is time for, and how many these are; None if that costs more than a kernel of
    /// its own.
    #[must_use]
    pub fn carrying(&self, g: &Geometry, arch: &ArchSpec, transfer: &CheckpointTransfer) -> Option<(Gemm, u32)> {
        let buffer = transfer.act.buffer;
        if buffer == self.y.buffer || (buffer == self.x.buffer && transfer.way != Way::Out) {
            return None;
        }
        let piggyback = Piggyback::of(self, g, arch, transfer)?;
        let rows = piggyback.rows();
        let alone = u64::from(rows) * u64::from(transfer.of_row() * interval(arch, g.used_columns()));
        let loaded = Gemm { piggyback: Some(piggyback), ..self.clone() };
        let worth_it = loaded.estimate(g, arch) < self.estimate(g, arch) + alone;
        worth_it.then_some((loaded, rows))
    }

    /// What is left of the kernel if buffers of `features` hold only `slots` slots, from `first` on.
    #[must_use]
    pub fn part(&self, features: Features, first: u32, slots: u32) -> Part<Self> {
        let one = |x: ActivationView, y: ActivationView| {
            // What is not the first part of the inputs is added to what is there.
            let later = x.skipped + x.first_slot > self.x.first_slot;
            let bias = self.weight.bias.filter(|_| !later);
            let weight = WeightRef { bias, ..self.weight.clone() };
            Part::Of(Gemm { x, y, weight, add: self.add || later, ..self.clone() })
        };
        if self.x.features == features {
            self.x.part(first, slots).map_or(Part::Nothing, |x| one(x, self.y.clone()))
        } else if self.y.features == features {
            self.y.part(first, slots).map_or(Part::Nothing, |y| one(self.x.clone(), y))
        } else {
            Part::Apart
        }
    }
}

impl Kernel for Gemm {
    fn name(&self) -> String {
        let label = &self.label;
        match &self.piggyback {
            None => format!("gemm {label}"),
            Some(piggyback) => format!("gemm {label} + {}", piggyback.name()),
        }
    }

    fn requirements(&self, g: &Geometry) -> Vec<Requirement> {
        let whole = self.y.slots == self.y.all_slots && self.y.tokens == self.y.row;
        let write = if whole && !self.add { Access::Write } else { Access::Update };
        let mut requirements = vec![
            self.x.requirement(Access::Read),
            self.y.requirement(write).on_either_side(),
            Requirement::scratch(".weights", g.precision.act, 2 * self.weights_stride(), Side::Near),
        ];
        requirements.extend(self.piggyback.iter().map(|p| p.requirement(g.banks)));
        requirements
    }

    fn scratch(&self, g: &Geometry, arch: &ArchSpec) -> Vec<Requirement> {
        self.scratch_of(g, self.way(g, arch, self.outs))
    }

    fn uses(&self, g: &Geometry) -> Uses {
        let mut ports = vec![Use::North];
        ports.extend(row_use(g));
        ports.extend(self.piggyback.as_ref().map(Piggyback::port));
        Uses { ports, microthreads: code::MICROTHREADS }
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        assert_eq!(self.x.tokens, self.y.tokens, "{}: tokens in and out", self.label);
        let mut program = Program { name: self.name(), grid: Some(g.grid), ..Program::default() };
        let ports = self.ports(g, arch);
        let weights = ports.of(Use::North).color();
        program.routes = broadcast_south(g, weights);
        if let Some(ring) = &ring_of(g, &ports) {
            program.routes.extend(ring_routes(g, ring));
        }
        let interval = self.weights_interval(g, arch);
        program.edges = vec![feed_north(g, interval, WEIGHTS, weights, self.wavelets(g))];
        if let Some(piggyback) = &self.piggyback {
            piggyback.lay(&mut program, g, (arch, &ports));
        }
        let everywhere = || vec![(None, Span::run(0, g.used_rows()))];
        for (chain, rows) in self.piggyback.as_ref().map_or_else(everywhere, |piggyback| piggyback.images(g, &ports)) {
            for (class, columns) in classes(g, &ports) {
                let (image, params) = self.image(g, (arch, &ports), at, (class, &columns), (chain.as_ref(), rows));
                place_with(&mut program, g, image, (&columns, rows), &params);
            }
        }
        program
    }

    fn feed(&self, g: &Geometry, stream: &str, port: u32, host: &dyn HostSource) -> Vec<u32> {
        if stream != WEIGHTS {
            return self.piggyback.as_ref().map_or_else(Vec::new, |piggyback| piggyback.feed(g, port, host));
        }
        let steps = g.lane_columns();
        let column = port % steps;
        let ring = row_places(g);
        let index = ring.as_ref().map_or(0, |r| r.index(column));
        self.stream(g, column, host, |step, slot| {
            let owner = (index + 2 * steps - 1 - step) % steps;
            let owner = ring.as_ref().map_or(0, |r| r.position(owner));
            self.step_weights(g, column, self.y.feature(g, owner, slot), host)
        })
    }

    fn collect(
        &self,
        g: &Geometry,
        _stream: &str,
        port: u32,
        words: &[u32],
        _host: &dyn HostSource,
        sink: &mut dyn HostSink,
    ) {
        if let Some(piggyback) = &self.piggyback {
            piggyback.collect(g, port, words, sink);
        }
    }

    /// Every way has an AXPY for every input, but for one that goes along with a sum that is received.
    fn at_least(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let axpys = u64::from(self.y.slots) * u64::from(g.lane_columns()) * u64::from(self.x.slots - 1);
        axpys * u64::from(self.axpy_cycles(arch, g.precision.accumulator))
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let types = [self.y.dtype, g.precision.act, g.precision.accumulator].map(DType::bytes);
        let numbers = [self.outs, u32::from(self.add), g.lane_columns(), self.weights_interval(g, arch)];
        let of_piggyback = self.piggyback.as_ref().map(Piggyback::numbers);
        let key = (price::shape(&self.x), price::shape(&self.y), types, numbers, of_piggyback);
        remembered(arch, key, || self.price(g, arch)) + price::rows_of_broadcast(g, arch)
    }
}
