//! Executes a compiled training step: every launch's program is verified, programs of equal timing
//! are executed once, or not at all if the cache knows them, and what they cost is added up.
//!
//! **Invariant.** Nothing here depends on the number of threads: programs are independent, results
//! are gathered in the order of the launches, and all sums are of integers.
//! **Not here.** Lowering (`compiler`), engines (`fabric`), rates (`summary`).

use crate::cache::Cache;
use crate::fail::{Failure, Kind};
use crate::heat::Heat;
use crate::systems::Traffic;
use compiler::step::{Compiled, Launch};
use fabric::RunOptions;
use fabric::fold::timing_key;
use rayon::prelude::*;
use sim_core::arch::ArchSpec;
use sim_core::codec::content_hash_mut;
use sim_core::coord::{Grid, Region};
use sim_core::diag::Diagnostic;
use sim_core::program::{EdgeStream, Program, verify};
use sim_core::report::{FoldNote, Outcome, PeCycles};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

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
pub struct Plan {
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

/// A step that was executed.
#[derive(Debug, Clone)]
pub struct Executed {
    /// Program of every launch.
    pub launches: Vec<usize>,
    /// What crosses the wafer's edge in every launch.
    pub traffic: Vec<Traffic>,
    /// Outcome of every program, without its PEs.
    pub outcomes: Vec<Outcome>,
    /// Hash of all programs in order, with their counts.
    pub hash: String,
    /// Edge streams of every program.
    pub streams: Vec<Vec<EdgeStream>>,
    /// Where the PEs spent the cycles of the step, if that was asked for.
    pub heat: Option<Heat>,
    /// Programs whose outcomes came out of the cache.
    pub cached: u64,
}

/// Kernels of one name, phase and layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What it computes.
    pub name: String,
    /// Part of the step.
    pub phase: &'static str,
    /// Layer, if it belongs to one.
    pub layer: Option<u32>,
    /// Executions in the step.
    pub count: u64,
    /// Their cycles.
    pub cycles: u64,
    /// Their multiply-accumulates.
    pub macs: u64,
    /// Their bytes onto and off the wafer.
    pub traffic: (u64, u64),
    /// Their PE-cycles.
    pub pe_cycles: PeCycles,
    /// What was folded.
    pub folded: Vec<String>,
}

/// A pool of threads for the engines.
///
/// # Errors
/// If the system does not give that many.
pub fn pool(threads: usize) -> Result<rayon::ThreadPool, Failure> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|e| Failure::one(Kind::Refused, Diagnostic::new("run-host", "--threads", e.to_string())))
}

/// What of a launch its program depends on, beside the machine and the geometry, with the layers in
/// the names of tensors and buffers (`h.3.attn`, `x.3`) numbered in the order in which they occur:
/// launches with equal texts have programs that differ in names only.
fn text(launch: &Launch) -> String {
    let full = format!("{:?} {:?}", launch.kernel, launch.addresses);
    ["h.", "\"x."].iter().fold(full, |text, key| renumbered(&text, key))
}

/// A text with the numbers behind a key replaced by those of their first occurrence.
fn renumbered(full: &str, key: &str) -> String {
    let mut layers: Vec<&str> = Vec::new();
    let mut parts = full.split(key);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let (layer, rest) = part.split_at(digits);
        let at = layers.iter().position(|l| *l == layer).unwrap_or_else(|| {
            layers.push(layer);
            layers.len() - 1
        });
        out += &format!("{key}{at}{rest}");
    }
    out
}

/// Of every launch, which of those that differ in more than names it is like; and the first one of
/// each of these.
fn alike(launches: &[Launch]) -> (Vec<usize>, Vec<&Launch>) {
    let texts: Vec<String> = launches.par_iter().map(text).collect();
    let (mut known, mut firsts) = (BTreeMap::new(), Vec::new());
    let number = |(launch, text)| {
        let next = firsts.len();
        let number = *known.entry(text).or_insert(next);
        if number == next {
            firsts.push(launch);
        }
        number
    };
    let numbers = launches.iter().zip(texts).map(number).collect();
    (numbers, firsts)
}

