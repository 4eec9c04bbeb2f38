//! Checkpoints: buffers that leave the wafer for a while and come back.
//!
//! A buffer leaves by a chain down every column to the south edge: a row adds its buffer to what passes while it is that
//! row's turn, and zeros otherwise. It comes back from the north edge as a broadcast down the column: every row receives
//! everything, into its buffer when it is its turn, and into memory that nobody reads otherwise. So all rows do the
//! same, and rows fold. A [`StandaloneTransfer`] is a kernel that does nothing else; a matrix product may do it besides
//! (`gemm`, `piggyback`).
//!
//! **Invariant.** Only addresses depend on the row, and no timing on them.
//! **Not here.** Which buffers leave, and when (`passes::offload`).

use super::lanes::{ChainRows, buffers, chain_rows, chain_wavelets, lay_flow, main_task};
use super::price;
use super::time_multiplex::{OTHER, TimeMultiplex, len, requirements};
use crate::codegen::instr::{fab, imm, mem, op, pack, unpack, vec};
use crate::codegen::resources::{Ports, Use, Uses};
use crate::codegen::streams::{broadcast_south, interval};
use crate::cost::remembered;
use crate::ids::TensorId;
use crate::kernel::{
    Access, ActivationView, Addresses, CheckpointTransfer, HostSink, HostSource, Kernel, Requirement, Way,
};
use crate::kernels::stencil::{Relabel, Relabelled};
use crate::layout::Geometry;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Dir, Span};
use sim_core::program::{EdgeStream, Flow, Image, Instr, Op, Operand, Program, VecOp};

/// Name of the stream, onto the wafer and off it.
const CHECKPOINT: &str = "checkpoint";

/// The store's tensor, indexed by column, row and element of a PE.
fn tensor(act: &ActivationView) -> TensorId {
    TensorId::Checkpoint(act.buffer)
}

impl CheckpointTransfer {
    /// What it is called in names of kernels.
    pub(super) fn name(&self) -> &'static str {
        match self.way {
            Way::Out => "checkpoint out",
            Way::In { .. } => "checkpoint in",
        }
    }

    /// What it travels on.
    pub(super) fn port(&self) -> Use {
        if self.way == Way::Out { Use::Chain } else { Use::CheckpointIn }
    }

    /// Wavelets of a row.
    pub(super) fn of_row(&self) -> u32 {
        self.act.dtype.wavelets(len(&self.act))
    }

    /// Wavelets of a column.
    pub(super) fn wavelets(&self) -> u64 {
        u64::from(self.rows.count) * u64::from(self.of_row())
    }

    /// What is done with the buffer.
    pub(super) fn access(&self) -> Access {
        match self.way {
            Way::Out => Access::Read,
            Way::In { begins: true } => Access::Write,
            Way::In { begins: false } => Access::Update,
        }
    }

    /// Lays routes and streams: of so many wavelets of a column onto the wafer, with an interval if they
    /// are no zeros, and of so many off it.
    pub(super) fn lay(
        &self,
        program: &mut Program,
        g: &Geometry,
        (arch, ports): (&ArchSpec, &Ports),
        [on, off]: [u64; 2],
        interval: u32,
    ) {
        if self.way == Way::Out {
            return lay_flow(program, g, (arch, ports), CHECKPOINT, [on, off]);
        }
        let color = ports.of(Use::CheckpointIn).color();
        program.routes.extend(broadcast_south(g, color));
        program.edges.push(EdgeStream {
            name: CHECKPOINT.to_owned(),
            flow: Flow::In,
            side: Dir::North,
            ports: Span::run(0, g.used_columns()),
            color,
            wavelets: on,
            interval,
            fanout: 1,
        });
    }

    /// Rows that have an image in common: those of a parity where buffers leave, else all.
    pub(super) fn images(&self, g: &Geometry, ports: &Ports) -> Vec<(Option<ChainRows>, Span)> {
        match self.way {
            Way::Out => {
                chain_rows(g, ports).into_iter().map(|c| (c.rows, c)).map(|(rows, c)| (Some(c), rows)).collect()
            }
            Way::In { .. } => vec![(None, Span::run(0, g.used_rows()))],
        }
    }

    pub(super) fn bind(&self, image: &mut Image, ports: &Ports, chain: Option<&ChainRows>) {
        match chain {
            Some(chain) => chain.bind(image),
            None => {
                let port = ports.of(Use::CheckpointIn);
                image.inputs.push((port.input(), port.color()));
            }
        }
    }

    /// What comes before the first turn.
    fn begin(&self, at: &Addresses, chain: Option<&ChainRows>) -> Vec<Instr> {
        let n = len(&self.act);
        let zeros = || vec(Op::Mov, n, mem(self.act.dtype, at[OTHER], n), &[imm(0.0)]);
        chain.map_or_else(Vec::new, |chain| vec![zeros(), chain.start()])
    }

    /// What every row does in a turn.
    fn pass(&self, turns: &TimeMultiplex<'_>, (ports, chain): (&Ports, Option<&ChainRows>)) -> VecOp {
        self.piece((ports, chain), len(&self.act), turns.operand())
    }

    /// The transfer of some elements of a row.
    pub(super) fn piece(&self, (ports, chain): (&Ports, Option<&ChainRows>), n: u32, place: Operand) -> VecOp {
        let dtype = self.act.dtype;
        match chain {
            Some(chain) => chain.pass(dtype, n, place),
            None => op(Op::Mov, n, place, &[fab(ports.of(Use::CheckpointIn).color(), dtype)]),
        }
    }

    /// What the host puts in, at most so many wavelets: the rows one behind the other, and zeros.
    pub(super) fn feed(&self, port: u32, wavelets: u64, host: &dyn HostSource) -> Vec<u32> {
        let mut words = Vec::new();
        if self.way != Way::Out {
            let (n, tensor) = (len(&self.act), tensor(&self.act));
            let row = |row| (0..n).map(|i| host.value(tensor, &[port, row, i])).collect::<Vec<f32>>();
            words.extend(self.rows.iter().flat_map(|y| pack(self.act.dtype, &row(y))));
        }
        words.resize(wavelets as usize, 0);
        words
    }

    /// Takes what left: the rows one behind the other.
    pub(super) fn collect(&self, port: u32, words: &[u32], sink: &mut dyn HostSink) {
        let (n, tensor) = (len(&self.act), tensor(&self.act));
        for (row, words) in self.rows.iter().zip(words.chunks(self.of_row() as usize)) {
            for (i, value) in (0..).zip(unpack(self.act.dtype, words, n as usize)) {
                sink.add(tensor, &[port, row, i], value);
            }
        }
    }
}

