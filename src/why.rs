//! What bounds a step and its kernels: everything is executed again with one limit lifted at a
//! time, and what that saves is what the limit costs.
//!
//! **Invariant.** Every number is the difference of two executions of the same compiled kernels;
//! nothing is estimated. Savings do not add up: behind a lifted limit stands the next one.
//! **Not here.** Which report is asked about, and how the answer looks (`cli::why`).

use crate::report::KernelReport;
use schemars::JsonSchema;
use serde::Serialize;
use sim_core::arch::{ArchSpec, Widths};

/// Schema of an [`Answer`].
pub const WHY_SCHEMA: &str = "wafersim.why/1";
/// Factor by which bandwidths and depths are lifted.
const MUCH: u64 = 64;

/// A limit that can be lifted.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// A name for the command line.
    pub name: &'static str,
    /// What it is.
    pub text: &'static str,
    /// Whether only a cluster has it.
    pub cluster: bool,
    lift: fn(&mut ArchSpec),
}

/// All limits.
pub const LIMITS: [Limit; 14] = [
    Limit {
        name: "arithmetic",
        text: "vector operations of twice as many elements per cycle",
        cluster: false,
        lift: arithmetic,
    },
    Limit {
        name: "banks",
        text: "SRAM banks without conflicts",
        cluster: false,
        lift: |a| a.pe.bank_conflict.value = 1,
    },
    Limit { name: "setup", text: "vector instructions and loops without a fixed cost", cluster: false, lift: setup },
    Limit {
        name: "dispatch",
        text: "tasks that start at once",
        cluster: false,
        lift: |a| a.pe.task_dispatch.value = 0,
    },
    Limit {
        name: "reductions",
        text: "sums into memory at one element per cycle",
        cluster: false,
        lift: |a| a.pe.reduce_cycles.value = 1,
    },
    Limit { name: "ramp", text: "the least latency between router and compute element", cluster: false, lift: ramp },
    Limit {
        name: "routers",
        text: "64 times the room in routers: back-pressure from links and routers",
        cluster: false,
        lift: |a| {
            a.router.buffer.value = deep(a.router.buffer.value);
        },
    },
    Limit {
        name: "receivers",
        text: "64 times the room in input queues: back-pressure from receiving PEs",
        cluster: false,
        lift: |a| {
            a.pe.input_queues.value.iter_mut().for_each(|n| *n = deep(*n));
        },
    },
    Limit {
        name: "senders",
        text: "64 times the room in output queues: back-pressure from a PE's own ramp",
        cluster: false,
        lift: |a| {
            a.pe.output_queues.value.iter_mut().for_each(|n| *n = deep(*n));
        },
    },
    Limit {
        name: "edges",
        text: "64 times the bandwidth over the wafer's edges, without latency",
        cluster: false,
        lift: edges,
    },
    Limit {
        name: "memoryx",
        text: "64 times the rates of MemoryX: reading, taking, optimizer",
        cluster: true,
        lift: memoryx,
    },
    Limit {
        name: "swarmx",
        text: "64 times the rate of SwarmX, whose nodes take no time",
        cluster: true,
        lift: swarmx,
    },
    Limit {
        name: "servers",
        text: "64 times the rate of activation servers",
        cluster: true,
        lift: |a| a.cluster.activation.value = a.cluster.activation.value.saturating_mul(MUCH),
    },
    Limit {
        name: "straggler",
        text: "no system slower than the others",
        cluster: true,
        lift: |a| a.cluster.skew.value = 0,
    },
];

impl Limit {
    /// The machine without it; None if it has no such limit.
    #[must_use]
    pub fn lifted(&self, arch: &ArchSpec) -> Option<ArchSpec> {
        let mut lifted = arch.clone();
        (self.lift)(&mut lifted);
        (lifted != *arch && lifted.validate().is_empty() && (!self.cluster || arch.cluster.systems.value > 1))
            .then_some(lifted)
    }
}

fn deep(n: u32) -> u32 {
    (n * MUCH as u32).min(1024)
}

fn arithmetic(a: &mut ArchSpec) {
    let twice = |w: &mut Widths| {
        for n in [&mut w.half, &mut w.single, &mut w.mixed] {
            *n = (*n * 2).min(8);
        }
    };
    for widths in [
        &mut a.pe.width_mov,
        &mut a.pe.width_add,
        &mut a.pe.width_mul,
        &mut a.pe.width_max,
        &mut a.pe.width_fmac,
        &mut a.pe.width_scale,
        &mut a.pe.width_bitsub,
    ] {
        twice(&mut widths.value);
    }
    a.pe.width_register.value = (a.pe.width_register.value * 2).min(8);
}

fn setup(a: &mut ArchSpec) {
    a.pe.vector_setup.value = 0;
    a.pe.loop_back.value = 0;
}

fn ramp(a: &mut ArchSpec) {
    (a.router.ramp_down.value, a.router.ramp_up.value, a.pe.ce_latency.value) = (1, 1, 0);
}

fn edges(a: &mut ArchSpec) {
    a.wafer.io_bits_per_second.value = a.wafer.io_bits_per_second.value.saturating_mul(MUCH);
    a.router.edge_latency.value = 0;
}

fn memoryx(a: &mut ArchSpec) {
    for rate in [&mut a.cluster.memory_read, &mut a.cluster.memory_write, &mut a.cluster.optimizer] {
        rate.value = rate.value.saturating_mul(MUCH);
    }
}

