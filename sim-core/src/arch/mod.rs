//! The machine: every number that a run depends on, each with its source.
//!
//! **Invariant.** An engine or a compiler pass takes a machine number from here and nowhere else.

pub mod cs1;
pub mod cs2;
pub mod cs3;
pub mod groups;
pub mod sourced;

mod file;
mod key;
#[cfg(test)]
mod tests;
mod value;

pub use file::MAX_FILE;
pub use groups::{Cluster, KeyGroup, Pe, Router, System, Wafer};
pub use key::{ArchEntry, RULES};
pub use sourced::{Source, Sourced};

use crate::coord::Grid;
use serde::{Deserialize, Serialize};

/// Elements per cycle of a vector operation by operand types: all 16-bit, all 32-bit, or mixed
/// (rule C4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Widths {
    /// All vector operands are 16-bit.
    pub half: u32,
    /// All vector operands are 32-bit.
    pub single: u32,
    /// 16-bit and 32-bit vector operands together.
    pub mixed: u32,
}

/// A machine: its numbers in groups. Keys in TOML files and in `--set` are listed in [`groups`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchSpec {
    /// Name of the machine, such as `cs2`.
    pub name: String,
    /// Numbers of the wafer as a whole.
    pub wafer: Wafer,
    /// What stands around the wafers.
    pub cluster: Cluster,
    /// Numbers of a system: its power.
    pub system: System,
    /// Numbers of a processing element without its router.
    pub pe: Pe,
    /// Numbers of a router with its ramp and links.
    pub router: Router,
}

impl ArchSpec {
    /// Size of the mesh of PEs.
    #[must_use]
    pub fn grid(&self) -> Grid {
        Grid { width: self.wafer.width.value, height: self.wafer.height.value }
    }
}

/// Names of the presets that [`preset`] knows.
pub const PRESETS: [&str; 7] = ["cs2", "cs3", "cs1", "andromeda16", "andromeda", "condor-galaxy-1", "teaching"];

/// The preset with the given name.
#[must_use]
pub fn preset(name: &str) -> Option<ArchSpec> {
    match name {
        "cs2" => Some(cs2::cs2()),
        "cs3" => Some(cs3::cs3()),
        "cs1" => Some(cs1::cs1()),
        "andromeda16" => Some(cs2::andromeda16()),
        "andromeda" => Some(cs2::andromeda()),
        "condor-galaxy-1" => Some(cs2::condor_galaxy_1()),
        "teaching" => Some(cs2::teaching()),
        _ => None,
    }
}
