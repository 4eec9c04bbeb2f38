//! Every kernel with values: executed on a small wafer, and compared with an f64 implementation.
//!
//! `common` has the wafer and `layouts` the layouts; every other file has one kind of kernel.

mod attention;
mod checkpoint_transfer;
mod common;
mod elementwise;
mod gemm;
mod layouts;
mod loss;
mod math;
mod norm;
mod outer;
mod rotary;
mod row;
