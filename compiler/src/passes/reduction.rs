//! How vectors are summed over rows: by a chain, in two phases, or by a tree.
//!
//! Sums over rows are a small part of a step, and a chain folds best. So the others are taken only where
//! they make the step faster by more than differences between mappings count.
//! **Not here.** What they are (`kernels::reduce`).

use crate::layout::Geometry;
use crate::options::NEAR;
use crate::options::Reduction;
use crate::schedule::ScheduledKernel;
use sim_core::arch::ArchSpec;

/// Makes all sums over rows reductions of a kind, or of the best one.
pub(crate) fn choose(kernels: &mut [ScheduledKernel], g: &Geometry, arch: &ArchSpec, fixed: Option<Reduction>) {
    if fixed == Some(Reduction::Chain) {
        return;
    }
    let mut all = u64::MAX;
    if fixed.is_none() {
        let cycles = |scheduled: &ScheduledKernel| scheduled.kernel.estimate(g, arch);
        let chains = kernels.iter().filter(|scheduled| scheduled.kernel.reduction().is_some());
        let most: u64 = chains.map(cycles).sum();
        all = kernels.iter().map(cycles).sum();
        if most * NEAR <= all {
            return;
        }
    }
    let (mut found, mut saved) = (Vec::new(), 0);
    for (i, scheduled) in kernels.iter().enumerate().filter(|(_, scheduled)| scheduled.kernel.reduction().is_some()) {
        let cycles = scheduled.kernel.estimate(g, arch);
        let Some(kernel) = scheduled.kernel.reduced(g, arch, fixed) else { continue };
        let faster = cycles.saturating_sub(kernel.estimate(g, arch));
        if fixed.is_some() || faster > 0 {
            saved += faster;
            found.push((i, kernel));
        }
    }
    if fixed.is_some() || saved * NEAR > all {
        found.into_iter().for_each(|(i, kernel)| kernels[i].kernel = kernel);
    }
}
