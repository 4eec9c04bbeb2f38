//! Is a Hugging Face config.json taken for what it says, or refused with every reason at once?
#![allow(clippy::unwrap_used, reason = "tests")]

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

fn faults(text: &str) -> Vec<String> {
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
fn all_faults_come_at_once_with_their_keys() {
    let text = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "activation_function": "gelu_new", "tie_word_embeddings": false,
        "n_embd": "768", "n_layer": -1, "n_head": 4294967296, "n_positions": 8}"#;
    assert_eq!(
        faults(text),
        [
            "[hf-unsupported] model_type: \"llama\" is not supported (help: supported: gpt2)",
            "[hf-unsupported] architectures: \"LlamaForCausalLM\" is not supported (help: supported: GPT2Model, GPT2LMHeadModel)",
            "[hf-unsupported] activation_function: \"gelu_new\" is not supported (help: supported: gelu)",
            "[hf-unsupported] tie_word_embeddings: false is not supported (help: only true)",
            "[hf-value] n_embd: is \"768\" (help: a whole number up to 4294967295)",
            "[hf-value] n_layer: is -1 (help: a whole number up to 4294967295)",
            "[hf-value] n_head: is 4294967296 (help: a whole number up to 4294967295)",
            "[hf-missing] vocab_size: is missing (help: a whole number)",
        ]
    );
}

#[test]
fn faults_of_the_shape_carry_json_keys() {
    let text = CONFIG_111M.replace("\"n_head\": 12", "\"n_head\": 11").replace("50257", "0");
    assert_eq!(
        faults(&text),
        [
            "[model-zero] vocab_size: is 0 (help: must be at least 1)",
            "[model-heads] n_head: 11 heads do not divide d_model 768 (help: 12 heads would)",
        ]
    );
}

#[test]
fn operations_that_the_graph_lacks_are_refused() {
    for (key, value) in [
        ("layer_norm_epsilon", "1e-6"),
        ("scale_attn_weights", "false"),
        ("add_cross_attention", "true"),
        ("scale_attn_by_inverse_layer_idx", "true"),
    ] {
        // The last of two equal keys counts.
        let text = CONFIG_111M.trim_end().trim_end_matches('}').to_owned() + &format!(", \"{key}\": {value}}}");
        let faults = faults(&text);
        assert!(faults.len() == 1 && faults[0].starts_with(&format!("[hf-unsupported] {key}: ")), "{faults:?}");
    }
}

#[test]
fn malformed_text_is_located() {
    assert!(faults("{\n  \"n_embd\": ,")[0].contains("line 2 column 13"), "{:?}", faults("{\n  \"n_embd\": ,"));
    assert!(faults("[1]")[0].starts_with("[hf-json]"));
    assert!(faults("")[0].contains("line 1 column 0"));
    assert!(faults(&"[".repeat(100_000))[0].contains("line 1"));
    assert!(faults(&" ".repeat((1 << 20) + 1))[0].starts_with("[hf-size-limit]"));
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
