//! The stage `Tiled`: which kernels a training step consists of, on which windows, in which order.
//!
//! Every operation of the layer graph is lowered exactly once per pass over it; the forward
//! operations of a layer are lowered once more, as *recompute*, before its backward operations.
//!
//! **Invariant.** An operation that no kernel executes is a fault ([`Tiled::verify`]): nothing is
//! free. Names of buffers say what they hold; a buffer that is written anew is a new one.
//! **Not here.** Addresses (`memory`), the choice of the geometry (`mapping`).

use crate::geometry::{Features, Geometry};
use crate::kernel::{Act, Kernel, WeightRef, local};
use crate::kernels::attention::{AttentionBackward, AttentionForward};
use crate::kernels::colsum::ColSum;
use crate::kernels::elementwise::{Add, Copy, Gelu, GeluGrad};
use crate::kernels::embed::{EmbedGrad, EmbedScatter};
use crate::kernels::gemm::Gemm;
use crate::kernels::loss::CrossEntropy;
use crate::kernels::norm::{LayerNorm, LayerNormGrad};
use crate::kernels::outer::Outer;
use crate::kernels::row_sum::{Parts, RowSum};
use models::{LayerGraph, LayerOp, OpKind, Phase};
use sim_core::diag::Diagnostic;
use sim_core::program::DType;
use std::collections::BTreeSet;
use std::fmt;

/// Most input slots of a GEMM, and most slots of a stationary operand of an outer product: larger
/// windows are cut, which bounds code and accumulators.
const SLOTS_MAX: u32 = 32;
/// Length of AXPYs that outer products aim at.
const GATHER_TARGET: u32 = 64;

/// Which part of the step a kernel belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pass {
    /// From tokens to loss.
    Forward,
    /// A layer's forward operations again, from its kept input.
    Recompute,
    /// Gradients of activations.
    Backward,
    /// Gradients of weights.
    WeightGradient,
}

impl Pass {
    /// Name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::Recompute => "recompute",
            Pass::Backward => "backward",
            Pass::WeightGradient => "weight_gradient",
        }
    }
}

/// A kernel at its place in the step.
#[derive(Debug)]
pub struct Tile {
    /// The kernel.
    pub kernel: Box<dyn Kernel>,
    /// The part of the step.
    pub pass: Pass,
    /// The layer, if it belongs to one.
    pub layer: Option<u32>,
}

/// A training step as kernels on windows.
#[derive(Debug)]
pub struct Tiled {
    /// The layout.
    pub geometry: Geometry,
    /// The kernels in order.
    pub tiles: Vec<Tile>,
    /// Operations of the graph that the kernels execute.
    covered: BTreeSet<String>,
    /// Operations of the graph.
    wanted: BTreeSet<String>,
}

impl Tiled {
    /// Lowers a training step, with the tokens of a PE passed through the LM head in `lm_chunks`
    /// parts.
    #[must_use]
    pub fn new(graph: &LayerGraph, geometry: &Geometry, lm_chunks: u32) -> Tiled {
        let wanted = graph.graph().node_weights().map(|op| op.name.clone()).collect();
        let mut t = Tiled { geometry: geometry.clone(), tiles: Vec::new(), covered: BTreeSet::new(), wanted };
        let order: Vec<&LayerOp> = graph.topological_order().into_iter().map(|i| graph.op(i)).collect();
        let of = |layer: Option<u32>| {
            order.iter().filter(move |op| op.phase == Phase::Forward && op.layer == layer).copied().collect::<Vec<_>>()
        };
        let layers = graph.shape().layers;
        let outer = of(None);
        for op in outer.iter().filter(|op| op.kind == OpKind::Embedding) {
            t.forward(op, layers, Pass::Forward);
        }
        for l in 0..layers {
            for op in of(Some(l)) {
                t.forward(op, layers, Pass::Forward);
            }
        }
        for op in outer.iter().filter(|op| op.kind != OpKind::Embedding) {
            t.forward(op, layers, Pass::Forward);
        }
        t.head(lm_chunks);
        t.back("ln_f", OpKind::FinalLayerNorm, None, layers);
        for l in (0..layers).rev() {
            let ops = of(Some(l));
            for op in ops.iter().filter(|op| !only_forward(op)) {
                t.forward(op, layers, Pass::Recompute);
            }
            for op in ops.iter().rev() {
                t.back(&op.name, op.kind, Some(l), layers);
            }
        }
        t.back("embed", OpKind::Embedding, None, layers);
        t
    }

