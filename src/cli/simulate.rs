//! `wafersim simulate PROGRAM`.

mod page;

use super::inside::{InsideOptions, Looked, ProgramJob};
use super::options::{MachineOptions, RunLimits, VerifyOptions};
use super::output::Output;
use super::program::{self, ParamOptions, Source};
use super::provenance::{self, ManifestFacts, ManifestOptions, Recording};
use super::reply::Reply;
use super::shown::{self, Shown};
use crate::fail::{Failure, Kind};
use crate::files::Destination;
use crate::inputs;
use crate::manifest::{self, quoted};
use clap::Args;
use report::encoding::html::program::Watched;
use report::simulate::{SIMULATE_SCHEMA, SimulateReport};
use runner::heat::Heat;
use runner::program::{ExecutedProgram, Numbers, Observation, check};
use runner::why::Limit;
use sim_core::arch::ArchSpec;
use sim_core::diag::Diagnostic;
use sim_core::program::transform::depends_on_values;
use sim_core::report::FoldNote;
use sim_core::util::random::SplitMix64;
use std::path::PathBuf;

/// Executes a program
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wafersim simulate examples/hello.wafer --values
  wafersim simulate examples/ring.wafer --param P=16 --values=all@3,0
  wafersim simulate examples/hello.wafer --trace hello.pftrace --wave hello.fst
  wafersim simulate examples/hello.wafer --profile --counters hello.csv --events events.csv
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
    /// Carries real numbers, lists the named buffers at the end, and checks what the program expects;
    /// with =NAME one buffer is listed, with =NAME@X,Y that of one PE
    #[arg(long, value_name = "NAME[@X,Y]", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    values: Vec<Shown>,
    #[command(flatten)]
    inside: InsideOptions,
    /// Writes everything that is known of the run as one page for a browser: counters, maps, what bounds it,
    /// profile, time stamps, values, events, and why it stopped
    #[arg(long, value_name = "FILE.html", help_heading = "Output")]
    report: Option<PathBuf>,
    #[command(flatten)]
    manifest: ManifestOptions,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Reply, Failure> {
    let mut recording = Recording::towards(&arguments.destinations(), &arguments.manifest, output)?;
    let simulated = simulated(arguments, Look::All, machine(arguments)?, output)?;
    if let Some(path) = &arguments.report {
        recording.write(path, page::page(arguments, &simulated, output)?.as_bytes())?;
    }
    let Simulated { report, source, arch, unmet, files, .. } = simulated;
    let Arguments { machine, limits, verify, manifest, .. } = arguments;
    files.iter().try_for_each(|(path, bytes)| recording.write(path, bytes))?;
    let mut inputs = vec![arguments.program.as_path(), provenance::machine_file(machine)];
    inputs.extend(source.read.iter().map(PathBuf::as_path));
    let beside = arguments.destinations().iter().map(|d| d.path).collect();
    let facts = ManifestFacts { inputs, beside, ..facts(&report, limits, verify, &arch, output)? };
    recording.attach(facts, manifest, output)?;
    match unmet {
        None => Ok(Reply::of(report)),
        Some(failure) => Ok(Reply::Unmet(Box::new(report), failure)),
    }
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

impl Arguments {
    /// Files that are written, with the options that name them.
    fn destinations(&self) -> Vec<Destination<'_>> {
        let page = self.report.as_deref().map(|path| Destination { option: "--report", path, folder: false });
        self.inside.destinations().into_iter().chain(page).collect()
    }
}

/// What is looked at beside the cycles.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Whatever the options ask for, files included.
    All,
    /// What a report has.
    Report,
    /// Nothing beside them.
    Cycles,
}

/// A program that was executed.
pub(super) struct Simulated {
    pub(super) report: SimulateReport,
    source: Source,
    arch: ArchSpec,
    /// Why it ended before its end, or what is not as its text expects.
    unmet: Option<Failure>,
    /// Files that were asked for.
    files: Vec<(PathBuf, Vec<u8>)>,
    /// What its PEs did, if a page is to show it.
    heat: Option<Heat>,
    /// What was seen of it, if a page is to show it.
    watched: Result<Watched, String>,
}

impl Simulated {
    /// Whether it came to its end; what its text expects of another machine does not matter.
    ///
    /// # Errors
    /// Why it stopped.
    pub(super) fn finished(&self) -> Result<(), Failure> {
        match (&self.report.stopped, &self.unmet) {
            (Some(_), Some(failure)) => Err(failure.clone()),
            _ => Ok(()),
        }
    }
}

