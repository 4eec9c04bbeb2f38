//! wafersim: a cycle-level simulator of a wafer-scale accelerator.
//!
//! The three things that a user does, as the command line does them:
//!
//! 1. describe a workload and a machine: [`workload::find`], [`machine::build`];
//! 2. compile it: `compiler::step::compile`;
//! 3. execute it: [`step::execute`] for a whole training step, [`fabric::run`] for one program.
//!
//! ```
//! use sim_core::{arch::cs2, program};
//!
//! let text = "program nothing\ngrid 2x1\nimage a {\ntask main local active {\n}\n}\nplace a x=0..2 y=0\n";
//! let program = program::parse(text, "nothing").unwrap();
//! let arch = cs2::cs2();
//! assert!(program::verify(&program, &arch).is_empty());
//! let outcome = fabric::run(&program, &arch, &fabric::RunOptions::default(), None).unwrap();
//! assert_eq!(outcome.pe_cycles.total(), 2 * outcome.cycles.0);
//! ```
//!
//! **Invariant.** Only this package reads and writes files, and prints.
//! **Not here.** Rules of the simulation (`fabric`), lowering (`compiler`), models (`models`).

pub mod cache;
pub mod cli;
pub mod fail;
pub mod files;
pub mod heat;
pub mod interrupt;
pub mod machine;
pub mod manifest;
pub mod paper;
pub mod render;
pub mod report;
pub mod scaling;
pub mod step;
pub mod summary;
pub mod systems;
pub mod throughput;
pub mod timeline;
pub mod trace;
pub mod train;
pub mod validate;
pub mod verify_fold;
pub mod why;
pub mod workload;
