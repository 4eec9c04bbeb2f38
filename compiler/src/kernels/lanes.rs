//! What kernels lay in every lane alike: rings along the rows, chains down the columns, and which PEs share an image.
//!
//! A *chain* sums a vector over rows: every row adds its own numbers to those that come from the row above and sends the
//! sums to the row below. The first row adds to zeros from the north edge, so that it is like all others.
//!
//! **Invariant.** Lanes do not exchange wavelets here.
//! **Not here.** Kernels.

use crate::codegen::instr::{color, fab, op, unpack, vec};
use crate::codegen::ring::{Axis, Ring, RingClass, spans};
use crate::codegen::streams::{chain_color, chain_south, drain_south};
use crate::kernel::{Addresses, Requirement};
use crate::layout::Geometry;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Dir, DirSet, Region, Span};
use sim_core::program::{
    Buffer, DType, EdgeStream, Flow, Image, Instr, Op, Operand, Param, Placement, Program, Route, Task, Trigger, VecOp,
};

/// Input and output queue of a ring's receiving and sending color: the deep ones.
pub(super) const RING_QUEUES: (u8, u8) = (1, 2);
/// Input and output queue of a chain's receiving and sending color.
pub(super) const CHAIN_QUEUES: (u8, u8) = (2, 3);

/// The ring along a lane's row (colors 4 to 7), or None if a lane is one column wide.
pub(super) fn row_ring(g: &Geometry) -> Option<Ring> {
    let len = g.lane_columns();
    (len > 1).then(|| Ring { axis: Axis::X, len, colors: [color(4), color(5), color(6), color(7)] })
}

/// Routes of the row rings of all lanes, in all rows in use.
pub(super) fn ring_routes(g: &Geometry, ring: &Ring) -> Vec<Route> {
    let rows = Span::run(0, g.used_rows());
    (0..g.lanes).flat_map(|lane| ring.routes(lane * g.lane_columns(), rows)).collect()
}

/// The classes of lane columns that share an image: those of the ring, or the one column.
pub(super) fn classes(g: &Geometry) -> Vec<(Option<RingClass>, Vec<u32>)> {
    match row_ring(g) {
        Some(ring) => ring.classes().into_iter().map(|c| (Some(c.clone()), c.positions)).collect(),
        None => vec![(None, vec![0])],
    }
}

/// Mesh columns of the given columns of every lane.
pub(super) fn over_lanes(g: &Geometry, columns: &[u32]) -> Vec<Span> {
    let c = g.lane_columns();
    let mut all: Vec<u32> = (0..g.lanes).flat_map(|lane| columns.iter().map(move |p| lane * c + p)).collect();
    all.sort_unstable();
    spans(&all)
}

/// Puts an image on the given columns of every lane, in the rows of `y`.
pub(super) fn place(program: &mut Program, g: &Geometry, image: Image, columns: &[u32], y: Span) {
    place_with(program, g, image, (columns, y), &[]);
}

/// The same with start values of registers.
pub(super) fn place_with(
    program: &mut Program,
    g: &Geometry,
    image: Image,
    (columns, y): (&[u32], Span),
    params: &[Param],
) {
    let index = program.images.len() as u32;
    program.images.push(image);
    for x in over_lanes(g, columns) {
        program.placements.push(Placement { region: Region { x, y }, image: index, params: params.to_vec() });
    }
}

/// Colors of the chains down the columns.
pub(super) fn chain_colors() -> [Color; 2] {
    [color(1), color(2)]
}

/// Rows that do the same in a chain down the columns: those of one parity. The first row adds to
/// zeros from the north edge, and so is like the others.
pub(super) struct ChainRows {
    /// The rows.
    pub(super) rows: Span,
    /// Color of the sum from the row above.
    recv: Color,
    /// Color on which they send.
    send: Color,
}

/// The rows of a chain by parity.
pub(super) fn chain_rows(g: &Geometry) -> Vec<ChainRows> {
    let color = |y| chain_color(chain_colors(), y);
    let parity = |first| {
        let rows = Span::every(first, g.used_rows(), 2)?;
        Some(ChainRows { rows, recv: color(first + 1), send: color(first) })
    };
    (0..2).filter_map(parity).collect()
}

impl ChainRows {
    /// Binds the chain's queues.
    pub(super) fn bind(&self, image: &mut Image) {
        image.inputs.push((CHAIN_QUEUES.0, self.recv));
        image.outputs.push((CHAIN_QUEUES.1, self.send));
    }

