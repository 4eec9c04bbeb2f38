//! The kernels that a training step is made of; one file each.
//!
//! A schedule holds kernels as [`KernelKind`], which has a variant for each of them. What passes may do with a kernel
//! says its class, which passes match without a default arm; its row in the table below names it.
//!
//! **Invariant.** Two kernels that are equal have equal programs at equal addresses.
//! **Not here.** Which kernels a step needs (`schedule`); which kernels are alike (`stencil`).

pub mod activation;
pub mod affine;
pub mod alibi;
pub mod attention;
mod by_features;
pub mod checkpoint_transfer;
mod class;
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
mod price;
pub mod reduce;
pub mod rotary;
pub mod row_sum;
pub mod stencil;
mod time_multiplex;
mod window;

pub(crate) use by_features::ByFeatures;
pub(crate) use class::Class;
pub(crate) use lanes::main_task;

use crate::codegen::resources::Uses;
use crate::ids::Label;
use crate::kernel::{Addresses, HostSink, HostSource, Kernel, Requirement};
use crate::layout::Geometry;
use sim_core::arch::ArchSpec;
use sim_core::program::Program;

/// Declares [`KernelKind`] with what holds for every variant alike.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($kernel:path): $class:ident,)*) => {
        /// A kernel of a step, by its kind.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum KernelKind {
            $($(#[$doc])* $kind($kernel),)*
        }

        impl KernelKind {
            /// What all kernels have.
            #[must_use]
            pub fn core(&self) -> &dyn Kernel {
                match self {
                    $(KernelKind::$kind(kernel) => kernel,)*
                }
            }

            /// What passes may do with the kernel.
            pub(crate) fn class(&self) -> Class<'_> {
                match self {
                    $(KernelKind::$kind(kernel) => class::class!($class, kernel),)*
                }
            }

            /// The kernel with its layers and windows relabelled: see [`stencil`].
            pub(crate) fn relabelled(&self, with: &mut dyn stencil::Relabel) -> KernelKind {
                match self {
                    $(KernelKind::$kind(kernel) => KernelKind::$kind(stencil::Relabelled::relabelled(kernel, with)),)*
                }
            }
        }

        $(impl From<$kernel> for KernelKind {
            fn from(kernel: $kernel) -> KernelKind {
                KernelKind::$kind(kernel)
            }
        })*
    };
}

kinds! {
    /// An element function.
    Activation(activation::Activation): ElementFunction,
    /// Its gradient.
    ActivationGrad(activation::ActivationGrad): ElementFunction,
    /// SwiGLU.
    SwiGlu(activation::SwiGlu): ElementFunction,
    /// Its gradients.
    SwiGluGrad(activation::SwiGluGrad): ElementFunction,
    /// What makes scores fall with the distance.
    Distances(alibi::Distances): Fixed,
    /// Attention.
    AttentionForward(attention::AttentionForward): Attention,
    /// Its gradients.
    AttentionBackward(attention::AttentionBackward): AttentionGradient,
    /// A buffer off the wafer or back, by itself.
    StandaloneTransfer(checkpoint_transfer::StandaloneTransfer): Fixed,
    /// Sums over tokens.
    ColSum(colsum::ColSum): ColumnSum,
    /// A sum of two activations.
    Add(elementwise::Add): Fixed,
    /// A copy.
    Copy(elementwise::Copy): Fixed,
    /// A constant.
    Fill(elementwise::Fill): Fixed,
    /// A multiple.
    Scale(elementwise::Scale): Fixed,
    /// Embeddings.
    EmbedScatter(embed::EmbedScatter): Fixed,
    /// Their gradients.
    EmbedGrad(embed::EmbedGrad): Fixed,
    /// A product whose inputs stay in place.
    Gemm(gemm::Gemm): Product,
    /// A product whose outputs stay in place.
    OutputStationary(gemm::OutputStationary): OutputStationary,
    /// The start of a layer.
    LayerStart(layer_start::LayerStart): Fixed,
    /// The loss and its gradient.
    CrossEntropy(loss::CrossEntropy): Fixed,
    /// A norm.
    LayerNorm(norm::LayerNorm): Fixed,
    /// Its gradients.
    LayerNormGrad(norm::LayerNormGrad): Fixed,
    /// The gradient of a matrix.
    Outer(outer::Outer): WeightGradient,
    /// Rotary positions.
    Rotate(rotary::Rotate): Fixed,
    /// A sum over the rows of the mesh.
    RowSum(row_sum::RowSum): RowSum,
}

