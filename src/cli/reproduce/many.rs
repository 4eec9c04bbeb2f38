//! What the published reproductions share: models one after the other, and those that fail beside
//! those that do not.

use super::super::options::{MachineOptions, RunLimits};
use super::super::output::Output;
use super::super::reply::Reply;
use super::super::step::StepArguments;
use crate::fail::{Failure, Kind};
use clap::Args;
use published::scaling::Failed;
use sim_core::diag::Diagnostic;

/// The published models, smallest first.
const MODELS: [&str; 7] = [
    "cerebras-gpt-111m",
    "cerebras-gpt-256m",
    "cerebras-gpt-590m",
    "cerebras-gpt-1.3b",
    "cerebras-gpt-2.7b",
    "cerebras-gpt-6.7b",
    "cerebras-gpt-13b",
];

/// Models and machine.
#[derive(Debug, Args)]
pub(super) struct Many {
    /// Models, separated by commas; the default is the seven of Cerebras-GPT
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub(super) models: Vec<String>,
    /// Machine: a preset, or the path of a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "andromeda16")]
    pub(super) arch: String,
    /// Changes one number of the machine, such as cluster.memory_read=20Gb/s; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) sets: Vec<String>,
    #[command(flatten)]
    pub(super) limits: RunLimits,
}

impl Many {
    /// The machine's options.
    pub(super) fn machine(&self) -> MachineOptions {
        MachineOptions { arch: self.arch.clone(), sets: self.sets.clone() }
    }

    fn models(&self) -> Vec<&str> {
        if self.models.is_empty() { MODELS.to_vec() } else { self.models.iter().map(String::as_str).collect() }
    }

    /// Does it for every model; gives what was done, and which failed.
    pub(super) fn each<T>(
        &self,
        output: &Output,
        mut done: impl FnMut(&StepArguments) -> Result<T, Failure>,
    ) -> (Vec<T>, Vec<(String, Failure)>) {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        let models = self.models();
        for (i, model) in models.iter().enumerate() {
            output.stage(&format!("{model} ({} of {})", i + 1, models.len()));
            match done(&StepArguments::of(model, self.machine())) {
                Ok(one) => good.push(one),
                Err(failure) => {
                    output.stage(&format!("{model} is left out: {}", failure.text().trim_end()));
                    bad.push(((*model).to_owned(), failure));
                }
            }
        }
        (good, bad)
    }
}

/// The failures as a report has them.
pub(super) fn failed(bad: &[(String, Failure)]) -> Vec<Failed> {
    let diagnostics = |f: &Failure| f.diagnostics.iter().map(ToString::to_string).collect();
    bad.iter().map(|(model, failure)| Failed { model: model.clone(), faults: diagnostics(failure) }).collect()
}

/// The result; if some models failed, it is written, and the command fails: as incomplete, or, if
/// there is nothing but failures, as they do.
pub(super) fn ended(any: bool, bad: Vec<(String, Failure)>, result: Reply, output: &Output) -> Result<Reply, Failure> {
    let Some(kind) = bad.iter().map(|b| b.1.kind).min() else { return Ok(result) };
    let at = |(model, failure): (String, Failure)| {
        failure.diagnostics.into_iter().map(move |f| Diagnostic { at: format!("{model}: {}", f.at), ..f })
    };
    let diagnostics: Vec<Diagnostic> = bad.into_iter().flat_map(at).collect();
    if !any {
        return Err(Failure::many(kind, diagnostics));
    }
    output.finish(&result)?;
    Err(Failure::many(Kind::Incomplete, diagnostics))
}
