//! A training step's report as text and as CSV.

use super::values;
use crate::cluster::ClusterReport;
use crate::common::ByConvention;
use crate::format::{Document, Tabular};
use crate::row;
use crate::run::{KernelReport, RunReport};
use crate::sums;
use crate::table::{Cell, Table, bytes, grouped, percent, si, word};
use crate::verification::FoldVerification;
use std::fmt::Write as _;

impl Tabular for RunReport {
    /// The kernels, one row each; of a step with values its loss and gradients instead.
    fn table(&self) -> Table {
        if let Some(v) = &self.values {
            return values::table(v);
        }
        let mut table = Table::new(&[
            "name",
            "phase",
            "layer",
            "count",
            "cycles",
            "macs",
            "compute",
            "wait",
            "back_pressure",
            "idle",
        ]);
        for k in &self.kernels {
            let p = k.pe_cycles;
            let name = k.name.as_str();
            let phase = k.phase.as_str();
            table.row(row![
                name,
                phase,
                k.layer,
                k.count,
                k.cycles,
                k.macs,
                p.compute,
                p.wait,
                p.back_pressure,
                p.idle
            ]);
        }
        table
    }
}

impl Document for RunReport {
    /// The whole report.
    fn text(&self) -> String {
        let mut out = head(self);
        out += &cluster(self);
        out += &throughput(self);
        out += &memory(self);
        let table = kernels(self).text();
        let _ = write!(out, "\nKernels, added up over layers (shares in % of PE-cycles)\n{table}");
        self.values.iter().for_each(|v| out += &values::text(v));
        out += &folded(self);
        self.fold_verification.iter().for_each(|v| out += &verified(v));
        out += &assumed(self);
        out += &simulation(self);
        out
    }
}

/// What many systems make of the step.
fn cluster(r: &RunReport) -> String {
    let Some(c) = &r.cluster else { return String::new() };
    let share = |seconds: f64| format!("{:.1}", 100.0 * seconds / c.step_seconds);
    let (scale, unit) = if c.step_seconds < 0.01 { (1e6, "µs") } else { (1.0, "s") };
    let time = |seconds: f64| format!("{:.4} {unit}", scale * seconds);
    let e = &c.exposed;
    let stand = [
        ("weights", e.weights),
        ("gradients", e.gradients),
        ("optimizer", e.optimizer),
        ("activations", e.activations),
    ];
    let stand: Vec<String> =
        stand.iter().map(|(what, s)| format!("{} ({} %) for {what}", time(*s), share(*s))).collect();
    let mut out = format!(
        "\nCluster of {} systems ({} executed), {} micro-batches each",
        c.systems, c.executed_systems, c.micro_batches
    );
    if c.padding > 0 {
        let _ = write!(out, ", {} sequences of padding", c.padding);
    }
    let _ = write!(
        out,
        "\n  step           {}, of which {} ({} %) kernels\n  stalls         {}\n  bound by       {}\n  efficiency     {:.2} % of one system with its share of the batch\n  per wafer      {} of weights in, {} of gradients out; {} in, {} out of its own\n",
        time(c.step_seconds),
        time(c.compute_seconds),
        share(c.compute_seconds),
        stand.join(", "),
        bound(c),
        100.0 * c.scaling_efficiency,
        bytes(c.weights_bytes),
        bytes(c.gradients_bytes),
        bytes(c.inputs_bytes),
        bytes(c.outputs_bytes),
    );
    if let Some(lost) = &c.lost {
        let _ = writeln!(
            out,
            "  lost           {} systems: {} a step before; {} for the step in which they are lost, at its end",
            lost.systems,
            time(lost.step_seconds_before),
            time(lost.redone_step_seconds)
        );
    }
    out
}

/// What a system stalls for longest, and the part of the cluster that is why.
#[must_use]
pub fn bound(c: &ClusterReport) -> String {
    let part = c.bound_by.map(|part| match part {
        cluster::Component::MemoryX => " (MemoryX)",
        cluster::Component::SwarmX => " (SwarmX)",
        cluster::Component::Servers => " (activation servers)",
        cluster::Component::Edges => " (edges of the wafers)",
    });
    word(&c.bottleneck) + part.unwrap_or("")
}

