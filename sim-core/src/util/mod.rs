//! Small tools that several crates need: one random generator and one suggester of names.
//!
//! **Not here.** Anything about machines or programs.

pub mod random;
pub mod suggest;
