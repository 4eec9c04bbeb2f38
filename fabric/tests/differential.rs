//! The fast engine equals the reference engine in every counter and every value, and folded runs
//! equal unfolded ones, on random programs.
//!
//! `WAFERSIM_CASES=10000 cargo test --release -p fabric --test differential` tries more seeds
//! than CI does; a failing seed is in the message.
#![allow(clippy::unwrap_used, reason = "tests")]

use fabric::{EngineKind, Fold, HostStreams, RunOptions, Values, WaferMemory};
use sim_core::arch::{ArchSpec, cs2::cs2};
use sim_core::coord::{Color, Dir, DirSet, Grid, PeCoord, Region, Span};
use sim_core::error::RunError;
use sim_core::program::*;
use sim_core::report::Outcome;

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u32) -> u32 {
        (self.next() % u64::from(n)) as u32
    }
    fn range(&mut self, from: u32, to: u32) -> u32 {
        from + self.below(to - from + 1)
    }
    fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }
}

fn cases(default: u64) -> u64 {
    std::env::var("WAFERSIM_CASES").ok().and_then(|s| s.parse().ok()).unwrap_or(default)
}

/// A machine with random latencies, depths and costs.
fn arch(rng: &mut Rng) -> ArchSpec {
    let mut a = cs2();
    a.router_buffer.value = rng.range(1, 5);
    a.hop.value = rng.range(1, 3);
    a.ramp_down.value = rng.range(1, 3);
    a.ramp_up.value = rng.range(0, 3);
    a.ce_latency.value = rng.range(0, 2).max(u32::from(a.ramp_up.value == 0));
    a.vector_setup.value = rng.range(0, 7);
    a.loop_back.value = rng.range(0, 2);
    a.task_dispatch.value = rng.range(0, 4);
    a.edge_latency.value = rng.range(0, 20);
    for q in a.input_queues.value.iter_mut().chain(&mut a.output_queues.value) {
        *q = rng.range(1, 6);
    }
    a
}

/// Work of one PE, before it becomes an image.
#[derive(Default, Clone)]
struct Pe {
    inputs: Vec<(u8, Color)>,
    outputs: Vec<(u8, Color)>,
    ops: Vec<VecOp>,
    data: Option<(Color, u32)>,
}

fn mem(rng: &mut Rng, dtype: DType, len: u32) -> Operand {
    let addr = 2048 + 8 * rng.below(500) + 4 * rng.below(2);
    let mut m = MemRef::vec(dtype, addr, len);
    if len > 1 && len.is_multiple_of(2) && rng.chance(25) {
        m.dims =
            vec![Dim { len: len / 2, stride: rng.below(3) as i32 }, Dim { len: 2, stride: rng.range(0, 9) as i32 }];
    }
    if rng.chance(20) {
        m = m.at(AddrReg(rng.below(3) as u8));
    }
    Operand::Mem(m)
}

fn dtype(rng: &mut Rng) -> DType {
    [DType::F16, DType::Bf16, DType::F32][rng.below(3) as usize]
}

fn memory_op(rng: &mut Rng) -> VecOp {
    let len = rng.range(1, 60);
    let op = Op::ALL[rng.below(7) as usize];
    let t = dtype(rng);
    let dst = match rng.below(10) {
        0 => Operand::Reg(DataReg(rng.below(4) as u8)),
        1 => Operand::Mem(MemRef::scalar(DType::F32, 1024)),
        _ => mem(rng, t, len),
    };
    let mut src = Vec::new();
    for i in 0..op.sources() {
        let t = dtype(rng);
        src.push(match rng.below(6) {
            _ if i == 2 => Operand::imm(0.5),
            0 => Operand::imm(1.25),
            1 => Operand::Reg(DataReg(rng.below(4) as u8)),
            _ => mem(rng, t, len),
        });
    }
    VecOp { op, len, dst, src }
}