    /// Waits for the wavelet that goes ahead of the sums and passes it on. So every row starts
    /// as much later than the one above it as sums take for the way, and all rows do the same.
    pub(super) fn start(&self) -> Instr {
        vec(Op::Mov, 1, fab(self.send, DType::F32), &[fab(self.recv, DType::F32)])
    }

    /// Receives some elements from above.
    pub(super) fn take(&self, dtype: DType, len: u32, to: Operand) -> Instr {
        vec(Op::Mov, len, to, &[fab(self.recv, dtype)])
    }

    /// Sends some elements down.
    pub(super) fn put(&self, dtype: DType, len: u32, mine: Operand) -> Instr {
        vec(Op::Mov, len, fab(self.send, dtype), &[mine])
    }

    /// Passes on `len` elements from above, each with an own one added.
    pub(super) fn pass(&self, dtype: DType, len: u32, mine: Operand) -> VecOp {
        op(Op::Add, len, fab(self.send, dtype), &[fab(self.recv, dtype), mine])
    }

    /// Sends `len` f32 elements down, added to what comes from above.
    pub(super) fn send(&self, len: u32, mine: Operand) -> VecOp {
        self.pass(DType::F32, len, mine)
    }
}

/// Cycles of an AXPY of `len` elements with operands and sums of these types.
pub(super) fn axpy_cycles(arch: &ArchSpec, (operands, sums): (DType, DType), len: u32) -> u32 {
    let widths = &arch.pe.width_fmac.value;
    let width = match (operands, sums) {
        (DType::F32, _) => widths.single,
        (_, DType::F32) => widths.mixed,
        _ => widths.half,
    };
    arch.pe.vector_setup.value + len.div_ceil(width.max(1))
}

/// Name of the stream of zeros that a chain starts from.
const ZEROS: &str = "zeros";

/// Lays the chain of `results` sums per column: routes, the zeros that it starts from, and the
/// stream `name` of [`chain_wavelets`] off the wafer. The zeros come at the rate at which sums may
/// leave, so that sums do not pile up on their way.
pub(super) fn lay_chain(program: &mut Program, g: &Geometry, arch: &ArchSpec, name: &str, results: u64) {
    let wavelets = chain_wavelets(results);
    lay_flow(program, g, arch, name, [wavelets; 2]);
}

/// The same for so many wavelets in and out.
pub(super) fn lay_flow(program: &mut Program, g: &Geometry, arch: &ArchSpec, name: &str, [zeros, sums]: [u64; 2]) {
    let colors = chain_colors();
    let ports = Span::run(0, g.used_columns());
    let color = chain_color(colors, 1);
    let region = Region { x: ports, y: Span::one(0) };
    program.routes.extend(chain_south(g, colors));
    program.routes.push(Route { color, region, rx: Dir::North, tx: DirSet::of(&[Dir::Ramp]) });
    let out = drain_south(g, arch, name, colors, sums);
    program.edges.push(EdgeStream {
        name: ZEROS.to_owned(),
        flow: Flow::In,
        side: Dir::North,
        ports,
        color,
        wavelets: zeros,
        interval: out.interval,
        fanout: ports.count,
    });
    program.edges.push(out);
}

/// Wavelets that go down a column for so many results: one goes ahead.
pub(super) fn chain_wavelets(results: u64) -> u64 {
    results + 1
}

/// The results among the wavelets that left by a column.
pub(super) fn chain_results(words: &[u32]) -> Vec<f32> {
    results(words, 1)
}

/// The results among wavelets of which some went ahead.
pub(super) fn results(words: &[u32], ahead: usize) -> Vec<f32> {
    assert!(words.len() >= ahead, "what goes ahead of the results has left with them");
    unpack(DType::F32, words.get(ahead..).unwrap_or(&[]), words.len().saturating_sub(ahead))
}

/// The pieces of memory, for people who read the program.
pub(super) fn buffers(requirements: &[Requirement], at: &Addresses) -> Vec<Buffer> {
    let one = |n: &Requirement| Buffer {
        name: n.buffer.to_string(),
        addr: at[n.buffer],
        dtype: n.dtype,
        len: n.len,
        init: Vec::new(),
    };
    requirements.iter().map(one).collect()
}

/// A task that is active from the start.
pub(crate) fn main_task(body: Vec<Instr>) -> Task {
    Task { name: "main".to_owned(), trigger: Trigger::Local, active: true, blocked: false, body }
}
