//! Random programs of all mechanisms of the machine together, and random machines.

use sim_core::arch::{ArchSpec, cs2::cs2};
use sim_core::coord::{Color, Dir, DirSet, Grid, PeCoord, Region, Span};
use sim_core::program::*;
use sim_core::util::random::SplitMix64;

/// A machine with random latencies, depths and costs.
pub(crate) fn arch(rng: &mut SplitMix64) -> ArchSpec {
    let mut a = cs2();
    a.router.buffer.value = rng.range(1, 5);
    a.router.hop.value = rng.range(1, 3);
    a.router.ramp_down.value = rng.range(1, 3);
    a.router.ramp_up.value = rng.range(0, 3);
    a.pe.ce_latency.value = rng.range(0, 2).max(u32::from(a.router.ramp_up.value == 0));
    a.pe.vector_setup.value = rng.range(0, 7);
    a.pe.loop_back.value = rng.range(0, 2);
    a.pe.task_dispatch.value = rng.range(0, 4);
    a.router.edge_latency.value = rng.range(0, 20);
    a.pe.banks.value = 2 << rng.below(4);
    a.pe.bank_width.value = 16 << rng.below(3);
    a.pe.bank_conflict.value = rng.range(1, 3);
    for q in a.pe.input_queues.value.iter_mut().chain(&mut a.pe.output_queues.value) {
        *q = rng.range(1, 6);
    }
    a
}

/// Work of one PE, before it becomes an image.
#[derive(Default, Clone)]
pub(crate) struct Pe {
    pub(crate) inputs: Vec<(u8, Color)>,
    pub(crate) outputs: Vec<(u8, Color)>,
    pub(crate) ops: Vec<VecOp>,
    pub(crate) data: Option<(Color, u32)>,
    /// Control tasks and the colors whose closing it undoes.
    controls: Vec<u8>,
    opens: Vec<Color>,
    /// Control wavelets to send behind the operation with this number, by name of the color.
    pub(crate) sends: Vec<(Color, Control, Option<VecOp>)>,
    fifos: Vec<Fifo>,
    /// Elements that it copies before everything else.
    pub(crate) late: u32,
}

pub(crate) fn mem(rng: &mut SplitMix64, dtype: DType, len: u32) -> Operand {
    let addr = 2048 + 8 * rng.below(500) + 2 * rng.below(4) / (dtype.bytes() / 2) * (dtype.bytes() / 2);
    let mut m = MemRef::vec(dtype, addr, len);
    if len > 1 && len.is_multiple_of(2) && rng.chance(25) {
        m.dims =
            vec![Dim { len: len / 2, stride: rng.below(3) as i32 }, Dim { len: 2, stride: rng.range(0, 9) as i32 }]
                .into();
    }
    if rng.chance(20) {
        m = m.at(AddrReg(rng.below(3) as u8));
    }
    if rng.chance(10) {
        m.ring = Some(Ring { start: 2048 + 8 * rng.below(50), bytes: 8 * rng.range(1, 40) });
    }
    Operand::Mem(m)
}

pub(crate) fn dtype(rng: &mut SplitMix64) -> DType {
    [DType::F16, DType::Bf16, DType::F32][rng.below(3) as usize]
}

pub(crate) fn memory_op(rng: &mut SplitMix64) -> VecOp {
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
    VecOp::new(op, len, dst, src)
}

/// A line of PEs on which one color flows from its first to its others.
#[allow(clippy::too_many_lines, reason = "one kind of traffic after the other")]
fn flow(rng: &mut SplitMix64, p: &mut Program, pes: &mut [Pe], color: Color) {
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
    let whole = len;
    let wavelets = t.wavelets(len);
    let from_edge = rng.chance(25) && grid.neighbour(start, dir.opposite()).is_none();
    let last = line.len() - 1;
    let again = if !from_edge && rng.chance(15) { rng.range(1, 20) } else { 0 };
    let closing = u32::from(again > 0);
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
                wavelets: u64::from(wavelets + closing + t.wavelets(again)),
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
        pe.ops.push(VecOp::new(Op::Mov, len, Operand::Fab(color, t), vec![src]));
        if again > 0 {
            let control = Control { commands: vec![Command::Teardown], task: None };
            let src = mem(rng, t, again);
            let op = VecOp::new(Op::Mov, again, Operand::Fab(color, t), vec![src]);
            pe.sends.push((color, control, Some(op)));
            for at in &line {
                pes[grid.index(*at).0 as usize].opens.push(color);
            }
        }
    }
    let total = wavelets + t.wavelets(again);
    for at in takers {
        let (len, wavelets) = filtered(rng, p, at, color, t, total);
        if wavelets == 0 {
            let pe = &mut pes[grid.index(at).0 as usize];
            pe.inputs.push((pe.inputs.len() as u8, color));
            continue;
        }
        let len = if total == t.wavelets(whole) && wavelets == total && again == 0 { whole } else { len };
        let pe = &mut pes[grid.index(at).0 as usize];
        let q = pe.inputs.len() as u8;
        pe.inputs.push((q, color));
        if pe.data.is_none() && rng.chance(20) {
            pe.data = Some((color, wavelets));
            // Sometimes an instruction takes some of the wavelets, whichever are left for it (C3, C9).
            if wavelets > 2 && rng.chance(40) {
                let len = rng.range(1, wavelets / 2);
                let dst = mem(rng, DType::F32, len);
                pe.ops.push(VecOp::new(Op::Mov, len, dst, vec![Operand::Fab(color, DType::F32)]));
            }
            continue;
        }
        let u = dtype(rng);
        let (a, b) = (mem(rng, u, len), mem(rng, DType::F32, len));
        let fab = Operand::Fab(color, t);
        pe.ops.push(match rng.below(3) {
            0 => VecOp::new(Op::Mov, len, a, vec![fab]),
            1 => VecOp::new(Op::Add, len, a, vec![b, fab]),
            _ => VecOp::new(Op::Fmac, len, b, vec![fab, a, Operand::imm(2.0)]),
        });
    }
}

