//! What kernels lay in every lane alike: rings along the rows, chains down the columns, and which PEs share an image.
//!
//! A *chain* sums a vector over rows: every row adds its own numbers to those that come from the row above and sends the
//! sums to the row below. The first row adds to zeros from the north edge, so that it is like all others.
//!
//! **Invariant.** Lanes do not exchange wavelets here.
//! **Not here.** Kernels.

use crate::codegen::instr::{fab, op, unpack, vec};
use crate::codegen::resources::{Port, Ports, Use};
use crate::codegen::ring::{Axis, Ring, RingClass, spans};
use crate::codegen::streams::{chain_color, chain_south, drain_south};
use crate::kernel::{Addresses, Requirement};
use crate::layout::Geometry;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Dir, DirSet, Region, Span};
use sim_core::program::{
    Buffer, DType, EdgeStream, Flow, Image, Instr, Op, Operand, Param, Placement, Program, Route, Task, Trigger, VecOp,
};

/// The ring along a lane's row, or None if a lane is one column wide.
pub(super) fn row_ring(g: &Geometry, port: Port) -> Option<Ring> {
    let len = g.lane_columns();
    (len > 1).then(|| Ring { axis: Axis::X, len, colors: port.colors() })
}

/// The ring along a lane's row for those who ask for places only, and for no color.
pub(super) fn row_places(g: &Geometry) -> Option<Ring> {
    row_ring(g, Port::NONE)
}

/// The ring along a lane's row among the uses of a kernel, if there is one.
pub(super) fn row_use(g: &Geometry) -> Option<Use> {
    (g.lane_columns() > 1).then_some(Use::RowRing)
}

/// The ring along a lane's row on a kernel's colors.
pub(super) fn ring_of(g: &Geometry, ports: &Ports) -> Option<Ring> {
    row_use(g).and_then(|ring| row_ring(g, ports.of(ring)))
}

/// Binds the queues of a ring.
pub(super) fn bind_ring(image: &mut Image, ports: &Ports, class: &RingClass) {
    let port = ports.of(Use::RowRing);
    image.inputs.push((port.input(), class.recv));
    image.outputs.push((port.output(), class.send));
}

/// Routes of the row rings of all lanes, in all rows in use.
pub(super) fn ring_routes(g: &Geometry, ring: &Ring) -> Vec<Route> {
    let rows = Span::run(0, g.used_rows());
    (0..g.lanes).flat_map(|lane| ring.routes(lane * g.lane_columns(), rows)).collect()
}

/// The classes of lane columns that share an image: those of the ring, or the one column.
pub(super) fn classes(g: &Geometry, ports: &Ports) -> Vec<(Option<RingClass>, Vec<u32>)> {
    match ring_of(g, ports) {
        Some(ring) => ring.classes().into_iter().map(|c| (Some(c.clone()), c.positions)).collect(),
        None => vec![(None, vec![0])],
    }
}

/// A place in a lane's ring that stands for all others: all do the same, in one order or the other.
pub(super) fn any_class(g: &Geometry, ports: &Ports) -> Option<RingClass> {
    ring_of(g, ports).map(|ring| RingClass { send: ring.send(0), recv: ring.recv(0), positions: Vec::new() })
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

/// Places an image, with start values of registers.
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

/// Rows that do the same in a chain down the columns: those of one parity. The first row adds to
/// zeros from the north edge, and so is like the others.
pub(super) struct ChainRows {
    /// The rows.
    pub(super) rows: Span,
    /// Color of the sum from the row above.
    recv: Color,
    /// Color on which they send.
    send: Color,
    /// Its queues.
    port: Port,
}

/// The rows of a chain by parity.
pub(super) fn chain_rows(g: &Geometry, ports: &Ports) -> Vec<ChainRows> {
    let port = ports.of(Use::Chain);
    let color = |y| chain_color(port.colors(), y);
    let parity = |first| {
        let rows = Span::every(first, g.used_rows(), 2)?;
        Some(ChainRows { rows, recv: color(first + 1), send: color(first), port })
    };
    (0..2).filter_map(parity).collect()
}

impl ChainRows {
    /// Binds the chain's queues.
    pub(super) fn bind(&self, image: &mut Image) {
        image.inputs.push((self.port.input(), self.recv));
        image.outputs.push((self.port.output(), self.send));
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

/// Name of the stream of zeros that a chain starts from.
const ZEROS: &str = "zeros";

/// Lays the chain of `results` sums per column: routes, the zeros that it starts from, and the
/// stream `name` of [`chain_wavelets`] off the wafer. The zeros come at the rate at which sums may
/// leave, so that sums do not pile up on their way.
pub(super) fn lay_chain(
    program: &mut Program,
    g: &Geometry,
    (arch, ports): (&ArchSpec, &Ports),
    name: &str,
    results: u64,
) {
    let wavelets = chain_wavelets(results);
    lay_flow(program, g, (arch, ports), name, [wavelets; 2]);
}

/// Lays a flow for so many wavelets in and out.
pub(super) fn lay_flow(
    program: &mut Program,
    g: &Geometry,
    (arch, ports): (&ArchSpec, &Ports),
    name: &str,
    [zeros, sums]: [u64; 2],
) {
    let colors = ports.of(Use::Chain).colors();
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
        word: None,
        len: n.len,
        init: Vec::new(),
    };
    requirements.iter().map(one).collect()
}

/// A task that is active from the start.
pub(crate) fn main_task(body: Vec<Instr>) -> Task {
    Task { name: "main".to_owned(), trigger: Trigger::Local, active: true, blocked: false, body }
}
