//! Exact folding in space: equal blocks once, equal rows and columns once (rules F3 and F4).
//!
//! A kernel on 745,500 PEs is mostly one small pattern, repeated. The pattern is executed, the repetitions
//! are counted: a run of a full wafer takes the time of a few rows. `docs/MODEL.md` shows why the result is
//! the same to the last counter.
//!
//! **Invariant.** Everything that is not executed is assembled from executed parts under
//! conditions that are checked here; where a condition fails, more is executed.
//! **Not here.** Time folding (`fast::periods`).

mod assembly;
mod blocks;
mod execute;
mod gap;
mod smaller;

use crate::fast::{self, snapshot};
use crate::options::{Fold, RunOptions};
use assembly::Assembly;
use blocks::{Block, Strip};
use sim_core::arch::ArchSpec;
use sim_core::coord::Grid;
use sim_core::error::RunError;
use sim_core::program::Program;
pub use sim_core::program::transform::timing_key;
use sim_core::report::{CellCounters, ColorCounters, FoldNote, Outcome, PeCounters, PeCycles};
use sim_core::units::Cycles;
pub use smaller::smaller;

/// Executes `program` without values, folded where that is exact.
///
/// # Errors
/// See [`crate::run`]. A deadlock names the PEs of the whole mesh.
pub(crate) fn run(program: &Program, arch: &ArchSpec, options: &RunOptions) -> Result<Outcome, RunError> {
    let mut why = Vec::new();
    let mut outcome = if options.fold.space {
        in_space(program, arch, options, &mut why)?
    } else {
        fast::run(program, arch, options, None)?
    };
    let allowed = options.fold.space || options.fold.time;
    if allowed && outcome.folds.is_empty() {
        if options.fold.time {
            why.push(
                "the control state did not recur with enough left to do, or in no loop that was looked at".to_owned(),
            );
        }
        outcome.folds.push(FoldNote { kind: NONE.to_owned(), text: format!("nothing was folded: {}", why.join("; ")) });
    }
    Ok(outcome)
}

/// Kind of the note of a run in which nothing was folded.
pub const NONE: &str = "none";

/// Executes with representatives where that is possible; says why it is not.
fn in_space(
    program: &Program,
    arch: &ArchSpec,
    options: &RunOptions,
    why: &mut Vec<String>,
) -> Result<Outcome, RunError> {
    let Some(strips) = blocks::strips(program, arch) else {
        why.push(
            "address registers that can decide bank conflicts start with values that depend on the place".to_owned(),
        );
        return fast::run(program, arch, options, None);
    };
    match assemble(program, arch, options, &strips) {
        // A folded run knows only its representatives, and a circle of waits may go through PEs that were
        // left out: the whole mesh says who is blocked.
        Err(RunError::Deadlock { .. }) => {
            let whole = RunOptions { fold: Fold { space: false, ..options.fold }, ..*options };
            fast::run(program, arch, &whole, None)
        }
        Ok((outcome, whole)) => {
            why.extend(whole);
            Ok(outcome)
        }
        Err(error) => Err(error),
    }
}

/// The outcome, and what repeats without being folded.
fn assemble(
    program: &Program,
    arch: &ArchSpec,
    options: &RunOptions,
    strips: &[Strip],
) -> Result<(Outcome, Vec<String>), RunError> {
    let mut parts: Vec<(&Block, u64, Assembly)> = Vec::new();
    for strip in strips {
        for block in &strip.blocks {
            let copies = strip.at.len() as u64 * block.at.len() as u64;
            parts.push((block, copies, execute::execute(&block.program, arch, options)?));
        }
    }
    let size = |(_, copies, done): &(&Block, u64, Assembly)| copies * done.size().pes();
    assert_eq!(parts.iter().map(size).sum::<u64>(), program.grid().pes(), "every PE is in one block");
    let mut out = Outcome::default();
    let mut notes = Notes::default();
    for (block, copies, done) in &parts {
        let sums = done.sums();
        out.cycles = out.cycles.max(Cycles(sums.cycles));
        out.pe_cycles += sums.busy.times(*copies);
        out.macs += sums.macs * copies;
        out.wavelet_hops += sums.hops * copies;
        out.stepped_cycles += done.detail.outcome.stepped_cycles;
        out.stepped_pe_cycles += done.detail.outcome.stepped_pe_cycles;
        notes.add(block, *copies, done);
    }
    if out.cycles.0 > options.cycle_limit {
        return Err(RunError::CycleLimit { limit: options.cycle_limit });
    }
    let covered = out.pe_cycles.total();
    assert!(covered <= out.cycles.0 * program.grid().pes(), "PEs were busy for more cycles than the run has (P1)");
    out.pe_cycles.idle += out.cycles.0 * program.grid().pes() - covered;
    out.folds = notes.finish();
    if options.per_pe {
        out.per_pe = Some(spread(program, strips, &parts, out.cycles.0));
        out.per_color = Some(colors(program, strips, &parts));
    }
    out.per_cell = options.cells.map(|cell| cells(program, cell, strips, &parts));
    let mut whole: Vec<String> = parts.iter().flat_map(|(_, _, done)| done.whole.clone()).collect();
    if whole.is_empty() {
        whole.push(
            "no rows and no columns repeat often enough with a period up to 8, and no two blocks are equal".to_owned(),
        );
    }
    Ok((out, whole))
}

