//! Lowers a training step of a GPT onto the mesh: `LayerGraph` to a sequence of programs.
//!
//! `docs/COMPILER.md` is the design. Read [`geometry`] and [`kernel`] first.
//!
//! **Invariant.** Every kernel of a step runs the same code on the same counts on all its PEs.
//! **Not here.** How a router arbitrates or what an instruction costs (`fabric`); files.

pub mod code;
pub mod collective;
pub mod geometry;
pub mod kernel;
pub mod kernels;
pub mod mapping;
pub mod math;
pub mod memory;
pub mod passes;
pub mod ring;
pub mod row;
pub mod scatter;
pub mod schedule;
pub mod search;
pub mod step;
pub mod strategy;
pub mod streams;
