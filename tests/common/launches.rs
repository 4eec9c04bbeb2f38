//! A compiled step with values: all launches, one after the other, on one wafer.

use compiler::Compiled;
use compiler::ids::TensorId;
use compiler::kernel::{HostSink, HostSource};
use fabric::{EngineKind, Fold, HostStreams, RunOptions, Values, WaferMemory};
use sim_core::arch::ArchSpec;
use sim_core::program::{Flow, verify};
use std::collections::BTreeMap;

/// Activations that the host keeps for the wafer.
type Kept = BTreeMap<(TensorId, Vec<u32>), f32>;

/// A host that gives back what it keeps.
struct Keeper<'a>(&'a dyn HostSource, &'a Kept);

impl HostSource for Keeper<'_> {
    fn value(&self, tensor: TensorId, index: &[u32]) -> f32 {
        let kept = self.1.get(&(tensor, index.to_vec()));
        kept.copied().unwrap_or_else(|| self.0.value(tensor, index))
    }
    fn token(&self, sequence: u32, position: u32) -> u32 {
        self.0.token(sequence, position)
    }
    fn token_type(&self, sequence: u32, position: u32) -> u32 {
        self.0.token_type(sequence, position)
    }
    fn target(&self, sequence: u32, position: u32) -> u32 {
        self.0.target(sequence, position)
    }
    fn loss_weight(&self) -> f32 {
        self.0.loss_weight()
    }
}

/// Keeps activations, and hands gradients on.
struct Sorter<'a>(&'a mut dyn HostSink, &'a mut Kept);

impl HostSink for Sorter<'_> {
    fn add(&mut self, tensor: TensorId, index: &[u32], value: f32) {
        if let TensorId::Checkpoint(_) = tensor {
            self.1.insert((tensor, index.to_vec()), value);
        } else {
            self.0.add(tensor, index, value);
        }
    }
}

/// Runs all launches of a micro-batch; what leaves the wafer goes to `sink`. Gives the cycles of each
/// launch.
pub(crate) fn execute(
    compiled: &Compiled,
    arch: &ArchSpec,
    engine: EngineKind,
    host: &dyn HostSource,
    sink: &mut dyn HostSink,
) -> Vec<u64> {
    let grid = arch.grid();
    let mut memory = WaferMemory::new(grid, arch.pe.sram.value);
    let (mut kept, mut cycles) = (Kept::new(), Vec::new());
    for launch in &compiled.launches {
        let program = compiled.program(launch, arch);
        let g = &compiled.geometry;
        let faults = verify(&program, arch);
        assert!(faults.is_empty(), "{}: {}", launch.kernel.name(), faults[0]);
        let mut inputs = HostStreams::default();
        for e in program.edges.iter().filter(|e| e.flow == Flow::In) {
            for port in 0..e.ports.count {
                let words = launch.kernel.feed(g, &e.name, port, &Keeper(host, &kept));
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
            launch.kernel.collect(g, stream, *port, words, host, &mut Sorter(sink, &mut kept));
        }
    }
    cycles
}
