//! `wafersim simulate PROGRAM`.

use super::options::{Format, MachineOptions, RunLimits, VerifyOptions};
use super::provenance::{self, Made, Making, ManifestOptions};
use super::trace::ProgramTrace;
use super::{Output, json, program};
use crate::fail::{Failure, Kind};
use crate::machine;
use crate::manifest::{self, quoted};
use crate::render::table::{Table, grouped, percent};
use crate::report::{
    ArchInfo, BufferValues, EdgeValues, FoldVerification, SIMULATE_SCHEMA, SimulateReport, Simulation, ValuesReport,
    peak_rss_bytes,
};
use crate::verify_fold::{self, Rng};
use clap::Args;
use fabric::{HostStreams, Values, WaferMemory};
use sim_core::arch::ArchSpec;
use sim_core::codec::content_hash_hex;
use sim_core::coord::PeCoord;
use sim_core::diag::Diagnostic;
use sim_core::error::RunError;
use sim_core::program::{Buffer, DType, Program, verify};
use sim_core::report::{FoldNote, Outcome, PeCounters};
use std::fmt::Write as _;
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

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Vec<u8>, Failure> {
    let mut making = Making::towards(&arguments.trace.destinations(), &arguments.manifest, output)?;
    let (report, program, arch) = report(arguments, output)?;
    let Arguments { machine, limits, verify, manifest, trace, .. } = arguments;
    trace.record(&program, &arch, report.cycles, limits.memory_limit, &mut making)?;
    let inputs = vec![arguments.program.as_path(), provenance::machine_file(machine)];
    let made = Made { inputs, beside: trace.files(), ..made(&report, limits, verify, &arch)? };
    making.attach(made, manifest, output)?;
    rendered(&report, output.format)
}

/// What a manifest says of a program that was executed.
pub(super) fn made<'a>(
    report: &'a SimulateReport,
    limits: &RunLimits,
    verify: &VerifyOptions,
    arch: &ArchSpec,
) -> Result<Made<'a>, Failure> {
    Ok(Made {
        result_schema: SIMULATE_SCHEMA,
        command: &report.command,
        config: provenance::settings(limits, verify, arch),
        inputs: Vec::new(),
        seed: verify.seed,
        threads: limits.threads(),
        digest: manifest::digest(report)?,
        beside: Vec::new(),
    })
}

/// Executes the program, and reports.
pub(super) fn report(arguments: &Arguments, output: &Output) -> Result<(SimulateReport, Program, ArchSpec), Failure> {
    let arch = machine::build(&arguments.machine.arch, &arguments.machine.sets)?;
    let program = program::read(&arguments.program)?;
    check(&program, &arch, output)?;
    let at = arguments.program.display().to_string();
    let Arguments { machine, limits, verify, finish, values, trace, .. } = arguments;
    let wanted = [(finish, " --finish"), (values, " --values")];
    let flags: String = wanted.iter().filter(|(on, _)| **on).map(|(_, flag)| *flag).collect();
    let command = format!(
        "wafersim simulate {}{}{}{}{flags}",
        quoted(&at),
        machine.command(),
        limits.command(),
        verify.command()
    );
    let job = Job { at, command, limits, finish: *finish, values: *values, trace };
    let mut report = execute(&job, &program, &arch)?;
    if let Some((count, seed)) = verify.wanted() {
        let mut rng = Rng::new(seed);
        // From a few more periods than are folded.
        let smaller = |_| fabric::fold::smaller(&program, rng.range(13, 40));
        report.fold_verification = Some(verified((0..count).map(smaller), seed, limits, &arch)?);
    }
    Ok((report, program, arch))
}

/// Executes programs folded and in full.
pub(super) fn verified(
    programs: impl Iterator<Item = Program>,
    seed: u64,
    limits: &RunLimits,
    arch: &ArchSpec,
) -> Result<FoldVerification, Failure> {
    let pool = crate::step::pool(limits.threads())?;
    let compare = |p: Program| verify_fold::compare(&p.name, &p, arch, &limits.options(false));
    let kernels = programs.map(|p| pool.install(|| compare(p))).collect::<Result<_, Failure>>()?;
    Ok(FoldVerification { seed, kernels })
}

/// How a program is executed, and what is reported of it.
pub(super) struct Job<'a> {
    /// Where the program comes from, for messages.
    pub(super) at: String,
    /// The command line.
    pub(super) command: String,
    pub(super) limits: &'a RunLimits,
    /// Whether the PEs' last cycles are listed.
    pub(super) finish: bool,
    /// Whether real numbers are carried.
    pub(super) values: bool,
    /// The trace that will be wanted of it.
    pub(super) trace: &'a ProgramTrace,
}

