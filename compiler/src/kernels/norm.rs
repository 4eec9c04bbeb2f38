//! LayerNorm and RMSNorm over the hidden features of every token, and their gradients.
//!
//! Sums over a PE's features are added up over the lane's row; statistics are f32 whatever the
//! type of the activations. Only real features count: padding slots of `x` hold zeros.
//!
//! **Invariant.** Vectors of one type that are read together start on different sides of the banks (rule C5):
//! activations and `.tmp` are *like* `x`, everything else is *apart*.
//! **Not here.** Sums of the parameters' gradients over rows (`row_sum`).

use super::affine::{Style, padded};
use super::elementwise::{operands, same_shape};
use super::lanes::{buffers, main_task, place};
use super::price;
use super::row_sum::Parts;
use super::window::{Moving, chunk_slots, per_slot, per_token, sweep};
use crate::banks::{Banks, Side};
use crate::codegen::instr::{at as moving, fab, grid, imm, mem, op, spawn, vec};
use crate::codegen::math::{self, Scratch};
use crate::codegen::resources::{Ports, Use, Uses, address_registers, microthreads};
use crate::codegen::row::{RowClass, RowReduce};
use crate::codegen::streams::{broadcast_south, feed_north, interval};
use crate::cost::remembered;
use crate::ids::BufferId;
use crate::kernel::{Access, ActivationView, Addresses, HostSource, Kernel, Requirement};
use crate::kernels::stencil::relabelled;
use crate::layout::Geometry;
use models::graph::{Module, Parameter};
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Span};
use sim_core::program::{DType, Image, Instr, Op, Operand, Program};

/// Stream of γ and β.
const AFFINE: &str = "affine";

microthreads! { MICROTHREADS:
    /// Receives γ and β.
    LOADER = "parameters",
}

address_registers! {
    // Bytes from the first slot: of `x`, of the second and the third window, of vectors with a number per slot.
    X_REG, SECOND_REG, THIRD_REG, SLOT_REG,
}

/// `y = (x − mean) / sqrt(variance + ε) · γ + β` over the real features of every token, where a norm that does not
/// centre has 0 for the mean and one without bias has no β; `y` may be `x`. Padding features become zero.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LayerNorm {
    /// Input, hidden features.
    pub x: ActivationView,
    /// The normalised activation.
    pub y: ActivationView,
    /// Whose parameters they are.
    pub module: Module,
    /// Which norm it is.
    pub style: Style,
}

relabelled!(LayerNorm { x, y, module; style });

/// The gradient of [`LayerNorm`] by its input, and every PE's part of that by its parameters (for
/// [`super::row_sum::RowSum`]); `dx` may be `dy`. Padding features of `dx` become something finite.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LayerNormGrad {
    /// Input of the forward pass.
    pub x: ActivationView,
    /// Gradient of the output, of the type of `x`.
    pub dy: ActivationView,
    /// Gradient of the input.
    pub dx: ActivationView,
    /// As in [`LayerNorm`].
    pub module: Module,
    /// Whether the gradient is added to `dx` instead of replacing it.
    pub add: bool,
    /// Which norm it is.
    pub style: Style,
}

relabelled!(LayerNormGrad { x, dy, dx, module; add, style });

/// Addresses and views of what both directions use.
struct Frame<'a> {
    x: Moving<'a>,
    at: &'a Addresses,
    banks: Banks,
    /// Slots of a chunk.
    per: u32,
    /// 1 / features.
    share: f32,
    style: Style,
    /// Color on which parameters come.
    parameters: Color,
}