/// Perhaps a filter where a color goes down the ramp at `at`; elements and wavelets that come then.
fn filtered(rng: &mut SplitMix64, p: &mut Program, at: PeCoord, color: Color, t: DType, total: u32) -> (u32, u32) {
    if !rng.chance(15) {
        return (total * t.per_wavelet(), total);
    }
    let (start, period) = (rng.below(9), rng.range(1, 9));
    let pass = rng.below(period + 1);
    let region = Region::rect(at.x, at.y, 1, 1);
    p.filters.push(Filter { color, region, start, dx: 0, dy: 0, period, pass });
    let come = (0..total).filter(|k| (start + k) % period < pass).count() as u32;
    (come * t.per_wavelet(), come)
}

/// A line of PEs that send to its end one after the other: each sends its own wavelets, then a
/// control wavelet that turns its switch to those behind it.
fn star(rng: &mut SplitMix64, p: &mut Program, pes: &mut [Pe], color: Color) {
    let grid = p.grid();
    let dir = Dir::LINKS[rng.below(4) as usize];
    let mut line = vec![PeCoord { x: rng.below(grid.width), y: rng.below(grid.height) }];
    while let Some(next) = grid.neighbour(*line.last().unwrap(), dir) {
        line.push(next);
    }
    if line.len() < 2 {
        return;
    }
    let (last, back) = (line.len() - 1, dir.opposite());
    let entry = rng.chance(40).then(|| rng.below(3) as u8);
    let mut total = 0;
    for (i, &at) in line[..last].iter().enumerate() {
        let region = Region::rect(at.x, at.y, 1, 1);
        let tx = DirSet::EMPTY.with(dir);
        p.routes.push(Route { color, region, rx: Dir::Ramp, tx });
        if i > 0 {
            let mut positions = vec![Position { rx: Some(back), tx: None }];
            if rng.chance(20) {
                positions.push(Position { rx: Some(back), tx: rng.chance(50).then_some(tx) });
            }
            let pop = Pop::ALL[rng.below(3) as usize];
            p.switches.push(Switch { color, region, positions, ring: rng.chance(10), pop });
        }
        let len = rng.range(1, 9);
        total += len;
        let pe = &mut pes[grid.index(at).0 as usize];
        pe.outputs.push((pe.outputs.len() as u8, color));
        let src = mem(rng, DType::F32, len);
        pe.ops.push(VecOp::new(Op::Mov, len, Operand::Fab(color, DType::F32), vec![src]));
        let mut commands = vec![Command::Advance];
        while rng.chance(30) && commands.len() < 8 {
            commands.push(Command::ALL[rng.below(3) as usize]);
        }
        pe.sends.push((color, Control { commands, task: entry.filter(|_| rng.chance(80)) }, None));
    }
    let at = line[last];
    p.routes.push(Route { color, region: Region::rect(at.x, at.y, 1, 1), rx: back, tx: DirSet::EMPTY.with(Dir::Ramp) });
    let (_, come) = filtered(rng, p, at, color, DType::F32, total);
    let pe = &mut pes[grid.index(at).0 as usize];
    pe.inputs.push((pe.inputs.len() as u8, color));
    pe.controls.extend(entry);
    if come > 0 {
        let dst = mem(rng, DType::F32, come);
        pe.ops.push(VecOp::new(Op::Mov, come, dst, vec![Operand::Fab(color, DType::F32)]));
    }
}

