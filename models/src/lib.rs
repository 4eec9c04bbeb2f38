//! Workloads: transformer models, the layer graph of a training step, what they count to.
//!
//! Holds model shapes ([`shape`]) and designs ([`design`]), published presets ([`presets`]), the Hugging Face import
//! ([`hf`]), the layer graph ([`graph`]), parameter, byte and FLOP counts ([`count`]) and a plain
//! f64 implementation to compare simulated values with ([`oracle`]).
//!
//! Invariant: everything here is a pure function of its arguments, in the same order every time.
//! Deliberately not here: wafers, mappings, cycles, files. A caller reads the file and hands over
//! the text.

pub mod count;
pub mod design;
pub mod diagnostic;
pub mod graph;
pub mod hf;
pub mod oracle;
pub mod presets;
pub mod shape;
pub mod training;

pub use design::Design;
pub use graph::{LayerGraph, LayerOp, OpKind, Phase, Tensor, TensorShape};
pub use presets::Preset;
pub use shape::ModelShape;
