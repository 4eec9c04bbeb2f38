//! Real numbers for a run: the memories of all PEs, and what the host feeds and receives.
//!
//! A run without values gives cycles and counters; a run with values computes besides what the program
//! computes, so that a kernel can be compared with an implementation in f64.
//!
//! **Invariant.** Timing depends on nothing in here, but for programs that say so (rule V1).
//! **Not here.** Arithmetic: each engine has its own.

use sim_core::arch::ArchSpec;
use sim_core::coord::{Grid, MAX_PES};
use sim_core::error::RunError;
use sim_core::program::Program;
use std::collections::BTreeMap;

/// The memories of all PEs of a wafer, kept from one program to the next (rule V3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaferMemory {
    /// The mesh.
    pub grid: Grid,
    /// Bytes per PE.
    pub sram: usize,
    /// One memory per PE, row by row.
    pub pes: Vec<Vec<u8>>,
}

impl WaferMemory {
    /// All zero.
    #[must_use]
    pub fn new(grid: Grid, sram: u32) -> WaferMemory {
        let pes = (0..grid.pes()).map(|_| vec![0; sram as usize]).collect();
        WaferMemory { grid, sram: sram as usize, pes }
    }

    /// All zero, for programs that run one after the other on the mesh of the first. PEs that none of them gives code to
    /// have no memory: nothing there could read or write it.
    #[must_use]
    pub fn of_programs(programs: &[Program], sram: u32) -> WaferMemory {
        let grid = programs.first().map_or(Grid { width: 0, height: 0 }, Program::grid);
        let mut pes = vec![Vec::new(); grid.pes() as usize];
        for placement in programs.iter().flat_map(|program| &program.placements) {
            for pe in placement.region.iter().filter(|pe| grid.contains(*pe)) {
                pes[grid.index(pe).0 as usize].resize(sram as usize, 0);
            }
        }
        WaferMemory { grid, sram: sram as usize, pes }
    }
}

/// A memory of zeros for a program whose timing depends on values (rule V1).
///
/// # Errors
/// If it takes more than `limit` bytes.
pub(crate) fn zeros(program: &Program, arch: &ArchSpec, limit: u64) -> Result<WaferMemory, RunError> {
    let placed = program.placements.iter().map(|p| p.region.pes()).fold(0, u64::saturating_add);
    let needs = placed.saturating_mul(u64::from(arch.pe.sram.value));
    match needs > limit || program.grid().pes() > MAX_PES {
        true => Err(RunError::TooLarge { needs, limit }),
        false => Ok(WaferMemory::of_programs(std::slice::from_ref(program), arch.pe.sram.value)),
    }
}

/// Wavelets of edge streams by stream name and port ordinal, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostStreams {
    /// The wavelets of each port.
    pub ports: BTreeMap<(String, u32), Vec<u32>>,
}

/// What a run with values reads and writes.
#[derive(Debug)]
pub struct Values<'a> {
    /// Memories; read and written.
    pub memory: &'a mut WaferMemory,
    /// What enters at the edges. A stream or wavelet that is missing is zero.
    pub inputs: &'a HostStreams,
    /// What left at the edges; filled by the run.
    pub outputs: &'a mut HostStreams,
}
