//! `--verify-fold`: random kernels, executed folded and in full on meshes that are small enough, and
//! compared in every counter of every PE.
//!
//! A kernel of a training step is compiled anew for a model of the same design with few features and
//! a mesh of a few hundred PEs, of random size; a program in text form is taken with fewer of its
//! lines that repeat.
//!
//! **Invariant.** What is compared is executed here, twice: nothing comes out of the cache.
//! **Not here.** Why folding is exact: `docs/MODEL.md`, F1 to F6.

use crate::compiled_step::CompiledStep;
use crate::error::Error;
use compiler::{Compiled, Options, compile};
use fabric::{EngineKind, Fold, RunOptions};
use models::design::Positions;
use models::{LayerGraph, ModelShape};
use sim_core::arch::ArchSpec;
use sim_core::coord::Grid;
use sim_core::diag::Diagnostic;
use sim_core::error::RunError;
use sim_core::program::Program;
use sim_core::report::{FoldNote, Outcome};
use sim_core::util::random::SplitMix64;

/// Programs that were executed folded and in full, and had equal counters in every PE.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldVerification {
    /// Seed that chose them and their meshes.
    pub seed: u64,
    /// The programs.
    pub kernels: Vec<VerifiedKernel>,
}

/// A program whose folded and full runs agree.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedKernel {
    /// What it computes.
    pub name: String,
    /// The mesh that it was executed on.
    pub grid: Grid,
    /// Its cycles; 0 if it does not end.
    pub cycles: u64,
    /// What was folded in the folded run.
    pub folds: Vec<FoldNote>,
}

/// Executes a program folded and in full.
///
/// # Errors
/// Where the two differ: a bug of ours.
pub fn compare(
    kernel: &str,
    program: &Program,
    arch: &ArchSpec,
    options: &RunOptions,
) -> Result<VerifiedKernel, Error> {
    let fold = if options.fold == Fold::NONE { Fold::ALL } else { options.fold };
    let run = |fold| {
        let options = RunOptions { engine: EngineKind::Fast, fold, per_pe: true, ..*options };
        fabric::run(program, arch, &options, None)
    };
    let (folded, full) = (run(fold), run(Fold::NONE));
    let grid = program.grid();
    match difference(&folded, &full) {
        None => Ok(VerifiedKernel {
            name: kernel.to_owned(),
            grid,
            cycles: full.map_or(0, |o| o.cycles.0),
            folds: folded.map_or_else(|_| Vec::new(), |o| o.folds),
        }),
        Some(what) => {
            let at = format!("kernel `{kernel}` on {grid} PEs");
            let message = format!("the folded run differs from the full one in {what}");
            let help =
                "a fault of wafersim, to be reported with this command; --fold none gives results without folding";
            Err(Error::internal(Diagnostic::new("fold-differs", at, message).help(help)))
        }
    }
}

/// The first counter in which two runs differ.
fn difference(folded: &Result<Outcome, RunError>, full: &Result<Outcome, RunError>) -> Option<String> {
    let (a, b) = match (folded, full) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(a), Err(b)) if a.to_string() == b.to_string() => return None,
        _ => return Some("whether it ends".to_owned()),
    };
    let pes = a.per_pe.iter().flatten().zip(b.per_pe.iter().flatten());
    let pe = pes.enumerate().find(|(_, (a, b))| a != b).map(|(i, (a, b))| format!("PE {i}: {a:?} instead of {b:?}"));
    let sums = [("macs", a.macs, b.macs), ("link crossings", a.wavelet_hops, b.wavelet_hops)];
    let mut sums =
        sums.into_iter().filter(|(_, a, b)| a != b).map(|(what, a, b)| format!("{what}: {a} instead of {b}"));
    let cycles = (a.cycles != b.cycles).then(|| format!("cycles: {} instead of {}", a.cycles.0, b.cycles.0));
    let parts =
        (a.pe_cycles != b.pe_cycles).then(|| format!("PE-cycles: {:?} instead of {:?}", a.pe_cycles, b.pe_cycles));
    let colors = (a.per_color != b.per_color).then(|| "what routers sent by color".to_owned());
    cycles.or_else(|| sums.next()).or(pe).or(parts).or(colors)
}

