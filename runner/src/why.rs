//! What bounds a step and its kernels: everything is executed again with one limit lifted at a
//! time, and what that saves is what the limit costs.
//!
//! **Invariant.** Every number is the difference of two executions of the same compiled kernels;
//! nothing is estimated. Savings do not add up: behind a lifted limit stands the next one.
//! **Not here.** What the comparison says (`report`).

use crate::cluster_step;
use crate::compiled_step::CompiledStep;
use crate::error::Error;
use crate::execute::{ExecutedStep, Executor};
use crate::groups::{KernelGroup, groups};
use crate::programs;
use sim_core::arch::{ArchSpec, Widths};

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

/// A step as it was executed on a machine.
#[derive(Debug, Clone)]
pub struct Timed {
    /// Seconds, of a cluster if there is one.
    pub seconds: f64,
    /// Its kernels.
    pub kernels: Vec<KernelGroup>,
}

/// The step without a limit.
#[derive(Debug, Clone)]
pub struct Lifted {
    /// The limit.
    pub limit: Limit,
    /// The machine without it.
    pub arch: ArchSpec,
    /// The step on that machine.
    pub step: Timed,
}

/// A step that was executed, to be compared with itself without each limit.
#[derive(Debug)]
pub struct Baseline<'a> {
    step: &'a CompiledStep,
    executor: Executor<'a>,
    executed: ExecutedStep,
    /// The step on its own machine.
    pub timed: Timed,
}

impl<'a> Baseline<'a> {
    /// Executes the step on its own machine.
    ///
    /// # Errors
    /// As those of [`CompiledStep::execute`].
    pub fn new(step: &'a CompiledStep, executor: Executor<'a>) -> Result<Baseline<'a>, Error> {
        let executed = step.execute(&executor)?;
        let timed = timed(step, &step.arch, &executed);
        Ok(Baseline { step, executor, executed, timed })
    }

    /// Hash of the programs of the step.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.executed.hash
    }

    /// The step without each of the limits that its machine has; `done` is told after each limit, with
    /// None for one that the machine does not have.
    ///
    /// # Errors
    /// As those of [`CompiledStep::execute`].
    pub fn without(&self, limits: &[Limit], done: &mut dyn FnMut(Option<&Lifted>)) -> Result<Vec<Lifted>, Error> {
        let mut all = Vec::new();
        for limit in limits {
            let lifted = limit.lifted(&self.step.arch).map(|arch| self.on(*limit, arch)).transpose()?;
            done(lifted.as_ref());
            all.extend(lifted);
        }
        Ok(all)
    }

    /// The kernels that were compiled for the step's own machine, on one without a limit.
    fn on(&self, limit: Limit, arch: ArchSpec) -> Result<Lifted, Error> {
        // A limit of the cluster alone changes nothing on a wafer.
        if arch.wafer_hash() == self.step.arch.wafer_hash() {
            let step = timed(self.step, &arch, &self.executed);
            return Ok(Lifted { limit, arch, step });
        }
        let programs = programs::distinct(&self.step.compiled, &self.step.arch)?.at_rate(&self.step.arch, &arch);
        let executed = self.executor.execute(programs, &arch)?;
        let step = timed(self.step, &arch, &executed);
        Ok(Lifted { limit, arch, step })
    }
}

/// What the systems of a machine make of executed kernels.
fn timed(step: &CompiledStep, arch: &ArchSpec, executed: &ExecutedStep) -> Timed {
    let kernels = groups(&step.compiled, executed);
    let cycles: u64 = kernels.iter().map(|k| k.cycles).sum();
    let alone = cycles as f64 / arch.wafer.clock_hz.value as f64;
    let seconds = cluster_step::on_systems(step, arch, executed).map_or(alone, |c| c.step_seconds);
    Timed { seconds, kernels }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::differences;
    use sim_core::arch::cs2::cs2;

    #[test]
    fn every_limit_of_the_presets_can_be_lifted() {
        for limit in LIMITS {
            let mut machine = if limit.cluster { sim_core::arch::preset("andromeda16").unwrap() } else { cs2() };
            machine.cluster.skew.value = u32::from(limit.name == "straggler");
            let lifted = limit.lifted(&machine).unwrap_or_else(|| panic!("{}", limit.name));
            assert!(!differences(&machine, &lifted).is_empty(), "{}", limit.name);
            assert!(limit.cluster || limit.lifted(&lifted).is_none() || !differences(&machine, &lifted).is_empty());
        }
        let cluster = LIMITS.iter().filter(|l| l.cluster);
        assert!(cluster.clone().all(|l| l.lifted(&cs2()).is_none()), "a single system has no cluster");
        assert_eq!(cluster.count(), 4);
    }
}
