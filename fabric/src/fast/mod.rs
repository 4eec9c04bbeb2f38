//! The fast engine: the machine of `docs/MODEL.md`, looked at only where something can change.
//!
//! Routers, compute elements and ports of edge streams are *agents*. An agent is looked at in a
//! cycle only if an event may have changed what it can do: a wavelet became ready, room was made,
//! a setup or a long instruction ended. In every cycle all agents that are looked at decide from
//! the state at the start of the cycle; then everything is committed.
//!
//! **Invariant.** Looking at an agent too often changes nothing. So results depend on neither the
//! order nor the number of looks.
//! **Not here.** What may be left out (`fold`).

mod addr;
mod build;
mod ce;
mod code;
mod deadlock;
mod fifo;
mod host;
mod laws;
pub(crate) mod snapshot;
mod state;
mod switch;
mod values;
mod watch;
mod wheel;

use crate::{RunOptions, Values};
use build::Tables;
use ce::{Costs, Effects, Step};
use fifo::{NONE, Word};
use sim_core::arch::ArchSpec;
use sim_core::coord::PeIdx;
use sim_core::error::RunError;
use sim_core::program::Program;
use sim_core::report::{Outcome, PeCounters};
use sim_core::units::{Cycle, Cycles};
use snapshot::TimeFold;
pub(crate) use state::Class;
use state::Port;
use values::Memory;
pub(crate) use watch::Watch;
use wheel::Wheel;

/// What a run gives beyond an [`Outcome`], for folding.
#[derive(Debug, Default)]
pub(crate) struct Detail {
    pub(crate) outcome: Outcome,
    pub(crate) pes: Vec<PeCounters>,
    /// Cycle after the last event of each PE: of its router or its compute element.
    pub(crate) ends: Vec<u64>,
    pub(crate) watches: Vec<Watch>,
    /// Periods that were skipped: `(period, how often)`.
    pub(crate) skips: Vec<(u64, u64)>,
    /// The run was given up, since the boundaries of a gap differed ([`Watch::differs`]).
    pub(crate) given_up: bool,
}

/// Ports of a color that is closed: none, and never free.
const CLOSED: u8 = u8::MAX;

/// Cycles between two looks at whether boundaries still agree.
const AGREE: u64 = 512;

/// What to do beside running.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) time_fold: bool,
    pub(crate) watches: Vec<Watch>,
}

/// Executes `program` without space folding.
///
/// # Errors
/// See [`crate::run`].
pub fn run(
    program: &Program,
    arch: &ArchSpec,
    options: &RunOptions,
    values: Option<&mut Values<'_>>,
) -> Result<Outcome, RunError> {
    let plan = Plan { time_fold: options.fold.time && values.is_none(), watches: Vec::new() };
    let detail = run_detailed(program, arch, options, plan, values)?;
    let mut outcome = detail.outcome;
    if options.per_pe {
        outcome.per_pe = Some(detail.pes);
    }
    outcome.folds.extend(snapshot::notes(&detail.skips));
    Ok(outcome)
}

/// Executes `program` with watches on boundaries between lines.
pub(crate) fn run_detailed(
    program: &Program,
    arch: &ArchSpec,
    options: &RunOptions,
    plan: Plan,
    mut values: Option<&mut Values<'_>>,
) -> Result<Detail, RunError> {
    let tables = Tables::new(program, arch, options.memory_limit)?;
    let mut engine = Engine::new(tables, arch, plan);
    if let Some(v) = values.as_deref_mut() {
        engine.load(program, v);
    }
    let end = engine.run(options.cycle_limit)?;
    if let Some(v) = values {
        engine.unload(program, v);
    }
    Ok(engine.detail(end))
}

