//! What a command hands over.
//!
//! **Invariant.** A command does not know in which format its result is written.

use crate::fail::Failure;
use report::Presentable;

/// The result of a command.
pub(super) enum Reply {
    /// Data, rows and words, to be written in any format.
    Result(Box<dyn Presentable>),
    /// A result that is not as its input expects: it is written, and the command fails.
    Unmet(Box<dyn Presentable>, Failure),
    /// Bytes that have a form of their own: programs, schemas, completions, pages.
    Bytes(Vec<u8>),
}

impl Reply {
    /// A result that can be written in every format.
    pub(super) fn of(result: impl Presentable + 'static) -> Reply {
        Reply::Result(Box::new(result))
    }

    /// A text that has a form of its own.
    pub(super) fn text(text: String) -> Reply {
        Reply::Bytes(text.into_bytes())
    }
}
