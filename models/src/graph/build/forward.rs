//! The forward operations of the step.
//!
//! **Invariant.** those of a layer are added in an order whose reverse is an order of their backward
//! operations.
//! **Not here.** gradients.

use super::{Builder, New};
use crate::graph::{OpKind, Phase, TensorShape};
use crate::shape::design::{Block, Decimal, Head, Positions};

impl Builder {
    pub(super) fn forward(&mut self) {
        let hidden = self.shapes.hidden.clone();
        self.run(OpKind::Embedding, None, "embed", &[], &hidden);
        if self.shapes.design.embedding_scale != Decimal::ONE {
            self.run(OpKind::Scale, None, "embed_scaled", &["embed"], &hidden);
        }
        if self.shapes.design.embedding_norm {
            self.run(self.shapes.norm().0, None, "embed_ln", &["embed"], &hidden);
        }
        for l in 0..self.shapes.layers {
            self.forward_layer(l);
        }
        self.forward_head();
        let logits = if matches!(self.shapes.design.head, Head::Classifier { .. }) { "classifier" } else { "lm_head" };
        let kind = if logits == "classifier" { OpKind::Classifier } else { OpKind::LmHead };
        let input = self.head_input();
        let shape = self.shapes.logits.clone();
        self.one(Phase::Forward, (kind, None, logits.to_owned()), &[&input], "logits", &shape);
        self.run(OpKind::CrossEntropy, None, "loss", &["logits"], &TensorShape::new(&[]));
    }

    /// A forward operation that makes one tensor, of its own name.
    fn run(&mut self, kind: OpKind, layer: Option<u32>, name: &str, inputs: &[&str], shape: &TensorShape) {
        self.one(Phase::Forward, (kind, layer, name.to_owned()), inputs, name, shape);
    }

    /// What the last product of the model is applied to.
    pub(super) fn head_input(&self) -> String {
        match self.shapes.design.head {
            Head::MaskedLm => "head_ln".to_owned(),
            Head::Classifier { .. } => "pooled".to_owned(),
            Head::Tied | Head::Untied { .. } if self.shapes.design.block == Block::Post => {
                self.shapes.entering(self.shapes.layers)
            }
            Head::Tied | Head::Untied { .. } if self.shapes.design.logit_scale != Decimal::ONE => {
                "ln_f_scaled".to_owned()
            }
            Head::Tied | Head::Untied { .. } => "ln_f".to_owned(),
        }
    }

    /// What stands between the layers and the last product.
    fn forward_head(&mut self) {
        let mut top = self.shapes.entering(self.shapes.layers);
        let (hidden, pooled) = (self.shapes.hidden.clone(), self.shapes.pooled.clone());
        let (norm, last) = self.shapes.norm();
        if self.shapes.design.block != Block::Post {
            self.run(last, None, "ln_f", &[&top], &hidden);
            "ln_f".clone_into(&mut top);
        }
        match self.shapes.design.head {
            Head::Tied | Head::Untied { .. } => {
                // The scale of the logits, where it is least work.
                if self.head_input() == "ln_f_scaled" {
                    self.run(OpKind::Scale, None, "ln_f_scaled", &[&top], &hidden);
                }
            }
            Head::MaskedLm => {
                self.run(OpKind::HeadDense, None, "head_dense", &[&top], &hidden);
                self.run(OpKind::Gelu, None, "head_gelu", &["head_dense"], &hidden);
                self.run(norm, None, "head_ln", &["head_gelu"], &hidden);
            }
            Head::Classifier { .. } => {
                self.run(OpKind::Pooler, None, "pooler", &[&top], &pooled);
                self.run(OpKind::Tanh, None, "pooled", &["pooler"], &pooled);
            }
        }
    }

