//! The memory of a PE over a step: where every buffer is and for how long, and a check of the plan.

pub mod plan;

pub use plan::{Codes, MemoryPlan, PlannedBuffer, alive, plan};
