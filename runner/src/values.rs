//! A step with real numbers: its loss and gradients on the simulated wafer, beside those of an f64 implementation.
//!
//! Timing never depends on values, so a step is usually executed without them. With them every kernel computes: the host
//! feeds tokens and weights into the wafer's edges, the PEs keep activations in their memories from one kernel to the
//! next, and gradients come out of the edges, where the host adds them up. What was computed can then be held against
//! [`models::oracle`], which knows nothing of wafers.
//!
//! | part | where |
//! |---|---|
//! | parameters, tokens and targets, from a seed | [`Inputs::initial`](models::oracle::Inputs::initial) |
//! | all kernels of a micro-batch on one wafer | [`Wafer::micro_batch`] |
//! | all micro-batches, gradients added up | [`Wafer::step`] |
//! | the same in f64, and how far apart the two are | [`Comparison::of`] |
//! | all of these | [`run`] |
//!
//! **Invariant.** Values are the same for every engine and any number of threads. The cycles of every kernel with values
//! are those without ([`run`] checks it).
//! **Not here.** Arithmetic (`fabric`), what the host feeds to a kernel (`compiler`), the optimizer and the sum over
//! systems (`cluster`).

mod comparison;
mod host;
mod wafer;

pub use comparison::{Comparison, TensorError};
pub use host::{Gradients, LossScale};
pub use wafer::Wafer;

use crate::compiled_step::CompiledStep;
use crate::error::Error;
use crate::execute::ExecutedStep;
use fabric::RunOptions;
use models::oracle::Inputs;
use sim_core::diag::Diagnostic;

/// A step with the values that a seed gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct StepValues {
    /// The seed.
    pub seed: u64,
    /// Loss and gradients, beside those in f64.
    pub compared: Comparison,
}

/// Executes the step with the values that `seed` gives it, all micro-batches of all systems one after the other, and
/// compares loss and gradients with the f64 implementation. `executed` is the same step without values.
///
/// # Errors
/// Those of [`check`]; a program that fails; [`Error::Internal`] if a kernel takes other cycles than without values,
/// which is a bug of the engines.
pub fn run(step: &CompiledStep, executed: &ExecutedStep, options: &RunOptions, seed: u64) -> Result<StepValues, Error> {
    check(step, options)?;
    let shape = &step.workload.shape;
    // A step whose batch is larger than a count of sequences in memory can be was refused.
    let inputs = Inputs::initial(shape, step.workload.batch as usize, step.workload.seq_len as usize, seed);
    let wafer = Wafer::new(step, options)?;
    let (gradients, cycles) = wafer.step(&inputs)?;
    same_cycles(step, executed, &cycles)?;
    Ok(StepValues { seed, compared: Comparison::of(shape, &inputs, &gradients) })
}

/// Whether the step can be executed with values: it asks for nothing large.
///
/// # Errors
/// [`Error::Refused`] if the memories of all PEs, and what the f64 implementation keeps, are more bytes than
/// `options.memory_limit`; [`Error::Invalid`] if the batch is padded, since sequences that count for nothing would count.
pub fn check(step: &CompiledStep, options: &RunOptions) -> Result<(), Error> {
    let CompiledStep { workload, arch, graph, compiled } = step;
    let pes = compiled.geometry.used().pes();
    let wafer = u128::from(pes) * u128::from(arch.pe.sram.value);
    let parameters: u128 = graph.parameters().iter().map(|tensor| tensor.shape.elements()).sum();
    let tensors = graph.graph().node_weights().flat_map(|op| &op.outputs);
    let computed: u128 = tensors.map(|tensor| tensor.shape.elements()).sum();
    let host = 8 * (computed + 4 * parameters);
    let limit = options.memory_limit;
    if wafer + host > u128::from(limit) {
        let message = format!(
            "the memories of {pes} PEs take {wafer} bytes of this computer and the f64 implementation {host}, and \
             they may take {limit}"
        );
        let help = "a small model such as `tiny`, fewer sequences per step, a smaller mesh, or a higher --memory-limit";
        return Err(Error::Refused(vec![Diagnostic::new("cli-values", "values", message).help(help)]));
    }
    let executed = u64::from(compiled.micro_batch) * compiled.micro_batches * u64::from(arch.cluster.systems.value);
    if executed != workload.batch {
        let message = format!("{executed} sequences are executed for a batch of {}", workload.batch);
        let help = "a batch that divides evenly over systems and micro-batches";
        return Err(Error::invalid(Diagnostic::new("cli-values", "values", message).help(help)));
    }
    Ok(())
}

/// Holds the cycles of every launch with values against those without.
fn same_cycles(step: &CompiledStep, executed: &ExecutedStep, cycles: &[u64]) -> Result<(), Error> {
    let launches = step.compiled.launches.iter().zip(&executed.launches).zip(cycles);
    for ((launch, &program), &with) in launches {
        let without = executed.outcomes[program].cycles.0;
        if with != without {
            let at = format!("kernel `{}`", launch.kernel.name());
            let message = format!("{with} cycles with values, {without} without");
            return Err(Error::internal(Diagnostic::new("values-cycles", at, message)));
        }
    }
    Ok(())
}
