//! The step of a model, compiled for a machine.
//!
//! **Invariant.** It is complete: executing it reads nothing else.
//! **Not here.** Compiling it (`job`, `compiler`).

use crate::error::Error;
use crate::execute::{ExecutedStep, Executor};
use crate::programs;
use crate::workload::Workload;
use compiler::Compiled;
use models::LayerGraph;
use sim_core::arch::ArchSpec;

/// A model's step, compiled for a machine.
#[derive(Debug)]
pub struct CompiledStep {
    /// The model, and how it is run.
    pub workload: Workload,
    /// The machine.
    pub arch: ArchSpec,
    /// The operations and tensors of the step.
    pub graph: LayerGraph,
    /// The kernels in order, with their layout and their memory.
    pub compiled: Compiled,
}

impl CompiledStep {
    /// Executes the step, on the threads of the current rayon pool.
    ///
    /// # Errors
    /// The first program that fails, in the order of the launches; or diagnostics of the verifier,
    /// which then are a bug of the compiler.
    pub fn execute(&self, executor: &Executor<'_>) -> Result<ExecutedStep, Error> {
        let programs = programs::distinct(&self.compiled, &self.arch)?;
        executor.execute(programs, &self.arch)
    }
}