/// A line of PEs on which one color flows from its first to its others.
#[allow(clippy::too_many_lines, reason = "one kind of traffic after the other")]
fn flow(rng: &mut Rng, p: &mut Program, pes: &mut [Pe], color: Color) {
    let grid = p.grid();
    let dir = Dir::LINKS[rng.below(4) as usize];
    let start = PeCoord { x: rng.below(grid.width), y: rng.below(grid.height) };
    let mut line = vec![start];
    while let Some(next) = grid.neighbour(*line.last().unwrap(), dir) {
        line.push(next);
    }
    line.truncate(rng.range(1, line.len() as u32) as usize);
    let t = dtype(rng);
    let len = rng.range(1, 40);
    let wavelets = t.wavelets(len);
    let from_edge = rng.chance(25) && grid.neighbour(start, dir.opposite()).is_none();
    let last = line.len() - 1;
    let mut takers = Vec::new();
    for (i, &at) in line.iter().enumerate() {
        let rx = if i == 0 && !from_edge { Dir::Ramp } else { dir.opposite() };
        let takes = rx != Dir::Ramp && (i == last || rng.chance(50));
        let mut tx = DirSet::EMPTY;
        if takes {
            tx = tx.with(Dir::Ramp);
            takers.push(at);
        }
        let leaves = i == last && rng.chance(40) && grid.neighbour(at, dir).is_none();
        if i < last || leaves {
            tx = tx.with(dir);
        }
        if tx.is_empty() {
            if i == 0 && grid.neighbour(at, dir).is_none() {
                tx = tx.with(dir);
            } else {
                return;
            }
        }
        if tx.contains(dir) && grid.neighbour(at, dir).is_none() {
            let port = if matches!(dir, Dir::North | Dir::South) { at.x } else { at.y };
            p.edges.push(EdgeStream {
                name: format!("out{}", color.index()),
                flow: Flow::Out,
                side: dir,
                ports: Span::one(port),
                color,
                wavelets: u64::from(wavelets),
                interval: rng.range(1, 4),
                fanout: 1,
            });
        }
        p.routes.push(Route { color, region: Region::rect(at.x, at.y, 1, 1), rx, tx });
    }
    if from_edge {
        let port = if matches!(dir, Dir::North | Dir::South) { start.x } else { start.y };
        p.edges.push(EdgeStream {
            name: format!("in{}", color.index()),
            flow: Flow::In,
            side: dir.opposite(),
            ports: Span::one(port),
            color,
            wavelets: u64::from(wavelets),
            interval: rng.range(1, 5),
            fanout: 1,
        });
    } else {
        let pe = &mut pes[grid.index(start).0 as usize];
        let q = pe.outputs.len() as u8;
        pe.outputs.push((q, color));
        let src = mem(rng, t, len);
        pe.ops.push(VecOp { op: Op::Mov, len, dst: Operand::Fab(color, t), src: vec![src] });
    }
    for at in takers {
        let pe = &mut pes[grid.index(at).0 as usize];
        let q = pe.inputs.len() as u8;
        pe.inputs.push((q, color));
        if pe.data.is_none() && rng.chance(20) {
            pe.data = Some((color, wavelets));
            // Sometimes an instruction takes some of the wavelets, whichever are left for it (C3, C9).
            if wavelets > 2 && rng.chance(40) {
                let len = rng.range(1, wavelets / 2);
                let dst = mem(rng, DType::F32, len);
                pe.ops.push(VecOp { op: Op::Mov, len, dst, src: vec![Operand::Fab(color, DType::F32)] });
            }
            continue;
        }
        let u = dtype(rng);
        let (a, b) = (mem(rng, u, len), mem(rng, DType::F32, len));
        let fab = Operand::Fab(color, t);
        pe.ops.push(match rng.below(3) {
            0 => VecOp { op: Op::Mov, len, dst: a, src: vec![fab] },
            1 => VecOp { op: Op::Add, len, dst: a, src: vec![b, fab] },
            _ => VecOp { op: Op::Fmac, len, dst: b, src: vec![fab, a, Operand::imm(2.0)] },
        });
    }
}

fn body(rng: &mut Rng, ops: Vec<VecOp>) -> Vec<Instr> {
    let mut out = Vec::new();
    let mut used = 0u8;
    for op in ops {
        if rng.chance(30) {
            let n = rng.range(1, 3);
            let filler = (0..n).map(|_| Instr::Vec(memory_op(rng))).collect();
            out.push(Instr::Loop { count: rng.range(1, 9), body: filler });
        }
        if rng.chance(20) {
            out.push(Instr::Addr(AddrOp::Set(AddrReg(rng.below(3) as u8), 8 * rng.below(8) as i32)));
            out.push(Instr::Addr(AddrOp::Wrap { reg: AddrReg(rng.below(3) as u8), end: 32, size: 32 }));
        }
        if rng.chance(60) && used < 8 {
            let priority = [Priority::High, Priority::Medium, Priority::Low][rng.below(3) as usize];
            out.push(Instr::Async(Async { thread: used, priority, op, then: None }));
            used += 1;
        } else {
            out.push(Instr::Vec(op));
        }
    }
    for t in 0..used {
        if rng.chance(70) {
            out.push(Instr::Join(t));
        }
    }
    out
}

