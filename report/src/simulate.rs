//! The report of one program, as `wafersim simulate` and `wafersim collective` give it: the schema
//! `wafersim.simulate/1`.
//!
//! **Not here.** Executing the program (`runner::program`).

use crate::common::{ArchInfo, Simulation};
use crate::form;
use crate::profile::ProfileRow;
use crate::provenance::{Provenance, engine_name};
use crate::verification::FoldVerification;
use fabric::{HostStreams, WaferMemory};
use runner::program::ExecutedProgram;
use runner::train::Effort;
use runner::verify_fold;
use schemars::JsonSchema;
use serde::Serialize;
use sim_core::arch::ArchSpec;
use sim_core::coord::PeCoord;
use sim_core::program::content_hash_hex;
use sim_core::program::{Buffer, Program};
use sim_core::report::{FoldNote, Outcome, PeCounters, PeCycles};

/// Schema of a [`SimulateReport`].
pub const SIMULATE_SCHEMA: &str = "wafersim.simulate/1";

/// Result of `wafersim simulate`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SimulateReport {
    /// Name and version of the schema, [`SIMULATE_SCHEMA`].
    pub schema: &'static str,
    /// Version of this program.
    pub wafersim_version: &'static str,
    /// A command that gives this report again.
    pub command: String,
    /// Hash of the machine's numbers.
    pub arch_hash: String,
    /// Hash of the program's meaning.
    pub program_hash: String,
    /// The program's name.
    pub program: String,
    /// The machine.
    pub arch: ArchInfo,
    /// Why the run ended before its end; everything else is what it had by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// From the start to the last event.
    pub cycles: u64,
    /// Where all PEs spent them.
    #[schemars(with = "form::PeCycles")]
    pub pe_cycles: PeCycles,
    /// Multiply-accumulates of all PEs.
    pub macs: u64,
    /// Link crossings of all wavelets.
    pub wavelet_hops: u64,
    /// What was not stepped cycle by cycle, and why that is exact.
    #[schemars(with = "Vec<form::FoldNote>")]
    pub folds: Vec<FoldNote>,
    /// Column, row and finishing cycle of every PE that did anything (`--finish`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish: Option<Vec<(u32, u32, u64)>>,
    /// Where the cycles of the PEs went, instruction by instruction, most cycles first (`--profile`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Vec<ProfileRow>>,
    /// Smaller programs on which folding was verified (`--verify-fold`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold_verification: Option<FoldVerification>,
    /// Named buffers of the PEs and what left at the edges (`--values`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<ValuesReport>,
    /// How it was obtained.
    pub simulation: Simulation,
}

/// What is known of a run beside its outcome.
#[derive(Debug, Default)]
pub struct Inside {
    /// Why it ended before its end.
    pub stopped: Option<String>,
    /// Where the cycles went, if that was asked for.
    pub profile: Option<Vec<ProfileRow>>,
}

/// Real numbers at the end of a run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ValuesReport {
    /// Named buffers, PE by PE.
    pub buffers: Vec<BufferValues>,
    /// Wavelets that left at the edges, by stream and port.
    pub edges: Vec<EdgeValues>,
}

/// A named buffer of one PE. Numbers that JSON does not have are `null`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct BufferValues {
    /// Column of the PE.
    pub x: u32,
    /// Row of the PE.
    pub y: u32,
    /// The buffer.
    pub name: String,
    /// Its elements; integers above 2^24 are rounded.
    pub values: Vec<f32>,
}

/// What left by one port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EdgeValues {
    /// The stream.
    pub stream: String,
    /// Ordinal of the port.
    pub port: u32,
    /// The wavelets' 32 bits.
    pub words: Vec<u32>,
}