/// A run.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) t: Tables,
    pub(crate) wheel: Wheel,
    pub(crate) costs: Costs,
    pub(crate) now: u64,
    /// Cycles that were skipped.
    pub(crate) skipped: u64,
    /// How often an agent was looked at.
    pub(crate) looks: u64,
    pub(crate) sent: Vec<[u64; 5]>,
    /// Wavelets that compute elements gave.
    given: u64,
    memories: Option<Vec<Memory>>,
    /// Cycle in which an agent was last looked at, plus one.
    looked: Vec<u64>,
    pub(crate) last_event: Vec<u64>,
    moves: Vec<u32>,
    effects: Effects,
    pushes: Vec<(u32, u64, Word)>,
    /// Colors to open: `(PE, color)`.
    opens: Vec<(u32, u8)>,
    pops: Vec<u32>,
    injects: Vec<u32>,
    watches: Vec<Watch>,
    /// Watch of a boundary: by row, then by column.
    watched: Vec<u32>,
    /// Watched boundaries without an event so far.
    unbegun: usize,
    next_check: u64,
    given_up: bool,
    pub(crate) fold: Option<TimeFold>,
    fault: Option<(u32, i64)>,
    sram: u32,
    hop: u64,
}

impl Engine {
    fn new(t: Tables, arch: &ArchSpec, plan: Plan) -> Engine {
        let n = t.grid.pes() as usize;
        let agents = 2 * n + t.ports.len();
        let mut watched = vec![NONE; (t.grid.height + t.grid.width) as usize];
        for (i, w) in plan.watches.iter().enumerate() {
            watched[w.boundary(t.grid) as usize] = i as u32;
        }
        let fold = plan.time_fold.then(|| TimeFold::new(&t)).flatten();
        let mut engine = Engine {
            wheel: Wheel::new(agents),
            costs: Costs::new(arch),
            now: 0,
            skipped: 0,
            looks: 0,
            sent: vec![[0; 5]; n],
            given: 0,
            memories: None,
            looked: vec![0; agents],
            last_event: vec![0; n],
            moves: Vec::new(),
            effects: Effects::default(),
            pushes: Vec::new(),
            opens: Vec::new(),
            pops: Vec::new(),
            injects: Vec::new(),
            unbegun: plan.watches.len(),
            next_check: AGREE,
            given_up: false,
            watches: plan.watches,
            watched,
            fold,
            fault: None,
            sram: arch.sram.value,
            hop: u64::from(arch.hop.value.max(1)),
            t,
        };
        for pe in 0..n {
            if engine.t.ces[pe].is_some() {
                engine.wheel.wake((n + pe) as u32, 0);
            }
        }
        for (i, p) in engine.t.ports.iter().enumerate() {
            if p.inward {
                engine.wheel.wake((2 * n + i) as u32, p.next);
            }
        }
        engine
    }

    /// Runs to the end and gives its cycle.
    fn run(&mut self, limit: u64) -> Result<u64, RunError> {
        let mut agents = Vec::new();
        let n = self.t.grid.pes() as u32;
        while let Some(now) = self.wheel.next(&mut agents) {
            self.now = now;
            self.looks += agents.len() as u64;
            // A look in the cycle of the limit may find that nothing happens any more.
            if now + self.skipped > limit {
                return Err(RunError::CycleLimit { limit });
            }
            for &agent in &agents {
                let looked = &mut self.looked[agent as usize];
                if *looked == now + 1 {
                    continue;
                }
                *looked = now + 1;
                if agent < n {
                    self.look_router(agent);
                } else if agent < 2 * n {
                    self.look_ce(agent - n);
                } else {
                    self.look_port(agent - 2 * n);
                }
            }
            if let Some((pe, address)) = self.fault {
                let pe = self.t.grid.coord(PeIdx(pe));
                let at = Cycle(now + self.skipped);
                return Err(RunError::MemoryFault { at, pe, address, sram: u64::from(self.sram) });
            }
            self.commit();
            if now >= self.next_check {
                self.next_check = now + AGREE;
                if self.watches.chunks(2).any(Watch::differs) {
                    self.given_up = true;
                    return Ok(now + self.skipped);
                }
            }
            self.try_fold();
        }
        let end = self.finish()?;
        if end > limit { Err(RunError::CycleLimit { limit }) } else { Ok(end) }
    }

