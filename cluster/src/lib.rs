//! Many wafers, MemoryX and SwarmX: how long a training step takes on a cluster.
//!
//! The rules K1 to K9 in comments are those of `docs/CLUSTER.md`.
//!
//! **Invariant.** Integers only; the same work gives the same picoseconds.
//! **Not here.** What the kernels of a wafer cost: that is executed by `fabric` and handed in as
//! [`ExecutedKernel`]s.

mod bound;
mod run;
mod tree;
pub mod values;
mod work;

pub use bound::{Component, bound_by};
pub use run::{Cause, Outcome, run};
pub use work::{Cluster, ExecutedKernel, Table, Work};

/// A length of time in picoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize)]
pub struct Picos(pub u64);

impl Picos {
    /// In seconds.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.0 as f64 * 1e-12
    }

    /// The time that `amount` takes at `rate` per second, rounded up.
    #[must_use]
    pub fn of(amount: u64, rate: u64) -> Picos {
        let picos = (u128::from(amount) * 1_000_000_000_000).div_ceil(u128::from(rate.max(1)));
        Picos(u64::try_from(picos).unwrap_or(u64::MAX))
    }
}
