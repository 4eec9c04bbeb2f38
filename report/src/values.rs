//! Loss and gradients of a step in a report, beside those of the f64 implementation.
//!
//! **Not here.** Where they come from (`runner::values`).

use runner::values;
use schemars::JsonSchema;
use serde::Serialize;

/// A step that was executed with values.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StepValues {
    /// Seed of parameters, tokens and targets.
    pub seed: u64,
    /// Loss on the wafer: mean cross-entropy, in nats per token (per sequence of a classifier).
    pub loss: f64,
    /// The loss by the implementation that computes in f64 throughout.
    pub loss_f64: f64,
    /// The gradient of every parameter, by name.
    pub tensors: Vec<TensorValues>,
}

/// The gradient of the loss with respect to one parameter.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TensorValues {
    /// Name of the parameter.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Euclidean norm of the wafer's gradient.
    pub norm: f64,
    /// Largest difference of an element from f64, relative to the largest magnitude in the f64 gradient.
    pub max_error: f64,
    /// Root mean square of the differences, relative to that of the f64 gradient.
    pub rms_error: f64,
}

impl From<&values::StepValues> for StepValues {
    fn from(v: &values::StepValues) -> StepValues {
        let tensor = |t: &values::TensorError| TensorValues {
            name: t.name.clone(),
            shape: t.shape.clone(),
            norm: t.norm,
            max_error: t.max_error,
            rms_error: t.rms_error,
        };
        let c = &v.compared;
        StepValues { seed: v.seed, loss: c.loss, loss_f64: c.loss_f64, tensors: c.tensors.iter().map(tensor).collect() }
    }
}
