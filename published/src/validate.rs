//! Published cases, executed: ours beside theirs, with the error and the source.
//!
//! **Invariant.** Every number of ours is the length of an execution; nothing is fitted.
//! **Not here.** How the table is printed (`text`).

use crate::programs::{self, REDUCTIONS, execute};
use compiler::codegen::instr::{mem, vec, word};
use compiler::collective::{self, Algorithm, Collective};
use runner::Error;
use serde::Serialize;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Grid, Region};
use sim_core::program::{DType, Image, Instr, Op, Placement, Program, Task, Trigger};

/// Where the vector instructions were measured.
const VECTORS: &str = "pr0f3ss/SpMM_Cerebras, src/fmacs_test/COO_benchmark.csv (commits 0af0ba0, 4604c74)";
/// Where the closed forms are from; T_R = 2.
const FORMS: &str = "Luczynski et al., Near-Optimal Wafer-Scale Reduce, HPDC 2024 (arXiv 2404.15888)";

/// A published case and what it takes here.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Case {
    /// What is executed.
    pub name: String,
    /// How theirs was found.
    pub kind: &'static str,
    /// Cycles here.
    pub ours: u64,
    /// Cycles published.
    pub theirs: u64,
    /// `ours / theirs − 1`.
    pub error: f64,
    /// Of `ours`, the cycles before the first beat, where `theirs` does not count them.
    pub startup: u64,
    /// The error without them.
    pub error_running: f64,
    /// Where it was published.
    pub source: &'static str,
}

/// All published cases with what they take here.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Cases(pub Vec<Case>);

impl Case {
    fn new(name: String, ours: u64, theirs: u64, startup: u64, source: &'static str) -> Case {
        let kind = if source == FORMS { "closed form" } else { "vendor's simulator" };
        let error = |ours: u64| ours as f64 / theirs as f64 - 1.0;
        Case { name, kind, ours, theirs, error: error(ours), startup, error_running: error(ours - startup), source }
    }
}

/// Executes all cases.
///
/// # Errors
/// If the machine cannot execute one of them.
pub fn cases(arch: &ArchSpec) -> Result<Cases, Error> {
    let mut cases = Vec::new();
    for (elements, conflict, theirs) in
        [(1028, false, 1034), (1028, true, 2062), (5124, false, 5130), (5124, true, 10254)]
    {
        let banks = if conflict { "sources in one bank" } else { "sources in different banks" };
        let name = format!("f32 multiply-accumulate of {elements} elements, {banks}");
        cases.push(Case::new(name, instruction(elements, conflict, arch)?, theirs, 0, VECTORS));
    }
    let reductions = [
        (Algorithm::Chain, "chain", 7218),
        (Algorithm::TwoPhase(8), "two-phase by groups of 8", 9117),
        (Algorithm::TwoPhase(64), "two-phase by groups of 64", 9061),
    ];
    for (how, algorithm, theirs) in reductions {
        let kind = collective::Kind::Reduce(how);
        let c = Collective { kind, pes: Grid { width: 512, height: 1 }, wavelets: 4096, dtype: DType::F32 };
        let name = format!("reduce of 4096 f32 over 512 PEs, {algorithm}");
        cases.push(Case::new(name, execute(&c.program(), arch)?, theirs, 0, REDUCTIONS));
    }
    for row in programs::rows(arch) {
        cases.push(Case::new(row.name.clone(), row.ours(arch)?, row.theirs, 0, row.source));
    }
    let startup = startup(arch)?;
    for (c, name, theirs) in closed_forms() {
        cases.push(Case::new(name, execute(&c.program(), arch)?, theirs, startup, FORMS));
    }
    Ok(Cases(cases))
}

/// Collectives with the cycles that the closed forms give them.
fn closed_forms() -> Vec<(Collective, String, u64)> {
    let mut cases = Vec::new();
    let mut add = |kind, (width, height): (u32, u32), wavelets: u32, what: &str, theirs: u32| {
        let c = Collective { kind, pes: Grid { width, height }, wavelets, dtype: DType::F32 };
        let name = format!("{what} of {wavelets} f32 over {width}x{height} PEs");
        cases.push((c, name, u64::from(theirs)));
    };
    let wavelets = [1, 64, 4096];
    for p in [4u32, 32, 512] {
        wavelets.iter().for_each(|&b| add(collective::Kind::Broadcast, (p, 1), b, "broadcast", b + p + 4));
    }
    for p in [4u32, 32, 512] {
        let chain = collective::Kind::Reduce(Algorithm::Chain);
        wavelets.iter().for_each(|&b| add(chain, (p, 1), b, "chain reduce", b + 6 * (p - 1)));
    }
    for p in [4u32, 32] {
        let star = collective::Kind::Reduce(Algorithm::Star);
        wavelets.iter().for_each(|&b| add(star, (p, 1), b, "star reduce", b * (p - 1) + 5));
    }
    for p in [4u32, 32, 512] {
        for b in wavelets.into_iter().filter(|b| b.is_multiple_of(p)) {
            let theirs = 2 * (p - 1) * (b / p) + 4 * p - 6 + 10 * (p - 1);
            add(collective::Kind::AllReduce(Algorithm::Ring), (p, 1), b, "ring all-reduce", theirs);
        }
    }
    for n in [4u32, 32, 512] {
        let what = "two-dimensional broadcast";
        wavelets.iter().for_each(|&b| add(collective::Kind::Broadcast, (n, n), b, what, b + 2 * n - 2 + 5));
    }
    cases
}

/// Cycles before the first beat of a program: those of one with a single beat, without it.
fn startup(arch: &ArchSpec) -> Result<u64, Error> {
    let beat = vec(Op::Mov, 1, mem(DType::F32, 0, 1), &[mem(DType::F32, 4, 1)]);
    Ok(execute(&alone(vec![beat]), arch)? - 1)
}

/// Cycles that one instruction takes: what a program with two of them takes longer than one with
/// one.
fn instruction(elements: u32, conflict: bool, arch: &ArchSpec) -> Result<u64, Error> {
    // Banks are met again after 16 bytes; the scalar does not take part.
    let second = (elements * 4).next_multiple_of(16) + if conflict { 0 } else { 8 };
    let scalar = second + elements * 4;
    let [sum, x] = [0, second].map(|at| mem(DType::F32, at, elements));
    let one = vec(Op::Fmac, elements, sum.clone(), &[sum, x, word(DType::F32, scalar)]);
    let [once, twice] = [1, 2].map(|n| execute(&alone(vec![one.clone(); n]), arch));
    Ok(twice? - once?)
}

/// A program of one PE.
fn alone(body: Vec<Instr>) -> Program {
    let task = Task { name: "main".to_owned(), trigger: Trigger::Local, active: true, blocked: false, body };
    Program {
        name: "vector".to_owned(),
        grid: Some(Grid { width: 1, height: 1 }),
        placements: vec![Placement { region: Region::rect(0, 0, 1, 1), image: 0, params: Vec::new() }],
        images: vec![Image { name: "pe".to_owned(), tasks: vec![task], ..Image::default() }],
        ..Program::default()
    }
}
