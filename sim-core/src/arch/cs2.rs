//! The CS-2 preset, one WSE-2 wafer with one citation per line, and what is made of it.

use super::sourced::{assumed, calibrated, derived, documented, vendor_simulator};
use super::{ArchSpec, Cluster, Pe, Router, System, Wafer, Widths};

const SDK: &str = "Cerebras SDK 1.4 documentation, appendix";
const LAYER_START: &str = "not published; from the time that the steps of BERT-base at 128, 512 and 1024 sequences \
    (arXiv 2409.00287v2, table IV) take whatever the batch (docs/THROUGHPUT.md); 0 switches it off";
const SIMD: &str = "Cerebras SDK 1.4 documentation, appendix, SIMD widths table";
const BANKS: &str = "Lie, Hot Chips 34: 8 single-ported banks of 32 bits, two 64-bit reads and one write per cycle";
const SWARMX: &str = "cerebras.net glossary, SwarmX: broadcast-reduce nodes of 1:4 or two of 1:2";
const HPDC: &str = "Luczynski et al., Near-Optimal Wafer-Scale Reduce, HPDC 2024 (T_R = 2 each way)";

/// A CS-2: 750 × 994 PEs of a WSE-2 at 850 MHz.
#[must_use]
#[allow(clippy::too_many_lines, reason = "a line for each number")]
pub fn cs2() -> ArchSpec {
    ArchSpec {
        name: "cs2".to_owned(),
        wafer: Wafer {
            clock_hz: documented(850_000_000, "Cerebras csl-examples bandwidth-test: PE runs with clock speed 850MHz"),
            width: documented(
                750,
                "Cerebras csl-examples single-tile-matvec README: fabric 757, application width at most fabric - 7",
            ),
            height: documented(
                994,
                "Cerebras csl-examples single-tile-matvec README: fabric 996, application height at most fabric - 2",
            ),
            layer_start: calibrated(1_094_000, LAYER_START),
            io_bits_per_second: documented(1_200_000_000_000, "Cerebras SwarmX page: 12 x 100 GbE per CS-2"),
        },
        cluster: Cluster {
            systems: documented(1, "one system"),
            fanout: documented(4, SWARMX),
            link: documented(
                1_200_000_000_000,
                "cerebras.net glossary, SwarmX: a system's 12 x 100 GbE have to reach every system in the worst case",
            ),
            node_latency: assumed(
                1_000,
                "latency of a SwarmX node in nanoseconds is not published; two passes of a network card",
            ),
            memory_read: documented(
                1_200_000_000_000,
                "MemoryX matches a system's I/O (cerebras.net glossary: MemoryX); SwarmX repeats",
            ),
            memory_write: documented(
                1_200_000_000_000,
                "MemoryX matches a system's I/O (cerebras.net glossary: MemoryX); SwarmX adds",
            ),
            optimizer: assumed(
                170_000_000_000,
                "not published; 24 weight servers of a job's cluster-details.json, each with 200 GB/s of memory and 28 B per parameter",
            ),
            activation: assumed(
                1_200_000_000_000,
                "rate not published; 23 activation servers of a one-system job (DABench cluster-details.json), 100 GbE each, exceed a system's I/O",
            ),
            clip: documented(1, "Cerebras-GPT, arXiv 2304.03208, section 2.3: gradient norm clipping of 1.0"),
            prefetch: assumed(268_435_456, "buffers in front of a system are not published"),
            skew: assumed(0, "all systems are equally fast"),
            lost: assumed(0, "no system is lost"),
        },
        system: System { power: documented(23_000, "Cerebras CS-2 data sheet: 23 kW peak") },
        pe: Pe {
            sram: documented(49_152, "Cerebras SDK documentation: 48 KB per PE"),
            stack: assumed(1_024, "size of the stack of a kernel is not published"),
            vector_code: assumed(
                16,
                "instruction encoding is not published; one 4-byte instruction and 4-byte descriptor loads for three operands",
            ),
            scalar_code: assumed(4, "instruction encoding is not published"),
            microthreads: documented(8, SDK),
            input_queues: documented(
                vec![6, 6, 4, 4, 2, 2, 2, 2],
                "Cerebras csl-examples allreduce/pe.csl, in wavelets",
            ),
            output_queues: documented(vec![2, 2, 6, 6, 2, 2], "Cerebras csl-examples allreduce/pe.csl, in wavelets"),
            vector_setup: vendor_simulator(6, "SpMM_Cerebras fmacs_test: 5124 elements in 5130 cycles"),
            loop_back: assumed(1, "no WSE-2 figure; a counted loop as one instruction"),
            task_dispatch: derived(
                2,
                "3 on the WSE-3 (FABRICA); Jorineg/cerebras tiled-stencil spends 113 cycles per iteration of ten tasks \
                 beside elements and messages on the WSE-2, 145 on the WSE-3 (vendor simulator)",
            ),
            ce_latency: derived(1, "in-ramp, add, out-ramp through a PE takes 5 cycles (vendor simulator): 2 + 1 + 2"),
            width_mov: documented(Widths { half: 4, single: 2, mixed: 1 }, SIMD),
            width_add: documented(Widths { half: 4, single: 2, mixed: 2 }, SIMD),
            width_mul: vendor_simulator(
                Widths { half: 4, single: 1, mixed: 1 },
                "SpMM_Cerebras fmacs_test: fp32 multiply 1 per cycle; fp16 from the SIMD widths table",
            ),
            width_max: documented(Widths { half: 1, single: 1, mixed: 1 }, SIMD),
            width_fmac: vendor_simulator(
                Widths { half: 4, single: 1, mixed: 2 },
                "fp16 4 and mixed 2 from the SIMD widths table; fp32 1 per cycle in SpMM_Cerebras fmacs_test",
            ),
            width_scale: documented(Widths { half: 4, single: 2, mixed: 1 }, SIMD),
            width_bitsub: assumed(
                Widths { half: 1, single: 1, mixed: 1 },
                "32-bit integer vector subtraction is not in the SIMD widths table; as 16-bit add with carry",
            ),
            width_register: vendor_simulator(
                1,
                "FABRICA (WSE-3 simulator): reduction into a register 1 element per cycle",
            ),
            reduce_cycles: vendor_simulator(
                2,
                "FABRICA (WSE-3 simulator): reduction into a memory scalar 2 cycles per element",
            ),
            banks: documented(8, BANKS),
            bank_width: documented(32, BANKS),
            bank_conflict: vendor_simulator(2, "SpMM_Cerebras fmacs_test: 5124 elements in 10254 cycles"),
            float_latency: assumed(
                2,
                "dependent binary32 result 2 cycles on WSE-3 (FABRICA, simulator); no WSE-2 figure",
            ),
            load_latency: documented(1, "Cerebras SDK white paper 2022: memory is accessed in a single cycle"),
            divide: documented(50, "Cerebras csl-examples allreduce/pe.csl, comment: a division takes about 50 cycles"),
            branch_untaken: assumed(3, "branch not taken 3 cycles on WSE-3 (FABRICA, simulator); no WSE-2 figure"),
            branch_taken: assumed(6, "branch taken 6 cycles on WSE-3 (FABRICA, simulator); no WSE-2 figure"),
            descriptor_load: assumed(
                4,
                "descriptor register loaded to used 4 cycles on WSE-3 (FABRICA, simulator); 10 instead of 6 cycles to start a vector instruction of compiled code on WSE-2 (author of a stencil)",
            ),
            descriptor_base: derived(
                7,
                "SpMM_Cerebras fmacs_test: 28 cycles more for two descriptors with their bases in a loop, as 10 (back edge) + 4 (load) + 2 x 7",
            ),
        },
        router: Router {
            colors: documented(24, SDK),
            buffer: assumed(4, "depth of the per-color buffer of a router is not published"),
            hop: documented(1, "Cerebras SDK white paper; HPDC 2024"),
            ramp_down: derived(2, HPDC),
            ramp_up: derived(2, HPDC),
            edge_latency: assumed(
                64,
                "latency of the wafer's I/O is not published; PEs are set up when the first wavelet arrives",
            ),
        },
    }
}

