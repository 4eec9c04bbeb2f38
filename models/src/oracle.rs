//! A plain f64 implementation of one training step: loss, every gradient, every activation.
//!
//! Simulated values are compared with it. It follows the definition of the model (pre-LayerNorm,
//! learned positions, exact GELU, causal softmax attention scaled by `1/sqrt(d_head)`, biases but on
//! the logits, tied embedding, mean cross-entropy over all tokens) and shares no code with the layer
//! graph; only the names of tensors are the same.
//!
//! Invariant: nothing depends on the order of a map or on threads, so a result is repeatable to the
//! bit on one platform.
//! Deliberately not here: speed, rounding to narrow formats, the optimizer.

mod erf;
mod ops;
mod params;

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayD, ArrayView1, ArrayView2, IxDyn};

use crate::shape::GptShape;
pub use erf::{erf, erfc};
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
/// `tokens` and `targets` are `[batch][seq]`.
///
/// # Panics
/// If the shape is invalid, the rows differ in length, an id is not below `vocab`, a sequence is
/// empty or longer than `max_positions`, or `params` are those of another shape.
#[must_use]
pub fn loss_and_gradients(
    shape: &GptShape,
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
pub fn loss(shape: &GptShape, params: &Params, tokens: &[Vec<u32>], targets: &[Vec<u32>]) -> f64 {
    let mut step = Step::new(shape, params, tokens, targets);
    step.forward(&flat(tokens));
    ops::cross_entropy(step.rows("logits").view(), &flat(targets)).0
}

/// The whole step: loss, gradients, activations.
///
/// # Panics
/// As [`loss_and_gradients`].
#[must_use]
pub fn trace(shape: &GptShape, params: &Params, tokens: &[Vec<u32>], targets: &[Vec<u32>]) -> Trace {
    let mut step = Step::new(shape, params, tokens, targets);
    step.forward(&flat(tokens));
    let loss = step.backward(&flat(tokens), &flat(targets));
    step.tensors.insert("loss".into(), ArrayD::from_elem(IxDyn(&[]), loss));
    Trace { loss, gradients: step.gradients, tensors: step.tensors }
}

fn flat(ids: &[Vec<u32>]) -> Vec<usize> {
    ids.iter().flatten().map(|id| *id as usize).collect()
}

/// A step under way: the tape of activations and the gradients so far.
struct Step<'a> {
    params: &'a Params,
    layers: u32,
    vocab: usize,
    heads: Heads,
    tensors: BTreeMap<String, ArrayD<f64>>,
    gradients: Params,
}

impl<'a> Step<'a> {
    fn new(shape: &GptShape, params: &'a Params, tokens: &[Vec<u32>], targets: &[Vec<u32>]) -> Self {
        assert!(shape.validate().is_empty(), "the shape is valid");
        params.assert_fits(shape);
        let seq = tokens.first().map_or(0, Vec::len);
        assert!(seq > 0 && seq <= shape.max_positions as usize, "sequences fit the position table");
        assert_eq!(tokens.len(), targets.len(), "each sequence has targets");
        for row in tokens.iter().chain(targets) {
            assert_eq!(row.len(), seq, "all sequences are of the same length");
            assert!(row.iter().all(|id| *id < shape.vocab), "ids are below the vocabulary size");
        }
        Self {
            params,
            layers: shape.layers,
            vocab: shape.vocab as usize,
            heads: Heads { batch: tokens.len(), seq, heads: shape.heads as usize },
            tensors: BTreeMap::new(),
            gradients: Params::zeros(shape),
        }
    }

    /// Keeps `[tokens, features]` as `[batch, seq, features]`.
    fn keep(&mut self, name: &str, rows: Array2<f64>) {
        let dims = IxDyn(&[self.heads.batch, self.heads.seq, rows.ncols()]);
        let tensor = rows.as_standard_layout().into_owned().into_shape_with_order(dims);
        self.tensors.insert(name.to_owned(), tensor.expect("rows are batch times seq"));
    }

    /// What was kept, as `[tokens, features]`.
    fn rows(&self, name: &str) -> Array2<f64> {
        let tensor = &self.tensors[name];
        let features = tensor.shape()[2];
        let dims = (tensor.len() / features, features);
        tensor.to_shape(dims).expect("kept tensors have three dimensions").into_owned()
    }