pub(super) fn rendered(report: &SimulateReport, format: Format) -> Result<Vec<u8>, Failure> {
    match format {
        Format::Json => json(report),
        Format::Csv => Ok(csv(report).into_bytes()),
        Format::Text => Ok(text(report).into_bytes()),
    }
}

/// A program whose only fault is that counts differ is run nevertheless: what blocks whom shows
/// more than the counts.
fn check(program: &Program, arch: &ArchSpec, output: &Output) -> Result<(), Failure> {
    let faults = verify(program, arch);
    if faults.iter().any(|f| f.code != "R025") {
        return Err(Failure::of_program(faults));
    }
    for fault in &faults {
        output.warn(&fault.to_string());
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "wall time of the host, reported as such")]
pub(super) fn execute(job: &Job<'_>, program: &Program, arch: &ArchSpec) -> Result<SimulateReport, Failure> {
    let (limits, at) = (job.limits, &job.at);
    let mut options = limits.options(job.finish);
    let most = job.trace.most_cycles(program.grid())?.filter(|most| *most < options.cycle_limit);
    options.cycle_limit = most.unwrap_or(options.cycle_limit);
    let failed = |e: RunError| match (e, most) {
        (RunError::CycleLimit { .. }, Some(most)) => job.trace.refusal(most),
        (e, _) => Failure::of_run(&e, at),
    };
    let start = std::time::Instant::now();
    let pool = crate::step::pool(limits.threads())?;
    let (outcome, values) = pool.install(|| -> Result<(Outcome, Option<ValuesReport>), Failure> {
        if !job.values {
            let outcome = fabric::run(program, arch, &options, None).map_err(failed)?;
            return Ok((outcome, None));
        }
        let mut memory = memory(program, arch, limits.memory_limit)?;
        let (inputs, mut outputs) = (HostStreams::default(), HostStreams::default());
        let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
        let outcome = fabric::run(program, arch, &options, Some(&mut values)).map_err(failed)?;
        Ok((outcome, Some(read_back(program, &memory, &outputs))))
    })?;
    let finish = outcome.per_pe.as_ref().filter(|_| job.finish).map(|pes| {
        let width = program.grid().width as usize;
        let row = |(i, c): (usize, &PeCounters)| ((i % width) as u32, (i / width) as u32, c.finish);
        pes.iter().enumerate().filter(|(_, c)| c.finish > 0).map(row).collect()
    });
    Ok(SimulateReport {
        schema: SIMULATE_SCHEMA,
        wafersim_version: env!("CARGO_PKG_VERSION"),
        command: job.command.clone(),
        arch_hash: arch.hash(),
        program_hash: content_hash_hex(program),
        program: program.name.clone(),
        arch: ArchInfo::of(arch),
        cycles: outcome.cycles.0,
        pe_cycles: outcome.pe_cycles,
        macs: outcome.macs,
        wavelet_hops: outcome.wavelet_hops,
        finish,
        fold_verification: None,
        values,
        simulation: Simulation {
            engine: limits.engine_name().to_owned(),
            fold: if job.values { "none" } else { limits.fold_name() }.to_owned(),
            threads: limits.threads(),
            wall_seconds: start.elapsed().as_secs_f64(),
            stepped_cycles: outcome.stepped_cycles,
            stepped_pe_cycles: outcome.stepped_pe_cycles,
            covered_pe_cycles: outcome.pe_cycles.total(),
            cached_programs: 0,
            peak_rss_bytes: peak_rss_bytes(),
        },
        folds: folds(outcome.folds, job),
    })
}

/// What was folded; where nothing may be, that and why.
fn folds(folds: Vec<FoldNote>, job: &Job<'_>) -> Vec<FoldNote> {
    let why = match job.limits.engine_name() {
        _ if !folds.is_empty() => return folds,
        "reference" => "the reference engine steps everything",
        _ if job.values => "values are carried",
        _ => "--fold none",
    };
    vec![FoldNote { kind: fabric::fold::NONE.to_owned(), text: format!("nothing was folded: {why}") }]
}

