//! Options that several commands share.

use crate::manifest::quoted;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, ValueEnum};
use fabric::{EngineKind, Fold, RunOptions};
use report::Format;
use report::encoding::{FORMATS, named};
use report::provenance::{engine_name, fold_name};
use std::path::PathBuf;

/// The machine where none is named.
pub(super) const DEFAULT_MACHINE: &str = "cs2";

/// The formats that results can be written in, as values of an option.
fn formats() -> impl TypedValueParser<Value = &'static Format> {
    let values = FORMATS.iter().map(|format| PossibleValue::new(format.name).help(format.about));
    PossibleValuesParser::new(values.collect::<Vec<_>>())
        .map(|name| named(&name).expect("the value is one of the names"))
}

/// What the option of the format says.
fn format_help() -> String {
    let endings: Vec<String> = FORMATS.iter().filter_map(|f| f.ending).map(|ending| format!(".{ending}")).collect();
    format!("Form of the result; the default is what the ending of -o FILE says ({}), or text", endings.join(", "))
}

/// Options of all commands.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Form of the result.
    #[arg(long, global = true, value_parser = formats(), help = format_help(), help_heading = "Output")]
    pub format: Option<&'static Format>,
    /// Writes the result to FILE instead of stdout, all of it or nothing
    #[arg(short, long, global = true, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// Colors in messages; `auto` heeds NO_COLOR
    #[arg(long, global = true, value_enum, default_value = "auto", help_heading = "Output")]
    pub color: Color,
    /// No progress and no warnings
    #[arg(short, long, global = true, help_heading = "Output")]
    pub quiet: bool,
    /// Says more on stderr about what is done
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
}

/// When messages are colored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Colors, wherever the output goes.
    Always,
    /// Plain text, without colors.
    Never,
}

/// The machine.
#[derive(Debug, Clone, Args)]
pub struct MachineOptions {
    /// Machine: a preset, or the path of a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = DEFAULT_MACHINE, help_heading = "Machine")]
    pub arch: String,
    /// Changes one number of the machine, such as pe.sram=64KiB; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Machine")]
    pub sets: Vec<String>,
}

impl MachineOptions {
    /// The options as on a command line.
    #[must_use]
    pub fn command(&self) -> String {
        let sets: String = self.sets.iter().map(|s| format!(" --set {}", quoted(s))).collect();
        format!(" --arch {}{sets}", quoted(&self.arch))
    }
}

/// An engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineChoice {
    /// The fast engine, with folding.
    Fast,
    /// The reference engine: every PE, every cycle, every wavelet.
    Reference,
}

/// Foldings of the fast engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FoldChoice {
    /// Fold in time and in space.
    #[value(name = "time,space", alias = "space,time")]
    Both,
    /// Whole periods are skipped.
    Time,
    /// Equal blocks and rows are executed once.
    Space,
    /// Everything is stepped.
    None,
}

/// A number of bytes, with a unit or without.
fn bytes(text: &str) -> Result<u64, String> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];
    let unit = units.into_iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    let (number, factor) = unit.unwrap_or((text, 1));
    let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
    bytes.ok_or_else(|| "a whole number of bytes, or a size in KiB, MiB or GiB, such as 16GiB".to_owned())
}

/// How programs are executed.
#[derive(Debug, Clone, Args)]
pub struct RunLimits {
    /// Engine that executes the programs
    #[arg(long, value_enum, default_value = "fast", help_heading = "Execution")]
    pub engine: EngineChoice,
    /// Exact folding that the fast engine may use
    #[arg(long, value_enum, default_value = "time,space", help_heading = "Execution")]
    pub fold: FoldChoice,
    /// Threads of this computer; 0: one per core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Execution")]
    pub threads: usize,
    /// Stops a program that reaches this many cycles
    #[arg(long, value_name = "N", default_value_t = 1 << 42, help_heading = "Execution")]
    pub cycle_limit: u64,
    /// Memory of this computer that a program may take, in bytes, KiB, MiB or GiB
    #[arg(long, value_name = "SIZE", default_value = "16GiB", value_parser = bytes, help_heading = "Execution")]
    pub memory_limit: u64,
}

/// Checks of folding.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct VerifyOptions {
    /// Executes N random kernels on small meshes, folded and in full, and compares every counter of
    /// every PE; a difference is exit status 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Execution")]
    pub(super) verify_fold: Option<u32>,
    /// Chooses the kernels and meshes of --verify-fold, and the numbers of `run --values`
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Execution")]
    pub(super) seed: u64,
}

impl VerifyOptions {
    /// How many, and the seed, if that is wanted.
    pub(super) fn wanted(&self) -> Option<(u32, u64)> {
        self.verify_fold.map(|count| (count, self.seed))
    }

    /// The options as on a command line.
    pub(super) fn command(&self) -> String {
        let count = self.verify_fold.map(|count| format!(" --verify-fold {count}"));
        let seed = (count.is_some() || self.seed != 0).then(|| format!(" --seed {}", self.seed));
        count.unwrap_or_default() + &seed.unwrap_or_default()
    }
}

impl RunLimits {
    /// As the engines take them.
    #[must_use]
    pub fn options(&self, per_pe: bool) -> RunOptions {
        let (time, space) = match self.fold {
            FoldChoice::Both => (true, true),
            FoldChoice::Time => (true, false),
            FoldChoice::Space => (false, true),
            FoldChoice::None => (false, false),
        };
        let (engine, fold) = match self.engine {
            EngineChoice::Fast => (EngineKind::Fast, Fold { time, space }),
            EngineChoice::Reference => (EngineKind::Reference, Fold::NONE),
        };
        RunOptions {
            engine,
            fold,
            per_pe,
            cells: None,
            cycle_limit: self.cycle_limit,
            memory_limit: self.memory_limit,
            bands: None,
        }
    }

    /// Threads that are meant.
    #[must_use]
    pub fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            n => n.min(1024),
        }
    }

    /// Name of the engine.
    #[must_use]
    pub fn engine_name(&self) -> &'static str {
        engine_name(&self.options(false))
    }

    /// Foldings that are allowed.
    #[must_use]
    pub fn fold_name(&self) -> &'static str {
        fold_name(&self.options(false))
    }

    /// The options that a result depends on, as on a command line.
    #[must_use]
    pub fn command(&self) -> String {
        format!(" --engine {} --fold {}", self.engine_name(), self.fold_name())
    }
}
