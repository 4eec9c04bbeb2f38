//! PEs as a trace: wafer, region, PE and thread, with the fill of the queues.
//!
//! **Invariant.** A slice lasts as long as what it shows did not change; the reference engine is
//! watched, every cycle.

use super::writer::{Note, Track, Writer};
use crate::encoding::fst::Wave;
use crate::encoding::trace_window::TraceWindow;
use fabric::reference::watch::{Doing, Instruction, Seen, Watch, What};
use sim_core::coord::{Color, PeCoord};
use sim_core::error::WaitFor;
use sim_core::program::{Operand, Program, VecOp};
use std::collections::BTreeMap;

/// Bytes of a PE in a cycle, about: it was seen to be less.
pub const PE_CYCLE: u64 = 40;

/// Records a part of a run.
#[derive(Debug)]
pub struct Recorder<'a> {
    part: TraceWindow,
    perfetto: Option<Perfetto<'a>>,
    wave: Option<Wave>,
}

impl<'a> Recorder<'a> {
    /// Records a program's run as track events, as waveforms, or both.
    #[must_use]
    pub fn new(program: &'a Program, part: TraceWindow, perfetto: bool, wave: Option<Wave>) -> Recorder<'a> {
        Recorder { part, perfetto: perfetto.then(|| Perfetto::new(program)), wave }
    }

    /// The trace and the waveforms; `end` is the first cycle that was not executed.
    #[must_use]
    pub fn finish(self, end: u64) -> (Option<Vec<u8>>, Option<Wave>) {
        let end = end.min(self.part.window.end);
        (self.perfetto.map(|p| p.finish(end)), self.wave)
    }
}

impl Watch for Recorder<'_> {
    fn moved(&mut self, now: u64, pe: PeCoord, color: Color) {
        if self.wants(now, pe) {
            self.perfetto.iter_mut().for_each(|p| p.moved(now, pe, color));
            self.wave.iter_mut().for_each(|w| w.moved(now, pe, color));
        }
    }

    fn wants(&self, now: u64, pe: PeCoord) -> bool {
        self.part.window.contains(&now) && self.part.has(pe)
    }

    fn element(&mut self, now: u64, pe: PeCoord, seen: &Seen<'_>) {
        self.perfetto.iter_mut().for_each(|p| p.element(now, pe, seen));
        self.wave.iter_mut().for_each(|w| w.element(now, pe, seen));
    }
}

/// Track events of PEs.
#[derive(Debug)]
struct Perfetto<'a> {
    program: &'a Program,
    writer: Writer,
    wafer: Track,
    /// By placement; the last one is for PEs that only route.
    regions: BTreeMap<usize, Track>,
    pes: BTreeMap<PeCoord, Pe>,
}

/// Tracks of a PE and what they show.
#[derive(Debug)]
struct Pe {
    track: Track,
    doing: Option<(Doing, Option<WaitFor>)>,
    task: Option<usize>,
    router: Option<Track>,
    threads: BTreeMap<usize, (Track, Option<(usize, u64)>)>,
    queues: BTreeMap<(bool, u8), (Track, usize)>,
}

/// The main thread's number, before those of the microthreads.
const MAIN: usize = 0;