/// Memories of all PEs, if this computer may hold them.
fn memory(program: &Program, arch: &ArchSpec, limit: u64) -> Result<WaferMemory, Failure> {
    let grid = program.grid();
    let needs = grid.pes().saturating_mul(u64::from(arch.pe.sram.value)).saturating_mul(2);
    if needs > limit {
        let message = format!("values of {} PEs take {needs} bytes of this computer and may take {limit}", grid.pes());
        let fault =
            Diagnostic::new("cli-values", "--values", message).help("a smaller mesh, or a higher --memory-limit");
        return Err(Failure::one(Kind::Refused, fault));
    }
    Ok(WaferMemory::new(grid, arch.pe.sram.value))
}

fn read_back(program: &Program, memory: &WaferMemory, outputs: &HostStreams) -> ValuesReport {
    let mut buffers = Vec::new();
    let mut add = |pe: PeCoord, image: u32| {
        let Some(image) = program.images.get(image as usize) else { return };
        let bytes = &memory.pes[(u64::from(pe.y) * u64::from(memory.grid.width) + u64::from(pe.x)) as usize];
        for buffer in &image.buffers {
            buffers.push(BufferValues { x: pe.x, y: pe.y, name: buffer.name.clone(), values: elements(bytes, buffer) });
        }
    };
    let mut placed: Vec<(PeCoord, u32)> =
        program.placements.iter().flat_map(|p| p.region.iter().map(|pe| (pe, p.image))).collect();
    placed.sort_by_key(|(pe, _)| (pe.y, pe.x));
    placed.into_iter().for_each(|(pe, image)| add(pe, image));
    let edge = |((stream, port), words): (&(String, u32), &Vec<u32>)| EdgeValues {
        stream: stream.clone(),
        port: *port,
        words: words.clone(),
    };
    ValuesReport { buffers, edges: outputs.ports.iter().map(edge).collect() }
}

fn elements(memory: &[u8], buffer: &Buffer) -> Vec<f32> {
    let size = buffer.dtype.bytes() as usize;
    let (start, end) = (buffer.addr as usize, buffer.end() as usize);
    let element = |b: &[u8]| match buffer.dtype {
        DType::F16 => half::f16::from_le_bytes([b[0], b[1]]).to_f32(),
        DType::Bf16 => half::bf16::from_le_bytes([b[0], b[1]]).to_f32(),
        DType::F32 => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
    };
    memory.get(start..end).unwrap_or(&[]).chunks_exact(size).map(element).collect()
}

fn csv(r: &SimulateReport) -> String {
    if let Some(finish) = &r.finish {
        let mut table = Table::new(&["x", "y", "finish"]);
        finish.iter().for_each(|(x, y, cycle)| table.row(vec![x.to_string(), y.to_string(), cycle.to_string()]));
        return table.csv();
    }
    let mut table = Table::new(&["cycles", "compute", "wait", "back_pressure", "idle", "macs", "wavelet_hops"]);
    let p = r.pe_cycles;
    let row = [r.cycles, p.compute, p.wait, p.back_pressure, p.idle, r.macs, r.wavelet_hops];
    table.row(row.map(|n| n.to_string()).to_vec());
    table.csv()
}

fn text(r: &SimulateReport) -> String {
    let (p, total) = (r.pe_cycles, r.pe_cycles.total());
    let mut out = format!("{}: {} cycles on {}\n", r.program, grouped(r.cycles), r.arch.name);
    let _ = writeln!(
        out,
        "  PE-cycles      {} % compute, {} % wait, {} % back-pressure, {} % idle",
        percent(p.compute, total),
        percent(p.wait, total),
        percent(p.back_pressure, total),
        percent(p.idle, total)
    );
    let _ = writeln!(out, "  multiply-adds  {}", grouped(r.macs));
    let _ = writeln!(out, "  link crossings {}", grouped(r.wavelet_hops));
    for fold in &r.folds {
        let _ = match fold.kind.as_str() {
            fabric::fold::NONE => writeln!(out, "  {}", fold.text),
            kind => writeln!(out, "  folded, {kind}: {}", fold.text),
        };
    }
    r.fold_verification.iter().for_each(|v| out += &crate::render::run::verified(v));
    for (x, y, cycle) in r.finish.iter().flatten() {
        let _ = writeln!(out, "  PE ({x}, {y}) finished at {cycle}");
    }
    if let Some(values) = &r.values {
        for b in &values.buffers {
            let _ = writeln!(out, "  PE ({}, {}) {} = {:?}", b.x, b.y, b.name, b.values);
        }
        for e in &values.edges {
            let words: Vec<String> = e.words.iter().map(|w| format!("{w:#010x}")).collect();
            let _ = writeln!(out, "  edge {} port {}: {}", e.stream, e.port, words.join(" "));
        }
    }
    out
}
