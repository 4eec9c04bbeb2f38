//! Traces in Perfetto's track events, for ui.perfetto.dev.
//!
//! One cycle is one nanosecond of the viewer's time, so that every edge is exact.
//!
//! **Invariant.** A trace is a function of what was executed: the same bytes every time.
//! **Not here.** What happens in a cycle (`fabric`), waveforms (`fst`).

pub mod pe;
mod proto;
pub mod step;
mod writer;
