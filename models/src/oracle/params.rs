//! The parameters of a model as f64 arrays, and a repeatable way to fill them.
//!
//! **Invariant.** [`Params::zeros`] and [`Params::seeded`] hold exactly the tensors of the shape, under
//! the names of Hugging Face's GPT-2 and in its layouts (matrices input-major), whatever the design.
//! **Not here.** Tokens and targets ([`super::inputs`]).

use std::collections::BTreeMap;

use ndarray::{ArrayD, IxDyn};
use sim_core::util::random::SplitMix64;

use crate::shape::ModelShape;
use crate::shape::design::{Block, Design, Head, Positions};

/// Parameters, or gradients with respect to them, by name: `wte` `[V, d]`, `wpe` `[P, d]`,
/// `h.{l}.ln_1.weight|bias` `[d]`, `h.{l}.attn.c_attn.weight` `[d, 3d]` and `.bias` `[3d]`,
/// `h.{l}.attn.c_proj.weight` `[d, d]` and `.bias` `[d]`, `h.{l}.ln_2.weight|bias` `[d]`,
/// `h.{l}.mlp.c_fc.weight` `[d, f]` and `.bias` `[f]`, `h.{l}.mlp.c_proj.weight` `[f, d]` and
/// `.bias` `[d]`, `ln_f.weight|bias` `[d]`. With `k` features of keys, `c_attn` has `d + 2k` columns.
/// Other designs have `h.{l}.mlp.c_gate` like `c_fc`, `wtt` `[token types, d]`, `embed_ln`,
/// `lm_head.weight` `[V, d]` and `.bias` `[V]`, `head.dense` and `pooler.dense` `[d, d]`, `head_ln`,
/// `classifier` `[d, labels]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// The arrays by name.
    pub tensors: BTreeMap<String, ArrayD<f64>>,
}

impl Params {
    /// Zeros in the shape of every parameter.
    #[must_use]
    pub fn zeros(shape: &ModelShape) -> Self {
        let tensors = sizes(shape).into_iter();
        Self { tensors: tensors.map(|(name, dims)| (name, ArrayD::zeros(IxDyn(&dims)))).collect() }
    }

    /// Parameters by which an implementation is checked: drawn from [`SplitMix64`] with `seed` in the order of names,
    /// uniformly, matrices and tables with standard deviation 0.2, biases within ±0.2, gains of norms within 1 ± 0.2, so
    /// that every gradient is far from zero. The same on every platform.
    #[must_use]
    pub fn seeded(shape: &ModelShape, seed: u64) -> Self {
        let mut generator = SplitMix64::new(seed);
        let mut params = Self::zeros(shape);
        for (name, tensor) in &mut params.tensors {
            let centre = if is_gain(name) { 1.0 } else { 0.0 };
            let width = if tensor.ndim() == 2 { within(0.2) } else { 0.2 };
            tensor.mapv_inplace(|_| centre + width * generator.symmetric());
        }
        params
    }

    /// Parameters as training begins with them, after GPT-2: matrices and tables with standard deviation 0.02, those of
    /// products that are added to the residual stream less by `sqrt(2 · layers)`, biases 0, gains of norms 1. Drawn in
    /// the order of names; uniformly, because a sum of exact steps is the same on every platform and a normal
    /// distribution is not.
    #[must_use]
    pub fn initial(shape: &ModelShape, generator: &mut SplitMix64) -> Self {
        let mut params = Self::zeros(shape);
        let residual = 0.02 / (2.0 * f64::from(shape.layers)).sqrt();
        for (name, tensor) in &mut params.tensors {
            if tensor.ndim() == 2 {
                let deviation = if name.ends_with("c_proj.weight") { residual } else { 0.02 };
                tensor.mapv_inplace(|_| within(deviation) * generator.symmetric());
            } else if is_gain(name) {
                tensor.fill(1.0);
            }
        }
        params
    }

