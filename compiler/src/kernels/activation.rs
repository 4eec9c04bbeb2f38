//! Activation functions and their gradients, of one operand or gated: no communication.
//!
//! **Invariant.** Operands of a kernel are windows of the same shape. Every result may take the
//! place of an operand, unless its field says otherwise.
//! **Not here.** How exponentials and inverses are computed (`math`).

use super::by_features::by_features;
use super::elementwise::{local, operands, part_of, same_shape};
use super::price;
use super::window::{Moving, chunk_slots, sweep};
use crate::banks::Side;
use crate::codegen::instr::{imm, mem, vec_of};
use crate::codegen::math::{self, Scratch};
use crate::cost::remembered;
use crate::kernel::{ActivationView, Addresses, Kernel, Part, Requirement};
use crate::kernels::stencil::relabelled;
use crate::layout::{Features, Geometry};
use sim_core::arch::ArchSpec;
use sim_core::program::{AddrReg, DType, Instr, Op, Operand, Program};

/// Vectors of scratch, like the operand and apart: of exact GELU, of functions by the logistic one,
/// and of the gradient of SwiGLU.
const GELU: (u32, u32) = (2, 3);
const LOGISTIC: (u32, u32) = (3, 2);
const GATED: (u32, u32) = (3, 3);
/// √(8/π): twice the factor in GELU by the hyperbolic tangent.
const BEND: f32 = 1.5957692;
/// The factor of the third power in it.
const CUBE: f32 = 0.044_715;

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// Exact GELU, `x Φ(x)`.
    Gelu,
    /// GELU by the hyperbolic tangent: `x σ(√(8/π) (x + 0.044715 x³))`.
    GeluTanh,
    /// Hyperbolic tangent, `σ(2x) (1 − e^−2x)`.
    Tanh,
}

/// `y = f(x)`; `y` may be `x`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Activation {
    /// The function.
    pub f: Function,
    /// The function's argument.
    pub x: ActivationView,
    /// The function's result.
    pub y: ActivationView,
}

relabelled!(Activation { x, y; f });
by_features!(Activation);

/// `dx = dy · f'`; `dx` may be `dy` or `x`. All are of one type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ActivationGrad {
    /// The function.
    pub f: Function,
    /// Input of the forward pass; its output for [`Function::Tanh`].
    pub x: ActivationView,
    /// Gradient of its output.
    pub dy: ActivationView,
    /// Gradient of its input.
    pub dx: ActivationView,
}

relabelled!(ActivationGrad { x, dy, dx; f });
by_features!(ActivationGrad);

/// `y = SiLU(gate) · up`, with `SiLU(x) = x σ(x)`; `y` may be an operand.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SwiGlu {
    /// What goes through SiLU.
    pub gate: ActivationView,
    /// What it is multiplied by.
    pub up: ActivationView,
    /// The function's result.
    pub y: ActivationView,
}

relabelled!(SwiGlu { gate, up, y });
by_features!(SwiGlu);

/// Gradients of the operands of [`SwiGlu`]. All are of one type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SwiGluGrad {
    /// As in [`SwiGlu`].
    pub gate: ActivationView,
    /// As in [`SwiGlu`].
    pub up: ActivationView,
    /// Gradient of the output.
    pub dy: ActivationView,
    /// Gradient of `gate`; may be `gate` or `up`.
    pub d_gate: ActivationView,
    /// Gradient of `up`; may be any operand but the one that `d_gate` is.
    pub d_up: ActivationView,
}

relabelled!(SwiGluGrad { gate, up, dy, d_gate, d_up });
by_features!(SwiGluGrad);

fn scratch_need(g: &Geometry, x: &ActivationView, vectors: (u32, u32)) -> Requirement {
    let len = chunk_slots(x.slots, x.tokens) * x.tokens;
    Requirement::scratch(".f", DType::F32, Scratch::elements(g.banks, len, vectors), Side::Near)
}

/// The vectors of scratch, for chunks of `len` elements.
struct Vectors {
    len: u32,
    scratch: Scratch,
}

impl Vectors {
    fn like(&self, i: usize) -> Operand {
        mem(DType::F32, self.scratch.like(i), self.len)
    }

    fn apart(&self, i: usize) -> Operand {
        mem(DType::F32, self.scratch.apart(i), self.len)
    }

    fn op(&self, op: Op, dst: &Operand, src: &[&Operand]) -> Instr {
        vec_of(op, self.len, dst, src)
    }
}

/// Code over all windows of a kernel, chunk by chunk: `chunk` gets the windows' chunks, and scratch.
fn program(
    kernel: &dyn Kernel,
    g: &Geometry,
    at: &Addresses,
    (acts, vectors): (&[&ActivationView], (u32, u32)),
    chunk: &dyn Fn(&[Operand], &Vectors) -> Vec<Instr>,
) -> Program {
    same_shape(&kernel.name(), acts);
    let x = acts[0];
    let per = chunk_slots(x.slots, x.tokens);
    let scratch = || Scratch::new(g.banks, at[".f"], per * x.tokens, Side::of(x.dtype), vectors);
    let windows: Vec<Moving<'_>> = acts.iter().zip(0..).map(|(&act, i)| Moving { act, reg: AddrReg(i) }).collect();
    let body = sweep((x.slots, per), &windows, &[], |slots| {
        let chunks: Vec<Operand> = windows.iter().map(|w| w.chunk(at, slots)).collect();
        chunk(&chunks, &Vectors { len: slots * x.tokens, scratch: scratch() })
    });
    local(kernel, g, at, body)
}