fn head(r: &RunReport) -> String {
    let (m, l, s) = (&r.model, &r.layout, &r.step);
    let mut out = format!(
        "{} on {}: {} parameters, {} layers, batch {} × {} tokens\n",
        m.name,
        r.arch.name,
        grouped(m.parameters),
        m.layers,
        s.batch,
        m.seq_len
    );
    let _ = writeln!(
        out,
        "  mesh           {} × {} PEs, {} in use: {} lanes of {} columns, {} tokens per PE, {}",
        r.arch.width,
        r.arch.height,
        grouped(l.pes),
        l.lanes,
        l.lane_columns,
        l.tokens_per_pe,
        l.act
    );
    let _ = writeln!(
        out,
        "  mapping        attention in {} x {} chunks of queries and keys, backward in {} x {}, feed-forward in {} parts, LM head in {}; layer inputs {}",
        l.attention_chunks,
        l.key_chunks,
        l.backward_chunks,
        l.backward_key_chunks,
        l.ffn_parts,
        l.lm_chunks,
        l.checkpoints
    );
    if !l.stationary_outputs.is_empty() {
        let names = l.stationary_outputs.join(", ");
        let saved = grouped(l.stationary_outputs_save);
        let _ = writeln!(out, "  sums stay      in {names}: {saved} cycles fewer by estimate than where they travel");
    }
    let saved = grouped(l.fastest_reductions_save);
    let _ = writeln!(
        out,
        "  sums over rows {}; by estimate the fastest reductions save {saved} cycles compared to chains",
        l.reduction
    );
    if let Some(r) = &l.runner_up {
        // Among mappings within 2 % the one with the shortest rings is taken (docs/COMPILER.md).
        let why = if r.estimated_cycles < l.estimated_cycles { ", which has longer rings" } else { "" };
        let _ = writeln!(
            out,
            "  chosen         by an estimate of {} cycles; the next best, {} lanes with {} columns per head, {} tokens, micro-batches of {}: {}{why}",
            grouped(l.estimated_cycles),
            r.lanes,
            r.head_columns,
            r.tokens_per_pe,
            r.micro_batch,
            grouped(r.estimated_cycles)
        );
    }
    let _ = writeln!(
        out,
        "  step           {} cycles = {:.4} s, {} micro-batches of {}",
        grouped(s.cycles),
        s.seconds,
        s.micro_batches,
        s.micro_batch
    );
    out
}

fn throughput(r: &RunReport) -> String {
    let t = &r.throughput;
    let mut out = format!(
        "\nThroughput\n  {:.2} samples/s, {} tokens/s; peak of the machine {}\n",
        t.samples_per_second,
        grouped(t.tokens_per_second.round() as u64),
        si(t.peak_flops, "FLOP/s")
    );
    let all = |c: &ByConvention| [c.cerebras, c.palm, c.six_n];
    let mut table = Table::new(&["  FLOPs counted as", "model FLOP/s", "utilisation %"]);
    let rates = all(&t.flops_per_second).into_iter().zip(all(&t.utilisation));
    for (name, (rate, share)) in ["Cerebras", "PaLM", "6N"].into_iter().zip(rates) {
        table.row(row![format!("  {name}"), si(rate, "FLOP/s"), Cell::fixed(100.0 * share, 2)]);
    }
    out += &table.text();
    out
}

