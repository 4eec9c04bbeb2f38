//! The program: what the wafer executes, and the only thing that crosses from `compiler` to
//! `fabric`.
//!
//! A [`Program`] is plain data: images (code and memory map) placed on regions of PEs, routes
//! per region and color, and the streams that enter and leave at the wafer's edges. Its meaning
//! is `docs/MODEL.md`; the rule numbers in comments here are that document's.
//!
//! **Invariant.** Everything is written over regions, so a program for a million PEs fits a
//! screen. Where a region of one rule overlaps a region of another rule of the same kind (two
//! images on a PE, two routes of a color in a router), the program is malformed and the verifier
//! says so; the order of rules never matters.
//! **Not here.** The checks ([`verify()`]), what it costs to execute (`fabric`).

pub mod dtype;
pub mod op;
pub mod parse;
pub mod reg;
pub mod scalar;
pub mod switch;
pub mod transform;
pub mod verify;

mod address;
#[cfg(test)]
pub(crate) mod arbitrary;
mod code;
mod flat;
mod text;
mod text_scalar;

pub use address::AddrOp;
pub use code::{code_bytes, walk};
pub use dtype::DType;
pub use op::{
    Async, AsyncControl, Descriptors, Dim, Dims, FifoId, Instr, MemRef, Op, Operand, Priority, Ring, Sources, Then,
    VecOp,
};
pub use parse::parse;
pub use reg::{AddrReg, DataReg};
pub use scalar::{Address, Cmp, Cond, Float, FloatOp, Int, IntOp, ScalarOp, Word};
pub use switch::{Command, Control, Filter, Pop, Position, Switch};
pub use transform::{content_hash, content_hash_hex, content_hash_mut};
pub use verify::verify;

use crate::coord::{Color, Dir, DirSet, Grid, Region, Span};
use serde::{Deserialize, Serialize};

/// What a wafer executes from a quiescent fabric to a quiescent fabric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Program {
    /// A name for people; not part of the meaning.
    pub name: String,
    /// Size of the mesh that it runs on, in PEs; a well-formed program has one.
    pub grid: Option<Grid>,
    /// Code and memory maps, referred to by index.
    pub images: Vec<Image>,
    /// Which PEs run which image. PEs without one only route.
    pub placements: Vec<Placement>,
    /// Where each color comes from and goes to, router by router.
    pub routes: Vec<Route>,
    /// Further positions of routes.
    pub switches: Vec<Switch>,
    /// What goes down ramps only in part.
    pub filters: Vec<Filter>,
    /// What enters and leaves at the wafer's edges.
    pub edges: Vec<EdgeStream>,
}

impl Program {
    /// The mesh; a program without one is empty (0 × 0), and the verifier refuses it.
    #[must_use]
    pub fn grid(&self) -> Grid {
        self.grid.unwrap_or(Grid { width: 0, height: 0 })
    }
}

/// Code and memory map shared by all PEs of a region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Image {
    /// A name for people.
    pub name: String,
    /// Which input queue takes wavelets of which color: `(queue, color)`.
    pub inputs: Vec<(u8, Color)>,
    /// Which output queue sends wavelets of which color: `(queue, color)`.
    pub outputs: Vec<(u8, Color)>,
    /// Named pieces of the PE's memory; instructions use addresses, people use these.
    pub buffers: Vec<Buffer>,
    /// FIFOs in the PE's memory; a [`FifoId`] is an index into this list.
    pub fifos: Vec<Fifo>,
    /// Its tasks; a [`TaskId`] is an index into this list.
    pub tasks: Vec<Task>,
}

/// A named piece of a PE's memory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Buffer {
    /// A name for people.
    pub name: String,
    /// Byte address of its first element.
    pub addr: u32,
    /// Type of its elements; of integers, the type of numbers with as many bytes.
    pub dtype: DType,
    /// How its elements are held if they are integers.
    pub word: Option<Word>,
    /// Number of elements.
    pub len: u32,
    /// The first elements at the start of the run; the rest keep what the memory held. Of numbers, the
    /// bits as `f32`, which are rounded to `dtype`; of integers, the bits in memory.
    pub init: Vec<u32>,
}

impl Buffer {
    /// Its elements in a memory that begins with the first of them, exactly.
    #[must_use]
    pub fn read(&self, memory: &[u8]) -> Vec<f64> {
        let size = self.dtype.bytes() as usize;
        let bits = |element: &[u8]| element.iter().rev().fold(0, |bits, &byte| bits << 8 | u32::from(byte));
        memory.chunks_exact(size).take(self.len as usize).map(|element| self.number(bits(element))).collect()
    }

    /// The number that bits in memory are.
    #[must_use]
    pub fn number(&self, bits: u32) -> f64 {
        match self.word {
            Some(word) => word.number(bits) as f64,
            None => f64::from(self.dtype.decode(bits)),
        }
    }

