//! What bounds a step and its kernels, or a program: each beside itself without each limit. The schemas
//! `wafersim.why/1` and `wafersim.why-program/1`.
//!
//! **Invariant.** Every number is the difference of two executions of the same compiled kernels;
//! nothing is estimated. Savings do not add up: behind a lifted limit stands the next one.
//! **Not here.** Limits, and executing without them (`runner::why`).

use crate::run::KernelReport;
use crate::simulate::SimulateReport;
use crate::sums;
use runner::machine::differences;
use runner::why::{self, Timed};
use schemars::JsonSchema;
use serde::Serialize;
use sim_core::arch::ArchSpec;

/// Schema of an [`Answer`].
pub const WHY_SCHEMA: &str = "wafersim.why/1";

/// What bounds a step and its kernels.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Answer {
    /// Name and version of the schema, [`WHY_SCHEMA`].
    pub schema: &'static str,
    /// The command whose report is asked about.
    pub command: String,
    /// Seconds of the step.
    pub step_seconds: f64,
    /// Cycles of the step on a wafer.
    pub step_cycles: u64,
    /// Limits, that which costs most first.
    pub limits: Vec<Lifted>,
    /// Kernels over all layers, the longest first.
    pub kernels: Vec<Bound>,
}

/// The step without a limit.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Lifted {
    /// The limit.
    pub limit: String,
    /// What was lifted.
    pub text: String,
    /// Numbers of the machine that were changed: key, value before, value lifted.
    pub changes: Vec<(String, String, String)>,
    /// Seconds of the step without it.
    pub step_seconds: f64,
    /// Cycles of the step on a wafer without it.
    pub step_cycles: u64,
    /// Share of the step that it costs; below 0 where the step is longer without it.
    pub saved: f64,
    /// PE-cycles of the step that wait, with it and without.
    pub wait: [u64; 2],
    /// PE-cycles of the step in back-pressure, with it and without.
    pub back_pressure: [u64; 2],
}

/// A kernel and what bounds it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Bound {
    /// The kernel.
    pub name: String,
    /// Part of the step.
    pub phase: String,
    /// Its cycles in the step.
    pub cycles: u64,
    /// Its share of the step's.
    pub share: f64,
    /// Limit and cycles without it, that which saves most first; limits that save nothing are
    /// left out.
    pub limits: Vec<(String, u64)>,
}

/// Schema of a [`ProgramAnswer`].
pub const WHY_PROGRAM_SCHEMA: &str = "wafersim.why-program/1";

/// What bounds a program.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ProgramAnswer {
    /// Name and version of the schema, [`WHY_PROGRAM_SCHEMA`].
    pub schema: &'static str,
    /// The command that executes the program.
    pub command: String,
    /// Cycles of the program.
    pub cycles: u64,
    /// Limits, that which costs most first.
    pub limits: Vec<ProgramLifted>,
}

/// A program without a limit.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ProgramLifted {
    /// The limit.
    pub limit: String,
    /// What was lifted.
    pub text: String,
    /// Numbers of the machine that were changed: key, value before, value lifted.
    pub changes: Vec<(String, String, String)>,
    /// Cycles without it.
    pub cycles: u64,
    /// Share of the cycles that it costs; below 0 where there are more without it.
    pub saved: f64,
    /// PE-cycles that wait, with it and without.
    pub wait: [u64; 2],
    /// PE-cycles in back-pressure, with it and without.
    pub back_pressure: [u64; 2],
}

impl ProgramAnswer {
    /// Compares a program on its machine with itself without each limit.
    #[must_use]
    pub fn of(
        arch: &ArchSpec,
        whole: &SimulateReport,
        lifted: &[(why::Limit, ArchSpec, SimulateReport)],
    ) -> ProgramAnswer {
        let limit = |(limit, without, run): &(why::Limit, ArchSpec, SimulateReport)| ProgramLifted {
            limit: limit.name.to_owned(),
            text: limit.text.to_owned(),
            changes: differences(arch, without),
            cycles: run.cycles,
            saved: 1.0 - run.cycles as f64 / whole.cycles.max(1) as f64,
            wait: [whole, run].map(|r| r.pe_cycles.wait),
            back_pressure: [whole, run].map(|r| r.pe_cycles.back_pressure),
        };
        let mut limits: Vec<ProgramLifted> = lifted.iter().map(limit).collect();
        limits.sort_by_key(|l| l.cycles);
        ProgramAnswer { schema: WHY_PROGRAM_SCHEMA, command: whole.command.clone(), cycles: whole.cycles, limits }
    }
}

/// A step with its kernels over all layers.
struct Step<'a> {
    limit: &'a str,
    kernels: Vec<KernelReport>,
}

impl Step<'_> {
    fn of<'a>(limit: &'a str, timed: &Timed) -> Step<'a> {
        let kernels: Vec<KernelReport> = timed.kernels.iter().cloned().map(KernelReport::from).collect();
        Step { limit, kernels: sums::over_layers(&kernels) }
    }

    fn sum(&self, of: impl Fn(&KernelReport) -> u64) -> u64 {
        self.kernels.iter().map(of).sum()
    }
}

impl Answer {
    /// Compares a step on its machine with itself without each limit.
    #[must_use]
    pub fn of(command: &str, arch: &ArchSpec, base: &Timed, lifted: &[why::Lifted]) -> Answer {
        let whole = Step::of("", base);
        let step_cycles = whole.sum(|k| k.cycles);
        let without: Vec<Step<'_>> = lifted.iter().map(|l| Step::of(l.limit.name, &l.step)).collect();
        let limit = |(l, step): (&why::Lifted, &Step<'_>)| Lifted {
            limit: l.limit.name.to_owned(),
            text: l.limit.text.to_owned(),
            changes: differences(arch, &l.arch),
            step_seconds: l.step.seconds,
            step_cycles: step.sum(|k| k.cycles),
            saved: 1.0 - l.step.seconds / base.seconds,
            wait: [&whole, step].map(|e| e.sum(|k| k.pe_cycles.wait)),
            back_pressure: [&whole, step].map(|e| e.sum(|k| k.pe_cycles.back_pressure)),
        };
        let mut limits: Vec<Lifted> = lifted.iter().zip(&without).map(limit).collect();
        limits.sort_by(|a, b| a.step_seconds.total_cmp(&b.step_seconds));
        let mut kernels: Vec<Bound> = whole.kernels.iter().map(|k| bound(k, step_cycles, &without)).collect();
        kernels.sort_by(|a, b| b.cycles.cmp(&a.cycles).then_with(|| (&a.name, &a.phase).cmp(&(&b.name, &b.phase))));
        let step_seconds = base.seconds;
        Answer { schema: WHY_SCHEMA, command: command.to_owned(), step_seconds, step_cycles, limits, kernels }
    }
}

/// A kernel, and what each limit costs it.
fn bound(k: &KernelReport, step_cycles: u64, without: &[Step<'_>]) -> Bound {
    let saving = |step: &Step<'_>| {
        let same = step.kernels.iter().find(|w| w.name == k.name && w.phase == k.phase)?;
        (same.cycles < k.cycles).then(|| (step.limit.to_owned(), same.cycles))
    };
    let mut limits: Vec<(String, u64)> = without.iter().filter_map(saving).collect();
    limits.sort_by_key(|l| l.1);
    let share = k.cycles as f64 / step_cycles.max(1) as f64;
    Bound { name: k.name.clone(), phase: k.phase.clone(), cycles: k.cycles, share, limits }
}
