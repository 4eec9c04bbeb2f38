//! What code costs: cycles of lists of instructions, priced from the machine's numbers alone.
//!
//! The compiler chooses between mappings by what their kernels would cost. A formula per kernel would
//! be a second, hidden description of its code, with constants that are true on one machine only. So a
//! kernel hands over the instructions that it emits, and this module prices them:
//!
//! - [`instr`]: one vector instruction: its beats, by the table of widths, and slots per beat;
//! - [`clock`]: a list of instructions on one PE: the main thread, and microthreads that take the issue
//!   slots that it leaves free;
//! - `steps`: a list of instructions, taken apart: which of them have a setup, and what they send;
//! - [`path`]: what a wavelet takes from PE to PE, and along a chain of them;
//! - [`memo`]: prices that were asked for before.
//!
//! For example, 64 AXPYs of 40 elements of f16 into f32 sums cost 64 · (6 + 40 / 2) = 1,664 cycles on a
//! CS-2, while the 64 · 6 slots of their setups carry wavelets of the ring; on a machine without setups
//! they cost 1,280, and the ring waits until the main thread does. Both come out of the same list.
//!
//! **Invariant.** No number here is of a machine: all are fields of `ArchSpec`. A price only chooses
//! between mappings; no report contains one, unless it says so.
//! **Not here.** Instructions themselves (the kernels), and what executing them takes (`fabric`).

pub mod clock;
pub mod instr;
pub mod memo;
pub mod path;
mod steps;

pub use clock::{Clock, Source};
pub use memo::remembered;
pub use path::Path;
pub use steps::setups;
