//! The start of a layer: a delay in which the wafer does nothing else.
//!
//! Between two layers a system loads kernels, sets routes anew and starts another stream of weights. What that takes is
//! not published; a machine says it in cycles (`wafer.layer_start`), and this kernel is executed for it: two wavelets,
//! that many cycles apart, pass the router in a corner.
//!
//! **Invariant.** All PEs are idle.
//! **Not here.** When a layer starts (`passes`).

use crate::codegen::resources::{Use, Uses};
use crate::codegen::streams::interval;
use crate::kernel::{Addresses, HostSource, Kernel, Requirement};
use crate::kernels::stencil::{Relabel, Relabelled};
use crate::layout::Geometry;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Dir, DirSet, Region, Span};
use sim_core::program::{EdgeStream, Flow, Program, Route};

/// Names of the stream onto the wafer, and off it.
const START: &str = "start";
const STARTED: &str = "started";
/// Wavelets of each.
const WAVELETS: u64 = 2;

/// A delay of `wafer.layer_start` cycles, to a few.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LayerStart;

impl Relabelled for LayerStart {
    fn relabelled(&self, _with: &mut dyn Relabel) -> Self {
        let LayerStart = self;
        LayerStart
    }
}

impl Kernel for LayerStart {
    fn name(&self) -> String {
        "layer start".to_owned()
    }

    fn requirements(&self, _g: &Geometry) -> Vec<Requirement> {
        Vec::new()
    }

    fn uses(&self, _g: &Geometry) -> Uses {
        Uses { ports: vec![Use::North], ..Uses::default() }
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, _at: &Addresses) -> Program {
        // The edge lets the first wavelet through after its latency.
        let delay = arch.wafer.layer_start.value.saturating_sub(arch.router.edge_latency.value);
        let least = interval(arch, 1);
        let color = self.ports(g, arch).of(Use::North).color();
        let region = Region::rect(0, 0, 1, 1);
        let stream = |name: &str, flow, side, interval| EdgeStream {
            name: name.to_owned(),
            flow,
            side,
            ports: Span::one(0),
            color,
            wavelets: WAVELETS,
            interval,
            fanout: 1,
        };
        Program {
            name: self.name(),
            grid: Some(g.grid),
            routes: vec![Route { color, region, rx: Dir::North, tx: DirSet::of(&[Dir::West]) }],
            edges: vec![
                stream(START, Flow::In, Dir::North, delay.max(least)),
                stream(STARTED, Flow::Out, Dir::West, least),
            ],
            ..Program::default()
        }
    }

    fn feed(&self, _g: &Geometry, _stream: &str, _port: u32, _host: &dyn HostSource) -> Vec<u32> {
        vec![0; WAVELETS as usize]
    }

    fn estimate(&self, _g: &Geometry, arch: &ArchSpec) -> u64 {
        u64::from(arch.wafer.layer_start.value)
    }
}
