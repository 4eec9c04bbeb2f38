//! Reports as text for people.
//!
//! **Invariant.** Numbers come from the report alone; nothing is computed here but shares and units.

pub mod run;
pub mod simulate;
pub mod train;
pub mod values;
pub mod why;
