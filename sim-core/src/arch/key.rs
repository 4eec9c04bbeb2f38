//! What can be done to all numbers of a machine alike: listing, hashing, setting, checking.
//!
//! | code | what is wrong |
//! |---|---|
//! | A001 | there is no such key |
//! | A002 | a value cannot be read |
//! | A003 | a value is out of range, or values do not go together |
//! | A004 | a file is not TOML, or too large |
//! | A005 | there is no such preset |
//!
//! **Invariant.** Nothing here names a number but where two of them have to go together.
//! **Not here.** The table of numbers (`groups`).

use super::groups::{KEYS, Key, KeyGroup};
use super::value::Value;
use super::{ArchSpec, Source};
use crate::coord::MAX_PES;
use crate::diag::Diagnostic;
use crate::util::suggest::{did_you_mean, distance};
use serde::{Deserialize, Serialize};

/// Codes of machine descriptions with their titles, as in `docs/diagnostics.md`.
pub const RULES: [(&str, &str); 5] = [
    ("A001", "no such key"),
    ("A002", "value of a key"),
    ("A003", "value out of range"),
    ("A004", "not TOML"),
    ("A005", "no such preset"),
];

/// Most queues of a kind.
const MAX_QUEUES: usize = 24;

/// One number of a machine, as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchEntry {
    /// The full key, such as `pe.sram`.
    pub key: String,
    /// The value as text, with its unit.
    pub value: String,
    /// Kind of the source, such as `documented`.
    pub kind: String,
    /// The citation of the source, or the reason for the assumption.
    pub source: String,
}

impl ArchSpec {
    /// All numbers, in the order of the fields.
    #[must_use]
    pub fn entries(&self) -> Vec<ArchEntry> {
        let entry = |key: &Key| {
            let (value, source) = (key.get)(self);
            let (kind, source) = (source.kind().to_owned(), source.text().to_owned());
            ArchEntry { key: key.name.to_owned(), value: key.unit.show(&value), kind, source }
        };
        KEYS.iter().map(entry).collect()
    }

    /// The numbers without a public source: key, value, and why this value.
    #[must_use]
    pub fn assumed(&self) -> Vec<(String, String, String)> {
        let assumed = KEYS.iter().filter_map(|key| match (key.get)(self) {
            (value, Source::Assumed(why)) => Some((key.name.to_owned(), key.unit.show(&value), why.clone())),
            (value, source @ Source::Calibrated(_)) => {
                Some((key.name.to_owned(), key.unit.show(&value), source.to_string()))
            }
            _ => None,
        });
        assumed.collect()
    }

    /// BLAKE3 of all values in hexadecimal; the name and the sources do not count.
    #[must_use]
    pub fn hash(&self) -> String {
        self.hash_of(|_| true)
    }

    /// BLAKE3 in hexadecimal of all values that a single wafer's run can depend on
    /// ([`KeyGroup::reaches_the_wafer`]).
    #[must_use]
    pub fn wafer_hash(&self) -> String {
        self.hash_of(KeyGroup::reaches_the_wafer)
    }

    fn hash_of(&self, counts: impl Fn(KeyGroup) -> bool) -> String {
        let mut hash = blake3::Hasher::new();
        for key in KEYS.iter().filter(|key| counts(key.group)) {
            let value = key.unit.show(&(key.get)(self).0);
            hash.update(format!("{}={value}\n", key.name).as_bytes());
        }
        hash.finalize().to_hex().to_string()
    }

    /// Changes one number: `pe.sram=64KiB`. `origin` says who did, such as `--set`.
    ///
    /// # Errors
    /// If there is no such key, or the value cannot be read. Ranges are [`ArchSpec::validate`]'s.
    pub fn set(&mut self, assignment: &str, origin: &str) -> Result<(), Diagnostic> {
        let Some((name, value)) = assignment.split_once('=') else {
            let message = format!("`{assignment}` is not an assignment");
            return Err(Diagnostic::new("A002", origin, message).help("write key=value, such as pe.sram=64KiB"));
        };
        self.put(name.trim(), value, origin, Source::User(format!("{origin} {assignment}")))
    }

    pub(super) fn put(&mut self, name: &str, value: &str, at: &str, source: Source) -> Result<(), Diagnostic> {
        let Some(key) = KEYS.iter().find(|k| k.name == name) else {
            let unknown = Diagnostic::new("A001", at, format!("there is no key `{name}`"));
            return Err(unknown.help(suggestion(name, KEYS.iter().map(|k| k.name))));
        };
        let read = key.unit.parse(value);
        if read.is_some_and(|v| (key.put)(self, v, source)) {
            return Ok(());
        }
        let message = format!("{name}: `{}` cannot be read", value.trim());
        Err(Diagnostic::new("A002", at, message).help(format!("write {}", key.unit.example())))
    }

    /// Everything that is out of range or does not go together.
    #[must_use]
    pub fn validate(&self) -> Vec<Diagnostic> {
        let mut diagnostics = Vec::new();
        let mut diagnostic = |key: &str, message: String| diagnostics.push(Diagnostic::new("A003", key, message));
        for key in KEYS {
            let value = (key.get)(self).0;
            let (low, high) = key.range;
            let shown = |n| key.unit.show(&Value::Int(n));
            for n in value.numbers().into_iter().filter(|n| !(low..=high).contains(n)) {
                diagnostic(
                    key.name,
                    format!("{} is out of range: {} to {} are possible", shown(n), shown(low), shown(high)),
                );
            }
            let power = key.name.starts_with("pe.width_") || ["pe.banks", "pe.bank_width"].contains(&key.name);
            for n in value.numbers().into_iter().filter(|n| power && *n > 0 && !n.is_power_of_two()) {
                diagnostic(key.name, format!("{n} is not a power of two"));
            }
            if let Value::List(list) = value
                && !(1..=MAX_QUEUES).contains(&list.len())
            {
                diagnostic(key.name, format!("{} queues; 1 to {MAX_QUEUES} are possible", list.len()));
            }
        }
        let pes = u64::from(self.wafer.width.value) * u64::from(self.wafer.height.value);
        if pes > MAX_PES {
            let size = format!("{} x {} are {pes} PEs", self.wafer.width.value, self.wafer.height.value);
            diagnostic("wafer.width", format!("{size}; at most {MAX_PES} are possible"));
        }
        if self.cluster.lost.value >= self.cluster.systems.value && self.cluster.lost.value > 0 {
            let (lost, systems) = (self.cluster.lost.value, self.cluster.systems.value);
            diagnostic("cluster.lost", format!("{lost} of {systems} systems are lost; at least one has to be left"));
        }
        if self.pe.stack.value >= self.pe.sram.value {
            diagnostic(
                "pe.stack",
                format!("the stack of {} B leaves nothing of {} B", self.pe.stack.value, self.pe.sram.value),
            );
        }
        diagnostics
    }
}

/// Advice that names what is most like `name`, or everything that is known. The part of a key behind
/// its dot is compared too, as if one more character had to change: `sram` is like `pe.sram`.
pub(super) fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let like = |key: &str| {
        let tail = key.rsplit('.').next().unwrap_or(key);
        distance(name, key).min(distance(name, tail) + usize::from(tail != key))
    };
    let all = || format!("known are {}", known.clone().collect::<Vec<_>>().join(", "));
    did_you_mean(known.clone(), like).unwrap_or_else(all)
}
