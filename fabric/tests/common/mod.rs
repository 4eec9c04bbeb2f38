//! Short words for building small programs in tests, and for running them on the reference
//! engine.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::must_use_candidate,
    reason = "tests; not every test file uses every word"
)]

use fabric::{EngineKind, Fold, HostStreams, RunOptions, Values, WaferMemory, reference};
use sim_core::arch::{ArchSpec, cs2::cs2};
use sim_core::coord::{Color, Dir, DirSet, Grid, PeCoord, Region, Span};
use sim_core::diag::Diagnostic;
use sim_core::error::RunError;
use sim_core::program::verify::verify;
use sim_core::program::*;
use sim_core::report::Outcome;

pub const EAST: Dir = Dir::East;
pub const WEST: Dir = Dir::West;
pub const SOUTH: Dir = Dir::South;
pub const RAMP: Dir = Dir::Ramp;

/// Cycles from a task's selection to its first instruction on a CS-2.
pub const DISPATCH: u64 = 3;

/// A CS-2 with that dispatch, which the cycles in tests are counted by hand for.
pub fn machine() -> ArchSpec {
    let mut arch = cs2();
    arch.pe.task_dispatch.value = DISPATCH as u32;
    arch
}

/// Cycles of setup of a vector instruction on a CS-2.
pub const SETUP: u64 = 6;

pub fn color(n: u8) -> Color {
    Color::new(n).unwrap()
}

pub fn pe(x: u32, y: u32) -> PeCoord {
    PeCoord { x, y }
}

pub fn fab(n: u8, dtype: DType) -> Operand {
    Operand::Fab(color(n), dtype)
}

/// `len` adjacent elements at byte `at`.
pub fn mem(dtype: DType, at: u32, len: u32) -> Operand {
    Operand::Mem(MemRef::vec(dtype, at, len))
}

/// One repeated word at byte `at`.
pub fn word(dtype: DType, at: u32) -> Operand {
    Operand::Mem(MemRef::scalar(dtype, at))
}

pub fn op(op: Op, len: u32, dst: Operand, src: &[Operand]) -> VecOp {
    VecOp::new(op, len, dst, src)
}

pub fn vec(o: Op, len: u32, dst: Operand, src: &[Operand]) -> Instr {
    Instr::Vec(op(o, len, dst, src))
}

pub fn micro(thread: u8, priority: Priority, op: VecOp) -> Instr {
    Instr::Async(Async { thread, priority, op, then: None })
}

pub fn micro_then(thread: u8, priority: Priority, op: VecOp, then: Then) -> Instr {
    Instr::Async(Async { thread, priority, op, then: Some(then) })
}

pub fn repeat(count: u32, body: &[Instr]) -> Instr {
    Instr::Loop { count, body: body.to_vec() }
}

/// One cycle of work of the main thread.
pub fn nop() -> Instr {
    Instr::Addr(AddrOp::Add(AddrReg(15), 1))
}

/// A local task, active at the start.
pub fn start(body: &[Instr]) -> Task {
    Task { name: "start".into(), trigger: Trigger::Local, active: true, blocked: false, body: body.to_vec() }
}

/// A local task, not active at the start.
pub fn later(body: &[Instr]) -> Task {
    Task { active: false, ..start(body) }
}

/// A data task.
pub fn on(n: u8, reg: u8, body: &[Instr]) -> Task {
    Task { trigger: Trigger::Data(color(n), DataReg(reg)), ..later(body) }
}

/// A program that grows by words.
pub struct Build {
    pub program: Program,
    pub arch: ArchSpec,
}

impl Build {
    pub fn new(width: u32, height: u32) -> Build {
        let grid = Some(Grid { width, height });
        // Waveforms start in cycle 0: streams onto the wafer deliver at once.
        let mut arch = machine();
        arch.router.edge_latency.value = 0;
        Build { program: Program { name: "test".into(), grid, ..Program::default() }, arch }
    }

    /// An image on the PEs of `region`: input queue `k` takes the `k`-th of `inputs`, and so on.
    pub fn image(&mut self, region: Region, inputs: &[u8], outputs: &[u8], tasks: Vec<Task>) -> &mut Image {
        let bind = |colors: &[u8]| (0u8..).zip(colors).map(|(q, &c)| (q, color(c))).collect();
        let image = Image { inputs: bind(inputs), outputs: bind(outputs), tasks, ..Image::default() };
        let index = self.program.images.len() as u32;
        self.program.placements.push(Placement { region, image: index, params: Vec::new() });
        self.program.images.push(image);
        self.program.images.last_mut().unwrap()
    }

    /// The same on one PE.
    pub fn one(&mut self, x: u32, y: u32, inputs: &[u8], outputs: &[u8], tasks: Vec<Task>) -> &mut Image {
        self.image(Region::rect(x, y, 1, 1), inputs, outputs, tasks)
    }

    pub fn route(&mut self, n: u8, region: Region, rx: Dir, tx: &[Dir]) -> &mut Build {
        self.program.routes.push(Route { color: color(n), region, rx, tx: DirSet::of(tx) });
        self
    }

