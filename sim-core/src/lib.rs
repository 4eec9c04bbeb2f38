//! The vocabulary of wafersim: data, and checks on data. It runs nothing and opens nothing.
//!
//! What lives here is what crosses between the other crates: units and coordinates
//! ([`units`], [`coord`], [`axis`]), the machine ([`arch`]), the program that a wafer executes
//! ([`program`]), what a run reports or why it failed ([`report`], [`error`], [`diag`]), the
//! binary codec ([`codec`]), and small tools ([`util`]).
//!
//! **Invariant.** No crate of the workspace is a dependency of this one.
//! **Not here.** Engines (`fabric`), workloads (`models`), lowering (`compiler`), files and
//! printing (the root package).

pub mod arch;
pub mod axis;
pub mod codec;
pub mod coord;
pub mod diag;
pub mod error;
pub mod program;
pub mod report;
pub mod units;
pub mod util;
