//! What a kernel is, and the types in which it speaks of memory and of the host.
//!
//! A kernel is one program for all PEs of the wafer, such as a matrix product. It does not know where its buffers are:
//! it lists what it needs of a PE's memory ([`Requirement`]s), the memory plan finds a place for each, and for these
//! [`Addresses`] the kernel emits its program. What it reads and writes are [`ActivationView`]s: windows into buffers
//! that hold some features of some tokens.
//!
//! **Invariant.** A kernel's program depends on the geometry, the machine and the addresses, and on nothing else. The
//! host's numbers enter only through [`Kernel::feed`].
//! **Not here.** The kernels themselves (`kernels`), which of them a step needs (`schedule`), where buffers go
//! (`memory`).

use crate::banks::{Banks, Side};
use crate::codegen::resources::{Ports, Uses};
use crate::ids::{BufferId, TensorId};
use crate::layout::{Features, Geometry};
use sim_core::arch::ArchSpec;
use sim_core::coord::Span;
use sim_core::program::{DType, Program};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;

/// A piece of every PE's memory that a kernel needs: an operand that other kernels share, or
/// scratch that lives only as long as the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// Which piece.
    pub buffer: BufferId,
    /// Element type.
    pub dtype: DType,
    /// Elements of the buffer.
    pub len: u32,
    /// On which side of the banks it starts (rule C5).
    pub side: Side,
    /// Whether the other side will do as well.
    pub either: bool,
    /// What the kernel does with it.
    pub access: Access,
    /// Bytes right before it, and as many right behind it, that are nobody else's while it lives. What is in them lasts no longer than a kernel.
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
    pub fn operand(buffer: impl Into<BufferId>, dtype: DType, len: u32, access: Access) -> Requirement {
        Requirement { buffer: buffer.into(), dtype, len, side: Side::of(dtype), either: false, access, margin: 0 }
    }

    /// On either side of the banks if it has 16 bits: nothing of its type is read together with it, or what is read
    /// lies on its own side as often as not.
    #[must_use]
    pub fn on_either_side(self) -> Requirement {
        Requirement { either: self.dtype != DType::F32, ..self }
    }

    /// Scratch; `name` starts with a dot.
    #[must_use]
    pub fn scratch(name: &'static str, dtype: DType, len: u32, side: Side) -> Requirement {
        assert!(
            name.starts_with('.'),
            "names of scratch start with a dot, so that reports tell it from operands: {name}"
        );
        Requirement {
            buffer: BufferId::Scratch(name),
            dtype,
            len,
            side,
            either: false,
            access: Access::Scratch,
            margin: 0,
        }
    }
}

/// Byte addresses of a kernel's buffers.
///
/// A kernel finds its scratch under the name that it gave it (`at[".weights"]`), and operands under their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Addresses(BTreeMap<BufferId, u32>);

impl Addresses {
    /// None yet.
    #[must_use]
    pub fn new() -> Addresses {
        Addresses::default()
    }

    /// Puts a buffer at an address; gives the address that it had before.
    pub fn insert(&mut self, buffer: BufferId, address: u32) -> Option<u32> {
        self.0.insert(buffer, address)
    }

    /// Buffers with their addresses, in the order of the ids.
    pub fn iter(&self) -> impl Iterator<Item = (BufferId, u32)> {
        self.0.iter().map(|(&buffer, &address)| (buffer, address))
    }
}

impl FromIterator<(BufferId, u32)> for Addresses {
    fn from_iter<I: IntoIterator<Item = (BufferId, u32)>>(all: I) -> Addresses {
        Addresses(all.into_iter().collect())
    }
}

impl Index<BufferId> for Addresses {
    type Output = u32;

    fn index(&self, buffer: BufferId) -> &u32 {
        self.0.get(&buffer).unwrap_or_else(|| panic!("`{buffer}` has no address: the kernel did not ask for it"))
    }
}

impl Index<&BufferId> for Addresses {
    type Output = u32;

    fn index(&self, buffer: &BufferId) -> &u32 {
        &self[*buffer]
    }
}

impl Index<&'static str> for Addresses {
    type Output = u32;

    fn index(&self, scratch: &'static str) -> &u32 {
        &self[BufferId::Scratch(scratch)]
    }
}