/// A FIFO in memory, filled by a microthread and drained by the main thread or another one.
fn through_fifo(rng: &mut SplitMix64, out: &mut Vec<Instr>, used: &mut u8, fifos: &mut Vec<Fifo>) {
    let (t, len) = (dtype(rng), rng.range(1, 60));
    let id = FifoId(fifos.len() as u8);
    let addr = 16384 + 256 * u32::from(id.0);
    fifos.push(Fifo { name: format!("f{}", id.0), addr, dtype: t, len: rng.range(8, 20) });
    let source = mem(rng, t, len);
    let fill = VecOp::new(Op::Mov, len, Operand::Fifo(id, t), vec![source]);
    let dst = mem(rng, DType::F32, len);
    let drain = VecOp::new(Op::Add, len, dst, vec![Operand::Fifo(id, t), Operand::imm(0.5)]);
    let priority = [Priority::High, Priority::Medium, Priority::Low][rng.below(3) as usize];
    let (fill, drain) = if rng.chance(50) { (fill, drain) } else { (drain, fill) };
    out.push(Instr::Async(Async { thread: *used, priority, op: fill, then: None }));
    *used += 1;
    out.push(Instr::Vec(drain));
}

fn body(
    rng: &mut SplitMix64,
    ops: Vec<VecOp>,
    sends: &[(Color, Control, Option<VecOp>)],
    fifos: &mut Vec<Fifo>,
) -> Vec<Instr> {
    let mut out = Vec::new();
    let mut used = 0u8;
    for op in ops {
        if rng.chance(15) && used < 7 {
            through_fifo(rng, &mut out, &mut used, fifos);
        }
        // What a control wavelet follows is on the main thread: it goes behind it.
        if let Operand::Fab(color, _) = op.dst
            && let Some((_, control, more)) = sends.iter().find(|s| s.0 == color)
        {
            out.push(Instr::Vec(op));
            out.push(Instr::Control(color, control.clone()));
            out.extend(more.clone().map(Instr::Vec));
            continue;
        }
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

fn special(rng: &mut SplitMix64, trigger: Trigger, then: Option<Instr>) -> Task {
    let mut body = vec![Instr::Vec(memory_op(rng))];
    body.extend(then);
    Task { name: "special".into(), trigger, active: false, blocked: false, body }
}

pub(crate) fn program(rng: &mut SplitMix64) -> Program {
    let grid = Grid { width: rng.range(1, 5), height: rng.range(1, 5) };
    let mut p = Program { name: "random".into(), grid: Some(grid), ..Program::default() };
    let mut pes = vec![Pe::default(); grid.pes() as usize];
    let flows = rng.range(1, 6);
    for c in 0..flows {
        let color = Color::new(c as u8).unwrap();
        if rng.chance(25) {
            star(rng, &mut p, &mut pes, color);
        } else {
            flow(rng, &mut p, &mut pes, color);
        }
    }
    for (i, mut pe) in pes.into_iter().enumerate() {
        let at = grid.coord(sim_core::coord::PeIdx(i as u32));
        let ops = &mut pe.ops;
        for k in (1..ops.len()).rev() {
            ops.swap(k, rng.below(k as u32 + 1) as usize);
        }
        p.images.push(image(rng, pe, format!("i{i}"), 1));
        p.placements.push(Placement { region: Region::rect(at.x, at.y, 1, 1), image: i as u32, params: Vec::new() });
    }
    p
}

/// The image of a PE, whose main task does its work `times` times.
pub(crate) fn image(rng: &mut SplitMix64, mut pe: Pe, name: String, times: u32) -> Image {
    let ops = std::mem::take(&mut pe.ops);
    let mut work = body(rng, ops, &pe.sends, &mut pe.fifos);
    if pe.late > 0 {
        let at = |addr| Operand::Mem(MemRef::vec(DType::F32, addr, pe.late));
        work.insert(0, Instr::Vec(VecOp::new(Op::Mov, pe.late, at(0), vec![at(8192)])));
    }
    if times > 1 {
        work.extend((0..8).map(Instr::Join));
        work = vec![Instr::Loop { count: times, body: work }];
    }
    let main = Task { name: "main".into(), trigger: Trigger::Local, active: true, blocked: false, body: work };
    let mut tasks = vec![main];
    let mut specials = Vec::new();
    for &id in &pe.controls {
        specials.push(special(rng, Trigger::Control(id), None));
    }
    for &color in &pe.opens {
        specials.push(special(rng, Trigger::Teardown(color), Some(Instr::Open(color))));
    }
    if let Some((color, _)) = pe.data {
        let mut code = vec![Instr::Vec(memory_op(rng))];
        if rng.chance(50) {
            code.push(Instr::Activate(TaskId(2)));
        }
        let task = |name: &str, trigger, body| Task { name: name.into(), trigger, active: false, blocked: false, body };
        tasks.push(task("data", Trigger::Data(color, DataReg(1)), code));
        tasks.push(task("local", Trigger::Local, vec![Instr::Vec(memory_op(rng))]));
    }
    tasks.extend(specials);
    let init = (0..64).map(|k| (k as f32 * 0.37 - 5.0).to_bits()).collect();
    let buffers = vec![Buffer { name: "m".into(), addr: 2048, dtype: DType::F32, word: None, len: 64, init }];
    Image { name, inputs: pe.inputs, outputs: pe.outputs, buffers, fifos: pe.fifos, tasks }
}