    /// First byte behind the buffer (64-bit: a hostile one may leave the 32-bit range).
    #[must_use]
    pub fn end(&self) -> u64 {
        u64::from(self.addr) + u64::from(self.len) * u64::from(self.dtype.bytes())
    }
}

/// A FIFO in a PE's memory: one thread puts elements in, another one takes them out. It starts
/// empty (rules C3 and C10).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fifo {
    /// A name for people.
    pub name: String,
    /// Byte address of its first element.
    pub addr: u32,
    /// Type of its elements.
    pub dtype: DType,
    /// Elements that it can hold.
    pub len: u32,
}

impl Fifo {
    /// First byte behind the FIFO (64-bit: a hostile one may leave the 32-bit range).
    #[must_use]
    pub fn end(&self) -> u64 {
        u64::from(self.addr) + u64::from(self.len) * u64::from(self.dtype.bytes())
    }
}

/// Index of a task in its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId(pub u8);

/// Run-to-completion code of the main thread (rules T1 to T4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Task {
    /// A name for people.
    pub name: String,
    /// What makes it runnable.
    pub trigger: Trigger,
    /// Whether it is already activated when the run starts (local tasks).
    pub active: bool,
    /// Whether it is blocked when the run starts.
    pub blocked: bool,
    /// Its instructions, executed from first to last.
    #[serde(with = "flat")]
    pub body: Vec<Instr>,
}

/// What makes a task runnable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Trigger {
    /// An `activate` of the same PE.
    Local,
    /// A wavelet at the head of the input queue of this color; it is taken and its 32 bits are
    /// put into the register.
    Data(Color, DataReg),
    /// A control wavelet with this number at the head of an input queue; it is taken.
    Control(u8),
    /// The color was closed in the PE's router by a control wavelet.
    Teardown(Color),
}

/// Which PEs run an image, and the numbers in which they differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Placement {
    /// The PEs that run the image.
    pub region: Region,
    /// Index into [`Program::images`].
    pub image: u32,
    /// Address registers that do not start at zero.
    pub params: Vec<Param>,
}

/// Start value of an address register, affine in the position within the placement's region:
/// `base + dx · (i mod mod_x) + dy · (j mod mod_y)` for the PE in column `i` and row `j` of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Param {
    /// The register that is set.
    pub reg: AddrReg,
    /// Value at `i = j = 0`.
    pub base: i32,
    /// Change from a column to the next.
    pub dx: i32,
    /// Change from a row to the next.
    pub dy: i32,
    /// Period over columns; at least 1.
    pub mod_x: u32,
    /// Period over rows; at least 1.
    pub mod_y: u32,
}

impl Param {
    /// A start value that is the same on all PEs.
    #[must_use]
    pub const fn constant(reg: AddrReg, base: i32) -> Param {
        Param { reg, base, dx: 0, dy: 0, mod_x: 1, mod_y: 1 }
    }

    /// The value for column `i` and row `j` of the region.
    #[must_use]
    pub fn value(&self, i: u32, j: u32) -> i32 {
        let i = (i % self.mod_x.max(1)) as i32;
        let j = (j % self.mod_y.max(1)) as i32;
        self.base.wrapping_add(self.dx.wrapping_mul(i)).wrapping_add(self.dy.wrapping_mul(j))
    }
}

/// The route of one color in the routers of a region (rules R1 to R3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route {
    /// The color that is routed.
    pub color: Color,
    /// The routers that the rule is for.
    pub region: Region,
    /// The one port that wavelets come from.
    pub rx: Dir,
    /// The ports that every wavelet leaves by.
    pub tx: DirSet,
}

impl Route {
    /// Whether it leads back over the link that it comes from. Back down the own ramp is a way: a PE may
    /// send to itself.
    pub(crate) fn turns_back(&self) -> bool {
        self.rx != Dir::Ramp && self.tx.contains(self.rx)
    }
}

/// Which way an edge stream flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Flow {
    /// From the host onto the wafer.
    In,
    /// Off the wafer to the host.
    Out,
}

/// Wavelets that enter or leave through the links of one edge of the mesh (rules E1 to E3).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EdgeStream {
    /// A name, by which the host finds or keeps the values.
    pub name: String,
    /// Whether it flows onto or off the wafer.
    pub flow: Flow,
    /// The edge: North, East, South or West.
    pub side: Dir,
    /// Its ports: columns for North and South, rows for East and West.
    pub ports: Span,
    /// The color of its wavelets.
    pub color: Color,
    /// Number of wavelets of each port.
    pub wavelets: u64,
    /// Least distance in cycles between two wavelets of a port; at least 1.
    pub interval: u32,
    /// How many of the ports get copies of one and the same external stream (at least 1): the
    /// stream counts once against the system's I/O bandwidth. For streams onto the wafer.
    pub fanout: u32,
}
