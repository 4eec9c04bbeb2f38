//! Reads the keys of a configuration, one by one, and keeps what is wrong with them.
//!
//! **Invariant.** Every key that is looked at is remembered, so that the rest can be refused. `null`
//! counts as absent.
//! **Not here.** Which keys there are ([`super::family`]).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::IGNORED;
use crate::diagnostic;
use crate::shape::design::Decimal;
use sim_core::diag::Diagnostic;

/// A configuration that is being read.
pub(super) struct Reader<'a> {
    config: &'a Map<String, Value>,
    diagnostics: Vec<Diagnostic>,
    seen: BTreeSet<String>,
    /// JSON key of every field of the shape.
    names: BTreeMap<&'static str, String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(config: &'a Map<String, Value>) -> Self {
        Self { config, diagnostics: Vec::new(), seen: BTreeSet::new(), names: BTreeMap::new() }
    }

    /// All diagnostics, and the JSON key that a field of the shape came from.
    pub(super) fn finish(self) -> (Vec<Diagnostic>, impl Fn(&str) -> String) {
        let names = self.names;
        (self.diagnostics, move |field| names.get(field).cloned().unwrap_or_else(|| field.to_owned()))
    }

    /// The value of `key`.
    pub(super) fn value(&mut self, key: &str) -> Option<&'a Value> {
        self.seen.insert(key.to_owned());
        self.config.get(key).filter(|value| !value.is_null())
    }

    /// Refuses every key that was not looked at, is not known to be harmless, and is not off.
    pub(super) fn refuse_unknown(&mut self) {
        let off = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Bool(true) => false,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
        };
        let harmless = |key: &str| {
            IGNORED.iter().any(|known| match (known.strip_suffix('*'), known.strip_prefix('*')) {
                (Some(start), _) => key.starts_with(start),
                (_, Some(end)) => key.ends_with(end),
                (None, None) => *known == key,
            })
        };
        let unknown =
            self.config.iter().filter(|(key, value)| !self.seen.contains(*key) && !off(value) && !harmless(key));
        let diagnostics: Vec<Diagnostic> = unknown
            .map(|(key, value)| {
                let message = format!("{} is not supported: what it changes is not known", shown(value));
                diagnostic::of("hf-unsupported", key.clone(), message, "take the key out if it changes no operation")
            })
            .collect();
        self.diagnostics.extend(diagnostics);
    }

    pub(super) fn refuse(
        &mut self,
        code: &'static str,
        key: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.diagnostics.push(diagnostic::of(code, key, message, help));
    }

    /// A size that must be there, for a field of the shape.
    pub(super) fn size(&mut self, field: &'static str, key: &str) -> u32 {
        self.size_or(field, key, None)
    }

    /// A size, or `default` where it is absent.
    pub(super) fn size_or(&mut self, field: &'static str, key: &str, default: Option<u32>) -> u32 {
        self.names.insert(field, key.to_owned());
        let Some(value) = self.value(key) else {
            if default.is_none() {
                self.refuse("hf-missing", key, "is missing", "a whole number");
            }
            return default.unwrap_or(1);
        };
        // Some files write whole numbers with a point.
        let whole = value.as_f64().filter(|v| v.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(v));
        match whole {
            Some(size) => size as u32,
            None => {
                let message = format!("is {}", shown(value));
                self.refuse("hf-value", key, message, format!("a whole number up to {}", u32::MAX));
                1
            }
        }
    }

    /// A number, or `default` where it is absent.
    pub(super) fn number(&mut self, key: &str, default: f64) -> f64 {
        let Some(value) = self.value(key) else { return default };
        if let Some(number) = value.as_f64() {
            return number;
        }
        self.refuse("hf-value", key, format!("is {}, not a number", shown(value)), "");
        default
    }

    /// What is added under the root of norms.
    pub(super) fn epsilon(&mut self, key: &str, default: f64) -> Decimal {
        let number = self.number(key, default);
        Decimal::of(number).filter(|epsilon| epsilon.value() <= 1.0).unwrap_or_else(|| {
            self.refuse("hf-unsupported", key, format!("{number} is not supported"), "from 1e-12 to 1");
            Decimal::GPT2
        })
    }

    /// One of the texts in `known`, by its place; absent counts as the first if `default`.
    pub(super) fn choice(&mut self, key: &str, known: &[&str], default: bool) -> Option<usize> {
        let help = format!("supported: {}", known.join(", "));
        match self.value(key) {
            None if default => return Some(0),
            None => self.refuse("hf-missing", key, "is missing", help),
            Some(Value::String(text)) => {
                let place = known.iter().position(|name| name == text);
                if place.is_none() {
                    let message = format!("{} is not supported", shown(&Value::String(text.clone())));
                    self.refuse("hf-unsupported", key, message, help);
                }
                return place;
            }
            Some(value) => {
                let message = format!("is {}, not a text", shown(value));
                self.refuse("hf-value", key, message, help);
            }
        }
        None
    }

    /// The class in `architectures`, by its place among those `known`; `None` without one.
    pub(super) fn architecture(&mut self, known: &[&str]) -> Option<usize> {
        let (key, help) = ("architectures", format!("supported: {}", known.join(", ")));
        let names = match self.value(key)? {
            Value::Array(names) => names,
            value => {
                self.refuse("hf-value", key, format!("is {}, not a list", shown(value)), help);
                return None;
            }
        };
        let place = |name: &Value| name.as_str().and_then(|name| known.iter().position(|known| *known == name));
        let unknown: Vec<String> = names.iter().filter(|name| place(name).is_none()).take(4).map(shown).collect();
        if !unknown.is_empty() {
            self.refuse("hf-unsupported", key, format!("{} is not supported", unknown.join(", ")), help);
        }
        names.iter().find_map(place)
    }

    /// A yes or no, or `default` where it is absent.
    pub(super) fn flag(&mut self, key: &str, default: bool) -> bool {
        match self.value(key) {
            None => default,
            Some(Value::Bool(flag)) => *flag,
            Some(value) => {
                let message = format!("is {}, not true or false", shown(value));
                self.refuse("hf-value", key, message, "");
                default
            }
        }
    }

    /// A yes or no that has to be `needed`, which it is where it is absent.
    pub(super) fn only(&mut self, key: &str, needed: bool) {
        match self.value(key) {
            None => {}
            Some(Value::Bool(flag)) if *flag == needed => {}
            Some(Value::Bool(flag)) => {
                self.refuse("hf-unsupported", key, format!("{flag} is not supported"), format!("only {needed}"));
            }
            Some(value) => {
                let message = format!("is {}, not true or false", shown(value));
                self.refuse("hf-value", key, message, format!("only {needed}"));
            }
        }
    }

    /// `_name_or_path` or the origin, fit to be printed.
    pub(super) fn name(&mut self, origin: &str) -> String {
        let given = self.value("_name_or_path").and_then(Value::as_str).filter(|name| !name.is_empty());
        given.unwrap_or(origin).chars().filter(|c| !c.is_control()).take(200).collect()
    }
}

/// A JSON value, cut to a length that a message can carry.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
