//! What `wafersim run` and `wafersim compile` share: a model, compiled for a machine.

use super::map::MapOptions;
use super::options::MachineOptions;
use super::output::Output;
use crate::fail::{Failure, Kind};
use crate::inputs;
use crate::manifest::{Setting, quoted};
use clap::{Args, ValueEnum};
use compiler::Compiled;
use runner::workload::Request;
use runner::{CompiledStep, Job, Split, StepOptions, Workload};
use sim_core::diag::Diagnostic;
use sim_core::program::DType;
use std::path::Path;

/// The workload and how it is compiled.
#[derive(Debug, Clone, Args)]
pub(super) struct StepArguments {
    /// A preset (`wafersim models list`), or the path of a Hugging Face config.json
    pub(super) model: String,
    #[command(flatten)]
    machine: MachineOptions,
    /// Sequences per step; a preset has its published batch
    #[arg(long, value_name = "N", help_heading = "Workload")]
    pub(super) batch: Option<u64>,
    /// Systems that share the batch; the default is the machine's number
    #[arg(long, value_name = "N", help_heading = "Workload")]
    pub(super) systems: Option<u32>,
    /// Sequences on the wafer at a time; `auto`: what fits best
    #[arg(long, value_name = "N|auto", default_value = "auto", value_parser = micro_batch, help_heading = "Workload")]
    micro_batch: MicroBatch,
    /// A batch that does not divide evenly over the systems: refused, or filled up with sequences
    /// that count for nothing
    #[arg(long, value_enum, default_value = "even", help_heading = "Workload")]
    split: SplitChoice,
    /// Tokens per sequence; a preset has its published length
    #[arg(long, value_name = "N", help_heading = "Workload")]
    seq_len: Option<u32>,
    #[command(flatten)]
    map: MapOptions,
    /// Type of activations and of streamed weights
    #[arg(long, value_enum, default_value = "f16", help_heading = "Workload")]
    act: Act,
    /// Precision of sums, by the vendor's levels: 0, 32-bit; 1, of a matrix product's sums those
    /// within a PE have the type of activations. A published run has its own level, others 1
    #[arg(long, value_name = "0|1", value_parser = clap::value_parser!(u8).range(0..=1), help_heading = "Workload")]
    precision_opt_level: Option<u8>,
}

/// The mapping as a value of `--map`.
fn resolved(compiled: &Compiled) -> String {
    let (g, t) = (&compiled.geometry, &compiled.strategy);
    let mut fixed = t.stationary.map(|s| format!(",stationary={}", s.name())).unwrap_or_default();
    fixed += &t.reduction.map(|r| format!(",reduction={}", r.name())).unwrap_or_default();
    format!(
        "lanes={},head-columns={},tokens={},attention-chunks={},key-chunks={},backward-chunks={},\
         backward-key-chunks={},ffn-parts={},lm-chunks={},gather={}{fixed}",
        g.lanes,
        g.head_columns,
        g.tokens,
        t.attention.queries,
        t.attention.keys,
        t.attention_backward.queries,
        t.attention_backward.keys,
        t.ffn_parts,
        t.lm_chunks,
        t.gather
    )
}

/// What to do with a batch that does not divide evenly over the systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SplitChoice {
    /// It is refused.
    Even,
    /// Every system gets as many sequences as the one with the most.
    Pad,
}

#[derive(Debug, Clone, Copy)]
struct MicroBatch(Option<u32>);

