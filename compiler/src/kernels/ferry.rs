//! Activations that leave the wafer for a while, and come back: checkpoints.
//!
//! Every column brings its rows' buffers to the south edge, one row after the other: a chain that
//! adds a row's buffer while it is that row's turn, and zeros otherwise. They come back from the
//! north, broadcast down their column: every row receives all, into the buffer when it is its
//! turn, and elsewhere otherwise. So all rows do the same.
//!
//! **Invariant.** Only addresses depend on the row, and no timing on them.
//! **Not here.** When an activation is worth the way (`passes`).

use super::lanes::{ChainRows, buffers, chain_rows, chain_wavelets, lay_chain, main_task};
use super::turns::{OTHER, Turns, len, needs};
use crate::code::{color, fab, imm, mem, pack, unpack, vec};
use crate::geometry::Geometry;
use crate::kernel::{Access, Act, Addresses, HostSink, HostSource, Kernel, Need};
use crate::streams::{broadcast_south, interval};
use sim_core::arch::ArchSpec;
use sim_core::coord::{Dir, Span};
use sim_core::program::{EdgeStream, Flow, Image, Instr, Op, Program};

/// Name of the stream, onto the wafer and off it.
const CHECKPOINT: &str = "checkpoint";
/// Color on which buffers come back.
const BACK: u8 = 0;

/// Brings a buffer to the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Save {
    /// The whole buffer.
    pub act: Act,
}

/// Brings it back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Load {
    /// The whole buffer.
    pub act: Act,
}

/// Name of the store's tensor, indexed by column, row and element of a PE.
fn tensor(act: &Act) -> String {
    format!("checkpoint {}", act.name)
}

/// Wavelets of a column.
fn wavelets(g: &Geometry, act: &Act) -> u64 {
    u64::from(g.used_rows()) * u64::from(act.dtype.wavelets(len(act)))
}

/// About the cycles until all columns' wavelets have passed the edge.
fn estimate(g: &Geometry, arch: &ArchSpec, act: &Act) -> u64 {
    let hop = u64::from(2 + arch.ramp_up.value + arch.ramp_down.value + arch.hop.value);
    let pass = wavelets(g, act) * u64::from(interval(arch, g.used_columns()));
    u64::from(arch.edge_latency.value) + pass + hop * u64::from(g.used_rows())
}

impl Save {
    fn body(&self, g: &Geometry, at: &Addresses, chain: &ChainRows) -> Vec<Instr> {
        let turns = Turns::new(&self.act, at, g.used_rows());
        let (n, dtype) = (len(&self.act), self.act.dtype);
        let mut code = vec![vec(Op::Mov, n, mem(dtype, at[OTHER], n), &[imm(0.0)]), chain.start()];
        code.extend(turns.code(turns.rows, vec![Instr::Vec(chain.pass(dtype, n, turns.operand()))]));
        code
    }
}

impl Kernel for Save {
    fn name(&self) -> String {
        "checkpoint out".to_owned()
    }

    fn needs(&self, _g: &Geometry) -> Vec<Need> {
        needs(&self.act, Access::Read)
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        let mut program = Program { name: self.name(), grid: Some(g.grid), ..Program::default() };
        lay_chain(&mut program, g, arch, CHECKPOINT, wavelets(g, &self.act));
        let turns = Turns::new(&self.act, at, g.used_rows());
        for chain in chain_rows(g) {
            let mut image = Image { name: "checkpoint out".to_owned(), ..Image::default() };
            chain.bind(&mut image);
            image.buffers = buffers(&self.needs(g), at);
            image.tasks = vec![main_task(self.body(g, at, &chain))];
            turns.place(&mut program, g, image, chain.rows);
        }
        program
    }

    fn feed(&self, g: &Geometry, _stream: &str, _port: u32, _host: &dyn HostSource) -> Vec<u32> {
        vec![0; chain_wavelets(wavelets(g, &self.act)) as usize]
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
        let (n, tensor) = (len(&self.act), tensor(&self.act));
        for (row, words) in (0..).zip(words[1..].chunks(self.act.dtype.wavelets(n) as usize)) {
            for (i, value) in (0..).zip(unpack(self.act.dtype, words, n as usize)) {
                sink.add(&tensor, &[port, row, i], value);
            }
        }
    }

    fn own_streams(&self) -> bool {
        true
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        estimate(g, arch, &self.act)
    }
}

impl Kernel for Load {
    fn name(&self) -> String {
        "checkpoint in".to_owned()
    }

    fn needs(&self, _g: &Geometry) -> Vec<Need> {
        needs(&self.act, Access::Write)
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        let mut program = Program { name: self.name(), grid: Some(g.grid), ..Program::default() };
        program.routes = broadcast_south(g, color(BACK));
        program.edges.push(EdgeStream {
            name: CHECKPOINT.to_owned(),
            flow: Flow::In,
            side: Dir::North,
            ports: Span::run(0, g.used_columns()),
            color: color(BACK),
            wavelets: wavelets(g, &self.act),
            interval: interval(arch, g.used_columns()),
            fanout: 1,
        });
        let turns = Turns::new(&self.act, at, g.used_rows());
        let mut image = Image { name: "checkpoint in".to_owned(), ..Image::default() };
        image.inputs = vec![(0, color(BACK))];
        image.buffers = buffers(&self.needs(g), at);
        let from = fab(color(BACK), self.act.dtype);
        image.tasks =
            vec![main_task(turns.code(turns.rows, vec![vec(Op::Mov, len(&self.act), turns.operand(), &[from])]))];
        turns.place(&mut program, g, image, Span::run(0, g.used_rows()));
        program
    }

    fn feed(&self, g: &Geometry, _stream: &str, port: u32, host: &dyn HostSource) -> Vec<u32> {
        let (n, tensor) = (len(&self.act), tensor(&self.act));
        let row = |row| (0..n).map(|i| host.value(&tensor, &[port, row, i])).collect::<Vec<f32>>();
        (0..g.used_rows()).flat_map(|y| pack(self.act.dtype, &row(y))).collect()
    }

    fn own_streams(&self) -> bool {
        true
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        estimate(g, arch, &self.act)
    }
}
