//! The forward operations of the step.
//!
//! **Invariant.** Those of a layer are added in an order whose reverse is an order of their backward
//! operations.
//! **Not here.** Gradients.

use super::{Builder, Made, New};
use crate::graph::role::{Activation as A, ModuleKind};
use crate::graph::{OpKind, Phase, TensorShape};
use crate::shape::design::{Block, Decimal, Head, Positions};

impl Builder {
    pub(super) fn forward(&mut self) {
        let hidden = self.shapes.hidden.clone();
        self.run(OpKind::Embedding, None, A::Embedding, &[], &hidden);
        if self.shapes.design.embedding_scale != Decimal::ONE {
            self.run(OpKind::Scale, None, A::EmbeddingScaled, &["embed"], &hidden);
        }
        if self.shapes.design.embedding_norm {
            self.run(self.shapes.norm().0, None, A::EmbeddingNorm, &["embed"], &hidden);
        }
        for l in 0..self.shapes.layers {
            self.forward_layer(l);
        }
        self.forward_head();
        let logits = if matches!(self.shapes.design.head, Head::Classifier { .. }) { "classifier" } else { "lm_head" };
        let kind = if logits == "classifier" { OpKind::Classifier } else { OpKind::LmHead };
        let input = self.head_input();
        let shape = self.shapes.logits.clone();
        self.make((kind, None, logits.to_owned()), &[&input], &[(A::Logits, &shape)]);
        self.run(OpKind::CrossEntropy, None, A::Loss, &["logits"], &TensorShape::new(&[]));
    }

    /// A forward operation that makes one tensor, of its own name.
    fn run(&mut self, kind: OpKind, layer: Option<u32>, makes: A, inputs: &[&str], shape: &TensorShape) {
        self.make((kind, layer, makes.named(layer)), inputs, &[(makes, shape)]);
    }

    /// A forward operation called `name`, with what it makes.
    fn make(
        &mut self,
        (kind, layer, name): (OpKind, Option<u32>, String),
        inputs: &[&str],
        makes: &[(A, &TensorShape)],
    ) {
        let norm = makes.first().and_then(|(made, _)| norm_of(*made)).filter(|_| kind.is_norm());
        let outputs: Vec<_> = makes.iter().map(|&(made, shape)| (Made::Activation(made), shape)).collect();
        self.add(Phase::Forward, &New { name, kind, layer, inputs, outputs: &outputs, norm });
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
            self.run(last, None, A::FinalNorm, &[&top], &hidden);
            "ln_f".clone_into(&mut top);
        }
        match self.shapes.design.head {
            Head::Tied | Head::Untied { .. } => {
                // The scale of the logits, where it is least work.
                if self.head_input() == "ln_f_scaled" {
                    self.run(OpKind::Scale, None, A::FinalNormScaled, &[&top], &hidden);
                }
            }
            Head::MaskedLm => {
                self.run(OpKind::HeadDense, None, A::HeadDense, &[&top], &hidden);
                self.run(OpKind::Gelu, None, A::HeadGelu, &["head_dense"], &hidden);
                self.run(norm, None, A::HeadNorm, &["head_gelu"], &hidden);
            }
            Head::Classifier { .. } => {
                self.run(OpKind::Pooler, None, A::Pooler, &[&top], &pooled);
                self.run(OpKind::Tanh, None, A::Pooled, &["pooler"], &pooled);
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
            self.run(OpKind::Residual, layer, A::Residual1, &[&x, &n("proj")], &hidden);
            self.run(norm, layer, A::Norm1, &[&n("resid_1")], &hidden);
            self.forward_ffn(l, &n("ln_1"));
            self.run(OpKind::Residual, layer, A::Residual2, &[&n("ln_1"), &n("ffn_down")], &hidden);
            self.run(norm, layer, A::Norm2, &[&n("resid_2")], &hidden);
            return;
        }
        self.run(norm, layer, A::Norm1, &[&x], &hidden);
        self.forward_attention(l, &n("ln_1"));
        self.run(OpKind::Residual, layer, A::Residual1, &[&x, &n("proj")], &hidden);
        let input = match block {
            Block::ParallelOneNorm => n("ln_1"),
            Block::ParallelTwoNorms | Block::Pre | Block::Post => {
                let from = if block == Block::Pre { n("resid_1") } else { x };
                self.run(norm, layer, A::Norm2, &[&from], &hidden);
                n("ln_2")
            }
        };
        self.forward_ffn(l, &input);
        self.run(OpKind::Residual, layer, A::Residual2, &[&n("resid_1"), &n("ffn_down")], &hidden);
    }

    fn forward_attention(&mut self, l: u32, input: &str) {
        let (hidden, keys, square) = (self.shapes.hidden.clone(), self.shapes.keys.clone(), self.shapes.square.clone());
        let n = |tensor: &str| format!("h.{l}.{tensor}");
        let (mut q, mut k, v) = (n("q"), n("k"), n("v"));
        let layer = Some(l);
        let makes = [(A::Queries, &hidden), (A::Keys, &keys), (A::Values, &keys)];
        self.make((OpKind::Qkv, layer, n("qkv")), &[input], &makes);
        if self.shapes.design.rotary().is_some() {
            let (from, to) = ([q, k], [n("q_rot"), n("k_rot")]);
            let inputs = [from[0].as_str(), &from[1]];
            let makes = [(A::QueriesRotated, &hidden), (A::KeysRotated, &keys)];
            self.make((OpKind::Rotary, layer, n("rotary")), &inputs, &makes);
            [q, k] = to;
        }
        self.run(OpKind::AttentionScores, layer, A::Scores, &[&q, &k], &square);
        let mut scores = n("scores");
        if self.shapes.design.positions == Positions::Alibi {
            self.run(OpKind::Alibi, layer, A::ScoresByDistance, &[&scores], &square);
            scores = n("alibi");
        }
        self.run(OpKind::Softmax, layer, A::Softmax, &[&scores], &square);
        self.run(OpKind::AttentionValues, layer, A::Attention, &[&n("softmax"), &v], &hidden);
        self.run(OpKind::Projection, layer, A::Projection, &[&n("attn")], &hidden);
    }

    fn forward_ffn(&mut self, l: u32, input: &str) {
        let (hidden, inner) = (self.shapes.hidden.clone(), self.shapes.inner.clone());
        let n = |tensor: &str| format!("h.{l}.{tensor}");
        let (layer, (activation, name)) = (Some(l), self.shapes.activation());
        let mut inputs = vec![n("ffn_up")];
        if self.shapes.design.gated() {
            self.run(OpKind::FfnGate, layer, A::FfnGate, &[input], &inner);
            inputs.insert(0, n("ffn_gate"));
        }
        self.run(OpKind::FfnUp, layer, A::FfnUp, &[input], &inner);
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.run(activation, layer, name, &inputs, &inner);
        self.run(OpKind::FfnDown, layer, A::FfnDown, &[&n(name.name())], &hidden);
    }
}

/// The parameters of the norm that makes an activation.
pub(super) fn norm_of(made: A) -> Option<ModuleKind> {
    match made {
        A::EmbeddingNorm => Some(ModuleKind::EmbeddingNorm),
        A::Norm1 => Some(ModuleKind::Norm1),
        A::Norm2 => Some(ModuleKind::Norm2),
        A::FinalNorm => Some(ModuleKind::FinalNorm),
        A::HeadNorm => Some(ModuleKind::HeadNorm),
        _ => None,
    }
}
