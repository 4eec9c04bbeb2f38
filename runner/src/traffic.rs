//! Bytes that cross the edges of a wafer in a launch.
//!
//! **Not here.** When they cross (`fabric`), and what a cluster makes of them (`cluster_step`).

use sim_core::program::{EdgeStream, Flow, Program};

/// Bytes that cross a wafer's edge in a launch. What is repeated to several ports counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Onto the wafer: what belongs to its own sequences (`KernelKind::own_stream`).
    pub own_on: u64,
    /// Onto the wafer, the same for every wafer.
    pub weights: u64,
    /// Off the wafer: what belongs to its own sequences.
    pub own_off: u64,
    /// Off the wafer, to be added up over wafers.
    pub gradients: u64,
}

impl Traffic {
    /// Of a program; `own` says which streams are those of the wafer's own sequences.
    #[must_use]
    pub fn of(program: &Program, own: impl Fn(&str) -> bool) -> Traffic {
        let bytes = |e: &EdgeStream| 4 * e.wavelets * u64::from(e.ports.count.div_ceil(e.fanout.max(1)));
        let mut traffic = Traffic::default();
        for stream in &program.edges {
            let sum = match (stream.flow, own(&stream.name)) {
                (Flow::In, true) => &mut traffic.own_on,
                (Flow::In, false) => &mut traffic.weights,
                (Flow::Out, true) => &mut traffic.own_off,
                (Flow::Out, false) => &mut traffic.gradients,
            };
            *sum += bytes(stream);
        }
        traffic
    }

    /// Bytes onto the wafer.
    #[must_use]
    pub fn on(&self) -> u64 {
        self.own_on + self.weights
    }

    /// Bytes off the wafer.
    #[must_use]
    pub fn off(&self) -> u64 {
        self.own_off + self.gradients
    }
}
