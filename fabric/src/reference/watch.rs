//! What can be seen of a run while it goes on, for traces: each cycle's wavelets and what every thread does.
//!
//! **Invariant.** Watching changes nothing: everything here is read from the start of a cycle and
//! from what was decided in it.
//! **Not here.** What becomes of it (the files that `wafersim trace` writes).

use super::ce::{self, Activity, Choice, Thread};
use super::charge::{self, Charge};
use super::code::{ImageCode, TaskStep};
use super::state::{Element, Machine, Main, Work};
use super::vector::Status;
use sim_core::coord::{Color, PeCoord};
use sim_core::error::WaitFor;
use sim_core::program::VecOp;

/// Somebody who watches a run.
pub trait Watch {
    /// A wavelet leaves the router of a PE in cycle `now`.
    fn moved(&mut self, now: u64, pe: PeCoord, color: Color);

    /// Whether [`Watch::element`] is wanted for a PE in cycle `now`.
    fn wants(&self, now: u64, pe: PeCoord) -> bool;

    /// Whether [`Watch::charged`] is wanted.
    fn wants_charges(&self) -> bool {
        false
    }

    /// What a cycle of a PE, whose image is the one with this index, is charged to.
    fn charged(&mut self, _now: u64, _pe: PeCoord, _image: usize, _charge: Charge) {}

    /// What the compute element of a PE does in cycle `now`.
    fn element(&mut self, now: u64, pe: PeCoord, seen: &Seen<'_>);
}

/// Only wavelets are of interest.
pub(super) struct Moves<'a>(pub(super) &'a mut dyn FnMut(u64, PeCoord, Color));

impl Watch for Moves<'_> {
    fn moved(&mut self, now: u64, pe: PeCoord, color: Color) {
        (self.0)(now, pe, color);
    }

    fn wants(&self, _: u64, _: PeCoord) -> bool {
        false
    }

    fn element(&mut self, _: u64, _: PeCoord, _: &Seen<'_>) {}
}

/// What a cycle of a PE counts as (rule P1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// An instruction is issued, set up or dispatched.
    Compute,
    /// Something waits for a wavelet or a microthread.
    Wait,
    /// Something waits for room.
    BackPressure,
    /// There is nothing to do.
    Idle,
}

/// A compute element in one cycle.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Index of its image.
    pub image: usize,
    /// What the cycle counts as.
    pub doing: Doing,
    /// The thread that uses the issue slot: 8 is the main thread.
    pub issue: Option<u8>,
    /// What a thread waits for, where nothing is issued.
    pub waits: Option<WaitFor>,
    /// Task of the main thread, by index.
    pub task: Option<usize>,
    /// Instruction of the main thread.
    pub main: Option<Instruction<'a>>,
    /// Instructions of the microthreads.
    pub micro: Vec<Option<Instruction<'a>>>,
    /// Input queues that are bound: number, color, wavelets.
    pub inputs: Vec<(u8, Color, usize)>,
    /// Output queues that are bound.
    pub outputs: Vec<(u8, Color, usize)>,
}

/// An instruction that a thread is at.
#[derive(Debug, Clone, Copy)]
pub struct Instruction<'a> {
    /// Differs from that of the instruction before it.
    pub id: (usize, u64),
    /// What it is.
    pub what: What<'a>,
}

