//! The memory of a PE over a step: where every buffer is and for how long, how much code takes, and a check of the plan.

pub mod check;
mod code_size;
pub mod plan;

pub use code_size::Codes;
pub use plan::{MemoryPlan, PlannedBuffer, TooSmall, alive, plan};
