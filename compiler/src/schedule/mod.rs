//! Which kernels a training step consists of, on which windows, in which order.
//!
//! Every operation of the layer graph is lowered once in the forward pass and once in the backward pass. The forward
//! operations of a layer are lowered once more, in the phase *recompute*, before its backward operations, since only a
//! layer's input is kept.
//!
//! **Invariant.** An operation that no kernel executes is an error ([`Schedule::verify`]): nothing is free. A buffer that
//! is written anew is a new one.
//! **Not here.** Addresses (`memory`), the choice of the geometry (`search`).

mod buffers;
mod head;
mod operations;

use crate::ids::{BufferId, Label, Phase, ProductPart, TensorId};
use crate::kernel::{ActivationView, WeightRef};
use crate::kernels::KernelKind;
use crate::kernels::activation::{Activation, ActivationGrad, Function, SwiGlu, SwiGluGrad};
use crate::kernels::affine::Style;
use crate::kernels::alibi::Distances;
use crate::kernels::attention::{AttentionBackward, AttentionForward};
use crate::kernels::colsum::ColSum;
use crate::kernels::elementwise::{Add, Scale};
use crate::kernels::embed::{EmbedGrad, EmbedScatter};
use crate::kernels::gemm::Gemm;
use crate::kernels::norm::{LayerNorm, LayerNormGrad};
use crate::kernels::outer::Outer;
use crate::kernels::rotary::Rotate;
use crate::kernels::row_sum::RowSum;
use crate::layout::{Features, Geometry};
use crate::options::Chunks;
use buffers::Tensors;
use models::OpKind;
use models::design::Block;
pub use operations::Operations;
use operations::{Buffers, Name, Operation, function};
use sim_core::diag::Diagnostic;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most input slots of a GEMM: larger windows are cut, which bounds the weights of a step. Every cut
/// is a round of its own around the ring.
const GEMM_SLOTS_MAX: u32 = 128;
/// Most slots of a stationary operand of an outer product: larger windows are cut.
const SLOTS_MAX: u32 = 32;

/// A kernel at its place in the step.
#[derive(Debug, Clone)]
pub struct ScheduledKernel {
    /// The kernel.
    pub kernel: Arc<KernelKind>,
    /// The part of the step.
    pub phase: Phase,
    /// The layer, if it belongs to one.
    pub layer: Option<u32>,
}

/// A training step as kernels on windows.
#[derive(Debug)]
pub struct Schedule {
    /// The layout.
    pub geometry: Geometry,
    /// The kernels in order.
    pub kernels: Vec<ScheduledKernel>,
    /// Operations of the graph that the kernels execute.
    covered: BTreeSet<Name>,
    /// Gradients of products' inputs that a kernel of the layer has written.
    begun: BTreeSet<BufferId>,
    /// Length of AXPYs that outer products aim at.
    gather: u32,
}

impl Schedule {
    /// Lowers a training step, with the tokens of a PE passed through the LM head in `lm_chunks`
    /// parts, and AXPYs of about `gather` elements in outer products.
    #[must_use]
    pub fn new(operations: &Operations, geometry: &Geometry, lm_chunks: u32, gather: u32) -> Schedule {
        let Operations { tensors, below, layers, above, .. } = operations;
        let mut t = Schedule {
            geometry: geometry.clone(),
            kernels: Vec::new(),
            covered: BTreeSet::new(),
            begun: BTreeSet::new(),
            gather,
        };
        for operation in below.iter().chain(layers.iter().flatten()) {
            t.forward(tensors, operation, Phase::Forward);
        }
        t.head(tensors, above, lm_chunks);
        for operations in layers.iter().rev() {
            for operation in operations.iter().filter(|s| s.recomputed) {
                t.forward(tensors, operation, Phase::Recompute);
            }
            let mut backward: Vec<&Operation> = operations.iter().rev().collect();
            if tensors.design.block == Block::ParallelTwoNorms {
                // Norms add to the gradient that both branches start from.
                backward.sort_by_key(|s| s.kind.is_norm());
            }
            t.begun.clear();
            for operation in backward {
                t.back(tensors, operation);
            }
        }
        if tensors.design.embedding_norm {
            for operation in &below[..below.len() - 1] {
                t.forward(tensors, operation, Phase::Recompute);
            }
        }
        for operation in below.iter().rev() {
            t.back(tensors, operation);
        }
        t
    }

