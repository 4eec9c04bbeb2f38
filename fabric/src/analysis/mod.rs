//! What can be said of a program, or of a deadlock of it, without executing anything.
//!
//! Both engines and folding ask these questions; so the answers lie below all of them.
//!
//! **Invariant.** Nothing in here knows an engine.
//! **Not here.** Programs that are made from programs (`sim_core::program::transform`), and whether a
//! program is well formed (`sim_core::program::verify`).

pub(crate) mod control;
pub(crate) mod stretch;
pub(crate) mod waits;
