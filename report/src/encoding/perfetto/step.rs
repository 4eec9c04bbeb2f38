//! A training step as a trace: kernels on the wafer and its lanes, and the streams over its edges.
//!
//! **Invariant.** The time is that of one micro-batch; the others are the same.

use super::proto;
use super::writer::{Note, Track, Writer};
use crate::encoding::trace_window::TraceWindow;
use runner::Error;

use compiler::Compiled;
use compiler::layout::Geometry;
use runner::ExecutedStep;
use runner::timeline::Span;
use sim_core::coord::Dir;
use sim_core::program::{EdgeStream, Flow};
use std::collections::BTreeMap;

/// Bytes of an event, about.
const EVENT: u64 = 48;

/// What is traced.
#[derive(Debug, Clone, Copy)]
pub struct StepTrace<'a> {
    /// The step.
    pub compiled: &'a Compiled,
    /// Outcomes of the step's programs.
    pub executed: &'a ExecutedStep,
    /// Its kernels in time.
    pub timeline: &'a [Span],
    /// Bytes per cycle over the edges, each way, in thousandths.
    pub edge_milli: u64,
}

/// The trace.
///
/// # Errors
/// `cli-trace` if it would be large and is not forced.
pub fn trace(source: &StepTrace<'_>, part: &TraceWindow, force: bool) -> Result<Vec<u8>, Error> {
    let inside = |s: &&Span| s.end() > part.window.start && s.start < part.window.end && s.cycles > 0;
    let spans: Vec<&Span> = source.timeline.iter().filter(inside).collect();
    let lanes = lanes(&source.compiled.geometry, part);
    let streams: u64 = spans.iter().map(|s| source.executed.streams[s.program].len() as u64).sum();
    let events = spans.len() as u64 * (2 * lanes.len() as u64 + 10) + 2 * streams;
    part.afford(events * EVENT, "--trace", force)?;
    let mut writer = Writer::default();
    let name = format!("wafer, one of {} micro-batches (1 ns is 1 cycle)", source.compiled.micro_batches);
    let wafer = writer.track(None, &name);
    let kernels = writer.track(Some(wafer), "kernels");
    let counters = Counters::new(&mut writer, wafer);
    let lanes: Vec<Track> = lanes.iter().map(|lane| writer.track(Some(wafer), lane)).collect();
    let edges = writer.track(Some(wafer), "edges");
    let mut ports = BTreeMap::new();
    for (i, span) in spans.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| spans[i]);
        let group = |s: &Span| (s.phase, s.layer);
        if before.map(group) != Some(group(span)) {
            if before.is_some() {
                writer.end(span.start, kernels);
            }
            let layer = span.layer.map_or(String::new(), |l| format!(", layer {l}"));
            writer.begin(span.start, kernels, &format!("{}{layer}", span.phase.name().replace('_', " ")), &[]);
        }
        kernel(&mut writer, source, span, &[&[kernels][..], &lanes].concat());
        counters.of(&mut writer, source, span);
        for stream in streams_of(&source.executed.streams[span.program]) {
            let next = ports.len();
            let track = *ports.entry(stream.0.clone()).or_insert_with(|| (next, writer.track(Some(edges), &stream.0)));
            edge(&mut writer, track.1, span, stream.1);
        }
    }
    if let Some(last) = spans.last() {
        writer.end(last.end(), kernels);
        counters.end(&mut writer, last.end());
    }
    Ok(writer.finish())
}

/// The lanes that the part touches, by their rectangles.
fn lanes(g: &Geometry, part: &TraceWindow) -> Vec<String> {
    let wide = g.lane_columns();
    let touches =
        |lane: &u32| lane * wide < part.x.end && (lane + 1) * wide > part.x.start && part.y.start < g.used_rows();
    let name = |lane: u32| {
        let (x0, x1) = (lane * wide, (lane + 1) * wide - 1);
        format!("lane {lane} (columns {x0} to {x1}, rows 0 to {})", g.used_rows() - 1)
    };
    (0..g.lanes).filter(touches).map(name).collect()
}

fn kernel(writer: &mut Writer, source: &StepTrace<'_>, span: &Span, tracks: &[Track]) {
    let outcome = &source.executed.outcomes[span.program];
    let notes = [
        Note::Text("phase", span.phase.name().to_owned()),
        Note::Number("cycles", span.cycles),
        Note::Number("executions", span.count),
        Note::Number("macs", outcome.macs * span.count),
        Note::Number("compute PE-cycles", outcome.pe_cycles.compute * span.count),
        Note::Number("wait PE-cycles", outcome.pe_cycles.wait * span.count),
        Note::Number("back-pressure PE-cycles", outcome.pe_cycles.back_pressure * span.count),
        Note::Number("idle PE-cycles", outcome.pe_cycles.idle * span.count),
    ];
    for (i, track) in tracks.iter().enumerate() {
        writer.begin(span.start, *track, &span.name, if i == 0 { &notes } else { &[] });
        writer.end(span.end(), *track);
    }
}

/// Counters of the wafer.
struct Counters {
    compute: Track,
    onto: Track,
    off: Track,
}

impl Counters {
    fn new(writer: &mut Writer, wafer: Track) -> Counters {
        Counters {
            compute: writer.counter(Some(wafer), "PE-cycles that compute", "% of all"),
            onto: writer.counter(Some(wafer), "onto the wafer", "% of the edges' bandwidth"),
            off: writer.counter(Some(wafer), "off the wafer", "% of the edges' bandwidth"),
        }
    }

    fn of(&self, writer: &mut Writer, source: &StepTrace<'_>, span: &Span) {
        let cycles = source.executed.outcomes[span.program].pe_cycles;
        writer.value(span.start, self.compute, 100 * cycles.compute / cycles.total().max(1));
        let share = |bytes: u64| 100_000 * bytes / (span.cycles * source.edge_milli).max(1);
        writer.value(span.start, self.onto, share(span.traffic.0));
        writer.value(span.start, self.off, share(span.traffic.1));
    }

    fn end(&self, writer: &mut Writer, at: u64) {
        [self.compute, self.onto, self.off].iter().for_each(|track| writer.value(at, *track, 0));
    }
}

/// Streams with the names of their tracks: those of one edge and direction beside one another.
fn streams_of(streams: &[EdgeStream]) -> Vec<(String, &EdgeStream)> {
    let mut seen: BTreeMap<(Dir, bool), usize> = BTreeMap::new();
    let named = |e: &'_ EdgeStream| {
        let n = seen.entry((e.side, e.flow == Flow::In)).or_default();
        *n += 1;
        let way = if e.flow == Flow::In { "in" } else { "out" };
        format!("{} {way} {n}", e.side.name())
    };
    let names: Vec<String> = streams.iter().map(named).collect();
    names.into_iter().zip(streams).collect()
}

/// A stream is open as long as its kernel.
fn edge(writer: &mut Writer, track: Track, span: &Span, stream: &EdgeStream) {
    let notes = [
        Note::Text("kernel", span.name.clone()),
        Note::Text("color", stream.color.to_string()),
        Note::Number("ports", stream.ports.count.into()),
        Note::Number("wavelets per port", stream.wavelets),
        Note::Number("bytes", 4 * stream.wavelets * u64::from(stream.ports.count.div_ceil(stream.fanout.max(1)))),
    ];
    writer.begin(span.start, track, &stream.name, &notes);
    writer.end(span.end(), track);
}

/// Number of packets in a trace; None if it is none.
#[must_use]
pub fn packets(bytes: &[u8]) -> Option<usize> {
    <proto::Trace as prost::Message>::decode(bytes).ok().map(|trace| trace.packet.len())
}