fn swarmx(a: &mut ArchSpec) {
    a.cluster.link.value = a.cluster.link.value.saturating_mul(MUCH);
    a.cluster.node_latency.value = 0;
}

/// What bounds a step and its kernels.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Answer {
    /// [`WHY_SCHEMA`].
    pub schema: &'static str,
    /// The command whose report is asked about.
    pub command: String,
    /// Seconds of the step.
    pub step_seconds: f64,
    /// Cycles of the step on a wafer.
    pub step_cycles: u64,
    /// Limits, that which costs most first.
    pub limits: Vec<Lifted>,
    /// Kernels over all layers, the longest first.
    pub kernels: Vec<Bound>,
}

/// The step without a limit.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Lifted {
    /// The limit.
    pub limit: String,
    /// What was lifted.
    pub text: String,
    /// Numbers of the machine that were changed: key, value before, value lifted.
    pub changes: Vec<(String, String, String)>,
    /// Seconds of the step without it.
    pub step_seconds: f64,
    /// Cycles of the step on a wafer without it.
    pub step_cycles: u64,
    /// Share of the step that it costs; below 0 where the step is longer without it.
    pub saved: f64,
    /// PE-cycles of the step that wait, with it and without.
    pub wait: [u64; 2],
    /// PE-cycles of the step in back-pressure, with it and without.
    pub back_pressure: [u64; 2],
}

/// A kernel and what bounds it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Bound {
    /// The kernel.
    pub name: String,
    /// Part of the step.
    pub phase: String,
    /// Its cycles in the step.
    pub cycles: u64,
    /// Its share of the step's.
    pub share: f64,
    /// Limit and cycles without it, that which saves most first; limits that save nothing are
    /// left out.
    pub limits: Vec<(String, u64)>,
}

/// A step as it was executed.
#[derive(Debug, Clone)]
pub struct Executed {
    /// Seconds, of a cluster if there is one.
    pub seconds: f64,
    /// Kernels over all layers.
    pub kernels: Vec<KernelReport>,
}

impl Executed {
    fn sum(&self, of: impl Fn(&KernelReport) -> u64) -> u64 {
        self.kernels.iter().map(of).sum()
    }
}

/// Compares a step with itself without each limit.
#[must_use]
pub fn answer(command: &str, arch: &ArchSpec, base: &Executed, lifted: &[(Limit, ArchSpec, Executed)]) -> Answer {
    let step_cycles = base.sum(|k| k.cycles);
    let limit = |(limit, machine, without): &(Limit, ArchSpec, Executed)| Lifted {
        limit: limit.name.to_owned(),
        text: limit.text.to_owned(),
        changes: changes(arch, machine),
        step_seconds: without.seconds,
        step_cycles: without.sum(|k| k.cycles),
        saved: 1.0 - without.seconds / base.seconds,
        wait: [base, without].map(|e| e.sum(|k| k.pe_cycles.wait)),
        back_pressure: [base, without].map(|e| e.sum(|k| k.pe_cycles.back_pressure)),
    };
    let mut limits: Vec<Lifted> = lifted.iter().map(limit).collect();
    limits.sort_by(|a, b| a.step_seconds.total_cmp(&b.step_seconds));
    let bound = |k: &KernelReport| {
        let without = |(limit, _, without): &(Limit, ArchSpec, Executed)| {
            let same = without.kernels.iter().find(|w| w.name == k.name && w.phase == k.phase)?;
            (same.cycles < k.cycles).then(|| (limit.name.to_owned(), same.cycles))
        };
        let mut limits: Vec<(String, u64)> = lifted.iter().filter_map(without).collect();
        limits.sort_by_key(|l| l.1);
        let share = k.cycles as f64 / step_cycles.max(1) as f64;
        Bound { name: k.name.clone(), phase: k.phase.clone(), cycles: k.cycles, share, limits }
    };
    let mut kernels: Vec<Bound> = base.kernels.iter().map(bound).collect();
    kernels.sort_by(|a, b| b.cycles.cmp(&a.cycles).then_with(|| (&a.name, &a.phase).cmp(&(&b.name, &b.phase))));
    Answer { schema: WHY_SCHEMA, command: command.to_owned(), step_seconds: base.seconds, step_cycles, limits, kernels }
}

/// Numbers in which two machines differ.
fn changes(a: &ArchSpec, b: &ArchSpec) -> Vec<(String, String, String)> {
    let pairs = a.entries().into_iter().zip(b.entries());
    pairs.filter(|(a, b)| a.value != b.value).map(|(a, b)| (a.key, a.value, b.value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::arch::cs2::cs2;

    #[test]
    fn every_limit_of_the_presets_can_be_lifted() {
        for limit in LIMITS {
            let mut machine = if limit.cluster { sim_core::arch::preset("andromeda16").unwrap() } else { cs2() };
            machine.cluster.skew.value = u32::from(limit.name == "straggler");
            let lifted = limit.lifted(&machine).unwrap_or_else(|| panic!("{}", limit.name));
            assert!(!changes(&machine, &lifted).is_empty(), "{}", limit.name);
            assert!(limit.cluster || limit.lifted(&lifted).is_none() || !changes(&machine, &lifted).is_empty());
        }
        let cluster = LIMITS.iter().filter(|l| l.cluster);
        assert!(cluster.clone().all(|l| l.lifted(&cs2()).is_none()), "a single system has no cluster");
        assert_eq!(cluster.count(), 4);
    }
}
