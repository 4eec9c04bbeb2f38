//! Which programs a compiled step executes: every launch's program is built and verified, and launches
//! whose programs have equal timing share one.
//!
//! A step of a large model has thousands of launches, and most of them are those of another layer with
//! other names. Launches that are alike have their program built once; programs of equal timing are
//! executed once.
//!
//! **Invariant.** Nothing here depends on the number of threads: programs are built independently, and
//! results are gathered in the order of the launches.
//! **Not here.** Lowering (`compiler`), executing (`execute`).

use crate::error::Error;
use crate::traffic::Traffic;
use compiler::kernels::stencil::Stencil;
use compiler::{Compiled, Launch};
use fabric::fold::timing_key;
use rayon::prelude::*;
use sim_core::arch::ArchSpec;
use sim_core::program::content_hash_mut;
use sim_core::program::{Program, verify};
use std::collections::BTreeMap;

/// Launches whose programs are built at the same time.
const TOGETHER: usize = 32;

/// A program that is executed at least once.
#[derive(Debug, Clone)]
pub struct Distinct {
    /// Name of the first kernel that has it.
    pub kernel: String,
    /// The program of that kernel.
    pub program: Program,
    /// Launches whose programs have equal timing: they differ in names and addresses only.
    pub launches: u64,
    /// Hash of all that its timing can depend on.
    pub timing: [u8; 32],
}

/// What a step executes: its launches, by index into its distinct programs.
#[derive(Debug, Clone, Default)]
pub struct StepPrograms {
    /// Every program once, in the order of first use.
    pub programs: Vec<Distinct>,
    /// How often each is executed in the step.
    pub weights: Vec<u64>,
    /// Program of every launch.
    pub launches: Vec<usize>,
    /// What crosses the wafer's edge in every launch.
    pub traffic: Vec<Traffic>,
    /// Hash of the programs of all launches in order, with their counts.
    pub hash: String,
}

/// Whether launches with equal stencils are believed to have equal programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hits {
    /// Launches with equal stencils get one program, which is built once.
    #[default]
    Believed,
    /// Every launch's program is built and its content compared with that of the first launch of its stencil. Takes as
    /// long as there are launches; for tests.
    Rechecked,
}

/// Numbers of launches by their stencils. Only looked up, never iterated over.
#[expect(clippy::disallowed_types, reason = "nothing iterates over it")]
type ByStencil = std::collections::HashMap<Stencil, usize>;

/// Of every launch, which of those that differ in more than names it is like; and the first one of
/// each of these.
fn alike(launches: &[Launch]) -> (Vec<usize>, Vec<&Launch>) {
    let stencils: Vec<Stencil> = launches.par_iter().map(Launch::stencil).collect();
    let (mut known, mut firsts) = (ByStencil::default(), Vec::new());
    let number = |(launch, stencil)| {
        let next = firsts.len();
        let number = *known.entry(stencil).or_insert(next);
        if number == next {
            firsts.push(launch);
        }
        number
    };
    let numbers = launches.iter().zip(stencils).map(number).collect();
    (numbers, firsts)
}

/// Holds every launch's program to the content that the first one of its stencil has.
fn recheck(compiled: &Compiled, arch: &ArchSpec, numbers: &[usize], contents: &[[u8; 32]]) {
    compiled.launches.par_iter().zip(numbers).for_each(|(launch, &number)| {
        let content = content_hash_mut(&mut compiled.program(launch, arch));
        let (kernel, layer) = (launch.kernel.name(), launch.layer);
        assert_eq!(
            content, contents[number],
            "`{kernel}` of layer {layer:?} has a program that its stencil does not tell"
        );
    });
}

