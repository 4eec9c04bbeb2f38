//! What stands on top of the layers, forward and backward: a head over the vocabulary, or a pooler and a classifier.
//!
//! Logits of all tokens would be the largest buffer of a step, so a head works on chunks of tokens: logits, loss and
//! their gradients of one chunk, then of the next. A classifier works on the first tokens of every sequence only.
//!
//! **Invariant.** It ends with the gradient of the last layer's output in its buffer.
//! **Not here.** Layers.

use super::buffers::Tensors;
use super::operations::{Name, Operation};
use super::{Schedule, parts};
use crate::ids::{BufferId, Phase, Product, ProductPart};
use crate::kernel::{ActivationView, WeightRef};
use crate::kernels::elementwise::{Copy, Fill};
use crate::kernels::gemm::Gemm;
use crate::kernels::loss::CrossEntropy;
use crate::kernels::row_sum::{Parts, RowSum};
use crate::layout::Features;
use models::OpKind;
use models::graph::Activation;
use sim_core::program::DType;

/// Tokens of a PE that the pooler works on, so that vectors are long enough: the first one of every
/// sequence is among them, and the others' gradients are zero.
const POOLED: u32 = 4;

impl Schedule {
    /// The head's operations, in their order: forward, loss, backward.
    pub(super) fn head(&mut self, tensors: &Tensors, operations: &[Operation], chunks: u32) {
        let pooled = operations.iter().any(|s| s.kind == OpKind::Classifier);
        if pooled {
            return self.classifier(tensors, operations);
        }
        for operation in operations {
            self.forward(tensors, operation, Phase::Forward);
            if operation.kind == OpKind::LmHead {
                self.lm_head(operation, chunks);
            }
        }
        self.covered.extend(operations.iter().filter(|o| o.kind == OpKind::CrossEntropy).map(|o| o.backward.clone()));
        self.begun.clear();
        for operation in operations.iter().rev().filter(|s| !matches!(s.kind, OpKind::LmHead | OpKind::CrossEntropy)) {
            self.back(tensors, operation);
        }
    }

    /// LM head, loss, and their gradients, by chunks of tokens.
    fn lm_head(&mut self, operation: &Operation, chunks: u32) {
        self.covered.extend([&operation.backward, &operation.weight_gradient].map(Name::clone));
        let (tokens, hidden) = (self.geometry.tokens, self.tensor(&operation.inputs[0]));
        let sums = ActivationView { dtype: DType::F32, ..self.hidden(BufferId::HeadGradientSums) };
        for (first, count) in parts(tokens, tokens.div_ceil(chunks).next_multiple_of(4)) {
            let window = |a: &ActivationView| ActivationView { first_token: first, tokens: count, ..a.clone() };
            let logits = ActivationView {
                row: count,
                tokens: count,
                ..self.act(BufferId::Activation(Activation::Logits), Features::Vocab)
            };
            let (x, label) = (window(&hidden), Product::LmHead.makes(ProductPart::Output));
            let weight = last_weights(operation, true);
            self.push(
                Phase::Forward,
                None,
                Gemm { label, x: x.clone(), y: logits.clone(), weight, add: false, outs: 1, piggyback: None },
            );
            self.loss(&logits, first, false);
            let (dx, weight) = (window(&sums), WeightRef { bias: None, ..last_weights(operation, false) });
            self.gemm(
                Product::LmHead.makes(ProductPart::InputGradient),
                (Phase::Backward, None),
                (logits.clone(), dx, false),
                &weight,
            );
            let to = (operation.weights[0].into(), false);
            self.outer_parts(Product::LmHead.makes(ProductPart::WeightGradient), None, logits.clone(), x, to);
            self.bias_gradient(operation, logits);
        }
        let to = self.gradient(&operation.inputs[0]);
        self.push(Phase::Backward, None, Copy { from: sums, to });
    }

    fn loss(&mut self, logits: &ActivationView, first_token: u32, per_sequence: bool) {
        let wide = self.geometry.model.vocab > 1 << 16;
        self.push(Phase::Backward, None, CrossEntropy { logits: logits.clone(), first_token, per_sequence, wide });
        self.push(Phase::Backward, None, RowSum { parts: Parts::Loss, levels: None });
    }

    /// Pooler, classifier, loss, and their gradients, of the first tokens of all rows.
    fn classifier(&mut self, tensors: &Tensors, operations: &[Operation]) {
        let find = |kind| operations.iter().find(|s| s.kind == kind).expect("a classifier has these operations");
        let operations = [OpKind::Pooler, OpKind::Tanh, OpKind::Classifier, OpKind::CrossEntropy].map(find);
        let [pooler, tanh, classifier, _] = operations;
        self.covered.extend(operations.into_iter().flat_map(|s| [&s.forward, &s.backward]).map(Name::clone));
        self.covered.extend([pooler, classifier].map(|s| s.weight_gradient.clone()));
        let tokens = POOLED.min(self.geometry.tokens);
        let small = |a: ActivationView| ActivationView { row: tokens, tokens, ..a };
        let top = ActivationView { tokens, ..self.hidden(tensors.top()) };
        let [dense, pooled, d_pooled] = [
            BufferId::Activation(Activation::Pooler),
            BufferId::Activation(Activation::Pooled),
            BufferId::PooledGradient,
        ]
        .map(|buffer| small(self.hidden(buffer)));
        let logits = small(self.act(BufferId::Activation(Activation::Logits), Features::Vocab));
        self.linear(pooler, Phase::Forward, top.clone(), dense.clone());
        let f = super::function(tanh.kind).expect("a function of one operand");
        self.push(Phase::Forward, None, super::Activation { f, x: dense, y: pooled.clone() });
        let (label, weight) = (classifier.product().makes(ProductPart::Output), last_weights(classifier, false));
        self.push(
            Phase::Forward,
            None,
            Gemm { label, x: pooled.clone(), y: logits.clone(), weight, add: false, outs: 1, piggyback: None },
        );
        self.loss(&logits, 0, true);
        self.begun.clear();
        self.linear_back(classifier, pooled.clone(), logits, d_pooled.clone());
        let (dy, dx) = (d_pooled.clone(), d_pooled.clone());
        self.push(Phase::Backward, None, super::ActivationGrad { f, x: pooled, dy, dx });
        let dx = self.hidden(BufferId::StreamGradient);
        self.push(Phase::Backward, None, Fill { to: dx.clone(), value: 0 });
        self.linear_back(pooler, top, d_pooled, ActivationView { tokens, ..dx });
    }
}

/// The weights of the last product, whose padding outputs get no probability.
fn last_weights(operation: &Operation, transposed: bool) -> WeightRef {
    // Those that make logits, rather than the gradient of their input.
    let mask_padding = transposed || operation.kind == OpKind::Classifier;
    WeightRef {
        tensor: operation.weights[0].into(),
        transposed,
        bias: operation.weights.get(1).map(|&bias| bias.into()),
        mask_padding,
    }
}
