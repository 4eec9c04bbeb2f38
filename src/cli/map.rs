//! `--map` and `--checkpoint`: choices of the mapping that are made by hand.

use crate::fail::{Failure, Kind};
use clap::{Args, ValueEnum};
use compiler::options::{CheckpointRequest, MappingConstraints};
use compiler::options::{Reduction, Stationary};
use sim_core::diag::Diagnostic;
use std::fmt;

/// Choices of the mapping.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct MapOptions {
    /// Lanes side by side that receive the same weights; the default is what the compiler finds
    /// best
    #[arg(long, value_name = "N", help_heading = "Mapping")]
    pub(super) lanes: Option<u32>,
    /// Fixes choices of the mapping, e.g. lanes=5,head-columns=12,tokens=56. Keys: lanes,
    /// head-columns, tokens, attention-chunks,
    /// key-chunks, backward-chunks, backward-key-chunks (of the tokens of a PE, as queries and as keys,
    /// in attention and its backward pass), ffn-parts, lm-chunks, gather; stationary, which is inputs or
    /// outputs: what of a matrix product stays in its PE while the rest goes around the row (else what is
    /// faster, product by product); and reduction, which is chain, two-phase or tree: how vectors are
    /// summed over rows (else chain, unless another one makes the step 2 % faster)
    #[arg(long, value_name = "KEY=VALUE,…", value_delimiter = ',', value_parser = entry, help_heading = "Mapping")]
    map: Vec<Entry>,
    /// Layer inputs between the forward and the backward pass: they stay on the wafer, leave it over
    /// the edge and come back, or some of them are computed again; `auto`: what is fastest by
    /// estimate
    #[arg(long, value_enum, default_value = "auto", help_heading = "Mapping")]
    checkpoint: Checkpoint,
}

/// A number of the mapping.
type Number = fn(&mut MappingConstraints) -> &mut Option<u32>;

/// The keys of `--map` whose values are numbers.
const NUMBERS: [(&str, Number); 10] = [
    ("lanes", |map| &mut map.lanes),
    ("head-columns", |map| &mut map.head_columns),
    ("tokens", |map| &mut map.tokens),
    ("attention-chunks", |map| &mut map.attention_chunks),
    ("key-chunks", |map| &mut map.key_chunks),
    ("backward-chunks", |map| &mut map.backward_chunks),
    ("backward-key-chunks", |map| &mut map.backward_key_chunks),
    ("ffn-parts", |map| &mut map.ffn_parts),
    ("lm-chunks", |map| &mut map.lm_chunks),
    ("gather", |map| &mut map.gather),
];

/// A key of `--map` with its value.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Number(&'static str, Number, u32),
    Stationary(Stationary),
    Reduction(Reduction),
}

impl Entry {
    /// Fixes it in a map.
    fn fix(self, map: &mut MappingConstraints) {
        match self {
            Entry::Number(_, field, value) => *field(map) = Some(value),
            Entry::Stationary(value) => map.stationary = Some(value),
            Entry::Reduction(value) => map.reduction = Some(value),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Number(key, _, value) => write!(f, "{key}={value}"),
            Entry::Stationary(value) => write!(f, "stationary={}", value.name()),
            Entry::Reduction(value) => write!(f, "reduction={}", value.name()),
        }
    }
}

fn entry(text: &str) -> Result<Entry, String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not KEY=VALUE"))?;
    if key == "stationary" {
        let known = Stationary::ALL.into_iter().find(|s| s.name() == value);
        return known.map(Entry::Stationary).ok_or_else(|| format!("`{value}` is neither inputs nor outputs"));
    }
    if key == "reduction" {
        let known = Reduction::ALL.into_iter().find(|r| r.name() == value);
        return known.map(Entry::Reduction).ok_or_else(|| format!("`{value}` is none of chain, two-phase, tree"));
    }
    let known = NUMBERS.into_iter().find(|(name, _)| *name == key);
    let (key, field) = known.ok_or_else(|| {
        let keys = NUMBERS.map(|(name, _)| name).join(", ");
        format!("`{key}` is none of {keys}, stationary, reduction")
    })?;
    match value.parse() {
        Ok(value) if value > 0 => Ok(Entry::Number(key, field, value)),
        _ => Err(format!("`{value}` is no whole number above 0")),
    }
}

/// What becomes of layer inputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Checkpoint {
    #[default]
    Auto,
    Stay,
    Offload,
    Recompute,
}

impl MapOptions {
    /// As the compiler takes them; the last one of a key counts.
    pub(super) fn map(&self) -> MappingConstraints {
        let checkpoints = match self.checkpoint {
            Checkpoint::Auto => CheckpointRequest::Auto,
            Checkpoint::Stay => CheckpointRequest::Stay,
            Checkpoint::Offload => CheckpointRequest::Offload,
            Checkpoint::Recompute => CheckpointRequest::Recompute,
        };
        let mut map = MappingConstraints { lanes: self.lanes, checkpoints, ..MappingConstraints::default() };
        self.map.iter().for_each(|entry| entry.fix(&mut map));
        map
    }

    /// Whether `--lanes` and `--map` agree.
    ///
    /// # Errors
    /// `cli-map` if they do not.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let map = self.map().lanes;
        match (self.lanes, map) {
            (Some(lanes), Some(mapped)) if lanes != mapped => {
                let unequal =
                    Diagnostic::new("cli-map", "--lanes", format!("is {lanes}, and --map has lanes={mapped}"));
                Err(Failure::one(Kind::InvalidInput, unequal.help("give one of the two")))
            }
            _ => Ok(()),
        }
    }

    /// As on a command line.
    pub(super) fn given(&self) -> String {
        let mut out = self.lanes.map(|n| format!(" --lanes {n}")).unwrap_or_default();
        if !self.map.is_empty() {
            let entries: Vec<String> = self.map.iter().map(Entry::to_string).collect();
            out += &format!(" --map {}", entries.join(","));
        }
        if self.checkpoint != Checkpoint::Auto {
            out += &format!(" --checkpoint {}", self.checkpoint_name());
        }
        out
    }

    /// Name of the request for layer inputs.
    pub(super) fn checkpoint_name(&self) -> &'static str {
        match self.checkpoint {
            Checkpoint::Auto => "auto",
            Checkpoint::Stay => "stay",
            Checkpoint::Offload => "offload",
            Checkpoint::Recompute => "recompute",
        }
    }
}
