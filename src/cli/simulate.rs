//! `wafersim simulate PROGRAM`.

use super::options::{MachineOptions, RunLimits, VerifyOptions};
use super::output::Output;
use super::program::{self, ParamOptions, Source};
use super::provenance::{self, ManifestFacts, ManifestOptions, Recording};
use super::reply::Reply;
use super::trace::ProgramTrace;
use crate::fail::Failure;
use crate::manifest::{self, quoted};
use crate::{host, inputs};
use clap::Args;
use report::simulate::{SIMULATE_SCHEMA, SimulateReport};
use runner::Error;
use runner::program::{ExecutedProgram, check, execute};
use runner::verify_fold::{self, FoldVerification};
use sim_core::arch::ArchSpec;
use sim_core::error::RunError;
use sim_core::program::Program;
use sim_core::util::random::SplitMix64;
use std::path::PathBuf;

/// Executes a program
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wafersim simulate examples/hello.wafer --values
  wafersim simulate examples/hello.wafer --trace hello.pftrace --wave hello.fst
  wafersim simulate kernel.wbin --engine reference --finish --format json")]
pub(super) struct Arguments {
    /// A program in text form (.wafer) or stored (.wbin)
    program: PathBuf,
    #[command(flatten)]
    params: ParamOptions,
    #[command(flatten)]
    machine: MachineOptions,
    #[command(flatten)]
    limits: RunLimits,
    #[command(flatten)]
    verify: VerifyOptions,
    /// Lists when each PE finished
    #[arg(long)]
    finish: bool,
    /// Carries real numbers, and lists the named buffers at the end; wavelets from the edges are
    /// zero
    #[arg(long)]
    values: bool,
    #[command(flatten)]
    trace: ProgramTrace,
    #[command(flatten)]
    manifest: ManifestOptions,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Reply, Failure> {
    let mut recording = Recording::towards(&arguments.trace.destinations(), &arguments.manifest, output)?;
    let (report, source, arch) = report(arguments, output)?;
    let Arguments { machine, limits, verify, manifest, trace, .. } = arguments;
    trace.record(&source.program, &arch, report.cycles, limits.memory_limit, &mut recording)?;
    let included = source.included();
    let mut inputs = vec![arguments.program.as_path(), provenance::machine_file(machine)];
    inputs.extend(included.iter().map(PathBuf::as_path));
    let facts = ManifestFacts { inputs, beside: trace.files(), ..facts(&report, limits, verify, &arch, output)? };
    recording.attach(facts, manifest, output)?;
    Ok(Reply::of(report))
}

/// What a manifest says of a program that was executed.
pub(super) fn facts<'a>(
    report: &'a SimulateReport,
    limits: &RunLimits,
    verify: &VerifyOptions,
    arch: &ArchSpec,
    output: &Output,
) -> Result<ManifestFacts<'a>, Failure> {
    Ok(ManifestFacts {
        result_schema: SIMULATE_SCHEMA,
        command: &report.command,
        config: provenance::settings(limits, verify, arch, output),
        inputs: Vec::new(),
        seed: verify.seed,
        threads: limits.threads(),
        digest: manifest::digest(report)?,
        beside: Vec::new(),
    })
}

/// Executes the program, and reports.
pub(super) fn report(arguments: &Arguments, output: &Output) -> Result<(SimulateReport, Source, ArchSpec), Failure> {
    let recording = Recording::start();
    let arch = inputs::machine(&arguments.machine.arch, &arguments.machine.sets)?;
    let source = program::read(&arguments.program, &arguments.params)?;
    let warnings = check(&source.program, &arch).map_err(|error| error.mapped(|all| source.located(all)))?;
    for diagnostic in source.located(warnings) {
        output.warn(&diagnostic.to_string());
    }
    let program = &source.program;
    let at = arguments.program.display().to_string();
    let Arguments { machine, limits, verify, finish, values, trace, .. } = arguments;
    let wanted = [(finish, " --finish"), (values, " --values")];
    let flags: String = wanted.iter().filter(|(on, _)| **on).map(|(_, flag)| *flag).collect();
    let command = format!(
        "wafersim simulate {}{}{}{}{}{flags}",
        quoted(&at),
        arguments.params.command(),
        machine.command(),
        limits.command(),
        verify.command()
    );
    let job = ProgramJob { program, arch: &arch, at, limits, finish: *finish, values: *values, trace };
    let executed = job.execute()?;
    let provenance = recording.provenance(command, verify.seed, limits);
    let verified = verify.wanted().map(|(count, seed)| {
        let mut rng = SplitMix64::new(seed);
        // From a few more periods than are folded.
        let smaller = |_| fabric::fold::smaller(program, rng.range(13, 40));
        job.verified((0..count).map(smaller), seed)
    });
    let report = SimulateReport::of((program, &arch), executed, *finish, verified.transpose()?, &provenance);
    Ok((report, source, arch))
}

/// A program, and how it is executed.
pub(super) struct ProgramJob<'a> {
    pub(super) program: &'a Program,
    pub(super) arch: &'a ArchSpec,
    /// Where the program comes from, for messages.
    pub(super) at: String,
    pub(super) limits: &'a RunLimits,
    /// Whether the PEs' last cycles are listed.
    pub(super) finish: bool,
    /// Whether real numbers are carried.
    pub(super) values: bool,
    /// The trace that will be wanted of it.
    pub(super) trace: &'a ProgramTrace,
}

impl ProgramJob<'_> {
    /// Executes the program, unless it is known that its trace will be refused.
    pub(super) fn execute(&self) -> Result<ExecutedProgram, Failure> {
        let mut options = self.limits.options(self.finish);
        let most = self.trace.most_cycles(self.program.grid())?.filter(|most| *most < options.cycle_limit);
        options.cycle_limit = most.unwrap_or(options.cycle_limit);
        let pool = host::pool(self.limits.threads())?;
        let done = pool.install(|| execute(self.program, self.arch, &options, self.values, &self.at));
        done.map_err(|error| match (error, most) {
            (Error::Execution { error: RunError::CycleLimit { .. }, .. }, Some(most)) => self.trace.refusal(most),
            (error, _) => error.into(),
        })
    }

    /// Executes programs folded and in full.
    pub(super) fn verified(
        &self,
        programs: impl Iterator<Item = Program>,
        seed: u64,
    ) -> Result<FoldVerification, Failure> {
        let pool = host::pool(self.limits.threads())?;
        let compare = |p: Program| verify_fold::compare(&p.name, &p, self.arch, &self.limits.options(false));
        let kernels = programs.map(|p| pool.install(|| compare(p))).collect::<Result<_, Error>>()?;
        Ok(FoldVerification { seed, kernels })
    }
}
