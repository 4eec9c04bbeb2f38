//! Embedding rows from the west edge to their columns, and their gradients back.
//!
//! Every row of the mesh is a chain of compute elements: a PE keeps (or sends) its own block and
//! passes on what is for (or from) the PEs behind it. So PEs of different columns pass on
//! different amounts, and every column has its own image, of three instructions.
//!
//! **Invariant.** Blocks are in order of columns, the westmost first.
//! **Not here.** The choice of rows by token, position and type, which is the host's.

use super::lanes::{buffers, main_task};
use crate::code::{color, fab, grid, op, pack, unpack};
use crate::geometry::Geometry;
use crate::kernel::{Access, Act, Addresses, HostSink, HostSource, Kernel, Need};
use crate::streams::interval;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Dir, DirSet, PeCoord, Region, Span};
use sim_core::program::{EdgeStream, Flow, Image, Instr, Op, Operand, Placement, Program, Route, VecOp};

/// Name of the stream of embeddings onto the wafer.
const EMBEDDINGS: &str = "embeddings";
/// Name of the stream of their gradients off the wafer.
const GRADIENTS: &str = "gradients";

/// `x`: the sum of a row of every table, e.g. `wte[token] + wpe[position]`, from the west edge.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EmbedScatter {
    /// The embeddings of every token; hidden features.
    pub x: Act,
    /// The tables.
    pub tables: Vec<Table>,
}

/// A table of embeddings, by what chooses its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// `wte`: the token.
    Tokens,
    /// `wpe`: the position.
    Positions,
    /// `wtt`: the type of the token.
    Types,
}

impl Table {
    /// Name of the parameter.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Table::Tokens => "wte",
            Table::Positions => "wpe",
            Table::Types => "wtt",
        }
    }

    /// The table of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Table> {
        [Table::Tokens, Table::Positions, Table::Types].into_iter().find(|table| table.name() == name)
    }

    /// The row for a position of a sequence.
    fn row(self, host: &dyn HostSource, sequence: u32, position: u32) -> u32 {
        match self {
            Table::Tokens => host.token(sequence, position),
            Table::Positions => position,
            Table::Types => host.token_type(sequence, position),
        }
    }
}

/// Gradients of the tables from that of `x`, to the west edge.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EmbedGrad {
    /// The gradient of the embeddings; hidden features.
    pub dx: Act,
    /// The tables.
    pub tables: Vec<Table>,
}

/// Logical index of every element of a window, slot by slot: `(sequence, position, feature)`, or
/// None for padding.
fn elements(g: &Geometry, act: &Act, pe: PeCoord) -> Vec<Option<(u32, u32, u32)>> {
    let column = pe.x % g.lane_columns();
    let one = |slot, t| {
        let (s, p) = g.token(pe, act.first_token + t)?;
        Some((s, p, g.feature(act.features, column, act.first_slot + slot)?))
    };
    (0..act.slots).flat_map(|slot| (0..act.tokens).map(move |t| one(slot, t))).collect()
}

/// The window as a vector.
fn window(act: &Act, at: &Addresses) -> Operand {
    grid(act.dtype, act.slot(at, 0), &[(act.slots, act.row as i32), (act.tokens, 1)])
}

/// Elements of a window.
fn len(act: &Act) -> u32 {
    act.slots * act.tokens
}

/// Color on which column `x` sends, to the east or to the west.
fn send_color(flow: Flow, x: u32) -> Color {
    let first = if flow == Flow::In { 16 } else { 18 };
    color(first + (x % 2) as u8)
}

/// Color on which column `x` receives: its neighbour's, or the edge's.
fn recv_color(flow: Flow, x: u32) -> Color {
    send_color(flow, x + 1)
}

/// Routes of chains along the rows: away from the west edge for `In`, towards it for `Out`.
fn routes(g: &Geometry, flow: Flow) -> Vec<Route> {
    let (columns, y) = (g.used_columns(), Span::run(0, g.used_rows()));
    // The column that does not send (In) or receive (Out) is the last one.
    let inner = columns - 1;
    let (from, to, senders, receivers) = match flow {
        Flow::In => (Dir::West, Dir::East, inner, columns),
        Flow::Out => (Dir::East, Dir::West, columns, inner),
    };
    let mut routes = Vec::new();
    for first in 0..2 {
        if let Some(x) = Span::every(first, senders, 2) {
            let tx = DirSet::of(&[to]);
            routes.push(Route { color: send_color(flow, first), region: Region { x, y }, rx: Dir::Ramp, tx });
        }
        if let Some(x) = Span::every(first, receivers, 2) {
            let tx = DirSet::of(&[Dir::Ramp]);
            routes.push(Route { color: recv_color(flow, first), region: Region { x, y }, rx: from, tx });
        }
    }
    routes
}

