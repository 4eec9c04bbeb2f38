//! The kernels of a micro-batch one after the other, with what they move over the wafer's edges.
//!
//! **Invariant.** Spans follow one another without a gap, as kernels do; every length is that of
//! an execution.
//! **Not here.** Pictures and traces (`report`).

use crate::execute::ExecutedStep;
use crate::traffic::Traffic;
use compiler::ids::Phase;
use compiler::{Compiled, Launch};

/// A launch of a kernel in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Name of the kernel.
    pub name: String,
    /// Part of the step.
    pub phase: Phase,
    /// Layer, if it belongs to one.
    pub layer: Option<u32>,
    /// Cycle in which it starts, counted from the start of the micro-batch.
    pub start: u64,
    /// Its cycles, all repetitions.
    pub cycles: u64,
    /// Repetitions of the launch.
    pub count: u64,
    /// Bytes onto and off the wafer, all repetitions.
    pub traffic: (u64, u64),
    /// Index of its program.
    pub program: usize,
}

impl Span {
    /// The first cycle behind it.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start + self.cycles
    }
}

/// The launches of a micro-batch.
#[must_use]
pub fn of(compiled: &Compiled, executed: &ExecutedStep) -> Vec<Span> {
    let mut start = 0;
    let launches = compiled.launches.iter().zip(&executed.launches).zip(&executed.traffic);
    let span = |((launch, &program), traffic): ((&Launch, &usize), &Traffic)| {
        let count = launch.count;
        let span = Span {
            name: launch.kernel.name(),
            phase: launch.phase,
            layer: launch.layer,
            start,
            cycles: executed.outcomes[program].cycles.0 * count,
            count,
            traffic: (traffic.on() * count, traffic.off() * count),
            program,
        };
        start = span.end();
        span
    };
    launches.map(span).collect()
}