impl<'a> Frame<'a> {
    fn new(g: &Geometry, x: &'a ActivationView, at: &'a Addresses, (style, parameters): (Style, Color)) -> Frame<'a> {
        let (per, share) = (chunk_slots(x.slots, x.tokens), 1.0 / g.model.d_model as f32);
        Frame { x: Moving { act: x, reg: X_REG }, at, banks: g.banks, per, share, style, parameters }
    }

    fn tokens(&self) -> u32 {
        self.x.act.tokens
    }

    /// Address of the `i`-th vector of numbers per token.
    fn stat(&self, i: u32) -> u32 {
        self.at[".stats"] + 4 * i * self.tokens()
    }

    /// The `i`-th vector of numbers per token, for each of `slots` slots.
    fn stats(&self, i: u32, slots: u32) -> Operand {
        per_token(self.stat(i), slots, self.tokens())
    }

    /// γ of the current chunk (or β, for `i` 1), for every token.
    fn affine(&self, i: u32, slots: u32) -> Operand {
        let addr = self.at[".affine"] + 4 * i * padded(self.x.act.slots);
        moving(SLOT_REG, per_slot(addr, slots, self.tokens()))
    }

    fn scratch(&self, name: &'static str, slots: u32) -> Operand {
        mem(DType::F32, self.at[name], slots * self.tokens())
    }

    /// Receives `count` vectors of numbers per slot.
    fn load(&self, count: u32) -> Instr {
        let len = count * padded(self.x.act.slots);
        let to = mem(DType::F32, self.at[".affine"], len);
        spawn(LOADER, op(Op::Mov, len, to, &[fab(self.parameters, DType::F32)]))
    }

    fn zero(&self, buffer: BufferId, len: u32) -> Instr {
        vec(Op::Mov, len, mem(DType::F32, self.at[buffer], len), &[imm(0.0)])
    }

    /// Adds the sums and the sums of squares of a chunk to statistics 0 and 1.
    fn sums(&self, slots: u32) -> Vec<Instr> {
        let x = self.x.chunk(self.at, slots);
        let tmp = self.scratch(".tmp", slots);
        let mut code = Vec::new();
        if self.style.centred() {
            code.push(self.accumulate(0, &x, slots));
        }
        code.push(vec(Op::Mul, slots * self.tokens(), tmp.clone(), &[x.clone(), x]));
        code.push(self.accumulate(1, &tmp, slots));
        code
    }

    /// Adds a chunk to a statistic, over its slots.
    fn accumulate(&self, i: u32, chunk: &Operand, slots: u32) -> Instr {
        let sum = self.stats(i, slots);
        vec(Op::Add, slots * self.tokens(), sum.clone(), &[sum, chunk.clone()])
    }

    /// Scratch of [`Frame::moments`]: vectors of numbers per token.
    fn roots(&self) -> Scratch {
        Scratch::new(self.banks, self.at[".root"], self.tokens(), Side::of(self.x.act.dtype).other(), (1, 2))
    }

    /// The statistics that a row sums up, of `count`: without a mean the first is none.
    fn summed(&self, count: u32) -> (u32, u32) {
        let first = u32::from(!self.style.centred());
        (self.stat(first), (count - first) * self.tokens())
    }

    /// Turns statistics 0 and 1 from sums over all features into the mean and 1 / deviation.
    fn moments(&self) -> Vec<Instr> {
        let len = self.tokens();
        let [mean, var] = [0, 1].map(|i| mem(DType::F32, self.stat(i), len));
        let square = mem(DType::F32, self.roots().apart(0), len);
        let mut code = vec![vec(Op::Mul, len, var.clone(), &[var.clone(), imm(self.share)])];
        if self.style.centred() {
            code.extend([
                vec(Op::Mul, len, mean.clone(), &[mean.clone(), imm(self.share)]),
                vec(Op::Mul, len, square.clone(), &[mean.clone(), mean]),
                vec(Op::Sub, len, var.clone(), &[var.clone(), square]),
                vec(Op::Max, len, var.clone(), &[var.clone(), imm(0.0)]),
            ]);
        }
        let epsilon = imm(self.style.epsilon.value() as f32);
        code.push(vec(Op::Add, len, var.clone(), &[var.clone(), epsilon]));
        math::rsqrt(&mut code, len, &var, &var, &self.roots());
        code
    }
}

