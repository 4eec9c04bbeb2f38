//! Every number of a machine in one table: its group, its field, its key, its unit and its range.
//!
//! A TOML file has one table per group (`[pe]`), and `--set` names a number as `GROUP.KEY`
//! (`--set pe.sram=64KiB`). The structs of the groups, the list of keys, and the tables that a file
//! may have are all made from the table below, so that none of them can forget a number.
//!
//! To add a number: a row here, its value with a source in `cs2.rs`, and whatever reads it.
//!
//! **Invariant.** A field has exactly one key, because both come from one row.
//! **Not here.** What can be done to all numbers alike (`key`), their values (`cs2` and the other
//! presets).

use super::value::{Field, Unit, Value};
use super::{ArchSpec, Source, Sourced, Widths};
use serde::{Deserialize, Serialize};

/// A row of the table: how one number is named, read, shown and checked.
pub(super) struct Key {
    /// The group whose table it stands in.
    pub(super) group: KeyGroup,
    /// Its full name, such as `pe.sram`.
    pub(super) name: &'static str,
    /// How its value is written.
    pub(super) unit: Unit,
    /// Smallest and largest value of each number.
    pub(super) range: (u64, u64),
    /// The value of a machine, with its source.
    pub(super) get: fn(&ArchSpec) -> (Value, &Source),
    /// Gives a machine another value; false if the value is of another kind.
    pub(super) put: fn(&mut ArchSpec, Value, Source) -> bool,
}

