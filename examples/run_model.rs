//! A model from its name to throughput, memory and the slowest kernel, by the library alone.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use report::{Provenance, RunReport};
use runner::{Error, Executor, Extras, Job, Workload};

fn main() -> Result<(), Error> {
    let name = std::env::args().nth(1).unwrap_or("tiny".to_owned());
    let done = Job::new(Workload::preset(&name)?).run(&Executor::default(), Extras::default())?;
    let report = RunReport::of(&done, &Provenance::default());
    println!("{name}: {:.1} samples/s", report.throughput.samples_per_second);
    println!("memory: {} of {} bytes of a PE", report.memory.pe_peak_bytes, report.memory.pe_capacity_bytes);
    if let Some(slowest) = report.slowest_kernel() {
        println!("slowest kernel: {}, {} cycles of {}", slowest.name, slowest.cycles, report.step.cycles);
    }
    Ok(())
}
