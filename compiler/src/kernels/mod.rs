//! The kernels that a training step is made of; one file each.

pub mod activation;
pub mod affine;
pub mod alibi;
pub mod attention;
pub mod checkpoint_transfer;
pub mod colsum;
pub mod elementwise;
pub mod embed;
pub mod gemm;
mod lanes;
pub mod layer_start;
pub mod loss;
pub mod norm;
pub mod outer;
mod pace;
pub mod reduce;
pub mod rotary;
pub mod row_sum;
mod time_multiplex;
mod window;

pub(crate) use lanes::main_task;
