//! Address registers and microthreads of the attention kernels, by name.
//!
//! **Invariant.** The mask, the exchanges and the loops over chunks work in one and the same code, so all
//! of them are named here: no two have the same register or microthread.
//! **Not here.** What is done with them.

use crate::codegen::resources::{address_registers, microthreads};

address_registers! {
    /// Bytes from a row's first token to the first key that the column owns.
    KEY,
    /// Bytes from the first row of `pitch` f32 to that of the first key that the column owns.
    KEY_ROW,
    /// Place of the mask's window, in bytes from where nothing at all is masked for equal positions.
    WINDOW,
    /// The same before it is clamped.
    RAW,
    /// What the window of the last key is moved by: far, if the column does not have that key.
    ABSENT,
    /// Place of the last key's window.
    LAST,
    /// Of a loop: the first vector.
    LOOP_SUM,
    /// Of a loop: the second one.
    LOOP_VECTOR,
    /// Of a loop: repeated words only, so that no conflict depends on it.
    LOOP_WORD,
    /// Of the loop around it.
    OUTER,
    /// Place of the window for the own row's keys; moves from chunk to chunk.
    DIAGONAL,
    /// Bytes to the current chunk of queries in an operand.
    QUERIES,
    /// The same of keys.
    KEYS,
    /// Bytes to the current chunk of queries in a vector of f32.
    LINE,
}

microthreads! { BACKWARD_MICROTHREADS:
    /// Receives what is exchanged.
    RECEIVER = "what comes around a ring",
    /// Sends what is exchanged.
    SENDER = "what goes around a ring",
    /// Receives sums.
    SUMS_IN = "sums that come around the column",
    /// Sends sums.
    SUMS_OUT = "sums that go around the column",
}

/// Names of the microthreads of the forward pass, which has no sums.
pub(super) const MICROTHREADS: &[&str] = BACKWARD_MICROTHREADS.split_at(2).0;
