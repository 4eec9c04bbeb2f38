//! The CS-1 preset, one WSE-1 wafer: what is published of it, and the WSE-2 where nothing is.

use super::cs2::cs2;
use super::sourced::{assumed, documented};
use super::{ArchSpec, Pe, Router, Sourced, System, Wafer};

const SC20: &str = "Rocki et al., Fast Stencil-Code Computation on a Wafer-Scale Processor, SC 2020";

/// A CS-1: 602 × 595 PEs of a WSE-1.
#[must_use]
pub fn cs1() -> ArchSpec {
    let base = cs2();
    ArchSpec {
        name: "cs1".to_owned(),
        wafer: Wafer {
            clock_hz: assumed(
                850_000_000,
                "the clock is not published; 0.86 PFLOP/s at a third of the peak (SC 2020) fit 0.85 to 0.9 GHz",
            ),
            width: documented(602, SC20),
            height: documented(595, SC20),
            io_bits_per_second: documented(1_200_000_000_000, "Cerebras CS-1 product page: 12 x 100 GbE"),
            ..base.wafer
        },
        system: System { power: documented(20_000, "AnandTech, 2020-08: a CS-1 requires about 20 kW of power peak") },
        pe: Pe {
            sram: documented(49_152, "18 GB of memory on 400,000 cores (Cerebras WSE-1 white paper): 48 KB per PE"),
            microthreads: like_wse2(&base.pe.microthreads),
            input_queues: like_wse2(&base.pe.input_queues),
            output_queues: like_wse2(&base.pe.output_queues),
            vector_setup: like_wse2(&base.pe.vector_setup),
            ce_latency: like_wse2(&base.pe.ce_latency),
            width_mov: like_wse2(&base.pe.width_mov),
            width_add: like_wse2(&base.pe.width_add),
            width_mul: like_wse2(&base.pe.width_mul),
            width_max: like_wse2(&base.pe.width_max),
            width_fmac: like_wse2(&base.pe.width_fmac),
            width_scale: like_wse2(&base.pe.width_scale),
            width_register: like_wse2(&base.pe.width_register),
            reduce_cycles: like_wse2(&base.pe.reduce_cycles),
            banks: like_wse2(&base.pe.banks),
            bank_width: like_wse2(&base.pe.bank_width),
            bank_conflict: like_wse2(&base.pe.bank_conflict),
            float_latency: like_wse2(&base.pe.float_latency),
            load_latency: like_wse2(&base.pe.load_latency),
            divide: like_wse2(&base.pe.divide),
            branch_untaken: like_wse2(&base.pe.branch_untaken),
            branch_taken: like_wse2(&base.pe.branch_taken),
            descriptor_load: like_wse2(&base.pe.descriptor_load),
            descriptor_base: like_wse2(&base.pe.descriptor_base),
            ..base.pe
        },
        router: Router {
            colors: documented(24, SC20),
            hop: like_wse2(&base.router.hop),
            ramp_down: like_wse2(&base.router.ramp_down),
            ramp_up: like_wse2(&base.router.ramp_up),
            ..base.router
        },
        ..base
    }
}

/// A number of the WSE-2 where there is none of the WSE-1.
fn like_wse2<T: Clone>(number: &Sourced<T>) -> Sourced<T> {
    assumed(number.value.clone(), "no WSE-1 figure; as on WSE-2")
}
