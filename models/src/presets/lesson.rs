//! Models for lessons and tests: so small that a step is executed with all of its numbers in seconds.
//!
//! **Invariant.** What a large model's step needs, these need as well: several lanes and rings of several PEs, and
//! padding of tokens and vocabulary.
//! **Not here.** Models that anybody trained.

use super::preset::Preset;
use crate::shape::{Design, ModelShape};

/// GPT-2 with two layers. Twelve tokens fill three PEs of four tokens each, but a ring has an even number of rows: the
/// fourth is padding. A vocabulary of 61 divides over no number of columns. Two heads of twelve features divide over
/// two, three or four columns each, and four sequences over one, two or four lanes.
pub(super) fn list() -> impl Iterator<Item = Preset> {
    let shape = ModelShape {
        name: "tiny".to_owned(),
        design: Design::GPT2,
        layers: 2,
        d_model: 24,
        heads: 2,
        d_ff: 96,
        vocab: 61,
        max_positions: 12,
    };
    [Preset { shape, published: None, batch: 4, source: "no published model: for lessons and tests" }].into_iter()
}
