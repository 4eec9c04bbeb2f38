//! Is a Hugging Face config.json taken for what it says, or refused with every reason at once?
#![allow(clippy::unwrap_used, reason = "tests")]

use models::design::{Block, FeedForward, Head};
use models::hf::from_hf_json;
use models::presets;

/// The config.json of Cerebras-GPT-111M as far as it is known, and a few keys to be ignored.
const CONFIG_111M: &str = r#"{
  "activation_function": "gelu", "architectures": ["GPT2Model"], "attn_pdrop": 0.0,
  "embd_pdrop": 0.0, "layer_norm_epsilon": 1e-05, "model_type": "gpt2",
  "n_embd": 768, "n_head": 12, "n_inner": 3072, "n_layer": 10, "n_positions": 2048,
  "resid_pdrop": 0.0, "scale_attn_weights": true, "tie_word_embeddings": true,
  "use_cache": true, "vocab_size": 50257, "task_specific_params": {"x": [1, 2]}
}"#;

fn diagnostics(text: &str) -> Vec<String> {
    from_hf_json(text, "config.json").unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn the_config_of_111m_is_the_preset() {
    let mut expected = presets::find("cerebras-gpt-111m").unwrap().shape;
    expected.name = "some/config.json".into();
    assert_eq!(from_hf_json(CONFIG_111M, "some/config.json").unwrap(), expected);
}

#[test]
fn absent_or_null_n_inner_and_an_old_n_ctx_have_their_meaning() {
    let text = CONFIG_111M.replace("\"n_inner\": 3072", "\"n_inner\": null").replace("n_positions", "n_ctx");
    let shape = from_hf_json(&text, "x").unwrap();
    assert_eq!((shape.d_ff, shape.max_positions), (3072, 2048));
}

#[test]
fn a_name_in_the_config_is_used_without_control_characters() {
    let text = CONFIG_111M.replacen('{', r#"{"_name_or_path": "my\u001b[31m model","#, 1);
    assert_eq!(from_hf_json(&text, "x").unwrap().name, "my[31m model");
}

#[test]
fn all_diagnostics_come_at_once_with_their_keys() {
    let text = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "gpt2",
        "activation_function": "relu", "scale_attn_weights": false, "sliding_window": 4096, "alibi": true,
        "n_embd": "768", "n_layer": -1, "n_head": 4294967296, "n_positions": 8}"#;
    assert_eq!(
        diagnostics(text),
        [
            "error[hf-unsupported] architectures: \"LlamaForCausalLM\" is not supported\n  help: supported: GPT2Model, GPT2LMHeadModel",
            "error[hf-unsupported] scale_attn_weights: false is not supported\n  help: only true",
            "error[hf-unsupported] activation_function: \"relu\" is not supported\n  help: supported: gelu, gelu_new, gelu_fast, gelu_pytorch_tanh",
            "error[hf-value] n_layer: is -1\n  help: a whole number up to 4294967295",
            "error[hf-value] n_embd: is \"768\"\n  help: a whole number up to 4294967295",
            "error[hf-value] n_head: is 4294967296\n  help: a whole number up to 4294967295",
            "error[hf-missing] vocab_size: is missing\n  help: a whole number",
            "error[hf-unsupported] alibi: true is not supported: what it changes is not known\n  help: take the key out if it changes no operation",
            "error[hf-unsupported] sliding_window: 4096 is not supported: what it changes is not known\n  help: take the key out if it changes no operation",
        ]
    );
}

#[test]
fn an_unknown_family_is_refused_with_those_that_are_known() {
    let diagnostics = diagnostics(r#"{"model_type": "mamba", "d_state": 16}"#);
    let known = "gpt2, gptj, gpt_neox, llama, mistral, bert, falcon, gpt_bigcode, btlm, jais";
    assert_eq!(
        diagnostics,
        [format!("error[hf-unsupported] model_type: \"mamba\" is not supported\n  help: supported: {known}")]
    );
}

/// Every example describes its preset, and nothing else does.
#[test]
fn examples_are_the_presets() {
    for name in [
        "cerebras-gpt-256m",
        "gpt2-small",
        "gpt-j-6b",
        "gpt-neox-20b",
        "llama-7b",
        "llama-13b",
        "llama-2-70b",
        "bert-base",
        "btlm-3b",
        "falcon-40b",
        "starcoder-15b",
    ] {
        let path = format!("{}/../examples/configs/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let shape = from_hf_json(&text, name).unwrap_or_else(|f| panic!("{name}: {}", f[0]));
        assert_eq!(shape, presets::find(name).unwrap().shape);
    }
}

/// The example of a family, with some keys changed.
fn changed(name: &str, changes: &[(&str, &str)]) -> String {
    let path = format!("{}/../examples/configs/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let mut config: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for (key, value) in changes {
        config.insert((*key).to_owned(), serde_json::from_str(value).unwrap());
    }
    serde_json::to_string(&config).unwrap()
}

#[test]
fn features_that_change_the_computation_are_refused_by_name() {
    for (name, key, value) in [
        ("llama-7b", "rope_scaling", r#"{"type": "linear", "factor": 2.0}"#),
        ("llama-7b", "hidden_act", "\"relu\""),
        ("llama-7b", "head_dim", "64"),
        ("llama-7b", "num_experts", "8"),
        ("gpt-neox-20b", "hidden_act", "\"relu\""),
        ("gpt-j-6b", "rotary", "false"),
        ("gpt-j-6b", "tie_word_embeddings", "true"),
        ("bert-base", "position_embedding_type", "\"relative_key\""),
        ("bert-base", "is_decoder", "true"),
        ("gpt2-small", "reorder_and_upcast_attn", "true"),
    ] {
        let diagnostics = diagnostics(&changed(name, &[(key, value)]));
        assert!(diagnostics.len() == 1 && diagnostics[0].contains(&format!("] {key}: ")), "{name}: {diagnostics:?}");
    }
}

#[test]
fn relatives_of_the_presets_are_read() {
    let shape = |name, changes: &[(&str, &str)]| from_hf_json(&changed(name, changes), "x").unwrap();
    let grouped = shape("llama-7b", &[("num_key_value_heads", "8"), ("rope_theta", "500000.0")]);
    assert_eq!((grouped.kv_heads(), grouped.design.rotary().unwrap().base), (8, 500_000));
    let sequential = shape("gpt-neox-20b", &[("use_parallel_residual", "false"), ("hidden_act", "\"gelu\"")]);
    assert_eq!((sequential.design.block, sequential.design.feed_forward), (Block::Pre, FeedForward::Gelu));
    let masked = shape("bert-base", &[("architectures", "[\"BertForMaskedLM\"]")]);
    assert_eq!(masked.design.head, Head::MaskedLm);
    let three = shape("bert-base", &[("id2label", r#"{"0": "a", "1": "b", "2": "c"}"#)]);
    assert_eq!(three.classes(), 3);
    let untied = shape("gpt2-small", &[("tie_word_embeddings", "false"), ("activation_function", "\"gelu_new\"")]);
    assert_eq!((untied.design.head, untied.design.feed_forward), (Head::Untied { bias: false }, FeedForward::GeluTanh));
    let coder = r#"{"model_type": "gpt_bigcode", "architectures": ["GPTBigCodeForCausalLM"], "multi_query": true,
        "activation_function": "gelu_pytorch_tanh", "n_layer": 40, "n_embd": 6144, "n_head": 48, "n_inner": 24576,
        "vocab_size": 49152, "n_positions": 8192}"#;
    let coder = from_hf_json(coder, "starcoder").unwrap();
    assert_eq!(models::count::parameters(&coder), 15_517_456_384);
    let falcon = r#"{"model_type": "falcon", "architectures": ["FalconForCausalLM"], "new_decoder_architecture": true,
        "num_kv_heads": 8, "parallel_attn": true, "bias": false, "alibi": false, "hidden_size": 8192,
        "num_hidden_layers": 60, "num_attention_heads": 128, "vocab_size": 65024}"#;
    let falcon = from_hf_json(falcon, "falcon-40b").unwrap();
    assert_eq!(models::count::parameters(&falcon), 41_303_293_952);
}

#[test]
fn diagnostics_of_the_shape_carry_json_keys() {
    let text = CONFIG_111M.replace("\"n_head\": 12", "\"n_head\": 11").replace("50257", "0");
    assert_eq!(
        diagnostics(&text),
        [
            "error[model-zero] vocab_size: is 0\n  help: must be at least 1",
            "error[model-heads] n_head: 11 heads do not divide d_model 768\n  help: 12 heads would",
        ]
    );
}

#[test]
fn malformed_text_is_located() {
    assert!(
        diagnostics("{\n  \"n_embd\": ,")[0].contains("line 2 column 13"),
        "{:?}",
        diagnostics("{\n  \"n_embd\": ,")
    );
    assert!(diagnostics("[1]")[0].starts_with("error[hf-json]"));
    assert!(diagnostics("")[0].contains("line 1 column 0"));
    assert!(diagnostics(&"[".repeat(100_000))[0].contains("line 1"));
    assert!(diagnostics(&" ".repeat((1 << 20) + 1))[0].starts_with("error[hf-size-limit]"));
}

#[test]
fn no_value_of_any_key_panics() {
    let values = ["null", "true", "-1", "0", "1e300", "18446744073709551615", "\"\"", "[]", "[[]]", "{}"];
    for key in [
        "n_embd",
        "n_layer",
        "n_head",
        "n_inner",
        "vocab_size",
        "n_positions",
        "model_type",
        "architectures",
        "activation_function",
        "tie_word_embeddings",
        "layer_norm_epsilon",
        "_name_or_path",
    ] {
        for value in values {
            let text = CONFIG_111M.trim_end().trim_end_matches('}').to_owned() + &format!(", \"{key}\": {value}}}");
            let _ = from_hf_json(&text, "x");
        }
    }
}
