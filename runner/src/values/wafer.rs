//! A wafer whose PEs hold numbers: the kernels of a step, one after the other, over one memory.
//!
//! A mesh is mostly memory, and a small model uses few of its PEs: on a CS-2 the memories of all PEs are 34 GiB. So
//! only PEs that run code have a memory here, and columns east of the model, where no program of the step has anything,
//! are left out: nothing crosses their border (rule F3), so what is left takes the same cycles.
//!
//! **Invariant.** Every launch of a micro-batch is executed in full, in order, and its program is verified.
//! **Not here.** What enters and leaves at the edges (`host`).

use super::host::{Gradients, Host, Left, LossScale};
use crate::compiled_step::CompiledStep;
use crate::error::Error;
use compiler::Launch;
use compiler::layout::Geometry;
use fabric::{Fold, HostStreams, RunOptions, Values, WaferMemory};
use models::oracle::Inputs;
use sim_core::axis::Axis;
use sim_core::diag::Diagnostic;
use sim_core::program::transform::{Cut, without};
use sim_core::program::{Flow, Program, verify};

/// A compiled step, ready to be executed with values.
#[derive(Debug)]
pub struct Wafer<'a> {
    step: &'a CompiledStep,
    options: RunOptions,
    /// Of every launch.
    programs: Vec<Program>,
    scale: Option<LossScale>,
}

impl<'a> Wafer<'a> {
    /// Builds and verifies the program of every launch. Of `options` the engine and the limits count; folding leaves
    /// out what values need.
    ///
    /// # Errors
    /// [`Error::Internal`] with the diagnostics of the verifier: then the compiler is wrong.
    pub fn new(step: &'a CompiledStep, options: &RunOptions) -> Result<Wafer<'a>, Error> {
        let CompiledStep { compiled, arch, .. } = step;
        assert!(compiled.launches.iter().all(|launch| launch.count == 1), "every launch stands in the list once");
        let programs: Vec<Program> = compiled.launches.iter().map(|launch| compiled.program(launch, arch)).collect();
        let wrong: Vec<Diagnostic> = programs.iter().flat_map(|program| verify(program, arch)).collect();
        if !wrong.is_empty() {
            return Err(Error::Internal(wrong));
        }
        let programs = narrowed(&programs, compiled.geometry.used_columns()).unwrap_or(programs);
        let options = RunOptions { fold: Fold::NONE, per_pe: false, cells: None, ..*options };
        Ok(Wafer { step, options, programs, scale: None })
    }

    /// A step with another scale of the loss than [`LossScale::of`].
    #[must_use]
    pub fn scaled(self, scale: LossScale) -> Wafer<'a> {
        Wafer { scale: Some(scale), ..self }
    }

    /// Loss and gradients of all sequences of `inputs`, micro-batch by micro-batch in order, and the cycles of every
    /// launch of a micro-batch, which are the same for all of them.
    ///
    /// # Errors
    /// The first program that fails.
    ///
    /// # Panics
    /// If the sequences of `inputs` are not whole micro-batches, or not those of the model that was compiled; if two
    /// micro-batches take different cycles, which is a bug of the engines.
    pub fn step(&self, inputs: &Inputs) -> Result<(Gradients, Vec<u64>), Error> {
        let size = self.step.compiled.micro_batch as usize;
        assert!(
            inputs.tokens.len().is_multiple_of(size) && !inputs.tokens.is_empty(),
            "sequences are whole micro-batches"
        );
        let mut all = Gradients::zeros(inputs);
        let mut first: Option<Vec<u64>> = None;
        for at in (0..inputs.tokens.len()).step_by(size) {
            let (gradients, cycles) = self.micro_batch(inputs, at)?;
            all.add(&gradients);
            let known = first.get_or_insert_with(|| cycles.clone());
            assert_eq!(*known, cycles, "cycles do not depend on values");
        }
        Ok((all, first.unwrap_or_default()))
    }

    /// What the micro-batch that begins with sequence `first` of `inputs` adds to loss and gradients, and the cycles of
    /// every launch. Means are over all sequences of `inputs`.
    ///
    /// # Errors
    /// The first program that fails.
    ///
    /// # Panics
    /// If `inputs` has too few sequences, or is not of the model that was compiled.
    pub fn micro_batch(&self, inputs: &Inputs, first: usize) -> Result<(Gradients, Vec<u64>), Error> {
        let CompiledStep { workload, arch, compiled, .. } = self.step;
        let losses = inputs.losses(&workload.shape);
        let scale = self.scale.unwrap_or_else(|| LossScale::of(compiled.geometry.precision.act, losses));
        let mut host = Host::new(inputs, first, scale.0 / losses as f32);
        let mut memory = WaferMemory::of_programs(&self.programs, arch.pe.sram.value);
        let mut cycles = Vec::with_capacity(self.programs.len());
        for (launch, program) in compiled.launches.iter().zip(&self.programs) {
            let inputs = fed(launch, program, &compiled.geometry, &host);
            let mut outputs = HostStreams::default();
            let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
            let at = || format!("kernel `{}` with values", launch.kernel.name());
            let outcome = fabric::run(program, arch, &self.options, Some(&mut values));
            cycles.push(outcome.map_err(|error| Error::Execution { at: at(), error })?.cycles.0);
            let mut left = Left::default();
            for ((stream, port), words) in &outputs.ports {
                launch.kernel.collect(&compiled.geometry, stream, *port, words, &host, &mut left);
            }
            host.take(left);
        }
        Ok((host.gradients.unscaled(scale), cycles))
    }
}

/// What the host feeds to a launch, at every port that is one's way onto the wafer.
fn fed(launch: &Launch, program: &Program, geometry: &Geometry, host: &Host<'_>) -> HostStreams {
    let mut fed = HostStreams::default();
    for edge in program.edges.iter().filter(|edge| edge.flow == Flow::In) {
        for port in 0..edge.ports.count {
            let words = launch.kernel.feed(geometry, &edge.name, port, host);
            let (kernel, stream) = (launch.kernel.name(), &edge.name);
            assert_eq!(words.len() as u64, edge.wavelets, "`{kernel}` is fed all of its stream `{stream}`");
            fed.ports.insert((stream.clone(), port), words);
        }
    }
    fed
}

/// The programs without the columns from `columns` on; None if one of them has something there.
fn narrowed(programs: &[Program], columns: u32) -> Option<Vec<Program>> {
    let narrow = |program: &Program| {
        let count = program.grid().width.checked_sub(columns).filter(|count| *count > 0)?;
        let left = without(program, Cut { axis: Axis::Columns, from: columns, count });
        let whole = Program { grid: program.grid, ..left.clone() };
        (whole == *program).then_some(left)
    };
    programs.iter().map(narrow).collect()
}
