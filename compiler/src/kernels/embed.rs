//! Embeddings from the north edge to their rows, and their gradients to the south edge.
//!
//! The host looks up the rows of the tables that tokens choose; the wafer adds token, position and type. All rows of the
//! mesh share a column's stream by time multiplexing (`time_multiplex`). Positions are the same in all sequences, so
//! that table comes once for every row of a sequence, on a stream of its own which all lanes share.
//!
//! **Invariant.** Every row of the mesh does the same; only addresses depend on the row.
//! **Not here.** The choice of rows by token, position and type, which is the host's.

use super::lanes::{buffers, chain_rows, chain_wavelets, lay_chain, main_task};
use super::price;
use super::time_multiplex::{OTHER, TimeMultiplex, len, requirements};
use crate::codegen::instr::{fab, imm, mem, pack, unpack, vec};
use crate::codegen::resources::{Ports, Use, Uses};
use crate::codegen::streams::{broadcast_south, interval};
use crate::cost::remembered;
use crate::ids::TensorId;
use crate::kernel::{Access, ActivationView, Addresses, HostSink, HostSource, Kernel, Requirement};
use crate::kernels::stencil::relabelled;
use crate::layout::Geometry;
use models::graph::{Module, ModuleKind};
use sim_core::arch::ArchSpec;
use sim_core::coord::{Dir, PeCoord, Span};
use sim_core::program::{EdgeStream, Flow, Image, Instr, Op, Program};

/// Name of the stream of embeddings onto the wafer.
const EMBEDDINGS: &str = "embeddings";
/// Name of the stream of embeddings of positions.
const POSITIONS: &str = "positions";
/// What both come on.
const STREAMS: [Use; 2] = [Use::North, Use::Positions];
/// Of this many parts of the edge's bandwidth, positions have one.
const SHARES: u32 = 12;
/// Name of the stream of their gradients off the wafer.
const GRADIENTS: &str = "gradients";

/// `x`: the sum of a row of every table, e.g. `wte[token] + wpe[position]`, from the north edge.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EmbedScatter {
    /// The embeddings of every token; hidden features.
    pub x: ActivationView,
    /// The tables.
    pub tables: Vec<Table>,
}

relabelled!(EmbedScatter { x; tables });

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
    /// The table that a module is, if it is one.
    #[must_use]
    pub fn of(module: ModuleKind) -> Option<Table> {
        [Table::Tokens, Table::Positions, Table::Types].into_iter().find(|table| table.module() == module)
    }

    /// The module that it is.
    #[must_use]
    pub const fn module(self) -> ModuleKind {
        match self {
            Table::Tokens => ModuleKind::TokenTable,
            Table::Positions => ModuleKind::PositionTable,
            Table::Types => ModuleKind::TypeTable,
        }
    }

    /// The host's tensor.
    fn tensor(self) -> TensorId {
        Module { layer: None, kind: self.module() }.weight().into()
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

/// Gradients of the tables from that of `x`, to the south edge.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EmbedGrad {
    /// The gradient of the embeddings; hidden features.
    pub dx: ActivationView,
    /// The tables.
    pub tables: Vec<Table>,
}

relabelled!(EmbedGrad { dx; tables });

/// Logical index of every element of a window, slot by slot: `(sequence, position, feature)`, or
/// None for padding.
fn elements(g: &Geometry, act: &ActivationView, pe: PeCoord) -> Vec<Option<(u32, u32, u32)>> {
    let column = pe.x % g.lane_columns();
    let one = |slot, t| {
        let (s, p) = g.token(pe, act.first_token + t)?;
        Some((s, p, act.feature(g, column, slot)?))
    };
    (0..act.slots).flat_map(|slot| (0..act.tokens).map(move |t| one(slot, t))).collect()
}

/// Wavelets of a PE's embeddings from one table.
fn wavelets(act: &ActivationView) -> u32 {
    act.dtype.wavelets(len(act))
}

impl EmbedScatter {
    /// Tables that every row of the mesh has its own rows of.
    fn own(&self) -> Vec<Table> {
        self.tables.iter().copied().filter(|t| *t != Table::Positions).collect()
    }

    fn by_position(&self) -> bool {
        self.tables.contains(&Table::Positions)
    }

    /// Least distance of a column's wavelets on the first stream and on that of positions.
    fn intervals(&self, g: &Geometry, arch: &ArchSpec) -> [u32; 2] {
        let columns = g.used_columns();
        if !self.by_position() {
            return [interval(arch, columns), 1];
        }
        [interval(arch, (columns * SHARES).div_ceil(SHARES - 1)), interval(arch, g.lane_columns() * SHARES)]
    }

    /// What a port of a stream brings in a turn of row `y`: the rows of some tables, one behind the
    /// other.
    fn turn(&self, g: &Geometry, at: PeCoord, tables: &[Table], host: &dyn HostSource) -> Vec<u32> {
        let elements = elements(g, &self.x, at);
        let one = |table: &Table| {
            let value = |(s, p, i)| host.value(table.tensor(), &[table.row(host, s, p), i]);
            pack(self.x.dtype, &elements.iter().map(|e| e.map_or(0.0, value)).collect::<Vec<f32>>())
        };
        tables.iter().flat_map(one).collect()
    }

    fn body(&self, ports: &Ports, turns: &TimeMultiplex<'_>) -> Vec<Instr> {
        let n = len(&self.x);
        let x = || turns.operand();
        let from = |i: usize| fab(ports.of(STREAMS[i]).color(), self.x.dtype);
        let mut own = vec![vec(Op::Mov, n, x(), &[from(0)])];
        own.extend((1..self.own().len()).map(|_| vec(Op::Add, n, x(), &[x(), from(0)])));
        let mut code = turns.code(own);
        if self.by_position() {
            code.extend(turns.shared(vec![vec(Op::Add, n, x(), &[x(), from(1)])]));
        }
        code
    }
}

