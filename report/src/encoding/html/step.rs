//! The page of a training step.
//!
//! **Invariant.** The page is a function of the report and what it is drawn from alone.
//! **Not here.** The pictures (`pictures`), the page of a program (`program`).

use super::{Parts, bytes, grouped, map, rendered, tenths};
use crate::common::Assumed;
use crate::encoding::svg::pictures::{self, PictureInput};
use crate::run::{KernelReport, RunReport};
use crate::sums;
use crate::table::si;
use askama::Template;
use runner::Error;
use sim_core::report::PeCycles;

/// Most rows of a table, and of spans in time.
const ROWS: usize = 400;
/// Kernels that are explained in words.
const WHY: usize = 5;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    title: String,
    subtitle: String,
    cards: Vec<(&'static str, String, String)>,
    whole: Parts,
    why: Vec<String>,
    spans: Vec<Span>,
    timeline: &'a str,
    histogram: &'a str,
    roofline: &'a str,
    scaling: &'a str,
    memory_picture: &'a str,
    kernels: Vec<Row>,
    memory: String,
    tensors: Vec<Tensor<'a>>,
    assumed: &'a [Assumed],
    folding: String,
    folded: Vec<(String, String)>,
    command: &'a str,
    data: String,
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
    /// Bytes in and out, as numbers and for people.
    edge: (u64, String, u64, String),
}

struct Tensor<'a> {
    name: &'a str,
    bytes: String,
    width: String,
}

/// The page.
///
/// # Errors
/// If the page cannot be put together: then the template is wrong.
pub fn page(source: &PictureInput<'_>) -> Result<String, Error> {
    let report = source.report;
    let charts = pictures::charts(source)?;
    // Without the declaration that a file of its own begins with.
    let svg = |text: &'_ str| text.find("<svg").unwrap_or(0);
    let chart = |name: &str| charts.iter().find(|c| c.0 == name).map_or("", |c| &c.1[svg(&c.1)..]);
    let mut all = PeCycles::default();
    report.kernels.iter().for_each(|k| all += k.pe_cycles);
    let (m, s, l) = (&report.model, &report.step, &report.layout);
    let page = Page {
        title: format!("{} on {}", m.name, report.arch.name),
        subtitle: format!(
            "{} parameters, {} layers; batch {} × {} tokens in {}; {} lanes of {} columns, {} tokens per PE, {}",
            grouped(m.parameters),
            m.layers,
            s.batch,
            m.seq_len,
            match s.micro_batches {
                1 => "one micro-batch".to_owned(),
                n => format!("{n} micro-batches of {}", s.micro_batch),
            },
            l.lanes,
            l.lane_columns,
            l.tokens_per_pe,
            l.act
        ),
        cards: cards(report),
        spans: spans(&report.kernels, s.cycles),
        whole: Parts::of(all),
        why: why(report),
        timeline: chart("timeline"),
        histogram: chart("histogram"),
        roofline: chart("roofline"),
        scaling: chart("scaling"),
        memory_picture: chart("memory"),
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
        data: map::data(source.heat)?,
    };
    rendered(&page)
}

fn cards(r: &RunReport) -> Vec<(&'static str, String, String)> {
    let t = &r.throughput;
    let mut cards = vec![
        ("step", format!("{:.4} s", r.step.seconds), format!("{} cycles", grouped(r.step.cycles))),
        ("throughput", samples(t.samples_per_second), format!("{} tokens/s", grouped(t.tokens_per_second as u64))),
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

/// Samples per second, with as many digits as mean something.
fn samples(rate: f64) -> String {
    if rate >= 1000.0 { format!("{} samples/s", grouped(rate as u64)) } else { format!("{rate:.1} samples/s") }
}

fn share(part: u64, whole: u64) -> String {
    format!("{:.3}", 100.0 * part as f64 / whole.max(1) as f64)
}

/// By name and phase, in the order of first use.
fn rows(r: &RunReport) -> Vec<Row> {
    let pes = u64::from(r.arch.width) * u64::from(r.arch.height);
    let row = |k: KernelReport| {
        let parts = Parts::of(k.pe_cycles);
        Row {
            title: parts.title.clone(),
            parts: (parts.compute, parts.wait, parts.back),
            count: grouped(k.count),
            cycles: grouped(k.cycles),
            share: format!("{:.1}", 100.0 * k.cycles as f64 / r.step.cycles.max(1) as f64),
            rate: format!("{:.3}", k.macs as f64 / (k.cycles.max(1) as f64 * pes as f64)),
            edge: (k.edge_in_bytes, bytes(k.edge_in_bytes), k.edge_out_bytes, bytes(k.edge_out_bytes)),
            name: k.name,
            phase: k.phase.replace('_', " "),
        }
    };
    sums::over_layers(&r.kernels).into_iter().take(ROWS).map(row).collect()
}

/// The kernels that take most of the step, and what their PEs do meanwhile.
fn why(r: &RunReport) -> Vec<String> {
    let mut kernels = sums::over_layers(&r.kernels);
    kernels.sort_by(|a, b| b.cycles.cmp(&a.cycles).then_with(|| (&a.name, &a.phase).cmp(&(&b.name, &b.phase))));
    let pes = u64::from(r.arch.width) * u64::from(r.arch.height);
    let sentence = |k: &KernelReport| {
        let phase = k.phase.replace('_', " ");
        let rate = k.macs as f64 / (k.cycles.max(1) * pes).max(1) as f64;
        let work =
            if k.macs > 0 { format!(" {rate:.2} multiply-accumulates per PE and cycle.") } else { String::new() };
        format!(
            "{} ({phase}) takes {} % of the step: its PEs compute {} % of the time, wait {} % for wavelets and {} % for room, and are idle {} %.{work}",
            k.name,
            tenths(k.cycles, r.step.cycles),
            tenths(k.pe_cycles.compute, k.pe_cycles.total()),
            tenths(k.pe_cycles.wait, k.pe_cycles.total()),
            tenths(k.pe_cycles.back_pressure, k.pe_cycles.total()),
            tenths(k.pe_cycles.idle, k.pe_cycles.total()),
        )
    };
    kernels.iter().take(WHY).map(sentence).collect()
}

/// The largest buffers at the peak.
fn tensors(r: &RunReport) -> Vec<Tensor<'_>> {
    let whole = r.memory.pe_capacity_bytes;
    let largest = r.memory.largest().into_iter().take(ROWS);
    let tensor = |t: &'_ crate::run::TensorReport| (bytes(t.bytes_per_pe), share(t.bytes_per_pe, whole));
    largest
        .map(|t| {
            let (bytes, width) = tensor(t);
            Tensor { name: &t.name, bytes, width }
        })
        .collect()
}

fn folded(kernels: &[KernelReport]) -> Vec<(String, String)> {
    let mut seen = std::collections::BTreeSet::new();
    let notes = kernels.iter().flat_map(|k| k.folded.iter().map(move |f| (k.name.clone(), f.clone())));
    notes.filter(|n| seen.insert(n.clone())).take(ROWS).collect()
}
