//! Quantities as types: an instant is not a span, bytes are not wavelets.
//!
//! **Invariant.** Counters are integers; only ratios for reports are floating point.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub, SubAssign};

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $unit:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }
        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }
        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                self.0 -= other.0;
            }
        }
        impl Mul<u64> for $name {
            type Output = Self;
            fn mul(self, factor: u64) -> Self {
                Self(self.0 * factor)
            }
        }
        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
                items.fold(Self(0), Add::add)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} {}", self.0, $unit)
            }
        }
    };
}

quantity!(
    /// A span of fabric clock cycles.
    Cycles,
    "cycles"
);
quantity!(
    /// An amount of memory.
    Bytes,
    "B"
);
quantity!(
    /// A number of 32-bit messages.
    Wavelets,
    "wavelets"
);

/// The instant at which a cycle starts, counted from the start of the run.
///
/// A span can be added to an instant, and two instants differ by a span:
///
/// ```
/// use sim_core::units::{Cycle, Cycles};
/// assert_eq!(Cycle(3) + Cycles(4), Cycle(7));
/// assert_eq!(Cycle(7) - Cycle(3), Cycles(4));
/// ```
///
/// Two instants have no sum:
///
/// ```compile_fail,E0308
/// use sim_core::units::Cycle;
/// let never = Cycle(3) + Cycle(4);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cycle(pub u64);

impl Add<Cycles> for Cycle {
    type Output = Cycle;
    fn add(self, span: Cycles) -> Cycle {
        Cycle(self.0 + span.0)
    }
}

impl Sub for Cycle {
    type Output = Cycles;
    fn sub(self, earlier: Cycle) -> Cycles {
        Cycles(self.0 - earlier.0)
    }
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cycle {}", self.0)
    }
}

/// A clock frequency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hertz(pub u64);

impl Cycles {
    /// The wall-clock length of this span at a clock of `clock`, in seconds. Only for reports.
    #[must_use]
    pub fn seconds(self, clock: Hertz) -> f64 {
        self.0 as f64 / clock.0 as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_add_up() {
        let mut sum: Cycles = [Cycles(1), Cycles(2)].into_iter().sum();
        sum += Cycles(4) * 2;
        sum -= Cycles(1);
        assert_eq!((sum, sum - Cycles(10)), (Cycles(10), Cycles(0)));
        assert_eq!(Cycles(850).seconds(Hertz(850_000_000)), 1e-6);
    }

    #[test]
    fn quantities_show_their_unit() {
        assert_eq!(
            format!("{}, {}, {}, {}", Cycles(1), Bytes(2), Wavelets(3), Cycle(4)),
            "1 cycles, 2 B, 3 wavelets, cycle 4"
        );
    }
}
