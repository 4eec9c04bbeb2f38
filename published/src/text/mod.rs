//! What was published beside what was executed, as text and as tables.
//!
//! **Invariant.** Numbers come from the report alone; nothing is computed here but shares and units.

pub mod paper;
pub mod scaling;
pub mod throughput;
pub mod validate;
