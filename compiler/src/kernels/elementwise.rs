//! Sums, copies and constants of activations: no communication.
//!
//! **Invariant.** Operands of a kernel are windows of the same shape. Every result may take the
//! place of an operand.
//! **Not here.** Functions (`activation`).

use super::lanes::{buffers, main_task};
use super::price;
use super::window::{uniform, whole};
use crate::codegen::instr::{imm, vec};
use crate::cost::remembered;
use crate::kernel::{Access, ActivationView, Addresses, Kernel, Part, Requirement};
use crate::kernels::stencil::relabelled;
use crate::layout::{Features, Geometry};
use models::design::Decimal;
use sim_core::arch::ArchSpec;
use sim_core::program::{Image, Instr, Op, Operand, Program};

/// `out = a + b`; `out` may be `a` or `b`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Add {
    /// First summand.
    pub a: ActivationView,
    /// Second summand.
    pub b: ActivationView,
    /// The sum of the two.
    pub out: ActivationView,
}

relabelled!(Add { a, b, out });

/// `to = from`, converted if the types differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Copy {
    /// What is copied.
    pub from: ActivationView,
    /// Where it is written.
    pub to: ActivationView,
}

relabelled!(Copy { from, to });

/// `y = factor · x`; `y` may be `x`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scale {
    /// What is multiplied.
    pub x: ActivationView,
    /// The product with the factor.
    pub y: ActivationView,
    /// The factor.
    pub factor: Decimal,
}

relabelled!(Scale { x, y; factor });

/// `to = value`, padding included.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fill {
    /// Where it is written.
    pub to: ActivationView,
    /// The value, as a whole number.
    pub value: i16,
}

relabelled!(Fill { to; value });

/// What is needed of operands that may be the same buffer: each buffer once.
pub(super) fn operands(reads: &[&ActivationView], write: &ActivationView, update: bool) -> Vec<Requirement> {
    let covers = write.slots == write.all_slots && write.tokens == write.row;
    let aliased = reads.iter().any(|r| r.buffer == write.buffer);
    let access = if covers && !aliased && !update { Access::Write } else { Access::Update };
    let mut requirements = vec![write.requirement(access).on_either_side()];
    for read in reads {
        if requirements.iter().all(|n| n.buffer != read.buffer) {
            requirements.push(read.requirement(Access::Read).on_either_side());
        }
    }
    requirements
}

/// Checks that windows have the same shape.
pub(super) fn same_shape(what: &str, acts: &[&ActivationView]) {
    let shape = |a: &ActivationView| (a.slots, a.tokens);
    assert!(acts.windows(2).all(|w| shape(w[0]) == shape(w[1])), "{what}: windows differ in shape");
}

/// The part of a kernel all of whose windows are of `features`.
pub(super) fn part_of<K, const N: usize>(
    acts: [&ActivationView; N],
    (features, first, slots): (Features, u32, u32),
    kernel: impl Fn([ActivationView; N]) -> K,
) -> Part<K> {
    if acts.iter().any(|act| act.features != features) {
        return Part::Apart;
    }
    let parts: Vec<ActivationView> = acts.iter().filter_map(|act| act.part(first, slots)).collect();
    parts.try_into().map_or(Part::Nothing, |parts| Part::Of(kernel(parts)))
}

/// A kernel of one image without communication.
pub(super) fn local(kernel: &dyn Kernel, g: &Geometry, at: &Addresses, body: Vec<Instr>) -> Program {
    let name = kernel.name();
    let buffers = buffers(&kernel.requirements(g), at);
    let image = Image { name: name.clone(), buffers, tasks: vec![main_task(body)], ..Image::default() };
    uniform(name, g.grid, g.used(), image)
}

/// One instruction over whole windows.
fn one(op: Op, dst: &ActivationView, src: &[&ActivationView], at: &Addresses) -> Vec<Instr> {
    let view = |act: &ActivationView| -> Operand { whole(act, at, act.slots) };
    let sources: Vec<Operand> = src.iter().map(|act| view(act)).collect();
    vec![vec(op, dst.slots * dst.tokens, view(dst), &sources)]
}

impl Kernel for Add {
    fn name(&self) -> String {
        "add".to_owned()
    }

    fn requirements(&self, _g: &Geometry) -> Vec<Requirement> {
        operands(&[&self.a, &self.b], &self.out, false)
    }

    fn program(&self, g: &Geometry, _arch: &ArchSpec, at: &Addresses) -> Program {
        same_shape("add", &[&self.a, &self.b, &self.out]);
        local(self, g, at, one(Op::Add, &self.out, &[&self.a, &self.b], at))
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let key = [&self.a, &self.b, &self.out].map(price::shape);
        remembered(arch, ("add", key), || price::whole(self, g, arch, &[]))
    }
}

impl Kernel for Copy {
    fn name(&self) -> String {
        "copy".to_owned()
    }

    fn requirements(&self, _g: &Geometry) -> Vec<Requirement> {
        operands(&[&self.from], &self.to, false)
    }

    fn program(&self, g: &Geometry, _arch: &ArchSpec, at: &Addresses) -> Program {
        same_shape("copy", &[&self.from, &self.to]);
        local(self, g, at, one(Op::Mov, &self.to, &[&self.from], at))
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let key = [&self.from, &self.to].map(price::shape);
        remembered(arch, ("copy", key), || price::whole(self, g, arch, &[]))
    }
}

impl Kernel for Scale {
    fn name(&self) -> String {
        "scale".to_owned()
    }

    fn requirements(&self, _g: &Geometry) -> Vec<Requirement> {
        operands(&[&self.x], &self.y, false)
    }

    fn program(&self, g: &Geometry, _arch: &ArchSpec, at: &Addresses) -> Program {
        same_shape("scale", &[&self.x, &self.y]);
        let [x, y] = [&self.x, &self.y].map(|act| whole(act, at, act.slots));
        let factor = imm(self.factor.value() as f32);
        local(self, g, at, vec![vec(Op::Mul, self.x.slots * self.x.tokens, y, &[x, factor])])
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let key = [&self.x, &self.y].map(price::shape);
        remembered(arch, ("scale", key), || price::whole(self, g, arch, &[]))
    }
}

impl Kernel for Fill {
    fn name(&self) -> String {
        "fill".to_owned()
    }

    fn requirements(&self, _g: &Geometry) -> Vec<Requirement> {
        operands(&[], &self.to, false)
    }

    fn program(&self, g: &Geometry, _arch: &ArchSpec, at: &Addresses) -> Program {
        let to = whole(&self.to, at, self.to.slots);
        let value = imm(f32::from(self.value));
        local(self, g, at, vec![vec(Op::Mov, self.to.slots * self.to.tokens, to, &[value])])
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let key = [&self.to].map(price::shape);
        remembered(arch, ("fill", key), || price::whole(self, g, arch, &[]))
    }
}
