//! The reference engine: every PE, every cycle, every wavelet. It is the meaning of
//! `docs/MODEL.md`, and is meant to be read beside it; rule numbers in comments are that page's.
//!
//! It is much slower than the fast engine and as simple as the page allows; a difference
//! between the two on a random program is a bug in one of them.
//!
//! A cycle has two phases (M1): routers, compute elements and edges decide from the state at the
//! start of the cycle (`router::decide`, `ce::decide`, `edge::decide`), then all decisions
//! are committed. The order within a phase does not matter.
//!
//! **Invariant.** Shares types with the fast engine, and no rules.
//! **Not here.** Anything that is done for speed, and folding.

mod build;
mod ce;
pub mod charge;
mod code;
mod deadlock;
mod edge;
mod invariants;
mod router;
mod scalar;
mod state;
mod values;
mod vector;
pub mod watch;

use crate::options::RunOptions;
use crate::values::{HostStreams, Values, zeros};
use ce::{Activity, Choice, Commit};
use router::Move;
use sim_core::coord::{Color, PeCoord, PeIdx};
use sim_core::diag::Diagnostic;
use sim_core::program::transform::depends_on_values;
use sim_core::program::{DType, Flow, Trigger};
use sim_core::report::{CellCounters, ColorCounters, ColorSent, PeCounters, PeCycles};
use sim_core::units::{Cycle, Cycles};
use sim_core::{arch::ArchSpec, error::RunError, program::Program, report::Outcome};
use state::Machine;
use watch::Watch;

/// Executes `program`, every PE, every cycle, every wavelet.
///
/// # Errors
/// See [`crate::run`].
pub fn run(
    program: &Program,
    arch: &ArchSpec,
    options: &RunOptions,
    values: Option<&mut Values<'_>>,
) -> Result<Outcome, RunError> {
    run_watched(program, arch, options, values, &mut |_, _, _| {})
}

/// Runs a program; `watch` is called with cycle, PE and color for every wavelet that leaves a router.
///
/// # Errors
/// See [`crate::run`].
pub fn run_watched(
    program: &Program,
    arch: &ArchSpec,
    options: &RunOptions,
    values: Option<&mut Values<'_>>,
    watch: &mut dyn FnMut(u64, PeCoord, Color),
) -> Result<Outcome, RunError> {
    let observed = observe(program, arch, options, values, &mut watch::Moves(watch))?;
    observed.stopped.map_or(Ok(observed.outcome), Err)
}

/// A run, with what it had counted when it ended, however that was.
#[derive(Debug)]
pub struct Observed {
    /// Cycles and counters, the last cycle included: that of a deadlock, or of a memory fault.
    pub outcome: Outcome,
    /// Why it ended before its end.
    pub stopped: Option<RunError>,
}

/// Runs a program; `watch` sees wavelets and compute elements. A run that deadlocks, reaches its limit or
/// addresses memory that is not there gives what it had.
///
/// # Errors
/// See [`crate::run`]; those of programs that are not executed at all.
pub fn observe(
    program: &Program,
    arch: &ArchSpec,
    options: &RunOptions,
    mut values: Option<&mut Values<'_>>,
    watch: &mut dyn Watch,
) -> Result<Observed, RunError> {
    // V1
    if values.is_none() && depends_on_values(program).is_some() {
        let mut memory = zeros(program, arch, options.memory_limit)?;
        let (inputs, mut outputs) = (HostStreams::default(), HostStreams::default());
        let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
        return observe(program, arch, options, Some(&mut values), watch);
    }
    let mut machine = build::build(program, arch, options.memory_limit, values.as_deref())?;
    if let Some(values) = values.as_deref_mut() {
        start_memory(&machine, program, values)?;
    }
    let cycles = step_to_end(&mut machine, options.cycle_limit, values.as_deref_mut(), watch);
    if let Some(values) = values {
        keep_outputs(machine.ports.iter_mut(), program, values);
    }
    if cycles.is_ok() {
        invariants::check(&machine)?;
    }
    Ok(Observed { outcome: outcome(&machine, options), stopped: cycles.err() })
}

/// Steps until the end of the run (M3).
fn step_to_end(
    machine: &mut Machine,
    limit: u64,
    mut values: Option<&mut Values<'_>>,
    watch: &mut dyn Watch,
) -> Result<(), RunError> {
    let (mut moves, mut entries, mut choices) = (Vec::new(), Vec::new(), Vec::new());
    let mut quiet_since = 0;
    while !deadlock::ended(machine) {
        if machine.now >= limit {
            return Err(RunError::CycleLimit { limit });
        }
        router::decide(machine, &mut moves);
        edge::decide(machine, &mut entries);
        ce::decide(machine, &mut choices);
        let busy = choices.iter().any(|c| c.activity == Activity::Compute);
        let active = busy || !moves.is_empty() || !entries.is_empty();
        let stuck = (!active && !deadlock::time_helps(machine)).then(|| deadlock::deadlock(machine, quiet_since));
        for Move { pe, channel } in &moves {
            watch.moved(machine.now, machine.coord(*pe), machine.pes[*pe].router.channels[*channel].color);
        }
        watch::show(machine, &choices, watch);
        let closed = router::commit(machine, &moves);
        edge::commit(machine, &entries);
        let fault = commit_elements(machine, &choices, values.as_deref_mut());
        activate_teardowns(machine, &closed);
        machine.now += 1;
        if let Some(error) = fault.or(stuck) {
            return Err(error);
        }
        if active {
            quiet_since = machine.now;
        }
    }
    Ok(())
}

