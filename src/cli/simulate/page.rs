//! The page of `wafersim simulate PROGRAM --report FILE.html`.
//!
//! **Not here.** What is on it, and how (`report::encoding::html`).

use super::{Arguments, Simulated, without};
use crate::cli::output::Output;
use crate::fail::Failure;
use report::encoding::html::program::{self, ProgramPage};
use report::why::ProgramAnswer;
use runner::heat::Heat;
use runner::why::LIMITS;
use sim_core::coord::Region;
use sim_core::program::Program;
use sim_core::report::CellCounters;

/// What the PEs of a program did and its links carried.
pub(super) fn heat(program: &Program, cells: &CellCounters, cycles: u64) -> Heat {
    let mut heat = Heat::of(program.grid(), cells, cycles);
    let placed: Vec<Region> = program.placements.iter().map(|p| p.region).collect();
    heat.mark(&placed);
    heat
}

/// The page of a program that was executed.
pub(super) fn page(arguments: &Arguments, done: &Simulated, output: &Output) -> Result<String, Failure> {
    let stopped = done.unmet.as_ref().filter(|_| done.report.stopped.is_some());
    let differences = done.unmet.as_ref().filter(|_| done.report.stopped.is_none());
    let nothing = Heat::new(super::ArchSpec::grid(&done.arch));
    let page = ProgramPage {
        report: &done.report,
        heat: done.heat.as_ref().unwrap_or(&nothing),
        bounds: bounds(arguments, done, output),
        watched: done.watched.as_ref().map_err(Clone::clone),
        stopped: stopped.map(|failure| failure.text().trim_end().to_owned()),
        expectations: done.source.text.as_ref().map_or(0, |(_, data)| data.expectations()),
        differences: differences.map_or_else(Vec::new, |failure| {
            failure.diagnostics.iter().map(|diagnostic| diagnostic.to_string().trim_end().to_owned()).collect()
        }),
    };
    Ok(program::page(&page)?)
}

/// What bounds the program, as `wafersim why` says; else why that is not known.
fn bounds(arguments: &Arguments, done: &Simulated, output: &Output) -> Result<ProgramAnswer, String> {
    if done.report.stopped.is_some() {
        return Err("What bounds a run that does not come to its end cannot be said.".to_owned());
    }
    output.stage("again without one limit at a time");
    let lifted = without(arguments, &done.arch, &LIMITS, output)
        .map_err(|failure| format!("What bounds it is not known: {}", failure.text().trim_end()))?;
    Ok(ProgramAnswer::of(&done.arch, &done.report, &lifted))
}
