//! Reports as text for people.
//!
//! **Invariant.** Numbers come from the report alone; nothing is computed here but shares and units.

pub mod run;
pub mod simulate;
pub mod train;
pub mod values;
pub mod why;

use crate::format::{Format, Presentable};
use runner::Error;

/// The format.
pub const FORMAT: Format =
    Format { name: "text", about: "For people", ending: None, binary: None, failures: false, encode };

fn encode(result: &dyn Presentable) -> Result<Vec<u8>, Error> {
    Ok(result.text().into_bytes())
}
