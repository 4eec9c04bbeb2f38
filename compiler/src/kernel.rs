//! What a kernel is: it names the memory it needs, and given addresses it emits a program.
//!
//! **Invariant.** A kernel's program depends on nothing but the geometry, the machine and the
//! addresses. The host's numbers enter only through [`Kernel::feed`].
//! **Not here.** Which kernels a step needs (`schedule`) and where buffers go (`memory`).

use crate::layout::{Features, Geometry};
use crate::options::{Chunks, Reduction, Stationary};
use sim_core::arch::ArchSpec;
use sim_core::coord::Span;
use sim_core::program::{DType, Program};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The name of a buffer, a parameter or a kernel. Mappings are compared by the thousand, and kernels
/// are copied a lot while they are, so copies share it.
pub type Name = Arc<str>;

/// A piece of every PE's memory that a kernel needs: an operand that other kernels share, or
/// scratch that lives only as long as the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// Its name. Scratch names start with a dot.
    pub name: Name,
    /// Element type.
    pub dtype: DType,
    /// Elements.
    pub len: u32,
    /// Required address modulo 8: 0, or 4 for accumulators (rule C5).
    pub phase: u32,
    /// What the kernel does with it.
    pub access: Access,
    /// Bytes right before it, and as many right behind it, that are nobody else's while it lives; a
    /// multiple of 8. What is in them lasts no longer than a kernel.
    pub margin: u32,
}

/// What a kernel does with a piece of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reads what an earlier kernel left.
    Read,
    /// Writes all of it; what was there is dead.
    Write,
    /// Reads and writes.
    Update,
    /// Lives only as long as the kernel.
    Scratch,
}

impl Requirement {
    /// A shared operand.
    #[must_use]
    pub fn operand(name: impl Into<Name>, dtype: DType, len: u32, access: Access) -> Requirement {
        let phase = if dtype == DType::F32 { 4 } else { 0 };
        Requirement { name: name.into(), dtype, len, phase, access, margin: 0 }
    }

    /// Scratch; `name` starts with a dot.
    #[must_use]
    pub fn scratch(name: impl Into<Name>, dtype: DType, len: u32, phase: u32) -> Requirement {
        let name = name.into();
        debug_assert!(name.starts_with('.'), "scratch names start with a dot");
        Requirement { name, dtype, len, phase, access: Access::Scratch, margin: 0 }
    }
}