/// S4: closing a color activates the tasks of the PE that wait for it.
fn activate_teardowns(machine: &mut Machine, closed: &[router::Closed]) {
    for c in closed {
        let Some(element) = &mut machine.pes[c.pe].element else { continue };
        let tasks = machine.codes[element.code].tasks.iter().zip(&mut element.active);
        for (_, active) in tasks.filter(|(task, _)| task.trigger == Trigger::Teardown(c.color)) {
            *active = true;
        }
    }
}

/// Carries out what the compute elements decided, and counts their cycles (P1, P3); gives the first fault.
fn commit_elements(machine: &mut Machine, choices: &[Choice], mut values: Option<&mut Values<'_>>) -> Option<RunError> {
    let now = machine.now;
    let mut fault = None;
    for choice in choices {
        let state = &mut machine.pes[choice.pe];
        let element = state.element.as_mut().expect("only compute elements choose");
        let memory = values.as_deref_mut().map(|v| v.memory.pes[choice.pe].as_mut_slice());
        let sram = memory.as_ref().map_or(0, |m| m.len() as u64);
        let mut commit = Commit { code: &machine.codes[element.code], arch: &machine.arch, now, memory };
        if let Err(values::MemoryFault(address)) =
            commit.choice(element, &mut state.router, &mut state.counters, *choice)
        {
            let pe = machine.grid.coord(PeIdx(choice.pe as u32));
            fault = fault.or(Some(RunError::MemoryFault { at: Cycle(now), pe, address, sram }));
        }
        let cycles = &mut state.counters.cycles;
        *match choice.activity {
            Activity::Compute => &mut cycles.compute,
            Activity::BackPressure => &mut cycles.back_pressure,
            Activity::Wait => &mut cycles.wait,
            Activity::Idle => &mut cycles.idle,
        } += 1;
        if choice.activity != Activity::Idle {
            state.counters.finish = now + 1;
        }
    }
    fault
}

/// Writes the start values of all buffers.
fn start_memory(machine: &Machine, program: &Program, values: &mut Values<'_>) -> Result<(), RunError> {
    let memory = &mut *values.memory;
    let sizes = memory.grid == machine.grid && memory.pes.len() == machine.pes.len();
    if !sizes {
        let message = format!("the memory is that of a {} mesh, the program's is {}", memory.grid, machine.grid);
        return Err(RunError::Invalid(vec![Diagnostic::new("X002", "values", message)]));
    }
    for (index, pe) in machine.pes.iter().enumerate() {
        let Some(element) = &pe.element else { continue };
        let sram = memory.pes[index].len() as u64;
        for buffer in &program.images[element.code].buffers {
            let mut address = i64::from(buffer.addr);
            for &bits in &buffer.init {
                // Integers lie there as they are (rule V3).
                let whole = buffer.word.is_some();
                let rounded = if whole { bits } else { values::round(bits, buffer.dtype) };
                values::store(&mut memory.pes[index], address, buffer.dtype, rounded).map_err(
                    |values::MemoryFault(address)| RunError::MemoryFault {
                        at: Cycle(0),
                        pe: machine.coord(index),
                        address,
                        sram,
                    },
                )?;
                address += i64::from(DType::bytes(buffer.dtype));
            }
        }
    }
    Ok(())
}

/// Hands over what has left at the edges.
fn keep_outputs<'a>(ports: impl Iterator<Item = &'a mut state::Port>, program: &Program, values: &mut Values<'_>) {
    for port in ports.filter(|p| p.flow == Flow::Out) {
        let name = program.edges[port.stream].name.clone();
        values.outputs.ports.insert((name, port.ordinal), std::mem::take(&mut port.data));
    }
}

/// Adds up what the PEs counted.
fn outcome(machine: &Machine, options: &RunOptions) -> Outcome {
    let cycles = machine.now;
    let pe_count = machine.pes.len() as u64;
    let counters: Vec<PeCounters> = machine.pes.iter().map(|pe| padded(pe.counters, cycles)).collect();
    let mut sum = PeCounters::default();
    for c in &counters {
        sum.cycles += c.cycles;
        sum.macs += c.macs;
        for (all, one) in sum.sent.iter_mut().zip(c.sent) {
            *all += one;
        }
    }
    let wanted = options.per_pe || options.cells.is_some();
    let colors = wanted.then(|| ColorCounters::collect(machine.pes.iter().map(by_color)));
    let none = ColorCounters::default();
    let per_cell =
        options.cells.map(|cell| CellCounters::of(machine.grid, cell, &counters, colors.as_ref().unwrap_or(&none)));
    Outcome {
        cycles: Cycles(cycles),
        pe_cycles: sum.cycles,
        macs: sum.macs,
        wavelet_hops: sum.hops(),
        stepped_cycles: cycles,
        stepped_pe_cycles: cycles * pe_count,
        folds: Vec::new(),
        per_cell,
        per_pe: options.per_pe.then_some(counters),
        per_color: colors.filter(|_| options.per_pe),
    }
}

/// What a PE's router sent, by color.
fn by_color(pe: &state::Pe) -> Vec<ColorSent> {
    pe.router.channels.iter().map(|c| ColorSent { color: c.color, sent: c.sent }).collect()
}

/// A PE without a compute element is idle all the time.
fn padded(mut counters: PeCounters, cycles: u64) -> PeCounters {
    if counters.cycles == PeCycles::default() {
        counters.cycles.idle = cycles;
    }
    counters
}
