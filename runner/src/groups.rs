//! The launches of an executed step, added up by kernel, phase and layer.
//!
//! **Invariant.** All sums are of integers, over all micro-batches of a step.
//! **Not here.** Rates and shares (`report`).

use crate::execute::ExecutedStep;
use compiler::Compiled;
use compiler::ids::{Label, Phase};
use sim_core::report::PeCycles;
use std::collections::BTreeMap;

/// Kernels of one name, phase and layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelGroup {
    /// What it computes.
    pub name: String,
    /// Which part of which product it computes, if that is all that it does.
    pub label: Option<Label>,
    /// Part of the step.
    pub phase: Phase,
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

/// Adds the launches up by name, phase and layer, in the order of first use.
#[must_use]
pub fn groups(compiled: &Compiled, executed: &ExecutedStep) -> Vec<KernelGroup> {
    let mut index = BTreeMap::new();
    let mut groups: Vec<KernelGroup> = Vec::new();
    let launches = compiled.launches.iter().zip(&executed.launches).zip(&executed.traffic);
    for ((launch, &program), traffic) in launches {
        let outcome = &executed.outcomes[program];
        let (name, phase, layer) = (launch.kernel.name(), launch.phase, launch.layer);
        let next = groups.len();
        let at = *index.entry((name.clone(), phase, layer)).or_insert(next);
        if at == next {
            let (count, cycles, macs) = (0, 0, 0);
            groups.push(KernelGroup {
                name,
                label: launch.kernel.label(),
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