    /// Operations of `operations`, from which it was lowered, that no kernel executes, and kernels for
    /// operations that are not among them.
    #[must_use]
    pub fn verify(&self, operations: &Operations) -> Vec<Diagnostic> {
        let wanted = &operations.operations;
        let missing = wanted.difference(&self.covered).map(|n| (n, "no kernel executes this operation"));
        let extra = self.covered.difference(wanted).map(|n| (n, "the graph has no such operation"));
        missing.chain(extra).map(|(name, text)| Diagnostic::new("M004", &**name, text)).collect()
    }

    fn push(&mut self, phase: Phase, layer: Option<u32>, kernel: impl Into<KernelKind>) {
        self.kernels.push(ScheduledKernel { kernel: Arc::new(kernel.into()), phase, layer });
    }

    fn act(&self, buffer: BufferId, features: Features) -> ActivationView {
        ActivationView::whole(&self.geometry, buffer, features)
    }

    fn hidden(&self, buffer: BufferId) -> ActivationView {
        self.act(buffer, Features::Hidden)
    }

    /// The buffer of a tensor of the graph.
    fn tensor(&self, buffers: &Buffers) -> ActivationView {
        self.act(buffers.own, buffers.features)
    }

    /// The buffer of the gradient with respect to a tensor of the graph.
    fn gradient(&self, buffers: &Buffers) -> ActivationView {
        self.act(buffers.gradient, buffers.features)
    }

    /// Query, key or value: a third of the fused buffer.
    fn third(&self, part: u32) -> ActivationView {
        let hidden = self.geometry.hidden;
        ActivationView {
            features: Features::Hidden,
            first_slot: part * hidden,
            slots: hidden,
            ..self.act(BufferId::Qkv, Features::Qkv)
        }
    }

    /// The kernels of a forward operation.
    fn forward(&mut self, tensors: &Tensors, operation: &Operation, phase: Phase) {
        if phase == Phase::Forward {
            self.covered.insert(operation.forward.clone());
        }
        let l = operation.layer;
        let ins: Vec<ActivationView> = operation.inputs.iter().map(|of| self.tensor(of)).collect();
        let out = self.tensor(&operation.out);
        match operation.kind {
            OpKind::Embedding => self.push(phase, l, EmbedScatter { x: out, tables: operation.tables() }),
            kind if kind.is_norm() => {
                let (module, style) = (operation.module(), Style::of(&tensors.design));
                self.push(phase, l, LayerNorm { x: ins[0].clone(), y: out, module, style });
            }
            OpKind::AttentionScores | OpKind::Softmax => {} // in one kernel with the values
            OpKind::AttentionValues => {
                let [q, k, v] = [0, 1, 2].map(|i| self.third(i));
                let stats = (phase == Phase::Recompute).then_some(BufferId::Statistics);
                self.push(phase, l, AttentionForward { q, k, v, out, stats, chunks: Chunks::ONE });
            }
            OpKind::Rotary => {
                let [q, k] = [0, 1].map(|i| self.third(i));
                self.push(phase, l, Rotate { q, k, back: false });
            }
            OpKind::Alibi => {
                let [q, k] = [0, 1].map(|i| self.third(i));
                self.push(phase, l, Distances { q, k });
            }
            OpKind::Scale => {
                let (x, factor) = (ins[0].clone(), tensors.factor(operation.makes));
                self.push(phase, l, Scale { x, y: out, factor });
            }
            OpKind::SwiGlu => {
                let [gate, up] = [ins[0].clone(), ins[1].clone()];
                self.push(phase, l, SwiGlu { gate, up, y: out });
            }
            OpKind::Residual => self.push(phase, l, Add { a: ins[0].clone(), b: ins[1].clone(), out }),
            OpKind::LmHead | OpKind::Classifier | OpKind::CrossEntropy => {} // in `head`, chunk by chunk
            kind => match function(kind) {
                Some(f) => self.push(phase, l, Activation { f, x: ins[0].clone(), y: out }),
                None => self.linear(operation, phase, ins[0].clone(), out),
            },
        }
    }

