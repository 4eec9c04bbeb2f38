//! Import of a Hugging Face `config.json`.
//!
//! Invariant: a configuration is either taken for exactly what it says or refused; no operation is
//! replaced by a similar one. Keys that change neither the operations nor their sizes are ignored,
//! and so are the dropout rates (`*_pdrop`), because a layer graph has no dropout.
//! Deliberately not here: opening the file.

use serde_json::{Map, Value};

use crate::fault::ModelFault;
use crate::shape::{Family, GptShape};

/// Longest text that is looked at, in bytes.
pub const TEXT_MAX: usize = 1 << 20;

/// Supported values of `model_type`.
const MODEL_TYPES: [&str; 1] = ["gpt2"];
/// Supported values in `architectures`.
const ARCHITECTURES: [&str; 2] = ["GPT2Model", "GPT2LMHeadModel"];
/// Supported values of `activation_function`.
const ACTIVATIONS: [&str; 1] = ["gelu"];
/// `layer_norm_epsilon` of the family.
const LAYER_NORM_EPSILON: f64 = 1e-5;
/// Keys that must have this value where they are present; otherwise the operations differ.
const FLAGS: [(&str, bool); 4] = [
    ("tie_word_embeddings", true),
    ("scale_attn_weights", true),
    ("scale_attn_by_inverse_layer_idx", false),
    ("add_cross_attention", false),
];

/// The shape described by the `config.json` text. `origin`, the path or name it came from, becomes
/// the model's name if the text has no `_name_or_path`.
///
/// # Errors
/// All faults at once, each with its JSON key: `hf-size-limit`, `hf-json` with line and column,
/// `hf-missing`, `hf-value`, `hf-unsupported`, and those of [`GptShape::validate`].
pub fn from_hf_json(text: &str, origin: &str) -> Result<GptShape, Vec<ModelFault>> {
    if text.len() > TEXT_MAX {
        let message = format!("{} bytes, the most is {TEXT_MAX}", text.len());
        return Err(vec![ModelFault::new("hf-size-limit", "", message, "is this a config.json?")]);
    }
    let config: Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| vec![ModelFault::new("hf-json", "", error.to_string(), "a JSON object is needed")])?;
    let mut reader = Reader { config: &config, faults: Vec::new() };
    let shape = reader.shape(origin);
    let mut faults = reader.faults;
    // Sizes that were not read are placeholders; what they imply is not the user's fault.
    if faults.iter().all(|fault| fault.code == "hf-unsupported") {
        faults.extend(shape.validate().into_iter().map(with_json_key));
    }
    if faults.is_empty() { Ok(shape) } else { Err(faults) }
}

/// Renames the key of a shape's fault to the JSON key that the size came from.
fn with_json_key(mut fault: ModelFault) -> ModelFault {
    let json = match fault.key.as_str() {
        "layers" => "n_layer",
        "d_model" => "n_embd",
        "heads" => "n_head",
        "d_ff" => "n_inner",
        "vocab" => "vocab_size",
        "max_positions" => "n_positions",
        other => other,
    };
    fault.key = json.to_owned();
    fault
}

struct Reader<'a> {
    config: &'a Map<String, Value>,
    faults: Vec<ModelFault>,
}

impl Reader<'_> {
    fn shape(&mut self, origin: &str) -> GptShape {
        self.supported("model_type", &MODEL_TYPES);
        self.architectures();
        self.supported("activation_function", &ACTIVATIONS);
        for (key, needed) in FLAGS {
            self.flag(key, needed);
        }
        self.epsilon();
        let d_model = self.size("n_embd");
        let positions =
            if self.value("n_positions").is_none() && self.value("n_ctx").is_some() { "n_ctx" } else { "n_positions" };
        let d_ff = match self.value("n_inner") {
            None => d_model.saturating_mul(4),
            Some(_) => self.size("n_inner"),
        };
        GptShape {
            name: self.name(origin),
            family: Family::Gpt2,
            layers: self.size("n_layer"),
            d_model,
            heads: self.size("n_head"),
            d_ff,
            vocab: self.size("vocab_size"),
            max_positions: self.size(positions),
        }
    }

    /// The value of `key`; `null` counts as absent.
    fn value(&self, key: &str) -> Option<&Value> {
        self.config.get(key).filter(|value| !value.is_null())
    }

    fn fault(&mut self, code: &'static str, key: &str, message: impl Into<String>, help: impl Into<String>) {
        self.faults.push(ModelFault::new(code, key, message, help));
    }

    fn size(&mut self, key: &str) -> u32 {
        let Some(value) = self.value(key) else {
            self.fault("hf-missing", key, "is missing", "a whole number");
            return 1;
        };
        match value.as_u64().map(u32::try_from) {
            Some(Ok(size)) => size,
            _ => {
                let message = format!("is {}", shown(value));
                self.fault("hf-value", key, message, format!("a whole number up to {}", u32::MAX));
                1
            }
        }
    }

    /// Refuses any text but those in `known`.
    fn supported(&mut self, key: &str, known: &[&str]) {
        let help = format!("supported: {}", known.join(", "));
        match self.value(key) {
            None => self.fault("hf-missing", key, "is missing", help),
            Some(Value::String(text)) if known.contains(&text.as_str()) => {}
            Some(value @ Value::String(_)) => {
                let message = format!("{} is not supported", shown(value));
                self.fault("hf-unsupported", key, message, help);
            }
            Some(value) => {
                let message = format!("is {}, not a text", shown(value));
                self.fault("hf-value", key, message, help);
            }
        }
    }

    fn architectures(&mut self) {
        let help = format!("supported: {}", ARCHITECTURES.join(", "));
        let names = match self.value("architectures") {
            None => return, // `model_type` says as much.
            Some(Value::Array(names)) => names,
            Some(value) => {
                let message = format!("is {}, not a list", shown(value));
                return self.fault("hf-value", "architectures", message, help);
            }
        };
        let known = |name: &Value| name.as_str().is_some_and(|name| ARCHITECTURES.contains(&name));
        let unknown: Vec<String> = names.iter().filter(|name| !known(name)).take(4).map(shown).collect();
        if !unknown.is_empty() {
            let message = format!("{} is not supported", unknown.join(", "));
            self.fault("hf-unsupported", "architectures", message, help);
        }
    }

    fn flag(&mut self, key: &str, needed: bool) {
        match self.value(key) {
            None => {}
            Some(Value::Bool(flag)) if *flag == needed => {}
            Some(Value::Bool(flag)) => {
                self.fault("hf-unsupported", key, format!("{flag} is not supported"), format!("only {needed}"));
            }
            Some(value) => {
                let message = format!("is {}, not true or false", shown(value));
                self.fault("hf-value", key, message, format!("only {needed}"));
            }
        }
    }

    fn epsilon(&mut self) {
        let key = "layer_norm_epsilon";
        let Some(value) = self.value(key) else { return };
        if value.as_f64() != Some(LAYER_NORM_EPSILON) {
            let message = format!("{} is not supported", shown(value));
            self.fault("hf-unsupported", key, message, "only 1e-5");
        }
    }

    /// `_name_or_path` or the origin, fit to be printed.
    fn name(&self, origin: &str) -> String {
        let given = self.value("_name_or_path").and_then(Value::as_str).filter(|name| !name.is_empty());
        given.unwrap_or(origin).chars().filter(|c| !c.is_control()).take(200).collect()
    }
}

/// A JSON value, cut to a length that a message can carry.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