/// Scratch of both directions: `stats` vectors of numbers per token, `affine` per slot.
fn scratch(g: &Geometry, x: &ActivationView, stats: u32, affine: u32) -> Vec<Requirement> {
    let (side, chunk) = (Side::of(x.dtype), chunk_slots(x.slots, x.tokens) * x.tokens);
    vec![
        Requirement::scratch(".stats", DType::F32, stats * x.tokens, side.other()),
        Requirement::scratch(".affine", DType::F32, affine * padded(x.slots), side.other()),
        Requirement::scratch(".tmp", DType::F32, chunk, side),
        Requirement::scratch(".root", DType::F32, Scratch::elements(g.banks, x.tokens, (1, 2)), Side::Near),
    ]
}

/// The parameters of one column: γ, then (for `count` 2) β; zero for padding.
fn parameters(
    g: &Geometry,
    x: &ActivationView,
    module: Module,
    column: u32,
    count: usize,
    host: &dyn HostSource,
) -> Vec<u32> {
    let part = |parameter: Parameter| -> Vec<u32> {
        let value = |slot| x.feature(g, column, slot).map(|i| host.value(parameter.into(), &[i]));
        (0..padded(x.slots)).map(|s| if s < x.slots { value(s).unwrap_or(0.0) } else { 0.0 }.to_bits()).collect()
    };
    [module.weight(), module.bias()].into_iter().take(count).flat_map(part).collect()
}

/// A kernel's colors and queues, and its sums over the row.
fn row_of(kernel: &dyn Kernel, g: &Geometry, arch: &ArchSpec) -> (Ports, RowReduce) {
    let ports = kernel.ports(g, arch);
    let row = RowReduce::lanes(g, ports.of(Use::RowReduction));
    (ports, row)
}

/// An image that receives parameters from the north and takes part in the row's all-reduces.
fn image(
    name: &str,
    requirements: &[Requirement],
    at: &Addresses,
    (ports, row): (&Ports, &RowReduce),
    class: RowClass,
) -> Image {
    let parameters = ports.of(Use::North);
    let mut image =
        Image { name: name.to_owned(), inputs: vec![(parameters.input(), parameters.color())], ..Image::default() };
    image.buffers = buffers(requirements, at);
    row.bind(class, &mut image);
    image
}

impl LayerNorm {
    fn body(&self, f: &Frame<'_>, row: &RowReduce, class: RowClass) -> Vec<Instr> {
        let (slots, per) = (self.x.slots, f.per);
        // Rows begin when γ and β come by, each as much later than the row above as these take for
        // the way: so all rows do the same.
        let mut code = vec![
            f.load(self.style.parameters()),
            f.zero(BufferId::Scratch(".stats"), 2 * f.tokens()),
            Instr::Join(LOADER),
        ];
        code.extend(sweep((slots, per), &[f.x], &[], |n| f.sums(n)));
        let (first, len) = f.summed(2);
        row.all_reduce(class, Op::Add, len, first, &mut code);
        code.extend(f.moments());
        let y = Moving::along(f.x, &self.y, SECOND_REG);
        code.extend(sweep((slots, per), &[f.x, y], &[(SLOT_REG, 4)], |n| {
            let (len, tmp) = (n * f.tokens(), f.scratch(".tmp", n));
            let (x, y) = (f.x.chunk(f.at, n), y.chunk(f.at, n));
            let mut code = Vec::new();
            let centred = if self.style.centred() {
                code.push(vec(Op::Sub, len, tmp.clone(), &[x, f.stats(0, n)]));
                tmp.clone()
            } else {
                x
            };
            code.push(vec(Op::Mul, len, tmp.clone(), &[centred, f.stats(1, n)]));
            let scaled = if self.style.biased() { tmp.clone() } else { y.clone() };
            code.push(vec(Op::Mul, len, scaled, &[tmp.clone(), f.affine(0, n)]));
            if self.style.biased() {
                code.push(vec(Op::Add, len, y, &[tmp, f.affine(1, n)]));
            }
            code
        }));
        code
    }
}