    /// `y = x · W + b`.
    fn linear(&mut self, operation: &Operation, phase: Phase, x: ActivationView, y: ActivationView) {
        let weight = WeightRef {
            tensor: operation.weights[0].into(),
            transposed: false,
            bias: operation.weights.get(1).map(|&bias| bias.into()),
            mask_padding: false,
        };
        self.gemm(operation.product().makes(ProductPart::Output), (phase, operation.layer), (x, y, false), &weight);
    }

    /// A GEMM, cut over its input slots where there are many.
    fn gemm(
        &mut self,
        label: Label,
        place: (Phase, Option<u32>),
        (x, y, add): (ActivationView, ActivationView, bool),
        weight: &WeightRef,
    ) {
        for (i, (first, slots)) in parts(x.slots, GEMM_SLOTS_MAX).into_iter().enumerate() {
            let mut weight = weight.clone();
            if i > 0 {
                weight.bias = None;
            }
            let x = ActivationView { first_slot: x.first_slot + first, slots, ..x.clone() };
            let add = add || i > 0;
            self.push(place.0, place.1, Gemm { label, x, y: y.clone(), weight, add, outs: 1, piggyback: None });
        }
    }

    /// The weight gradient `dW[in][out]` of a linear operation, and that of its bias.
    fn outer(&mut self, operation: &Operation, x: ActivationView, dy: ActivationView) {
        // The operand with more slots is stationary; `[in][out]` is the parameter's own order.
        let (a, b, transposed) = if x.slots >= dy.slots { (x, dy.clone(), false) } else { (dy.clone(), x, true) };
        let to = (operation.weights[0].into(), transposed);
        self.outer_parts(operation.product().makes(ProductPart::WeightGradient), operation.layer, a, b, to);
        self.bias_gradient(operation, dy);
    }

    /// The gradient of a product's bias, if it has one.
    fn bias_gradient(&mut self, operation: &Operation, dy: ActivationView) {
        if let Some(tensor) = operation.weights.get(1).map(|&bias| bias.into()) {
            let label = operation.product().makes(ProductPart::BiasGradient);
            let kernel = ColSum { label, b: dy, times: None, tensor, levels: None };
            self.push(Phase::WeightGradient, operation.layer, kernel);
        }
    }

    fn outer_parts(
        &mut self,
        label: Label,
        layer: Option<u32>,
        a: ActivationView,
        b: ActivationView,
        to: (TensorId, bool),
    ) {
        let gather = gather(self.geometry.lane_columns(), b.slots, self.gather);
        for (first, slots) in parts(a.slots, SLOTS_MAX) {
            let a = ActivationView { first_slot: a.first_slot + first, slots, ..a.clone() };
            let (tensor, transposed) = to;
            let kernel = Outer { label, a, b: b.clone(), tensor, transposed, gather };
            self.push(Phase::WeightGradient, layer, kernel);
        }
    }

