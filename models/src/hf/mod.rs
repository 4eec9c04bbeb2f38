//! Import of a Hugging Face `config.json`.
//!
//! The file of a published model says in some thirty keys what the model consists of. Families use different keys, and a
//! key that is overlooked (a window of attention, stretched positions) would make another model of it.
//!
//! **Invariant.** A configuration is either taken for exactly what it says or refused; no operation is
//! replaced by a similar one. Every key is read, or known to change neither the operations nor
//! their sizes ([`IGNORED`]; a layer graph has no dropout), or says that a feature is off (`null`,
//! `false`, 0); any other key is refused by its name.
//! **Not here.** Opening the file; which keys a family has (`hf::family`).

mod family;
mod reader;

use serde_json::{Map, Value};

use crate::diagnostic;
use crate::shape::ModelShape;
use reader::Reader;
use sim_core::diag::Diagnostic;

/// Longest text that is looked at, in bytes.
pub const TEXT_MAX: usize = 1 << 20;

/// Keys that change neither operations nor sizes: names of things, special tokens, numbers of
/// initialisation, dropout and generation, formats of files. Those that end in `*` are beginnings,
/// those that begin with it endings.
pub const IGNORED: [&str; 64] = [
    "_*",
    "*_token_id",
    "*_pdrop",
    "*dropout",
    "*dropout_prob",
    "*dropout_p",
    "*_init",
    "torch_dtype",
    "dtype",
    "transformers_version",
    "tokenizer_class",
    "auto_map",
    "initializer_range",
    "initializer_factor",
    "init_*",
    "use_cache",
    "gradient_checkpointing",
    "summary_*",
    "task_specific_params",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "finetuning_task",
    "output_*",
    "return_dict*",
    "torchscript",
    "model_name",
    "license",
    "pretraining_tp",
    "attn_implementation",
    "use_flash_attn",
    "use_flash_attention",
    "attention_softmax_in_fp32",
    "scale_attention_softmax_in_fp32",
    "inference_runner",
    "pre_allocate_kv_cache",
    "validate_runner_input",
    "max_batch_size",
    "max_sequence_length",
    "n_ctx",
    "model_max_length",
    "max_length",
    "min_length",
    "do_sample",
    "early_stopping",
    "num_beams",
    "num_beam_groups",
    "num_return_sequences",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "diversity_penalty",
    "length_penalty",
    "repetition_penalty",
    "prefix",
    "quantization_config",
    "keys_to_ignore_at_inference",
    "directionality",
    "pooler_*",
    "chunk_size_feed_forward",
    "vocab_file",
    "gpt2_variant",
];

/// The shape described by the `config.json` text. `origin`, the path or name it came from, becomes
/// the model's name if the text has no `_name_or_path`.
///
/// # Errors
/// All diagnostics at once, each with its JSON key: `hf-size-limit`, `hf-json` with line and column,
/// `hf-missing`, `hf-value`, `hf-unsupported`, and those of [`ModelShape::validate`].
pub fn from_hf_json(text: &str, origin: &str) -> Result<ModelShape, Vec<Diagnostic>> {
    if text.len() > TEXT_MAX {
        let message = format!("{} bytes, the most is {TEXT_MAX}", text.len());
        return Err(vec![diagnostic::of("hf-size-limit", "", message, "is this a config.json?")]);
    }
    let config: Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| vec![diagnostic::of("hf-json", "", error.to_string(), "a JSON object is needed")])?;
    let mut reader = Reader::new(&config);
    let shape = family::shape(&mut reader, origin);
    if shape.is_some() {
        reader.refuse_unknown();
    }
    let (mut diagnostics, names) = reader.finish();
    // Sizes that were not read are placeholders; what they imply is not the user's mistake.
    if let Some(shape) = &shape
        && diagnostics.iter().all(|diagnostic| diagnostic.code == "hf-unsupported")
    {
        diagnostics.extend(
            shape.validate().into_iter().map(|diagnostic| Diagnostic { at: names(&diagnostic.at), ..diagnostic }),
        );
    }
    match shape {
        Some(shape) if diagnostics.is_empty() => Ok(shape),
        _ => Err(diagnostics),
    }
}
