//! A training step's report as one page: no network, no other file, opens from disk.
//!
//! **Invariant.** Every text of a user's is escaped by the template; the page is a function of the
//! report and the picture alone.
//! **Not here.** The pictures (`heatmap`).

use super::table::{bytes, grouped, si};
use crate::fail::{Failure, Kind};
use crate::report::{Assumed, KernelReport, RunReport};
use askama::Template;
use sim_core::diag::Diagnostic;
use std::collections::BTreeMap;

/// Most rows of a table, and of spans in time.
const ROWS: usize = 400;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    title: String,
    subtitle: String,
    cards: Vec<(&'static str, String, String)>,
    spans: Vec<Span>,
    heat: &'a str,
    kernels: Vec<Row>,
    memory: String,
    tensors: Vec<Tensor<'a>>,
    assumed: &'a [Assumed],
    folding: String,
    folded: Vec<(String, String)>,
    command: &'a str,
}

/// A stretch of the step in time.
struct Span {
    phase: String,
    width: String,
    text: String,
}

/// Kernels of one name and phase, over all layers.
struct Row {
    name: String,
    phase: String,
    count: String,
    cycles: String,
    share: String,
    parts: (String, String, String),
    title: String,
    rate: String,
}

struct Tensor<'a> {
    name: &'a str,
    bytes: String,
    width: String,
}

/// The page; `heat` is a picture as SVG, or empty.
///
/// # Errors
/// If the page cannot be put together: then the template is wrong.
pub fn page(report: &RunReport, heat: &str) -> Result<String, Failure> {
    let (m, s, l) = (&report.model, &report.step, &report.layout);
    let page = Page {
        title: format!("{} on {}", m.name, report.arch.name),
        subtitle: format!(
            "{} parameters, {} layers; batch {} × {} tokens in {} micro-batches of {}; {} lanes of {} columns, {} tokens per PE, {}",
            grouped(m.parameters),
            m.layers,
            s.batch,
            m.seq_len,
            s.micro_batches,
            s.micro_batch,
            l.lanes,
            l.lane_columns,
            l.tokens_per_pe,
            l.act
        ),
        cards: cards(report),
        spans: spans(&report.kernels, s.cycles),
        heat: heat.find("<svg").map_or("", |at| &heat[at..]),
        kernels: rows(report),
        memory: format!(
            "Peak {} of {}, code {} and stack {} included; {} on the whole wafer.",
            bytes(report.memory.pe_peak_bytes),
            bytes(report.memory.pe_capacity_bytes),
            bytes(report.memory.pe_code_bytes),
            bytes(report.memory.pe_stack_bytes),
            bytes(report.memory.wafer_peak_bytes)
        ),
        tensors: tensors(report),
        assumed: &report.assumed,
        folding: format!(
            "{} PE-cycles were stepped for the {} that the report covers; {} programs came out of the cache.",
            grouped(report.simulation.stepped_pe_cycles),
            grouped(report.simulation.covered_pe_cycles),
            report.simulation.cached_programs
        ),
        folded: folded(&report.kernels),
        command: &report.command,
    };
    page.render().map_err(|e| Failure::one(Kind::Internal, Diagnostic::new("cli-plot", "--report", e.to_string())))
}

fn cards(r: &RunReport) -> Vec<(&'static str, String, String)> {
    let t = &r.throughput;
    let mut cards = vec![
        ("step", format!("{:.4} s", r.step.seconds), format!("{} cycles", grouped(r.step.cycles))),
        (
            "throughput",
            format!("{:.1} samples/s", t.samples_per_second),
            format!("{} tokens/s", grouped(t.tokens_per_second as u64)),
        ),
        (
            "model FLOP/s (PaLM)",
            si(t.flops_per_second.palm, "FLOP/s"),
            format!("{:.1} % of peak", 100.0 * t.utilisation.palm),
        ),
        (
            "model FLOP/s (Cerebras)",
            si(t.flops_per_second.cerebras, "FLOP/s"),
            format!("{:.1} % of peak", 100.0 * t.utilisation.cerebras),
        ),
        ("memory of a PE", bytes(r.memory.pe_peak_bytes), format!("of {}", bytes(r.memory.pe_capacity_bytes))),
    ];
    if let Some(c) = &r.cluster {
        let step = format!("{:.4} s per step", c.step_seconds);
        cards.push((
            "systems",
            c.systems.to_string(),
            format!("{step}, {:.1} % efficient", 100.0 * c.scaling_efficiency),
        ));
    }
    cards
}

