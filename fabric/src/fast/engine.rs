//! A run of the fast engine: from the tables of its bands to its end, and what it gives.
//!
//! **Invariant.** Every cycle in which an agent has something to do is done by all bands before the
//! next one that depends on it; what a run gives was checked against the invariants of every run.
//! **Not here.** The order in which bands do cycles (`tiles`), and what a band does in one (`band`).

use super::band::Band;
use super::build::{self, Cut};
use super::memory::Memory;
use super::state;
use super::tables::Tables;
use super::tiles::{self, Tiling};
use super::watch::{Watch, Watches};
use super::{deadlock, invariants};
use crate::options::RunOptions;
use crate::values::Values;
use sim_core::arch::ArchSpec;
use sim_core::error::RunError;
use sim_core::program::Program;
use sim_core::report::{ColorCounters, Outcome, PeCounters};
use sim_core::units::{Cycle, Cycles};

/// Cycles between two checks that boundaries still agree: often enough that a run whose traces differ is
/// given up early, and so seldom that the checks cost nothing beside the cycles.
const AGREE: u64 = 512;
/// Fewest PEs of a mesh that is worth a second thread. On smaller meshes waking the thread takes longer
/// than what it would do.
const BANDS_FROM: u64 = 4096;
/// Rows of a band that leave blocks long enough: a block has fewer cycles than a band has rows (`tiles`).
const BAND_ROWS: u32 = 32;
/// Fewest lots of agents to evaluate that are worth waking other threads for, times cycles.
const PARALLEL_FROM: u64 = 96;
/// Fewest lots of agents to evaluate in a cycle that are worth going through tiles for.
const TILES_FROM: u64 = 16;

/// What a run gives beyond an [`Outcome`], for folding.
#[derive(Debug, Default)]
pub(crate) struct Detail {
    pub(crate) outcome: Outcome,
    pub(crate) pes: Vec<PeCounters>,
    /// What their routers sent by color, if that was asked for.
    pub(crate) colors: Option<ColorCounters>,
    /// Cycle after the last event of each PE: of its router or its compute element.
    pub(crate) ends: Vec<u64>,
    pub(crate) watches: Vec<Watch>,
    /// Periods that were skipped: `(period, how often)`.
    pub(crate) skips: Vec<(u64, u64)>,
    /// The run was given up, since the boundaries of a gap differed ([`Watch::differs`]).
    pub(crate) given_up: bool,
}

/// What to do beside running.
#[derive(Debug, Default)]
pub(crate) struct Instruments {
    pub(crate) time_fold: bool,
    pub(crate) watches: Vec<Watch>,
}

/// Bands of a mesh of `height` rows. Two bands are done together, so each thread needs two of them;
/// with more, a thread that is slower holds up the others less, as long as blocks stay long.
fn bands_for(height: u32, threads: u32) -> u32 {
    match threads {
        1 => 1,
        _ => (height / BAND_ROWS).clamp(2 * threads, 4 * threads),
    }
}

/// Executes `program` with watches on boundaries between lines.
pub(crate) fn run_detailed(
    program: &Program,
    arch: &ArchSpec,
    options: &RunOptions,
    instruments: Instruments,
    mut values: Option<&mut Values<'_>>,
) -> Result<Detail, RunError> {
    // Folding compares states of the whole mesh, which only exist where all PEs are in one cycle.
    let alone = instruments.time_fold || !instruments.watches.is_empty();
    let threads = rayon::current_num_threads() as u32;
    let worth_it = if program.grid().pes() < BANDS_FROM { 1 } else { bands_for(program.grid().height, threads) };
    let bands = if alone { 1 } else { options.bands.unwrap_or(worth_it) };
    let cut = Cut { limit: options.memory_limit, bands, watched: !instruments.watches.is_empty() };
    let mut engine = Engine::new(build::bands(program, arch, cut)?, arch, instruments);
    if options.bands.is_some() {
        (engine.parallel_from, engine.tiles_from, engine.tiling) = (0, 0, Tiling::SMALL);
    }
    if let Some(v) = values.as_deref_mut() {
        engine.load(program, v);
    }
    let end = engine.run(options.cycle_limit)?;
    if let Some(v) = values {
        engine.unload(program, v);
    }
    Ok(engine.detail(end, options.per_pe || options.cells.is_some()))
}

