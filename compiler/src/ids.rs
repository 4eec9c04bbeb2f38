//! What things are called inside the compiler: enums and numbers up to where something is printed.
//!
//! **Invariant.** No name is taken apart to find out what it says.
//! **Not here.** Names of tensors and parameters of the model (`models`).

/// Which part of the step a kernel belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// From tokens to loss.
    Forward,
    /// A layer's forward operations again, from its kept input.
    Recompute,
    /// Gradients of activations.
    Backward,
    /// Gradients of weights.
    WeightGradient,
}

impl Phase {
    /// Name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Forward => "forward",
            Phase::Recompute => "recompute",
            Phase::Backward => "backward",
            Phase::WeightGradient => "weight_gradient",
        }
    }
}