impl Kernel for LayerNorm {
    fn name(&self) -> String {
        format!("norm {}", self.module.kind.name())
    }

    fn requirements(&self, g: &Geometry) -> Vec<Requirement> {
        let mut requirements = operands(&[&self.x], &self.y, false);
        requirements.extend(scratch(g, &self.x, 2, self.style.parameters()));
        requirements
    }

    fn uses(&self, _g: &Geometry) -> Uses {
        let ports = vec![Use::North, Use::RowReduction];
        Uses { ports, microthreads: MICROTHREADS }
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        same_shape("norm", &[&self.x, &self.y]);
        let (ports, row) = row_of(self, g, arch);
        let frame = Frame::new(g, &self.x, at, (self.style, ports.of(Use::North).color()));
        let mut program = Program { name: self.name(), grid: Some(g.grid), ..Program::default() };
        program.routes = broadcast_south(g, frame.parameters);
        program.routes.extend(row.routes());
        let words = u64::from(self.style.parameters() * padded(self.x.slots));
        program.edges = vec![feed_north(g, interval(arch, g.lane_columns()), AFFINE, frame.parameters, words)];
        for (class, columns) in row.classes() {
            let mut image = image("norm", &self.requirements(g), at, (&ports, &row), class);
            image.tasks = vec![main_task(self.body(&frame, &row, class))];
            place(&mut program, g, image, &columns, Span::run(0, g.used_rows()));
        }
        program
    }

    fn feed(&self, g: &Geometry, _stream: &str, port: u32, host: &dyn HostSource) -> Vec<u32> {
        parameters(g, &self.x, self.module, port % g.lane_columns(), self.style.parameters() as usize, host)
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let (ports, row) = row_of(self, g, arch);
        let sources = || {
            [
                (ports.of(Use::North).color(), price::edge(arch, g.lane_columns())),
                row.source(arch, self.style.summed(2) * self.x.tokens),
            ]
        };
        let key = ([&self.x, &self.y].map(price::shape), self.style, false, g.lane_columns());
        remembered(arch, ("norm", key), || price::whole(self, g, arch, &sources())) + price::rows_of_broadcast(g, arch)
    }
}

impl LayerNormGrad {
    /// Adds a chunk to the sums: of `x`, `x²`, `dy γ` and `x dy γ`; without a mean of the second and
    /// the last.
    fn sums(&self, f: &Frame<'_>, dy: Moving<'_>, n: u32) -> Vec<Instr> {
        let len = n * f.tokens();
        let (like, apart) = (f.scratch(".tmp", n), f.scratch(".apart", n));
        let [x, dy] = [f.x, dy].map(|w| w.chunk(f.at, n));
        let mut code = f.sums(n);
        if self.style.centred() {
            code.push(vec(Op::Mul, len, like.clone(), &[dy.clone(), f.affine(0, n)]));
            code.push(f.accumulate(2, &like, n));
        }
        code.push(vec(Op::Mul, len, apart.clone(), &[x, f.affine(0, n)]));
        code.push(vec(Op::Mul, len, like.clone(), &[dy, apart]));
        code.push(f.accumulate(self.style.along(), &like, n));
        code
    }

