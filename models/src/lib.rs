//! Models and workloads: what a transformer consists of, and the layer graph of one step of it.
//!
//! A model enters as one of the published [`presets`], as a Hugging Face `config.json` ([`hf`]), or as a [`ModelShape`]
//! that a caller writes down. A [`Workload`] says what is done with it, and [`LayerGraph::of`] lists the operations of
//! that, which a compiler then maps to a machine. [`oracle`] computes the same step plainly in f64, so that simulated
//! values can be held against it.
//!
//! **Invariant.** Everything here is a pure function of its arguments, in the same order every time.
//! **Not here.** Wafers, mappings, cycles, files. A caller reads the file and hands over the text.

pub mod diagnostic;
pub mod graph;
pub mod hf;
pub mod oracle;
pub mod presets;
pub mod shape;
pub mod workload;

pub use graph::{LayerGraph, LayerOp, OpKind, Phase, Tensor, TensorShape};
pub use presets::Preset;
pub use shape::{Design, ModelShape, count, design};
pub use workload::{Mode, Workload, training};
