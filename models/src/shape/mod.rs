//! What a model is: its sizes and its design, how large it is, and whether it can exist.
//!
//! A [`ModelShape`] is plain data: a handful of sizes (`model`) and the operations that its layers consist of
//! ([`design`]). Everything else in this crate follows from it: the parameters and FLOPs that it counts to ([`count`]),
//! the layer graph of a step ([`crate::graph`]), the tensors of an implementation ([`crate::oracle`]).
//!
//! **Invariant.** A shape for which [`ModelShape::validate`] returns nothing can be counted and turned into a graph
//! without overflow.
//! **Not here.** Batch and sequence length, which belong to a workload ([`crate::workload`]); the number formats that
//! tensors have on a machine; hyper-parameters of training runs ([`crate::presets`]).

pub mod count;
pub mod design;
pub mod limits;
mod model;

pub use design::Design;
pub use model::ModelShape;
