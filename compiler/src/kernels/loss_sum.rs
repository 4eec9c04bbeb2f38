//! The sum of the loss over the rows of the mesh.
//!
//! **Invariant.** A PE's parts are those that [`super::loss::CrossEntropy`] left last.
//! **Not here.** The loss of a token (`loss`); the sum over columns and lanes (the sink).

use super::lanes::{buffers, chain_results, chain_rows, chain_wavelets, lay_chain, main_task, place};
use crate::code::mem;
use crate::geometry::Geometry;
use crate::kernel::{Access, Addresses, HostSink, HostSource, Kernel, Need};
use crate::streams::interval;
use sim_core::arch::ArchSpec;
use sim_core::program::{DType, Image, Instr, Program};

/// Buffer of a PE's two parts of the loss: `Σ weight · ln Σ e^logit`, the same in all columns of a
/// lane, and `Σ weight · logit of the target` of the targets that the PE's column has.
pub(super) const SUMS: &str = "loss.sums";
/// Stream of the sums.
const LOSS: &str = "loss";

/// The parts as memory.
pub(super) fn sums(access: Access) -> Need {
    Need::operand(SUMS, DType::F32, 2, access)
}

/// Adds the parts up down the columns; they leave at the south edge. The sink gets `loss` at `[]`:
/// the sum of `weight · (ln Σ e^logit − logit of the target)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LossSum;

impl Kernel for LossSum {
    fn name(&self) -> String {
        "loss sum".to_owned()
    }

    fn needs(&self, _g: &Geometry) -> Vec<Need> {
        vec![sums(Access::Read)]
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        let mut program = Program { name: self.name(), grid: Some(g.grid), ..Program::default() };
        lay_chain(&mut program, g, arch, LOSS, 2);
        let columns: Vec<u32> = (0..g.lane_columns()).collect();
        for rows in chain_rows(g) {
            let mut image = Image { name: "loss sum".to_owned(), ..Image::default() };
            image.buffers = buffers(&self.needs(g), at);
            rows.bind(&mut image);
            let send = Instr::Vec(rows.send(2, mem(DType::F32, at[SUMS], 2)));
            image.tasks = vec![main_task(vec![rows.start(), send])];
            place(&mut program, g, image, &columns, rows.rows);
        }
        program
    }

    fn feed(&self, _g: &Geometry, _stream: &str, _port: u32, _host: &dyn HostSource) -> Vec<u32> {
        vec![0; chain_wavelets(2) as usize]
    }

    fn collect(
        &self,
        g: &Geometry,
        _stream: &str,
        port: u32,
        words: &[u32],
        _host: &dyn HostSource,
        sink: &mut dyn HostSink,
    ) {
        let results = chain_results(words);
        let [sums, targets] = [results[0], results[1]];
        let sums = if port.is_multiple_of(g.lane_columns()) { sums } else { 0.0 };
        sink.add("loss", &[], sums - targets);
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let leave = chain_wavelets(2) * u64::from(interval(arch, g.used_columns()));
        u64::from(arch.edge_latency.value + 7 * g.used_rows()) + leave
    }
}