impl Kernel for EmbedScatter {
    fn name(&self) -> String {
        "embed".to_owned()
    }

    fn requirements(&self, _g: &Geometry) -> Vec<Requirement> {
        requirements(&self.x, Access::Write)
    }

    fn uses(&self, _g: &Geometry) -> Uses {
        let ports = std::iter::once(Use::North).chain(self.by_position().then_some(Use::Positions)).collect();
        Uses { ports, ..Uses::default() }
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        let mut program = Program { name: self.name(), grid: Some(g.grid), ..Program::default() };
        let turns = TimeMultiplex::new(&self.x, at, Span::run(0, g.used_rows())).with_period(g.rows_per_sequence);
        let mut image = Image { name: self.name(), buffers: buffers(&self.requirements(g), at), ..Image::default() };
        let (ports, [own, shared]) = (self.ports(g, arch), self.intervals(g, arch));
        let per = u64::from(wavelets(&self.x));
        let mut stream = |name: &str, i: usize, wavelets, interval, fanout| {
            let port = ports.of(STREAMS[i]);
            let color = port.color();
            program.routes.extend(broadcast_south(g, color));
            image.inputs.push((port.input(), color));
            let ports = Span::run(0, g.used_columns());
            let name = name.to_owned();
            program.edges.push(EdgeStream {
                name,
                flow: Flow::In,
                side: Dir::North,
                ports,
                color,
                wavelets,
                interval,
                fanout,
            });
        };
        stream(EMBEDDINGS, 0, u64::from(g.used_rows()) * self.own().len() as u64 * per, own, 1);
        if self.by_position() {
            stream(POSITIONS, 1, u64::from(g.rows_per_sequence) * per, shared, g.lanes);
        }
        image.tasks = vec![main_task(self.body(&ports, &turns))];
        turns.place(&mut program, g, image, Span::run(0, g.used_rows()));
        program
    }

    fn feed(&self, g: &Geometry, stream: &str, port: u32, host: &dyn HostSource) -> Vec<u32> {
        let own = self.own();
        let (x, tables, rows) = match stream {
            // The first sequence of the first lane stands for all.
            POSITIONS => (port % g.lane_columns(), &[Table::Positions][..], g.rows_per_sequence),
            _ => (port, &own[..], g.used_rows()),
        };
        (0..rows).flat_map(|y| self.turn(g, PeCoord { x, y }, tables, host)).collect()
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let intervals = self.intervals(g, arch);
        let sources = || {
            let (ports, streams) = (self.ports(g, arch), STREAMS.into_iter().zip(intervals));
            let used = streams.filter(|(stream, _)| *stream == Use::North || self.by_position());
            let source = |(stream, interval)| (ports.of(stream).color(), price::at_interval(arch, interval));
            used.map(source).collect::<Vec<_>>()
        };
        let rows = [g.used_rows(), g.rows_per_sequence];
        let key = (price::shape(&self.x), self.tables.len(), self.by_position(), intervals, rows);
        remembered(arch, ("embed", key), || price::whole(self, g, arch, &sources())) + price::rows_of_broadcast(g, arch)
    }
}

impl Kernel for EmbedGrad {
    fn name(&self) -> String {
        "embed gradient".to_owned()
    }

    fn requirements(&self, _g: &Geometry) -> Vec<Requirement> {
        requirements(&self.dx, Access::Read)
    }

    fn uses(&self, _g: &Geometry) -> Uses {
        let ports = vec![Use::Chain];
        Uses { ports, ..Uses::default() }
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        let mut program = Program { name: self.name(), grid: Some(g.grid), ..Program::default() };
        let ports = self.ports(g, arch);
        lay_chain(&mut program, g, (arch, &ports), GRADIENTS, u64::from(g.used_rows()) * u64::from(wavelets(&self.dx)));
        let turns = TimeMultiplex::new(&self.dx, at, Span::run(0, g.used_rows()));
        let (n, dtype) = (len(&self.dx), self.dx.dtype);
        for chain in chain_rows(g, &ports) {
            let mut image =
                Image { name: self.name(), buffers: buffers(&self.requirements(g), at), ..Image::default() };
            chain.bind(&mut image);
            let mut body = vec![vec(Op::Mov, n, mem(dtype, at[OTHER], n), &[imm(0.0)]), chain.start()];
            body.extend(turns.code(vec![Instr::Vec(chain.pass(dtype, n, turns.operand()))]));
            image.tasks = vec![main_task(body)];
            turns.place(&mut program, g, image, chain.rows);
        }
        program
    }

    fn feed(&self, g: &Geometry, _stream: &str, _port: u32, _host: &dyn HostSource) -> Vec<u32> {
        let results = u64::from(g.used_rows()) * u64::from(wavelets(&self.dx));
        vec![0; chain_wavelets(results) as usize]
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
        for (y, words) in (0..).zip(words[1..].chunks(wavelets(&self.dx) as usize)) {
            let values = unpack(self.dx.dtype, words, len(&self.dx) as usize);
            for (element, value) in elements(g, &self.dx, PeCoord { x: port, y }).into_iter().zip(values) {
                if let Some((s, p, i)) = element {
                    self.tables.iter().for_each(|t| sink.add(t.tensor(), &[t.row(host, s, p), i], value));
                }
            }
        }
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let key = (price::shape(&self.dx), interval(arch, g.used_columns()), g.used_rows());
        let chain = || price::whole(self, g, arch, &price::chain(g, arch, &self.ports(g, arch)));
        remembered(arch, ("embed gradient", key), chain) + price::rows_of_chain(g, arch)
    }
}
