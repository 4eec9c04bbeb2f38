//! The backward operations of the step, and the gradients of its parameters.
//!
//! Where paths part, each path's gradient has a name of its own, and the backward operation of the
//! sum that brings the paths together again adds two of them.
//!
//! **Invariant.** Each forward operation but the embedding has one backward operation, and each that
//! has parameters one for their gradients.
//! **Not here.** The shape rules ([`crate::graph`]'s `check`).

use super::forward::norm_of;
use super::{At, Builder, Made, New, at};
use crate::graph::role::Activation as A;
use crate::graph::{OpKind, Phase, TensorShape};
use crate::shape::design::{Block, Decimal, Head, Positions};

const B: Phase = Phase::Backward;

impl Builder {
    pub(super) fn backward(&mut self) {
        let logits = self.shapes.logits.clone();
        self.back(at(OpKind::CrossEntropy, None, "loss"), &["logits"], "d.logits", &logits);
        self.backward_head();
        for l in (0..self.shapes.layers).rev() {
            self.backward_layer(l);
        }
        if self.shapes.design.embedding_norm {
            self.norm_back(None, A::EmbeddingNorm, "d.embed_ln", "embed", "d.embed");
        }
        if self.shapes.design.embedding_scale != Decimal::ONE {
            let hidden = self.shapes.hidden.clone();
            let at = at(OpKind::Scale, None, "embed_scaled");
            self.back(at, &["d.embed_scaled"], "d.embed", &hidden);
        }
        self.weight_gradient(at(OpKind::Embedding, None, "embed"), &["d.embed"]);
    }

    /// A product: the gradients of its input and of its parameters, from that of its output.
    fn product_back(
        &mut self,
        (kind, layer, name): (OpKind, Option<u32>, &str),
        (dy, input): (&str, &str),
        (dx, shape): (&str, &TensorShape),
    ) {
        self.back(at(kind, layer, name.to_owned()), &[dy], dx, shape);
        self.weight_gradient(at(kind, layer, name), &[dy, input]);
    }

    /// The norm that makes `of`, of the tensor `x`.
    fn norm_back(&mut self, layer: Option<u32>, of: A, dy: &str, x: &str, dx: &str) {
        let hidden = self.shapes.hidden.clone();
        let (inner, last) = self.shapes.norm();
        let kind = if of == A::FinalNorm { last } else { inner };
        let at = || At { norm: norm_of(of), ..at(kind, layer, of.named(layer)) };
        self.back(at(), &[dy, x], dx, &hidden);
        self.weight_gradient(at(), &[dy, x]);
    }

    fn backward_head(&mut self) {
        let (hidden, pooled) = (self.shapes.hidden.clone(), self.shapes.pooled.clone());
        let top = self.shapes.entering(self.shapes.layers);
        let below = if self.shapes.design.block == Block::Post { top.clone() } else { "ln_f".to_owned() };
        let (input, d_below) = (self.head_input(), format!("d.{below}"));
        let d_input = format!("d.{input}");
        match self.shapes.design.head {
            Head::Tied | Head::Untied { .. } => {
                self.product_back((OpKind::LmHead, None, "lm_head"), ("d.logits", &input), (&d_input, &hidden));
                if input == "ln_f_scaled" {
                    self.back(at(OpKind::Scale, None, input), &[&d_input], "d.ln_f", &hidden);
                }
            }
            Head::MaskedLm => {
                self.product_back((OpKind::LmHead, None, "lm_head"), ("d.logits", &input), (&d_input, &hidden));
                self.norm_back(None, A::HeadNorm, "d.head_ln", "head_gelu", "d.head_gelu");
                let (at, inputs) = (at(OpKind::Gelu, None, "head_gelu"), ["d.head_gelu", "head_dense"]);
                self.back(at, &inputs, "d.head_dense", &hidden);
                let dense = (OpKind::HeadDense, None, "head_dense");
                self.product_back(dense, ("d.head_dense", &below), (&d_below, &hidden));
            }
            Head::Classifier { .. } => {
                let classifier = (OpKind::Classifier, None, "classifier");
                self.product_back(classifier, ("d.logits", "pooled"), ("d.pooled", &pooled));
                let at = at(OpKind::Tanh, None, "pooled");
                self.back(at, &["d.pooled", "pooled"], "d.pooler", &pooled);
                self.product_back((OpKind::Pooler, None, "pooler"), ("d.pooler", &below), (&d_below, &hidden));
            }
        }
        if self.shapes.design.block != Block::Post {
            self.norm_back(None, A::FinalNorm, "d.ln_f", &top, &format!("d.{top}"));
        }
    }

