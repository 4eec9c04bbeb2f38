//! The machine: every number that a run depends on, each with its source.
//!
//! **Invariant.** An engine or a compiler pass takes a machine number from here and nowhere else.

pub mod cs1;
pub mod cs2;
pub mod cs3;
pub mod sourced;

mod file;
mod key;
#[cfg(test)]
mod tests;
mod value;

pub use file::MAX_FILE;
pub use key::{ArchEntry, RULES};
pub use sourced::{Source, Sourced};

use serde::{Deserialize, Serialize};

/// Elements per cycle of a vector operation by operand types: all 16-bit, all 32-bit, or mixed
/// (rule C4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Widths {
    /// All vector operands are 16-bit.
    pub half: u32,
    /// All vector operands are 32-bit.
    pub single: u32,
    /// 16-bit and 32-bit vector operands together.
    pub mixed: u32,
}

/// A machine. Keys in TOML files and in `--set` are given in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchSpec {
    /// Its name.
    pub name: String,
    /// Fabric clock in hertz (`wafer.clock`).
    pub clock_hz: Sourced<u64>,
    /// Columns of the application rectangle (`wafer.width`).
    pub width: Sourced<u32>,
    /// Rows of the application rectangle (`wafer.height`).
    pub height: Sourced<u32>,
    /// External bandwidth in bits per second, each way (`wafer.io`).
    pub io_bits_per_second: Sourced<u64>,
    /// Cycles in which the wafer stands still before the kernels of a layer, each time its weights
    /// begin to stream (`wafer.layer_start`).
    pub layer_start: Sourced<u32>,
    /// Systems that work data-parallel (`cluster.systems`).
    pub systems: Sourced<u32>,
    /// Children of a node of the tree between MemoryX and the systems (`cluster.fanout`).
    pub fanout: Sourced<u32>,
    /// Bits per second of a link of that tree, each way (`cluster.link`).
    pub link: Sourced<u64>,
    /// What a node adds to the way of a chunk, in nanoseconds (`cluster.node_latency`).
    pub node_latency: Sourced<u32>,
    /// Bits per second that MemoryX reads (`cluster.memory_read`).
    pub memory_read: Sourced<u64>,
    /// Bits per second that MemoryX takes (`cluster.memory_write`).
    pub memory_write: Sourced<u64>,
    /// Parameters per second that the optimizer updates (`cluster.optimizer`).
    pub optimizer: Sourced<u64>,
    /// Bits per second of a system's activation servers, each way (`cluster.activation`).
    pub activation: Sourced<u64>,
    /// Whether gradients are clipped by their norm over all parameters, 0 or 1 (`cluster.clip`).
    pub clip: Sourced<u32>,
    /// Bytes that are kept in front of a system, each way (`cluster.prefetch`).
    pub prefetch: Sourced<u64>,
    /// How much slower the last system is than the others, in thousandths (`cluster.skew`).
    pub skew: Sourced<u32>,
    /// Systems that are lost, whose share the others take over (`cluster.lost`).
    pub lost: Sourced<u32>,
    /// Highest electric power of a system in watts (`system.power`).
    pub power: Sourced<u32>,

    /// Memory of a PE in bytes (`pe.sram`).
    pub sram: Sourced<u32>,
    /// Bytes kept for the stack (`pe.stack`).
    pub stack: Sourced<u32>,
    /// Code bytes of a vector instruction, descriptors included (`pe.vector_code`).
    pub vector_code: Sourced<u32>,
    /// Code bytes of any other instruction (`pe.scalar_code`).
    pub scalar_code: Sourced<u32>,
    /// Microthreads (`pe.microthreads`).
    pub microthreads: Sourced<u32>,
    /// Depths of the input queues in wavelets (`pe.input_queues`).
    pub input_queues: Sourced<Vec<u32>>,
    /// Depths of the output queues in wavelets (`pe.output_queues`).
    pub output_queues: Sourced<Vec<u32>>,
    /// Cycles before the first beat of a vector instruction (`pe.vector_setup`).
    pub vector_setup: Sourced<u32>,
    /// Cycles at the end of a loop's body, per repetition (`pe.loop_back`).
    pub loop_back: Sourced<u32>,
    /// Cycles from a task's selection to its first instruction (`pe.task_dispatch`).
    pub task_dispatch: Sourced<u32>,
    /// Cycles from a beat to its wavelet in the output queue (`pe.ce_latency`).
    pub ce_latency: Sourced<u32>,
    /// Elements per cycle of `mov` without conversion (`pe.width_mov`).
    pub width_mov: Sourced<Widths>,
    /// Elements per cycle of `add` and `sub` (`pe.width_add`).
    pub width_add: Sourced<Widths>,
    /// Elements per cycle of `mul` (`pe.width_mul`).
    pub width_mul: Sourced<Widths>,
    /// Elements per cycle of `max` (`pe.width_max`).
    pub width_max: Sourced<Widths>,
    /// Elements per cycle of `fmac` (`pe.width_fmac`).
    pub width_fmac: Sourced<Widths>,
    /// Elements per cycle of `scale` (`pe.width_scale`).
    pub width_scale: Sourced<Widths>,
    /// Elements per cycle of `bitsub` (`pe.width_bitsub`).
    pub width_bitsub: Sourced<Widths>,
    /// Most elements per cycle into a data register (`pe.width_register`).
    pub width_register: Sourced<u32>,
    /// Cycles per element when the destination is one repeated word in memory
    /// (`pe.reduce_cycles`).
    pub reduce_cycles: Sourced<u32>,
    /// Factor on the beats of an instruction whose two memory vectors start in one bank group
    /// (`pe.bank_conflict`).
    pub bank_conflict: Sourced<u32>,

    /// Colors (`router.colors`).
    pub colors: Sourced<u32>,
    /// Buffer per color and router, in wavelets (`router.buffer`).
    pub router_buffer: Sourced<u32>,
    /// Cycles per hop (`router.hop`).
    pub hop: Sourced<u32>,
    /// Cycles from the router to the input queue (`router.ramp_down`).
    pub ramp_down: Sourced<u32>,
    /// Cycles from the output queue to the router (`router.ramp_up`).
    pub ramp_up: Sourced<u32>,
    /// First cycle in which a stream onto the wafer delivers a wavelet (`router.edge_latency`).
    pub edge_latency: Sourced<u32>,
}

/// Names of the presets.
pub const PRESETS: [&str; 7] = ["cs2", "cs3", "cs1", "andromeda16", "andromeda", "condor-galaxy-1", "teaching"];

/// The preset with the given name.
#[must_use]
pub fn preset(name: &str) -> Option<ArchSpec> {
    match name {
        "cs2" => Some(cs2::cs2()),
        "cs3" => Some(cs3::cs3()),
        "cs1" => Some(cs1::cs1()),
        "andromeda16" => Some(cs2::andromeda16()),
        "andromeda" => Some(cs2::andromeda()),
        "condor-galaxy-1" => Some(cs2::condor_galaxy_1()),
        "teaching" => Some(cs2::teaching()),
        _ => None,
    }
}
