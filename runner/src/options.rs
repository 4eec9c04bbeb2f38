//! How a step is compiled, beside its model and its machine.
//!
//! **Invariant.** The default of every option is what the command line has without options.
//! **Not here.** How it is executed (`execute`).

use crate::error::Error;
use crate::workload::Workload;
use compiler::Options;
use compiler::options::MappingConstraints;
use sim_core::arch::ArchSpec;
use sim_core::diag::Diagnostic;
use sim_core::program::DType;

/// How a step is compiled.
#[derive(Debug, Clone)]
pub struct StepOptions {
    /// Sequences on the wafer at a time; None: what fits best.
    pub micro_batch: Option<u32>,
    /// What becomes of a batch that does not divide evenly over the systems.
    pub split: Split,
    /// Choices of the mapping that are made by hand.
    pub constraints: MappingConstraints,
    /// Type of activations and of streamed weights.
    pub act: DType,
    /// Precision of sums, by the vendor's levels: 0, 32-bit; 1, of a matrix product's sums those within
    /// a PE have the type of activations. None: the level of the published run, otherwise 1.
    pub precision_opt_level: Option<u8>,
}

impl Default for StepOptions {
    fn default() -> StepOptions {
        StepOptions {
            micro_batch: None,
            split: Split::Even,
            constraints: MappingConstraints::default(),
            act: DType::F16,
            precision_opt_level: None,
        }
    }
}

/// What to do with a batch that does not divide evenly over the systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// It is refused.
    Even,
    /// Every system gets as many sequences as the one with the most; those that fill up count for
    /// nothing.
    Pad,
}

impl Split {
    /// All of them.
    pub const ALL: [Split; 2] = [Split::Even, Split::Pad];

    /// Its name in reports and on command lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Split::Even => "even",
            Split::Pad => "pad",
        }
    }
}

impl StepOptions {
    /// Whether the options can be meant.
    ///
    /// # Errors
    /// Every number that is 0 and must not be.
    pub fn check(&self) -> Result<(), Error> {
        let numbers = [("micro_batch", self.micro_batch), ("lanes", self.constraints.lanes)];
        let zero = numbers.iter().filter(|(_, n)| *n == Some(0));
        let all: Vec<Diagnostic> =
            zero.map(|(at, _)| Diagnostic::new("cli-batch", at, "is 0; at least 1 is needed")).collect();
        if all.is_empty() { Ok(()) } else { Err(Error::Invalid(all)) }
    }

    /// The level of precision that is meant.
    #[must_use]
    pub fn level(&self, workload: &Workload) -> u8 {
        self.precision_opt_level.unwrap_or_else(|| workload.precision_opt_level())
    }

    /// As the compiler takes them.
    pub(crate) fn resolved(&self, workload: &Workload, arch: &ArchSpec) -> Result<Options, Error> {
        Ok(Options {
            batch: self.share(workload, arch)?,
            micro_batch: self.micro_batch,
            seq_len: workload.seq_len,
            act: self.act,
            accumulator: if self.level(workload) == 0 { DType::F32 } else { self.act },
            constraints: self.constraints,
        })
    }

    /// Sequences of one system: of the batch, evenly; or, padded, as many as the one with the most
    /// has, in whole micro-batches.
    fn share(&self, workload: &Workload, arch: &ArchSpec) -> Result<u64, Error> {
        let systems = u64::from(arch.cluster.systems.value);
        let most = workload.batch.div_ceil(systems);
        match self.split {
            Split::Pad => Ok(most.next_multiple_of(u64::from(self.micro_batch.unwrap_or(1)))),
            Split::Even if workload.batch.is_multiple_of(systems) => Ok(most),
            Split::Even => {
                let message = format!("{} sequences do not divide evenly over {systems} systems", workload.batch);
                let even = most * systems;
                let help = format!(
                    "--batch {even}, another number of --systems, or --split pad, which fills {} sequences up",
                    even - workload.batch
                );
                Err(Error::invalid(Diagnostic::new("cli-systems", "batch", message).help(help)))
            }
        }
    }
}
