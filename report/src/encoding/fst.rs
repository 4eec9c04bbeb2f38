//! A few PEs as waveforms in FST, for GTKWave and Surfer.
//!
//! **Invariant.** Values stand from the cycle in which they are seen until the next change.

use super::trace_window::TraceWindow;
use fabric::reference::watch::{Doing, Seen};
use fst_writer::{
    FstBodyWriter, FstFileType, FstHeaderWriter, FstInfo, FstScopeType, FstSignalId, FstSignalType, FstVarDirection,
    FstVarType,
};
use runner::Error;
use sim_core::coord::{Color, PeCoord};
use sim_core::diag::Diagnostic;
use sim_core::program::Program;
use std::collections::BTreeMap;
use std::io::Cursor;

/// Most PEs that are drawn without being forced.
pub const PES: u64 = 64;

/// Waveforms that are being drawn.
pub struct Wave {
    body: FstBodyWriter<Cursor<Vec<u8>>>,
    pes: BTreeMap<PeCoord, Signals>,
    now: Option<u64>,
    /// The first thing that could not be written.
    failed: Option<String>,
}

impl std::fmt::Debug for Wave {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wave").field("pes", &self.pes).field("now", &self.now).finish_non_exhaustive()
    }
}

/// Signals of a PE.
#[derive(Debug)]
struct Signals {
    /// 0: idle, 1: compute, 2: wait, 3: back-pressure.
    doing: FstSignalId,
    /// Thread that uses the issue slot, 8 for the main thread; 15: none.
    issue: FstSignalId,
    /// Task of the main thread; 255: none.
    task: FstSignalId,
    /// One bit for every color that leaves the router, color 0 the last one.
    router: FstSignalId,
    /// Wavelets in the queues, by direction and number.
    queues: BTreeMap<(bool, u8), FstSignalId>,
    /// Colors that have left in the current cycle.
    colors: u64,
}

const ROUTER_BITS: u32 = Color::MAX as u32;

impl Wave {
    /// Signals for the PEs of a part.
    ///
    /// # Errors
    /// `cli-trace` if they cannot be written: a bug of ours.
    pub fn new(program: &Program, part: &TraceWindow) -> Result<Wave, Error> {
        let built = || -> fst_writer::Result<Wave> {
            let info = FstInfo {
                start_time: 0,
                timescale_exponent: -9,
                version: format!("wafersim {}", env!("CARGO_PKG_VERSION")),
                date: String::new(),
                file_type: FstFileType::Verilog,
            };
            let mut header = FstHeaderWriter::write_to_mem(&info)?;
            header.scope("wafer", "", FstScopeType::Module)?;
            let mut pes = BTreeMap::new();
            for (x, y) in part.y.clone().flat_map(|y| part.x.clone().map(move |x| (x, y))) {
                let at = PeCoord { x, y };
                header.scope(format!("pe_{x}_{y}"), "", FstScopeType::Module)?;
                pes.insert(at, Signals::new(&mut header, program, at)?);
                header.up_scope()?;
            }
            header.up_scope()?;
            Ok(Wave { body: header.finish()?, pes, now: None, failed: None })
        };
        built().map_err(|e| diagnostic(&e.to_string()))
    }

    pub(super) fn moved(&mut self, now: u64, pe: PeCoord, color: Color) {
        self.advance(now);
        if let Some(signals) = self.pes.get_mut(&pe) {
            signals.colors |= 1 << color.index();
        }
    }

    pub(super) fn element(&mut self, now: u64, pe: PeCoord, seen: &Seen<'_>) {
        self.advance(now);
        let Some(signals) = self.pes.get(&pe) else { return };
        let doing = match seen.doing {
            Doing::Idle => 0,
            Doing::Compute => 1,
            Doing::Wait => 2,
            Doing::BackPressure => 3,
        };
        let task = seen.task.map_or(255, |t| t as u64);
        let mut values = vec![
            (signals.doing, 2, doing),
            (signals.issue, 4, seen.issue.map_or(15, u64::from)),
            (signals.task, 8, task),
            (signals.router, ROUTER_BITS, signals.colors),
        ];
        let queues = seen.inputs.iter().map(|q| (false, q)).chain(seen.outputs.iter().map(|q| (true, q)));
        for (out, (queue, _, len)) in queues {
            values.extend(signals.queues.get(&(out, *queue)).map(|id| (*id, 8, *len as u64)));
        }
        self.set(&values);
    }

    /// A new cycle: no color has left yet. PEs without a compute element are shown here.
    fn advance(&mut self, now: u64) {
        if self.now == Some(now) {
            return;
        }
        let quiet: Vec<_> = self.pes.values().map(|s| (s.router, ROUTER_BITS, s.colors)).collect();
        if self.now.is_some() {
            self.set(&quiet);
        }
        self.pes.values_mut().for_each(|s| s.colors = 0);
        self.now = Some(now);
        let changed = self.body.time_change(now);
        self.note(changed);
    }

    fn set(&mut self, values: &[(FstSignalId, u32, u64)]) {
        for (id, bits, value) in values {
            let digit = |bit: u32| b'0' + (value >> bit & 1) as u8;
            let text: Vec<u8> = (0..*bits).rev().map(digit).collect();
            let changed = self.body.signal_change(*id, &text);
            self.note(changed);
        }
    }

    fn note(&mut self, done: fst_writer::Result<()>) {
        if let Err(e) = done {
            self.failed.get_or_insert(e.to_string());
        }
    }

    /// The file; `end` is the first cycle that is not in it.
    ///
    /// # Errors
    /// `cli-trace` if it cannot be written: a bug of ours.
    pub fn finish(mut self, end: u64) -> Result<Vec<u8>, Error> {
        self.advance(end);
        if let Some(failed) = &self.failed {
            return Err(diagnostic(failed));
        }
        self.body.finish().map(Cursor::into_inner).map_err(|e| diagnostic(&e.to_string()))
    }
}

impl Signals {
    fn new(
        header: &mut FstHeaderWriter<Cursor<Vec<u8>>>,
        program: &Program,
        at: PeCoord,
    ) -> fst_writer::Result<Signals> {
        let mut signal = |name: &str, bits: u32| {
            let (kind, way) = (FstVarType::Wire, FstVarDirection::Implicit);
            header.var(name, FstSignalType::bit_vec(bits), kind, way, None)
        };
        let (doing, issue, task) = (signal("doing", 2)?, signal("issue", 4)?, signal("task", 8)?);
        let router = signal("router", ROUTER_BITS)?;
        let placed = program.placements.iter().find(|p| p.region.contains(at));
        let mut queues = BTreeMap::new();
        if let Some(image) = placed.and_then(|p| program.images.get(p.image as usize)) {
            for (queue, color) in &image.inputs {
                queues.insert((false, *queue), signal(&format!("in_q{queue}_{color}"), 8)?);
            }
            for (queue, color) in &image.outputs {
                queues.insert((true, *queue), signal(&format!("out_q{queue}_{color}"), 8)?);
            }
        }
        Ok(Signals { doing, issue, task, router, queues, colors: 0 })
    }
}

fn diagnostic(message: &str) -> Error {
    Error::internal(Diagnostic::new("cli-trace", "--wave", message))
}
