//! The counts of an attention kernel, and the pieces of its scratch memory.
//!
//! **Invariant.** Vectors of one type that are read together start on different sides of the banks, so no two
//! sources of an instruction in an inner loop need one bank at a time (rule C5).
//! **Not here.** Code.

use crate::banks::{Banks, Side};
use crate::kernel::ActivationView;
use crate::kernels::price;
use crate::layout::Geometry;
use crate::options::Chunks;
use sim_core::arch::ArchSpec;
use sim_core::coord::Span;
use sim_core::program::DType;

/// Bytes of an f32.
pub(super) const F32: u32 = DType::F32.bytes();

/// Counts of a rectangle of one sequence and one head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    /// Columns of the head.
    pub(super) n: u32,
    /// Features per column.
    pub(super) f: u32,
    /// Features of the head, padding included: `n · f`.
    pub(super) head: u32,
    /// Elements between rows of `head` features: `head`, rounded up to a multiple of 4.
    pub(super) pitch: u32,
    /// Tokens of a chunk of queries: of those of a PE that are worked on together.
    pub(super) t: u32,
    /// Tokens of a chunk of keys of a row.
    pub(super) u: u32,
    /// Chunks of a PE's tokens.
    pub(super) chunks: Chunks,
    /// Rows of the sequence.
    pub(super) r: u32,
    /// Keys of a chunk of each row that a column owns: tokens `j, j + n, …` for column `j`.
    pub(super) kc: u32,
    /// Type of the operands.
    pub(super) act: DType,
    /// The banks of a PE's memory.
    pub(super) banks: Banks,
    /// What scores are multiplied by.
    pub(super) scale: f32,
    /// Whether a query sees only its own key and those before it.
    pub(super) causal: bool,
}

impl Shape {
    pub(super) fn of(g: &Geometry, q: &ActivationView, chunks: Chunks) -> Shape {
        debug_assert!([chunks.queries, chunks.keys].iter().all(|n| q.tokens.is_multiple_of(*n)), "chunks are equal");
        debug_assert!(
            g.rows_per_sequence == 1 || g.rows_per_sequence.is_multiple_of(2),
            "steps of a ring come in pairs"
        );
        let (n, f) = (g.head_columns, q.slots);
        let (t, u) = (q.tokens / chunks.queries, q.tokens / chunks.keys);
        let head = n * f;
        Shape {
            n,
            f,
            head,
            pitch: head.next_multiple_of(4),
            t,
            u,
            chunks,
            r: g.rows_per_sequence,
            kc: u.div_ceil(n),
            act: q.dtype,
            banks: g.banks,
            scale: g.score_scale(),
            causal: g.model.causal,
        }
    }

    /// Bytes of an operand's element.
    pub(super) fn size(&self) -> u32 {
        self.act.bytes()
    }

    /// The counts with all tokens of a PE as one chunk of queries.
    pub(super) fn whole(&self) -> Shape {
        Shape { t: self.t * self.chunks.queries, chunks: Chunks { queries: 1, ..self.chunks }, ..*self }
    }

    /// The counts with a chunk of keys in the place of a chunk of queries.
    pub(super) fn of_keys(&self) -> Shape {
        let Chunks { queries, keys } = self.chunks;
        Shape { t: self.u, chunks: Chunks { queries: keys, keys: queries }, ..*self }
    }

    /// Whether tokens are cut at all.
    pub(super) fn cut(&self) -> bool {
        self.chunks != Chunks::ONE
    }

    /// Keys that a column owns of one chunk of every row of the sequence.
    pub(super) fn keys(&self) -> u32 {
        self.r * self.kc
    }

    /// Distance of the first and the last key that a column owns of a block, in tokens.
    pub(super) fn reach(&self) -> u32 {
        (self.kc - 1) * self.n
    }

    /// The first column whose last key of a block does not exist, if there is one.
    pub(super) fn absent_from(&self) -> Option<u32> {
        (self.kc * self.n > self.u).then(|| self.u - self.reach())
    }

    /// Blocks that a PE meets: every chunk of queries meets every chunk of keys of every row.
    pub(super) fn blocks(&self) -> u64 {
        u64::from(self.r) * u64::from(self.chunks.queries) * u64::from(self.chunks.keys)
    }

    /// The price of the AXPYs of a block's scores.
    pub(super) fn products(&self, arch: &ArchSpec) -> u64 {
        u64::from(self.kc) * u64::from(self.head) * price::axpy(arch, (self.act, DType::F32), self.t)
    }

    /// The price of those of a weighted sum over a block.
    pub(super) fn spread(&self, arch: &ArchSpec) -> u64 {
        u64::from(self.kc) * u64::from(self.t) * price::axpy(arch, (self.act, DType::F32), self.head)
    }

    /// Elements of a block of own keys with all features of the head.
    pub(super) fn block(&self) -> u32 {
        self.kc * self.pitch
    }

    /// Elements of a column's own features of all tokens.
    pub(super) fn own(&self) -> u32 {
        self.f * self.t
    }

    /// Elements behind a received block that absent keys read.
    pub(super) fn overhang(&self) -> u32 {
        self.kc * self.n - self.u
    }
}

/// Gives out pieces of the scratch memory, one behind the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arena {
    banks: Banks,
    /// First byte that is not given out.
    pub(super) next: u32,
    /// First byte that was never given out.
    pub(super) top: u32,
}

impl Arena {
    pub(super) fn new(banks: Banks, base: u32) -> Arena {
        Arena { banks, next: base, top: base }
    }

    /// Address of `len` elements, on a side of the banks.
    pub(super) fn take(&mut self, dtype: DType, len: u32, side: Side) -> u32 {
        let addr = self.banks.place(self.next, side);
        self.next = addr + len * dtype.bytes();
        self.top = self.top.max(self.next);
        addr
    }

    /// Two pieces of the same size.
    pub(super) fn pair(&mut self, dtype: DType, len: u32, side: Side) -> [u32; 2] {
        [self.take(dtype, len, side), self.take(dtype, len, side)]
    }

    /// Gives out everything up to `to`.
    pub(super) fn reach(&mut self, to: u32) {
        self.next = self.next.max(to);
        self.top = self.top.max(self.next);
    }

    /// Gives back everything from `to` on.
    pub(super) fn rewind(&mut self, to: u32) {
        self.next = to;
    }
}

/// Equal places of all rectangles along one axis, as one span. The place of the span's ordinal
/// `i` is `first + step · (i mod period)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) span: Span,
    pub(super) first: u32,
    pub(super) step: u32,
    pub(super) period: u32,
}
