//! GELU and its derivative, sums and copies of activations: no communication.
//!
//! **Invariant.** Operands of a kernel are windows of the same shape. Every result may take the
//! place of an operand.
//! **Not here.** How the functions are computed (`math`).

use super::lanes::{buffers, main_task};
use super::window::{Moving, chunk_slots, sweep, uniform, whole};
use crate::code::vec;
use crate::geometry::Geometry;
use crate::kernel::{Access, Act, Addresses, Kernel, Need};
use crate::math::{self, Scratch};
use sim_core::arch::ArchSpec;
use sim_core::program::{AddrReg, DType, Image, Instr, Op, Operand, Program};

/// Vectors of scratch of GELU and its derivative: like the operand, and apart.
const VECTORS: (u32, u32) = (2, 3);

/// `y = gelu(x)`; `y` may be `x`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gelu {
    /// Input.
    pub x: Act,
    /// Output.
    pub y: Act,
}

/// `dx = dy · gelu'(x)`; `dx` may be `dy` or `x`. All are of one type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GeluGrad {
    /// Input of the forward pass.
    pub x: Act,
    /// Gradient of its output.
    pub dy: Act,
    /// Gradient of its input.
    pub dx: Act,
}

/// `out = a + b`; `out` may be `a` or `b`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Add {
    /// First summand.
    pub a: Act,
    /// Second summand.
    pub b: Act,
    /// Sum.
    pub out: Act,
}

/// `to = from`, converted if the types differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Copy {
    /// Source.
    pub from: Act,
    /// Destination.
    pub to: Act,
}

/// What is needed of operands that may be the same buffer: each buffer once.
pub(super) fn operands(reads: &[&Act], write: &Act, update: bool) -> Vec<Need> {
    let covers = write.slots == write.all_slots && write.tokens == write.row;
    let aliased = reads.iter().any(|r| r.name == write.name);
    let access = if covers && !aliased && !update { Access::Write } else { Access::Update };
    let mut needs = vec![write.need(access)];
    for read in reads {
        if needs.iter().all(|n| n.name != read.name) {
            needs.push(read.need(Access::Read));
        }
    }
    needs
}

/// Checks that windows have the same shape.
pub(super) fn same_shape(what: &str, acts: &[&Act]) {
    let shape = |a: &Act| (a.slots, a.tokens);
    assert!(acts.windows(2).all(|w| shape(w[0]) == shape(w[1])), "{what}: windows differ in shape");
}

/// Address modulo 8 of a window's buffer.
pub(super) fn phase(act: &Act) -> u32 {
    act.need(Access::Read).phase
}

/// Elements of a chunk of a window.
fn chunk_len(act: &Act) -> u32 {
    chunk_slots(act.slots, act.tokens) * act.tokens
}

/// Scratch of GELU and its derivative on a window.
fn scratch_need(x: &Act) -> Need {
    Need::scratch(".f", DType::F32, Scratch::elements(chunk_len(x), VECTORS.0, VECTORS.1), 0)
}

fn scratch(x: &Act, at: &Addresses) -> Scratch {
    Scratch::new(at[".f"], chunk_len(x), phase(x), VECTORS.0, VECTORS.1)
}

/// A kernel of one image without communication.
fn local(kernel: &dyn Kernel, g: &Geometry, at: &Addresses, body: Vec<Instr>) -> Program {
    let name = kernel.name();
    let buffers = buffers(&kernel.needs(g), at);
    let image = Image { name: name.clone(), buffers, tasks: vec![main_task(body)], ..Image::default() };
    uniform(name, g.grid, g.used(), image)
}

fn register<'a>(act: &'a Act, i: u8) -> Moving<'a> {
    Moving { act, reg: AddrReg(i) }
}

impl Kernel for Gelu {
    fn name(&self) -> String {
        "gelu".to_owned()
    }

    fn needs(&self, _g: &Geometry) -> Vec<Need> {
        let mut needs = operands(&[&self.x], &self.y, false);
        needs.push(scratch_need(&self.x));
        needs
    }

