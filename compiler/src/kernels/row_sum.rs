//! The sum over the rows of the mesh of a vector that every PE has: parts of the loss, and gradients of a norm's
//! parameters.
//!
//! The kernels that make these parts (`loss`, `norm`) treat every row alike and independently, so that rows fold. What
//! has to be summed over rows is therefore summed afterwards, by a kernel of its own.
//!
//! **Invariant.** A PE's parts are those that the kernel before left.
//! **Not here.** The parts; the sum over columns and lanes, which is the host's.

use super::affine::{Style, padded};
use super::lanes::{buffers, chain_rows, chain_wavelets, lay_chain, main_task, place, results};
use super::price;
use super::reduce::Levels;
use crate::banks::Side;
use crate::codegen::instr::mem;
use crate::codegen::resources::{Use, Uses};
use crate::codegen::streams::interval;
use crate::cost::remembered;
use crate::ids::{BufferId, TensorId};
use crate::kernel::{Access, ActivationView, Addresses, HostSink, HostSource, Kernel, Requirement};
use crate::kernels::stencil::relabelled;
use crate::kernels::stencil::{Relabel, Relabelled};
use crate::layout::Geometry;
use crate::options::Reduction;
use models::graph::Module;
use sim_core::arch::ArchSpec;
use sim_core::program::{DType, Image, Instr, Program};

/// Stream of the sums.
const SUMS: &str = "sums";

/// Adds a vector of f32 numbers of every PE up down the columns; the sums leave at the south edge.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowSum {
    /// What the numbers are.
    pub parts: Parts,
    /// Levels in which rows are summed; else they are by a chain.
    pub levels: Option<Levels>,
}

relabelled!(RowSum { parts; levels });

/// The meaning of the numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Parts {
    /// `Σ weight · ln Σ e^logit`, the same in all columns of a lane, and `Σ weight · logit of the
    /// target` of the targets that the PE's column has. The sink gets `loss` at `[]`: the sum of
    /// `weight · (ln Σ e^logit − logit of the target)`.
    Loss,
    /// Gradients of the γ and, of a norm that has one, of the β. The sink gets the module's weight
    /// and bias.
    Affine {
        /// Whose parameters they are.
        module: Module,
        /// The features that they belong to.
        x: ActivationView,
        /// Which norm it is.
        style: Style,
    },
}

impl Relabelled for Parts {
    fn relabelled(&self, with: &mut dyn Relabel) -> Self {
        match self {
            Parts::Loss => Parts::Loss,
            Parts::Affine { module, x, style } => {
                Parts::Affine { module: module.relabelled(with), x: x.relabelled(with), style: *style }
            }
        }
    }
}

impl Parts {
    fn len(&self) -> u32 {
        match self {
            Parts::Loss => 2,
            Parts::Affine { x, style, .. } => style.parameters() * padded(x.slots),
        }
    }

    /// Their buffer.
    pub(super) fn buffer(&self) -> BufferId {
        match self {
            Parts::Loss => BufferId::LossParts,
            Parts::Affine { .. } => BufferId::NormParts,
        }
    }

    /// The memory that they take; on the other side of the banks than `x`, with which gradients are summed.
    pub(super) fn requirement(&self, access: Access) -> Requirement {
        let side = match self {
            Parts::Loss => Side::Near,
            Parts::Affine { x, .. } => Side::of(x.dtype).other(),
        };
        Requirement { side, ..Requirement::operand(self.buffer(), DType::F32, self.len(), access) }
    }
}

impl RowSum {
    /// The sum as a reduction of a kind, or as the fastest one that is no chain.
    #[must_use]
    pub fn reduced(&self, g: &Geometry, arch: &ArchSpec, kind: Option<Reduction>) -> Self {
        RowSum { levels: Levels::of(g, arch, self.parts.len(), kind), ..self.clone() }
    }

    /// How it sums over the rows.
    pub fn reduction(&self) -> Reduction {
        self.levels.as_ref().map_or(Reduction::Chain, Levels::kind)
    }
}

impl Kernel for RowSum {
    fn name(&self) -> String {
        match &self.parts {
            Parts::Loss => "loss sum".to_owned(),
            Parts::Affine { module, .. } => format!("norm grad sum {}", module.kind.name()),
        }
    }

    fn requirements(&self, _g: &Geometry) -> Vec<Requirement> {
        // Levels add in place.
        vec![self.parts.requirement(if self.levels.is_some() { Access::Update } else { Access::Read })]
    }

    fn uses(&self, _g: &Geometry) -> Uses {
        let ports = self.levels.as_ref().map_or_else(|| vec![Use::Chain], Levels::uses);
        Uses { ports, ..Uses::default() }
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        let len = self.parts.len();
        let mut program = Program { name: self.name(), grid: Some(g.grid), ..Program::default() };
        let parts = mem(DType::F32, at[self.parts.buffer()], len);
        let ports = self.ports(g, arch);
        if let Some(levels) = &self.levels {
            levels.lay(&mut program, (g, arch), &ports, (SUMS, u64::from(len)), |role| {
                let tasks = vec![main_task(role.pass(len, &parts))];
                Image {
                    name: "row sum".to_owned(),
                    buffers: buffers(&self.requirements(g), at),
                    tasks,
                    ..Image::default()
                }
            });
            return program;
        }
        lay_chain(&mut program, g, (arch, &ports), SUMS, u64::from(len));
        let columns: Vec<u32> = (0..g.lane_columns()).collect();
        for rows in chain_rows(g, &ports) {
            let mut image = Image { name: "row sum".to_owned(), ..Image::default() };
            image.buffers = buffers(&self.requirements(g), at);
            rows.bind(&mut image);
            let send = Instr::Vec(rows.send(len, parts.clone()));
            image.tasks = vec![main_task(vec![rows.start(), send])];
            place(&mut program, g, image, &columns, rows.rows);
        }
        program
    }

    fn feed(&self, _g: &Geometry, _stream: &str, _port: u32, _host: &dyn HostSource) -> Vec<u32> {
        vec![0; chain_wavelets(u64::from(self.parts.len())) as usize]
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
        let ahead = usize::from(self.levels.is_none());
        let (results, column) = (results(words, ahead), port % g.lane_columns());
        match &self.parts {
            Parts::Loss => {
                let [sums, targets] = [results[0], results[1]];
                let sums = if column == 0 { sums } else { 0.0 };
                sink.add(TensorId::Loss, &[], sums - targets);
            }
            Parts::Affine { module, x, .. } => {
                let parts = results.chunks(padded(x.slots) as usize);
                for (part, tensor) in parts.zip([module.weight(), module.bias()]) {
                    for (slot, &value) in (0..x.slots).zip(part) {
                        if let Some(i) = x.feature(g, column, slot) {
                            sink.add(tensor.into(), &[i], value);
                        }
                    }
                }
            }
        }
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let len = self.parts.len();
        if let Some(levels) = &self.levels {
            return levels.estimate(g, arch, len);
        }
        let chain = || price::whole(self, g, arch, &price::chain(g, arch, &self.ports(g, arch)));
        let key = ("row sum", len, interval(arch, g.used_columns()));
        remembered(arch, key, chain) + price::rows_of_chain(g, arch)
    }
}
