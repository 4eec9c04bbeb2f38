//! `wafersim validate`.

use super::options::{MachineOptions, RunLimits};
use super::output::Output;
use super::reply::Reply;
use super::session::Session;
use crate::fail::Failure;
use crate::inputs;
use clap::Args;
use published::throughput::{Wanted, measure};
use published::{text, validate};

/// Runs every published case that the project knows: ours, theirs, the error, the source
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wafersim validate
  wafersim validate --set pe.vector_setup=8      how much the answers depend on a parameter
  wafersim validate --throughput                 measured training throughputs, executed: long
  wafersim validate --throughput --only gpt2-small
  wafersim validate --sensitivity --only gpt2-small   how they move with assumed numbers: longer
  wafersim validate --page -o docs/VALIDATION.md")]
pub(super) struct Arguments {
    #[command(flatten)]
    machine: MachineOptions,
    #[command(flatten)]
    limits: RunLimits,
    /// The table as a page of the documentation
    #[arg(long)]
    page: bool,
    /// Measured training throughputs instead of the quick cases: whole steps are executed
    #[arg(long)]
    throughput: bool,
    /// Throughputs again with each assumed number of the machine doubled
    #[arg(long)]
    sensitivity: bool,
    /// Of the throughputs, only those of models with this text in their name
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Reply, Failure> {
    let arch = inputs::machine(&arguments.machine.arch, &arguments.machine.sets)?;
    if arguments.throughput || arguments.sensitivity {
        let session = Session::new(&arguments.limits, true, output)?;
        let wanted = Wanted { only: &arguments.only, sensitivity: arguments.sensitivity };
        let report = session.run(|executor| Ok(measure(wanted, &arch, executor)))?;
        return Ok(Reply::of(report));
    }
    let cases = validate::cases(&arch)?;
    Ok(if arguments.page { Reply::text(text::validate::page(&cases)) } else { Reply::of(cases) })
}