/// The name of an operation or of a tensor within its layer: what follows the last dot.
#[must_use]
pub(crate) fn local(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Byte addresses by name.
pub type Addresses = BTreeMap<Name, u32>;

/// Where the host's numbers come from: parameters by the names of the layer graph, tokens, targets.
pub trait HostSource {
    /// Element of a parameter tensor, e.g. `h.0.attn.c_attn.weight` at `[i, o]`.
    fn value(&self, tensor: &str, index: &[u32]) -> f32;
    /// Token at a position of a sequence of the micro-batch.
    fn token(&self, sequence: u32, position: u32) -> u32;
    /// Type of the token at a position of a sequence of the micro-batch.
    fn token_type(&self, sequence: u32, position: u32) -> u32 {
        let _ = (sequence, position);
        0
    }
    /// Target at a position of a sequence of the micro-batch.
    fn target(&self, sequence: u32, position: u32) -> u32;
    /// Factor on the gradient of every token's loss (1 / tokens for the mean, times a loss scale).
    fn loss_weight(&self) -> f32;
}

/// Where the numbers go that leave the wafer: `add(tensor, index, value)` sums.
pub trait HostSink {
    /// Adds to an element of the gradient of a parameter (`loss` at `[]` for the loss).
    fn add(&mut self, tensor: &str, index: &[u32], value: f32);
}

/// A kernel before it has addresses.
pub trait Kernel: fmt::Debug + Send + Sync {
    /// A short name that says what it computes, e.g. `gemm qkv`.
    fn name(&self) -> String;

    /// The memory that it needs in every PE, whatever the machine.
    fn requirements(&self, g: &Geometry) -> Vec<Requirement>;

    /// Scratch that it needs besides on a machine, where its code depends on it.
    fn scratch(&self, g: &Geometry, arch: &ArchSpec) -> Vec<Requirement> {
        let _ = (g, arch);
        Vec::new()
    }

    /// All memory that it needs in every PE of a machine.
    fn all_requirements(&self, g: &Geometry, arch: &ArchSpec) -> Vec<Requirement> {
        [self.requirements(g), self.scratch(g, arch)].concat()
    }

    /// The program, for buffers at the given addresses.
    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program;

    /// The wavelets that the host feeds into port `port` (ordinal) of the stream `stream` onto
    /// the wafer.
    fn feed(&self, g: &Geometry, stream: &str, port: u32, host: &dyn HostSource) -> Vec<u32> {
        let _ = (g, stream, port, host);
        Vec::new()
    }

    /// Takes the wavelets that left by port `port` (ordinal) of the stream `stream`.
    fn collect(
        &self,
        g: &Geometry,
        stream: &str,
        port: u32,
        words: &[u32],
        host: &dyn HostSource,
        sink: &mut dyn HostSink,
    ) {
        let _ = (g, stream, port, words, host, sink);
    }

    /// Whether a stream is one of its own sequences: tokens, labels, activations, losses. Other
    /// streams are weights, which are the same for all systems that share a batch, and gradients of
    /// weights, of which only the sum counts.
    fn own_stream(&self, stream: &str) -> bool {
        let _ = stream;
        false
    }

    /// The same in the form that is fastest on a geometry and a machine, if there are several, or in
    /// that which is fixed.
    fn tuned(&self, g: &Geometry, arch: &ArchSpec, fixed: Option<Stationary>) -> Option<Arc<dyn Kernel>> {
        let _ = (g, arch, fixed);
        None
    }

    /// Of a matrix product with stationary outputs, by how many cycles it is faster than with
    /// stationary inputs, by estimate.
    fn saved(&self, g: &Geometry, arch: &ArchSpec) -> Option<u64> {
        let _ = (g, arch);
        None
    }

    /// Of a sum over the rows, the same as a reduction of a kind, or as the fastest that is no chain.
    fn reduced(&self, g: &Geometry, arch: &ArchSpec, kind: Option<Reduction>) -> Option<Arc<dyn Kernel>> {
        let _ = (g, arch, kind);
        None
    }

    /// How it sums over the rows, if that is all that it does.
    fn reduction(&self) -> Option<Reduction> {
        None
    }

    /// The same while it carries the transfer: that of the first of its rows, of as many as there is time for,
    /// and how many these are; None if there is none.
    fn carrying(&self, g: &Geometry, arch: &ArchSpec, transfer: &CheckpointTransfer) -> Option<(Arc<dyn Kernel>, u32)> {
        let _ = (g, arch, transfer);
        None
    }

    /// What is left of the kernel if buffers of `features` hold only `slots` slots, from `first` on;
    /// over all such parts the kernels do together what this one does.
    fn part(&self, features: Features, first: u32, slots: u32) -> Part {
        let _ = (features, first, slots);
        Part::Apart
    }

    /// The same with the tokens of a PE in chunks, if the kernel has them.
    fn in_chunks(&self, chunks: Chunks) -> Option<Arc<dyn Kernel>> {
        let _ = chunks;
        None
    }

    /// Rough number of cycles, used only to choose between mappings and never reported.
    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64;
}

/// Which way a buffer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// Off the wafer.
    Out,
    /// Back.
    In {
        /// No row of it came before.
        begins: bool,
    },
}

