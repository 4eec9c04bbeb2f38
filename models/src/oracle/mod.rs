//! A plain f64 implementation of one training step: loss, every gradient, every activation.
//!
//! A simulated step computes with numbers of 16 or 32 bits, in an order that its mapping decides; whether the result is
//! right can only be said beside another implementation. This one follows the definition of the model
//! ([`Design`](crate::Design)) operation by operation: softmax attention scaled by `1/sqrt(d_head)`, mean cross-entropy
//! over all tokens, or over all sequences of a classifier. It shares no code with the layer graph; only the names of
//! tensors are the same. Tokens are all of type 0. Its own gradients are held against finite differences.
//!
//! **Invariant.** Nothing depends on the order of a map or on threads, so a result is repeatable to the
//! bit on one platform.
//! **Not here.** Speed, rounding to narrow formats, the optimizer.

mod backward;
mod erf;
pub mod inputs;
mod ops;
pub mod params;

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayD, ArrayView1, ArrayView2, IxDyn};

use crate::shape::ModelShape;
use crate::shape::design::{Block, Decimal, FeedForward, Head, Positions};
pub use erf::{erf, erfc};
pub use inputs::Inputs;
use ops::Heads;
pub use params::Params;

/// Everything that one training step computes.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Mean cross-entropy in nats per token.
    pub loss: f64,
    /// Gradient of the loss with respect to every parameter, under the parameter's name. That of
    /// `wte` is the sum over both of its uses.
    pub gradients: Params,
    /// Activations and, with `d.` in front, gradients with respect to them, named as in
    /// [`crate::graph`]: `[batch, seq, features]`, in attention `[batch, head, query, key]`.
    ///
    /// `h.{l}.scores` holds 0 where the causal mask forbids to look. `d.` of a residual stream is
    /// the whole gradient; the part through the branch has `.branch` at the end.
    pub tensors: BTreeMap<String, ArrayD<f64>>,
}

/// The loss, in nats per token, and its gradient with respect to every parameter.
///
/// `tokens` and `targets` are `[batch][seq]`; of a classifier's targets the first of every sequence
/// is its label, and the others mean nothing.
///
/// # Panics
/// If the shape is invalid, the rows differ in length, an id is not below `vocab` (or the labels), a sequence is
/// empty or longer than `max_positions`, or `params` are those of another shape.
#[must_use]
pub fn loss_and_gradients(
    shape: &ModelShape,
    params: &Params,
    tokens: &[Vec<u32>],
    targets: &[Vec<u32>],
) -> (f64, Params) {
    let trace = trace(shape, params, tokens, targets);
    (trace.loss, trace.gradients)
}

/// The loss alone, in nats per token.
///
/// # Panics
/// As [`loss_and_gradients`].
#[must_use]
pub fn loss(shape: &ModelShape, params: &Params, tokens: &[Vec<u32>], targets: &[Vec<u32>]) -> f64 {
    let mut step = Step::new(shape, params, tokens, targets);
    step.forward(&flat(tokens));
    ops::cross_entropy(step.rows("logits").view(), &step.chosen(targets)).0
}

/// The whole step: loss, gradients, activations.
///
/// # Panics
/// As [`loss_and_gradients`].
#[must_use]
pub fn trace(shape: &ModelShape, params: &Params, tokens: &[Vec<u32>], targets: &[Vec<u32>]) -> Trace {
    let mut step = Step::new(shape, params, tokens, targets);
    step.forward(&flat(tokens));
    let targets = step.chosen(targets);
    let loss = step.backward(&flat(tokens), &targets);
    step.tensors.insert("loss".into(), ArrayD::from_elem(IxDyn(&[]), loss));
    Trace { loss, gradients: step.gradients, tensors: step.tensors }
}

fn flat(ids: &[Vec<u32>]) -> Vec<usize> {
    ids.iter().flatten().map(|id| *id as usize).collect()
}

