//! wafersim: a cycle-level simulator of a wafer-scale accelerator, as a command line.
//!
//! Everything that is computed is in libraries, which have no command line: a model is run by
//! `runner`, reported by `report`, and set beside what others measured by `published`. This package
//! parses what a user types, calls them, and writes what they give.
//!
//! **Invariant.** Only this package reads and writes files, reads the clock, and prints.
//! **Not here.** The order of events of a run (`runner`), and how a result looks (`report`).

pub mod cache;
pub mod cli;
pub mod fail;
pub mod files;
pub mod host;
pub mod inputs;
pub mod interrupt;
pub mod manifest;
pub mod npy;