/// What an instruction is.
#[derive(Debug, Clone, Copy)]
pub enum What<'a> {
    /// A vector instruction.
    Vector(&'a VecOp),
    /// Any other, by its name in the text form.
    Other(&'static str),
}

/// Shows the watcher all compute elements that it wants to see.
pub(super) fn show(machine: &Machine, choices: &[Choice], watch: &mut dyn Watch) {
    if watch.wants_charges() {
        charges(machine, choices, watch);
    }
    for choice in choices {
        let at = machine.coord(choice.pe);
        if !watch.wants(machine.now, at) {
            continue;
        }
        if let Some(element) = &machine.pes[choice.pe].element {
            watch.element(machine.now, at, &seen(element, &machine.codes[element.code], *choice, machine.now));
        }
    }
}

/// Shows the watcher what the cycle of every compute element is charged to.
fn charges(machine: &Machine, choices: &[Choice], watch: &mut dyn Watch) {
    for choice in choices {
        if let Some(element) = &machine.pes[choice.pe].element {
            let charge = charge::of(element, &machine.codes[element.code], *choice, machine.now);
            watch.charged(machine.now, machine.coord(choice.pe), element.code, charge);
        }
    }
}

fn seen<'a>(element: &'a Element, code: &'a ImageCode, choice: Choice, now: u64) -> Seen<'a> {
    let doing = match choice.activity {
        Activity::Compute => Doing::Compute,
        Activity::Wait => Doing::Wait,
        Activity::BackPressure => Doing::BackPressure,
        Activity::Idle => Doing::Idle,
    };
    let micro = |run: &'a Option<super::state::Running>| {
        let run = run.as_ref()?;
        let vector = &code.vectors[run.vector];
        let what = if vector.control.is_some() { What::Other("control") } else { What::Vector(&vector.op) };
        Some(Instruction { id: (run.vector, run.ready), what })
    };
    let queues = |queues: &[(Option<Color>, super::state::Fifo)]| {
        let bound = |(q, (color, fifo)): (usize, &(Option<Color>, super::state::Fifo))| {
            color.map(|color| (q as u8, color, fifo.wavelets.len()))
        };
        queues.iter().enumerate().filter_map(bound).collect()
    };
    let (task, main) = main(element, code);
    Seen {
        image: element.code,
        doing,
        issue: choice.issue.map(charge::number),
        waits: if matches!(doing, Doing::Wait | Doing::BackPressure) { waits(element, code, now) } else { None },
        task,
        main,
        micro: element.micro.iter().map(micro).collect(),
        inputs: queues(&element.inputs),
        outputs: queues(&element.outputs),
    }
}

/// Task and instruction of the main thread.
fn main<'a>(element: &'a Element, code: &'a ImageCode) -> (Option<usize>, Option<Instruction<'a>>) {
    let at = match &element.main {
        Main::Free => return (None, None),
        Main::Dispatch { task, from, reach, .. } => {
            let what = What::Other(if from.is_none() { "dispatch" } else { "branch" });
            return (Some(*task), Some(Instruction { id: (usize::MAX, *reach), what }));
        }
        Main::At(at) => at,
    };
    let (ready, what) = match (&at.work, &code.tasks[at.task].steps[at.step]) {
        (Work::Vector(run), _) => (run.ready, What::Vector(&code.vectors[run.vector].op)),
        (_, step) => (0, What::Other(name(step))),
    };
    (Some(at.task), Some(Instruction { id: (at.step, ready), what }))
}

fn name(step: &TaskStep) -> &'static str {
    match step {
        TaskStep::Vector(_) => "vec",
        TaskStep::Async { .. } => "async",
        TaskStep::Join(_) => "join",
        TaskStep::Enter { .. } | TaskStep::Back { .. } => "loop",
        TaskStep::Addr(_) => "addr",
        TaskStep::Activate(_) => "activate",
        TaskStep::Block(_) => "block",
        TaskStep::Unblock(_) => "unblock",
        TaskStep::Control { .. } => "control",
        TaskStep::Open(_) | TaskStep::Turn { open: true, .. } => "open",
        TaskStep::Turn { open: false, .. } => "turn",
        TaskStep::Filter { .. } => "filter",
        TaskStep::Scalar(_) => "scalar",
        TaskStep::Return => "return",
        TaskStep::Branch { .. } | TaskStep::Jump { .. } => "branch",
        TaskStep::EnterBy { .. } => "loop",
        TaskStep::Pause(_) => "descriptors",
    }
}

/// What the first thread that cannot go on waits for; room before anything else, as in rule P1.
fn waits(element: &Element, code: &ImageCode, now: u64) -> Option<WaitFor> {
    let threads = (0..element.micro.len()).map(Thread::Micro).chain([Thread::Main]);
    let of = |thread| match ce::status(element, code, thread, now, None) {
        Status::NoRoom(color) => Some(WaitFor::Output(color)),
        Status::Full(fifo) => Some(WaitFor::Space(fifo)),
        Status::NoInput(color) => Some(WaitFor::Input(color)),
        Status::Empty(fifo) => Some(WaitFor::Elements(fifo)),
        Status::Busy(t) => Some(WaitFor::Microthread(t)),
        Status::Absent | Status::Setup | Status::Ready => None,
    };
    let all: Vec<WaitFor> = threads.filter_map(of).collect();
    let room = |w: &&WaitFor| matches!(w, WaitFor::Output(_) | WaitFor::Space(_));
    all.iter().find(room).or(all.first()).copied()
}
