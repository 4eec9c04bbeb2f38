//! What was published or measured, beside what is executed here.
//!
//! | what | where |
//! |---|---|
//! | cycles of instructions and collectives | [`validate`] |
//! | training throughputs of CS-2 systems | [`throughput`] |
//! | the seven training runs of Cerebras-GPT | [`paper`] |
//! | scaling over the systems of Andromeda | [`scaling`] |
//!
//! **Invariant.** A published number has its source. Ours is executed or counted, and none is fitted.
//! **Not here.** How a step is executed (`runner`), the reports of single runs (`report`).

pub mod curves;
pub mod paper;
mod programs;
pub mod scaling;
pub mod text;
pub mod throughput;
pub mod validate;
