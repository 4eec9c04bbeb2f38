//! A compiled step with values: all launches, one after the other, on one wafer.

use compiler::kernel::{HostSink, HostSource};
use compiler::step::Compiled;
use fabric::{EngineKind, Fold, HostStreams, RunOptions, Values, WaferMemory};
use sim_core::arch::ArchSpec;
use sim_core::coord::Grid;
use sim_core::program::{Flow, verify};

/// Runs all launches of a micro-batch; what leaves the wafer goes to `sink`. Gives the cycles of each
/// launch.
pub(crate) fn execute(
    compiled: &Compiled,
    arch: &ArchSpec,
    engine: EngineKind,
    host: &dyn HostSource,
    sink: &mut dyn HostSink,
) -> Vec<u64> {
    let grid = Grid { width: arch.width.value, height: arch.height.value };
    let mut memory = WaferMemory::new(grid, arch.sram.value);
    let mut cycles = Vec::new();
    for launch in &compiled.launches {
        let program = compiled.program(launch, arch);
        let g = &compiled.geometry;
        let faults = verify(&program, arch);
        assert!(faults.is_empty(), "{}: {}", launch.kernel.name(), faults[0]);
        let mut inputs = HostStreams::default();
        for e in program.edges.iter().filter(|e| e.flow == Flow::In) {
            for port in 0..e.ports.count {
                let words = launch.kernel.feed(g, &e.name, port, host);
                assert_eq!(words.len() as u64, e.wavelets, "{} {}", launch.kernel.name(), e.name);
                inputs.ports.insert((e.name.clone(), port), words);
            }
        }
        let mut outputs = HostStreams::default();
        let options = RunOptions { engine, fold: Fold::NONE, ..RunOptions::default() };
        let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
        let outcome = fabric::run(&program, arch, &options, Some(&mut values))
            .unwrap_or_else(|e| panic!("{}: {e}", launch.kernel.name()));
        cycles.push(outcome.cycles.0);
        for ((stream, port), words) in &outputs.ports {
            launch.kernel.collect(g, stream, *port, words, host, sink);
        }
    }
    cycles
}
