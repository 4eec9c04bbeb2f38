//! `wafersim diff A.json B.json`: what changed between two reports of `wafersim run`.

use super::reply::Reply;
use crate::fail::{Failure, Kind};
use crate::{files, manifest};
use clap::Args;
use report::run::RUN_SCHEMA;
use report::table::{Cell, Table};
use report::{Document, Tabular, row};
use serde::Serialize;
use serde_json::Value;
use sim_core::diag::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Largest report that is read, in bytes.
const REPORT_MAX: u64 = 256 << 20;
/// Sections of a report that are inputs, and results, number by number.
const SECTIONS: [(&str, &str); 9] = [
    ("input", "model"),
    ("input", "arch"),
    ("input", "arch_hash"),
    ("input", "layout"),
    ("input", "program_hash"),
    ("result", "step"),
    ("result", "cluster"),
    ("result", "throughput"),
    ("result", "memory"),
];

/// What changed between two reports of `wafersim run --format json`, in input and in result
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wafersim run cerebras-gpt-111m --format json -o a.json
  wafersim run cerebras-gpt-111m --format json -o b.json --set router.hop=2
  wafersim diff a.json b.json")]
pub(super) struct Arguments {
    /// The report to compare with
    a: PathBuf,
    /// The other one
    b: PathBuf,
}

