//! The sizes of a model.
//!
//! **Invariant.** Fields are public because a shape is plain data; [`ModelShape::validate`] is called where one enters
//! the program.
//! **Not here.** What the sizes may be ([`super::limits`]), what they count to ([`super::count`]).

use super::design::{Design, Head};
use serde::{Deserialize, Serialize};

/// Sizes and design of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelShape {
    /// The name shown in reports.
    pub name: String,
    /// Which operations it consists of.
    pub design: Design,
    /// Decoder layers.
    pub layers: u32,
    /// Hidden size: features per token between layers.
    pub d_model: u32,
    /// Attention heads; must divide `d_model`.
    pub heads: u32,
    /// Features inside the feed-forward block, usually `4 * d_model`.
    pub d_ff: u32,
    /// Tokens in the vocabulary.
    pub vocab: u32,
    /// The longest sequence, in tokens; rows of the position table, if there is one.
    pub max_positions: u32,
}

impl ModelShape {
    /// Features per attention head; 0 if `heads` is 0. Exact only for a valid shape.
    #[must_use]
    pub fn d_head(&self) -> u32 {
        self.d_model.checked_div(self.heads).unwrap_or(0)
    }

    /// Heads of keys and values.
    #[must_use]
    pub fn kv_heads(&self) -> u32 {
        self.design.kv_heads.unwrap_or(self.heads)
    }

    /// Entries that the loss chooses from: the vocabulary, or the labels of a classifier.
    #[must_use]
    pub fn classes(&self) -> u32 {
        match self.design.head {
            Head::Classifier { labels } => labels,
            Head::Tied | Head::Untied { .. } | Head::MaskedLm => self.vocab,
        }
    }
}
