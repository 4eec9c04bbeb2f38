//! Exact folding in space: equal blocks once, equal rows once (rules F3 and F4).
//!
//! **Invariant.** Everything that is not executed is assembled from executed parts under
//! conditions that are checked here; where a condition fails, more is executed.
//! **Not here.** Time folding (`fast::snapshot`).

mod blocks;
mod key;
mod rows;

use crate::fast::{self, snapshot};
use crate::{Fold, RunOptions};
use blocks::{Block, Strip};
pub use key::timing_key;
use sim_core::arch::ArchSpec;
use sim_core::error::RunError;
use sim_core::program::Program;
use sim_core::report::{FoldNote, Outcome, PeCounters, PeCycles};
use sim_core::units::Cycles;

/// What executing a block gave, for all of its PEs.
#[derive(Debug, Clone)]
pub(crate) struct Executed {
    pub(crate) cycles: u64,
    pub(crate) pes: Vec<PeCounters>,
    pub(crate) stepped_cycles: u64,
    pub(crate) stepped_pe_cycles: u64,
    pub(crate) skips: Vec<(u64, u64)>,
    pub(crate) rows: Vec<String>,
}

/// Executes `program` without values, folded where that is exact.
///
/// # Errors
/// See [`crate::run`]. A deadlock names the PEs of the whole mesh.
pub fn run(program: &Program, arch: &ArchSpec, options: &RunOptions) -> Result<Outcome, RunError> {
    if !options.fold.space {
        return fast::run(program, arch, options, None);
    }
    let Some(strips) = blocks::strips(program, arch) else {
        return fast::run(program, arch, options, None);
    };
    match assemble(program, arch, options, &strips) {
        // A folded run knows only its representatives: the whole mesh says who is blocked.
        Err(RunError::Deadlock { .. }) => {
            let whole = RunOptions { fold: Fold { space: false, ..options.fold }, ..*options };
            fast::run(program, arch, &whole, None)
        }
        done => done,
    }
}

fn assemble(program: &Program, arch: &ArchSpec, options: &RunOptions, strips: &[Strip]) -> Result<Outcome, RunError> {
    let mut parts: Vec<(&Block, Executed)> = Vec::new();
    for strip in strips {
        for block in &strip.blocks {
            parts.push((block, rows::execute(block, arch, options)?));
        }
    }
    let grid = program.grid();
    let end = parts.iter().map(|p| p.1.cycles).max().unwrap_or(0);
    let mut out = Outcome { cycles: Cycles(end), ..Outcome::default() };
    let mut notes = Notes::default();
    let mut k = 0;
    for strip in strips {
        for block in &strip.blocks {
            let copies = strip.at.len() as u64 * block.at.len() as u64;
            let done = &parts[k].1;
            k += 1;
            for pe in &done.pes {
                let pe = finished(*pe, end);
                out.pe_cycles += pe.cycles.times(copies);
                out.macs += pe.macs * copies;
                out.wavelet_hops += pe.hops() * copies;
            }
            out.stepped_cycles += done.stepped_cycles;
            out.stepped_pe_cycles += done.stepped_pe_cycles;
            notes.add(block, copies, done);
        }
    }
    let covered: u64 = out.pe_cycles.total();
    out.pe_cycles.idle += end * grid.pes() - covered;
    out.folds = notes.finish();
    if options.per_pe {
        out.per_pe = Some(spread(program, strips, &parts, end));
    }
    Ok(out)
}

/// The counters of a PE in a run that is longer than its block's.
fn finished(mut pe: PeCounters, end: u64) -> PeCounters {
    let PeCycles { compute, wait, back_pressure, .. } = pe.cycles;
    pe.cycles.idle = end - compute - wait - back_pressure;
    pe
}

fn spread(program: &Program, strips: &[Strip], parts: &[(&Block, Executed)], end: u64) -> Vec<PeCounters> {
    let grid = program.grid();
    let mut all = vec![finished(PeCounters::default(), end); grid.pes() as usize];
    let mut k = 0;
    for strip in strips {
        for block in &strip.blocks {
            let size = block.program.grid();
            for (x0, y0) in strip.at.iter().flat_map(|&x| block.at.iter().map(move |&y| (x, y))) {
                for (i, pe) in parts[k].1.pes.iter().enumerate() {
                    let (x, y) = (i as u32 % size.width, i as u32 / size.width);
                    let at = u64::from(y0 + y) * u64::from(grid.width) + u64::from(x0 + x);
                    all[at as usize] = finished(*pe, end);
                }
            }
            k += 1;
        }
    }
    all
}

#[derive(Default)]
struct Notes {
    executed: u64,
    blocks: u64,
    rows: Vec<String>,
    skips: Vec<(u64, u64)>,
}

impl Notes {
    fn add(&mut self, block: &Block, copies: u64, done: &Executed) {
        if block.program.placements.is_empty() {
            return;
        }
        self.executed += 1;
        self.blocks += copies;
        self.rows.extend(done.rows.clone());
        self.skips.extend(&done.skips);
    }

    fn finish(self) -> Vec<FoldNote> {
        let mut notes = snapshot::notes(&self.skips);
        if self.blocks > self.executed {
            let text = format!(
                "{} of {} blocks executed: no route crosses between blocks, and the others have equal contents",
                self.executed, self.blocks
            );
            notes.push(FoldNote { kind: "blocks".to_owned(), text });
        }
        notes.extend(self.rows.into_iter().map(|text| FoldNote { kind: "rows".to_owned(), text }));
        notes
    }
}
