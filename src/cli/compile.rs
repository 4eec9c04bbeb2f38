//! `wafersim compile MODEL`.

use super::output::Output;
use super::program;
use super::reply::Reply;
use super::step::StepArguments;
use crate::fail::{Failure, Kind};
use crate::files;
use clap::{Args, ValueEnum};
use compiler::Launch;
use compiler::memory::PlannedBuffer;
use report::table::Table;
use report::{Document, Tabular, row};
use runner::CompiledStep;
use runner::programs::{Distinct, distinct};
use serde::Serialize;
use sim_core::diag::Diagnostic;
use std::fmt::Write as _;
use std::path::Path;

/// Compiles one training step, and prints or writes what a stage makes of it
#[derive(Debug, Args)]
#[command(after_help = "Stages: graph (operations and tensors), layout (the model on the mesh),
schedule (kernels in order), placed (memory of a PE), program (text form).
Without --dump: `schedule` on stdout, `program` with -o.

Examples:
  wafersim compile cerebras-gpt-111m --dump after:placed
  wafersim compile cerebras-gpt-111m --dump after:program --kernel 'gemm qkv'
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
    Layout,
    #[value(alias = "scheduled")]
    Schedule,
    #[value(alias = "planned")]
    Placed,
    #[value(alias = "programs")]
    Program,
}

fn stage(text: &str) -> Result<Stage, String> {
    let name = text.strip_prefix("after:").unwrap_or(text);
    Stage::from_str(name, false).map_err(|_| "after:graph, layout, schedule, placed or program".to_owned())
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Reply, Failure> {
    let compiled = arguments.step.job()?.compile()?;
    let default = if output.file.is_some() { Stage::Program } else { Stage::Schedule };
    match arguments.dump.unwrap_or(default) {
        Stage::Graph => Ok(Reply::text(compiled.graph.to_string())),
        Stage::Layout => Ok(Reply::text(compiled.compiled.geometry.to_string())),
        Stage::Schedule => Ok(Reply::of(Scheduled::of(arguments, &compiled))),
        Stage::Placed => Ok(Reply::of(Planned::of(&compiled))),
        Stage::Program => programs(arguments, &compiled, output),
    }
}

impl Arguments {
    fn wants(&self, kernel: &str) -> bool {
        self.kernel.as_ref().is_none_or(|text| kernel.contains(text.as_str()))
    }
}

#[derive(Serialize)]
struct LaunchReport {
    launch: usize,
    kernel: String,
    phase: &'static str,
    layer: Option<u32>,
    count: u64,
}

/// The kernels in order.
#[derive(Serialize)]
#[serde(transparent)]
struct Scheduled {
    launches: Vec<LaunchReport>,
    /// How often they are executed, for people.
    #[serde(skip)]
    head: String,
}

impl Scheduled {
    fn of(arguments: &Arguments, step: &CompiledStep) -> Scheduled {
        let report = |(launch, l): (usize, &Launch)| LaunchReport {
            launch,
            kernel: l.kernel.name(),
            phase: l.phase.name(),
            layer: l.layer,
            count: l.count,
        };
        let c = &step.compiled;
        let all = c.launches.iter().enumerate().map(report);
        Scheduled {
            launches: all.filter(|l| arguments.wants(&l.kernel)).collect(),
            head: format!("{} micro-batches of {} sequences, each:\n", c.micro_batches, c.micro_batch),
        }
    }
}

impl Tabular for Scheduled {
    fn table(&self) -> Table {
        let mut table = Table::new(&["launch", "kernel", "phase", "layer", "count"]);
        for l in &self.launches {
            table.row(row![l.launch, l.kernel.as_str(), l.phase, l.layer, l.count]);
        }
        table
    }
}

impl Document for Scheduled {
    fn text(&self) -> String {
        self.head.clone() + &self.table().text()
    }
}

#[derive(Serialize)]
struct BufferReport {
    name: String,
    addr: u64,
    bytes: u64,
    first: usize,
    last: usize,
    at_peak: bool,
}

/// The memory of a PE.
#[derive(Serialize)]
#[serde(transparent)]
struct Planned {
    buffers: Vec<BufferReport>,
    /// How much of it is used, for people.
    #[serde(skip)]
    head: String,
}

impl Planned {
    fn of(step: &CompiledStep) -> Planned {
        let plan = &step.compiled.memory;
        let buffer = |b: &PlannedBuffer| BufferReport {
            name: b.buffer.to_string(),
            addr: b.addr,
            bytes: b.bytes,
            first: b.first,
            last: b.last,
            at_peak: plan.at_peak(b),
        };
        let head = format!(
            "peak {} of {} bytes, code {} and stack {} included\n",
            plan.peak_bytes, plan.capacity, plan.code_bytes, plan.stack_bytes
        );
        Planned { buffers: plan.buffers.iter().map(buffer).collect(), head }
    }
}

impl Tabular for Planned {
    fn table(&self) -> Table {
        let mut table = Table::new(&["buffer", "addr", "bytes", "first", "last", "at peak"]);
        for b in &self.buffers {
            let peak = b.at_peak.then_some("yes");
            table.row(row![b.name.as_str(), b.addr, b.bytes, b.first, b.last, peak]);
        }
        table
    }
}

impl Document for Planned {
    fn text(&self) -> String {
        self.head.clone() + &self.table().text()
    }
}

/// Programs on stdout one behind the other; in a folder one file each; in a file the only one.
fn programs(arguments: &Arguments, step: &CompiledStep, output: &Output) -> Result<Reply, Failure> {
    let programs = distinct(&step.compiled, &step.arch)?.programs;
    let programs: Vec<Distinct> = programs.into_iter().filter(|p| arguments.wants(&p.kernel)).collect();
    let diagnostic = |message: String| {
        let help = "`--dump after:schedule` lists the kernels; -o FOLDER/ writes all of them";
        Err(Failure::one(Kind::InvalidInput, Diagnostic::new("cli-kernel", "--kernel", message).help(help)))
    };
    let Some(first) = programs.first() else {
        return diagnostic("no kernel has this text in its name".to_owned());
    };
    match &output.file {
        Some(path) if path.is_dir() || path.to_string_lossy().ends_with('/') => folder(path, &programs),
        Some(path) if programs.len() == 1 || arguments.kernel.is_some() => {
            Ok(Reply::Bytes(program::bytes(Some(path), &first.program)))
        }
        Some(_) => diagnostic(format!("{} programs do not go into one file", programs.len())),
        None => {
            let mut text = String::new();
            for p in &programs {
                let _ = writeln!(text, "// {}\n{}", p.kernel, p.program);
            }
            Ok(Reply::text(text))
        }
    }
}

fn folder(path: &Path, programs: &[Distinct]) -> Result<Reply, Failure> {
    std::fs::create_dir_all(path)
        .map_err(|e| Failure::one(Kind::InvalidInput, Diagnostic::new("cli-write", path.display(), e.to_string())))?;
    for (i, p) in programs.iter().enumerate() {
        let word: String = p.kernel.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let file = path.join(format!("{i:03}-{word}.wafer"));
        files::write(&file, &program::bytes(None, &p.program))?;
    }
    Ok(Reply::Bytes(Vec::new()))
}