/// What of a run is not as its text expects. Without values, only its length is known.
fn unmet(source: &Source, executed: &ExecutedProgram, output: &Output) -> Vec<Diagnostic> {
    let Some((map, data)) = &source.text else { return Vec::new() };
    let values = executed.values.is_some();
    if !values && data.expectations() > 0 {
        let text = match data.expectations() {
            1 => "1 expectation of values is not checked; --values checks it".to_owned(),
            count => format!("{count} expectations of values are not checked; --values checks them"),
        };
        output.warn(&text);
    }
    data.check(&source.program, map, values, &Observation(executed))
}

/// Executes the program, and reports.
pub(super) fn report(arguments: &Arguments, output: &Output) -> Result<Simulated, Failure> {
    simulated(arguments, Look::Report, machine(arguments)?, output)
}

/// Executes the program on a machine, and reports its cycles.
pub(super) fn report_on(arguments: &Arguments, arch: ArchSpec, output: &Output) -> Result<Simulated, Failure> {
    simulated(arguments, Look::Cycles, arch, output)
}

/// Executes the program on machines without one limit each, where they have it.
///
/// # Errors
/// Why it cannot be executed on one of them, or does not come to its end.
pub(super) fn without(
    arguments: &Arguments,
    arch: &ArchSpec,
    limits: &[Limit],
    output: &Output,
) -> Result<Vec<(Limit, ArchSpec, SimulateReport)>, Failure> {
    // What there is to warn about was said once.
    let silent = output.silent();
    let lifted = limits.iter().filter_map(|limit| Some((*limit, limit.lifted(arch)?)));
    lifted
        .map(|(limit, without)| {
            let run = report_on(arguments, without.clone(), &silent)?;
            run.finished()?;
            Ok((limit, without, run.report))
        })
        .collect()
}

/// The machine that the options say.
pub(super) fn machine(arguments: &Arguments) -> Result<ArchSpec, Failure> {
    inputs::machine(&arguments.machine.arch, &arguments.machine.sets)
}

/// Executes the program on a machine, and reports.
fn simulated(arguments: &Arguments, look: Look, arch: ArchSpec, output: &Output) -> Result<Simulated, Failure> {
    let recording = Recording::start();
    let source = program::read(&arguments.program, &arguments.params, &arch.name)?;
    let warnings = check(&source.program, &arch).map_err(|error| error.mapped(|all| source.located(all)))?;
    for diagnostic in source.warnings.iter().chain(&source.located(warnings)) {
        output.warn(&diagnostic.to_string());
    }
    let program = &source.program;
    let at = arguments.program.display().to_string();
    let Arguments { machine, limits, verify, finish, values, inside, .. } = arguments;
    shown::check(values, program)?;
    let flags: String = values.iter().map(|own| format!(" {}", quoted(&own.flag()))).collect();
    let flags = if *finish { format!(" --finish{flags}") } else { flags };
    let command = format!(
        "wafersim simulate {}{}{}{}{}{flags}{}",
        quoted(&at),
        arguments.params.command(),
        machine.command(),
        limits.command(),
        verify.command(),
        inside.command()
    );
    let given = source.text.as_ref().is_some_and(|(_, data)| data.has_values());
    let depends = given && depends_on_values(program).is_some();
    let (finish, listed) = (*finish, values);
    let values = !listed.is_empty();
    let numbers = if values || depends { source.numbers() } else { Numbers::Without };
    let map = source.text.as_ref().map(|(map, _)| map);
    let page = look == Look::All && arguments.report.is_some();
    let nothing = InsideOptions::default();
    let inside = if look == Look::Cycles { &nothing } else { inside };
    let job = ProgramJob { program, arch: &arch, at, limits, finish, values, numbers, map, inside, page, output };
    let Looked { mut executed, inside, stopped, files, watched } = job.look()?;
    let heat = executed.outcome.per_cell.take().map(|cells| page::heat(program, &cells, executed.outcome.cycles.0));
    let unmet = stopped.or_else(|| {
        let unmet = unmet(&source, &executed, output);
        (!unmet.is_empty()).then(|| Failure::many(Kind::Infeasible, unmet))
    });
    if depends && !values {
        // Carried for the timing only.
        executed.values = None;
        let text = "executed with values, those of the text: what the program does depends on them".to_owned();
        executed.outcome.folds.insert(0, FoldNote { kind: fabric::VALUES.to_owned(), text });
    }
    let provenance = recording.provenance(command, verify.seed, limits);
    let verified = verify.wanted().map(|(count, seed)| {
        let mut rng = SplitMix64::new(seed);
        // From a few more periods than are folded.
        let smaller = |_| fabric::fold::smaller(program, rng.range(13, 40));
        job.verified((0..count).map(smaller), seed)
    });
    let mut report = SimulateReport::of((program, &arch), executed, inside, finish, verified.transpose()?, &provenance);
    if let Some(values) = &mut report.values {
        shown::reduce(values, listed);
    }
    Ok(Simulated { report, source, arch, unmet, files, heat, watched })
}