    /// Adds two gradients: backward of the sum `h.{l}.{name}`.
    fn sum_back(&mut self, l: u32, name: &str, [a, b]: [&str; 2], sum: &str) {
        let hidden = self.shapes.hidden.clone();
        self.back(at(OpKind::Residual, Some(l), format!("h.{l}.{name}")), &[a, b], sum, &hidden);
    }

    fn backward_layer(&mut self, l: u32) {
        let n = |tensor: &str| format!("h.{l}.{tensor}");
        let d = |tensor: &str| format!("d.h.{l}.{tensor}");
        let x = self.shapes.entering(l);
        let part = |path: &str| format!("d.{x}{path}");
        let (dy, layer) = (format!("d.{}", self.shapes.entering(l + 1)), Some(l));
        match self.shapes.design.block {
            Block::Pre => {
                self.backward_ffn(l, &dy, &n("ln_2"), &d("ln_2"));
                self.norm_back(layer, A::Norm2, &d("ln_2"), &n("resid_1"), &d("resid_1.branch"));
                self.sum_back(l, "resid_2", [&dy, &d("resid_1.branch")], &d("resid_1"));
                self.backward_attention(l, &d("resid_1"), &n("ln_1"), &d("ln_1"));
                self.norm_back(layer, A::Norm1, &d("ln_1"), &x, &part(".branch"));
                self.sum_back(l, "resid_1", [&d("resid_1"), &part(".branch")], &part(""));
            }
            Block::Post => {
                self.norm_back(layer, A::Norm2, &dy, &n("resid_2"), &d("resid_2"));
                self.backward_ffn(l, &d("resid_2"), &n("ln_1"), &d("ln_1.branch"));
                self.sum_back(l, "resid_2", [&d("resid_2"), &d("ln_1.branch")], &d("ln_1"));
                self.norm_back(layer, A::Norm1, &d("ln_1"), &n("resid_1"), &d("resid_1"));
                self.backward_attention(l, &d("resid_1"), &x, &part(".branch"));
                self.sum_back(l, "resid_1", [&d("resid_1"), &part(".branch")], &part(""));
            }
            Block::ParallelOneNorm => {
                self.backward_ffn(l, &dy, &n("ln_1"), &d("ln_1.branch"));
                self.backward_attention(l, &dy, &n("ln_1"), &d("ln_1.attention"));
                self.sum_back(l, "resid_2", [&d("ln_1.branch"), &d("ln_1.attention")], &d("ln_1"));
                self.norm_back(layer, A::Norm1, &d("ln_1"), &x, &part(".branch"));
                self.sum_back(l, "resid_1", [&dy, &part(".branch")], &part(""));
            }
            Block::ParallelTwoNorms => {
                self.backward_ffn(l, &dy, &n("ln_2"), &d("ln_2"));
                self.norm_back(layer, A::Norm2, &d("ln_2"), &x, &part(".branch"));
                self.sum_back(l, "resid_2", [&dy, &part(".branch")], &part(".partial"));
                self.backward_attention(l, &dy, &n("ln_1"), &d("ln_1"));
                self.norm_back(layer, A::Norm1, &d("ln_1"), &x, &part(".attention"));
                self.sum_back(l, "resid_1", [&part(".partial"), &part(".attention")], &part(""));
            }
        }
    }

