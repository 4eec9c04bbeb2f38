//! How far the wafer's loss and gradients are from those of the f64 implementation.
//!
//! **Invariant.** Every parameter of the model is compared, in the order of names.
//! **Not here.** How much is too much: that depends on the number formats.

use super::host::Gradients;
use models::ModelShape;
use models::oracle::{self, Inputs};
use ndarray::ArrayD;

/// A step on the wafer beside the same step in f64.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The wafer's loss: mean cross-entropy, in nats per token (per sequence of a classifier).
    pub loss: f64,
    /// The loss by the implementation that computes in f64 throughout.
    pub loss_f64: f64,
    /// The gradient of every parameter.
    pub tensors: Vec<TensorError>,
}

/// The gradient of the loss with respect to one parameter, on the wafer and in f64.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorError {
    /// Name of the parameter, such as `h.0.attn.c_attn.weight`.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Euclidean norm of the wafer's gradient.
    pub norm: f64,
    /// Largest difference of an element from f64, relative to the largest magnitude in the f64 gradient.
    pub max_error: f64,
    /// Root mean square of all differences, relative to that of the f64 gradient.
    pub rms_error: f64,
}

impl Comparison {
    /// Computes the step in f64 and compares.
    ///
    /// # Panics
    /// If `inputs` or `gradients` are not those of the model.
    #[must_use]
    pub fn of(shape: &ModelShape, inputs: &Inputs, gradients: &Gradients) -> Comparison {
        let Inputs { params, tokens, targets } = inputs;
        let (loss_f64, exact) = oracle::loss_and_gradients(shape, params, tokens, targets);
        let pairs = exact.tensors.iter().map(|(name, exact)| (name, &gradients.tensors[name], exact));
        let tensors = pairs.map(|(name, ours, exact)| TensorError::of(name, ours, exact)).collect();
        Comparison { loss: f64::from(gradients.loss), loss_f64, tensors }
    }

    /// The difference of the losses, relative to that in f64.
    #[must_use]
    pub fn loss_error(&self) -> f64 {
        relative((self.loss - self.loss_f64).abs(), self.loss_f64.abs())
    }

    /// The tensor with the largest [`TensorError::max_error`].
    #[must_use]
    pub fn worst(&self) -> Option<&TensorError> {
        self.tensors.iter().max_by(|a, b| a.max_error.total_cmp(&b.max_error))
    }
}

impl TensorError {
    fn of(name: &str, ours: &ArrayD<f32>, exact: &ArrayD<f64>) -> TensorError {
        assert_eq!(ours.shape(), exact.shape(), "a gradient has the shape of its parameter");
        let (mut norm, mut off, mut size) = (0.0, 0.0, 0.0);
        let (mut most_off, mut most) = (0.0_f64, 0.0_f64);
        for (&ours, &exact) in ours.iter().zip(exact) {
            let (ours, difference) = (f64::from(ours), (f64::from(ours) - exact).abs());
            norm += ours * ours;
            off += difference * difference;
            size += exact * exact;
            // Not `max`, which would drop what is not a number.
            if difference > most_off || difference.is_nan() {
                most_off = difference;
            }
            most = most.max(exact.abs());
        }
        TensorError {
            name: name.to_owned(),
            shape: exact.shape().to_vec(),
            norm: f64::sqrt(norm),
            max_error: relative(most_off, most),
            rms_error: relative(f64::sqrt(off), f64::sqrt(size)),
        }
    }
}

/// A difference relative to a size; of nothing, the difference itself.
fn relative(difference: f64, size: f64) -> f64 {
    if size > 0.0 { difference / size } else { difference }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ours: &[f32], exact: &[f64]) -> TensorError {
        let (n, m) = (ours.len(), exact.len());
        let array = |v: &[f32]| ArrayD::from_shape_vec(vec![n], v.to_vec()).unwrap();
        TensorError::of("t", &array(ours), &ArrayD::from_shape_vec(vec![m], exact.to_vec()).unwrap())
    }

    #[test]
    fn errors_are_relative_to_the_tensor() {
        let error = of(&[3.0, 4.5, 0.25], &[3.0, 4.0, 0.0]);
        assert_eq!((error.max_error, error.shape.as_slice()), (0.125, &[3][..]));
        assert!((error.rms_error - 0.3125_f64.sqrt() / 5.0).abs() < 1e-12);
        assert!((error.norm - (9.0_f64 + 20.25 + 0.0625).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_gradient_that_is_nothing_has_an_absolute_error() {
        assert_eq!(of(&[0.0, 0.5], &[0.0, 0.0]).max_error, 0.5);
    }

    #[test]
    fn what_is_not_a_number_is_an_error() {
        assert!(of(&[1.0, f32::NAN, 1.0], &[1.0, 1.0, 1.0]).max_error.is_nan());
    }
}