    /// Rule R3.
    fn look_router(&mut self, pe: u32) {
        let (start, end) = (self.t.path_start[pe as usize] as usize, self.t.path_start[pe as usize + 1] as usize);
        let mut taken = 0u8;
        let mut moved = 0usize;
        let count = end - start;
        let mut i = 0;
        while i + moved < count {
            let local = self.t.order[start + i];
            let path = self.t.paths[start + usize::from(local)];
            let ports = if self.t.specials.is_empty() { path.ports } else { self.head_ports(&path).unwrap_or(CLOSED) };
            if ports & taken != 0 || !self.can_move(&path, ports) {
                i += 1;
                continue;
            }
            taken |= ports;
            self.moves.push((start + usize::from(local)) as u32);
            // To the end of the service order, behind those that moved before.
            self.t.order[start + i..end].rotate_left(1);
            moved += 1;
        }
        if moved > 0 {
            self.wheel.wake(pe, self.now + 1);
            self.last_event[pe as usize] = self.now + 1 + self.skipped;
        }
    }

    fn can_move(&mut self, path: &state::Path, ports: u8) -> bool {
        if path.from == NONE || ports == CLOSED || !self.t.fifos.ready(path.from, self.now) {
            return false;
        }
        let targets = path.first as usize..path.first as usize + usize::from(path.count);
        for i in targets {
            let target = self.t.targets[i];
            if ports & 1 << target.port == 0 {
                continue;
            }
            if target.to == NONE {
                return false;
            }
            if target.edge {
                let Port { next, left, .. } = self.t.ports[target.to as usize];
                if left == 0 {
                    return false;
                }
                if next > self.now {
                    let pe = self.t.ports[target.to as usize].pe;
                    self.wheel.wake(pe, next);
                    return false;
                }
            } else if !self.t.fifos.room(target.to) {
                return false;
            }
        }
        true
    }

    fn look_ce(&mut self, pe: u32) {
        let Some(ce) = &mut self.t.ces[pe as usize] else { return };
        ce.flush(self.now, self.skipped);
        self.effects.pops.clear();
        self.effects.pushes.clear();
        self.effects.wakes.clear();
        self.effects.opens.clear();
        self.effects.back_edge = None;
        let image = &self.t.images[usize::from(ce.image)];
        let memory = self.memories.as_mut().map(|m| &mut m[pe as usize]);
        let mut step = Step {
            ce,
            image,
            queues: &self.t.queues[pe as usize],
            fifos: &self.t.fifos,
            memory,
            costs: self.costs,
            now: self.now,
            claimed: None,
            out: &mut self.effects,
        };
        step.run();
        let agent = self.t.grid.pes() as u32 + pe;
        for &at in &self.effects.wakes {
            self.wheel.wake(agent, at);
        }
        self.pops.append(&mut self.effects.pops);
        self.pushes.append(&mut self.effects.pushes);
        self.opens.extend(self.effects.opens.drain(..).map(|color| (pe, color)));
        if let Some(address) = self.effects.fault.take() {
            self.fault = Some((pe, address));
        }
        if let (Some(pc), Some(fold)) = (self.effects.back_edge, &mut self.fold) {
            fold.back_edge(pe, pc);
        }
    }

    /// Rule E1.
    fn look_port(&mut self, port: u32) {
        let p = &self.t.ports[port as usize];
        if !p.inward || p.left == 0 || p.into == NONE || p.next > self.now {
            return;
        }
        if self.t.fifos.room(p.into) {
            let at = self.now + u64::from(p.interval);
            self.injects.push(port);
            self.wheel.wake(2 * self.t.grid.pes() as u32 + port, at);
        }
    }

    fn commit(&mut self) {
        self.check_quiet();
        let mut moves = std::mem::take(&mut self.moves);
        for &at in &moves {
            self.commit_move(at);
        }
        moves.clear();
        self.moves = moves;
        for (pe, color) in std::mem::take(&mut self.opens) {
            self.open(pe, color);
        }
        let mut pops = std::mem::take(&mut self.pops);
        for &fifo in &pops {
            self.pop(fifo);
        }
        pops.clear();
        self.pops = pops;
        let mut pushes = std::mem::take(&mut self.pushes);
        self.given += pushes.len() as u64;
        for &(fifo, ready, value) in &pushes {
            self.push(fifo, ready, value);
        }
        pushes.clear();
        self.pushes = pushes;
        let mut injects = std::mem::take(&mut self.injects);
        for &port in &injects {
            let p = &mut self.t.ports[port as usize];
            let value = p.values.get(p.taken).copied().unwrap_or(0);
            p.taken += 1;
            p.left -= 1;
            p.next = self.now + u64::from(p.interval);
            let (into, pe) = (p.into, p.pe as usize);
            self.last_event[pe] = self.now + 1 + self.skipped;
            self.push(into, self.now + self.hop, Word::from(value));
        }
        injects.clear();
        self.injects = injects;
    }