impl Plan {
    /// The same programs for a machine whose edges have another rate: their streams move that much
    /// faster or slower.
    #[must_use]
    pub fn at_rate(mut self, before: &ArchSpec, after: &ArchSpec) -> Plan {
        let [before, after] = [before, after].map(|a| u128::from(a.wafer.io_bits_per_second.value.max(1)));
        if before != after {
            // A program without images is a delay (`kernels::layer_start`), which no edge makes shorter.
            for distinct in self.programs.iter_mut().filter(|d| !d.program.images.is_empty()) {
                for stream in &mut distinct.program.edges {
                    let interval = (u128::from(stream.interval) * before).div_ceil(after).max(1);
                    stream.interval = u32::try_from(interval).unwrap_or(u32::MAX);
                }
                distinct.timing = timing_key(&distinct.program);
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
pub fn plan(compiled: &Compiled, arch: &ArchSpec) -> Result<Plan, Failure> {
    let (numbers, firsts) = alike(&compiled.launches);
    let mut plan = Plan::default();
    let mut faults = Vec::new();
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
            (content, traffic, unknown.then(|| (timing_key(&program), verify(&program, arch), program)))
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
                for mut fault in found {
                    fault.at = format!("kernel `{kernel}` ({}): {}", launch.phase, fault.at);
                    faults.push(fault);
                }
            }
            built.push((content, verified[&content], traffic));
        }
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
    if faults.is_empty() { Ok(plan) } else { Err(Failure::many(Kind::Internal, faults)) }
}

/// Executes every program of the plan once, on the threads of the current pool, or takes its
/// outcome out of the cache. `done` is called after each, with its kernel and its outcome. With
/// `options.per_pe` what the PEs did is kept as [`Heat`].
///
/// # Errors
/// The first failure, in the order of the launches.
pub fn execute(
    plan: Plan,
    arch: &ArchSpec,
    options: &RunOptions,
    cache: Option<&Cache>,
    done: &(dyn Fn(&str, &Outcome) + Sync),
) -> Result<Executed, Failure> {
    let mesh = arch.grid();
    let heat = Mutex::new(Heat::new(mesh));
    let cached = AtomicU64::new(0);
    let runner = Runner { arch, mesh, options, cache, cached: &cached };
    let run = |(distinct, weight): (&Distinct, &u64)| -> Result<Outcome, Failure> {
        let at = || format!("kernel `{}`", distinct.kernel);
        let (mut outcome, own) = runner.outcome(distinct, &at)?;
        let grid = distinct.program.grid();
        assert_eq!(
            outcome.pe_cycles.total(),
            outcome.cycles.0 * grid.pes(),
            "{}: every cycle of every PE is in one part",
            at()
        );
        // PEs of the machine that the program does not name have nothing to do.
        outcome.pe_cycles.idle += outcome.cycles.0 * (mesh.pes() - grid.pes());
        if let Some(own) = own {
            heat.lock().unwrap_or_else(PoisonError::into_inner).add(&own, *weight);
        }
        if distinct.launches > 1 {
            let text = format!(
                "executed once for {} launches, whose programs differ only in names and in addresses that decide no bank conflict",
                distinct.launches
            );
            outcome.folds.push(FoldNote { kind: "kernels".to_owned(), text });
        }
        done(&distinct.kernel, &outcome);
        Ok(outcome)
    };
    let results: Vec<_> = plan.programs.par_iter().zip(&plan.weights).with_max_len(1).map(run).collect();
    let outcomes = results.into_iter().collect::<Result<Vec<Outcome>, Failure>>()?;
    let heat = options.per_pe.then(|| {
        let mut heat = heat.into_inner().unwrap_or_else(PoisonError::into_inner);
        heat.mark(&placed(&plan.programs));
        heat
    });
    let cached = cached.into_inner();
    let streams = plan.programs.into_iter().map(|p| p.program.edges).collect();
    let traffic = plan.traffic;
    Ok(Executed { launches: plan.launches, traffic, streams, outcomes, hash: plan.hash, heat, cached })
}

/// Where outcomes come from.
struct Runner<'a> {
    arch: &'a ArchSpec,
    mesh: Grid,
    options: &'a RunOptions,
    cache: Option<&'a Cache>,
    /// How many came out of the cache.
    cached: &'a AtomicU64,
}

impl Runner<'_> {
    /// A program's outcome, and what its PEs did if that is wanted: out of the cache, or executed.
    fn outcome(&self, distinct: &Distinct, at: &dyn Fn() -> String) -> Result<(Outcome, Option<Heat>), Failure> {
        let wanted = self.options.per_pe;
        let key = self.cache.map(|cache| (cache, cache.key(&distinct.timing, self.arch, self.options)));
        if let Some((cache, key)) = &key
            && let Some(known) = cache.load(key).filter(|known| known.cycles.0 <= self.options.cycle_limit)
        {
            let heat = wanted.then(|| cache.load_heat(key, self.mesh)).flatten();
            if heat.is_some() || !wanted {
                self.cached.fetch_add(1, Ordering::Relaxed);
                return Ok((known, heat));
            }
        }
        let cells = wanted.then(|| Heat::new(self.mesh).cell);
        let options = RunOptions { per_pe: false, cells, ..*self.options };
        let run = fabric::run(&distinct.program, self.arch, &options, None);
        let mut outcome = run.map_err(|e| Failure::of_run(&e, &at()))?;
        let heat = outcome.per_cell.take().map(|cells| Heat::of(self.mesh, &cells, outcome.cycles.0));
        if let Some((cache, key)) = &key {
            cache.store(key, &outcome);
            heat.iter().for_each(|heat| cache.store_heat(key, heat));
        }
        Ok((outcome, heat))
    }
}

