//! The computer that a simulation runs on: its threads, and what this process took of its memory.
//!
//! **Invariant.** No result depends on it.

use crate::fail::{Failure, Kind};
use sim_core::diag::Diagnostic;

/// A pool of threads for compiling and executing.
///
/// # Errors
/// If the system does not give that many.
pub fn pool(threads: usize) -> Result<rayon::ThreadPool, Failure> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|e| Failure::one(Kind::Refused, Diagnostic::new("run-host", "--threads", e.to_string())))
}

/// Most memory that this process took so far, in bytes; 0 where the system does not say.
#[must_use]
pub fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