/// A run: its bands, and how they are stepped.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) bands: Vec<Band>,
    given_up: bool,
    /// Fewest lots of agents, times cycles, that other threads are woken for.
    parallel_from: u64,
    /// Fewest lots of agents that tiles are visited for.
    tiles_from: u64,
    tiling: Tiling,
    sram: u32,
}

impl Engine {
    pub(super) fn new(tables: Vec<Tables>, arch: &ArchSpec, instruments: Instruments) -> Engine {
        let Instruments { time_fold, mut watches } = instruments;
        let band = |t: Tables| {
            let watches = Watches::new(std::mem::take(&mut watches), t.grid);
            Band::new(t, arch, watches, time_fold)
        };
        Engine {
            bands: tables.into_iter().map(band).collect(),
            given_up: false,
            parallel_from: PARALLEL_FROM,
            tiles_from: TILES_FROM,
            tiling: Tiling::LARGE,
            sram: arch.pe.sram.value,
        }
    }

    fn load(&mut self, program: &Program, values: &mut Values<'_>) {
        for band in &mut self.bands {
            band.t.fifos.carry_words();
            let mut memories = vec![Memory::default(); band.t.pes() as usize];
            for (pe, ce) in band.t.ces.iter().enumerate().filter(|(_, ce)| ce.exists()) {
                let m = &mut memories[pe];
                m.bytes = std::mem::take(&mut values.memory.pes[band.t.first as usize + pe]);
                for b in &program.images[usize::from(ce.image)].buffers {
                    for (i, bits) in b.init.iter().enumerate() {
                        let address = i64::from(b.addr) + i as i64 * i64::from(b.dtype.bytes());
                        let held = if b.word.is_some() { *bits } else { b.dtype.encode(f32::from_bits(*bits)) };
                        if let Err(address) = m.store(b.dtype, address, held) {
                            band.memory_fault = Some((pe as u32, address));
                        }
                    }
                }
            }
            band.memories = Some(memories);
            for p in band.t.ports.iter_mut().filter(|p| p.inward) {
                let name = program.edges[p.stream as usize].name.clone();
                p.values = values.inputs.ports.get(&(name, p.ordinal)).cloned().unwrap_or_default();
            }
        }
    }

    fn unload(&mut self, program: &Program, values: &mut Values<'_>) {
        for band in &mut self.bands {
            for (pe, m) in band.memories.take().into_iter().flatten().enumerate() {
                if band.t.ces[pe].exists() {
                    values.memory.pes[band.t.first as usize + pe] = m.bytes;
                }
            }
            for p in band.t.ports.iter_mut().filter(|p| !p.inward) {
                let name = program.edges[p.stream as usize].name.clone();
                values.outputs.ports.insert((name, p.ordinal), std::mem::take(&mut p.values));
            }
        }
    }

    /// Runs to the end and gives its cycle.
    pub(super) fn run(&mut self, limit: u64) -> Result<u64, RunError> {
        let mut next_check = AGREE;
        let tiles = self.tiling();
        while let Some(now) = self.bands.iter().filter_map(|b| b.wheel.peek()).min() {
            let at = now + self.skipped();
            // An evaluation in the cycle of the limit may find that nothing happens any more.
            if at > limit {
                return Err(RunError::CycleLimit { limit });
            }
            let due: u64 = self.bands.iter().map(|b| b.wheel.due(now)).sum();
            let tiling = tiles.filter(|_| due >= self.tiles_from).map(|tiling| tiling.within(limit - at + 1));
            let cycles = tiling.map_or(1, |tiling| u64::from(tiling.cycles));
            let parallel = self.bands.len() > 1 && due * cycles >= self.parallel_from;
            match tiling {
                Some(tiling) => tiles::round(&mut self.bands, now, tiling, parallel),
                None => tiles::cycle(&mut self.bands, now, parallel),
            }
            self.check_memory_faults(at)?;
            if now >= next_check {
                next_check = now + AGREE;
                if self.bands[0].watches.all.chunks(2).any(Watch::differs) {
                    self.given_up = true;
                    return Ok(at);
                }
            }
            if let [band] = &mut self.bands[..] {
                band.try_fold();
            }
        }
        let last = self.bands.iter().map(|b| b.last_evaluation).max().unwrap_or(0);
        let end = self.finish(last)?;
        if end > limit { Err(RunError::CycleLimit { limit }) } else { Ok(end) }
    }