    fn forward_layer(&mut self, l: u32) {
        let n = |tensor: &str| format!("h.{l}.{tensor}");
        let (x, hidden) = (self.shapes.entering(l), self.shapes.hidden.clone());
        let (norm, layer) = (self.shapes.norm().0, Some(l));
        let block = self.shapes.design.block;
        if block == Block::Post {
            self.forward_attention(l, &x);
            self.run(OpKind::Residual, layer, &n("resid_1"), &[&x, &n("proj")], &hidden);
            self.run(norm, layer, &n("ln_1"), &[&n("resid_1")], &hidden);
            self.forward_ffn(l, &n("ln_1"));
            self.run(OpKind::Residual, layer, &n("resid_2"), &[&n("ln_1"), &n("ffn_down")], &hidden);
            self.run(norm, layer, &n("ln_2"), &[&n("resid_2")], &hidden);
            return;
        }
        self.run(norm, layer, &n("ln_1"), &[&x], &hidden);
        self.forward_attention(l, &n("ln_1"));
        self.run(OpKind::Residual, layer, &n("resid_1"), &[&x, &n("proj")], &hidden);
        let input = match block {
            Block::ParallelOneNorm => n("ln_1"),
            Block::ParallelTwoNorms | Block::Pre | Block::Post => {
                let from = if block == Block::Pre { n("resid_1") } else { x };
                self.run(norm, layer, &n("ln_2"), &[&from], &hidden);
                n("ln_2")
            }
        };
        self.forward_ffn(l, &input);
        self.run(OpKind::Residual, layer, &n("resid_2"), &[&n("resid_1"), &n("ffn_down")], &hidden);
    }

    fn forward_attention(&mut self, l: u32, input: &str) {
        let (hidden, keys, square) = (self.shapes.hidden.clone(), self.shapes.keys.clone(), self.shapes.square.clone());
        let n = |tensor: &str| format!("h.{l}.{tensor}");
        let (mut q, mut k, v) = (n("q"), n("k"), n("v"));
        let outputs = [(q.as_str(), &hidden), (k.as_str(), &keys), (v.as_str(), &keys)];
        let (layer, inputs) = (Some(l), [input]);
        self.add(Phase::Forward, &New { name: n("qkv"), kind: OpKind::Qkv, layer, inputs: &inputs, outputs: &outputs });
        if self.shapes.design.rotary().is_some() {
            let (from, to) = ([q, k], [n("q_rot"), n("k_rot")]);
            let inputs = [from[0].as_str(), &from[1]];
            let outputs = [(to[0].as_str(), &hidden), (to[1].as_str(), &keys)];
            self.add(
                Phase::Forward,
                &New { name: n("rotary"), kind: OpKind::Rotary, layer, inputs: &inputs, outputs: &outputs },
            );
            [q, k] = to;
        }
        self.run(OpKind::AttentionScores, layer, &n("scores"), &[&q, &k], &square);
        let mut scores = n("scores");
        if self.shapes.design.positions == Positions::Alibi {
            self.run(OpKind::Alibi, layer, &n("alibi"), &[&scores], &square);
            scores = n("alibi");
        }
        self.run(OpKind::Softmax, layer, &n("softmax"), &[&scores], &square);
        self.run(OpKind::AttentionValues, layer, &n("attn"), &[&n("softmax"), &v], &hidden);
        self.run(OpKind::Projection, layer, &n("proj"), &[&n("attn")], &hidden);
    }

    fn forward_ffn(&mut self, l: u32, input: &str) {
        let (hidden, inner) = (self.shapes.hidden.clone(), self.shapes.inner.clone());
        let n = |tensor: &str| format!("h.{l}.{tensor}");
        let (layer, (activation, name)) = (Some(l), self.shapes.activation());
        let mut inputs = vec![n("ffn_up")];
        if self.shapes.design.gated() {
            self.run(OpKind::FfnGate, layer, &n("ffn_gate"), &[input], &inner);
            inputs.insert(0, n("ffn_gate"));
        }
        self.run(OpKind::FfnUp, layer, &n("ffn_up"), &[input], &inner);
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.run(activation, layer, &n(name), &inputs, &inner);
        self.run(OpKind::FfnDown, layer, &n("ffn_down"), &[&n(name)], &hidden);
    }
}
