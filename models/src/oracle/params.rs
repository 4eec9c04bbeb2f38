//! The parameters of a model as f64 arrays, and a repeatable way to fill them.
//!
//! **Invariant.** [`Params::zeros`] and [`Params::seeded`] hold exactly the tensors of the shape, under
//! the names of Hugging Face's GPT-2 and in its layouts (matrices input-major), whatever the design.
//! **Not here.** training initialisation; values are chosen so that every gradient is far
//! from zero.

use std::collections::BTreeMap;

use ndarray::{ArrayD, IxDyn};
use sim_core::util::random::SplitMix64;

use crate::shape::ModelShape;
use crate::shape::design::{Block, Design, Head, Norm, Positions};

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

    /// Parameters drawn with a fixed generator (SplitMix64) in the order of names, uniformly:
    /// matrices and tables with standard deviation 0.2, biases within ±0.2, LayerNorm gains within
    /// 1 ± 0.2. The same on every platform.
    #[must_use]
    pub fn seeded(shape: &ModelShape, seed: u64) -> Self {
        let mut generator = SplitMix64::new(seed);
        let mut params = Self::zeros(shape);
        for (name, tensor) in &mut params.tensors {
            let gain = (name.contains("ln_") || name.contains("_ln")) && name.ends_with("weight");
            let centre = if gain { 1.0 } else { 0.0 };
            // A uniform value within ±w has standard deviation w/sqrt(3).
            let width = if tensor.ndim() == 2 { 0.2 * 3.0_f64.sqrt() } else { 0.2 };
            tensor.mapv_inplace(|_| centre + width * generator.symmetric());
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
    let bias = (design.norm == Norm::LayerNorm).then(|| (format!("{name}.bias"), vec![d]));
    [weight].into_iter().chain(bias).collect()
}
