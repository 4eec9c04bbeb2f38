//! `wafersim arch show|list|diff`.

use super::options::{Format, MachineOptions};
use super::{Output, json};
use crate::fail::Failure;
use crate::inputs;
use clap::Subcommand;
use report::table::{Table, grouped};
use serde::Serialize;
use sim_core::arch::{self, ArchSpec};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// A machine with the source of each number
    #[command(after_help = "Examples:\n  wafersim arch show\n  wafersim arch show --arch my.toml --set pe.sram=64KiB")]
    Show(MachineOptions),
    /// The presets
    List,
    /// Numbers in which two machines differ
    #[command(after_help = "Example:\n  wafersim arch diff cs2 my.toml")]
    Diff {
        /// A preset, or the path of a TOML file
        a: String,
        /// Another one
        b: String,
    },
}

#[derive(Serialize)]
struct Shown {
    name: String,
    arch_hash: String,
    numbers: Vec<Number>,
}

#[derive(Serialize)]
struct Number {
    key: String,
    value: String,
    source: String,
    text: String,
}

#[derive(Serialize)]
struct Difference {
    key: String,
    a: String,
    b: String,
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Vec<u8>, Failure> {
    match command {
        Command::Show(options) => show(&inputs::machine(&options.arch, &options.sets)?, output),
        Command::List => list(output),
        Command::Diff { a, b } => diff(&inputs::machine(a, &[])?, &inputs::machine(b, &[])?, output),
    }
}

fn numbers(arch: &ArchSpec) -> Vec<Number> {
    let number = |e: arch::ArchEntry| Number { key: e.key, value: e.value, source: e.kind, text: e.source };
    arch.entries().into_iter().map(number).collect()
}

fn show(arch: &ArchSpec, output: &Output) -> Result<Vec<u8>, Failure> {
    let numbers = numbers(arch);
    let mut table = Table::new(&["key", "value", "source", "citation or reason"]);
    for n in &numbers {
        table.row(vec![n.key.clone(), n.value.clone(), n.source.clone(), n.text.clone()]);
    }
    match output.format {
        Format::Json => json(&Shown { name: arch.name.clone(), arch_hash: arch.hash(), numbers }),
        Format::Csv => Ok(table.csv().into_bytes()),
        Format::Text => {
            let assumed = arch.assumed().len();
            let foot = format!("\n{} of {} numbers are assumed; hash {}\n", assumed, numbers.len(), arch.hash());
            Ok(format!("{}\n\n{}{foot}", arch.name, table.text()).into_bytes())
        }
    }
}

#[derive(Serialize)]
struct Preset {
    name: String,
    width: u32,
    height: u32,
    pes: u64,
    clock_hz: u64,
    systems: u32,
}

fn list(output: &Output) -> Result<Vec<u8>, Failure> {
    let presets: Vec<Preset> = arch::PRESETS
        .iter()
        .filter_map(|name| arch::preset(name))
        .map(|a| Preset {
            width: a.wafer.width.value,
            height: a.wafer.height.value,
            pes: u64::from(a.wafer.width.value) * u64::from(a.wafer.height.value),
            clock_hz: a.wafer.clock_hz.value,
            systems: a.cluster.systems.value,
            name: a.name,
        })
        .collect();
    let mut table = Table::new(&["name", "width", "height", "PEs", "clock MHz", "systems"]);
    for p in &presets {
        table.row(vec![
            p.name.clone(),
            p.width.to_string(),
            p.height.to_string(),
            grouped(p.pes),
            (p.clock_hz / 1_000_000).to_string(),
            p.systems.to_string(),
        ]);
    }
    match output.format {
        Format::Json => json(&presets),
        Format::Csv => Ok(table.csv().into_bytes()),
        Format::Text => Ok(table.text().into_bytes()),
    }
}

fn diff(a: &ArchSpec, b: &ArchSpec, output: &Output) -> Result<Vec<u8>, Failure> {
    let differences: Vec<Difference> = numbers(a)
        .into_iter()
        .zip(numbers(b))
        .filter(|(a, b)| a.value != b.value)
        .map(|(a, b)| Difference { key: a.key, a: a.value, b: b.value })
        .collect();
    let mut table = Table::new(&["key", &a.name, &b.name]);
    for d in &differences {
        table.row(vec![d.key.clone(), d.a.clone(), d.b.clone()]);
    }
    match output.format {
        Format::Json => json(&differences),
        Format::Csv => Ok(table.csv().into_bytes()),
        Format::Text if differences.is_empty() => Ok(b"no differences\n".to_vec()),
        Format::Text => Ok(table.text().into_bytes()),
    }
}
