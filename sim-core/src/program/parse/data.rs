//! Numbers beside the program: start values that differ by place, what enters at the edges, and what is
//! expected at the end.
//!
//! They are kept as expressions, and evaluated only for a run that carries values.
//!
//! **Not here.** How they are written (`values.rs`), memories and streams (`fabric`).

use super::expr::Fault;
use super::source::SourceMap;
use super::values::{Kind, Values};
use crate::coord::{Dir, PeCoord, Region};
use crate::diag::Diagnostic;
use crate::program::{DType, Dims, EdgeStream, Flow, Program};

/// Most wavelets of all streams that have values.
const MAX_WORDS: u64 = 1 << 26;
/// Differences that one expectation lists.
const SHOWN: usize = 4;

/// What a text says about the numbers of a run.
#[derive(Debug, Default)]
pub struct Data {
    pub(super) starts: Vec<Start>,
    pub(super) feeds: Vec<Feed>,
    pub(super) expects: Vec<Expect>,
}

/// Start values of a buffer that differ by place.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) image: usize,
    pub(super) buffer: usize,
    pub(super) values: Values,
    pub(super) at: usize,
}

/// Values of an edge stream.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) edge: usize,
    pub(super) dtype: DType,
    pub(super) values: Values,
    pub(super) at: usize,
}

/// What is expected at the end of a run.
#[derive(Debug)]
pub(super) struct Expect {
    pub(super) what: What,
    pub(super) at: usize,
    /// Largest difference: of a number up to 1 as it is, of a larger one as a share.
    pub(super) tolerance: f64,
}

/// Of what something is expected.
#[derive(Debug)]
pub(super) enum What {
    /// Of elements of a buffer, on the PEs of a region that have it.
    Buffer { name: String, region: Option<Region>, elements: Elements, values: Values },
    /// Of what left at an edge.
    Edge { edge: usize, dtype: DType, values: Values },
    /// Of the run's length: it compares like this with a number of cycles.
    Cycles(std::cmp::Ordering, bool, f64),
}

/// Elements of a buffer.
#[derive(Debug)]
pub(super) struct Elements {
    /// The first one; none before it is meant.
    pub(super) first: i64,
    /// From there on; none is a single element.
    pub(super) dims: Dims,
}

impl Elements {
    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.dims.iter().fold(1, |n: u64, d| n.saturating_mul(d.len.into()))
    }

    /// Their places in the buffer, in order.
    fn places(&self) -> impl Iterator<Item = i64> {
        (0..self.count()).map(|n| {
            let mut rest = n;
            let along = self.dims.iter().rev().map(|d| {
                let own = rest % u64::from(d.len);
                rest /= u64::from(d.len);
                own as i64 * i64::from(d.stride)
            });
            self.first + along.sum::<i64>()
        })
    }
}

/// What a run left behind.
pub trait Observed {
    /// Bytes of a PE's memory; None where there are none.
    fn memory(&self, pe: PeCoord, from: u64, bytes: u64) -> Option<&[u8]>;
    /// Wavelets that left by a port of a stream.
    fn words(&self, stream: &str, port: u32) -> &[u32];
    /// Length of the run.
    fn cycles(&self) -> u64;
}

impl Data {
    /// Whether anything needs a run that carries values.
    #[must_use]
    pub fn has_values(&self) -> bool {
        !self.starts.is_empty() || !self.feeds.is_empty() || self.expectations() > 0
    }

    /// How much there is, in words.
    #[must_use]
    pub fn summary(&self) -> String {
        let (starts, feeds, expects) = (self.starts.len(), self.feeds.len(), self.expects.len());
        format!(
            "{starts} buffers whose start values differ by place, values of {feeds} streams, {expects} expectations"
        )
    }

    /// Expectations of values.
    #[must_use]
    pub fn expectations(&self) -> usize {
        self.expects.iter().filter(|e| !matches!(e.what, What::Cycles(..))).count()
    }

