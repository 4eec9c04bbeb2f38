//! The state of a color in a router on which switches, control wavelets or filters act.
//!
//! **Invariant.** `kept` and `paths` have one entry per position of the switch, the route's first.
//! **Not here.** What changes it (`switch`).

use super::state::Path;
use sim_core::program::Pop;

/// A color that control wavelets may travel on, or that has a filter, in one router.
#[derive(Debug, Clone)]
pub(crate) struct SwitchedColor {
    /// The path in each position.
    pub(crate) paths: Vec<Path>,
    /// Wavelets that left by the path of a position, but not by its ramp.
    pub(crate) kept: Vec<u64>,
    pub(crate) position: u8,
    pub(crate) closed: bool,
    pub(crate) ring: bool,
    pub(crate) pop: Pop,
    pub(crate) filter: Option<Counter>,
}

/// What a PE changes in its router at the end of a cycle (rules S4 and S7).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Setting {
    /// Another filter, or none.
    Filter(Option<Counter>),
    /// Another position of the switch; perhaps the color is opened.
    Turn { position: u32, open: bool },
}

/// The counter of a filter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counter {
    pub(crate) at: u32,
    pub(crate) period: u32,
    pub(crate) pass: u32,
}
