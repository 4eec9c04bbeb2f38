//! Kernels whose work can be cut by features: what of them is left for some of the features.
//!
//! The feed-forward block of a model is cut into parts where its activations are too large. A kernel that works on these
//! features has a method `part` for that, and says so beside its definition (`by_features!`).
//!
//! **Invariant.** The parts of a kernel together do what the kernel does.
//! **Not here.** Where the block is cut (`passes::split_ffn`).

use super::KernelKind;
use crate::kernel::Part;
use crate::layout::Features;

/// A kernel whose work can be cut by features, such as the activation function of the feed-forward block.
pub(crate) trait ByFeatures {
    /// What is left of the kernel if buffers of `features` hold only `slots` slots, from `first` on.
    fn kind_of_part(&self, features: Features, first: u32, slots: u32) -> Part<KernelKind>;
}

/// Says beside a kernel with a method `part` that it is one whose work can be cut by features.
macro_rules! by_features {
    ($kernel:ident) => {
        impl $crate::kernels::by_features::ByFeatures for $kernel {
            fn kind_of_part(
                &self,
                features: $crate::layout::Features,
                first: u32,
                slots: u32,
            ) -> $crate::kernel::Part<$crate::kernels::KernelKind> {
                self.part(features, first, slots).map($crate::kernels::KernelKind::from)
            }
        }
    };
}

pub(super) use by_features;
