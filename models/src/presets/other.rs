//! Models of other designs than GPT-2's: GPT-J, GPT-NeoX, LLaMA, BERT, Falcon, StarCoder, BTLM, Jais.
//!
//! **Invariant.** Every number is followed to a source; a model of which no run was published has none.
//! **Not here.** GPT-2, GPT-3 and Cerebras-GPT.

use super::preset::{BATCH, Preset, Published};
use crate::shape::ModelShape;
use crate::shape::design::{Biases, Block, Decimal, Design, FeedForward, Head};

/// A model of another design than GPT-2's.
struct Other {
    name: &'static str,
    design: Design,
    /// layers, width, heads
    sizes: (u32, u32, u32),
    d_ff: u32,
    vocab: u32,
    positions: u32,
    /// Sequences per step, tokens per sequence, systems.
    run: Option<(u64, u32, u32)>,
    source: &'static str,
}

/// Sources of the other models' numbers.
const MODELZOO: &str = "huggingface.co config.json of EleutherAI/gpt-j-6b, EleutherAI/gpt-neox-20b, \
    huggyllama/llama-7b and llama-13b; batch: batch_size in the yaml files of Cerebras/modelzoo R_1.7.1 (GPT-J, \
    GPT-NeoX) and Release_2.1.1 (LLaMA 7B)";
/// Sources of BERT's numbers.
const BERT: &str = "Devlin et al., arXiv 1810.04805; huggingface.co config.json of bert-base-uncased and \
    bert-large-uncased; run: fine-tuning of BERT-base to classify 67,350 sequences of 128 tokens, measured on one \
    CS-2 at batches of 128 to 16,384 (arXiv 2409.00287v2, table IV); BERT-large: batch_size of \
    bert_large_MSL128_ws.yaml in Cerebras/modelzoo at 150e0d3";

/// Sources of relatives of LLaMA, Falcon and StarCoder.
const RELATIVES: &str = "huggingface.co config.json of huggyllama/llama-30b, meta-llama/Llama-2-70b-hf, \
    tiiuae/falcon-40b, bigcode/starcoder; batch: batch_size in the yaml files of Cerebras/modelzoo Release_2.1.1";
/// Sources of models that were trained on Condor Galaxy 1.
const CONDOR: &str = "huggingface.co config.json of cerebras/btlm-3b-8k-base and core42/jais-13b; BTLM: Dey et al., \
    arXiv 2309.11568; Jais: Sengupta et al., arXiv 2308.16149";

/// Models of other designs.
const OTHERS: [Other; 13] = [
    Other {
        name: "gpt-j-6b",
        design: Design::GPT_J,
        sizes: (28, 4096, 16),
        d_ff: 16_384,
        vocab: 50_400,
        positions: 2048,
        run: Some((65, 2048, 1)),
        source: MODELZOO,
    },
    Other {
        name: "gpt-neox-20b",
        // Its GELU is the one by tanh (`gelu_fast`).
        design: Design { feed_forward: FeedForward::GeluTanh, ..Design::gpt_neox(24) },
        sizes: (44, 6144, 64),
        d_ff: 24_576,
        vocab: 50_432,
        positions: 2048,
        run: Some((50, 2048, 1)),
        source: MODELZOO,
    },
    Other {
        name: "llama-7b",
        design: Design::llama(128),
        sizes: (32, 4096, 32),
        d_ff: 11_008,
        vocab: 32_000,
        positions: 2048,
        run: Some((99, 2048, 1)),
        source: MODELZOO,
    },
    Other {
        name: "llama-13b",
        design: Design::llama(128),
        sizes: (40, 5120, 40),
        d_ff: 13_824,
        vocab: 32_000,
        positions: 2048,
        run: None,
        source: MODELZOO,
    },
    Other {
        name: "bert-base",
        design: Design::BERT,
        sizes: (12, 768, 12),
        d_ff: 3072,
        vocab: 30_522,
        positions: 512,
        run: Some((1024, 128, 1)),
        source: BERT,
    },
    Other {
        name: "bert-large",
        design: Design::BERT,
        sizes: (24, 1024, 16),
        d_ff: 4096,
        vocab: 30_522,
        positions: 512,
        run: Some((3200, 128, 1)),
        source: BERT,
    },
    Other {
        name: "llama-33b",
        design: Design::llama(128),
        sizes: (60, 6656, 52),
        d_ff: 17_920,
        vocab: 32_000,
        positions: 2048,
        run: Some((69, 2048, 1)),
        source: RELATIVES,
    },
    Other {
        name: "llama-2-70b",
        design: Design { kv_heads: Some(8), epsilon: Decimal::GPT2, ..Design::llama(128) },
        sizes: (80, 8192, 64),
        d_ff: 28_672,
        vocab: 32_000,
        positions: 4096,
        run: Some((55, 4096, 1)),
        source: RELATIVES,
    },
    Other {
        name: "falcon-40b",
        design: Design {
            kv_heads: Some(8),
            block: Block::ParallelTwoNorms,
            head: Head::Tied,
            biases: Biases::NONE,
            ..Design::gpt_neox(64)
        },
        sizes: (60, 8192, 128),
        d_ff: 32_768,
        vocab: 65_024,
        positions: 2048,
        run: Some((55, 2048, 1)),
        source: RELATIVES,
    },
    Other {
        name: "starcoder-15b",
        design: Design { kv_heads: Some(1), feed_forward: FeedForward::GeluTanh, ..Design::GPT2 },
        sizes: (40, 6144, 48),
        d_ff: 24_576,
        vocab: 49_152,
        positions: 8192,
        run: Some((20, 8192, 1)),
        source: RELATIVES,
    },
    Other {
        name: "btlm-3b",
        design: Design::btlm(Decimal(222_000_000_000)),
        sizes: (32, 2560, 32),
        d_ff: 6826,
        vocab: 50_257,
        positions: 8192,
        run: Some((1920, 2048, 64)),
        source: CONDOR,
    },
    Other {
        name: "jais-13b",
        design: Design::btlm(Decimal(111_000_000_000)),
        sizes: (40, 5120, 40),
        d_ff: 13_653,
        vocab: 84_992,
        positions: 2048,
        run: Some((1920, 2048, 16)),
        source: CONDOR,
    },
    Other {
        name: "gigagpt-70b",
        design: Design::GPT2,
        sizes: (80, 8192, 64),
        d_ff: 32_768,
        vocab: 50_257,
        positions: 2048,
        run: Some((1472, 2048, 1)),
        source: "github.com/Cerebras/gigaGPT at 0815911, model.py and configs/70b.yaml",
    },
];

/// All models of this file, in the order of the table.
pub(super) fn list() -> impl Iterator<Item = Preset> {
    OTHERS.iter().map(preset)
}

fn preset(row: &Other) -> Preset {
    let published = row.run.map(|(batch, seq_len, systems)| Published {
        batch,
        seq_len,
        systems,
        micro_batch_per_system: None,
        training: None,
    });
    let (layers, d_model, heads) = row.sizes;
    let shape = ModelShape {
        name: row.name.to_owned(),
        design: row.design,
        layers,
        d_model,
        heads,
        d_ff: row.d_ff,
        vocab: row.vocab,
        max_positions: row.positions,
    };
    Preset { shape, published, batch: row.run.map_or(BATCH, |run| run.0), source: row.source }
}