/// Verifies `count` random kernels of a step.
///
/// # Errors
/// A kernel whose runs differ; or if no small machine has a place for the model.
pub fn verify(step: &CompiledStep, (count, seed): (u32, u64), options: &RunOptions) -> Result<FoldVerification, Error> {
    let mut rng = SplitMix64::new(seed);
    let compiled = &step.compiled;
    let (arch, small) = small_step(step, &mut rng)?;
    let mut names: Vec<String> = Vec::new();
    for launch in &compiled.launches {
        let name = launch.kernel.name();
        if !names.contains(&name) && small.launches.iter().any(|l| l.kernel.name() == name) {
            names.push(name);
        }
    }
    let mut kernels = Vec::new();
    while kernels.len() < count as usize && !names.is_empty() {
        let name = names.swap_remove(rng.range(0, names.len() as u32 - 1) as usize);
        let launch = small.launches.iter().find(|l| l.kernel.name() == name);
        let program = small.program(launch.expect("only such names were taken"), &arch);
        kernels.push(compare(&name, &program, &arch, options)?);
    }
    Ok(FoldVerification { seed, kernels })
}

/// The step of a model of the same design, on a mesh of a few hundred PEs.
fn small_step(step: &CompiledStep, rng: &mut SplitMix64) -> Result<(ArchSpec, Compiled), Error> {
    let CompiledStep { workload, compiled, arch, .. } = step;
    let shape = small_shape(&workload.shape);
    let seq_len = (workload.seq_len.min(16) / 4 * 4).max(4);
    let mut arch = arch.clone();
    arch.wafer.width.value = arch.wafer.width.value.min(rng.range(6, 13));
    arch.wafer.height.value = arch.wafer.height.value.min(rng.range(33, 61));
    let mut diagnostics = Vec::new();
    for sequences in [16, 8, 4, 2, 1] {
        let graph = LayerGraph::training_step(&shape, sequences, seq_len).map_err(|diagnostics| {
            Error::internal(Diagnostic::new("fold-small", &shape.name, format!("{diagnostics:?}")))
        })?;
        let options = Options {
            batch: sequences,
            micro_batch: Some(sequences as u32),
            seq_len,
            act: compiled.geometry.precision.act,
            accumulator: compiled.geometry.precision.accumulator,
            constraints: compiler::options::MappingConstraints::default(),
        };
        match compile(&graph, &arch, &options) {
            Ok(compiled) => return Ok((arch, compiled)),
            Err(why) => diagnostics = why,
        }
    }
    Err(Error::Infeasible(diagnostics))
}

/// A model of the same design with few features.
fn small_shape(shape: &ModelShape) -> ModelShape {
    let heads = shape.heads.clamp(1, 2);
    let d_head = (shape.d_head().clamp(2, 8) / 2) * 2;
    let d_model = heads * d_head;
    let mut design = shape.design;
    design.kv_heads = design.kv_heads.map(|kv| if kv == shape.heads { heads } else { 1 });
    if let Positions::Rotary(r) = &mut design.positions {
        r.dims = r.dims.min(d_head);
    }
    let d_ff = u64::from(shape.d_ff) * u64::from(d_model) / u64::from(shape.d_model.max(1));
    ModelShape {
        name: format!("{}, small", shape.name),
        design,
        layers: 1,
        d_model,
        heads,
        d_ff: (d_ff as u32).clamp(4, 64),
        vocab: shape.vocab.min(50),
        max_positions: shape.max_positions.clamp(4, 16),
    }
}

#[cfg(test)]
mod tests {
    use super::difference;
    use sim_core::report::{ColorCounters, Outcome, PeCounters};
    use sim_core::units::Cycles;

    #[test]
    fn every_counter_is_compared() {
        let pe = PeCounters::default();
        let full = Outcome { per_pe: Some(vec![pe; 3]), ..Outcome::default() };
        let says = |folded: &Outcome| difference(&Ok(folded.clone()), &Ok(full.clone())).unwrap_or_default();
        assert_eq!(says(&full), "");
        assert_eq!(says(&Outcome { cycles: Cycles(4), ..full.clone() }), "cycles: 4 instead of 0");
        assert_eq!(says(&Outcome { macs: 1, ..full.clone() }), "macs: 1 instead of 0");
        assert_eq!(says(&Outcome { wavelet_hops: 2, ..full.clone() }), "link crossings: 2 instead of 0");
        let pes = vec![pe, PeCounters { finish: 9, ..pe }, pe];
        assert!(says(&Outcome { per_pe: Some(pes), ..full.clone() }).starts_with("PE 1: "));
        let none = ColorCounters::collect(std::iter::once(Vec::new()));
        assert_eq!(says(&Outcome { per_color: Some(none), ..full.clone() }), "what routers sent by color");
        let mut parts = full.clone();
        parts.pe_cycles.wait = 1;
        assert!(says(&parts).starts_with("PE-cycles: "));
    }
}
