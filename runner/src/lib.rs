//! Runs a model: from a model, a machine and options to an executed training step.
//!
//! A model does not become a time by a formula here. Its step is compiled for the mesh of a wafer into
//! kernels, each kernel is a program of all PEs, and every program is executed cycle by cycle; what
//! they take is added up. This crate is the order of these events, for a command line, Python, a
//! browser or a test alike:
//!
//! | part of a run | where |
//! |---|---|
//! | the model and its batch: a preset, a `config.json`, sizes of one's own | [`Workload`] |
//! | the machine: a preset with numbers changed | [`machine`] |
//! | how the step is laid out, and in which precision | [`StepOptions`] |
//! | the layer graph, lowered to kernels with a memory plan | [`Job::compile`] gives a [`CompiledStep`] |
//! | the distinct programs of all launches, verified | [`programs::distinct`] |
//! | their execution, or outcomes that are known already | [`Executor`], [`OutcomeStore`] |
//! | cycles and counters of every program | [`ExecutedStep`] |
//! | the launches, added up by kernel, phase and layer | [`groups`](groups::groups) |
//! | the same kernels on many systems | [`cluster_step`] |
//!
//! A step is executed for its cycles, and on a small model with real numbers as well: [`values`]. One program of one's
//! own is executed by [`program`]. A whole training run is in [`train`], what bounds a step in [`why`], and a check of the foldings by
//! execution in [`verify_fold`].
//!
//! ```
//! use runner::{Executor, Job, Workload, groups::groups, machine};
//! use runner::workload::Request;
//! use models::{Design, ModelShape};
//!
//! let shape = ModelShape {
//!     name: "tiny".into(), design: Design::GPT2, layers: 1, d_model: 8, heads: 2, d_ff: 16, vocab: 16, max_positions: 4,
//! };
//! // Two sequences of four tokens, on a mesh of 8 x 8 PEs.
//! let workload = Workload::from_shape(shape, Request { batch: Some(2), seq_len: Some(4) });
//! let sets = ["wafer.width=8", "wafer.height=8"].map(str::to_owned);
//! let arch = machine::changed(machine::preset("cs2"), &sets)?;
//!
//! let step = Job::new(workload).machine(arch).compile()?;
//! let executed = step.execute(&Executor::default())?;
//! let cycles: u64 = groups(&step.compiled, &executed).iter().map(|kernel| kernel.cycles).sum();
//! assert!(cycles > 0 && step.compiled.memory.peak_bytes <= 48 * 1024);
//! # Ok::<(), runner::Error>(())
//! ```
//!
//! **Invariant.** The same job gives the same outcome for any number of threads. Nothing here reads or
//! writes a file, prints, reads the command line or the clock. Work is done on the rayon pool that is
//! current where a function is called, which may have a single thread.
//! **Not here.** Rules of the simulation (`fabric`), lowering (`compiler`), models (`models`), what is
//! reported (`report`).

pub mod cluster_step;
pub mod compiled_step;
pub mod diagnostic;
pub mod error;
pub mod execute;
pub mod groups;
pub mod heat;
pub mod job;
pub mod machine;
pub mod options;
pub mod program;
pub mod programs;
pub mod progress;
pub mod store;
pub mod timeline;
pub mod traffic;
pub mod train;
pub mod training_plan;
pub mod values;
pub mod verify_fold;
pub mod why;
pub mod workload;

pub use compiled_step::CompiledStep;
pub use error::Error;
pub use execute::{ExecutedStep, Executor};
pub use job::{Extras, FinishedStep, Job};
pub use options::{Split, StepOptions};
pub use progress::{Progress, Silent};
pub use store::{MemoryStore, OutcomeKey, OutcomeStore};
pub use workload::Workload;