    fn matrix(&self, name: &str) -> ArrayView2<'a, f64> {
        let view = self.params.tensors[name].view();
        view.into_dimensionality().expect("assert_fits checked the dimensions")
    }

    fn vector(&self, name: &str) -> ArrayView1<'a, f64> {
        let view = self.params.tensors[name].view();
        view.into_dimensionality().expect("assert_fits checked the dimensions")
    }

    /// Adds to a parameter's gradient.
    fn accumulate<D: ndarray::Dimension>(&mut self, name: &str, gradient: ndarray::Array<f64, D>) {
        let sum = self.gradients.tensors.get_mut(name).expect("every parameter has a gradient");
        *sum += &gradient.into_dyn();
    }

    fn layer_norm(&mut self, from: &str, to: &str) {
        let (gain, bias) = (format!("{to}.weight"), format!("{to}.bias"));
        let y = ops::layer_norm(&self.rows(from), self.vector(&gain), self.vector(&bias));
        self.keep(to, y);
    }

    fn linear(&self, from: &str, module: &str) -> Array2<f64> {
        let (weight, bias) = (format!("{module}.weight"), format!("{module}.bias"));
        self.rows(from).dot(&self.matrix(&weight)) + self.vector(&bias)
    }

    fn forward(&mut self, tokens: &[usize]) {
        let (wte, wpe) = (self.matrix("wte"), self.matrix("wpe"));
        let embed = Array2::from_shape_fn((tokens.len(), wte.ncols()), |(row, feature)| {
            wte[[tokens[row], feature]] + wpe[[row % self.heads.seq, feature]]
        });
        self.keep("embed", embed);
        for l in 0..self.layers {
            self.forward_layer(l);
        }
        self.layer_norm(&entering(self.layers), "ln_f");
        let logits = self.rows("ln_f").dot(&wte.t());
        self.keep("logits", logits);
    }

    fn forward_layer(&mut self, l: u32) {
        let n = |name: &str| format!("h.{l}.{name}");
        let x = entering(l);
        self.layer_norm(&x, &n("ln_1"));
        let qkv = self.linear(&n("ln_1"), &n("attn.c_attn"));
        for (part, name) in ["q", "k", "v"].into_iter().enumerate() {
            self.keep(&n(name), third(&qkv, part));
        }
        let (q, k, v) = (self.rows(&n("q")), self.rows(&n("k")), self.rows(&n("v")));
        let scores = self.heads.scores(&q, &k);
        let softmax = self.heads.softmax(&scores);
        self.keep(&n("attn"), self.heads.weighted_values(&softmax, &v));
        self.tensors.insert(n("scores"), scores.into_dyn());
        self.tensors.insert(n("softmax"), softmax.into_dyn());
        self.keep(&n("proj"), self.linear(&n("attn"), &n("attn.c_proj")));
        self.keep(&n("resid_1"), self.rows(&x) + self.rows(&n("proj")));
        self.layer_norm(&n("resid_1"), &n("ln_2"));
        self.keep(&n("ffn_up"), self.linear(&n("ln_2"), &n("mlp.c_fc")));
        self.keep(&n("gelu"), self.rows(&n("ffn_up")).mapv(ops::gelu));
        self.keep(&n("ffn_down"), self.linear(&n("gelu"), &n("mlp.c_proj")));
        self.keep(&n("resid_2"), self.rows(&n("resid_1")) + self.rows(&n("ffn_down")));
    }

    /// Everything from the logits back; gives the loss.
    fn backward(&mut self, tokens: &[usize], targets: &[usize]) -> f64 {
        let (loss, d_logits) = ops::cross_entropy(self.rows("logits").view(), targets);
        self.accumulate("wte", d_logits.t().dot(&self.rows("ln_f")));
        self.keep("d.ln_f", d_logits.dot(&self.matrix("wte")));
        self.keep("d.logits", d_logits);
        let top = entering(self.layers);
        let d_top = self.layer_norm_backward(&top, "ln_f");
        self.keep(&format!("d.{top}"), d_top);
        for l in (0..self.layers).rev() {
            self.backward_ffn(l);
            self.backward_attention(l);
        }
        let d_embed = self.rows("d.embed");
        let mut d_wte = Array2::zeros((self.vocab, d_embed.ncols()));
        let mut d_wpe = Array2::zeros(self.matrix("wpe").dim());
        for (row, gradient) in d_embed.outer_iter().enumerate() {
            let mut entry = d_wte.row_mut(tokens[row]);
            entry += &gradient;
            let mut entry = d_wpe.row_mut(row % self.heads.seq);
            entry += &gradient;
        }
        self.accumulate("wte", d_wte);
        self.accumulate("wpe", d_wpe);
        loss
    }

    /// Gradient with respect to the input `from` of the LayerNorm `name`.
    fn layer_norm_backward(&mut self, from: &str, name: &str) -> Array2<f64> {
        let (gain, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let dy = self.rows(&format!("d.{name}"));
        let (dx, d_gain, d_bias) = ops::layer_norm_backward(&self.rows(from), self.vector(&gain), &dy);
        self.accumulate(&gain, d_gain);
        self.accumulate(&bias, d_bias);
        dx
    }

    /// Gradient with respect to the input `from` of a product, given that of its output.
    fn linear_backward(&mut self, from: &str, module: &str, dy: &Array2<f64>) -> Array2<f64> {
        let (weight, bias) = (format!("{module}.weight"), format!("{module}.bias"));
        self.accumulate(&weight, self.rows(from).t().dot(dy));
        self.accumulate(&bias, dy.sum_axis(ndarray::Axis(0)));
        dy.dot(&self.matrix(&weight).t())
    }

    fn backward_ffn(&mut self, l: u32) {
        let n = |name: &str| format!("h.{l}.{name}");
        let d = |name: &str| format!("d.h.{l}.{name}");
        let dy = self.rows(&d("resid_2"));
        let d_gelu = self.linear_backward(&n("gelu"), &n("mlp.c_proj"), &dy);
        let d_up = &d_gelu * &self.rows(&n("ffn_up")).mapv(ops::gelu_derivative);
        let d_ln = self.linear_backward(&n("ln_2"), &n("mlp.c_fc"), &d_up);
        self.keep(&d("ffn_down"), dy.clone());
        self.keep(&d("gelu"), d_gelu);
        self.keep(&d("ffn_up"), d_up);
        self.keep(&d("ln_2"), d_ln);
        let branch = self.layer_norm_backward(&n("resid_1"), &n("ln_2"));
        self.keep(&d("resid_1"), dy + &branch);
        self.keep(&d("resid_1.branch"), branch);
    }

    fn backward_attention(&mut self, l: u32) {
        let n = |name: &str| format!("h.{l}.{name}");
        let d = |name: &str| format!("d.h.{l}.{name}");
        let dy = self.rows(&d("resid_1"));
        let d_attn = self.linear_backward(&n("attn"), &n("attn.c_proj"), &dy);
        let (q, k, v) = (self.rows(&n("q")), self.rows(&n("k")), self.rows(&n("v")));
        let softmax = self.tensors[&n("softmax")].clone().into_dimensionality();
        let softmax = softmax.expect("kept with four dimensions");
        let (d_softmax, d_v) = self.heads.weighted_values_backward(&softmax, &v, &d_attn);
        let d_scores = self.heads.softmax_backward(&softmax, &d_softmax);
        let (d_q, d_k) = self.heads.scores_backward(&q, &k, &d_scores);
        let parts = [d_q.view(), d_k.view(), d_v.view()];
        let d_qkv = ndarray::concatenate(ndarray::Axis(1), &parts).expect("q, k and v are of one shape");
        let d_ln = self.linear_backward(&n("ln_1"), &n("attn.c_attn"), &d_qkv);
        self.keep(&d("proj"), dy.clone());
        for (name, rows) in [("attn", d_attn), ("q", d_q), ("k", d_k), ("v", d_v), ("ln_1", d_ln)] {
            self.keep(&d(name), rows);
        }
        self.tensors.insert(d("softmax"), d_softmax.into_dyn());
        self.tensors.insert(d("scores"), d_scores.into_dyn());
        let x = entering(l);
        let branch = self.layer_norm_backward(&x, &n("ln_1"));
        self.keep(&format!("d.{x}"), dy + &branch);
        self.keep(&format!("d.{x}.branch"), branch);
    }
}

/// The tensor that enters layer `l`.
fn entering(l: u32) -> String {
    if l == 0 { "embed".to_owned() } else { format!("h.{}.resid_2", l - 1) }
}

/// Columns of queries (0), keys (1) or values (2).
fn third(qkv: &Array2<f64>, part: usize) -> Array2<f64> {
    let d = qkv.ncols() / 3;
    qkv.slice_axis(ndarray::Axis(1), (part * d..(part + 1) * d).into()).to_owned()
}