impl SimulateReport {
    /// The report of an executed program, with the programs on which folding was verified, if that was
    /// asked for. `finish`: when each PE finished is listed.
    #[must_use]
    pub fn of(
        (program, arch): (&Program, &ArchSpec),
        executed: ExecutedProgram,
        inside: Inside,
        finish: bool,
        verified: Option<verify_fold::FoldVerification>,
        provenance: &Provenance,
    ) -> SimulateReport {
        let ExecutedProgram { outcome, values } = executed;
        let simulation = provenance.simulation(Effort {
            stepped_cycles: outcome.stepped_cycles,
            stepped_pe_cycles: outcome.stepped_pe_cycles,
            covered_pe_cycles: outcome.pe_cycles.total(),
            cached_programs: 0,
        });
        SimulateReport {
            schema: SIMULATE_SCHEMA,
            wafersim_version: crate::VERSION,
            command: provenance.command.clone(),
            arch_hash: arch.hash(),
            program_hash: content_hash_hex(program),
            program: program.name.clone(),
            arch: ArchInfo::of(arch),
            stopped: inside.stopped,
            cycles: outcome.cycles.0,
            pe_cycles: outcome.pe_cycles,
            macs: outcome.macs,
            wavelet_hops: outcome.wavelet_hops,
            finish: finish.then(|| finished(program, &outcome)),
            profile: inside.profile,
            fold_verification: verified.map(Into::into),
            folds: folds(outcome.folds, values.is_some(), provenance),
            // The engine that carries values folds nothing.
            simulation: match values {
                Some(_) => Simulation { fold: "none".to_owned(), ..simulation },
                None => simulation,
            },
            values: values.map(|(memory, outputs)| ValuesReport::of(program, &memory, &outputs)),
        }
    }
}

/// Column, row and last cycle of every PE that did anything.
fn finished(program: &Program, outcome: &Outcome) -> Vec<(u32, u32, u64)> {
    let width = program.grid().width as usize;
    let row = |(i, c): (usize, &PeCounters)| ((i % width) as u32, (i / width) as u32, c.finish);
    let pes = outcome.per_pe.iter().flatten();
    pes.enumerate().filter(|(_, c)| c.finish > 0).map(row).collect()
}

/// What was folded; where nothing may be, that and why.
fn folds(folds: Vec<FoldNote>, values: bool, provenance: &Provenance) -> Vec<FoldNote> {
    let why = match engine_name(&provenance.options) {
        _ if !folds.is_empty() => return folds,
        "reference" => "the reference engine steps everything",
        _ if values => "values are carried",
        _ => "--fold none",
    };
    vec![FoldNote { kind: fabric::fold::NONE.to_owned(), text: format!("nothing was folded: {why}") }]
}

impl ValuesReport {
    fn of(program: &Program, memory: &WaferMemory, outputs: &HostStreams) -> ValuesReport {
        let mut placed: Vec<(PeCoord, u32)> =
            program.placements.iter().flat_map(|p| p.region.iter().map(|pe| (pe, p.image))).collect();
        placed.sort_by_key(|(pe, _)| (pe.y, pe.x));
        let mut buffers = Vec::new();
        for (pe, image) in placed {
            let Some(image) = program.images.get(image as usize) else { continue };
            let bytes = &memory.pes[(u64::from(pe.y) * u64::from(memory.grid.width) + u64::from(pe.x)) as usize];
            let named =
                |b: &Buffer| BufferValues { x: pe.x, y: pe.y, name: b.name.clone(), values: elements(bytes, b) };
            buffers.extend(image.buffers.iter().map(named));
        }
        let edge = |((stream, port), words): (&(String, u32), &Vec<u32>)| EdgeValues {
            stream: stream.clone(),
            port: *port,
            words: words.clone(),
        };
        ValuesReport { buffers, edges: outputs.ports.iter().map(edge).collect() }
    }
}

/// The elements of a buffer in the memory of a PE.
fn elements(memory: &[u8], buffer: &Buffer) -> Vec<f32> {
    let (start, end) = (buffer.addr as usize, buffer.end() as usize);
    buffer.read(memory.get(start..end).unwrap_or(&[])).into_iter().map(|number| number as f32).collect()
}
