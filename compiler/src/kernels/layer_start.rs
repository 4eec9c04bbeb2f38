//! The start of a layer: a delay in which the wafer does nothing else.
//!
//! Between two layers a system loads kernels, sets routes anew and starts another stream of weights.
//! What that takes is not published; a machine says it in cycles (`wafer.layer_start`), and this
//! kernel is executed for it. **Invariant.** One PE counts; all others are idle.
//! **Not here.** When a layer starts (`passes`).

use super::lanes::main_task;
use crate::code::repeat;
use crate::geometry::Geometry;
use crate::kernel::{Addresses, Kernel, Need};
use sim_core::arch::ArchSpec;
use sim_core::coord::Region;
use sim_core::program::{AddrOp, AddrReg, Image, Instr, Placement, Program};

/// A delay of `wafer.layer_start` cycles, to a few.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LayerStart;

impl Kernel for LayerStart {
    fn name(&self) -> String {
        "layer start".to_owned()
    }

    fn needs(&self, _g: &Geometry) -> Vec<Need> {
        Vec::new()
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, _at: &Addresses) -> Program {
        // A repetition takes an issue slot, and what the end of a loop's body takes.
        let rounds = arch.layer_start.value.div_ceil(1 + arch.loop_back.value);
        let count = Instr::Addr(AddrOp::Copy(AddrReg(0), AddrReg(0)));
        let tasks = vec![main_task(repeat(rounds, vec![count]))];
        let region = Region::rect(0, 0, 1, 1);
        Program {
            name: self.name(),
            grid: Some(g.grid),
            images: vec![Image { name: "layer start".to_owned(), tasks, ..Image::default() }],
            placements: vec![Placement { region, image: 0, params: Vec::new() }],
            ..Program::default()
        }
    }

    fn estimate(&self, _g: &Geometry, arch: &ArchSpec) -> u64 {
        u64::from(arch.layer_start.value)
    }
}