impl<'a> Perfetto<'a> {
    fn new(program: &'a Program) -> Perfetto<'a> {
        let mut writer = Writer::default();
        let wafer = writer.track(None, &format!("wafer: {} (1 ns is 1 cycle)", program.name));
        Perfetto { program, writer, wafer, regions: BTreeMap::new(), pes: BTreeMap::new() }
    }

    fn pe(&mut self, at: PeCoord) -> Pe {
        if let Some(pe) = self.pes.remove(&at) {
            return pe;
        }
        let placements = &self.program.placements;
        let region = placements.iter().position(|p| p.region.contains(at)).unwrap_or(placements.len());
        let (writer, wafer) = (&mut self.writer, self.wafer);
        let name = |i: usize| match placements.get(i) {
            None => "PEs that only route".to_owned(),
            Some(p) => {
                let image = self.program.images.get(p.image as usize).map_or("?", |i| i.name.as_str());
                format!(
                    "{image}, x {} to {}, y {} to {}",
                    p.region.x.start,
                    p.region.x.last(),
                    p.region.y.start,
                    p.region.y.last()
                )
            }
        };
        let parent = *self.regions.entry(region).or_insert_with(|| writer.track(Some(wafer), &name(region)));
        let track = writer.track(Some(parent), &format!("PE {at}"));
        let (threads, queues) = (BTreeMap::new(), BTreeMap::new());
        Pe { track, doing: None, task: None, router: None, threads, queues }
    }

    fn moved(&mut self, now: u64, at: PeCoord, color: Color) {
        let mut pe = self.pe(at);
        let router = *pe.router.get_or_insert_with(|| self.writer.track(Some(pe.track), "router"));
        self.writer.instant(now, router, &color.to_string());
        self.pes.insert(at, pe);
    }

    fn element(&mut self, now: u64, at: PeCoord, seen: &Seen<'_>) {
        let mut pe = self.pe(at);
        let doing = Some((seen.doing, seen.waits));
        if pe.doing != doing {
            if pe.doing.is_some() {
                self.writer.end(now, pe.track);
            }
            self.writer.begin(now, pe.track, &doing_name(seen.doing, seen.waits), &[]);
            pe.doing = doing;
        }
        self.main(now, &mut pe, seen);
        for (t, instruction) in seen.micro.iter().enumerate() {
            self.thread(now, &mut pe, 1 + t, instruction.as_ref());
        }
        let queues = seen.inputs.iter().map(|q| (false, q)).chain(seen.outputs.iter().map(|q| (true, q)));
        for (out, &(queue, color, len)) in queues {
            let (writer, parent) = (&mut self.writer, pe.track);
            let way = if out { "out" } else { "in" };
            let new = || (writer.counter(Some(parent), &format!("{way} q{queue} {color}"), "wavelets"), usize::MAX);
            let (track, known) = pe.queues.entry((out, queue)).or_insert_with(new);
            if *known != len {
                self.writer.value(now, *track, len as u64);
                *known = len;
            }
        }
        self.pes.insert(at, pe);
    }

    /// The main thread: its task, and the task's instructions within.
    fn main(&mut self, now: u64, pe: &mut Pe, seen: &Seen<'_>) {
        if pe.task != seen.task {
            self.thread(now, pe, MAIN, None);
            let (writer, parent) = (&mut self.writer, pe.track);
            let (track, _) =
                *pe.threads.entry(MAIN).or_insert_with(|| (writer.track(Some(parent), "main thread"), None));
            if pe.task.is_some() {
                self.writer.end(now, track);
            }
            if let Some(task) = seen.task {
                let tasks = self.program.images.get(seen.image).map(|image| &image.tasks);
                let name = tasks.and_then(|tasks| tasks.get(task)).map_or("?", |t| t.name.as_str());
                self.writer.begin(now, track, &format!("task {name}"), &[]);
            }
            pe.task = seen.task;
        }
        self.thread(now, pe, MAIN, seen.main.as_ref());
    }

    /// The instruction of a thread from now on.
    fn thread(&mut self, now: u64, pe: &mut Pe, thread: usize, instruction: Option<&Instruction<'_>>) {
        if instruction.is_none() && !pe.threads.contains_key(&thread) {
            return;
        }
        let (writer, parent) = (&mut self.writer, pe.track);
        let name = || if thread == MAIN { "main thread".to_owned() } else { format!("microthread {}", thread - 1) };
        let (track, known) = pe.threads.entry(thread).or_insert_with(|| (writer.track(Some(parent), &name()), None));
        if *known == instruction.map(|i| i.id) {
            return;
        }
        if known.is_some() {
            writer.end(now, *track);
        }
        if let Some(i) = instruction {
            let (name, notes) = described(i.what);
            writer.begin(now, *track, &name, &notes);
        }
        *known = instruction.map(|i| i.id);
    }

    fn finish(mut self, end: u64) -> Vec<u8> {
        for pe in self.pes.values() {
            if pe.doing.is_some() {
                self.writer.end(end, pe.track);
            }
            for (thread, (track, open)) in &pe.threads {
                if open.is_some() {
                    self.writer.end(end, *track);
                }
                if *thread == MAIN && pe.task.is_some() {
                    self.writer.end(end, *track);
                }
            }
        }
        self.writer.finish()
    }
}

fn doing_name(doing: Doing, waits: Option<WaitFor>) -> String {
    let what = match doing {
        Doing::Compute => return "compute".to_owned(),
        Doing::Idle => return "idle".to_owned(),
        Doing::Wait => "wait",
        Doing::BackPressure => "back-pressure",
    };
    match waits {
        Some(WaitFor::Input(color)) => format!("{what}: wavelet of {color}"),
        Some(WaitFor::Output(color)) => format!("{what}: room for {color}"),
        Some(WaitFor::Microthread(t)) => format!("{what}: microthread {t}"),
        Some(WaitFor::Elements(fifo)) => format!("{what}: elements of FIFO {fifo}"),
        Some(WaitFor::Space(fifo)) => format!("{what}: space in FIFO {fifo}"),
        _ => what.to_owned(),
    }
}

/// Name and notes of an instruction.
fn described(what: What<'_>) -> (String, Vec<Note<'static>>) {
    match what {
        What::Other(name) => (name.to_owned(), Vec::new()),
        What::Vector(op) => {
            let notes = vec![Note::Number("elements", op.len.into()), Note::Text("colors", colors(op))];
            (format!("{} {}", op.op.name(), op.len), notes)
        }
    }
}

/// Colors that a vector instruction takes from and gives to.
fn colors(op: &VecOp) -> String {
    let fabric = |o: &Operand| match o {
        Operand::Fab(color, _) => Some(color.to_string()),
        _ => None,
    };
    let from: Vec<String> = op.src.iter().filter_map(fabric).collect();
    let from = if from.is_empty() { "memory".to_owned() } else { from.join(", ") };
    format!("{from} to {}", fabric(&op.dst).unwrap_or_else(|| "memory".to_owned()))
}