    pub fn route_at(&mut self, n: u8, x: u32, y: u32, rx: Dir, tx: &[Dir]) -> &mut Build {
        self.route(n, Region::rect(x, y, 1, 1), rx, tx)
    }

    /// A stream through one port, `in3` or `out3` for color 3.
    pub fn edge(&mut self, n: u8, flow: Flow, side: Dir, port: u32, wavelets: u64) -> &mut EdgeStream {
        let (ports, color) = (Span::one(port), color(n));
        let name = format!("{}{n}", if flow == Flow::In { "in" } else { "out" });
        self.program.edges.push(EdgeStream { name, flow, side, ports, color, wavelets, interval: 1, fanout: 1 });
        self.program.edges.last_mut().unwrap()
    }

    /// A run of a well-formed program without values.
    pub fn run(&self) -> Result<Outcome, RunError> {
        let faults = faults(&self.program, &self.arch);
        assert!(faults.is_empty(), "{faults:#?}");
        self.run_unchecked()
    }

    /// A run of any program without values.
    pub fn run_unchecked(&self) -> Result<Outcome, RunError> {
        reference::run(&self.program, &self.arch, &options(), None)
    }

    /// A run that must reach its end: its length.
    pub fn cycles(&self) -> u64 {
        self.run().unwrap().cycles.0
    }

    /// What leaves the routers: cycle, PE, color.
    pub fn moves(&self) -> Vec<(u64, PeCoord, u8)> {
        let mut moves = Vec::new();
        let mut watch = |cycle: u64, at: PeCoord, c: Color| moves.push((cycle, at, c.index() as u8));
        reference::run_watched(&self.program, &self.arch, &options(), None, &mut watch).unwrap();
        moves
    }

    /// The cycles in which a wavelet of color `n` leaves the router of PE `(x,y)`.
    pub fn moves_of(&self, n: u8, x: u32, y: u32) -> Vec<u64> {
        self.moves().iter().filter(|m| (m.1, m.2) == (pe(x, y), n)).map(|m| m.0).collect()
    }

    /// What leaves the routers as a picture: a row per PE, a column per cycle of the run, the
    /// number of the color or a dot.
    pub fn waveform(&self) -> Vec<String> {
        let grid = self.program.grid();
        let mut rows = vec![vec!['.'; self.cycles() as usize]; grid.pes() as usize];
        for (cycle, at, n) in self.moves() {
            rows[grid.index(at).0 as usize][cycle as usize] = char::from_digit(n.into(), 36).unwrap();
        }
        rows.into_iter().map(String::from_iter).collect()
    }

    /// A run with values on a fresh memory that `fill` prepares, with `inputs` at the edges.
    pub fn with_values(
        &self,
        inputs: &HostStreams,
        fill: impl FnOnce(&mut WaferMemory),
    ) -> (Result<Outcome, RunError>, WaferMemory, HostStreams) {
        let mut memory = WaferMemory::new(self.program.grid(), self.arch.pe.sram.value);
        fill(&mut memory);
        let mut outputs = HostStreams::default();
        let mut values = Values { memory: &mut memory, inputs, outputs: &mut outputs };
        let outcome = reference::run(&self.program, &self.arch, &options(), Some(&mut values));
        if outcome.is_ok() {
            assert_eq!(outcome, self.run(), "V1: timing is the same without values");
        }
        (outcome, memory, outputs)
    }
}

pub fn options() -> RunOptions {
    RunOptions { engine: EngineKind::Reference, per_pe: true, cycle_limit: 1_000_000, ..RunOptions::default() }
}

/// What a run in full counts on an engine, and nothing of how it came to it.
pub fn in_full(program: &Program, arch: &ArchSpec, engine: EngineKind, bands: Option<u32>) -> Outcome {
    let options = RunOptions { engine, fold: Fold::NONE, per_pe: true, bands, ..RunOptions::default() };
    let done = fabric::run(program, arch, &options, None).unwrap();
    Outcome { folds: Vec::new(), stepped_cycles: 0, stepped_pe_cycles: 0, ..done }
}

/// One PE that runs `body` once: cycles from reaching the first instruction to the end.
pub fn solo(body: &[Instr]) -> u64 {
    solo_on(&machine(), body)
}

/// The same on another machine.
pub fn solo_on(arch: &ArchSpec, body: &[Instr]) -> u64 {
    let mut build = Build::new(1, 1);
    build.arch = arch.clone();
    build.one(0, 0, &[], &[], vec![start(body)]);
    build.cycles() - u64::from(arch.pe.task_dispatch.value.max(1))
}

/// What is wrong with a program. Microthreads of a test may work on memory alone, which no machine
/// is asked to do (R032), so that threads are seen and nothing else.
pub fn faults(program: &Program, arch: &ArchSpec) -> Vec<Diagnostic> {
    let mut faults = verify(program, arch);
    faults.retain(|f| f.code != "R032");
    faults
}
