//! Which component of a cluster limits a step.
//!
//! A stall alone does not say what to buy: weights may come late out of MemoryX, through SwarmX, or over
//! the wafer's edges. So the step is executed again with each component made so fast that it cannot
//! limit anything, and the component without which the step is shortest is the answer.
//!
//! **Invariant.** The answer compares executions; it is never read off the cause of a stall.

use crate::{Cause, Cluster, Outcome, Picos, Work, run};
use serde::Serialize;

/// Factor by which the rates of a lifted component grow: enough that it limits nothing any more.
const MUCH: u64 = 64;

/// A component of a cluster that can limit a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    /// The parameter store: its reading, its writing, and its optimizer.
    MemoryX,
    /// The links and nodes of the tree between the parameter store and the wafers.
    SwarmX,
    /// The activation servers beside the wafers.
    Servers,
    /// The edges of the wafers, over which everything enters and leaves.
    Edges,
}

impl Component {
    /// All components.
    pub const ALL: [Component; 4] = [Component::MemoryX, Component::SwarmX, Component::Servers, Component::Edges];

    /// The cluster with 64 times the rates of this component, and no latency in its nodes.
    #[must_use]
    pub fn lifted(self, cluster: &Cluster) -> Cluster {
        let c = *cluster;
        let much = |rate: u64| rate.saturating_mul(MUCH);
        match self {
            Component::MemoryX => {
                Cluster { read: much(c.read), write: much(c.write), optimizer: much(c.optimizer), ..c }
            }
            Component::SwarmX => Cluster { link: much(c.link), latency: Picos(0), ..c },
            Component::Servers => Cluster { activation: much(c.activation), ..c },
            Component::Edges => Cluster { io: much(c.io), ..c },
        }
    }
}

/// The component without whose limits the step is shortest; None if a wafer stalls for less than a
/// hundredth of the step, or if no component alone makes a difference. `done` is the step as it is.
#[must_use]
pub fn bound_by(cluster: &Cluster, work: &Work<'_>, done: &Outcome) -> Option<Component> {
    if done.bottleneck() == Cause::Compute {
        return None;
    }
    let without = |part: Component| (run(&part.lifted(cluster), work).step, part);
    let best = Component::ALL.map(without).into_iter().min_by_key(|(step, _)| *step);
    best.filter(|(step, _)| *step < done.step).map(|(_, part)| part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExecutedKernel, Table};

    /// A wafer that needs a megabyte of weights, and gives one of gradients, in a microsecond.
    fn bound(change: fn(&mut Cluster)) -> (Cause, Option<Component>) {
        let fast = 1 << 50;
        let mut c = Cluster {
            systems: 16,
            fanout: 4,
            link: fast,
            io: fast,
            latency: Picos(0),
            read: fast,
            write: fast,
            optimizer: fast,
            activation: fast,
            clip: true,
            prefetch: 1 << 30,
            skew: 0,
            lost: 0,
        };
        change(&mut c);
        let both = ExecutedKernel {
            time: Picos(1_000_000),
            weights: 1_000_000,
            gradients: 1_000_000,
            ..ExecutedKernel::default()
        };
        let kernels = [both, ExecutedKernel { inputs: 1_000, outputs: 1_000, ..both }];
        let table = Table { weights: 10, gradients: 10 };
        let work = Work { kernels: &kernels, micro_batches: 2, parameters: &[100, 0], table };
        let done = run(&c, &work);
        (done.bottleneck(), bound_by(&c, &work, &done))
    }

    #[test]
    fn the_part_that_was_cut_is_found() {
        assert_eq!(bound(|_| {}), (Cause::Compute, None));
        assert_eq!(bound(|c| c.read = 1_000_000), (Cause::Weights, Some(Component::MemoryX)));
        assert_eq!(bound(|c| c.write = 1_000_000), (Cause::Gradients, Some(Component::MemoryX)));
        assert_eq!(bound(|c| c.optimizer = 1_000), (Cause::Optimizer, Some(Component::MemoryX)));
        assert_eq!(bound(|c| c.link = 1_000_000).1, Some(Component::SwarmX));
        assert_eq!(bound(|c| c.latency = Picos(1_000_000_000)).1, Some(Component::SwarmX));
        assert_eq!(bound(|c| c.io = 1_000_000).1, Some(Component::Edges));
        assert_eq!(bound(|c| c.activation = 1_000).1, Some(Component::Servers));
    }
}
