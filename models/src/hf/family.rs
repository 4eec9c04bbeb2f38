//! What the keys of each family of models mean, and the values that they have where they are absent.
//!
//! **Invariant.** Defaults are those of Hugging Face's configuration classes.
//! **Not here.** How a key is read ([`super::reader`]).

use serde_json::Value;

use super::reader::Reader;
use crate::shape::ModelShape;
use crate::shape::design::{Biases, Block, Decimal, Design, FeedForward, Head, Norm, Pairs, Positions, Rotary};

/// Names of the keys of sizes: layers, width, heads, vocabulary, positions.
type Keys = [&'static str; 5];

const GPT2_KEYS: Keys = ["n_layer", "n_embd", "n_head", "vocab_size", "n_positions"];
const OTHER_KEYS: Keys =
    ["num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size", "max_position_embeddings"];

/// Names of activation functions: exact GELU, then GELU by the hyperbolic tangent.
const GELUS: [&str; 4] = ["gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh"];

/// Reads the keys of a family.
type Read = fn(&mut Reader<'_>) -> ModelShape;

/// Families, by `model_type`.
const FAMILIES: [(&str, Read); 10] = [
    ("gpt2", gpt2),
    ("gptj", gptj),
    ("gpt_neox", gpt_neox),
    ("llama", llama),
    ("mistral", mistral),
    ("bert", bert),
    ("falcon", falcon),
    ("gpt_bigcode", gpt_bigcode),
    ("btlm", btlm),
    ("jais", btlm),
];

/// The shape that the configuration describes; `None` for an unknown family.
pub(super) fn shape(r: &mut Reader<'_>, origin: &str) -> Option<ModelShape> {
    let names: Vec<&str> = FAMILIES.iter().map(|family| family.0).collect();
    let (_, read) = FAMILIES[r.choice("model_type", &names, false)?];
    let shape = read(r);
    Some(ModelShape { name: r.name(origin), ..shape })
}

/// Sizes under the given keys, with a design.
fn sizes(r: &mut Reader<'_>, keys: Keys, positions: Option<u32>, design: Design) -> ModelShape {
    let [layers, d_model, heads, vocab, max_positions] = keys;
    ModelShape {
        name: String::new(),
        design,
        layers: r.size("layers", layers),
        d_model: r.size("d_model", d_model),
        heads: r.size("heads", heads),
        d_ff: 0,
        vocab: r.size("vocab", vocab),
        max_positions: r.size_or("max_positions", max_positions, positions),
    }
}

/// The width of the feed-forward block, by default four times that of the model.
fn four_times(r: &mut Reader<'_>, key: &str, d_model: u32) -> u32 {
    r.size_or("d_ff", key, Some(d_model.saturating_mul(4)))
}

/// One of the GELUs; `default` where the key is absent.
fn gelu(r: &mut Reader<'_>, key: &str, default: FeedForward) -> FeedForward {
    if r.value(key).is_none() {
        return default;
    }
    match r.choice(key, &GELUS, false) {
        Some(0) => FeedForward::Gelu,
        Some(_) => FeedForward::GeluTanh,
        None => default,
    }
}

/// A head over the vocabulary.
fn lm_head(r: &mut Reader<'_>, tied: bool, bias: bool) -> Head {
    if r.flag("tie_word_embeddings", tied) { Head::Tied } else { Head::Untied { bias } }
}

/// Rotation by the keys of its base.
fn rotary(r: &mut Reader<'_>, base: &str, dims: u32, pairs: Pairs) -> Positions {
    no_scaling(r);
    let base = r.size_or("rotary_base", base, Some(10_000));
    Positions::Rotary(Rotary { dims, base, pairs })
}

/// Refuses positions that are stretched.
fn no_scaling(r: &mut Reader<'_>) {
    for key in ["rope_scaling", "rope_parameters"] {
        if let Some(value) = r.value(key) {
            let plain = value.get("rope_type").or(value.get("type")).and_then(Value::as_str) == Some("default");
            if !plain || value.get("rope_theta").is_some() {
                let message = format!("{} is not supported", super::reader::shown(value));
                r.refuse("hf-unsupported", key, message, "only plain rotary positions, with rope_theta beside them");
            }
        }
    }
}

fn d_head(shape: &ModelShape) -> u32 {
    shape.d_model.checked_div(shape.heads).unwrap_or(0)
}

/// What the attention of GPT-2 and its relatives can be told to do.
fn gpt2_flags(r: &mut Reader<'_>) {
    r.only("scale_attn_weights", true);
    r.only("scale_attn_by_inverse_layer_idx", false);
    r.only("add_cross_attention", false);
    r.only("is_encoder_decoder", false);
}

fn gpt2(r: &mut Reader<'_>) -> ModelShape {
    r.architecture(&["GPT2Model", "GPT2LMHeadModel"]);
    gpt2_flags(r);
    r.only("reorder_and_upcast_attn", false);
    let mut keys = GPT2_KEYS;
    if r.value("n_positions").is_none() && r.value("n_ctx").is_some() {
        keys[4] = "n_ctx";
    }
    let design = Design {
        feed_forward: gelu(r, "activation_function", FeedForward::GeluTanh),
        epsilon: r.epsilon("layer_norm_epsilon", 1e-5),
        head: lm_head(r, true, false),
        ..Design::GPT2
    };
    let shape = sizes(r, keys, None, design);
    ModelShape { d_ff: four_times(r, "n_inner", shape.d_model), ..shape }
}

fn gpt_bigcode(r: &mut Reader<'_>) -> ModelShape {
    r.architecture(&["GPTBigCodeForCausalLM", "GPTBigCodeModel"]);
    gpt2_flags(r);
    let kv_heads = r.flag("multi_query", true).then_some(1);
    let design = Design {
        feed_forward: gelu(r, "activation_function", FeedForward::GeluTanh),
        epsilon: r.epsilon("layer_norm_epsilon", 1e-5),
        head: lm_head(r, true, false),
        kv_heads,
        ..Design::GPT2
    };
    let shape = sizes(r, GPT2_KEYS, None, design);
    ModelShape { d_ff: four_times(r, "n_inner", shape.d_model), ..shape }
}

/// BTLM and Jais.
fn btlm(r: &mut Reader<'_>) -> ModelShape {
    r.architecture(&["BTLMLMHeadModel", "JAISLMHeadModel", "BTLMModel", "JAISModel"]);
    gpt2_flags(r);
    r.only("reorder_and_upcast_attn", false);
    if r.value("alibi_scaling").is_some() {
        r.refuse("hf-unsupported", "alibi_scaling", "stretched positions are not supported", "null");
    }
    let alibi = r.choice("position_embedding_type", &["learned", "alibi"], true) == Some(1);
    let swiglu = r.value("activation_function").and_then(Value::as_str) == Some("swiglu");
    let feed_forward = if swiglu { FeedForward::SwiGlu } else { gelu(r, "activation_function", FeedForward::GeluTanh) };
    let factor = |r: &mut Reader<'_>, keys: [&str; 2]| keys.map(|key| r.number(key, 1.0)).iter().product::<f64>();
    let scales = [
        factor(r, ["mup_embeddings_scale", "embeddings_scale"]),
        factor(r, ["mup_output_alpha", "mup_width_scale"]) * factor(r, ["output_alpha", "width_scale"]),
    ];
    let [embedding_scale, logit_scale] = scales.map(|scale| {
        Decimal::of(scale).unwrap_or_else(|| {
            r.refuse("hf-unsupported", "mup_width_scale", format!("a factor of {scale} is not supported"), "above 0");
            Decimal::ONE
        })
    });
    let by_features = ["mup_scale_qk_dot_by_d", "scale_qk_dot_by_d"].map(|key| r.flag(key, false));
    let design = Design {
        positions: if alibi { Positions::Alibi } else { Positions::Learned },
        feed_forward,
        epsilon: r.epsilon("layer_norm_epsilon", 1e-5),
        embedding_scale,
        logit_scale,
        scores_by_features: by_features.contains(&true),
        head: lm_head(r, true, false),
        ..Design::GPT2
    };
    let shape = sizes(r, GPT2_KEYS, None, design);
    ModelShape { d_ff: four_times(r, "n_inner", shape.d_model), ..shape }
}

fn gptj(r: &mut Reader<'_>) -> ModelShape {
    r.architecture(&["GPTJForCausalLM"]);
    gpt2_flags(r);
    r.only("rotary", true);
    let dims = r.size_or("rotary", "rotary_dim", Some(64));
    let mut design = Design {
        positions: Positions::Rotary(Rotary { dims, base: 10_000, pairs: Pairs::Neighbours }),
        feed_forward: gelu(r, "activation_function", FeedForward::GeluTanh),
        epsilon: r.epsilon("layer_norm_epsilon", 1e-5),
        ..Design::GPT_J
    };
    if r.flag("tie_word_embeddings", false) {
        r.refuse("hf-unsupported", "tie_word_embeddings", "true is not supported", "only false");
    }
    design.head = Head::Untied { bias: true };
    let shape = sizes(r, GPT2_KEYS, Some(2048), design);
    ModelShape { d_ff: four_times(r, "n_inner", shape.d_model), ..shape }
}

fn gpt_neox(r: &mut Reader<'_>) -> ModelShape {
    r.architecture(&["GPTNeoXForCausalLM"]);
    let design = Design {
        feed_forward: gelu(r, "hidden_act", FeedForward::Gelu),
        epsilon: r.epsilon("layer_norm_eps", 1e-5),
        block: if r.flag("use_parallel_residual", true) { Block::ParallelTwoNorms } else { Block::Pre },
        head: lm_head(r, false, false),
        ..Design::GPT2
    };
    let attention_bias = r.flag("attention_bias", true);
    let mut shape = sizes(r, OTHER_KEYS, Some(2048), design);
    shape.design.biases = Biases { qkv: attention_bias, projection: attention_bias, ..Biases::ALL };
    // The family rounds down.
    let share = r.number("rotary_pct", 0.25);
    let dims = (f64::from(d_head(&shape)) * share) as u32;
    shape.design.positions = rotary(r, "rotary_emb_base", dims, Pairs::Halves);
    ModelShape { d_ff: r.size("d_ff", "intermediate_size"), ..shape }
}

fn llama(r: &mut Reader<'_>) -> ModelShape {
    r.architecture(&["LlamaForCausalLM", "LLaMAForCausalLM"]);
    let attention = r.flag("attention_bias", false);
    let biases = Biases { qkv: attention, projection: attention, feed_forward: r.flag("mlp_bias", false) };
    llama_like(r, biases, 2048)
}

fn mistral(r: &mut Reader<'_>) -> ModelShape {
    r.architecture(&["MistralForCausalLM"]);
    let shape = llama_like(r, Biases::NONE, 131_072);
    let window = r.size_or("sliding_window", "sliding_window", Some(u32::MAX));
    if window < shape.max_positions {
        let message = format!("a window of {window} tokens is not supported");
        r.refuse("hf-unsupported", "sliding_window", message, "null: every token sees all before it");
    }
    shape
}

fn llama_like(r: &mut Reader<'_>, biases: Biases, positions: u32) -> ModelShape {
    r.choice("hidden_act", &["silu", "swish"], true);
    let design = Design {
        norm: Norm::RmsNorm,
        epsilon: r.epsilon("rms_norm_eps", 1e-6),
        feed_forward: FeedForward::SwiGlu,
        biases,
        head: lm_head(r, false, false),
        ..Design::GPT2
    };
    let mut shape = sizes(r, OTHER_KEYS, Some(positions), design);
    let kv_heads = r.size_or("kv_heads", "num_key_value_heads", Some(shape.heads));
    shape.design.kv_heads = (kv_heads != shape.heads).then_some(kv_heads);
    let dims = d_head(&shape);
    if r.size_or("d_head", "head_dim", Some(dims)) != dims {
        let message = format!("is not hidden_size / num_attention_heads, which is {dims}");
        r.refuse("hf-unsupported", "head_dim", message, "");
    }
    shape.design.positions = rotary(r, "rope_theta", dims, Pairs::Halves);
    ModelShape { d_ff: r.size("d_ff", "intermediate_size"), ..shape }
}

fn falcon(r: &mut Reader<'_>) -> ModelShape {
    r.architecture(&["FalconForCausalLM"]);
    r.only("alibi", false);
    let (new, bias) = (r.flag("new_decoder_architecture", false), r.flag("bias", false));
    let parallel = r.flag("parallel_attn", true);
    let two = r.size_or("norms", "num_ln_in_parallel_attn", Some(if new { 2 } else { 1 })) == 2;
    let block = match (new || parallel, new && two) {
        (true, true) => Block::ParallelTwoNorms,
        (true, false) => Block::ParallelOneNorm,
        (false, _) => Block::Pre,
    };
    let design = Design {
        feed_forward: gelu(r, "activation", FeedForward::Gelu),
        epsilon: r.epsilon("layer_norm_epsilon", 1e-5),
        block,
        biases: Biases { qkv: bias, projection: bias, feed_forward: bias },
        head: lm_head(r, true, false),
        ..Design::GPT2
    };
    let mut shape = sizes(r, OTHER_KEYS, Some(2048), design);
    let queries = r.flag("multi_query", true);
    let all = r.size_or("kv_heads", "num_kv_heads", Some(shape.heads));
    let kv_heads = if new {
        all
    } else if queries {
        1
    } else {
        shape.heads
    };
    shape.design.kv_heads = (kv_heads != shape.heads).then_some(kv_heads);
    let dims = d_head(&shape);
    shape.design.positions = rotary(r, "rope_theta", dims, Pairs::Halves);
    ModelShape { d_ff: four_times(r, "ffn_hidden_size", shape.d_model), ..shape }
}

fn bert(r: &mut Reader<'_>) -> ModelShape {
    let known = ["BertForSequenceClassification", "BertForMaskedLM"];
    let architecture = r.architecture(&known);
    if architecture.is_none() && r.value("architectures").is_none() {
        let help = format!("the head is needed: {}", known.join(", "));
        r.refuse("hf-missing", "architectures", "is missing", help);
    }
    r.only("is_decoder", false);
    r.only("add_cross_attention", false);
    r.choice("position_embedding_type", &["absolute"], true);
    let head = match architecture {
        Some(1) => Head::MaskedLm,
        _ => Head::Classifier { labels: labels(r) },
    };
    if !r.flag("tie_word_embeddings", true) && head == Head::MaskedLm {
        r.refuse("hf-unsupported", "tie_word_embeddings", "false is not supported", "only true");
    }
    let design = Design {
        feed_forward: gelu(r, "hidden_act", FeedForward::Gelu),
        epsilon: r.epsilon("layer_norm_eps", 1e-12),
        token_types: r.size_or("token_types", "type_vocab_size", Some(2)),
        head,
        ..Design::BERT
    };
    let shape = sizes(r, OTHER_KEYS, Some(512), design);
    ModelShape { d_ff: r.size("d_ff", "intermediate_size"), ..shape }
}

/// Labels of a classifier: those that are named, or `num_labels`; two by default.
fn labels(r: &mut Reader<'_>) -> u32 {
    let number = r.size_or("labels", "num_labels", Some(2));
    r.value("id2label").and_then(Value::as_object).map_or(number, |names| names.len() as u32)
}
