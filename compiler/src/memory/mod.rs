//! The memory of a PE over a step: where every buffer is and for how long, how much code takes, and a check of the plan.

pub mod check;
mod code_size;
pub mod plan;

pub use code_size::Codes;
pub use plan::{MemoryPlan, PlannedBuffer, TooSmall, alive};

use crate::banks::Banks;
use crate::kernel::{Addresses, Requirement};
use sim_core::arch::ArchSpec;

/// Plans the memory of launches in this order, each with what it needs of a PE's memory, and checks the plan. `code`
/// gives the bytes of a launch's code; it is asked only if the buffers alone fit.
///
/// # Errors
/// If the PE's memory is too small.
///
/// # Panics
/// If the plan breaks a promise ([`check::check`]): a mistake of the planner.
pub fn plan(
    arch: &ArchSpec,
    launches: &[Vec<Requirement>],
    code: impl Fn(usize) -> u64,
) -> Result<(MemoryPlan, Vec<Addresses>), Box<TooSmall>> {
    let (plan, addresses) = plan::find(arch, launches, code)?;
    check::check(Banks::of(arch), &plan, launches, &addresses);
    Ok((plan, addresses))
}
