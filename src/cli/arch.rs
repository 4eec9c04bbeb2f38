//! `wafersim arch show|list|diff`.

use super::options::MachineOptions;
use super::reply::Reply;
use crate::fail::Failure;
use crate::inputs;
use clap::{Args, Subcommand};
use report::table::{Cell, Table};
use report::{Document, Tabular, row};
use runner::machine::differences;
use serde::Serialize;
use sim_core::arch::{self, ArchSpec};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// A machine with the source of each number
    #[command(
        after_help = "Examples:\n  wafersim arch show\n  wafersim arch show andromeda16\n  wafersim arch show my.toml --set pe.sram=64KiB"
    )]
    Show(Shows),
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

/// Which machine is shown.
#[derive(Debug, Args)]
pub(super) struct Shows {
    /// A preset, or the path of a TOML file
    #[arg(value_name = "NAME|FILE", conflicts_with = "arch")]
    name: Option<String>,
    #[command(flatten)]
    machine: MachineOptions,
}

/// A machine.
#[derive(Serialize)]
struct Shown {
    name: String,
    arch_hash: String,
    numbers: Vec<Number>,
    /// How many numbers are assumed.
    #[serde(skip)]
    assumed: usize,
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

/// Numbers in which two machines differ.
#[derive(Serialize)]
#[serde(transparent)]
struct Differences {
    numbers: Vec<Difference>,
    /// Names of the machines.
    #[serde(skip)]
    of: [String; 2],
}

pub(super) fn run(command: &Command) -> Result<Reply, Failure> {
    match command {
        Command::Show(Shows { name, machine }) => {
            let name = name.as_ref().unwrap_or(&machine.arch);
            Ok(Reply::of(Shown::of(&inputs::machine(name, &machine.sets)?)))
        }
        Command::List => Ok(Reply::of(List::new())),
        Command::Diff { a, b } => Ok(Reply::of(Differences::of(&inputs::machine(a, &[])?, &inputs::machine(b, &[])?))),
    }
}

impl Shown {
    fn of(arch: &ArchSpec) -> Shown {
        let number = |e: arch::ArchEntry| Number { key: e.key, value: e.value, source: e.kind, text: e.source };
        let numbers = arch.entries().into_iter().map(number).collect();
        Shown { name: arch.name.clone(), arch_hash: arch.hash(), numbers, assumed: arch.assumed().len() }
    }
}

impl Tabular for Shown {
    fn table(&self) -> Table {
        let mut table = Table::new(&["key", "value", "source", "citation or reason"]);
        for n in &self.numbers {
            table.row(row![n.key.as_str(), n.value.as_str(), n.source.as_str(), n.text.as_str()]);
        }
        table
    }
}

impl Document for Shown {
    fn text(&self) -> String {
        let (assumed, all, hash) = (self.assumed, self.numbers.len(), &self.arch_hash);
        let foot = format!("\n{assumed} of {all} numbers are assumed; hash {hash}\n");
        format!("{}\n\n{}{foot}", self.name, self.table().text())
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

/// The presets.
#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Preset>);

impl List {
    fn new() -> List {
        let preset = |a: ArchSpec| Preset {
            width: a.wafer.width.value,
            height: a.wafer.height.value,
            pes: a.grid().pes(),
            clock_hz: a.wafer.clock_hz.value,
            systems: a.cluster.systems.value,
            name: a.name,
        };
        List(arch::PRESETS.iter().filter_map(|name| arch::preset(name)).map(preset).collect())
    }
}

impl Tabular for List {
    fn table(&self) -> Table {
        let columns = [("name", ""), ("width", ""), ("height", ""), ("PEs", ""), ("clock", "MHz"), ("systems", "")];
        let mut table = Table::with_units(&columns);
        for p in &self.0 {
            let (name, clock) = (p.name.as_str(), p.clock_hz / 1_000_000);
            table.row(row![name, p.width, p.height, Cell::Grouped(p.pes), clock, p.systems]);
        }
        table
    }
}

impl Document for List {
    fn text(&self) -> String {
        self.table().text()
    }
}

impl Differences {
    fn of(a: &ArchSpec, b: &ArchSpec) -> Differences {
        let all = differences(a, b).into_iter().map(|(key, a, b)| Difference { key, a, b });
        Differences { numbers: all.collect(), of: [a.name.clone(), b.name.clone()] }
    }
}

impl Tabular for Differences {
    fn table(&self) -> Table {
        let mut table = Table::new(&["key", &self.of[0], &self.of[1]]);
        for d in &self.numbers {
            table.row(row![d.key.as_str(), d.a.as_str(), d.b.as_str()]);
        }
        table
    }
}

impl Document for Differences {
    fn text(&self) -> String {
        if self.numbers.is_empty() { "no differences\n".to_owned() } else { self.table().text() }
    }
}
