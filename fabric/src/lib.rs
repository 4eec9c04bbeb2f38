//! Executes a [`Program`] on the modelled machine.
//!
//! Two engines implement `docs/MODEL.md`: the [`mod@reference`] engine, plain and slow, which is the
//! meaning of that page, and the fast engine (`fast`) with exact [`fold`]ing. They share types and no
//! rules.
//!
//! **Invariant.** Every cycle of an [`Outcome`] comes from executing the program.
//! **Not here.** What a program computes, and where it came from; files; printing.

mod analysis;
mod fast;
pub mod fold;
mod options;
pub mod reference;
pub mod values;

pub use options::{EngineKind, Fold, RunOptions};
pub use values::{HostStreams, Values, WaferMemory};

use analysis::waits;
use sim_core::arch::ArchSpec;
use sim_core::diag::Diagnostic;
use sim_core::error::RunError;
use sim_core::program::transform::depends_on_values;
use sim_core::program::verify::structure;
use sim_core::program::{Image, Program};
use sim_core::report::{FoldNote, Outcome};

/// Executes `program` on `arch`; with `values`, memory and wavelets carry real numbers.
///
/// `arch` is a machine within its ranges ([`ArchSpec::validate`]). The program should have passed
/// [`verify`](sim_core::program::verify()), which says what is wrong with it before it runs. One that
/// has not gives an error here, never a panic: either the rule that it breaks, or what comes of it, such
/// as a deadlock. One whose timing depends on values runs with them, `values` or not (rule V1).
///
/// # Errors
/// [`RunError::Invalid`] if the program names what does not exist, or if `values` are those of another
/// mesh; a deadlock; a memory fault; a limit that was reached.
pub fn run(
    program: &Program,
    arch: &ArchSpec,
    options: &RunOptions,
    values: Option<&mut Values<'_>>,
) -> Result<Outcome, RunError> {
    match (depends_on_values(program), values) {
        (Some(image), None) => with_values(program, image, arch, options),
        (_, values) => run_as_asked(program, arch, options, values),
    }
}

/// Kind of the note of a run whose timing depends on values.
pub const VALUES: &str = "values";

/// Rule V1: a program whose timing depends on values runs with values, from memory that is zero but for
/// start values; `image` is one of those that do.
fn with_values(program: &Program, image: &Image, arch: &ArchSpec, options: &RunOptions) -> Result<Outcome, RunError> {
    check(program, arch, None)?;
    let mut memory = values::zeros(program, arch, options.memory_limit)?;
    let (inputs, mut outputs) = (HostStreams::default(), HostStreams::default());
    let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
    let mut outcome = run_as_asked(program, arch, options, Some(&mut values))?;
    let text = format!(
        "executed with values, from zeros and start values: a branch, a length or a bank conflict of image `{}` depends on a number from memory or a wavelet",
        image.name
    );
    outcome.folds.insert(0, FoldNote { kind: VALUES.to_owned(), text });
    Ok(outcome)
}

fn run_as_asked(
    program: &Program,
    arch: &ArchSpec,
    options: &RunOptions,
    values: Option<&mut Values<'_>>,
) -> Result<Outcome, RunError> {
    let outcome = match options.engine {
        // It checks every index itself: what it refuses does not depend on the verifier.
        EngineKind::Reference => reference::run(program, arch, options, values),
        EngineKind::Fast => {
            check(program, arch, values.as_deref())?;
            match values {
                Some(values) => fast::run(program, arch, options, Some(values)),
                None => fold::run(program, arch, options),
            }
        }
    };
    outcome.map_err(|error| waits::explain(error, program))
}

/// What the fast engine and folding rely on: everything that a program names exists, and `values` are
/// those of its mesh.
fn check(program: &Program, arch: &ArchSpec, values: Option<&Values<'_>>) -> Result<(), RunError> {
    let mut diagnostics = structure(program, arch);
    let (mesh, count) = (program.grid(), program.grid().pes());
    if let Some(memory) = values.map(|values| &*values.memory)
        && (memory.grid != mesh || memory.pes.len() as u64 != count)
    {
        let message = format!("the memory is that of a {} mesh, the program's is {mesh}", memory.grid);
        diagnostics.push(Diagnostic::new("X002", "values", message));
    }
    if diagnostics.is_empty() { Ok(()) } else { Err(RunError::Invalid(diagnostics)) }
}
