//! Matrix products in their fastest form: with stationary inputs and several sums on their way at the same time, or with
//! stationary outputs.
//!
//! **Not here.** The forms (`kernels::gemm`).

use crate::kernels::gemm::Tuned;
use crate::kernels::{Class, KernelKind};
use crate::layout::Geometry;
use crate::options::Stationary;
use crate::schedule::ScheduledKernel;
use sim_core::arch::ArchSpec;
use std::sync::Arc;

/// Gives every product the form that is fastest, or that which is fixed.
pub(super) fn tune(kernels: &mut [ScheduledKernel], g: &Geometry, arch: &ArchSpec, fixed: Option<Stationary>) {
    for scheduled in kernels {
        if let Some(kernel) = tuned(&scheduled.kernel, g, arch, fixed) {
            scheduled.kernel = Arc::new(kernel);
        }
    }
}

fn tuned(kernel: &KernelKind, g: &Geometry, arch: &ArchSpec, fixed: Option<Stationary>) -> Option<KernelKind> {
    match kernel.class() {
        Class::Product(gemm) => Some(match gemm.tuned(g, arch, fixed) {
            Tuned::Inputs(gemm) => gemm.into(),
            Tuned::Outputs(product) => product.into(),
        }),
        Class::OutputStationary(_)
        | Class::Attention(_)
        | Class::AttentionGradient(_)
        | Class::WeightGradient(_)
        | Class::ColumnSum(_)
        | Class::RowSum(_)
        | Class::ElementFunction(_)
        | Class::Fixed => None,
    }
}

/// By how many cycles a product with stationary outputs is faster than with stationary inputs, by estimate; None for
/// all other kernels.
pub(crate) fn saved(kernel: &KernelKind, g: &Geometry, arch: &ArchSpec) -> Option<u64> {
    match kernel.class() {
        Class::OutputStationary(product) => Some(product.saved(g, arch)),
        Class::Product(_)
        | Class::Attention(_)
        | Class::AttentionGradient(_)
        | Class::WeightGradient(_)
        | Class::ColumnSum(_)
        | Class::RowSum(_)
        | Class::ElementFunction(_)
        | Class::Fixed => None,
    }
}