/// The counters of a PE in a run of `end` cycles.
fn finished(mut pe: PeCounters, end: u64) -> PeCounters {
    let PeCycles { compute, wait, back_pressure, idle: _ } = pe.cycles;
    assert!(compute + wait + back_pressure <= end, "a PE was busy for more cycles than the run has (P1)");
    pe.cycles.idle = end - compute - wait - back_pressure;
    pe
}

/// Calls `visit` for every PE of the mesh that a block has: with its index, the part that was
/// executed for it, and its place in the block.
fn cover(
    program: &Program,
    strips: &[Strip],
    parts: &[(&Block, u64, Assembly)],
    mut visit: impl FnMut(usize, usize, (u32, u32)),
) {
    let width = u64::from(program.grid().width);
    let blocks = strips.iter().flat_map(|strip| strip.blocks.iter().map(move |block| (strip, block)));
    for (i, (strip, block)) in blocks.enumerate() {
        let size = parts[i].2.size();
        for (y, x) in (0..size.height).flat_map(|y| (0..size.width).map(move |x| (y, x))) {
            for (x0, y0) in strip.at.iter().flat_map(|&x| block.at.iter().map(move |&y| (x, y))) {
                visit((u64::from(y0 + y) * width + u64::from(x0 + x)) as usize, i, (x, y));
            }
        }
    }
}

fn spread(program: &Program, strips: &[Strip], parts: &[(&Block, u64, Assembly)], end: u64) -> Vec<PeCounters> {
    let mut all = vec![finished(PeCounters::default(), end); program.grid().pes() as usize];
    cover(program, strips, parts, |pe, part, (x, y)| all[pe] = finished(parts[part].2.pe(x, y), end));
    all
}

/// Sums over cells, without the PEs one by one.
fn cells(program: &Program, cell: Grid, strips: &[Strip], parts: &[(&Block, u64, Assembly)]) -> CellCounters {
    let mut all = CellCounters::new(program.grid(), cell);
    let blocks = strips.iter().flat_map(|strip| strip.blocks.iter().map(move |block| (strip, block)));
    for ((strip, block), (.., done)) in blocks.zip(parts) {
        done.count(&strip.at, &block.at, &mut all);
    }
    all
}

/// What routers send does not depend on when: a PE sent what the executed one did.
fn colors(program: &Program, strips: &[Strip], parts: &[(&Block, u64, Assembly)]) -> ColorCounters {
    let mut of = vec![None; program.grid().pes() as usize];
    cover(program, strips, parts, |pe, part, (x, y)| of[pe] = Some((part as u32, parts[part].2.executed(x, y))));
    let executed: Vec<&ColorCounters> = parts.iter().filter_map(|(.., done)| done.detail.colors.as_ref()).collect();
    ColorCounters::spread(&executed, &of)
}

#[derive(Default)]
struct Notes {
    executed: u64,
    blocks: u64,
    lines: Vec<(&'static str, String)>,
    skips: Vec<(u64, u64)>,
}

impl Notes {
    fn add(&mut self, block: &Block, copies: u64, done: &Assembly) {
        if block.program.placements.is_empty() {
            return;
        }
        self.executed += 1;
        self.blocks += copies;
        self.lines.extend(done.notes());
        self.skips.extend(&done.detail.skips);
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
        notes.extend(self.lines.into_iter().map(|(kind, text)| FoldNote { kind: kind.to_owned(), text }));
        notes
    }
}
