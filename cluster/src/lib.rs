//! How long a training step takes on a cluster of wafers.
//!
//! One wafer's kernels are executed cycle by cycle by `fabric`. A cluster adds what happens between
//! wafers: MemoryX keeps the parameters and streams weights to all wafers, SwarmX (a tree of nodes)
//! copies the weights on their way down and adds the gradients on their way up, MemoryX's optimizer
//! updates the parameters, and activation servers beside every wafer hold what differs between wafers.
//! A wafer stalls where any of these is late. Example: if a layer's weights take 3 ms to arrive and the
//! layer before it computes for 2 ms, every wafer stalls for 1 ms, unless weights were prefetched.
//!
//! [`run`] takes the numbers of a cluster ([`Cluster`]) and a wafer's work ([`Work`]), moves the bytes
//! chunk by chunk, and gives the length of a step with the stalls by cause ([`Outcome`]); [`bound_by`]
//! says which component to improve. The rules K1 to K9 in comments are those of `docs/CLUSTER.md`.
//!
//! **Invariant.** Integers only: the same work gives the same picoseconds on every platform.
//! **Not here.** What the kernels of a wafer cost: that is handed in as [`ExecutedKernel`]s.

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
    /// The time in seconds.
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
