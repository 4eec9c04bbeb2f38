//! What kernels are written with: instructions under short names, element functions, rings,
//! reductions along a row, streams from and to the edges, and a scatter along a column's edge.
//!
//! **Invariant.** Nothing here knows which kernels there are.
//! **Not here.** The kernels (`kernels`), the collectives of the micro-benchmarks (`collective`).

pub mod instr;
pub mod math;
pub mod resources;
pub mod ring;
pub mod row;
pub mod scatter;
pub mod streams;