    /// Operations that no kernel executes, and kernels for operations that are not in the graph.
    #[must_use]
    pub fn verify(&self) -> Vec<Diagnostic> {
        let missing = self.wanted.difference(&self.covered).map(|n| (n, "no kernel executes this operation"));
        let extra = self.covered.difference(&self.wanted).map(|n| (n, "the graph has no such operation"));
        missing.chain(extra).map(|(name, text)| Diagnostic::new("M004", name, text)).collect()
    }

    fn push(&mut self, pass: Pass, layer: Option<u32>, kernel: impl Kernel + 'static) {
        self.tiles.push(Tile { kernel: Box::new(kernel), pass, layer });
    }

    fn act(&self, name: &str, features: Features) -> Act {
        Act::whole(&self.geometry, name, features)
    }

    fn hidden(&self, name: &str) -> Act {
        self.act(name, Features::Hidden)
    }

    /// Query, key or value: a third of the fused buffer.
    fn third(&self, name: &str, part: u32) -> Act {
        let hidden = self.geometry.hidden;
        Act { features: Features::Hidden, first_slot: part * hidden, slots: hidden, ..self.act(name, Features::Qkv) }
    }

    /// The kernels of a forward operation.
    fn forward(&mut self, op: &LayerOp, layers: u32, pass: Pass) {
        if pass == Pass::Forward {
            self.covered.insert(op.name.clone());
        }
        let l = op.layer;
        let x = residual(l.unwrap_or(layers));
        let second = op.name.ends_with('2');
        match op.kind {
            OpKind::Embedding => self.push(pass, l, EmbedScatter { x: self.hidden(&residual(0)) }),
            OpKind::LayerNorm | OpKind::FinalLayerNorm => {
                let input = if second { "resid_1" } else { &x };
                let output = local(&op.name);
                let kernel = LayerNorm { x: self.hidden(input), y: self.hidden(output), tensor: stem(op, "weight") };
                self.push(pass, l, kernel);
            }
            OpKind::Qkv => self.linear(op, pass, ("ln_1", Features::Hidden), ("qkv", Features::Qkv)),
            OpKind::AttentionScores | OpKind::Softmax => {} // in one kernel with the values
            OpKind::AttentionValues => {
                let [q, k, v] = [0, 1, 2].map(|i| self.third("qkv", i));
                let stats = (pass == Pass::Recompute).then(|| "stats".to_owned());
                self.push(pass, l, AttentionForward { q, k, v, out: self.hidden("attn"), stats, chunks: 1 });
            }
            OpKind::Projection => self.linear(op, pass, ("attn", Features::Hidden), ("proj", Features::Hidden)),
            OpKind::FfnUp => self.linear(op, pass, ("ln_2", Features::Hidden), ("ffn_up", Features::Ffn)),
            OpKind::Gelu => {
                let (x, y) = (self.act("ffn_up", Features::Ffn), self.act("gelu", Features::Ffn));
                self.push(pass, l, Gelu { x, y });
            }
            OpKind::FfnDown => self.linear(op, pass, ("gelu", Features::Ffn), ("ffn_down", Features::Hidden)),
            OpKind::Residual => {
                let next = residual(l.unwrap_or(0) + 1);
                let (a, b, out) =
                    if second { ("resid_1", "ffn_down", next.as_str()) } else { (x.as_str(), "proj", "resid_1") };
                let kernel = Add { a: self.hidden(a), b: self.hidden(b), out: self.hidden(out) };
                self.push(pass, l, kernel);
            }
            OpKind::LmHead | OpKind::CrossEntropy => {} // in `head`, chunk by chunk
        }
    }

    /// `y = x · W + b`.
    fn linear(&mut self, op: &LayerOp, pass: Pass, x: (&str, Features), y: (&str, Features)) {
        let weight = WeightRef {
            tensor: op.weights[0].name.clone(),
            transposed: false,
            bias: op.weights.get(1).map(|b| b.name.clone()),
            mask_padding: false,
        };
        self.gemm(local(&op.name), (pass, op.layer), self.act(x.0, x.1), self.act(y.0, y.1), &weight);
    }

    /// A GEMM, cut over its input slots where there are many.
    fn gemm(&mut self, label: &str, place: (Pass, Option<u32>), x: Act, y: Act, weight: &WeightRef) {
        let label = match place.0 {
            Pass::Backward => format!("{label} input gradient"),
            _ => label.to_owned(),
        };
        for (i, (first, slots)) in parts(x.slots, SLOTS_MAX).into_iter().enumerate() {
            let mut weight = weight.clone();
            if i > 0 {
                weight.bias = None;
            }
            let x = Act { first_slot: x.first_slot + first, slots, ..x.clone() };
            self.push(place.0, place.1, Gemm { label: label.clone(), x, y: y.clone(), weight, add: i > 0 });
        }
    }

