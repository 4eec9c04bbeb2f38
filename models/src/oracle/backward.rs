//! The backward half of the f64 implementation: from the loss back to every parameter.
//!
//! **Invariant.** A gradient is kept under the name that the layer graph gives it.
//! **Not here.** The derivatives of single operations; see [`super::ops`].

use ndarray::{Array, Array2, Axis, Dimension};

use super::{Step, ops};
use crate::shape::design::{Block, Decimal, FeedForward, Head, Positions};

impl Step<'_> {
    /// Everything from the logits back; gives the loss.
    pub(super) fn backward(&mut self, tokens: &[usize], targets: &[usize]) -> f64 {
        let (loss, d_logits) = ops::cross_entropy(self.rows("logits").view(), targets);
        self.keep("d.logits", d_logits);
        self.backward_head();
        for l in (0..self.shape.layers).rev() {
            self.backward_layer(l);
        }
        if self.shape.design.embedding_norm {
            let d_embed = self.norm_backward("embed", "embed_ln");
            self.keep("d.embed", d_embed);
        }
        let scale = self.shape.design.embedding_scale;
        if scale != Decimal::ONE {
            self.keep("d.embed", self.rows("d.embed_scaled") * scale.value());
        }
        self.backward_embedding(tokens);
        loss
    }

    /// Adds to a parameter's gradient.
    fn accumulate<D: Dimension>(&mut self, name: &str, gradient: Array<f64, D>) {
        let sum = self.gradients.tensors.get_mut(name).expect("every parameter has a gradient");
        *sum += &gradient.into_dyn();
    }

    fn backward_embedding(&mut self, tokens: &[usize]) {
        let d_embed = self.rows("d.embed");
        let mut tables = vec![("wte", self.shape.vocab)];
        if self.shape.design.positions == Positions::Learned {
            tables.push(("wpe", self.shape.max_positions));
        }
        if self.shape.design.token_types > 0 {
            tables.push(("wtt", self.shape.design.token_types));
        }
        for (name, rows) in tables {
            let mut table = Array2::zeros((rows as usize, d_embed.ncols()));
            for (row, gradient) in d_embed.outer_iter().enumerate() {
                let entry = match name {
                    "wte" => tokens[row],
                    "wpe" => row % self.heads.seq,
                    _ => 0,
                };
                let mut entry = table.row_mut(entry);
                entry += &gradient;
            }
            self.accumulate(name, table);
        }
    }

    /// Gradient with respect to the input `from` of the norm `name`.
    fn norm_backward(&mut self, from: &str, name: &str) -> Array2<f64> {
        let (gain, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let dy = self.rows(&format!("d.{name}"));
        let (dx, d_gain, d_bias) = ops::norm_backward(&self.shape.design, &self.rows(from), self.vector(&gain), &dy);
        self.accumulate(&gain, d_gain);
        if self.shape.design.norm.has_bias() {
            self.accumulate(&bias, d_bias);
        }
        dx
    }

    /// Gradient with respect to the input `x` of a product, given that of its output.
    fn linear_backward(&mut self, x: &Array2<f64>, module: &str, dy: &Array2<f64>) -> Array2<f64> {
        let weight = format!("{module}.weight");
        self.accumulate(&weight, x.t().dot(dy));
        if let Some(bias) = self.known(format!("{module}.bias")) {
            self.accumulate(&bias, dy.sum_axis(Axis(0)));
        }
        dy.dot(&self.matrix(&weight).t())
    }

    /// The gradients of a product of hidden states with the table `name`, which gives the logits.
    fn logits_backward(&mut self, name: &str, input: &str) {
        let d_logits = self.rows("d.logits");
        self.accumulate(name, d_logits.t().dot(&self.rows(input)));
        if self.known("lm_head.bias".to_owned()).is_some() {
            self.accumulate("lm_head.bias", d_logits.sum_axis(Axis(0)));
        }
        self.keep(&format!("d.{input}"), d_logits.dot(&self.matrix(name)));
    }

    fn backward_head(&mut self) {
        let top = self.entering(self.shape.layers);
        let last = self.shape.design.block != Block::Post;
        let below = if last { "ln_f".to_owned() } else { top.clone() };
        match self.shape.design.head {
            Head::Tied | Head::Untied { .. } => {
                let scale = self.shape.design.logit_scale;
                let input = if scale == Decimal::ONE { below.clone() } else { "ln_f_scaled".to_owned() };
                let table = if self.shape.design.tied() { "wte" } else { "lm_head.weight" };
                self.logits_backward(table, &input);
                if input != below {
                    self.keep(&format!("d.{below}"), self.rows(&format!("d.{input}")) * scale.value());
                }
            }
            Head::MaskedLm => {
                self.logits_backward("wte", "head_ln");
                let d_gelu = self.norm_backward("head_gelu", "head_ln");
                let d_dense = &d_gelu * &self.rows("head_dense").mapv(ops::gelu_derivative);
                let d_below = self.linear_backward(&self.rows(&below), "head.dense", &d_dense);
                self.keep("d.head_gelu", d_gelu);
                self.keep("d.head_dense", d_dense);
                self.keep(&format!("d.{below}"), d_below);
            }
            Head::Classifier { .. } => {
                let pooled = self.rows("pooled");
                let d_pooled = self.linear_backward(&pooled, "classifier", &self.rows("d.logits"));
                let d_pooler = &d_pooled * &pooled.mapv(|y| 1.0 - y * y);
                let rows = self.rows(&below);
                let d_first = self.linear_backward(&self.firsts(&rows), "pooler.dense", &d_pooler);
                let mut d_below = Array2::zeros(rows.dim());
                for (b, gradient) in d_first.outer_iter().enumerate() {
                    d_below.row_mut(b * self.heads.seq).assign(&gradient);
                }
                self.keep("d.pooled", d_pooled);
                self.keep("d.pooler", d_pooler);
                self.keep(&format!("d.{below}"), d_below);
            }
        }
        if last {
            let d_top = self.norm_backward(&top, "ln_f");
            self.keep(&format!("d.{top}"), d_top);
        }
    }

    fn backward_layer(&mut self, l: u32) {
        let n = |name: &str| format!("h.{l}.{name}");
        let d = |name: &str| format!("d.h.{l}.{name}");
        let x = self.entering(l);
        let dy = self.rows(&format!("d.{}", self.entering(l + 1)));
        let part = |path: &str| format!("d.{x}{path}");
        match self.shape.design.block {
            Block::Pre => {
                self.feed_forward_backward(l, &dy, &n("ln_2"), &d("ln_2"));
                let branch = self.norm_backward(&n("resid_1"), &n("ln_2"));
                let middle = &dy + &branch;
                self.keep(&d("resid_1.branch"), branch);
                self.keep(&d("resid_1"), middle.clone());
                self.attention_backward(l, &middle, &n("ln_1"), &d("ln_1"));
                let branch = self.norm_backward(&x, &n("ln_1"));
                self.keep(&part(""), middle + &branch);
                self.keep(&part(".branch"), branch);
            }
            Block::Post => {
                let outer = self.norm_backward(&n("resid_2"), &n("ln_2"));
                self.keep(&d("resid_2"), outer.clone());
                self.feed_forward_backward(l, &outer, &n("ln_1"), &d("ln_1.branch"));
                self.keep(&d("ln_1"), outer + self.rows(&d("ln_1.branch")));
                let inner = self.norm_backward(&n("resid_1"), &n("ln_1"));
                self.keep(&d("resid_1"), inner.clone());
                self.attention_backward(l, &inner, &x, &part(".branch"));
                self.keep(&part(""), inner + self.rows(&part(".branch")));
            }
            Block::ParallelOneNorm => {
                self.feed_forward_backward(l, &dy, &n("ln_1"), &d("ln_1.branch"));
                self.attention_backward(l, &dy, &n("ln_1"), &d("ln_1.attention"));
                self.keep(&d("ln_1"), self.rows(&d("ln_1.branch")) + self.rows(&d("ln_1.attention")));
                let branch = self.norm_backward(&x, &n("ln_1"));
                self.keep(&part(""), dy + &branch);
                self.keep(&part(".branch"), branch);
            }
            Block::ParallelTwoNorms => {
                self.feed_forward_backward(l, &dy, &n("ln_2"), &d("ln_2"));
                let branch = self.norm_backward(&x, &n("ln_2"));
                let partial = &dy + &branch;
                self.keep(&part(".branch"), branch);
                self.keep(&part(".partial"), partial.clone());
                self.attention_backward(l, &dy, &n("ln_1"), &d("ln_1"));
                let branch = self.norm_backward(&x, &n("ln_1"));
                self.keep(&part(""), partial + &branch);
                self.keep(&part(".attention"), branch);
            }
        }
    }

    /// Keeps the gradient of the input as `dx`, given that of what the block adds.
    fn feed_forward_backward(&mut self, l: u32, dy: &Array2<f64>, input: &str, dx: &str) {
        let n = |name: &str| format!("h.{l}.{name}");
        let d = |name: &str| format!("d.h.{l}.{name}");
        let (up, x) = (self.rows(&n("ffn_up")), self.rows(input));
        let name = if self.shape.design.gated() { "swiglu" } else { "gelu" };
        let d_inner = self.linear_backward(&self.rows(&n(name)), &n("mlp.c_proj"), dy);
        let mut d_gate = None;
        let d_up = match self.shape.design.feed_forward {
            FeedForward::Gelu => &d_inner * &up.mapv(ops::gelu_derivative),
            FeedForward::GeluTanh => &d_inner * &up.mapv(ops::gelu_tanh_derivative),
            FeedForward::SwiGlu => {
                let gate = self.rows(&n("ffn_gate"));
                d_gate = Some(&d_inner * &up * gate.mapv(ops::silu_derivative));
                &d_inner * &gate.mapv(ops::silu)
            }
        };
        let mut d_x = self.linear_backward(&x, &n("mlp.c_fc"), &d_up);
        if let Some(d_gate) = d_gate {
            self.keep(&format!("{dx}.up"), d_x.clone());
            d_x += &self.linear_backward(&x, &n("mlp.c_gate"), &d_gate);
            self.keep(&d("ffn_gate"), d_gate);
        }
        self.keep(dx, d_x);
        self.keep(&d("ffn_down"), dy.clone());
        self.keep(&d(name), d_inner);
        self.keep(&d("ffn_up"), d_up);
    }

    /// Keeps the gradient of the input as `dx`, given that of what attention adds.
    fn attention_backward(&mut self, l: u32, dy: &Array2<f64>, input: &str, dx: &str) {
        let n = |name: &str| format!("h.{l}.{name}");
        let d = |name: &str| format!("d.h.{l}.{name}");
        let d_attn = self.linear_backward(&self.rows(&n("attn")), &n("attn.c_proj"), dy);
        let rotary = self.shape.design.rotary();
        let suffix = if rotary.is_some() { "_rot" } else { "" };
        let [q, k] = ["q", "k"].map(|name| self.rows(&n(&format!("{name}{suffix}"))));
        let v = self.rows(&n("v"));
        let softmax = self.tensors[&n("softmax")].clone().into_dimensionality();
        let softmax = softmax.expect("kept with four dimensions");
        let (d_softmax, d_v) = self.heads.weighted_values_backward(&softmax, &v, &d_attn);
        let d_scores = self.heads.softmax_backward(&softmax, &d_softmax);
        let (mut d_q, mut d_k) = self.heads.scores_backward(&q, &k, &d_scores);
        if let Some(rotary) = rotary {
            self.keep(&d("q_rot"), d_q.clone());
            self.keep(&d("k_rot"), d_k.clone());
            d_q = self.heads.rotated(&d_q, self.heads.heads, rotary, true);
            d_k = self.heads.rotated(&d_k, self.heads.kv_heads, rotary, true);
        }
        let parts = [d_q.view(), d_k.view(), d_v.view()];
        let d_qkv = ndarray::concatenate(Axis(1), &parts).expect("q, k and v have the same tokens");
        let d_x = self.linear_backward(&self.rows(input), &n("attn.c_attn"), &d_qkv);
        self.keep(&d("proj"), dy.clone());
        for (name, rows) in [("attn", d_attn), ("q", d_q), ("k", d_k), ("v", d_v)] {
            self.keep(&d(name), rows);
        }
        self.keep(dx, d_x);
        self.tensors.insert(d("softmax"), d_softmax.into_dyn());
        if self.shape.design.positions == Positions::Alibi {
            self.tensors.insert(d("alibi"), d_scores.clone().into_dyn());
        }
        self.tensors.insert(d("scores"), d_scores.into_dyn());
    }
}