impl KernelKind {
    /// A short name that says what it computes, e.g. `gemm qkv`.
    #[must_use]
    pub fn name(&self) -> String {
        self.core().name()
    }

    /// The memory that it needs in every PE, whatever the machine.
    #[must_use]
    pub fn requirements(&self, g: &Geometry) -> Vec<Requirement> {
        self.core().requirements(g)
    }

    /// All memory that it needs in every PE of a machine.
    #[must_use]
    pub fn all_requirements(&self, g: &Geometry, arch: &ArchSpec) -> Vec<Requirement> {
        self.core().all_requirements(g, arch)
    }

    /// The program, for buffers at the given addresses.
    #[must_use]
    pub fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        self.core().program(g, arch, at)
    }

    /// The wavelets that the host feeds into a port of a stream: see [`Kernel::feed`].
    #[must_use]
    pub fn feed(&self, g: &Geometry, stream: &str, port: u32, host: &dyn HostSource) -> Vec<u32> {
        self.core().feed(g, stream, port, host)
    }

    /// Takes the wavelets that left by a port of a stream: see [`Kernel::collect`].
    pub fn collect(
        &self,
        g: &Geometry,
        stream: &str,
        port: u32,
        words: &[u32],
        host: &dyn HostSource,
        sink: &mut dyn HostSink,
    ) {
        self.core().collect(g, stream, port, words, host, sink);
    }

    /// The colors, queues and microthreads that it uses.
    #[must_use]
    pub fn uses(&self, g: &Geometry) -> Uses {
        self.core().uses(g)
    }

    /// Cycles that it takes at least: see [`Kernel::at_least`].
    #[must_use]
    pub fn at_least(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        self.core().at_least(g, arch)
    }

    /// The price of its code in cycles, used only to choose between mappings and never reported.
    #[must_use]
    pub fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        self.core().estimate(g, arch)
    }

    /// Which part of which product it computes, if that is all that it does: a product that carries a buffer besides has
    /// none.
    #[must_use]
    pub fn label(&self) -> Option<Label> {
        match self {
            KernelKind::Gemm(kernel) => kernel.piggyback.is_none().then_some(kernel.label),
            KernelKind::OutputStationary(kernel) => Some(kernel.label()),
            KernelKind::Outer(kernel) => Some(kernel.label),
            KernelKind::ColSum(kernel) => Some(kernel.label),
            KernelKind::Activation(_)
            | KernelKind::ActivationGrad(_)
            | KernelKind::SwiGlu(_)
            | KernelKind::SwiGluGrad(_)
            | KernelKind::Distances(_)
            | KernelKind::AttentionForward(_)
            | KernelKind::AttentionBackward(_)
            | KernelKind::StandaloneTransfer(_)
            | KernelKind::Add(_)
            | KernelKind::Copy(_)
            | KernelKind::Fill(_)
            | KernelKind::Scale(_)
            | KernelKind::EmbedScatter(_)
            | KernelKind::EmbedGrad(_)
            | KernelKind::LayerStart(_)
            | KernelKind::CrossEntropy(_)
            | KernelKind::LayerNorm(_)
            | KernelKind::LayerNormGrad(_)
            | KernelKind::Rotate(_)
            | KernelKind::RowSum(_) => None,
        }
    }

    /// Whether a stream belongs to one system's own sequences: tokens, activations, checkpoints. Other streams are
    /// weights, which are the same for all systems that share a batch, and gradients of weights, of which only the sum
    /// counts.
    #[must_use]
    pub fn own_stream(&self, stream: &str) -> bool {
        match self {
            KernelKind::Gemm(kernel) => kernel.own_stream(stream),
            KernelKind::StandaloneTransfer(_) | KernelKind::EmbedScatter(_) | KernelKind::EmbedGrad(_) => true,
            KernelKind::Activation(_)
            | KernelKind::ActivationGrad(_)
            | KernelKind::SwiGlu(_)
            | KernelKind::SwiGluGrad(_)
            | KernelKind::Distances(_)
            | KernelKind::AttentionForward(_)
            | KernelKind::AttentionBackward(_)
            | KernelKind::ColSum(_)
            | KernelKind::Add(_)
            | KernelKind::Copy(_)
            | KernelKind::Fill(_)
            | KernelKind::Scale(_)
            | KernelKind::OutputStationary(_)
            | KernelKind::LayerStart(_)
            | KernelKind::CrossEntropy(_)
            | KernelKind::LayerNorm(_)
            | KernelKind::LayerNormGrad(_)
            | KernelKind::Outer(_)
            | KernelKind::Rotate(_)
            | KernelKind::RowSum(_) => false,
        }
    }
}
