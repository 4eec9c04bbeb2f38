//! What types of other crates look like in JSON, for the schemas.
//!
//! **Not here.** The types themselves (`sim_core::report`).
#![allow(dead_code, reason = "only their schemas are used")]

use schemars::JsonSchema;

/// Where PE-cycles went; every cycle of every PE is in exactly one part.
#[derive(JsonSchema)]
pub(crate) struct PeCycles {
    /// An instruction was issued, or being set up or dispatched.
    compute: u64,
    /// Something waited for a wavelet or a microthread, and nothing for room.
    wait: u64,
    /// Something waited for room in an output queue.
    back_pressure: u64,
    /// There was nothing to do.
    idle: u64,
}

/// What one PE counted in a run.
#[derive(JsonSchema)]
pub(crate) struct PeCounters {
    /// Where its cycles went.
    cycles: PeCycles,
    /// Multiply-accumulates of the PE.
    macs: u64,
    /// Wavelets that left its router, by port: north, east, south, west, ramp.
    sent: [u64; 5],
    /// Cycle after the last one in which its compute element had anything to do; 0 if none.
    finish: u64,
}

/// Something that was not stepped cycle by cycle, and why that is exact.
#[derive(JsonSchema)]
pub(crate) struct FoldNote {
    /// `time`, `blocks`, `rows`, `columns` or `kernels`; `none` where nothing was folded.
    kind: String,
    /// What was folded, by how much, and on which check.
    text: String,
}
