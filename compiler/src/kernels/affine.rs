//! Which norm a model has, and how its parameters (and their gradients) lie in the memory of a PE.
//!
//! **Not here.** The norm (`norm`), the sum of its parameters' gradients over rows (`row_sum`).

use models::design::{Decimal, Design, Norm};

/// What is normalised, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Style {
    /// Whether it subtracts a mean, and adds a β.
    pub norm: Norm,
    /// Added under the root.
    pub epsilon: Decimal,
}

impl Style {
    /// That of a design.
    #[must_use]
    pub fn of(design: &Design) -> Style {
        Style { norm: design.norm, epsilon: design.epsilon }
    }

    /// Whether the mean is subtracted first.
    pub(super) fn centred(self) -> bool {
        self.norm.centres()
    }

    /// Whether β is added at the end.
    pub(super) fn biased(self) -> bool {
        self.norm.has_bias()
    }

    /// The statistic with the sum along x̂, the last one.
    pub(super) fn along(self) -> u32 {
        if self.centred() { 3 } else { 2 }
    }

    /// Of so many statistics, those that a row sums up: without a mean the first one is none.
    pub(super) fn summed(self, count: u32) -> u32 {
        if self.centred() { count } else { count - 1 }
    }

    /// Vectors of parameters: γ, and β if there is one.
    pub(super) fn parameters(self) -> u32 {
        1 + u32::from(self.biased())
    }
}

/// Words per slot, rounded up so that what follows is aligned.
pub(super) fn padded(slots: u32) -> u32 {
    slots.next_multiple_of(2)
}