/// A kernel that does nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StandaloneTransfer(pub CheckpointTransfer);

impl Relabelled for StandaloneTransfer {
    fn relabelled(&self, with: &mut dyn Relabel) -> Self {
        let StandaloneTransfer(transfer) = self;
        StandaloneTransfer(transfer.relabelled(with))
    }
}

impl StandaloneTransfer {
    /// Wavelets of a column: one goes ahead of those that leave.
    fn wavelets(&self) -> u64 {
        match self.0.way {
            Way::Out => chain_wavelets(self.0.wavelets()),
            Way::In { .. } => self.0.wavelets(),
        }
    }
}

impl Kernel for StandaloneTransfer {
    fn name(&self) -> String {
        self.0.name().to_owned()
    }

    fn requirements(&self, _g: &Geometry) -> Vec<Requirement> {
        requirements(&self.0.act, self.0.access())
    }

    fn uses(&self, _g: &Geometry) -> Uses {
        Uses { ports: vec![self.0.port()], ..Uses::default() }
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        let mut program = Program { name: self.name(), grid: Some(g.grid), ..Program::default() };
        let ports = self.ports(g, arch);
        self.0.lay(&mut program, g, (arch, &ports), [self.wavelets(); 2], interval(arch, g.used_columns()));
        let turns = TimeMultiplex::new(&self.0.act, at, self.0.rows);
        for (chain, rows) in self.0.images(g, &ports) {
            let mut image =
                Image { name: self.name(), buffers: buffers(&self.requirements(g), at), ..Image::default() };
            self.0.bind(&mut image, &ports, chain.as_ref());
            let mut code = self.0.begin(at, chain.as_ref());
            code.extend(turns.code(vec![Instr::Vec(self.0.pass(&turns, (&ports, chain.as_ref())))]));
            image.tasks = vec![main_task(code)];
            turns.place(&mut program, g, image, rows);
        }
        program
    }

    fn feed(&self, _g: &Geometry, _stream: &str, port: u32, host: &dyn HostSource) -> Vec<u32> {
        self.0.feed(port, self.wavelets(), host)
    }

    fn collect(
        &self,
        _g: &Geometry,
        _stream: &str,
        port: u32,
        words: &[u32],
        _host: &dyn HostSource,
        sink: &mut dyn HostSink,
    ) {
        self.0.collect(port, words.get(1..).unwrap_or(&[]), sink);
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let key = (self.0.of_row(), self.0.rows.count, self.0.way == Way::Out, interval(arch, g.used_columns()));
        let edge = price::edge(arch, g.used_columns());
        let colors = || self.ports(g, arch).of(self.0.port()).colors::<2>().map(|color| (color, edge));
        let chain = || price::whole(self, g, arch, &colors());
        let rows = if self.0.way == Way::Out { price::rows_of_chain } else { price::rows_of_broadcast };
        remembered(arch, ("checkpoint", key), chain) + rows(g, arch)
    }
}
