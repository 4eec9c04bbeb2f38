//! A model on a machine: from what is asked for to an executed step.
//!
//! **Invariant.** The same job gives the same step and the same outcome, whoever asks.
//! **Not here.** Each of the parts: models (`workload`), machines (`machine`), lowering (`compiler`),
//! programs (`programs`), engines (`execute`).

use crate::compiled_step::CompiledStep;
use crate::error::Error;
use crate::execute::{ExecutedStep, Executor};
use crate::options::StepOptions;
use crate::values::{self, StepValues};
use crate::verify_fold::{self, FoldVerification};
use crate::workload::Workload;
use sim_core::arch::ArchSpec;
use sim_core::arch::cs2::cs2;

/// A step that is to be compiled.
#[derive(Debug, Clone)]
pub struct Job {
    workload: Workload,
    arch: ArchSpec,
    options: StepOptions,
}

impl Job {
    /// A model on a CS-2, as it was published.
    #[must_use]
    pub fn new(workload: Workload) -> Job {
        Job { workload, arch: cs2(), options: StepOptions::default() }
    }

    /// Puts the model on another machine.
    #[must_use]
    pub fn machine(self, arch: ArchSpec) -> Job {
        Job { arch, ..self }
    }

    /// Compiles the step in another way.
    #[must_use]
    pub fn options(self, options: StepOptions) -> Job {
        Job { options, ..self }
    }

    /// The job with another batch, shared by another number of systems.
    ///
    /// # Errors
    /// If the machine cannot have that many.
    pub fn sized(&self, batch: u64, systems: u32) -> Result<Job, Error> {
        let arch = crate::machine::with_systems(&self.arch, systems)?;
        let workload = Workload { batch, ..self.workload.clone() };
        Ok(Job { workload, arch, options: self.options.clone() })
    }

    /// The model, and how it is run.
    #[must_use]
    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    /// The machine.
    #[must_use]
    pub fn arch(&self) -> &ArchSpec {
        &self.arch
    }

    /// Compiles the step, on the threads of the current rayon pool.
    ///
    /// # Errors
    /// Every diagnostic of the options and the model; or why the step does not fit on the machine.
    pub fn compile(&self) -> Result<CompiledStep, Error> {
        self.options.check()?;
        let Job { workload, arch, options } = self.clone();
        let graph = workload.graph()?;
        let resolved = options.resolved(&workload, &arch)?;
        let compiled = compiler::compile(&graph, &arch, &resolved).map_err(Error::Infeasible)?;
        Ok(CompiledStep { workload, arch, graph, compiled })
    }

    /// Compiles the step, executes it, and does what is asked for besides.
    ///
    /// # Errors
    /// As those of [`Job::compile`], [`CompiledStep::execute`], [`verify_fold::verify`] and [`values::run`]; a step that
    /// is too large for values is refused before it is executed.
    pub fn run(&self, executor: &Executor<'_>, extras: Extras) -> Result<FinishedStep, Error> {
        let (step, options) = (self.compile()?, &executor.options);
        extras.values.map(|_| values::check(&step, options)).transpose()?;
        let executed = step.execute(executor)?;
        let verified = extras.verify_fold.map(|chosen| verify_fold::verify(&step, chosen, options)).transpose()?;
        let values = extras.values.map(|seed| values::run(&step, &executed, options, seed)).transpose()?;
        Ok(FinishedStep { step, executed, verified, values })
    }
}

/// What is done with a step beside executing it for its cycles.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extras {
    /// How many random kernels of the same design are executed folded and in full, to be compared, and the seed that
    /// chooses them.
    pub verify_fold: Option<(u32, u64)>,
    /// The seed of parameters and tokens, if the step is to be executed with values as well.
    pub values: Option<u64>,
}

/// A step that was compiled and executed.
#[derive(Debug)]
pub struct FinishedStep {
    /// The step.
    pub step: CompiledStep,
    /// Outcomes of the step's programs.
    pub executed: ExecutedStep,
    /// Kernels of the same design on which folding was verified, if that was asked for.
    pub verified: Option<FoldVerification>,
    /// Loss and gradients, if the step was executed with values.
    pub values: Option<StepValues>,
}