    fn commit_move(&mut self, at: u32) {
        let path = self.t.paths[at as usize];
        let plain = self.t.specials.is_empty();
        let ports = if plain { path.ports } else { self.head_ports(&path).unwrap_or(path.ports) };
        let word = self.pop(path.from);
        let pe = self.t.fifos.all[path.from as usize].consumer as usize;
        let word = if plain { word } else { self.pass(at, pe, word) };
        for i in path.first as usize..path.first as usize + usize::from(path.count) {
            let target = self.t.targets[i];
            if ports & 1 << target.port == 0 {
                continue;
            }
            self.sent[pe][usize::from(target.port)] += 1;
            if target.edge {
                let p = &mut self.t.ports[target.to as usize];
                p.next = self.now + u64::from(p.interval);
                p.left -= 1;
                if self.memories.is_some() {
                    p.values.push(word as u32);
                }
            } else {
                self.push(target.to, self.now + u64::from(target.latency), word);
            }
        }
    }

    #[inline]
    fn pop(&mut self, fifo: u32) -> Word {
        let value = self.t.fifos.pop(fifo);
        let f = &self.t.fifos.all[fifo as usize];
        let (producer, boundary, key) = (f.producer, f.boundary, f.key);
        if producer != NONE {
            let at = match self.t.ports.get((producer as usize).wrapping_sub(2 * self.sent.len())) {
                Some(p) => p.next.max(self.now + 1),
                None => self.now + 1,
            };
            self.wheel.wake(producer, at);
        }
        if boundary != NONE {
            self.record(boundary, key | 1 << 63);
        }
        value
    }

    #[inline]
    fn push(&mut self, fifo: u32, ready: u64, value: Word) {
        self.t.fifos.push(fifo, ready, value);
        let f = &self.t.fifos.all[fifo as usize];
        let (consumer, boundary, key) = (f.consumer, f.boundary, f.key);
        self.wheel.wake(consumer, ready);
        if boundary != NONE {
            self.record(boundary, key);
        }
    }

    /// Rule M3: after the last event.
    fn finish(&mut self) -> Result<u64, RunError> {
        let now = self.now + 1;
        if let Some(error) = deadlock::find(self, now) {
            return Err(error);
        }
        let mut end = self.last_event.iter().copied().max().unwrap_or(0);
        for ce in self.t.ces.iter_mut().flatten() {
            ce.flush(now, self.skipped);
            end = end.max(ce.finish);
        }
        self.check_laws(end)?;
        Ok(end)
    }

    fn detail(mut self, end: u64) -> Detail {
        let mut ends = std::mem::take(&mut self.last_event);
        let mut pes = Vec::with_capacity(self.sent.len());
        let mut outcome = Outcome {
            cycles: Cycles(end),
            stepped_cycles: end - self.skipped.min(end),
            stepped_pe_cycles: (end - self.skipped.min(end)) * self.t.grid.pes(),
            ..Outcome::default()
        };
        for (pe, ce) in self.t.ces.iter().enumerate() {
            let counters = state::counters(ce.as_deref(), self.sent[pe], end);
            ends[pe] = ends[pe].max(counters.finish);
            outcome.pe_cycles += counters.cycles;
            outcome.macs += counters.macs;
            outcome.wavelet_hops += counters.hops();
            pes.push(counters);
        }
        let skips = self.fold.take().map_or_else(Vec::new, |f| f.skips);
        Detail { outcome, pes, ends, watches: self.watches, skips, given_up: self.given_up }
    }
}