/// Leaves `√(8/π) (x + 0.044715 x³)` in like 0.
fn bent(v: &Vectors, x: &Operand) -> Vec<Instr> {
    let (p, z) = (&v.apart(0), &v.like(0));
    vec![v.op(Op::Mul, p, &[x, x]), v.op(Op::Fmac, p, &[&imm(BEND), p, &imm(BEND * CUBE)]), v.op(Op::Mul, z, &[x, p])]
}

impl Function {
    fn vectors(self) -> (u32, u32) {
        if self == Function::Gelu { GELU } else { LOGISTIC }
    }

    fn forward(self, x: &Operand, y: &Operand, v: &Vectors) -> Vec<Instr> {
        let mut code = Vec::new();
        let (z, sigmoid) = (&v.like(0), &v.apart(0));
        match self {
            Function::Gelu => math::gelu(&mut code, v.len, x, y, &v.scratch),
            Function::GeluTanh => {
                code.extend(bent(v, x));
                math::logistic(&mut code, v.len, z, &v.scratch);
                code.push(v.op(Op::Mul, y, &[x, sigmoid]));
            }
            Function::Tanh => {
                code.push(v.op(Op::Mul, z, &[x, &imm(2.0)]));
                math::logistic(&mut code, v.len, z, &v.scratch);
                code.push(v.op(Op::Sub, z, &[&imm(1.0), z]));
                code.push(v.op(Op::Mul, y, &[z, sigmoid]));
            }
        }
        code
    }

    fn backward(self, x: &Operand, dy: &Operand, dx: &Operand, v: &Vectors) -> Vec<Instr> {
        let mut code = Vec::new();
        let (z, sigmoid, p) = (&v.like(0), &v.apart(0), &v.apart(1));
        match self {
            Function::Gelu => math::gelu_grad(&mut code, v.len, x, dy, dx, &v.scratch),
            Function::GeluTanh => {
                // σ + σ (1 − σ) x z', with 1 − σ = σ e^−z: a difference would lose too much.
                code.extend(bent(v, x));
                math::logistic(&mut code, v.len, z, &v.scratch);
                let t = &v.like(1);
                code.extend([
                    v.op(Op::Mul, t, &[z, sigmoid]),
                    v.op(Op::Mul, t, &[t, sigmoid]),
                    v.op(Op::Mul, p, &[x, x]),
                    v.op(Op::Fmac, p, &[&imm(BEND), p, &imm(3.0 * BEND * CUBE)]),
                    v.op(Op::Mul, p, &[x, p]),
                    v.op(Op::Mul, z, &[t, p]),
                    v.op(Op::Add, sigmoid, &[sigmoid, z]),
                    v.op(Op::Mul, dx, &[dy, sigmoid]),
                ]);
            }
            Function::Tanh => {
                code.extend([v.op(Op::Mul, p, &[x, x]), v.op(Op::Sub, p, &[&imm(1.0), p]), v.op(Op::Mul, dx, &[dy, p])])
            }
        }
        code
    }

    fn name(self) -> &'static str {
        match self {
            Function::Gelu => "gelu",
            Function::GeluTanh => "gelu tanh",
            Function::Tanh => "tanh",
        }
    }
}

impl Activation {
    /// What is left of the kernel if buffers of `features` hold only `slots` slots, from `first` on.
    pub(crate) fn part(&self, features: Features, first: u32, slots: u32) -> Part<Self> {
        let acts = [&self.x, &self.y];
        part_of(acts, (features, first, slots), |[x, y]| Activation { f: self.f, x, y })
    }
}

impl Kernel for Activation {
    fn name(&self) -> String {
        self.f.name().to_owned()
    }

    fn requirements(&self, g: &Geometry) -> Vec<Requirement> {
        let mut requirements = operands(&[&self.x], &self.y, false);
        requirements.push(scratch_need(g, &self.x, self.f.vectors()));
        requirements
    }

    fn program(&self, g: &Geometry, _arch: &ArchSpec, at: &Addresses) -> Program {
        program(self, g, at, (&[&self.x, &self.y], self.f.vectors()), &|w, v| self.f.forward(&w[0], &w[1], v))
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let key = [&self.x, &self.y].map(price::shape);
        remembered(arch, (self.f, key), || price::whole(self, g, arch, &[]))
    }
}

impl ActivationGrad {
    /// What is left of the kernel if buffers of `features` hold only `slots` slots, from `first` on.
    pub(crate) fn part(&self, features: Features, first: u32, slots: u32) -> Part<Self> {
        let acts = [&self.x, &self.dy, &self.dx];
        part_of(acts, (features, first, slots), |[x, dy, dx]| ActivationGrad { f: self.f, x, dy, dx })
    }
}

