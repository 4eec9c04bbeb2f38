//! Which buffers the tensors of a layer graph are in.
//!
//! **Invariant.** A buffer's name says what it holds; tensors of one buffer are never needed at the
//! same time. All gradients of the residual stream are in [`STREAM`].
//! **Not here.** Operations (`operations`), kernels.

use crate::kernel::local;
use crate::layout::Features;
use models::design::{Block, Decimal, Design};
use models::{LayerGraph, LayerOp};

/// Buffer of the gradient of the residual stream.
pub(super) const STREAM: &str = "d.x";

/// Names of buffers for the tensors of a model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub(super) design: Design,
    pub(super) layers: u32,
}

/// The residual stream that enters layer `l`; kept from the forward pass for recomputation.
fn residual(l: u32) -> String {
    format!("x.{l}")
}

impl Names {
    pub(super) fn of(graph: &LayerGraph) -> Names {
        Names { design: graph.shape().design, layers: graph.shape().layers }
    }

    /// What an operation multiplies by.
    pub(super) fn factor(&self, op: &LayerOp) -> Decimal {
        if op.name == "embed_scaled" { self.design.embedding_scale } else { self.design.logit_scale }
    }

    /// The buffer behind the last layer.
    pub(super) fn top(&self) -> String {
        residual(self.layers)
    }

    /// The buffer of a tensor.
    pub(super) fn buffer(&self, tensor: &str) -> String {
        let name = local(tensor);
        let layer = || tensor.split('.').nth(1).and_then(|l| l.parse::<u32>().ok());
        let last = if self.design.block == Block::Post { "ln_2" } else { "resid_2" };
        match name {
            "embed_ln" => residual(0),
            // Multiplied where it is.
            "embed" | "embed_scaled" if !self.design.embedding_norm => residual(0),
            "q" | "k" | "v" | "q_rot" | "k_rot" => "qkv".to_owned(),
            name if name == last => residual(layer().map_or(0, |l| l + 1)),
            name => name.to_owned(),
        }
    }

    /// The buffer of the gradient with respect to a tensor.
    pub(super) fn gradient(&self, tensor: &str) -> String {
        let post = self.design.block == Block::Post;
        match self.buffer(tensor).as_str() {
            "embed" | "resid_1" | "resid_2" | "ffn_down" | "proj" => STREAM.to_owned(),
            "ln_1" if post => STREAM.to_owned(),
            name if name.starts_with("x.") => STREAM.to_owned(),
            "gelu" | "swiglu" | "ffn_up" => "d.ffn".to_owned(),
            "head_gelu" | "head_dense" => "d.head".to_owned(),
            "pooler" | "pooled" => "d.pooled".to_owned(),
            "embed_scaled" => STREAM.to_owned(),
            "qkv" => "qkv".to_owned(),
            name => format!("d.{name}"),
        }
    }
}

/// How a buffer is spread over the columns.
pub(super) fn features(buffer: &str) -> Features {
    match buffer {
        "ffn_up" | "ffn_gate" | "gelu" | "swiglu" => Features::Ffn,
        "qkv" => Features::Qkv,
        "logits" => Features::Vocab,
        _ => Features::Hidden,
    }
}