/// What differs.
#[derive(Debug, PartialEq, Serialize)]
struct Difference {
    /// Numbers and words of the input and the result.
    values: Vec<Changed>,
    /// Kernels by name and phase: those of one report only have no cycles in the other.
    kernels: Vec<Kernel>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Changed {
    /// `input` or `result`.
    part: &'static str,
    key: String,
    a: Value,
    b: Value,
}

#[derive(Debug, PartialEq, Serialize)]
struct Kernel {
    name: String,
    phase: String,
    a_cycles: Option<u64>,
    b_cycles: Option<u64>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Reply, Failure> {
    let [a, b] = [read(&arguments.a), read(&arguments.b)];
    let diagnostics: Vec<Diagnostic> =
        [&a, &b].iter().filter_map(|r| r.as_ref().err()).flat_map(|f| f.diagnostics.clone()).collect();
    let (Ok(a), Ok(b)) = (a, b) else { return Err(Failure::many(Kind::InvalidInput, diagnostics)) };
    Ok(Reply::of(Difference { values: values(&a, &b), kernels: kernels(&a, &b) }))
}

impl Document for Difference {
    fn text(&self) -> String {
        if self.values.is_empty() && self.kernels.is_empty() {
            return "no difference\n".to_owned();
        }
        self.table().text()
    }
}

/// Reads a report.
pub(super) fn read(path: &Path) -> Result<Value, Failure> {
    read_as(path, &[RUN_SCHEMA])
}

/// Reads a report with one of these schemas.
pub(super) fn read_as(path: &Path, schemas: &[&str]) -> Result<Value, Failure> {
    let at = path.display().to_string();
    let wrong = |message: String| {
        let diagnostic = Diagnostic::new("cli-report", &at, message)
            .help("write one with `wafersim run MODEL --format json -o FILE`");
        Failure::one(Kind::InvalidInput, diagnostic)
    };
    let text = files::read_text(path, REPORT_MAX)?;
    let report: Value = serde_json::from_str(&text).map_err(|e| wrong(format!("is not JSON: {e}")))?;
    match report["schema"].as_str() {
        Some(schema) if schemas.contains(&schema) => Ok(report),
        other => Err(wrong(format!("is not a report of this version: its schema is {other:?}, not {RUN_SCHEMA:?}"))),
    }
}

/// Numbers and words that differ, by key; lists are compared as a whole.
fn values(a: &Value, b: &Value) -> Vec<Changed> {
    let mut out = Vec::new();
    let [x, y] = [a, b].map(parameters);
    for key in x.keys().chain(y.keys()).collect::<BTreeSet<_>>() {
        let value = |of: &BTreeMap<String, String>| of.get(key).map_or(Value::Null, |v| Value::String(v.clone()));
        walk("input", (*key).clone(), &value(&x), &value(&y), &mut out);
    }
    for (part, section) in SECTIONS {
        walk(part, section.to_owned(), &a[section], &b[section], &mut out);
    }
    out
}

/// Parameters of the machine that a report names: those that are assumed, and those that its
/// command sets.
fn parameters(report: &Value) -> BTreeMap<String, String> {
    let assumed = report["assumed"].as_array().into_iter().flatten();
    let mut all: BTreeMap<String, String> =
        assumed.filter_map(|a| Some((a["parameter"].as_str()?.to_owned(), a["value"].as_str()?.to_owned()))).collect();
    let words = manifest::words(report["command"].as_str().unwrap_or(""));
    let sets = words.windows(2).filter(|pair| pair[0] == "--set");
    all.extend(sets.filter_map(|pair| pair[1].split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())));
    all
}

fn walk(part: &'static str, key: String, a: &Value, b: &Value, out: &mut Vec<Changed>) {
    if let (Value::Object(x), Value::Object(y)) = (a, b) {
        let names: BTreeSet<&String> = x.keys().chain(y.keys()).collect();
        for name in names {
            walk(part, format!("{key}.{name}"), &a[name], &b[name], out);
        }
    } else if a != b && !a.is_array() && !b.is_array() {
        out.push(Changed { part, key, a: a.clone(), b: b.clone() });
    }
}

/// Kernels whose cycles differ, those that changed most first.
fn kernels(a: &Value, b: &Value) -> Vec<Kernel> {
    let mut cycles: BTreeMap<(String, String), [Option<u64>; 2]> = BTreeMap::new();
    for (i, report) in [a, b].into_iter().enumerate() {
        for k in report["kernels"].as_array().into_iter().flatten() {
            let word = |key: &str| k[key].as_str().unwrap_or("").to_owned();
            let sum = &mut cycles.entry((word("name"), word("phase"))).or_default()[i];
            *sum = Some(sum.unwrap_or(0) + k["cycles"].as_u64().unwrap_or(0));
        }
    }
    let kernel = |((name, phase), [a_cycles, b_cycles]): ((String, String), [Option<u64>; 2])| Kernel {
        name,
        phase,
        a_cycles,
        b_cycles,
    };
    let mut out: Vec<Kernel> = cycles.into_iter().filter(|(_, [a, b])| a != b).map(kernel).collect();
    let moved = |k: &Kernel| k.a_cycles.unwrap_or(0).abs_diff(k.b_cycles.unwrap_or(0));
    out.sort_by(|x, y| moved(y).cmp(&moved(x)).then_with(|| (&x.name, &x.phase).cmp(&(&y.name, &y.phase))));
    out
}

impl Tabular for Difference {
    fn table(&self) -> Table {
        let mut table = Table::new(&["what", "key", "a", "b", "change"]);
        let plain = |v: &Value| match v {
            Value::Null => "-".to_owned(),
            Value::String(s) => s.clone(),
            Value::Number(n) => match n.as_f64().filter(|_| n.is_f64()) {
                Some(x) => significant(x, 7),
                None => n.to_string(),
            },
            other => other.to_string(),
        };
        for v in &self.values {
            let change = change(v.a.as_f64(), v.b.as_f64());
            table.row(row![v.part, v.key.clone(), plain(&v.a), plain(&v.b), change]);
        }
        for k in &self.kernels {
            let cycles = |n: Option<u64>| n.map_or(Cell::from("-"), Cell::Grouped);
            let change = change(k.a_cycles.map(|n| n as f64), k.b_cycles.map(|n| n as f64));
            let name = format!("{} ({})", k.name, k.phase);
            table.row(row!["cycles", name, cycles(k.a_cycles), cycles(k.b_cycles), change]);
        }
        table
    }
}

/// In per cent, where both are numbers.
fn change(a: Option<f64>, b: Option<f64>) -> String {
    match (a, b) {
        (Some(a), Some(b)) if a != 0.0 => {
            let percent = 100.0 * (b / a - 1.0);
            // A difference is never nothing.
            if percent.abs() < 0.01 { format!("{percent:+.1e} %") } else { format!("{percent:+.2} %") }
        }
        _ => String::new(),
    }
}

/// A number with so many digits that mean something.
fn significant(x: f64, digits: i32) -> String {
    let whole = if x == 0.0 { 1 } else { x.abs().log10().floor() as i32 + 1 };
    format!("{x:.*}", (digits - whole).max(0) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_and_never_nothing() {
        let report = |command: &str, assumed: &[(&str, &str)], seconds: f64| {
            let assumed: Vec<Value> =
                assumed.iter().map(|(p, v)| serde_json::json!({"parameter": p, "value": v})).collect();
            serde_json::json!({"command": command, "assumed": assumed, "step": {"seconds": seconds, "cycles": 10}})
        };
        let a = report("wafersim run x", &[("router.buffer", "4"), ("ramp.up", "2")], 0.218_408_061_176);
        let b = report("wafersim run x --set router.buffer=2 --set pe.sram=1", &[("ramp.up", "2")], 0.218_408_061_199);
        let difference = Difference { values: values(&a, &b), kernels: kernels(&a, &b) };
        let text = Document::text(&difference);
        let lines: Vec<Vec<&str>> = text.lines().skip(1).map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["input", "pe.sram", "-", "1"]);
        assert_eq!(lines[1], ["input", "router.buffer", "4", "2"]);
        assert_eq!(lines[2], ["result", "step.seconds", "0.2184081", "0.2184081", "+1.1e-8", "%"]);
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(
            [1_339_365_249_367_977.5, 549.430_269_9, 0.0].map(|x| significant(x, 7)),
            ["1339365249367978", "549.4303", "0.000000"]
        );
    }
}