    /// From the gradient of what the block adds to that of its input.
    fn backward_ffn(&mut self, l: u32, dy: &str, input: &str, dx: &str) {
        let (hidden, inner) = (self.shapes.hidden.clone(), self.shapes.inner.clone());
        let n = |tensor: &str| format!("h.{l}.{tensor}");
        let d = |tensor: &str| format!("d.h.{l}.{tensor}");
        let (layer, (activation, made)) = (Some(l), self.shapes.activation());
        let name = made.name();
        self.product_back((OpKind::FfnDown, layer, &n("ffn_down")), (dy, &n(name)), (&d(name), &inner));
        let gated = self.shapes.design.gated();
        let mut inputs = vec![d(name), n("ffn_up")];
        let (d_gate, d_up) = (d("ffn_gate"), d("ffn_up"));
        let mut outputs = vec![(Made::Gradient(&d_up), &inner)];
        if gated {
            inputs.insert(1, n("ffn_gate"));
            outputs.insert(0, (Made::Gradient(&d_gate), &inner));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.add(B, &New { name: n(name), kind: activation, layer, inputs: &inputs, outputs: &outputs, norm: None });
        let up = if gated { format!("{dx}.up") } else { dx.to_owned() };
        self.product_back((OpKind::FfnUp, layer, &n("ffn_up")), (&d_up, input), (&up, &hidden));
        if gated {
            // Added to what the other product's gradient is.
            self.back(at(OpKind::FfnGate, layer, n("ffn_gate")), &[&d_gate, &up], dx, &hidden);
            self.weight_gradient(at(OpKind::FfnGate, layer, n("ffn_gate")), &[&d_gate, input]);
        }
    }

    /// From the gradient of what attention adds to that of its input.
    fn backward_attention(&mut self, l: u32, dy: &str, input: &str, dx: &str) {
        let (hidden, keys, square) = (self.shapes.hidden.clone(), self.shapes.keys.clone(), self.shapes.square.clone());
        let n = |tensor: &str| format!("h.{l}.{tensor}");
        let d = |tensor: &str| format!("d.h.{l}.{tensor}");
        let (layer, rotary) = (Some(l), self.shapes.design.rotary().is_some());
        self.product_back((OpKind::Projection, layer, &n("proj")), (dy, &n("attn")), (&d("attn"), &hidden));
        let ([q, k], dv) = (if rotary { ["q_rot", "k_rot"] } else { ["q", "k"] }, d("v"));
        let (inputs, d_softmax) = ([d("attn"), n("softmax"), n("v")], d("softmax"));
        let inputs = inputs.each_ref().map(String::as_str);
        let outputs = [(Made::Gradient(&d_softmax), &square), (Made::Gradient(&dv), &keys)];
        self.add(
            B,
            &New {
                name: n("attn"),
                kind: OpKind::AttentionValues,
                layer,
                inputs: &inputs,
                outputs: &outputs,
                norm: None,
            },
        );
        let softmax = at(OpKind::Softmax, layer, n("softmax"));
        let alibi = self.shapes.design.positions == Positions::Alibi;
        let d_scores = d(if alibi { "alibi" } else { "scores" });
        self.back(softmax, &[&d_softmax, &n("softmax")], &d_scores, &square);
        if alibi {
            self.back(at(OpKind::Alibi, layer, n("alibi")), &[&d_scores], &d("scores"), &square);
        }
        let (inputs, made) = ([d("scores"), n(q), n(k)], [d(q), d(k)]);
        let inputs = inputs.each_ref().map(String::as_str);
        let outputs = [(Made::Gradient(&made[0]), &hidden), (Made::Gradient(&made[1]), &keys)];
        self.add(
            B,
            &New {
                name: n("scores"),
                kind: OpKind::AttentionScores,
                layer,
                inputs: &inputs,
                outputs: &outputs,
                norm: None,
            },
        );
        let [dq, dk] = [d("q"), d("k")];
        if rotary {
            let inputs = made.each_ref().map(String::as_str);
            let outputs = [(Made::Gradient(&dq), &hidden), (Made::Gradient(&dk), &keys)];
            self.add(
                B,
                &New { name: n("rotary"), kind: OpKind::Rotary, layer, inputs: &inputs, outputs: &outputs, norm: None },
            );
        }
        self.back(at(OpKind::Qkv, layer, n("qkv")), &[&dq, &dk, &dv], dx, &hidden);
        self.weight_gradient(at(OpKind::Qkv, layer, n("qkv")), &[&dq, &dk, &dv, input]);
    }
}