    /// Turns the sums into mean, `r` = 1 / deviation, `k1 = r · mean(dy γ)` and
    /// `k2 = r · mean(dy γ x̂)`; the last one is in root scratch, apart.
    fn coefficients(f: &Frame<'_>) -> Vec<Instr> {
        let len = f.tokens();
        let mut code = f.moments();
        let [mean, root, a, b] = [0, 1, 2, f.style.along()].map(|i| mem(DType::F32, f.stat(i), len));
        let k2 = mem(DType::F32, f.roots().apart(0), len);
        if !f.style.centred() {
            // k2 = r² · mean(x dy γ)
            code.extend([
                vec(Op::Mul, len, b.clone(), &[b.clone(), imm(f.share)]),
                vec(Op::Mul, len, k2.clone(), &[root.clone(), root]),
                vec(Op::Mul, len, k2.clone(), &[b, k2]),
            ]);
            return code;
        }
        code.extend([
            vec(Op::Mul, len, a.clone(), &[a.clone(), imm(f.share)]),
            vec(Op::Mul, len, b.clone(), &[b.clone(), imm(f.share)]),
            vec(Op::Mul, len, k2.clone(), &[mean, a.clone()]),
            vec(Op::Sub, len, b.clone(), &[b.clone(), k2.clone()]),
            vec(Op::Mul, len, k2.clone(), &[root.clone(), root.clone()]),
            vec(Op::Mul, len, k2.clone(), &[b, k2]),
            vec(Op::Mul, len, a.clone(), &[a, root]),
        ]);
        code
    }

    /// Adds a chunk, `[slot][token]` with `row` elements from slot to slot, over its tokens to the
    /// `i`-th vector of gradients per slot. Slots run fastest: sums that follow each other in time
    /// are different ones.
    fn reduce(f: &Frame<'_>, i: u32, chunk: Operand, n: u32) -> Instr {
        let tokens = f.tokens();
        let addr = f.at[BufferId::NormParts] + 4 * i * padded(f.x.act.slots);
        let sum = moving(SLOT_REG, grid(DType::F32, addr, &[(tokens, 0), (n, 1)]));
        vec(Op::Add, n * tokens, sum.clone(), &[sum, chunk])
    }

    /// Gradients of a chunk.
    fn gradients(&self, f: &Frame<'_>, [dy, dx]: [Moving<'_>; 2], n: u32) -> Vec<Instr> {
        let (tokens, len) = (f.tokens(), n * f.tokens());
        let (like, apart) = (f.scratch(".tmp", n), f.scratch(".apart", n));
        let k2 = per_token(f.roots().apart(0), n, tokens);
        let across = |addr: u32, dtype, row: u32| grid(dtype, addr, &[(tokens, 1), (n, row as i32)]);
        let turned = across(f.at[".tmp"], DType::F32, tokens);
        let dy_turned = moving(dy.reg, across(dy.act.slot(f.at, 0), dy.act.dtype, dy.act.row));
        let [x, dy, dx] = [f.x, dy, dx].map(|w| w.chunk(f.at, n));
        let mut code = Vec::new();
        let centred = if self.style.centred() {
            code.push(vec(Op::Sub, len, like.clone(), &[x, f.stats(0, n)]));
            like.clone()
        } else {
            x
        };
        code.extend([
            vec(Op::Mul, len, apart.clone(), &[centred, f.stats(1, n)]),
            vec(Op::Mul, len, like.clone(), &[dy.clone(), apart.clone()]),
            Self::reduce(f, 0, turned, n),
        ]);
        if self.style.biased() {
            code.push(Self::reduce(f, 1, dy_turned, n));
        }
        code.extend([
            vec(Op::Mul, len, apart.clone(), &[apart.clone(), k2]),
            vec(Op::Mul, len, like.clone(), &[dy, f.affine(0, n)]),
            vec(Op::Mul, len, like.clone(), &[like.clone(), f.stats(1, n)]),
        ]);
        // What is left to subtract from `like`: the part along x̂, and with a mean k1.
        let last = if self.style.centred() {
            code.push(vec(Op::Sub, len, like.clone(), &[like.clone(), apart.clone()]));
            f.stats(2, n)
        } else {
            apart.clone()
        };
        if self.add {
            code.push(vec(Op::Sub, len, apart.clone(), &[like, last]));
            code.push(vec(Op::Add, len, dx.clone(), &[dx, apart]));
        } else {
            code.push(vec(Op::Sub, len, dx, &[like, last]));
        }
        code
    }

    fn body(&self, f: &Frame<'_>, row: &RowReduce, class: RowClass) -> Vec<Instr> {
        let (slots, per) = (self.x.slots, f.per);
        let dy = Moving::along(f.x, &self.dy, SECOND_REG);
        let dx = Moving::along(f.x, &self.dx, THIRD_REG);
        // A row is quiescent until its parameters come by; what it does before would have to end
        // before they come to the first rows, too.
        let mut code = vec![f.load(1), Instr::Join(LOADER), f.zero(BufferId::Scratch(".stats"), 4 * f.tokens())];
        code.push(f.zero(BufferId::NormParts, self.style.parameters() * padded(slots)));
        code.extend(sweep((slots, per), &[f.x, dy], &[(SLOT_REG, 4)], |n| self.sums(f, dy, n)));
        let (first, len) = f.summed(self.style.along() + 1);
        row.all_reduce(class, Op::Add, len, first, &mut code);
        code.extend(Self::coefficients(f));
        code.extend(sweep((slots, per), &[f.x, dy, dx], &[(SLOT_REG, 4)], |n| self.gradients(f, [dy, dx], n)));
        code
    }

    /// What is summed up over rows after this.
    #[must_use]
    pub fn parts(&self) -> Parts {
        Parts::Affine { module: self.module, x: self.x.clone(), style: self.style }
    }
}