/// Andromeda: 16 CS-2 systems.
#[must_use]
pub fn andromeda16() -> ArchSpec {
    let base = cs2();
    ArchSpec {
        name: "andromeda16".to_owned(),
        cluster: Cluster {
            systems: documented(16, "Cerebras press release of 2022-11-14: Andromeda, 16 CS-2 systems"),
            ..base.cluster
        },
        ..base
    }
}

/// Andromeda's kind of machine with any number of systems, 16 unless another is set.
#[must_use]
pub fn andromeda() -> ArchSpec {
    let base = andromeda16();
    ArchSpec {
        name: "andromeda".to_owned(),
        cluster: Cluster {
            systems: documented(
                16,
                "Andromeda has 16 CS-2 systems; clusters of 1 to 192 (cerebras.net/product-cluster; HPCwire, 2022-09-14)",
            ),
            ..base.cluster
        },
        ..base
    }
}

/// Condor Galaxy 1: 64 CS-2 systems.
#[must_use]
pub fn condor_galaxy_1() -> ArchSpec {
    let base = cs2();
    ArchSpec {
        name: "condor-galaxy-1".to_owned(),
        cluster: Cluster {
            systems: documented(64, "Cerebras and G42, July 2023: Condor Galaxy 1, 64 CS-2 systems"),
            ..base.cluster
        },
        ..base
    }
}

/// A mesh of 8 × 8 PEs of the CS-2, small enough to follow by eye.
#[must_use]
pub fn teaching() -> ArchSpec {
    let base = cs2();
    ArchSpec {
        name: "teaching".to_owned(),
        wafer: Wafer {
            width: assumed(8, "no machine: a small mesh for lessons"),
            height: assumed(8, "no machine: a small mesh for lessons"),
            ..base.wafer
        },
        ..base
    }
}
