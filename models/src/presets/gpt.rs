//! GPT-2 and GPT-3 in their published sizes.
//!
//! **Invariant.** Every model has GPT-2's design and vocabulary; a batch is that of a published configuration.
//! **Not here.** Cerebras-GPT, which has the same design ([`super::cerebras_gpt`]).

use super::preset::{Preset, Published};
use crate::shape::{Design, ModelShape};

const GPT2: &str = "sizes: huggingface.co/gpt2 config.json (124,439,808 parameters with 1024 \
    positions); run: batch 112 at 2048 tokens, which is the GPT-2 small configuration of \
    Cerebras/modelzoo Release_2.3.0 and the one measured on a CS-2 in \
    github.com/augustuszzq/Regular-DABench-LLM at 5f86bb6";

const PLAIN: &str = "sizes: config.json of huggingface.co/openai-community (gpt2-medium, gpt2-large, gpt2-xl); \
    Brown et al. 2020, table 2.1, with the heads of Cerebras/modelzoo (gpt3-*); batch: batch_size of the \
    configurations in Cerebras/modelzoo R_1.7.1, Release_1.8.0 and Release_2.1.1 (gpt2-medium: that of gpt2-large); \
    gpt3-256m: sizes of Cerebras-GPT 256M, batch of a measurement (arXiv 2409.00287v2, table V)";

/// GPT-2 small, then the others.
pub(super) fn list() -> impl Iterator<Item = Preset> {
    [gpt2_small()].into_iter().chain(PLAIN_ROWS.iter().map(plain))
}

/// Sizes with GPT-2's design, vocabulary and feed-forward block, which is four times as wide as the model.
pub(super) fn shape(name: &str, sizes: (u32, u32, u32), max_positions: u32) -> ModelShape {
    let (layers, d_model, heads) = sizes;
    ModelShape {
        name: name.to_owned(),
        design: Design::GPT2,
        layers,
        d_model,
        heads,
        d_ff: 4 * d_model,
        vocab: 50_257,
        max_positions,
    }
}

/// GPT-2 small with the 1024 positions of its release. The CS-2 run was at 2048 tokens, hence with a
/// longer table: [`Preset::shape_for`] gives that shape.
fn gpt2_small() -> Preset {
    Preset {
        shape: shape("gpt2-small", (12, 768, 12), 1024),
        published: Some(Published {
            batch: 112,
            seq_len: 2048,
            systems: 1,
            micro_batch_per_system: None,
            training: None,
        }),
        batch: 112,
        source: GPT2,
    }
}

/// Name; layers, width, heads; positions; sequences per step of the published configuration for one
/// CS-2, at as many tokens as positions.
type Plain = (&'static str, (u32, u32, u32), u32, u64);

/// Further models of the same architecture.
const PLAIN_ROWS: [Plain; 9] = [
    ("gpt3-256m", (14, 1088, 17), 2048, 256),
    ("gpt2-medium", (24, 1024, 16), 1024, 80),
    ("gpt2-large", (36, 1280, 20), 1024, 80),
    ("gpt2-xl", (48, 1600, 25), 1024, 95),
    ("gpt3-xl", (24, 2048, 16), 2048, 121),
    ("gpt3-2.7b", (32, 2560, 32), 2048, 99),
    ("gpt3-6.7b", (32, 4096, 32), 2048, 85),
    ("gpt3-13b", (40, 5120, 40), 2048, 60),
    ("gpt3-20b", (44, 6144, 64), 2048, 77),
];

fn plain(&(name, sizes, positions, batch): &Plain) -> Preset {
    let published = Published { batch, seq_len: positions, systems: 1, micro_batch_per_system: None, training: None };
    Preset { shape: shape(name, sizes, positions), published: Some(published), batch, source: PLAIN }
}