/// A step under way: the tape of activations and the gradients so far.
struct Step<'a> {
    params: &'a Params,
    shape: &'a ModelShape,
    heads: Heads,
    tensors: BTreeMap<String, ArrayD<f64>>,
    gradients: Params,
}

impl<'a> Step<'a> {
    fn new(shape: &'a ModelShape, params: &'a Params, tokens: &[Vec<u32>], targets: &[Vec<u32>]) -> Self {
        assert!(shape.validate().is_empty(), "the shape is valid");
        params.assert_fits(shape);
        let seq = tokens.first().map_or(0, Vec::len);
        assert!(seq > 0 && seq <= shape.max_positions as usize, "sequences fit the position table");
        assert_eq!(tokens.len(), targets.len(), "each sequence has targets");
        assert!(tokens.iter().chain(targets).all(|row| row.len() == seq), "all sequences are of the same length");
        let heads = Heads {
            batch: tokens.len(),
            seq,
            heads: shape.heads as usize,
            kv_heads: shape.kv_heads() as usize,
            causal: shape.design.causal,
            scale: shape.design.score_scale(shape.d_head()),
        };
        let (tensors, gradients) = (BTreeMap::new(), Params::zeros(shape));
        let step = Self { params, shape, heads, tensors, gradients };
        assert!(flat(tokens).iter().all(|id| *id < shape.vocab as usize), "ids are below the vocabulary size");
        assert!(step.chosen(targets).iter().all(|id| *id < shape.classes() as usize), "ids are below their number");
        step
    }

    /// What the logits should choose, row by row.
    fn chosen(&self, targets: &[Vec<u32>]) -> Vec<usize> {
        match self.shape.design.head {
            Head::Classifier { .. } => targets.iter().map(|row| row[0] as usize).collect(),
            Head::Tied | Head::Untied { .. } | Head::MaskedLm => flat(targets),
        }
    }

    /// Keeps `[tokens, features]` as `[batch, seq, features]`, one row per sequence as it is.
    fn keep(&mut self, name: &str, rows: Array2<f64>) {
        let seq = rows.nrows() / self.heads.batch;
        let dims: &[usize] = &[self.heads.batch, seq, rows.ncols()];
        let whole = seq == self.heads.seq && !matches!(name.trim_start_matches("d."), "pooler" | "pooled");
        let dims = if whole { IxDyn(dims) } else { IxDyn(&[rows.nrows(), rows.ncols()]) };
        let tensor = rows.as_standard_layout().into_owned().into_shape_with_order(dims);
        self.tensors.insert(name.to_owned(), tensor.expect("rows are batch times seq"));
    }

    /// What was kept, as `[tokens, features]`.
    fn rows(&self, name: &str) -> Array2<f64> {
        let tensor = &self.tensors[name];
        let features = tensor.shape()[tensor.ndim() - 1];
        let dims = (tensor.len() / features, features);
        tensor.to_shape(dims).expect("kept tensors have features").into_owned()
    }