fn micro_batch(text: &str) -> Result<MicroBatch, String> {
    if text == "auto" {
        return Ok(MicroBatch(None));
    }
    text.parse().map(|n| MicroBatch(Some(n))).map_err(|_| "a whole number, or auto".to_owned())
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Act {
    F16,
    Bf16,
    F32,
}

impl Act {
    fn dtype(self) -> DType {
        match self {
            Act::F16 => DType::F16,
            Act::Bf16 => DType::Bf16,
            Act::F32 => DType::F32,
        }
    }
}

impl StepArguments {
    /// The model on the machine, with the options; or what is wrong with all three.
    ///
    /// # Errors
    /// Every diagnostic of the options, the model and the machine.
    pub(super) fn job(&self) -> Result<Job, Failure> {
        let arch = inputs::machine(&self.machine.arch, &self.sets());
        let model = inputs::model(&self.model, Request { batch: self.batch, seq_len: self.seq_len })
            .and_then(|workload| Ok((workload.graph()?, workload)));
        let options = self.options();
        let (checked, agree) = (options.check().map_err(Failure::from), self.map.check());
        let failures = [arch.as_ref().err(), model.as_ref().err(), checked.as_ref().err(), agree.as_ref().err()];
        let kind = failures.iter().flatten().map(|f| f.kind).min();
        let diagnostics: Vec<Diagnostic> = failures.into_iter().flatten().flat_map(|f| f.diagnostics.clone()).collect();
        match (arch, model, kind) {
            (Ok(arch), Ok((_, workload)), None) => Ok(Job::new(workload).machine(arch).options(options)),
            (_, _, kind) => Err(Failure::many(kind.unwrap_or(Kind::InvalidInput), diagnostics)),
        }
    }

    /// How the step is compiled.
    fn options(&self) -> StepOptions {
        StepOptions {
            micro_batch: self.micro_batch.0,
            split: match self.split {
                SplitChoice::Even => Split::Even,
                SplitChoice::Pad => Split::Pad,
            },
            constraints: self.map.map(),
            act: self.act.dtype(),
            precision_opt_level: self.precision_opt_level,
        }
    }

    /// Changes of the machine's numbers, `--systems` included.
    fn sets(&self) -> Vec<String> {
        let systems = self.systems.map(|n| format!("cluster.systems={n}"));
        self.machine.sets.iter().cloned().chain(systems).collect()
    }

    /// A model on a machine, with everything else as it is when nothing is asked for.
    pub(super) fn of(model: &str, machine: MachineOptions) -> StepArguments {
        StepArguments {
            model: model.to_owned(),
            machine,
            batch: None,
            systems: None,
            micro_batch: MicroBatch(None),
            split: SplitChoice::Even,
            seq_len: None,
            map: MapOptions::default(),
            act: Act::F16,
            precision_opt_level: None,
        }
    }

    /// The level of precision.
    fn level(&self, workload: &Workload) -> u8 {
        self.options().level(workload)
    }

    /// Files that the step may have been read from.
    pub(super) fn files(&self) -> Vec<&Path> {
        vec![Path::new(&self.model), super::provenance::machine_file(&self.machine)]
    }

    /// Workload and mapping, each with its origin.
    pub(super) fn settings(&self, step: &CompiledStep, output: &Output) -> Vec<Setting> {
        let (workload, compiled) = (&step.workload, &step.compiled);
        let origin = |given: bool, otherwise| if given { "command line" } else { otherwise };
        let systems = step.arch.cluster.systems.value;
        vec![
            Setting::new("model", &self.model, "command line"),
            Setting::new("--batch", workload.batch, origin(self.batch.is_some(), "model")),
            Setting::new("--seq-len", workload.seq_len, origin(self.seq_len.is_some(), "model")),
            Setting::new("--micro-batch", compiled.micro_batch, origin(self.micro_batch.0.is_some(), "compiler")),
            Setting::new("--lanes", compiled.geometry.lanes, origin(self.map.map().lanes.is_some(), "compiler")),
            Setting::new("--act", compiled.geometry.precision.act.name(), output.origin("--act")),
            Setting::new(
                "--precision-opt-level",
                self.level(workload),
                origin(self.precision_opt_level.is_some(), "model"),
            ),
            Setting::new("--systems", systems, origin(self.systems.is_some(), "machine")),
            Setting::new("--split", self.options().split.name(), output.origin("--split")),
        ]
    }

    /// The options as they were given, as on a command line.
    pub(super) fn given(&self) -> String {
        let option = |name: &str, value: Option<String>| value.map(|v| format!(" {name} {v}")).unwrap_or_default();
        format!(
            "{}{}{}{}{}{}{}{} --act {}{}",
            quoted(&self.model),
            self.machine.command(),
            option("--batch", self.batch.map(|n| n.to_string())),
            option("--systems", self.systems.map(|n| n.to_string())),
            option("--micro-batch", self.micro_batch.0.map(|n| n.to_string())),
            if self.split == SplitChoice::Pad { " --split pad" } else { "" },
            option("--seq-len", self.seq_len.map(|n| n.to_string())),
            self.map.given(),
            self.act.dtype().name(),
            option("--precision-opt-level", self.precision_opt_level.map(|n| n.to_string())),
        )
    }

    /// The options with everything resolved, as on a command line.
    pub(super) fn command(&self, step: &CompiledStep) -> String {
        let (workload, compiled) = (&step.workload, &step.compiled);
        format!(
            "{}{}{}{} --batch {} --micro-batch {} --seq-len {} --map {} --checkpoint {} --act {} --precision-opt-level {}",
            quoted(&self.model),
            self.machine.command(),
            self.systems.map(|n| format!(" --systems {n}")).unwrap_or_default(),
            if self.split == SplitChoice::Pad { " --split pad" } else { "" },
            workload.batch,
            compiled.micro_batch,
            workload.seq_len,
            resolved(compiled),
            self.map.checkpoint_name(),
            compiled.geometry.precision.act.name(),
            self.level(workload)
        )
    }
}
