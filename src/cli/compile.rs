//! `wafersim compile MODEL`.

use super::options::Format;
use super::step::StepArguments;
use super::{Output, json, program};
use crate::fail::{Failure, Kind};
use crate::files;
use clap::{Args, ValueEnum};
use compiler::Launch;
use report::table::Table;
use runner::CompiledStep;
use runner::programs::{Distinct, distinct};
use serde::Serialize;
use sim_core::diag::Diagnostic;
use std::fmt::Write as _;
use std::path::Path;

/// Compiles one training step, and prints or writes what a stage makes of it
#[derive(Debug, Args)]
#[command(after_help = "Stages: graph (operations and tensors), placed (layout on the mesh),
scheduled (kernels in order), planned (memory of a PE), programs (text form).
Without --dump: `scheduled` on stdout, `programs` with -o.

Examples:
  wafersim compile cerebras-gpt-111m --dump after:planned
  wafersim compile cerebras-gpt-111m --dump after:programs --kernel 'gemm qkv'
  wafersim compile cerebras-gpt-111m -o programs/           one file per program
  wafersim compile cerebras-gpt-111m --kernel 'gemm qkv' -o qkv.wbin")]
pub(super) struct Arguments {
    #[command(flatten)]
    step: StepArguments,
    /// The stage whose result is wanted
    #[arg(long, value_name = "after:STAGE", value_parser = stage)]
    dump: Option<Stage>,
    /// Only kernels with this text in their name; with -o FILE, the first of them
    #[arg(long, value_name = "TEXT")]
    kernel: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    Graph,
    Placed,
    Scheduled,
    Planned,
    Programs,
}

fn stage(text: &str) -> Result<Stage, String> {
    let name = text.strip_prefix("after:").unwrap_or(text);
    Stage::from_str(name, false).map_err(|_| "after:graph, placed, scheduled, planned or programs".to_owned())
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Vec<u8>, Failure> {
    let compiled = arguments.step.job()?.compile()?;
    let default = if output.file.is_some() { Stage::Programs } else { Stage::Scheduled };
    match arguments.dump.unwrap_or(default) {
        Stage::Graph => Ok(compiled.graph.to_string().into_bytes()),
        Stage::Placed => Ok(format!("{:#?}\n", compiled.compiled.geometry).into_bytes()),
        Stage::Scheduled => scheduled(arguments, &compiled, output),
        Stage::Planned => planned(&compiled, output),
        Stage::Programs => programs(arguments, &compiled, output),
    }
}

impl Arguments {
    fn wants(&self, kernel: &str) -> bool {
        self.kernel.as_ref().is_none_or(|text| kernel.contains(text.as_str()))
    }
}

#[derive(Serialize)]
struct LaunchReport<'a> {
    launch: usize,
    kernel: String,
    phase: &'a str,
    layer: Option<u32>,
    count: u64,
}

fn scheduled(arguments: &Arguments, step: &CompiledStep, output: &Output) -> Result<Vec<u8>, Failure> {
    let report = |(launch, l): (usize, &'_ Launch)| LaunchReport {
        launch,
        kernel: l.kernel.name(),
        phase: l.phase,
        layer: l.layer,
        count: l.count,
    };
    let launches: Vec<LaunchReport<'_>> =
        step.compiled.launches.iter().enumerate().map(report).filter(|l| arguments.wants(&l.kernel)).collect();
    let mut table = Table::new(&["launch", "kernel", "phase", "layer", "count"]);
    for l in &launches {
        let layer = l.layer.map(|n| n.to_string()).unwrap_or_default();
        table.row(vec![l.launch.to_string(), l.kernel.clone(), l.phase.to_owned(), layer, l.count.to_string()]);
    }
    let c = &step.compiled;
    let head = format!("{} micro-batches of {} sequences, each:\n", c.micro_batches, c.micro_batch);
    match output.format {
        Format::Json => json(&launches),
        Format::Csv => Ok(table.csv().into_bytes()),
        Format::Text => Ok((head + &table.text()).into_bytes()),
    }
}

#[derive(Serialize)]
struct BufferReport<'a> {
    name: &'a str,
    addr: u64,
    bytes: u64,
    first: usize,
    last: usize,
    at_peak: bool,
}

fn planned(step: &CompiledStep, output: &Output) -> Result<Vec<u8>, Failure> {
    let plan = &step.compiled.memory;
    let buffers: Vec<BufferReport<'_>> = plan
        .buffers
        .iter()
        .map(|b| BufferReport {
            name: &b.name,
            addr: b.addr,
            bytes: b.bytes,
            first: b.first,
            last: b.last,
            at_peak: plan.at_peak(b),
        })
        .collect();
    let mut table = Table::new(&["buffer", "addr", "bytes", "first", "last", "at peak"]);
    for b in &buffers {
        let numbers = [b.addr, b.bytes, b.first as u64, b.last as u64].map(|n| n.to_string());
        let mut row = vec![b.name.to_owned()];
        row.extend(numbers);
        row.push(if b.at_peak { "yes" } else { "" }.to_owned());
        table.row(row);
    }
    let head = format!(
        "peak {} of {} bytes, code {} and stack {} included\n",
        plan.peak_bytes, plan.capacity, plan.code_bytes, plan.stack_bytes
    );
    match output.format {
        Format::Json => json(&buffers),
        Format::Csv => Ok(table.csv().into_bytes()),
        Format::Text => Ok((head + &table.text()).into_bytes()),
    }
}

/// Programs on stdout one behind the other; in a folder one file each; in a file the only one.
fn programs(arguments: &Arguments, step: &CompiledStep, output: &Output) -> Result<Vec<u8>, Failure> {
    let programs = distinct(&step.compiled, &step.arch)?.programs;
    let programs: Vec<Distinct> = programs.into_iter().filter(|p| arguments.wants(&p.kernel)).collect();
    let fault = |message: String| {
        let help = "`--dump after:scheduled` lists the kernels; -o FOLDER/ writes all of them";
        Err(Failure::one(Kind::InvalidInput, Diagnostic::new("cli-kernel", "--kernel", message).help(help)))
    };
    let Some(first) = programs.first() else {
        return fault("no kernel has this text in its name".to_owned());
    };
    match &output.file {
        Some(path) if path.is_dir() || path.to_string_lossy().ends_with('/') => folder(path, &programs),
        Some(path) if programs.len() == 1 || arguments.kernel.is_some() => {
            Ok(program::bytes(Some(path), &first.program))
        }
        Some(_) => fault(format!("{} programs do not go into one file", programs.len())),
        None => {
            let mut text = String::new();
            for p in &programs {
                let _ = writeln!(text, "// {}\n{}", p.kernel, p.program);
            }
            Ok(text.into_bytes())
        }
    }
}

fn folder(path: &Path, programs: &[Distinct]) -> Result<Vec<u8>, Failure> {
    std::fs::create_dir_all(path)
        .map_err(|e| Failure::one(Kind::InvalidInput, Diagnostic::new("cli-write", path.display(), e.to_string())))?;
    for (i, p) in programs.iter().enumerate() {
        let word: String = p.kernel.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let file = path.join(format!("{i:03}-{word}.wafer"));
        files::write(&file, &program::bytes(None, &p.program))?;
    }
    Ok(Vec::new())
}
