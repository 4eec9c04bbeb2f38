//! How vectors are summed over rows: by a chain, in two phases, or by a tree.
//!
//! Sums over rows are a small part of a step, and chains fold best. So the others are taken only where they make the
//! step faster by more than [`NEAR`], the difference below which mappings count as equal.
//!
//! **Not here.** What the reductions are (`kernels::reduce`).

use crate::kernels::{Class, KernelKind};
use crate::layout::Geometry;
use crate::options::{NEAR, Reduction};
use crate::schedule::ScheduledKernel;
use sim_core::arch::ArchSpec;
use std::sync::Arc;

/// Makes all sums over rows reductions of a kind, or of the best one.
pub(crate) fn choose(kernels: &mut [ScheduledKernel], g: &Geometry, arch: &ArchSpec, fixed: Option<Reduction>) {
    if fixed == Some(Reduction::Chain) {
        return;
    }
    let mut all = u64::MAX;
    if fixed.is_none() {
        let cycles = |scheduled: &ScheduledKernel| scheduled.kernel.estimate(g, arch);
        let chains = kernels.iter().filter(|scheduled| reduction(&scheduled.kernel).is_some());
        let most: u64 = chains.map(cycles).sum();
        all = kernels.iter().map(cycles).sum();
        if most * NEAR <= all {
            return;
        }
    }
    let (mut found, mut saved) = (Vec::new(), 0);
    for (i, scheduled) in kernels.iter().enumerate().filter(|(_, scheduled)| reduction(&scheduled.kernel).is_some()) {
        let cycles = scheduled.kernel.estimate(g, arch);
        let Some(kernel) = reduced(&scheduled.kernel, g, arch, fixed) else { continue };
        let faster = cycles.saturating_sub(kernel.estimate(g, arch));
        if fixed.is_some() || faster > 0 {
            saved += faster;
            found.push((i, kernel));
        }
    }
    if fixed.is_some() || saved * NEAR > all {
        found.into_iter().for_each(|(i, kernel)| kernels[i].kernel = Arc::new(kernel));
    }
}

/// How a kernel sums over the rows, if that is all that it does.
pub(crate) fn reduction(kernel: &KernelKind) -> Option<Reduction> {
    match kernel.class() {
        Class::ColumnSum(sum) => Some(sum.reduction()),
        Class::RowSum(sum) => Some(sum.reduction()),
        Class::Attention(_)
        | Class::AttentionGradient(_)
        | Class::Product(_)
        | Class::OutputStationary(_)
        | Class::WeightGradient(_)
        | Class::ElementFunction(_)
        | Class::Fixed => None,
    }
}

/// A sum over the rows as a reduction of a kind, or as the fastest one that is no chain; None for all other kernels.
pub(crate) fn reduced(
    kernel: &KernelKind,
    g: &Geometry,
    arch: &ArchSpec,
    kind: Option<Reduction>,
) -> Option<KernelKind> {
    match kernel.class() {
        Class::ColumnSum(sum) => Some(sum.reduced(g, arch, kind).into()),
        Class::RowSum(sum) => Some(sum.reduced(g, arch, kind).into()),
        Class::Attention(_)
        | Class::AttentionGradient(_)
        | Class::Product(_)
        | Class::OutputStationary(_)
        | Class::WeightGradient(_)
        | Class::ElementFunction(_)
        | Class::Fixed => None,
    }
}