/// Regions of the PEs that run an image, each once.
fn placed(programs: &[Distinct]) -> Vec<Region> {
    let regions: BTreeSet<Region> =
        programs.iter().flat_map(|p| p.program.placements.iter().map(|placement| placement.region)).collect();
    regions.into_iter().collect()
}

/// Adds the launches up by name, phase and layer, in the order of first use.
#[must_use]
pub fn groups(compiled: &Compiled, executed: &Executed) -> Vec<Group> {
    let mut index = BTreeMap::new();
    let mut groups: Vec<Group> = Vec::new();
    let launches = compiled.launches.iter().zip(&executed.launches).zip(&executed.traffic);
    for ((launch, &program), traffic) in launches {
        let outcome = &executed.outcomes[program];
        let (name, phase, layer) = (launch.kernel.name(), launch.phase, launch.layer);
        let next = groups.len();
        let at = *index.entry((name.clone(), phase, layer)).or_insert(next);
        if at == next {
            let (count, cycles, macs) = (0, 0, 0);
            groups.push(Group {
                name,
                phase,
                layer,
                count,
                cycles,
                macs,
                traffic: (0, 0),
                pe_cycles: PeCycles::default(),
                folded: vec![],
            });
        }
        let count = launch.count * compiled.micro_batches;
        let group = &mut groups[at];
        group.count += count;
        group.cycles += outcome.cycles.0 * count;
        group.macs += outcome.macs * count;
        group.traffic = (group.traffic.0 + traffic.on() * count, group.traffic.1 + traffic.off() * count);
        group.pe_cycles += outcome.pe_cycles.times(count);
        for fold in &outcome.folds {
            let note = format!("{}: {}", fold.kind, fold.text);
            if !group.folded.contains(&note) {
                group.folded.push(note);
            }
        }
    }
    groups
}