/// The step from left to right: what follows one another in one phase and layer is one span.
fn spans(kernels: &[KernelReport], all: u64) -> Vec<Span> {
    let mut spans: Vec<(&str, Option<u32>, u64, Vec<&str>)> = Vec::new();
    for k in kernels {
        let full = spans.len() >= ROWS;
        match spans.last_mut() {
            Some(last) if full || (last.0, last.1) == (k.phase.as_str(), k.layer) => {
                last.2 += k.cycles;
                last.3.push(&k.name);
            }
            _ => spans.push((&k.phase, k.layer, k.cycles, vec![&k.name])),
        }
    }
    let text = |(phase, layer, cycles, names): &(&str, Option<u32>, u64, Vec<&str>)| {
        let layer = layer.map_or(String::new(), |l| format!(", layer {l}"));
        format!("{phase}{layer}: {} cycles ({})", grouped(*cycles), names.join(", "))
    };
    spans.iter().map(|s| Span { phase: s.0.to_owned(), width: share(s.2, all), text: text(s) }).collect()
}

fn share(part: u64, whole: u64) -> String {
    format!("{:.3}", 100.0 * part as f64 / whole.max(1) as f64)
}

/// By name and phase, in the order of first use.
fn rows(r: &RunReport) -> Vec<Row> {
    let pes = u64::from(r.arch.width) * u64::from(r.arch.height);
    let mut order: Vec<KernelReport> = Vec::new();
    let mut index = BTreeMap::new();
    for k in &r.kernels {
        let next = order.len();
        let at = *index.entry((&k.name, &k.phase)).or_insert(next);
        match order.get_mut(at) {
            Some(sum) => {
                sum.count += k.count;
                sum.cycles += k.cycles;
                sum.macs += k.macs;
                sum.pe_cycles += k.pe_cycles;
            }
            None => order.push(k.clone()),
        }
    }
    let row = |k: KernelReport| {
        let (p, whole) = (k.pe_cycles, k.pe_cycles.total());
        let parts = (share(p.compute, whole), share(p.wait, whole), share(p.back_pressure, whole));
        Row {
            title: format!(
                "compute {} %, wait {} %, back-pressure {} %, idle {} %",
                parts.0,
                parts.1,
                parts.2,
                share(p.idle, whole)
            ),
            parts,
            count: grouped(k.count),
            cycles: grouped(k.cycles),
            share: format!("{:.1}", 100.0 * k.cycles as f64 / r.step.cycles.max(1) as f64),
            rate: format!("{:.3}", k.macs as f64 / (k.cycles.max(1) as f64 * pes as f64)),
            name: k.name,
            phase: k.phase,
        }
    };
    order.into_iter().take(ROWS).map(row).collect()
}

/// The largest buffers at the peak.
fn tensors(r: &RunReport) -> Vec<Tensor<'_>> {
    let mut at_peak: Vec<_> = r.memory.tensors.iter().filter(|t| t.at_peak).collect();
    at_peak.sort_by_key(|t| std::cmp::Reverse(t.bytes_per_pe));
    let whole = r.memory.pe_capacity_bytes;
    let tensor = |t: &&'_ crate::report::TensorReport| (t.bytes_per_pe, share(t.bytes_per_pe, whole));
    at_peak
        .into_iter()
        .take(ROWS)
        .map(|t| {
            let (size, width) = tensor(&t);
            Tensor { name: &t.name, bytes: bytes(size), width }
        })
        .collect()
}

fn folded(kernels: &[KernelReport]) -> Vec<(String, String)> {
    let mut seen = std::collections::BTreeSet::new();
    let notes = kernels.iter().flat_map(|k| k.folded.iter().map(move |f| (k.name.clone(), f.clone())));
    notes.filter(|n| seen.insert(n.clone())).take(ROWS).collect()
}