macro_rules! groups {
    ($(
        $(#[$about:meta])*
        $group:ident $Group:ident {
            $($(#[$doc:meta])* $field:ident: $kind:ty = $key:literal $unit:ident $low:literal..=$high:literal;)*
        }
    )*) => {
        /// A group of numbers: a table of a machine file, and the first part of a key.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum KeyGroup {
            $($(#[$about])* $Group,)*
        }

        impl KeyGroup {
            /// All of them, in the order of the keys.
            pub const ALL: &[KeyGroup] = &[$(KeyGroup::$Group),*];

            /// Name of the table, such as `pe`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(KeyGroup::$Group => stringify!($group),)*
                }
            }
        }

        $(
            $(#[$about])*
            #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
            pub struct $Group {
                $($(#[$doc])* pub $field: Sourced<$kind>,)*
            }

            impl $Group {
                /// Whether all numbers are equal, whatever their sources.
                #[must_use]
                pub fn same_numbers(&self, other: &$Group) -> bool {
                    $(self.$field.value == other.$field.value)&&*
                }
            }
        )*

        /// All numbers, group by group.
        pub(super) const KEYS: &[Key] = &[$($(Key {
            group: KeyGroup::$Group,
            name: concat!(stringify!($group), ".", $key),
            unit: Unit::$unit,
            range: ($low, $high),
            get: |arch| (arch.$group.$field.value.to_value(), &arch.$group.$field.source),
            put: |arch, value, source| match Field::from_value(value) {
                Some(value) => {
                    arch.$group.$field = Sourced { value, source };
                    true
                }
                None => false,
            },
        },)*)*];
    };
}

groups! {
    /// The wafer as a whole: its clock, its mesh of PEs, its edges.
    wafer Wafer {
        /// Fabric clock in hertz.
        clock_hz: u64 = "clock" Hertz 1_000_000..=100_000_000_000;
        /// Columns of the application rectangle.
        width: u32 = "width" Count 1..=4_194_304;
        /// Rows of the application rectangle.
        height: u32 = "height" Count 1..=4_194_304;
        /// External bandwidth in bits per second, each way.
        io_bits_per_second: u64 = "io" BitsPerSecond 1..=1_000_000_000_000_000;
        /// Cycles for which the wafer stalls before the kernels of a layer, each time its weights
        /// begin to stream.
        layer_start: u32 = "layer_start" Cycles 0..=1_000_000_000;
    }
    /// What stands around the wafers: MemoryX, SwarmX, and how many systems there are.
    cluster Cluster {
        /// Systems that work data-parallel.
        systems: u32 = "systems" Count 1..=192;
        /// Children of a node of the tree between MemoryX and the systems.
        fanout: u32 = "fanout" Count 2..=1_024;
        /// Bits per second of a link of that tree, each way.
        link: u64 = "link" BitsPerSecond 1..=1_000_000_000_000_000;
        /// What a node adds to the way of a chunk, in nanoseconds.
        node_latency: u32 = "node_latency" Count 0..=1_000_000_000;
        /// Bits per second that MemoryX reads.
        memory_read: u64 = "memory_read" BitsPerSecond 1..=1_000_000_000_000_000;
        /// Bits per second that MemoryX takes.
        memory_write: u64 = "memory_write" BitsPerSecond 1..=1_000_000_000_000_000;
        /// Parameters per second that the optimizer updates.
        optimizer: u64 = "optimizer" Count 1..=1_000_000_000_000_000;
        /// Bits per second of a system's activation servers, each way.
        activation: u64 = "activation" BitsPerSecond 1..=1_000_000_000_000_000;
        /// Whether gradients are clipped by their norm over all parameters, 0 or 1.
        clip: u32 = "clip" Count 0..=1;
        /// Bytes that are kept in front of a system, each way.
        prefetch: u64 = "prefetch" Bytes 1..=1_000_000_000_000;
        /// How much slower the last system is than the others, in thousandths.
        skew: u32 = "skew" Count 0..=1_000_000;
        /// Systems that are lost, whose share the others take over.
        lost: u32 = "lost" Count 0..=191;
    }
    /// A system: a wafer with its power and cooling.
    system System {
        /// Highest electric power of a system in watts.
        power: u32 = "power" Count 1..=1_000_000;
    }
    /// A processing element without its router: memory, queues, and the compute element's timing.
    pe Pe {
        /// Memory of a PE in bytes.
        sram: u32 = "sram" Bytes 1_024..=16_777_216;
        /// Bytes kept for the stack.
        stack: u32 = "stack" Bytes 0..=16_777_216;
        /// Code bytes of a vector instruction, descriptors included.
        vector_code: u32 = "vector_code" Bytes 0..=1_024;
        /// Code bytes of any other instruction.
        scalar_code: u32 = "scalar_code" Bytes 0..=1_024;
        /// Microthreads.
        microthreads: u32 = "microthreads" Count 1..=8;
        /// Depths of the input queues in wavelets.
        input_queues: Vec<u32> = "input_queues" List 1..=1_024;
        /// Depths of the output queues in wavelets.
        output_queues: Vec<u32> = "output_queues" List 1..=1_024;
        /// Cycles before the first beat of a vector instruction.
        vector_setup: u32 = "vector_setup" Cycles 0..=10_000;
        /// Cycles at the end of a loop's body, per repetition.
        loop_back: u32 = "loop_back" Cycles 0..=255;
        /// Cycles from a task's selection to its first instruction.
        task_dispatch: u32 = "task_dispatch" Cycles 0..=10_000;
        /// Cycles from a beat to its wavelet in the output queue.
        ce_latency: u32 = "ce_latency" Cycles 0..=10_000;
        /// Elements per cycle of `mov` without conversion.
        width_mov: Widths = "width_mov" Widths 1..=8;
        /// Elements per cycle of `add` and `sub`.
        width_add: Widths = "width_add" Widths 1..=8;
        /// Elements per cycle of `mul`.
        width_mul: Widths = "width_mul" Widths 1..=8;
        /// Elements per cycle of `max`.
        width_max: Widths = "width_max" Widths 1..=8;
        /// Elements per cycle of `fmac`.
        width_fmac: Widths = "width_fmac" Widths 1..=8;
        /// Elements per cycle of `scale`.
        width_scale: Widths = "width_scale" Widths 1..=8;
        /// Elements per cycle of `bitsub`.
        width_bitsub: Widths = "width_bitsub" Widths 1..=8;
        /// Most elements per cycle into a data register.
        width_register: u32 = "width_register" Count 1..=8;
        /// Cycles per element when the destination is one repeated word in memory.
        reduce_cycles: u32 = "reduce_cycles" Cycles 1..=10_000;
        /// Banks of the memory; the first half shares its ports for reading with the second. A power of two.
        banks: u32 = "banks" Count 2..=32;
        /// Bits of a bank's word. A power of two.
        bank_width: u32 = "bank_width" Count 16..=128;
        /// Cycles per beat of an instruction whose two memory vectors need one bank at a time.
        bank_conflict: u32 = "bank_conflict" Count 1..=64;
        /// Cycles from an operation on binary32 registers to the first use of its result.
        float_latency: u32 = "float_latency" Cycles 1..=255;
        /// Cycles from a scalar load to the first use of its result.
        load_latency: u32 = "load_latency" Cycles 1..=255;
        /// Issue slots of a division of two binary32 registers.
        divide: u32 = "divide" Cycles 1..=255;
        /// Cycles from a branch that is not taken to the next instruction.
        branch_untaken: u32 = "branch_untaken" Cycles 1..=10_000;
        /// Cycles from a branch that is taken to the next instruction.
        branch_taken: u32 = "branch_taken" Cycles 1..=10_000;
        /// Cycles before a vector instruction whose descriptors are loaded for it.
        descriptor_load: u32 = "descriptor_load" Cycles 0..=10_000;
        /// Cycles before a vector instruction for each operand whose base is set for it.
        descriptor_base: u32 = "descriptor_base" Cycles 0..=10_000;
    }
    /// A router with its ramp and its links.
    router Router {
        /// Colors.
        colors: u32 = "colors" Count 1..=24;
        /// Buffer per color and router, in wavelets.
        buffer: u32 = "buffer" Count 1..=1_024;
        /// Cycles per hop.
        hop: u32 = "hop" Cycles 1..=10_000;
        /// Cycles from the router to the input queue.
        ramp_down: u32 = "ramp_down" Cycles 1..=10_000;
        /// Cycles from the output queue to the router.
        ramp_up: u32 = "ramp_up" Cycles 1..=10_000;
        /// First cycle in which a stream onto the wafer delivers a wavelet.
        edge_latency: u32 = "edge_latency" Cycles 0..=1_000_000;
    }
}

impl Pe {
    /// Bytes after which addresses meet at the same port for reading again (`M` in rule C5): 16 on the CS-2.
    /// A power of two, on a machine that is valid.
    #[must_use]
    pub fn bank_period(&self) -> u32 {
        (self.banks.value / 2 * (self.bank_width.value / 8)).max(1)
    }
}

impl KeyGroup {
    /// Whether what happens on one wafer can depend on the group. The others describe what stands
    /// around wafers.
    #[must_use]
    pub const fn reaches_the_wafer(self) -> bool {
        match self {
            KeyGroup::Wafer | KeyGroup::Pe | KeyGroup::Router => true,
            KeyGroup::Cluster | KeyGroup::System => false,
        }
    }

    /// The group of a key, such as [`KeyGroup::Pe`] of `pe.sram`.
    #[must_use]
    pub fn of(key: &str) -> Option<KeyGroup> {
        let (group, _) = key.split_once('.')?;
        KeyGroup::ALL.iter().copied().find(|g| g.name() == group)
    }
}
