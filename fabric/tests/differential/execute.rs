//! Executes a random program on one engine, with a memory and edge streams whose numbers are finite
//! in every type.
//!
//! **Not here.** What two runs must agree in (`main.rs`), the programs (`random.rs`).

use fabric::{EngineKind, Fold, HostStreams, RunOptions, Values, WaferMemory};
use sim_core::arch::ArchSpec;
use sim_core::coord::Grid;
use sim_core::error::RunError;
use sim_core::program::{Flow, Program};
use sim_core::report::Outcome;

/// A run: its result, what every PE's memory holds behind it, and what left at the edges.
pub(crate) struct Done {
    pub(crate) result: Result<Outcome, RunError>,
    pub(crate) memory: WaferMemory,
    pub(crate) outputs: HostStreams,
}

/// A program in one band of rows, with or without values.
pub(crate) fn execute(p: &Program, a: &ArchSpec, engine: EngineKind, with_values: bool, fold: Fold) -> Done {
    execute_in(p, a, engine, with_values, fold, None)
}

/// The same in `bands` bands of rows.
pub(crate) fn execute_in(
    p: &Program,
    a: &ArchSpec,
    engine: EngineKind,
    with_values: bool,
    fold: Fold,
    bands: Option<u32>,
) -> Done {
    let mut memory = WaferMemory::new(p.grid(), a.pe.sram.value);
    for (i, pe) in memory.pes.iter_mut().enumerate() {
        for (k, b) in pe.iter_mut().enumerate() {
            // Small finite numbers in every type: exponents near the middle.
            *b = if k % 2 == 1 { 0x3c } else { (i * 7 + k) as u8 };
        }
    }
    let mut inputs = HostStreams::default();
    for e in p.edges.iter().filter(|e| e.flow == Flow::In) {
        inputs.ports.insert((e.name.clone(), 0), (0..e.wavelets as u32).map(|k| 0x3c00_3c00 + k).collect());
    }
    let mut outputs = HostStreams::default();
    let options = RunOptions {
        engine,
        fold,
        per_pe: true,
        cells: Some(Grid { width: 3, height: 2 }),
        cycle_limit: 2_000_000,
        bands,
        ..RunOptions::default()
    };
    let result = if with_values {
        let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
        fabric::run(p, a, &options, Some(&mut values))
    } else {
        fabric::run(p, a, &options, None)
    };
    Done { result, memory, outputs }
}
