//! `wafersim collective KIND`.

use super::inside::{InsideOptions, Looked, ProgramJob};
use super::options::{MachineOptions, RunLimits, VerifyOptions};
use super::output::Output;
use super::provenance::{self, ManifestFacts, ManifestOptions, Recording};
use super::reply::Reply;
use super::simulate;
use crate::fail::{Failure, Kind};
use crate::inputs;
use clap::{Args, ValueEnum};
use compiler::collective::{self, Collective};
use report::simulate::SimulateReport;
use runner::program::Numbers;
use sim_core::arch::ArchSpec;
use sim_core::coord::Grid;
use sim_core::diag::Diagnostic;
use sim_core::program::{DType, verify};
use sim_core::util::random::SplitMix64;
use std::path::PathBuf;

/// Generates one collective, executes it and times it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wafersim collective reduce --algorithm chain --pes 512x1 --wavelets 4096
  wafersim collective reduce --algorithm two-phase --group 8 --pes 512x1 --wavelets 4096
  wafersim collective all-reduce --algorithm ring --pes 64x64 --wavelets 4096
  wafersim collective broadcast --pes 750x994 --wavelets 100 --dtype f16 --format json")]
pub(super) struct Arguments {
    /// What it does
    #[arg(value_enum)]
    kind: Collecting,
    /// How; broadcast: multicast, reductions: chain (the default), tree, two-phase, star or ring
    #[arg(long, value_enum)]
    algorithm: Option<Algorithm>,
    /// A rectangle of PEs; the one in the north-west corner is the root
    #[arg(long, value_name = "WxH", value_parser = pes)]
    pes: Grid,
    /// Wavelets of the vector that every PE has
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    wavelets: u32,
    /// Type of its elements; two of 16 bits share a wavelet
    #[arg(long, value_enum, default_value = "f32")]
    dtype: Element,
    /// PEs of a group, for two-phase; the default is about the square root of the PEs
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    group: Option<u32>,
    #[command(flatten)]
    machine: MachineOptions,
    #[command(flatten)]
    limits: RunLimits,
    #[command(flatten)]
    verify: VerifyOptions,
    /// Lists when each PE finished
    #[arg(long)]
    finish: bool,
    #[command(flatten)]
    inside: InsideOptions,
    #[command(flatten)]
    manifest: ManifestOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Collecting {
    /// The root's vector to all PEs.
    Broadcast,
    /// The sum of all vectors to the root.
    Reduce,
    /// The sum of all vectors to all PEs.
    AllReduce,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Algorithm {
    /// By the routers, to all PEs at once.
    Multicast,
    /// From neighbour to neighbour.
    Chain,
    /// In pairs, pairs of pairs, and so on.
    Tree,
    /// In groups, then over the groups.
    TwoPhase,
    /// Straight to the root, one PE after the other, by switches in the routers.
    Star,
    /// Parts of the vector around a ring, twice: all PEs have the sum.
    Ring,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Element {
    F16,
    F32,
}

fn pes(text: &str) -> Result<Grid, String> {
    let wrong = || "two numbers, such as 512x1".to_owned();
    let (width, height) = text.split_once('x').ok_or_else(wrong)?;
    let number = |word: &str| word.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(wrong);
    Ok(Grid { width: number(width)?, height: number(height)? })
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Reply, Failure> {
    let mut recording = Recording::towards(&arguments.inside.destinations(), &arguments.manifest, output)?;
    let Reduced { report, arch, stopped, files } = report(arguments, output)?;
    let Arguments { limits, verify, inside, .. } = arguments;
    files.iter().try_for_each(|(path, bytes)| recording.write(path, bytes))?;
    let inputs = vec![provenance::machine_file(&arguments.machine)];
    let facts =
        ManifestFacts { inputs, beside: inside.files(), ..simulate::facts(&report, limits, verify, &arch, output)? };
    recording.attach(facts, &arguments.manifest, output)?;
    match stopped {
        None => Ok(Reply::of(report)),
        Some(failure) => Ok(Reply::Unmet(Box::new(report), failure)),
    }
}

/// A collective that was executed.
pub(super) struct Reduced {
    pub(super) report: SimulateReport,
    arch: ArchSpec,
    /// Why it ended before its end.
    stopped: Option<Failure>,
    /// Files that were asked for.
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// Executes the collective, and reports.
pub(super) fn report(arguments: &Arguments, output: &Output) -> Result<Reduced, Failure> {
    let recording = Recording::start();
    let arch = inputs::machine(&arguments.machine.arch, &arguments.machine.sets)?;
    let collective = arguments.collective(arch.grid())?;
    let program = collective.program();
    let diagnostics = verify(&program, &arch);
    if !diagnostics.is_empty() {
        return Err(Failure::many(Kind::Infeasible, diagnostics));
    }
    let Arguments { limits, finish, inside, verify, .. } = arguments;
    let at = program.name.clone();
    let job = ProgramJob {
        program: &program,
        arch: &arch,
        at,
        limits,
        finish: *finish,
        values: false,
        numbers: Numbers::Without,
        map: None,
        inside,
        page: false,
        output,
    };
    let Looked { executed, inside, stopped, files, watched: _ } = job.look()?;
    let provenance = recording.provenance(arguments.command(&collective), verify.seed, limits);
    let verified = verify.wanted().map(|(count, seed)| {
        let mut rng = SplitMix64::new(seed);
        let mut side = |most: u32| if most == 1 { 1 } else { most.min(rng.range(13, 40)) };
        let smaller = |_| {
            let pes = Grid { width: side(collective.pes.width), height: side(collective.pes.height) };
            let small = Collective { pes, ..collective };
            if small.ring_fault().is_none() { small.program() } else { program.clone() }
        };
        job.verified((0..count).map(smaller), seed)
    });
    let report = SimulateReport::of((&program, &arch), executed, inside, *finish, verified.transpose()?, &provenance);
    Ok(Reduced { report, arch, stopped, files })
}

impl Arguments {
    fn collective(&self, mesh: Grid) -> Result<Collective, Failure> {
        let mut diagnostics = Vec::new();
        let mut diagnostic = |at: &str, message: String, help: &str| {
            diagnostics.push(Diagnostic::new("cli-collective", at, message).help(help));
        };
        let Grid { width, height } = self.pes;
        if self.pes.pes() < 2 {
            diagnostic("--pes", format!("{width}x{height} is a single PE"), "at least two, such as 512x1 or 16x16");
        } else if width > mesh.width || height > mesh.height {
            let message = format!("{width}x{height} PEs; the machine has {}x{}", mesh.width, mesh.height);
            diagnostic("--pes", message, "fewer PEs, or a larger machine by --set wafer.width=N");
        }
        let how = match self.algorithm {
            None | Some(Algorithm::Multicast | Algorithm::Chain) => collective::Algorithm::Chain,
            Some(Algorithm::Tree) => collective::Algorithm::Tree,
            Some(Algorithm::Star) => collective::Algorithm::Star,
            Some(Algorithm::TwoPhase) => {
                collective::Algorithm::TwoPhase(self.group.unwrap_or(width.max(height).isqrt()))
            }
            Some(Algorithm::Ring) => collective::Algorithm::Ring,
        };
        let kind = match self.kind {
            Collecting::Broadcast => collective::Kind::Broadcast,
            Collecting::Reduce => collective::Kind::Reduce(how),
            Collecting::AllReduce => collective::Kind::AllReduce(how),
        };
        let multicast = self.algorithm == Some(Algorithm::Multicast);
        if self.algorithm.is_some() && multicast != (self.kind == Collecting::Broadcast) {
            let help = "broadcast: multicast; reduce and all-reduce: chain, tree, two-phase or ring";
            diagnostic("--algorithm", "is not one of this collective".to_owned(), help);
        }
        if self.group.is_some() && self.algorithm != Some(Algorithm::TwoPhase) {
            diagnostic("--group", "only two-phase has groups".to_owned(), "--algorithm two-phase");
        }
        let dtype = match self.dtype {
            Element::F16 => DType::F16,
            Element::F32 => DType::F32,
        };
        let collective = Collective { kind, pes: self.pes, wavelets: self.wavelets, dtype };
        if let Some(message) = collective.ring_fault() {
            diagnostic("--algorithm ring", message, "other --pes or --wavelets, or another algorithm");
        }
        if !diagnostics.is_empty() {
            return Err(Failure::many(Kind::InvalidInput, diagnostics));
        }
        Ok(collective)
    }

    /// The options with everything resolved, as on a command line.
    fn command(&self, collective: &Collective) -> String {
        let how = |how: collective::Algorithm| match how {
            collective::Algorithm::Chain => "chain".to_owned(),
            collective::Algorithm::Tree => "tree".to_owned(),
            collective::Algorithm::TwoPhase(group) => format!("two-phase --group {group}"),
            collective::Algorithm::Star => "star".to_owned(),
            collective::Algorithm::Ring => "ring".to_owned(),
        };
        let what = match collective.kind {
            collective::Kind::Broadcast => "broadcast --algorithm multicast".to_owned(),
            collective::Kind::Reduce(by) => format!("reduce --algorithm {}", how(by)),
            collective::Kind::AllReduce(by) => format!("all-reduce --algorithm {}", how(by)),
        };
        format!(
            "wafersim collective {what} --pes {}x{} --wavelets {} --dtype {}{}{}{}",
            self.pes.width,
            self.pes.height,
            self.wavelets,
            collective.dtype.name(),
            self.machine.command(),
            self.limits.command() + &self.verify.command(),
            if self.finish { " --finish" } else { "" }.to_owned() + self.inside.command()
        )
    }
}
