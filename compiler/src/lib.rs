//! Lowers a training step of a transformer onto the mesh: from a `LayerGraph` to a list of kernels,
//! each with its addresses in the memory of a PE and, on demand, its program.
//!
//! Read [`layout`] first (which PE holds what), then [`kernel`] (what a kernel is), then [`search`]
//! (how the mapping of a step is chosen); `docs/COMPILER.md` is the design.
//!
//! | module | holds |
//! |---|---|
//! | [`options`] | what the user asks for, and the choices that a mapping consists of |
//! | [`layout`] | how a model lies on the mesh |
//! | [`kernel`] | the trait of kernels and the types that their operands have |
//! | [`codegen`] | what programs are written with |
//! | [`kernels`] | one file per kernel |
//! | [`cost`] | what code is expected to cost, from the instructions themselves |
//! | [`ids`] | buffers, tensors, phases as typed values |
//! | [`schedule`] | from the layer graph to kernels in order |
//! | [`passes`] | changes of a schedule that trade cycles for memory |
//! | [`memory`] | the plan of a PE's memory |
//! | [`compiled`] | the result |
//! | [`search`] | the choice between mappings |
//! | [`collective`] | all-reduces and the like as programs of their own |
//!
//! **Invariant.** Every kernel of a step runs the same code on the same counts on all its PEs.
//! **Not here.** How a router arbitrates or what an instruction costs (`fabric`); files.

pub mod banks;
pub mod codegen;
pub mod collective;
pub mod compiled;
pub mod cost;
pub mod ids;
pub mod kernel;
pub mod kernels;
pub mod layout;
pub mod memory;
pub mod options;
pub mod passes;
pub mod schedule;
pub mod search;

pub use compiled::{Compiled, Launch};
pub use options::Options;
pub use search::compile;