impl Kernel for LayerNormGrad {
    fn name(&self) -> String {
        format!("norm grad {}", self.module.kind.name())
    }

    fn requirements(&self, g: &Geometry) -> Vec<Requirement> {
        let chunk = chunk_slots(self.x.slots, self.x.tokens) * self.x.tokens;
        let mut requirements = operands(&[&self.x, &self.dy], &self.dx, self.add);
        requirements.extend(scratch(g, &self.x, 4, 1));
        let apart = Requirement::scratch(".apart", DType::F32, chunk, Side::of(self.x.dtype).other());
        requirements.extend([apart, self.parts().requirement(Access::Write)]);
        requirements
    }

    fn uses(&self, _g: &Geometry) -> Uses {
        let ports = vec![Use::North, Use::RowReduction];
        Uses { ports, microthreads: MICROTHREADS }
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        same_shape("norm grad", &[&self.x, &self.dy, &self.dx]);
        let (ports, row) = row_of(self, g, arch);
        let frame = Frame::new(g, &self.x, at, (self.style, ports.of(Use::North).color()));
        let words = u64::from(padded(self.x.slots));
        let mut program = Program { name: self.name(), grid: Some(g.grid), ..Program::default() };
        program.routes = broadcast_south(g, frame.parameters);
        program.routes.extend(row.routes());
        program.edges = vec![feed_north(g, interval(arch, g.lane_columns()), AFFINE, frame.parameters, words)];
        for (class, columns) in row.classes() {
            let mut image = image("norm grad", &self.requirements(g), at, (&ports, &row), class);
            image.tasks = vec![main_task(self.body(&frame, &row, class))];
            place(&mut program, g, image, &columns, Span::run(0, g.used_rows()));
        }
        program
    }

    fn feed(&self, g: &Geometry, _stream: &str, port: u32, host: &dyn HostSource) -> Vec<u32> {
        parameters(g, &self.x, self.module, port % g.lane_columns(), 1, host)
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let (ports, row) = row_of(self, g, arch);
        let sources = || {
            [
                (ports.of(Use::North).color(), price::edge(arch, g.lane_columns())),
                row.source(arch, self.style.summed(self.style.along() + 1) * self.x.tokens),
            ]
        };
        let key = ([&self.x, &self.dy, &self.dx].map(price::shape), self.style, self.add, g.lane_columns());
        remembered(arch, ("norm grad", key), || price::whole(self, g, arch, &sources()))
            + price::rows_of_broadcast(g, arch)
    }
}