/// The program of a chain along the rows: `own` handles a PE's own block of `block` elements given
/// its receiving and sending colors, then those of the columns behind it are passed on.
fn chain(
    g: &Geometry,
    arch: &ArchSpec,
    flow: Flow,
    (act, block): (&Act, u32),
    own: impl Fn(Color, Color) -> Vec<VecOp>,
) -> Program {
    let columns = g.used_columns();
    let mut program = Program { grid: Some(g.grid), routes: routes(g, flow), ..Program::default() };
    for x in 0..columns {
        let (recv, send) = (recv_color(flow, x), send_color(flow, x));
        let behind = columns - 1 - x;
        let mut ops = own(recv, send);
        let mut image = Image { name: format!("column {x}"), ..Image::default() };
        if behind > 0 {
            ops.push(op(Op::Mov, behind * block, fab(send, act.dtype), &[fab(recv, act.dtype)]));
        }
        if behind > 0 || flow == Flow::In {
            image.inputs.push((0, recv));
        }
        if behind > 0 || flow == Flow::Out {
            image.outputs.push((2, send));
        }
        image.tasks = vec![main_task(ops.into_iter().map(Instr::Vec).collect())];
        let region = Region { x: Span::one(x), y: Span::run(0, g.used_rows()) };
        program.placements.push(Placement { region, image: x, params: Vec::new() });
        program.images.push(image);
    }
    let name = if flow == Flow::In { EMBEDDINGS } else { GRADIENTS };
    program.edges = vec![EdgeStream {
        name: name.to_owned(),
        flow,
        side: Dir::West,
        ports: Span::run(0, g.used_rows()),
        color: if flow == Flow::In { recv_color(flow, 0) } else { send_color(flow, 0) },
        wavelets: u64::from(columns) * u64::from(act.dtype.wavelets(block)),
        interval: interval(arch, g.used_rows()),
        fanout: 1,
    }];
    program
}

/// Cycles of a chain whose blocks are `block` elements: what its first PE passes on, and the way
/// through all columns, each with `setups` of instructions in it.
fn chain_cycles(g: &Geometry, arch: &ArchSpec, act: &Act, block: u32, setups: u32) -> u64 {
    let wavelets = u64::from(g.used_columns()) * u64::from(act.dtype.wavelets(block));
    let through = arch.ramp_up.value + arch.ce_latency.value + arch.ramp_down.value;
    let hop = u64::from(through + arch.hop.value + setups * arch.vector_setup.value);
    wavelets * u64::from(interval(arch, g.used_rows())) + hop * u64::from(g.used_columns())
}

impl Kernel for EmbedScatter {
    fn name(&self) -> String {
        "embed".to_owned()
    }

    fn needs(&self, _g: &Geometry) -> Vec<Need> {
        vec![self.x.need(Access::Write)]
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        let (n, dtype) = (len(&self.x), self.x.dtype);
        let x = || window(&self.x, at);
        let more = self.tables.len() - 1;
        let own = |recv, _| {
            let mut ops = vec![op(Op::Mov, n, x(), &[fab(recv, dtype)])];
            ops.extend((0..more).map(|_| op(Op::Add, n, x(), &[x(), fab(recv, dtype)])));
            ops
        };
        let mut program = chain(g, arch, Flow::In, (&self.x, self.tables.len() as u32 * n), own);
        program.name = self.name();
        let buffers = buffers(&self.needs(g), at);
        program.images.iter_mut().for_each(|i| i.buffers.clone_from(&buffers));
        program
    }

    fn feed(&self, g: &Geometry, _stream: &str, port: u32, host: &dyn HostSource) -> Vec<u32> {
        let mut words = Vec::new();
        for x in 0..g.used_columns() {
            let elements = elements(g, &self.x, PeCoord { x, y: port });
            for table in &self.tables {
                let value = |(s, p, i)| host.value(table.name(), &[table.row(host, s, p), i]);
                let rows = elements.iter().map(|e| e.map_or(0.0, value));
                words.extend(pack(self.x.dtype, &rows.collect::<Vec<f32>>()));
            }
        }
        words
    }

    fn own_streams(&self) -> bool {
        true
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        chain_cycles(g, arch, &self.x, self.tables.len() as u32 * len(&self.x), self.tables.len() as u32)
    }
}

impl Kernel for EmbedGrad {
    fn name(&self) -> String {
        "embed gradient".to_owned()
    }

    fn needs(&self, _g: &Geometry) -> Vec<Need> {
        vec![self.dx.need(Access::Read)]
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        let (n, dtype) = (len(&self.dx), self.dx.dtype);
        let own = |_, send| vec![op(Op::Mov, n, fab(send, dtype), &[window(&self.dx, at)])];
        let mut program = chain(g, arch, Flow::Out, (&self.dx, n), own);
        program.name = self.name();
        let buffers = buffers(&self.needs(g), at);
        program.images.iter_mut().for_each(|i| i.buffers.clone_from(&buffers));
        program
    }

    fn collect(
        &self,
        g: &Geometry,
        _stream: &str,
        port: u32,
        words: &[u32],
        host: &dyn HostSource,
        sink: &mut dyn HostSink,
    ) {
        let block = self.dx.dtype.wavelets(len(&self.dx)) as usize;
        for (x, words) in (0..g.used_columns()).zip(words.chunks(block)) {
            let values = unpack(self.dx.dtype, words, len(&self.dx) as usize);
            for (element, value) in elements(g, &self.dx, PeCoord { x, y: port }).into_iter().zip(values) {
                if let Some((s, p, i)) = element {
                    self.tables.iter().for_each(|t| sink.add(t.name(), &[t.row(host, s, p), i], value));
                }
            }
        }
    }

    fn own_streams(&self) -> bool {
        true
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        chain_cycles(g, arch, &self.dx, len(&self.dx), 0)
    }
}