impl Kernel for ActivationGrad {
    fn name(&self) -> String {
        format!("{} grad", self.f.name())
    }

    fn requirements(&self, g: &Geometry) -> Vec<Requirement> {
        let mut requirements = operands(&[&self.x, &self.dy], &self.dx, false);
        requirements.push(scratch_need(g, &self.x, self.f.vectors()));
        requirements
    }

    fn program(&self, g: &Geometry, _arch: &ArchSpec, at: &Addresses) -> Program {
        let acts = [&self.x, &self.dy, &self.dx];
        program(self, g, at, (&acts, self.f.vectors()), &|w, v| self.f.backward(&w[0], &w[1], &w[2], v))
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let key = [&self.x, &self.dy, &self.dx].map(price::shape);
        remembered(arch, (self.f, key), || price::whole(self, g, arch, &[]))
    }
}

impl SwiGlu {
    /// What is left of the kernel if buffers of `features` hold only `slots` slots, from `first` on.
    pub(crate) fn part(&self, features: Features, first: u32, slots: u32) -> Part<Self> {
        let acts = [&self.gate, &self.up, &self.y];
        part_of(acts, (features, first, slots), |[gate, up, y]| SwiGlu { gate, up, y })
    }
}

impl Kernel for SwiGlu {
    fn name(&self) -> String {
        "swiglu".to_owned()
    }

    fn requirements(&self, g: &Geometry) -> Vec<Requirement> {
        let mut requirements = operands(&[&self.gate, &self.up], &self.y, false);
        requirements.push(scratch_need(g, &self.gate, LOGISTIC));
        requirements
    }

    fn program(&self, g: &Geometry, _arch: &ArchSpec, at: &Addresses) -> Program {
        program(self, g, at, (&[&self.gate, &self.up, &self.y], LOGISTIC), &|w, v| {
            let mut code = Vec::new();
            math::logistic(&mut code, v.len, &w[0], &v.scratch);
            code.push(v.op(Op::Mul, &v.apart(0), &[&w[0], &v.apart(0)]));
            code.push(v.op(Op::Mul, &w[2], &[&w[1], &v.apart(0)]));
            code
        })
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let key = [&self.gate, &self.up, &self.y].map(price::shape);
        remembered(arch, ("swiglu", key), || price::whole(self, g, arch, &[]))
    }
}

impl SwiGluGrad {
    /// What is left of the kernel if buffers of `features` hold only `slots` slots, from `first` on.
    pub(crate) fn part(&self, features: Features, first: u32, slots: u32) -> Part<Self> {
        let acts = [&self.gate, &self.up, &self.dy, &self.d_gate, &self.d_up];
        part_of(acts, (features, first, slots), |[gate, up, dy, d_gate, d_up]| SwiGluGrad {
            gate,
            up,
            dy,
            d_gate,
            d_up,
        })
    }
}

impl Kernel for SwiGluGrad {
    fn name(&self) -> String {
        "swiglu grad".to_owned()
    }

    fn requirements(&self, g: &Geometry) -> Vec<Requirement> {
        let mut requirements = operands(&[&self.gate, &self.up, &self.dy], &self.d_gate, false);
        for requirement in operands(&[&self.gate, &self.up, &self.dy], &self.d_up, false) {
            match requirements.iter_mut().find(|n| n.buffer == requirement.buffer) {
                // Written under one name, read under the other.
                Some(known) if requirement.buffer == self.d_up.buffer => known.access = requirement.access,
                Some(_) => {}
                None => requirements.push(requirement),
            }
        }
        requirements.push(scratch_need(g, &self.gate, GATED));
        requirements
    }

    fn program(&self, g: &Geometry, _arch: &ArchSpec, at: &Addresses) -> Program {
        let acts = [&self.gate, &self.up, &self.dy, &self.d_gate, &self.d_up];
        program(self, g, at, (&acts, GATED), &|w, v| {
            let [gate, up, dy, d_gate, d_up] = [&w[0], &w[1], &w[2], &w[3], &w[4]];
            let mut code = Vec::new();
            math::logistic(&mut code, v.len, gate, &v.scratch);
            let (sigmoid, p, last) = (&v.apart(0), &v.apart(1), &v.apart(2));
            let (t, silu) = (&v.like(0), &v.like(1));
            code.extend([
                v.op(Op::Mul, silu, &[gate, sigmoid]),
                // σ + SiLU − SiLU σ
                v.op(Op::Mul, t, &[silu, sigmoid]),
                v.op(Op::Add, p, &[silu, sigmoid]),
                v.op(Op::Sub, p, &[p, t]),
                v.op(Op::Mul, p, &[dy, p]),
                v.op(Op::Mov, last, &[silu]),
                v.op(Op::Mul, last, &[dy, last]),
                // Everything is read before anything is written.
                v.op(Op::Mul, d_gate, &[up, p]),
                v.op(Op::Mov, d_up, &[last]),
            ]);
            code
        })
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let key = [&self.gate, &self.up, &self.dy, &self.d_gate, &self.d_up].map(price::shape);
        remembered(arch, ("swiglu grad", key), || price::whole(self, g, arch, &[]))
    }
}