    /// The weight gradient `dW[in][out]` of a linear operation, and that of its bias.
    fn outer(&mut self, label: &str, layer: Option<u32>, x: Act, dy: Act, stem: &str) {
        let pass = Pass::WeightGradient;
        // The operand with more slots is stationary; `[in][out]` is the parameter's own order.
        let (a, b, transposed) = if x.slots >= dy.slots { (x, dy.clone(), false) } else { (dy.clone(), x, true) };
        self.outer_parts(&format!("{label} weight gradient"), layer, a, b, (format!("{stem}.weight"), transposed));
        let label = format!("{label} bias gradient");
        self.push(pass, layer, ColSum { label, b: dy, times: None, tensor: format!("{stem}.bias") });
    }

    fn outer_parts(&mut self, label: &str, layer: Option<u32>, a: Act, b: Act, to: (String, bool)) {
        let gather = gather(self.geometry.lane_columns(), b.slots);
        for (first, slots) in parts(a.slots, SLOTS_MAX) {
            let a = Act { first_slot: a.first_slot + first, slots, ..a.clone() };
            let (tensor, transposed) = to.clone();
            let kernel = Outer { label: label.to_owned(), a, b: b.clone(), tensor, transposed, gather };
            self.push(Pass::WeightGradient, layer, kernel);
        }
    }

    /// LM head, loss, and their gradients, by chunks of tokens.
    fn head(&mut self, chunks: u32) {
        self.covered.extend(
            ["lm_head", "loss", "loss.backward", "lm_head.backward", "lm_head.weight_gradient"].map(str::to_owned),
        );
        let tokens = self.geometry.tokens;
        let wte = |transposed| WeightRef { tensor: "wte".to_owned(), transposed, bias: None, mask_padding: transposed };
        for (first, count) in parts(tokens, tokens.div_ceil(chunks).next_multiple_of(4)) {
            let window = |a: Act| Act { first_token: first, tokens: count, ..a };
            let logits = Act { row: count, tokens: count, ..self.act("logits", Features::Vocab) };
            let x = window(self.hidden("ln_f"));
            let label = "lm head".to_owned();
            let kernel = Gemm { label, x: x.clone(), y: logits.clone(), weight: wte(true), add: false };
            self.push(Pass::Forward, None, kernel);
            self.push(Pass::Backward, None, CrossEntropy { logits: logits.clone(), first_token: first });
            self.push(Pass::Backward, None, RowSum { parts: Parts::Loss });
            let dx = window(Act { dtype: DType::F32, ..self.hidden("d.ln_f.sum") });
            self.gemm("lm head", (Pass::Backward, None), logits.clone(), dx, &wte(false));
            self.outer_parts("lm head weight gradient", None, logits, x, ("wte".to_owned(), false));
        }
        let from = Act { dtype: DType::F32, ..self.hidden("d.ln_f.sum") };
        self.push(Pass::Backward, None, Copy { from, to: self.hidden("d.branch") });
    }