    /// Gives all start values that differ by place to `write`: PE, byte address, bytes.
    ///
    /// # Errors
    /// Expressions that have no value on some PE.
    pub fn start(
        &self,
        program: &Program,
        map: &SourceMap,
        mut write: impl FnMut(PeCoord, u64, &[u8]),
    ) -> Result<(), Vec<Diagnostic>> {
        let mut faults = Vec::new();
        for start in &self.starts {
            let buffer = &program.images[start.image].buffers[start.buffer];
            let regions = program.placements.iter().filter(|p| p.image as usize == start.image).map(|p| p.region);
            for pe in regions.flat_map(Region::iter) {
                match start.values.bits(pe, u64::from(buffer.len), Kind::of(buffer.dtype, buffer.word)) {
                    Ok(bits) => write(pe, u64::from(buffer.addr), &bytes(&bits, buffer.dtype)),
                    Err(fault) => {
                        faults.push(no_value(map, start.at, &fault, &format!("on PE {pe}")));
                        break;
                    }
                }
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Gives the wavelets of all ports of streams that have values to `write`: stream, port, wavelets.
    ///
    /// # Errors
    /// Expressions that have no value, or too many wavelets.
    pub fn feed(
        &self,
        program: &Program,
        map: &SourceMap,
        mut write: impl FnMut(&str, u32, Vec<u32>),
    ) -> Result<(), Vec<Diagnostic>> {
        let mut faults = Vec::new();
        let total = |f: &Feed| program.edges[f.edge].wavelets.saturating_mul(program.edges[f.edge].ports.count.into());
        let all = self.feeds.iter().map(total).fold(0, u64::saturating_add);
        for feed in &self.feeds {
            let edge = &program.edges[feed.edge];
            if all > MAX_WORDS {
                let message = format!("values for {all} wavelets; at most {MAX_WORDS} are possible");
                faults.push(map.diagnostic("P008", feed.at, message));
                break;
            }
            for (port, position) in edge.ports.iter().enumerate() {
                let pe = border(program, edge, position);
                let count = edge.wavelets * u64::from(feed.dtype.per_wavelet());
                match feed.values.bits(pe, count, Kind::Number(feed.dtype)) {
                    Ok(bits) => write(&edge.name, port as u32, wavelets(&bits, feed.dtype)),
                    Err(fault) => {
                        faults.push(no_value(map, feed.at, &fault, &format!("at port {position}")));
                        break;
                    }
                }
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// What of a run is not as expected; without `values`, only its length is looked at.
    pub fn check(&self, program: &Program, map: &SourceMap, values: bool, run: &dyn Observed) -> Vec<Diagnostic> {
        let checked = self.expects.iter().filter(|e| values || matches!(e.what, What::Cycles(..)));
        checked.filter_map(|e| e.check(program, map, run)).collect()
    }
}

/// The PE at a port of an edge stream.
fn border(program: &Program, edge: &EdgeStream, position: u32) -> PeCoord {
    let grid = program.grid();
    match edge.side {
        Dir::North => PeCoord { x: position, y: 0 },
        Dir::South => PeCoord { x: position, y: grid.height.saturating_sub(1) },
        Dir::West => PeCoord { x: 0, y: position },
        _ => PeCoord { x: grid.width.saturating_sub(1), y: position },
    }
}

/// An expression without a value; `around` is where the statement stands.
fn no_value(map: &SourceMap, around: usize, (at, message): &Fault, place: &str) -> Diagnostic {
    let at = if *at == usize::MAX { around } else { *at };
    map.diagnostic("P007", at, format!("{message}, {place}"))
}

/// Elements as adjacent bytes.
fn bytes(bits: &[u32], dtype: DType) -> Vec<u8> {
    bits.iter().flat_map(|b| b.to_le_bytes().into_iter().take(dtype.bytes() as usize)).collect()
}

/// Elements as wavelets; the earlier one of two is in the low half.
fn wavelets(bits: &[u32], dtype: DType) -> Vec<u32> {
    let width = 32 / dtype.per_wavelet();
    let word = |part: &[u32]| part.iter().rev().fold(0u64, |word, &b| word << width | u64::from(b)) as u32;
    bits.chunks(dtype.per_wavelet() as usize).map(word).collect()
}

/// Elements of wavelets.
fn elements(words: &[u32], dtype: DType) -> Vec<f64> {
    let halves = |word: &u32| (0..dtype.per_wavelet()).map(|i| word >> (16 * i)).collect::<Vec<_>>();
    words.iter().flat_map(halves).map(|bits| dtype.decode(bits).into()).collect()
}

/// Differences between what is and what is expected.
#[derive(Default)]
struct Differences {
    compared: u64,
    differ: u64,
    shown: Vec<String>,
}

impl Differences {
    fn add(&mut self, place: &str, element: u64, (got, want): (f64, f64), tolerance: f64) {
        self.compared += 1;
        let near = (got - want).abs() <= tolerance * want.abs().max(1.0);
        if near || got == want || got.is_nan() && want.is_nan() {
            return;
        }
        self.differ += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(format!("{place}: element {element} is {}, expected {}", shown(got), shown(want)));
        }
    }

    fn missing(&mut self, place: &str, why: &str) {
        self.differ += 1;
        self.compared += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(format!("{place}: {why}"));
        }
    }

    fn diagnostic(self, map: &SourceMap, at: usize, name: &str) -> Option<Diagnostic> {
        if self.compared == 0 {
            return Some(map.diagnostic("E001", at, format!("{name}: there is nothing to compare")));
        }
        let mut lines = vec![format!("{name}: {} of {} numbers are not as expected", self.differ, self.compared)];
        lines.extend(self.shown);
        (self.differ > 0).then(|| map.diagnostic("E001", at, lines.join("\n    ")))
    }
}

impl Expect {
    fn check(&self, program: &Program, map: &SourceMap, run: &dyn Observed) -> Option<Diagnostic> {
        let mut found = Differences::default();
        let done = match &self.what {
            What::Buffer { name, .. } => self.buffer(program, run, &mut found).map(|()| format!("`{name}`")),
            What::Edge { edge, dtype, values } => {
                let stream = &program.edges[*edge];
                self.edge(program, (stream, *dtype, values), run, &mut found)
                    .map(|()| format!("edge `{}`", stream.name))
            }
            What::Cycles(order, or_equal, want) => {
                let got = run.cycles() as f64;
                let near = (got - want).abs() <= self.tolerance * want.abs().max(1.0);
                let as_wanted = got.partial_cmp(want) == Some(*order) || (*or_equal || order.is_eq()) && near;
                let message = format!("the run took {got} cycles; expected: {}{want}", words(*order, *or_equal));
                return (!as_wanted).then(|| map.diagnostic("E001", self.at, message));
            }
        };
        match done {
            Ok(name) => found.diagnostic(map, self.at, &name),
            Err(fault) => Some(no_value(map, self.at, &fault, "in what is expected")),
        }
    }

    fn buffer(&self, program: &Program, run: &dyn Observed, found: &mut Differences) -> Result<(), Fault> {
        let What::Buffer { name, region, elements, values } = &self.what else { return Ok(()) };
        for placement in &program.placements {
            let Some(image) = program.images.get(placement.image as usize) else { continue };
            let Some(buffer) = image.buffers.iter().find(|b| b.name == *name) else { continue };
            for pe in placement.region.iter().filter(|&pe| region.is_none_or(|r| r.contains(pe))) {
                let place = format!("PE {pe}");
                let bytes = u64::from(buffer.len) * u64::from(buffer.dtype.bytes());
                let Some(memory) = run.memory(pe, buffer.addr.into(), bytes) else {
                    found.missing(&place, "it has no such memory");
                    continue;
                };
                let got = buffer.read(memory);
                for (n, element) in elements.places().enumerate() {
                    let Some(&got) = usize::try_from(element).ok().and_then(|e| got.get(e)) else { continue };
                    // A list is of the elements that are named.
                    let counted = if values.is_list() { n as u64 } else { element as u64 };
                    let Some(want) = values.held(pe, counted, Kind::of(buffer.dtype, buffer.word))? else { break };
                    found.add(&place, element as u64, (got, want), self.tolerance);
                }
            }
        }
        Ok(())
    }

    fn edge(
        &self,
        program: &Program,
        (stream, dtype, values): (&EdgeStream, DType, &Values),
        run: &dyn Observed,
        found: &mut Differences,
    ) -> Result<(), Fault> {
        debug_assert_eq!(stream.flow, Flow::Out, "the parser refuses others");
        for (port, position) in stream.ports.iter().enumerate() {
            let pe = border(program, stream, position);
            let got = elements(run.words(&stream.name, port as u32), dtype);
            let place = format!("port {position}");
            for (element, &got) in got.iter().enumerate() {
                let Some(want) = values.held(pe, element as u64, Kind::Number(dtype))? else { break };
                found.add(&place, element as u64, (got, want), self.tolerance);
            }
            if got.is_empty() && stream.wavelets > 0 {
                found.missing(&place, "nothing left");
            }
        }
        Ok(())
    }
}

/// As many digits as tell a binary32 from its neighbours; whole numbers in full.
fn shown(number: f64) -> String {
    if number.fract() == 0.0 { number.to_string() } else { (number as f32).to_string() }
}

fn words(order: std::cmp::Ordering, or_equal: bool) -> &'static str {
    match (order, or_equal) {
        (std::cmp::Ordering::Equal, _) => "",
        (std::cmp::Ordering::Less, true) => "at most ",
        (std::cmp::Ordering::Less, false) => "fewer than ",
        (std::cmp::Ordering::Greater, true) => "at least ",
        (std::cmp::Ordering::Greater, false) => "more than ",
    }
}