/// Buffers of some rows of the mesh on their way: see `kernels::checkpoint_transfer`, `kernels::gemm`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CheckpointTransfer {
    /// The whole buffer.
    pub act: ActivationView,
    /// Rows, one below the other.
    pub rows: Span,
    /// Off the wafer, or back.
    pub way: Way,
}

/// What [`Kernel::part`] leaves of a kernel.
#[derive(Debug)]
pub enum Part {
    /// It has nothing to do with such features.
    Apart,
    /// Nothing: its windows lie in other parts.
    Nothing,
    /// This.
    Of(Arc<dyn Kernel>),
}

/// A window of an activation in PE memory: some slots and some tokens of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ActivationView {
    /// Name of the buffer.
    pub name: Name,
    /// Which features its slots are.
    pub features: Features,
    /// Element type.
    pub dtype: DType,
    /// Slots of the whole buffer.
    pub all_slots: u32,
    /// Tokens per slot of the whole buffer: the distance between slots in memory.
    pub row: u32,
    /// Slots of the tensor that lie before the buffer: the buffer may hold a part of them.
    pub skipped: u32,
    /// First slot of the window within the buffer.
    pub first_slot: u32,
    /// Slots of the window.
    pub slots: u32,
    /// First token of the window within a row of the buffer.
    pub first_token: u32,
    /// Tokens of the window.
    pub tokens: u32,
}

impl ActivationView {
    /// A whole activation of the geometry's own type.
    #[must_use]
    pub fn whole(g: &Geometry, name: impl Into<Name>, features: Features) -> ActivationView {
        let slots = g.slots(features);
        ActivationView {
            name: name.into(),
            features,
            dtype: g.act,
            all_slots: slots,
            row: g.tokens,
            skipped: 0,
            first_slot: 0,
            slots,
            first_token: 0,
            tokens: g.tokens,
        }
    }

    /// The requirement of the whole buffer behind the window. Writing a part of a buffer keeps the rest.
    #[must_use]
    pub fn requirement(&self, access: Access) -> Requirement {
        let whole = self.slots == self.all_slots && self.tokens == self.row;
        let access = if access == Access::Write && !whole { Access::Update } else { access };
        Requirement::operand(self.name.clone(), self.dtype, self.all_slots * self.row, access)
    }

    /// Logical index of slot `slot` of the window in a column of a lane, or None for padding.
    #[must_use]
    pub fn feature(&self, g: &Geometry, column: u32, slot: u32) -> Option<u32> {
        g.feature(self.features, column, self.skipped + self.first_slot + slot)
    }

    /// The part of the window that a buffer holds which has only `slots` of the tensor's slots, from
    /// `first` on; None if that is nothing. Of a buffer that is whole.
    #[must_use]
    pub fn part(&self, first: u32, slots: u32) -> Option<ActivationView> {
        let start = self.first_slot.max(first);
        let end = (self.first_slot + self.slots).min(first + slots);
        let part = || ActivationView {
            all_slots: slots,
            skipped: first,
            first_slot: start - first,
            slots: end - start,
            ..self.clone()
        };
        (self.skipped == 0 && start < end).then(part)
    }

    /// Byte address of the first token of slot `slot` of the window.
    #[must_use]
    pub fn slot(&self, at: &Addresses, slot: u32) -> u32 {
        at[&self.name] + ((self.first_slot + slot) * self.row + self.first_token) * self.dtype.bytes()
    }
}

/// Which weights a GEMM streams, by logical feature indices.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WeightRef {
    /// The parameter tensor.
    pub tensor: Name,
    /// Whether its index is `[out, in]` instead of `[in, out]`.
    pub transposed: bool,
    /// The bias tensor, indexed by `[out]`.
    pub bias: Option<Name>,
    /// Whether outputs that are padding get the bias [`PAD_BIAS`] instead of zero.
    pub mask_padding: bool,
}

/// Bias of padding entries of the vocabulary: within f16, and far below any logit.
pub const PAD_BIAS: f32 = -30_000.0;