    /// The gradients of an operation: of its weights, then of its input.
    fn back(&mut self, name: &str, kind: OpKind, layer: Option<u32>, layers: u32) {
        let weights = !matches!(
            kind,
            OpKind::AttentionScores | OpKind::Softmax | OpKind::AttentionValues | OpKind::Gelu | OpKind::Residual
        );
        if weights {
            self.covered.insert(format!("{name}.weight_gradient"));
        }
        if kind != OpKind::Embedding {
            self.covered.insert(format!("{name}.backward"));
        }
        let x = residual(layer.unwrap_or(layers));
        let prefix = name.strip_suffix(local(name)).unwrap_or("").to_owned();
        let pass = Pass::Backward;
        match kind {
            OpKind::Embedding => self.push(Pass::WeightGradient, layer, EmbedGrad { dx: self.hidden("d.x") }),
            OpKind::LayerNorm | OpKind::FinalLayerNorm => {
                let input = if name.ends_with('2') { "resid_1" } else { &x };
                let (x, dy, dx) = (self.hidden(input), self.hidden("d.branch"), self.hidden("d.x"));
                let add = kind == OpKind::LayerNorm;
                let kernel = LayerNormGrad { x, dy, dx, tensor: name.to_owned(), add };
                let parts = kernel.parts();
                self.push(pass, layer, kernel);
                self.push(Pass::WeightGradient, layer, RowSum { parts });
            }
            OpKind::Qkv => {
                let dy = self.act("d.qkv", Features::Qkv);
                self.linear_back("qkv", layer, self.hidden("ln_1"), dy, "d.branch", &format!("{prefix}attn.c_attn"));
            }
            OpKind::AttentionValues => {
                let [q, k, v] = [0, 1, 2].map(|i| self.third("qkv", i));
                let [dq, dk, dv] = [0, 1, 2].map(|i| self.third("d.qkv", i));
                let (out, d_out, stats) = (self.hidden("attn"), self.hidden("d.attn"), "stats".to_owned());
                self.push(pass, layer, AttentionBackward { q, k, v, out, d_out, stats, dq, dk, dv, chunks: 1 });
            }
            OpKind::Projection => {
                let dy = self.hidden("d.x");
                self.linear_back("proj", layer, self.hidden("attn"), dy, "d.attn", &format!("{prefix}attn.c_proj"));
            }
            OpKind::FfnUp => {
                let dy = self.act("d.ffn", Features::Ffn);
                self.linear_back("ffn_up", layer, self.hidden("ln_2"), dy, "d.branch", &format!("{prefix}mlp.c_fc"));
            }
            OpKind::Gelu => {
                let (x, dy) = (self.act("ffn_up", Features::Ffn), self.act("d.ffn", Features::Ffn));
                self.push(pass, layer, GeluGrad { x, dy: dy.clone(), dx: dy });
            }
            OpKind::FfnDown => {
                let x = self.act("gelu", Features::Ffn);
                self.linear_back("ffn_down", layer, x, self.hidden("d.x"), "d.ffn", &format!("{prefix}mlp.c_proj"));
            }
            // Scores and softmax: in one kernel with the values. The gradient of a sum is passed
            // on as it is; the sum over its branches is the `add` of LayerNorm's gradient.
            OpKind::AttentionScores | OpKind::Softmax | OpKind::Residual => {}
            OpKind::LmHead | OpKind::CrossEntropy => {}
        }
    }

    fn linear_back(&mut self, label: &str, layer: Option<u32>, x: Act, dy: Act, dx: &str, stem: &str) {
        let dx = self.act(dx, x.features);
        self.outer(label, layer, x, dy.clone(), stem);
        let weight = WeightRef { tensor: format!("{stem}.weight"), transposed: true, bias: None, mask_padding: false };
        self.gemm(label, (Pass::Backward, layer), dy, dx, &weight);
    }
}

/// The residual stream that enters layer `l`; kept from the forward pass for recomputation.
fn residual(l: u32) -> String {
    format!("x.{l}")
}

/// Operations whose results the backward pass does not need.
fn only_forward(op: &LayerOp) -> bool {
    op.kind == OpKind::FfnDown || (op.kind == OpKind::Residual && op.name.ends_with('2'))
}

/// Name of an operation's parameters without what follows the last dot.
fn stem(op: &LayerOp, last: &str) -> String {
    let name = &op.weights[0].name;
    name.strip_suffix(last).and_then(|n| n.strip_suffix('.')).unwrap_or(name).to_owned()
}

/// `length` cut into as few nearly equal parts of at most `most` as possible: `(first, count)`.
fn parts(length: u32, most: u32) -> Vec<(u32, u32)> {
    let n = length.div_ceil(most.max(1)).max(1);
    let mut size = length.div_ceil(n);
    if most.is_multiple_of(4) && length.is_multiple_of(4) && size < most {
        size = size.next_multiple_of(4).min(most);
    }
    (0..length).step_by(size.max(1) as usize).map(|first| (first, size.min(length - first))).collect()
}

/// Blocks that an outer product gathers: the divisor of the ring's length that brings the AXPYs
/// nearest to [`GATHER_TARGET`] elements.
fn gather(columns: u32, slots: u32) -> u32 {
    (1..=columns)
        .filter(|&n| columns.is_multiple_of(n))
        .min_by_key(|&n| ((n * slots).abs_diff(GATHER_TARGET), n))
        .unwrap_or(1)
}

impl fmt::Display for Tiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let g = &self.geometry;
        writeln!(
            f,
            "geometry {} lanes x {} columns ({} per head), {} sequences per lane x {} rows, {} tokens, {} {} {} slots per PE",
            g.lanes,
            g.lane_columns(),
            g.head_columns,
            g.sequences_per_lane,
            g.rows_per_sequence,
            g.tokens,
            g.hidden,
            g.ffn,
            g.vocab_slots
        )?;
        for tile in &self.tiles {
            let layer = tile.layer.map_or_else(|| "-".to_owned(), |l| l.to_string());
            writeln!(f, "{:<16} {layer:>4}  {}", tile.pass.name(), tile.kernel.name())?;
            for need in tile.kernel.needs(g) {
                writeln!(f, "    {:?} {} {}[{}]", need.access, need.name, need.dtype.name(), need.len)?;
            }
        }
        Ok(())
    }
}