fn memory(r: &RunReport) -> String {
    let m = &r.memory;
    let mut out = format!(
        "\nMemory\n  PE peak {} of {} ({} % used; code {}, stack {}); wafer peak {}\n",
        bytes(m.pe_peak_bytes),
        bytes(m.pe_capacity_bytes),
        percent(m.pe_peak_bytes, m.pe_capacity_bytes),
        bytes(m.pe_code_bytes),
        bytes(m.pe_stack_bytes),
        bytes(m.wafer_peak_bytes)
    );
    let largest = m.largest();
    let names: Vec<String> = largest.iter().take(8).map(|t| format!("{} {}", t.name, bytes(t.bytes_per_pe))).collect();
    if !names.is_empty() {
        let more = largest.len() - names.len();
        let rest = if more > 0 { format!(", {more} more") } else { String::new() };
        let _ = writeln!(out, "  at the peak: {}{rest}", names.join(", "));
    }
    out
}

fn kernels(r: &RunReport) -> Table {
    let mut table = Table::new(&[
        "kernel",
        "phase",
        "count",
        "cycles",
        "share %",
        "compute",
        "wait",
        "back-pr.",
        "idle",
        "MACs/PE/cycle",
    ]);
    let pes = u64::from(r.arch.width) * u64::from(r.arch.height);
    let mut rows = sums::over_layers(&r.kernels);
    if let Some(first) = rows.first().cloned() {
        let mut total = KernelReport { name: "all".to_owned(), phase: String::new(), ..first };
        rows[1..].iter().for_each(|k| sums::add(&mut total, k));
        rows.push(total);
    }
    for row in rows {
        let (p, all) = (row.pe_cycles, row.pe_cycles.total());
        let rate = row.macs as f64 / (row.cycles * pes).max(1) as f64;
        table.row(row![
            row.name,
            row.phase.replace('_', " "),
            grouped(row.count),
            grouped(row.cycles),
            percent(row.cycles, r.step.cycles),
            percent(p.compute, all),
            percent(p.wait, all),
            percent(p.back_pressure, all),
            percent(p.idle, all),
            format!("{rate:.3}"),
        ]);
    }
    table
}

/// What `--verify-fold` found.
#[must_use]
pub fn verified(v: &FoldVerification) -> String {
    let mut out = format!("  verified (seed {}): folded and full runs have equal counters in every PE\n", v.seed);
    for k in &v.kernels {
        let mut kinds: Vec<&str> = k.folds.iter().map(|f| f.kind.as_str()).collect();
        kinds.dedup();
        let kinds = kinds.join(", ");
        let _ =
            writeln!(out, "    {} on {} x {} PEs: {} cycles; {kinds}", k.name, k.width, k.height, grouped(k.cycles));
    }
    out
}

fn folded(r: &RunReport) -> String {
    let mut kinds: Vec<(&str, usize, &str)> = Vec::new();
    for note in r.kernels.iter().flat_map(|k| &k.folded) {
        let (kind, text) = note.split_once(": ").unwrap_or((note, ""));
        match kinds.iter_mut().find(|(known, ..)| *known == kind) {
            Some(known) => known.1 += 1,
            None => kinds.push((kind, 1, text)),
        }
    }
    let s = &r.simulation;
    let mut out = format!(
        "\nFolding ({}): {} PE-cycles covered, {} stepped\n",
        s.fold,
        si(s.covered_pe_cycles as f64, ""),
        si(s.stepped_pe_cycles as f64, "")
    );
    for (kind, n, example) in kinds {
        let _ = writeln!(out, "  {kind} ({n} kernels), such as: {example}");
    }
    out
}

fn assumed(r: &RunReport) -> String {
    let mut table = Table::new(&["  assumed", "value", "because"]);
    for a in &r.assumed {
        table.row(row![format!("  {}", a.parameter), a.value.clone(), a.because.clone()]);
    }
    format!("\nNo public source\n{}", table.text())
}

fn simulation(r: &RunReport) -> String {
    let s = &r.simulation;
    let cached = match s.cached_programs {
        0 => String::new(),
        n => format!("; {n} outcomes came out of the cache (`wafersim cache`)"),
    };
    format!(
        "\nSimulated in {:.1} s by the {} engine on {} threads with {}{cached}\n",
        s.wall_seconds,
        s.engine,
        s.threads,
        bytes(s.peak_rss_bytes)
    )
}