    /// How a mesh is cut for blocks of cycles; None if cycles are done one by one: where states of the
    /// whole mesh are compared, and with values, so that the first memory fault is found first.
    fn tiling(&self) -> Option<Tiling> {
        let band = &self.bands[0];
        if band.fold.is_some() || band.watches.any() || band.memories.is_some() {
            return None;
        }
        let rows = self.bands.iter().map(Band::rows).min()?;
        // Where two bands meet, both do each cycle in one row of tiles.
        let most = if self.bands.len() == 1 { rows } else { rows - 1 };
        (most > 0).then(|| Tiling { cycles: self.tiling.cycles.min(most), ..self.tiling })
    }

    /// Cycles that were skipped: by time folding, so in a run of one band.
    fn skipped(&self) -> u64 {
        self.bands.first().map_or(0, |b| b.skipped)
    }

    fn check_memory_faults(&self, at: u64) -> Result<(), RunError> {
        let fault = |b: &Band| b.memory_fault.map(|(pe, address)| (b.t.coord(pe), address));
        match self.bands.iter().find_map(fault) {
            None => Ok(()),
            Some((pe, address)) => {
                Err(RunError::MemoryFault { at: Cycle(at), pe, address, sram: u64::from(self.sram) })
            }
        }
    }

    /// Rule M3: after the last event, in cycle `last`.
    fn finish(&mut self, last: u64) -> Result<u64, RunError> {
        let now = last + 1;
        let skipped = self.skipped();
        if let Some(error) = deadlock::find(&self.bands, now) {
            return Err(error);
        }
        let mut end = 0;
        for band in &mut self.bands {
            end = band.t.routers.iter().map(|r| r.last_event).fold(end, u64::max);
            for ce in band.t.ces.iter_mut().filter(|ce| ce.exists()) {
                ce.flush(now, skipped);
                end = end.max(ce.finish);
            }
        }
        invariants::check(&self.bands, end)?;
        Ok(end)
    }

    fn detail(mut self, end: u64, colors: bool) -> Detail {
        let skipped = self.skipped().min(end);
        let mut d = Detail { given_up: self.given_up, ..Detail::default() };
        let pes: u64 = self.bands.iter().map(|b| u64::from(b.t.pes())).sum();
        d.outcome.cycles = Cycles(end);
        d.outcome.stepped_cycles = end - skipped;
        d.outcome.stepped_pe_cycles = (end - skipped) * pes;
        for band in &self.bands {
            for (pe, ce) in band.t.ces.iter().enumerate() {
                let counters = state::counters(ce, band.sent(pe), end);
                d.ends.push(band.t.routers[pe].last_event.max(counters.finish));
                d.outcome.pe_cycles += counters.cycles;
                d.outcome.macs += counters.macs;
                d.outcome.wavelet_hops += counters.hops();
                d.pes.push(counters);
            }
        }
        if colors {
            let pes = self.bands.iter().flat_map(|b| (0..b.t.routers.len()).map(|pe| b.sent_by_color(pe)));
            d.colors = Some(ColorCounters::collect(pes));
        }
        if let Some(band) = self.bands.first_mut() {
            d.skips = band.fold.take().map_or_else(Vec::new, |f| f.skips);
            d.watches = std::mem::take(&mut band.watches.all);
        }
        d
    }
}
