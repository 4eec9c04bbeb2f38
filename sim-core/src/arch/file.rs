//! Machines from TOML files: a preset, and what differs.
//!
//! ```toml
//! extends = "cs2"
//! name = "large-memory"
//!
//! [pe]
//! sram = "64KiB"
//! width_fmac = { half = 8, single = 1, mixed = 2 }
//! input_queues = [6, 6, 4, 4]
//! ```
//!
//! **Invariant.** Any text gives a machine within its ranges, or a diagnostic for each of its mistakes.

use super::key::suggestion;
use super::{ArchSpec, KeyGroup, PRESETS, Source, preset};
use crate::diag::Diagnostic;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Largest file, in bytes.
pub const MAX_FILE: usize = 1 << 20;

impl ArchSpec {
    /// Reads a machine description. `origin` names the text in diagnostics, such as its path.
    ///
    /// # Errors
    /// All diagnostics, each with line and column where it has one.
    pub fn from_toml(text: &str, origin: &str) -> Result<ArchSpec, Vec<Diagnostic>> {
        if text.len() > MAX_FILE {
            let message = format!("the file has {} bytes; at most {MAX_FILE} are read", text.len());
            return Err(vec![Diagnostic::new("A004", origin, message)]);
        }
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let diagnostic = |e: toml::de::Error| {
                Diagnostic::new("A004", place(origin, text, e.span().unwrap_or(0..0)), e.message())
            };
            return Err(errors.into_iter().map(diagnostic).collect());
        }
        let mut file = File { text, origin, diagnostics: Vec::new() };
        let mut arch = file.base(table.get_ref());
        file.apply(&mut arch, table.get_ref());
        // A key that could not be read keeps the value of the preset, which is valid.
        for mut diagnostic in arch.validate() {
            diagnostic.at = format!("{origin}: {}", diagnostic.at);
            file.diagnostics.push(diagnostic);
        }
        if file.diagnostics.is_empty() { Ok(arch) } else { Err(file.diagnostics) }
    }
}

struct File<'a> {
    text: &'a str,
    origin: &'a str,
    diagnostics: Vec<Diagnostic>,
}

impl File<'_> {
    fn diagnostic(&mut self, code: &str, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        let at = place(self.origin, self.text, span);
        self.diagnostics.push(Diagnostic::new(code, at, message).help(help));
    }

    /// The preset that the file extends; some preset if it names none.
    fn base(&mut self, table: &DeTable<'_>) -> ArchSpec {
        let help = format!("write extends = \"NAME\" with one of {}", PRESETS.join(", "));
        match table.get("extends").map(|v| (v.get_ref().as_str(), v.span())) {
            None => self.diagnostic("A005", 0..0, "the file extends no preset", help),
            Some((None, span)) => self.diagnostic("A005", span, "`extends` is the name of a preset", help),
            Some((Some(name), span)) => match preset(name) {
                Some(arch) => return arch,
                None => {
                    let message = format!("there is no preset `{name}`");
                    self.diagnostic("A005", span, message, suggestion(name, PRESETS.into_iter()));
                }
            },
        }
        super::cs2::cs2()
    }

    fn apply(&mut self, arch: &mut ArchSpec, table: &DeTable<'_>) {
        for (name, value) in table {
            let span = name.span();
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("extends", _) => {}
                ("name", DeValue::String(text)) => arch.name = text.clone().into_owned(),
                ("name", _) => self.diagnostic("A002", value.span(), "the name is a text", ""),
                (group, DeValue::Table(keys)) if KeyGroup::ALL.iter().any(|g| g.name() == group) => {
                    for (key, value) in keys {
                        self.put(arch, &format!("{group}.{}", key.get_ref()), key.span(), value);
                    }
                }
                (other, _) => {
                    let known = ["extends", "name"].into_iter().chain(KeyGroup::ALL.iter().map(|g| g.name()));
                    let message = format!("there is no table or key `{other}` here");
                    self.diagnostic("A001", span, message, suggestion(other, known));
                }
            }
        }
    }

    fn put(&mut self, arch: &mut ArchSpec, key: &str, span: Range<usize>, value: &Spanned<DeValue<'_>>) {
        let text = plain(value.get_ref());
        let Some(text) = text else {
            self.diagnostic("A002", value.span(), format!("{key}: a value of this kind is not possible"), "");
            return;
        };
        let at = place(self.origin, self.text, value.span());
        if let Err(mut diagnostic) = arch.put(key, &text, &at, Source::User(at.clone())) {
            if diagnostic.code == "A001" {
                diagnostic.at = place(self.origin, self.text, span);
            }
            self.diagnostics.push(diagnostic);
        }
    }
}

/// A TOML value as the text that `--set` would take.
fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(n) if n.radix() == 10 => Some(n.as_str().to_owned()),
        DeValue::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(|v| integer(v.get_ref())).collect();
            items.map(|items| items.join(","))
        }
        DeValue::Table(table) if table.len() == 3 => {
            let part = |name| table.get(name).and_then(|v| integer(v.get_ref()));
            Some(format!("{},{},{}", part("half")?, part("single")?, part("mixed")?))
        }
        _ => None,
    }
}

fn integer(value: &DeValue<'_>) -> Option<String> {
    value.as_integer().filter(|n| n.radix() == 10).map(|n| n.as_str().to_owned())
}

/// `origin:line:column` of a byte range.
fn place(origin: &str, text: &str, span: Range<usize>) -> String {
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!("{origin}:{line}:{column}")
}