    fn program(&self, g: &Geometry, _arch: &ArchSpec, at: &Addresses) -> Program {
        same_shape("gelu", &[&self.x, &self.y]);
        let (x, y) = (register(&self.x, 0), register(&self.y, 1));
        let scratch = scratch(&self.x, at);
        let per = chunk_slots(self.x.slots, self.x.tokens);
        let body = sweep((self.x.slots, per), &[x, y], &[], |slots| {
            let mut code = Vec::new();
            math::gelu(&mut code, slots * self.x.tokens, &x.chunk(at, slots), &y.chunk(at, slots), &scratch);
            code
        });
        local(self, g, at, body)
    }

    fn estimate(&self, _g: &Geometry, _arch: &ArchSpec) -> u64 {
        36 * u64::from(self.x.slots * self.x.tokens) + 300
    }
}

impl Kernel for GeluGrad {
    fn name(&self) -> String {
        "gelu grad".to_owned()
    }

    fn needs(&self, _g: &Geometry) -> Vec<Need> {
        let mut needs = operands(&[&self.x, &self.dy], &self.dx, false);
        needs.push(scratch_need(&self.x));
        needs
    }

    fn program(&self, g: &Geometry, _arch: &ArchSpec, at: &Addresses) -> Program {
        same_shape("gelu grad", &[&self.x, &self.dy, &self.dx]);
        let [x, dy, dx] = [(&self.x, 0), (&self.dy, 1), (&self.dx, 2)].map(|(act, i)| register(act, i));
        let scratch = scratch(&self.x, at);
        let per = chunk_slots(self.x.slots, self.x.tokens);
        let body = sweep((self.x.slots, per), &[x, dy, dx], &[], |slots| {
            let [x, dy, dx] = [x, dy, dx].map(|w| w.chunk(at, slots));
            let mut code = Vec::new();
            math::gelu_grad(&mut code, slots * self.x.tokens, &x, &dy, &dx, &scratch);
            code
        });
        local(self, g, at, body)
    }

    fn estimate(&self, _g: &Geometry, _arch: &ArchSpec) -> u64 {
        40 * u64::from(self.x.slots * self.x.tokens) + 300
    }
}

/// One instruction over whole windows.
fn one(op: Op, dst: &Act, src: &[&Act], at: &Addresses) -> Vec<Instr> {
    let view = |act: &Act| -> Operand { whole(act, at, act.slots) };
    let sources: Vec<Operand> = src.iter().map(|act| view(act)).collect();
    vec![vec(op, dst.slots * dst.tokens, view(dst), &sources)]
}

impl Kernel for Add {
    fn name(&self) -> String {
        "add".to_owned()
    }

    fn needs(&self, _g: &Geometry) -> Vec<Need> {
        operands(&[&self.a, &self.b], &self.out, false)
    }

    fn program(&self, g: &Geometry, _arch: &ArchSpec, at: &Addresses) -> Program {
        same_shape("add", &[&self.a, &self.b, &self.out]);
        local(self, g, at, one(Op::Add, &self.out, &[&self.a, &self.b], at))
    }

    fn estimate(&self, _g: &Geometry, _arch: &ArchSpec) -> u64 {
        u64::from(self.out.slots * self.out.tokens) + 10
    }
}

impl Kernel for Copy {
    fn name(&self) -> String {
        "copy".to_owned()
    }

    fn needs(&self, _g: &Geometry) -> Vec<Need> {
        operands(&[&self.from], &self.to, false)
    }

    fn program(&self, g: &Geometry, _arch: &ArchSpec, at: &Addresses) -> Program {
        same_shape("copy", &[&self.from, &self.to]);
        local(self, g, at, one(Op::Mov, &self.to, &[&self.from], at))
    }

    fn estimate(&self, _g: &Geometry, _arch: &ArchSpec) -> u64 {
        u64::from(self.to.slots * self.to.tokens / 2) + 10
    }
}
