//! What kernels share when they hand their code to `cost`: addresses to emit it for, keys of prices,
//! and what happens on the way between rows and columns.
//!
//! **Invariant.** Code is priced as it is emitted; what its price is remembered by holds all that it
//! depends on.
//! **Not here.** What an instruction costs (`cost`).

use crate::banks::{Banks, Side};
use crate::codegen::resources::{Ports, Use};
use crate::codegen::streams::interval;
use crate::cost::instr::{Beats, Registers};
use crate::cost::{Clock, Path, Source};
use crate::kernel::{ActivationView, Addresses, Kernel, Requirement};
use crate::layout::Geometry;
use sim_core::arch::ArchSpec;
use sim_core::coord::Color;
use sim_core::program::{DType, Instr, MemRef, Op, Operand, VecOp};

/// What the price of code depends on of a window of an activation: slots, tokens, tokens from slot to
/// slot, bytes of an element.
pub(super) type Shape = [u32; 4];

/// See [`Shape`].
pub(super) fn shape(act: &ActivationView) -> Shape {
    [act.slots, act.tokens, act.row, act.dtype.bytes()]
}

/// Addresses for code that is only priced: one requirement behind the other, each on its side of
/// the banks.
pub(super) fn anywhere(g: &Geometry, requirements: &[Requirement]) -> Addresses {
    let mut at = Addresses::new();
    let mut next = 0;
    for requirement in requirements {
        let place = g.banks.place(next, requirement.side);
        if at.insert(requirement.buffer, place).is_none() {
            next = place + requirement.len * requirement.dtype.bytes();
        }
    }
    at
}

/// The price of an AXPY of `len` elements with operands and sums of these types, in different banks.
pub(super) fn axpy(arch: &ArchSpec, (operands, sums): (DType, DType), len: u32) -> u64 {
    let window = |dtype, side| Operand::Mem(MemRef::vec(dtype, Banks::of(arch).start(side), len));
    let src = [window(sums, Side::Far), window(operands, Side::Near), Operand::imm(0.0)];
    let op = VecOp::new(Op::Fmac, len, window(sums, Side::Far), src);
    u64::from(arch.pe.vector_setup.value) + Beats::of(arch, &op, &Registers::default()).all()
}

/// The price of code of a PE whose colors have these sources.
pub(super) fn code(arch: &ArchSpec, sources: &[(Color, Source)], code: &[Instr]) -> u64 {
    let mut clock = Clock::new(arch, sources);
    clock.run(code);
    clock.end()
}

/// The price of a kernel whose PEs do all the same, by the code of its first image.
pub(super) fn whole(kernel: &dyn Kernel, g: &Geometry, arch: &ArchSpec, sources: &[(Color, Source)]) -> u64 {
    let at = anywhere(g, &kernel.all_requirements(g, arch));
    let program = kernel.program(g, arch, &at);
    let task = program.images.first().and_then(|image| image.tasks.first());
    task.map_or(0, |task| code(arch, sources, &task.body))
}

/// A color that `streams` different streams of an edge share the bandwidth for.
pub(super) fn edge(arch: &ArchSpec, streams: u32) -> Source {
    at_interval(arch, interval(arch, streams))
}

/// A color whose wavelets come from an edge at an interval.
pub(super) fn at_interval(arch: &ArchSpec, interval: u32) -> Source {
    let first = arch.router.edge_latency.value + arch.router.hop.value + arch.router.ramp_down.value;
    Source::Edge { first: u64::from(first), interval: u64::from(interval) }
}

/// A color on which the next PE of a ring sends: at most two links away.
pub(super) fn ring(arch: &ArchSpec) -> Source {
    Source::Partner { way: Path::of(arch).links(2) }
}

/// The colors of a chain down the columns, whose sums leave as fast as the edge takes them.
pub(super) fn chain(g: &Geometry, arch: &ArchSpec, ports: &Ports) -> [(Color, Source); 2] {
    ports.of(Use::Chain).colors().map(|color| (color, edge(arch, g.used_columns())))
}

/// Cycles by which the last row is behind the first one, where each begins when what is broadcast down
/// its column comes by.
pub(super) fn rows_of_broadcast(g: &Geometry, arch: &ArchSpec) -> u64 {
    Path::of(arch).across(u64::from(g.used_rows() - 1))
}

/// Cycles of rows where each adds to what the row above sends.
pub(super) fn rows_of_chain(g: &Geometry, arch: &ArchSpec) -> u64 {
    Path::of(arch).chain(u64::from(g.used_rows() - 1))
}