    /// Asserts that these are the parameters of `shape`.
    pub(super) fn assert_fits(&self, shape: &ModelShape) {
        let expected = sizes(shape);
        for (name, dims) in &expected {
            let found = self.tensors.get(name).map(ArrayD::shape);
            assert_eq!(found, Some(&dims[..]), "parameter {name} has the size that the model gives it");
        }
        assert_eq!(self.tensors.len(), expected.len(), "no parameter is unknown to the model");
    }
}

/// Whether a parameter is the gain of a norm.
fn is_gain(name: &str) -> bool {
    (name.contains("ln_") || name.contains("_ln")) && name.ends_with("weight")
}

/// How far from its mean a uniform number may be, for a standard deviation.
fn within(deviation: f64) -> f64 {
    deviation * 3.0_f64.sqrt()
}

/// Names and dimensions of all parameters.
fn sizes(shape: &ModelShape) -> Vec<(String, Vec<usize>)> {
    let (d, v) = (shape.d_model as usize, shape.vocab as usize);
    let design = &shape.design;
    let mut list = vec![("wte".to_owned(), vec![v, d])];
    if design.positions == Positions::Learned {
        list.push(("wpe".to_owned(), vec![shape.max_positions as usize, d]));
    }
    if design.token_types > 0 {
        list.push(("wtt".to_owned(), vec![design.token_types as usize, d]));
    }
    if design.embedding_norm {
        list.extend(norm(design, "embed_ln", d));
    }
    if design.block != Block::Post {
        list.extend(norm(design, "ln_f", d));
    }
    for l in 0..shape.layers {
        list.extend(layer(shape, &format!("h.{l}")));
    }
    match design.head {
        Head::Tied => {}
        Head::Untied { bias } => {
            list.push(("lm_head.weight".to_owned(), vec![v, d]));
            list.extend(bias.then(|| ("lm_head.bias".to_owned(), vec![v])));
        }
        Head::MaskedLm => {
            list.extend(linear("head.dense", d, d, true));
            list.extend(norm(design, "head_ln", d));
            list.push(("lm_head.bias".to_owned(), vec![v]));
        }
        Head::Classifier { labels } => {
            list.extend(linear("pooler.dense", d, d, true));
            list.extend(linear("classifier", d, labels as usize, true));
        }
    }
    list
}

/// Parameters of the layer `h`.
fn layer(shape: &ModelShape, h: &str) -> Vec<(String, Vec<usize>)> {
    let (design, d, f) = (&shape.design, shape.d_model as usize, shape.d_ff as usize);
    let kv = 2 * (shape.kv_heads() * shape.d_head()) as usize;
    let biases = design.biases;
    let mut list = norm(design, &format!("{h}.ln_1"), d);
    if design.block != Block::ParallelOneNorm {
        list.extend(norm(design, &format!("{h}.ln_2"), d));
    }
    list.extend(linear(&format!("{h}.attn.c_attn"), d, d + kv, biases.qkv));
    list.extend(linear(&format!("{h}.attn.c_proj"), d, d, biases.projection));
    if design.gated() {
        list.extend(linear(&format!("{h}.mlp.c_gate"), d, f, biases.feed_forward));
    }
    list.extend(linear(&format!("{h}.mlp.c_fc"), d, f, biases.feed_forward));
    list.extend(linear(&format!("{h}.mlp.c_proj"), f, d, biases.feed_forward));
    list
}

fn linear(module: &str, input: usize, output: usize, bias: bool) -> Vec<(String, Vec<usize>)> {
    let weight = (format!("{module}.weight"), vec![input, output]);
    let bias = bias.then(|| (format!("{module}.bias"), vec![output]));
    [weight].into_iter().chain(bias).collect()
}

fn norm(design: &Design, name: &str, d: usize) -> Vec<(String, Vec<usize>)> {
    let weight = (format!("{name}.weight"), vec![d]);
    let bias = design.norm.has_bias().then(|| (format!("{name}.bias"), vec![d]));
    [weight].into_iter().chain(bias).collect()
}
