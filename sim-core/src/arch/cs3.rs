//! The CS-3 preset, one WSE-3 wafer with one citation per line.
//!
//! Figures by FABRICA (luozoupi/FABRICA-CUDA2CSL) come from one study that nobody has repeated.

use super::cs2::cs2;
use super::sourced::{assumed, derived, documented, measured, vendor_simulator};
use super::{ArchSpec, Pe, Router, System, Wafer, Widths};

const SIMD: &str = "Cerebras SDK 1.4 documentation, appendix, SIMD widths table, WSE-3";
const SHORT: &str = "Cerebras SDK 1.4 documentation, appendix, SIMD widths table, WSE-3; fp32 is not in it: about 1 per \
    cycle in large star stencils (Jorineg/cerebras, tiled-stencil), as on WSE-2; 0.5 (FABRICA) is the rate of a bank conflict";
const BANKS: &str = "8 banks of 6 KB as on WSE-2 (SDK appendix); 21 PB/s for 900,000 cores are as many bytes per cycle as on \
    WSE-2; FABRICA (simulator): 16-bit copies 8 per cycle, sums and products of two vectors 4";
const QUEUES: &str = "Cerebras csl-examples allreduce/pe.csl, WSE-3, in wavelets";

/// A CS-3: 755 × 1170 PEs of a WSE-3.
#[must_use]
pub fn cs3() -> ArchSpec {
    let base = cs2();
    ArchSpec {
        name: "cs3".to_owned(),
        wafer: Wafer {
            clock_hz: derived(875_000_000, "user code for the CS-3 (Elia-Belli/stencil-cerebras): 875e6 if wse3"),
            width: derived(755, "fabric of 762 columns (FABRICA), application width at most fabric - 7 as on WSE-2"),
            height: derived(1170, "fabric of 1172 rows (FABRICA), application height at most fabric - 2 as on WSE-2"),
            io_bits_per_second: assumed(1_200_000_000_000, "no CS-3 figure; 12 x 100 GbE as on CS-2"),
            layer_start: assumed(base.wafer.layer_start.value, "no CS-3 figure; as calibrated for the CS-2"),
        },
        system: System {
            power: assumed(23_000, "Cerebras, March 2024: the same power as a CS-2; no data sheet was read"),
        },
        pe: Pe {
            sram: documented(49_152, "Cerebras WSE-3 data sheet: 44 GB on 900,000 cores, 48 KB per PE"),
            input_queues: documented(vec![8, 8, 4, 4, 4, 4, 4, 4], QUEUES),
            output_queues: assumed(vec![8; 8], "eight queues are documented; their depth is not beyond doubt"),
            vector_setup: vendor_simulator(
                9,
                "FABRICA: fixed cost 8 (copy), 9 (add, multiply), 13 (multiply-accumulate)",
            ),
            loop_back: vendor_simulator(9, "FABRICA: back edge of a loop 9 to 10 cycles"),
            task_dispatch: vendor_simulator(3, "FABRICA: completion task 3 cycles after the last wavelet"),
            ce_latency: assumed(1, "no WSE-3 figure; as on WSE-2"),
            width_mov: documented(Widths { half: 8, single: 4, mixed: 4 }, SIMD),
            width_add: documented(Widths { half: 8, single: 4, mixed: 4 }, SIMD),
            width_mul: vendor_simulator(Widths { half: 8, single: 1, mixed: 1 }, SHORT),
            width_max: documented(Widths { half: 8, single: 4, mixed: 4 }, SIMD),
            width_fmac: vendor_simulator(Widths { half: 8, single: 1, mixed: 4 }, SHORT),
            width_scale: documented(Widths { half: 8, single: 4, mixed: 4 }, SIMD),
            float_latency: vendor_simulator(2, "FABRICA: dependent binary32 result 2 cycles"),
            load_latency: assumed(1, "no WSE-3 figure; as on WSE-2"),
            divide: assumed(50, "no WSE-3 figure; as on WSE-2"),
            branch_untaken: vendor_simulator(3, "FABRICA: branch not taken 3 cycles"),
            branch_taken: vendor_simulator(6, "FABRICA: branch taken 6 cycles"),
            descriptor_load: vendor_simulator(4, "FABRICA: descriptor register loaded to used 4 cycles"),
            descriptor_base: assumed(7, "no WSE-3 figure; as on WSE-2"),
            width_bitsub: assumed(
                Widths { half: 4, single: 4, mixed: 4 },
                "32-bit integer vector subtraction is not in the SIMD widths table; as two 16-bit ones with carry at 8",
            ),
            banks: derived(8, BANKS),
            bank_width: derived(32, BANKS),
            bank_conflict: vendor_simulator(
                2,
                "FABRICA: conflicts make vector operations 1.94 times as long, typically",
            ),
            ..base.pe
        },
        router: Router {
            hop: measured(2, "FABRICA: 2.000 cycles per hop, on silicon and in the vendor's simulator"),
            ramp_down: derived(
                2,
                "FABRICA: 8 words over one hop are received 19 cycles after the send began, the first is on the link after 7",
            ),
            ramp_up: assumed(2, "no WSE-3 figure; as on WSE-2"),
            ..base.router
        },
        ..base
    }
}