/// Where the host's numbers come from: parameters by the names of the layer graph, tokens, targets.
pub trait HostSource {
    /// Element of a parameter tensor, e.g. `h.0.attn.c_attn.weight` at `[i, o]`.
    fn value(&self, tensor: TensorId, index: &[u32]) -> f32;
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
    fn add(&mut self, tensor: TensorId, index: &[u32], value: f32);
}

/// A kernel before it has addresses: what every kernel of a step has. What only one kind of kernel has is found by
/// matching `kernels::KernelKind`.
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

    /// The colors, queues and microthreads that it uses.
    fn uses(&self, g: &Geometry) -> Uses {
        let _ = g;
        Uses::default()
    }

    /// The colors and queues that it gets on a machine.
    fn ports(&self, g: &Geometry, arch: &ArchSpec) -> Ports {
        Ports::allot(&self.uses(g), arch)
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

    /// Cycles that it takes at least, whatever form it is brought into: never more than
    /// [`Kernel::estimate`], and far cheaper to tell. By it the search leaves out mappings.
    fn at_least(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let _ = (g, arch);
        0
    }

    /// The price of its code in cycles (`cost`), used only to choose between mappings and never reported.
    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64;
}

/// Which way a buffer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// Off the wafer.
    Out,
    /// Back onto the wafer.
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

/// What is left of a kernel of the type `K` if buffers of some features hold only some slots of them; over all such
/// parts the kernels do together what the whole one does.
#[derive(Debug)]
pub enum Part<K> {
    /// It has nothing to do with such features.
    Apart,
    /// Nothing: its windows lie in other parts.
    Nothing,
    /// The kernel that is left.
    Of(K),
}

impl<K> Part<K> {
    /// What is left of a kernel, as another type of kernel.
    pub fn map<L>(self, f: impl FnOnce(K) -> L) -> Part<L> {
        match self {
            Part::Apart => Part::Apart,
            Part::Nothing => Part::Nothing,
            Part::Of(kernel) => Part::Of(f(kernel)),
        }
    }
}

/// A window of an activation in PE memory: some slots and some tokens of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ActivationView {
    /// The buffer.
    pub buffer: BufferId,
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
    pub fn whole(g: &Geometry, buffer: impl Into<BufferId>, features: Features) -> ActivationView {
        let slots = g.slots(features);
        ActivationView {
            buffer: buffer.into(),
            features,
            dtype: g.precision.act,
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
        assert!(
            self.first_slot + self.slots <= self.all_slots && self.first_token + self.tokens <= self.row,
            "a window lies within its buffer: {self:?}"
        );
        let whole = self.slots == self.all_slots && self.tokens == self.row;
        let access = if access == Access::Write && !whole { Access::Update } else { access };
        Requirement::operand(self.buffer, self.dtype, self.all_slots * self.row, access)
    }

    /// The side of the banks on which the window starts.
    #[must_use]
    pub fn side(&self, banks: Banks) -> Side {
        self.side_of(banks, 0)
    }

    /// The side of the banks on which a slot of the window starts, or would if the window went on.
    #[must_use]
    pub fn side_of(&self, banks: Banks, slot: u32) -> Side {
        let elements = (self.first_slot + slot) * self.row + self.first_token;
        banks.side(banks.start(Side::of(self.dtype)) + elements * self.dtype.bytes())
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
        debug_assert!(slot < self.slots, "a window of {} slots has no slot {slot}", self.slots);
        at[self.buffer] + ((self.first_slot + slot) * self.row + self.first_token) * self.dtype.bytes()
    }
}

/// Which weights a GEMM streams, by logical feature indices.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WeightRef {
    /// The parameter tensor.
    pub tensor: TensorId,
    /// Whether its index is `[out, in]` instead of `[in, out]`.
    pub transposed: bool,
    /// The bias tensor, indexed by `[out]`.
    pub bias: Option<TensorId>,
    /// Whether outputs that are padding get the bias [`PAD_BIAS`] instead of zero.
    pub mask_padding: bool,
}

/// Bias of padding entries of the vocabulary: within f16, and far below any logit.
pub const PAD_BIAS: f32 = -30_000.0;