fn program(rng: &mut Rng) -> Program {
    let grid = Grid { width: rng.range(1, 5), height: rng.range(1, 5) };
    let mut p = Program { name: "random".into(), grid: Some(grid), ..Program::default() };
    let mut pes = vec![Pe::default(); grid.pes() as usize];
    for c in 0..rng.range(1, 6) {
        flow(rng, &mut p, &mut pes, Color::new(c as u8).unwrap());
    }
    for (i, pe) in pes.into_iter().enumerate() {
        let at = grid.coord(sim_core::coord::PeIdx(i as u32));
        let mut ops = pe.ops;
        for k in (1..ops.len()).rev() {
            ops.swap(k, rng.below(k as u32 + 1) as usize);
        }
        let mut tasks = vec![Task {
            name: "main".into(),
            trigger: Trigger::Local,
            active: true,
            blocked: false,
            body: body(rng, ops),
        }];
        if let Some((color, _)) = pe.data {
            let mut code = vec![Instr::Vec(memory_op(rng))];
            if rng.chance(50) {
                code.push(Instr::Activate(TaskId(2)));
            }
            tasks.push(Task {
                name: "data".into(),
                trigger: Trigger::Data(color, DataReg(1)),
                active: false,
                blocked: false,
                body: code,
            });
            tasks.push(Task {
                name: "local".into(),
                trigger: Trigger::Local,
                active: false,
                blocked: false,
                body: vec![Instr::Vec(memory_op(rng))],
            });
        }
        let init = (0..64).map(|k| (k as f32 * 0.37 - 5.0).to_bits()).collect();
        let buffers = vec![Buffer { name: "m".into(), addr: 2048, dtype: DType::F32, len: 64, init }];
        p.images.push(Image { name: format!("i{i}"), inputs: pe.inputs, outputs: pe.outputs, buffers, tasks });
        p.placements.push(Placement { region: Region::rect(at.x, at.y, 1, 1), image: i as u32, params: Vec::new() });
    }
    p
}

struct Done {
    result: Result<Outcome, RunError>,
    memory: WaferMemory,
    outputs: HostStreams,
}

fn execute(p: &Program, a: &ArchSpec, engine: EngineKind, with_values: bool, fold: Fold) -> Done {
    let mut memory = WaferMemory::new(p.grid(), a.sram.value);
    for (i, pe) in memory.pes.iter_mut().enumerate() {
        for (k, b) in pe.iter_mut().enumerate() {
            // Small finite numbers in every type: exponents near the middle.
            *b = if k % 2 == 1 { 0x3c } else { (i * 7 + k) as u8 };
        }
    }
    let mut inputs = HostStreams::default();
    for e in p.edges.iter().filter(|e| e.flow == Flow::In) {
        inputs.ports.insert((e.name.clone(), 0), (0..e.wavelets as u32).map(|k| 0x3c00_3c00 + k).collect());
    }
    let mut outputs = HostStreams::default();
    let options = RunOptions { engine, fold, per_pe: true, cycle_limit: 2_000_000, ..RunOptions::default() };
    let result = if with_values {
        let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
        fabric::run(p, a, &options, Some(&mut values))
    } else {
        fabric::run(p, a, &options, None)
    };
    Done { result, memory, outputs }
}

/// What two runs must agree in.
fn essence(r: &Result<Outcome, RunError>) -> Result<Outcome, String> {
    match r {
        Ok(o) => Ok(Outcome { folds: Vec::new(), stepped_cycles: 0, stepped_pe_cycles: 0, ..o.clone() }),
        Err(RunError::Deadlock { blocked, total, .. }) => Err(format!("deadlock {total} {blocked:?}")),
        Err(e) => Err(format!("{e}")),
    }
}

#[test]
fn the_fast_engine_equals_the_reference_engine() {
    let (mut ended, mut stuck) = (0, 0);
    for seed in 0..cases(400) {
        let mut rng = Rng(seed);
        let a = arch(&mut rng);
        let p = program(&mut rng);
        let slow = execute(&p, &a, EngineKind::Reference, true, Fold::NONE);
        let fast = execute(&p, &a, EngineKind::Fast, true, Fold::NONE);
        assert_eq!(essence(&fast.result), essence(&slow.result), "seed {seed}");
        if slow.result.is_ok() {
            for (i, (f, s)) in fast.memory.pes.iter().zip(&slow.memory.pes).enumerate() {
                let at = f.iter().zip(s).position(|(a, b)| a != b);
                assert_eq!(
                    at,
                    None,
                    "seed {seed}: PE {i}: {:?} {:?}",
                    at.map(|a| &f[a / 4 * 4..][..4]),
                    at.map(|a| &s[a / 4 * 4..][..4])
                );
            }
            assert!(fast.outputs == slow.outputs, "seed {seed}: edge streams differ");
            ended += 1;
        } else {
            stuck += 1;
        }
        let plain = execute(&p, &a, EngineKind::Fast, false, Fold::NONE);
        assert_eq!(essence(&plain.result), essence(&slow.result), "seed {seed}: without values");
        let folded = execute(&p, &a, EngineKind::Fast, false, Fold::ALL);
        assert_eq!(essence(&folded.result), essence(&slow.result), "seed {seed}: folded");
    }
    assert!(ended > stuck, "most programs should end: {ended} did, {stuck} did not");
}