    fn matrix(&self, name: &str) -> ArrayView2<'a, f64> {
        let view = self.params.tensors[name].view();
        view.into_dimensionality().expect("assert_fits checked the dimensions")
    }

    fn vector(&self, name: &str) -> ArrayView1<'a, f64> {
        let view = self.params.tensors[name].view();
        view.into_dimensionality().expect("assert_fits checked the dimensions")
    }

    /// The name of a parameter, if the model has it.
    fn known(&self, name: String) -> Option<String> {
        self.params.tensors.contains_key(&name).then_some(name)
    }

    fn norm(&mut self, from: &str, to: &str) {
        let mut y = ops::norm(&self.shape.design, &self.rows(from), self.vector(&format!("{to}.weight")));
        if self.shape.design.norm.has_bias() {
            y += &self.vector(&format!("{to}.bias"));
        }
        self.keep(to, y);
    }

    fn linear(&self, x: &Array2<f64>, module: &str) -> Array2<f64> {
        let y = x.dot(&self.matrix(&format!("{module}.weight")));
        match self.known(format!("{module}.bias")) {
            Some(bias) => y + self.vector(&bias),
            None => y,
        }
    }

    fn forward(&mut self, tokens: &[usize]) {
        let wte = self.matrix("wte");
        let mut embed =
            Array2::from_shape_fn((tokens.len(), wte.ncols()), |(row, feature)| wte[[tokens[row], feature]]);
        for (row, mut sum) in embed.outer_iter_mut().enumerate() {
            if self.shape.design.positions == Positions::Learned {
                sum += &self.matrix("wpe").row(row % self.heads.seq);
            }
            if self.shape.design.token_types > 0 {
                sum += &self.matrix("wtt").row(0);
            }
        }
        self.keep("embed", embed);
        let scale = self.shape.design.embedding_scale;
        if scale != Decimal::ONE {
            self.keep("embed_scaled", self.rows("embed") * scale.value());
        }
        if self.shape.design.embedding_norm {
            self.norm("embed", "embed_ln");
        }
        for l in 0..self.shape.layers {
            self.forward_layer(l);
        }
        self.forward_head();
    }

    /// The tensor that enters layer `l`, or is behind the last one.
    fn entering(&self, l: u32) -> String {
        let post = self.shape.design.block == Block::Post;
        match l {
            0 if self.shape.design.embedding_norm => "embed_ln".to_owned(),
            0 if self.shape.design.embedding_scale != Decimal::ONE => "embed_scaled".to_owned(),
            0 => "embed".to_owned(),
            _ if post => format!("h.{}.ln_2", l - 1),
            _ => format!("h.{}.resid_2", l - 1),
        }
    }

    fn forward_head(&mut self) {
        let mut top = self.entering(self.shape.layers);
        if self.shape.design.block != Block::Post {
            self.norm(&top, "ln_f");
            "ln_f".clone_into(&mut top);
        }
        let scale = self.shape.design.logit_scale;
        if scale != Decimal::ONE {
            self.keep("ln_f_scaled", self.rows(&top) * scale.value());
            "ln_f_scaled".clone_into(&mut top);
        }
        let logits = match self.shape.design.head {
            Head::Tied => self.rows(&top).dot(&self.matrix("wte").t()),
            Head::Untied { bias } => {
                let logits = self.rows(&top).dot(&self.matrix("lm_head.weight").t());
                if bias { logits + self.vector("lm_head.bias") } else { logits }
            }
            Head::MaskedLm => {
                self.keep("head_dense", self.linear(&self.rows(&top), "head.dense"));
                self.keep("head_gelu", self.rows("head_dense").mapv(ops::gelu));
                self.norm("head_gelu", "head_ln");
                self.rows("head_ln").dot(&self.matrix("wte").t()) + self.vector("lm_head.bias")
            }
            Head::Classifier { .. } => {
                let first = self.firsts(&self.rows(&top));
                self.keep("pooler", self.linear(&first, "pooler.dense"));
                self.keep("pooled", self.rows("pooler").mapv(f64::tanh));
                self.linear(&self.rows("pooled"), "classifier")
            }
        };
        self.keep("logits", logits);
    }

    /// The first token of every sequence.
    fn firsts(&self, rows: &Array2<f64>) -> Array2<f64> {
        Array2::from_shape_fn((self.heads.batch, rows.ncols()), |(b, i)| rows[[b * self.heads.seq, i]])
    }

    fn forward_layer(&mut self, l: u32) {
        let n = |name: &str| format!("h.{l}.{name}");
        let x = self.entering(l);
        let block = self.shape.design.block;
        if block == Block::Post {
            self.attention(l, &x);
            self.keep(&n("resid_1"), self.rows(&x) + self.rows(&n("proj")));
            self.norm(&n("resid_1"), &n("ln_1"));
            self.feed_forward(l, &n("ln_1"));
            self.keep(&n("resid_2"), self.rows(&n("ln_1")) + self.rows(&n("ffn_down")));
            self.norm(&n("resid_2"), &n("ln_2"));
            return;
        }
        self.norm(&x, &n("ln_1"));
        self.attention(l, &n("ln_1"));
        self.keep(&n("resid_1"), self.rows(&x) + self.rows(&n("proj")));
        match block {
            Block::ParallelOneNorm => self.feed_forward(l, &n("ln_1")),
            Block::ParallelTwoNorms => {
                self.norm(&x, &n("ln_2"));
                self.feed_forward(l, &n("ln_2"));
            }
            Block::Pre | Block::Post => {
                self.norm(&n("resid_1"), &n("ln_2"));
                self.feed_forward(l, &n("ln_2"));
            }
        }
        self.keep(&n("resid_2"), self.rows(&n("resid_1")) + self.rows(&n("ffn_down")));
    }

    /// Heads of queries and of keys.
    fn head_counts(&self) -> [(&'static str, usize); 2] {
        [("q", self.heads.heads), ("k", self.heads.kv_heads)]
    }

    fn attention(&mut self, l: u32, input: &str) {
        let n = |name: &str| format!("h.{l}.{name}");
        let qkv = self.linear(&self.rows(input), &n("attn.c_attn"));
        let (d, k) = (self.shape.d_model as usize, (self.shape.kv_heads() * self.shape.d_head()) as usize);
        for (name, from, to) in [("q", 0, d), ("k", d, d + k), ("v", d + k, d + 2 * k)] {
            let part = qkv.slice_axis(ndarray::Axis(1), (from..to).into()).to_owned();
            self.keep(&n(name), part);
        }
        let (mut q, mut k) = (n("q"), n("k"));
        if let Some(rotary) = self.shape.design.rotary() {
            for (name, heads) in self.head_counts() {
                let turned = self.heads.rotated(&self.rows(&n(name)), heads, rotary, false);
                self.keep(&n(&format!("{name}_rot")), turned);
            }
            [q, k] = [n("q_rot"), n("k_rot")];
        }
        let scores = self.heads.scores(&self.rows(&q), &self.rows(&k));
        let mut biased = scores.clone();
        if self.shape.design.positions == Positions::Alibi {
            self.heads.add_slopes(&mut biased);
            self.tensors.insert(n("alibi"), biased.clone().into_dyn());
        }
        let softmax = self.heads.softmax(&biased);
        self.keep(&n("attn"), self.heads.weighted_values(&softmax, &self.rows(&n("v"))));
        self.tensors.insert(n("scores"), scores.into_dyn());
        self.tensors.insert(n("softmax"), softmax.into_dyn());
        self.keep(&n("proj"), self.linear(&self.rows(&n("attn")), &n("attn.c_proj")));
    }

    fn feed_forward(&mut self, l: u32, input: &str) {
        let n = |name: &str| format!("h.{l}.{name}");
        self.keep(&n("ffn_up"), self.linear(&self.rows(input), &n("mlp.c_fc")));
        let up = self.rows(&n("ffn_up"));
        let (name, inner) = match self.shape.design.feed_forward {
            FeedForward::Gelu => ("gelu", up.mapv(ops::gelu)),
            FeedForward::GeluTanh => ("gelu", up.mapv(ops::gelu_tanh)),
            FeedForward::SwiGlu => {
                self.keep(&n("ffn_gate"), self.linear(&self.rows(input), &n("mlp.c_gate")));
                ("swiglu", self.rows(&n("ffn_gate")).mapv(ops::silu) * up)
            }
        };
        self.keep(&n(name), inner);
        self.keep(&n("ffn_down"), self.linear(&self.rows(&n(name)), &n("mlp.c_proj")));
    }
}
