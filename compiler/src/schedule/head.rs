//! What stands on top of the layers, forward and backward: a head over the vocabulary, by chunks of
//! tokens, or a pooler and a classifier of the first tokens.
//!
//! **Invariant.** It ends with the gradient of the last layer's output in its buffer.
//! **Not here.** Layers.

use super::names::{Names, STREAM, Step};
use super::{Pass, Tiled, parts};
use crate::geometry::Features;
use crate::kernel::{Act, WeightRef};
use crate::kernels::elementwise::{Copy, Fill};
use crate::kernels::gemm::Gemm;
use crate::kernels::loss::CrossEntropy;
use crate::kernels::row_sum::{Parts, RowSum};
use models::{LayerOp, OpKind};
use sim_core::program::DType;

/// Tokens of a PE that the pooler works on, so that vectors are long enough: the first one of every
/// sequence is among them, and the others' gradients are zero.
const POOLED: u32 = 4;

impl Tiled {
    /// The head's operations, in their order: forward, loss, backward.
    pub(super) fn head(&mut self, names: &Names, steps: &[Step<'_>], chunks: u32) {
        let pooled = steps.iter().any(|s| s.op.kind == OpKind::Classifier);
        if pooled {
            return self.classifier(names, steps);
        }
        for step in steps {
            self.forward(names, step, Pass::Forward);
            if step.op.kind == OpKind::LmHead {
                self.lm_head(names, step, chunks);
            }
        }
        self.covered.insert("loss.backward".to_owned());
        self.begun.clear();
        for step in steps.iter().rev().filter(|s| !matches!(s.op.kind, OpKind::LmHead | OpKind::CrossEntropy)) {
            self.back(names, step);
        }
    }

    /// LM head, loss, and their gradients, by chunks of tokens.
    fn lm_head(&mut self, names: &Names, step: &Step<'_>, chunks: u32) {
        let op = step.op;
        self.covered.extend(["lm_head.backward", "lm_head.weight_gradient"].map(str::to_owned));
        let (tokens, hidden) = (self.geometry.tokens, self.tensor(names, &step.inputs[0]));
        let sums = Act { dtype: DType::F32, ..self.hidden("d.head.sum") };
        for (first, count) in parts(tokens, tokens.div_ceil(chunks).next_multiple_of(4)) {
            let window = |a: &Act| Act { first_token: first, tokens: count, ..a.clone() };
            let logits = Act { row: count, tokens: count, ..self.act("logits", Features::Vocab) };
            let (x, label) = (window(&hidden), "lm head".to_owned());
            let weight = last_weights(op, true);
            self.push(
                Pass::Forward,
                None,
                Gemm { label, x: x.clone(), y: logits.clone(), weight, add: false, outs: 1, freight: None },
            );
            self.loss(&logits, first, false);
            let (dx, weight) = (window(&sums), WeightRef { bias: None, ..last_weights(op, false) });
            self.gemm("lm head", (Pass::Backward, None), (logits.clone(), dx, false), &weight);
            let to = (op.weights[0].name.clone(), false);
            self.outer_parts("lm head weight gradient", None, logits.clone(), x, to);
            self.bias_gradient(op, logits);
        }
        let to = self.gradient(names, &step.inputs[0]);
        self.push(Pass::Backward, None, Copy { from: sums, to });
    }

    fn loss(&mut self, logits: &Act, first_token: u32, per_sequence: bool) {
        let wide = self.geometry.vocab > 1 << 16;
        self.push(Pass::Backward, None, CrossEntropy { logits: logits.clone(), first_token, per_sequence, wide });
        self.push(Pass::Backward, None, RowSum { parts: Parts::Loss, levels: None });
    }

    /// Pooler, classifier, loss, and their gradients, of the first tokens of all rows.
    fn classifier(&mut self, names: &Names, steps: &[Step<'_>]) {
        let find = |kind| steps.iter().find(|s| s.op.kind == kind).expect("a classifier has these operations");
        let steps = [OpKind::Pooler, OpKind::Tanh, OpKind::Classifier].map(find);
        let [pooler, tanh, classifier] = steps;
        for name in steps.map(|s| s.op.name.as_str()).into_iter().chain(["loss"]) {
            self.covered.extend([name.to_owned(), format!("{name}.backward")]);
        }
        self.covered.extend([pooler, classifier].map(|s| format!("{}.weight_gradient", s.op.name)));
        let tokens = POOLED.min(self.geometry.tokens);
        let small = |a: Act| Act { row: tokens, tokens, ..a };
        let top = Act { tokens, ..self.hidden(&names.top()) };
        let [dense, pooled, d_pooled] = ["pooler", "pooled", "d.pooled"].map(|name| small(self.hidden(name)));
        let logits = small(self.act("logits", Features::Vocab));
        self.linear(pooler.op, Pass::Forward, top.clone(), dense.clone());
        let f = super::function(tanh.op.kind).expect("a function of one operand");
        self.push(Pass::Forward, None, super::Activation { f, x: dense, y: pooled.clone() });
        let (label, weight) = (classifier.op.name.clone(), last_weights(classifier.op, false));
        self.push(
            Pass::Forward,
            None,
            Gemm { label, x: pooled.clone(), y: logits.clone(), weight, add: false, outs: 1, freight: None },
        );
        self.loss(&logits, 0, true);
        self.begun.clear();
        self.linear_back(classifier.op, pooled.clone(), logits, d_pooled.clone());
        let (dy, dx) = (d_pooled.clone(), d_pooled.clone());
        self.push(Pass::Backward, None, super::ActivationGrad { f, x: pooled, dy, dx });
        let dx = self.hidden(STREAM);
        self.push(Pass::Backward, None, Fill { to: dx.clone(), value: 0 });
        self.linear_back(pooler.op, top, d_pooled, Act { tokens, ..dx });
    }
}

/// The weights of the last product, whose padding outputs get no probability.
fn last_weights(op: &LayerOp, transposed: bool) -> WeightRef {
    let bias = op.weights.get(1).map(|b| b.name.clone());
    WeightRef { tensor: op.weights[0].name.clone(), transposed, bias, mask_padding: bias_masks(op, transposed) }
}

/// Whether these weights make logits, rather than the gradient of their input.
fn bias_masks(op: &LayerOp, transposed: bool) -> bool {
    transposed || op.kind == OpKind::Classifier
}