    /// The gradients of an operation: of its weights, then of its input.
    fn back(&mut self, tensors: &Tensors, operation: &Operation) {
        let (layer, phase) = (operation.layer, Phase::Backward);
        if !operation.weights.is_empty() {
            self.covered.insert(operation.weight_gradient.clone());
        }
        if operation.kind != OpKind::Embedding {
            self.covered.insert(operation.backward.clone());
        }
        let ins: Vec<ActivationView> = operation.inputs.iter().map(|of| self.tensor(of)).collect();
        let d_ins: Vec<ActivationView> = operation.inputs.iter().map(|of| self.gradient(of)).collect();
        let dy = self.gradient(&operation.out);
        match operation.kind {
            OpKind::Embedding => {
                self.push(Phase::WeightGradient, layer, EmbedGrad { dx: dy, tables: operation.tables() })
            }
            kind if kind.is_norm() => {
                let (x, dx) = (ins[0].clone(), d_ins[0].clone());
                // In a layer the gradient by way of the norm joins that which goes past it, unless
                // nothing does.
                let add = layer.is_some() && dx.buffer != dy.buffer;
                let (module, style) = (operation.module(), Style::of(&tensors.design));
                let kernel = LayerNormGrad { x, dy, dx, module, add, style };
                let parts = kernel.parts();
                self.push(phase, layer, kernel);
                self.push(Phase::WeightGradient, layer, RowSum { parts, levels: None });
            }
            OpKind::AttentionValues => {
                let [q, k, v] = [0, 1, 2].map(|i| self.third(i));
                // Gradients take the place of what they are the gradients of.
                let [dq, dk, dv] = [&q, &k, &v].map(Clone::clone);
                let (out, stats) = (self.tensor(&operation.out), BufferId::Statistics);
                self.push(
                    phase,
                    layer,
                    AttentionBackward { q, k, v, out, d_out: dy, stats, dq, dk, dv, chunks: Chunks::ONE },
                );
            }
            OpKind::Rotary => {
                let [q, k] = [0, 1].map(|i| self.third(i));
                self.push(phase, layer, Rotate { q, k, back: true });
            }
            OpKind::Scale => {
                let (x, y, factor) = (dy, d_ins[0].clone(), tensors.factor(operation.makes));
                self.push(phase, layer, Scale { x, y, factor });
            }
            OpKind::SwiGlu => {
                let ([gate, up], [d_gate, d_up]) = ([0, 1].map(|i| ins[i].clone()), [0, 1].map(|i| d_ins[i].clone()));
                self.push(phase, layer, SwiGluGrad { gate, up, dy, d_gate, d_up });
            }
            // Scores and softmax: in one kernel with the values. The gradient of a sum is passed on
            // as it is; the sum where paths part is the `add` of a later kernel.
            OpKind::AttentionScores | OpKind::Alibi | OpKind::Softmax | OpKind::Residual => {}
            OpKind::LmHead | OpKind::Classifier | OpKind::CrossEntropy => {} // in `head`
            kind => match function(kind) {
                Some(f) => {
                    // The derivative of the hyperbolic tangent is a function of its result.
                    let own = self.tensor(&operation.out);
                    let x = if f == Function::Tanh { own } else { ins[0].clone() };
                    self.push(phase, layer, ActivationGrad { f, x, dy, dx: d_ins[0].clone() });
                }
                None => self.linear_back(operation, ins[0].clone(), dy, d_ins[0].clone()),
            },
        }
    }

    fn linear_back(&mut self, operation: &Operation, x: ActivationView, dy: ActivationView, dx: ActivationView) {
        self.outer(operation, x, dy.clone());
        let tensor = operation.weights[0].into();
        let weight = WeightRef { tensor, transposed: true, bias: None, mask_padding: false };
        // What goes past the product is in the stream's gradient already; what another product
        // made of the same input, in its.
        let add = !self.begun.insert(dx.buffer) || (dx.buffer == BufferId::StreamGradient && operation.layer.is_some());
        self.gemm(
            operation.product().makes(ProductPart::InputGradient),
            (Phase::Backward, operation.layer),
            (dy, dx, add),
            &weight,
        );
    }
}

/// `length` cut into as few nearly equal parts of at most `most` as possible: `(first, count)`.
fn parts(length: u32, most: u32) -> Vec<(u32, u32)> {
    let n = length.div_ceil(most.max(1)).max(1);
    let mut size = length.div_ceil(n);
    if most.is_multiple_of(4) && length.is_multiple_of(4) && size < most {
        size = size.next_multiple_of(4).min(most);
    }
    let parts: Vec<(u32, u32)> =
        (0..length).step_by(size.max(1) as usize).map(|first| (first, size.min(length - first))).collect();
    assert_eq!(parts.iter().map(|part| part.1).sum::<u32>(), length, "parts are disjoint and cover everything");
    parts
}

/// Blocks that an outer product gathers: the divisor of the ring's length that brings the AXPYs
/// nearest to `target` elements.
fn gather(columns: u32, slots: u32, target: u32) -> u32 {
    (1..=columns).filter(|&n| columns.is_multiple_of(n)).min_by_key(|&n| ((n * slots).abs_diff(target), n)).unwrap_or(1)
}
