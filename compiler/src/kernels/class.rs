//! What the passes over a step may do with a kernel, by its class.
//!
//! Most kernels have one form: a pass may move them, and nothing else. A few have several: attention can
//! be cut into chunks, products choose what stays in place, sums over rows choose how they travel. A pass
//! that concerns such kernels matches [`Class`] without a default arm, so that a new class does not
//! compile until every pass has thought of it. Which class a kernel is of, its row in the table of kinds
//! says (`mod.rs`).
//!
//! **Not here.** What the passes do (`passes`).

use super::attention::{AttentionBackward, AttentionForward};
use super::by_features::ByFeatures;
use super::colsum::ColSum;
use super::gemm::{Gemm, OutputStationary};
use super::outer::Outer;
use super::row_sum::RowSum;

/// A kernel by what passes may do with it.
pub(crate) enum Class<'a> {
    /// Attention, whose tokens can be cut into chunks.
    Attention(&'a AttentionForward),
    /// The gradients of attention, whose tokens can be cut into chunks.
    AttentionGradient(&'a AttentionBackward),
    /// A matrix product that may choose what stays in place, carry a checkpoint, and be cut by features.
    Product(&'a Gemm),
    /// A matrix product that chose to keep its outputs in place.
    OutputStationary(&'a OutputStationary),
    /// The gradient of a matrix, which can be cut by features.
    WeightGradient(&'a Outer),
    /// A sum over tokens, which can be cut by features and travels over the rows in one of several ways.
    ColumnSum(&'a ColSum),
    /// A sum over the rows of the mesh, which travels in one of several ways.
    RowSum(&'a RowSum),
    /// An element function, which can be cut by features.
    ElementFunction(&'a dyn ByFeatures),
    /// A kernel with one form.
    Fixed,
}

/// The class `$class` of a kernel, which a row of the table of kinds names.
macro_rules! class {
    (Fixed, $kernel:ident) => {{
        let _ = $kernel;
        $crate::kernels::Class::Fixed
    }};
    ($class:ident, $kernel:ident) => {
        $crate::kernels::Class::$class($kernel)
    };
}

pub(super) use class;