impl StepPrograms {
    /// Programs for a machine whose edges have another rate: their streams move that much faster or slower.
    #[must_use]
    pub fn at_rate(mut self, before: &ArchSpec, after: &ArchSpec) -> StepPrograms {
        let period = after.pe.bank_period();
        let [before, after] = [before, after].map(|a| u128::from(a.wafer.io_bits_per_second.value.max(1)));
        if before != after {
            // A program without images is a delay (`kernels::layer_start`), which no edge makes shorter.
            for distinct in self.programs.iter_mut().filter(|d| !d.program.images.is_empty()) {
                for stream in &mut distinct.program.edges {
                    let interval = (u128::from(stream.interval) * before).div_ceil(after).max(1);
                    stream.interval = u32::try_from(interval).unwrap_or(u32::MAX);
                }
                distinct.timing = timing_key(&distinct.program, period);
            }
        }
        self
    }
}

/// Builds and verifies the programs of all launches, on the threads of the current pool. Launches
/// that are alike have theirs built once.
///
/// # Errors
/// If the verifier refuses one: then the compiler is wrong.
pub fn distinct(compiled: &Compiled, arch: &ArchSpec) -> Result<StepPrograms, Error> {
    distinct_with(compiled, arch, Hits::Believed)
}

/// The distinct programs of a step, with equal stencils believed or checked by building every launch's
/// program.
///
/// # Errors
/// As [`distinct`].
///
/// # Panics
/// If stencils are rechecked and one of them does not tell its launches' programs: a mistake of the compiler.
pub fn distinct_with(compiled: &Compiled, arch: &ArchSpec, hits: Hits) -> Result<StepPrograms, Error> {
    let (numbers, firsts) = alike(&compiled.launches);
    let mut plan = StepPrograms::default();
    let mut diagnostics = Vec::new();
    // By content, and by timing.
    let (mut verified, mut known) = (BTreeMap::new(), BTreeMap::new());
    // Of each first one: its content, its program and its traffic.
    let mut built = Vec::with_capacity(firsts.len());
    // Some at a time: all programs of a step together would take much memory.
    for launches in firsts.chunks(TOGETHER) {
        let build = |launch: &&Launch| {
            let mut program = compiled.program(launch, arch);
            let traffic = Traffic::of(&program, |stream| launch.kernel.own_stream(stream));
            let content = content_hash_mut(&mut program);
            let unknown = !verified.contains_key(&content);
            (
                content,
                traffic,
                unknown.then(|| (timing_key(&program, arch.pe.bank_period()), verify(&program, arch), program)),
            )
        };
        let programs: Vec<_> = launches.par_iter().map(build).collect();
        for (launch, (content, traffic, unknown)) in launches.iter().zip(programs) {
            let kernel = launch.kernel.name();
            if let Some((timing, found, program)) = unknown.filter(|_| !verified.contains_key(&content)) {
                let next = plan.programs.len();
                verified.insert(content, *known.entry(timing).or_insert(next));
                if known[&timing] == next {
                    plan.programs.push(Distinct { kernel: kernel.clone(), program, launches: 0, timing });
                    plan.weights.push(0);
                }
                for mut diagnostic in found {
                    diagnostic.at = format!("kernel `{kernel}` ({}): {}", launch.phase.name(), diagnostic.at);
                    diagnostics.push(diagnostic);
                }
            }
            built.push((content, verified[&content], traffic));
        }
    }
    if hits == Hits::Rechecked {
        let contents: Vec<[u8; 32]> = built.iter().map(|(content, ..)| *content).collect();
        recheck(compiled, arch, &numbers, &contents);
    }
    let mut hash = blake3::Hasher::new();
    for (launch, number) in compiled.launches.iter().zip(numbers) {
        let (content, index, traffic) = &built[number];
        let count = launch.count * compiled.micro_batches;
        hash.update(content).update(&count.to_le_bytes());
        plan.programs[*index].launches += launch.count;
        plan.weights[*index] += count;
        plan.launches.push(*index);
        plan.traffic.push(*traffic);
    }
    plan.hash = hash.finalize().to_hex().to_string();
    if diagnostics.is_empty() { Ok(plan) } else { Err(Error::Internal(diagnostics)) }
}
