//! The state of the machine: plain tables, one entry per PE, FIFO, thread and edge port.
//!
//! **Invariant.** Between two cycles this is everything that the next cycle depends on, apart
//! from the memories (which timing does not depend on, rule V1).
//! **Not here.** Behaviour: `router`, `ce`, `vector` and `edge`; how it is made: `build`.

use super::code::ImageCode;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Dir, Grid, PeCoord, PeIdx};
use sim_core::program::{AddrReg, DataReg, Flow, Pop, Priority, Then};
use sim_core::report::PeCounters;
use std::collections::VecDeque;

/// A wavelet in a FIFO, and the cycle from which it may be used (M2).
#[derive(Debug, Clone, Copy)]
pub(super) struct Wavelet {
    pub(super) ready: u64,
    pub(super) data: u32,
    /// Whether it is a control wavelet (S2); its commands and task are in `data`.
    pub(super) control: bool,
}

/// A FIFO of wavelets (M2). All questions are about the start of the cycle.
#[derive(Debug, Clone, Default)]
pub(super) struct Fifo {
    pub(super) wavelets: VecDeque<Wavelet>,
    pub(super) capacity: usize,
    /// Wavelets that have entered and left it so far.
    pub(super) pushed: u64,
    pub(super) popped: u64,
}

impl Fifo {
    pub(super) fn new(capacity: u64) -> Fifo {
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        Fifo { capacity, ..Fifo::default() }
    }

    /// M2: room is judged by the occupancy at the start of the cycle.
    pub(super) fn has_room(&self) -> bool {
        self.wavelets.len() < self.capacity
    }

    /// The wavelet behind `ahead` others, if it may be used in cycle `now`.
    pub(super) fn ready(&self, ahead: usize, now: u64) -> Option<Wavelet> {
        self.wavelets.get(ahead).copied().filter(|w| w.ready <= now)
    }

    /// Whether the head of a queue is ready and carries data, not a command.
    pub(super) fn has_data(&self, ahead: usize, now: u64) -> bool {
        self.ready(ahead, now).is_some_and(|w| !w.control)
    }

    pub(super) fn push(&mut self, wavelet: Wavelet) {
        assert!(self.has_room(), "M2: a FIFO took a wavelet without having room: its producer did not ask");
        let last = self.wavelets.back().map_or(0, |w| w.ready);
        assert!(last <= wavelet.ready, "M2: wavelets of one FIFO arrive in the order in which they were sent");
        self.pushed += 1;
        self.wavelets.push_back(wavelet);
    }

    pub(super) fn pop(&mut self) -> Wavelet {
        self.popped += 1;
        self.wavelets.pop_front().expect("the decision found a ready wavelet here")
    }

    /// Whether a wavelet in it becomes usable only later.
    pub(super) fn is_waiting(&self, now: u64) -> bool {
        self.wavelets.iter().any(|w| w.ready > now)
    }
}

/// The machine in one cycle.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) grid: Grid,
    /// Whose numbers every rule asks for by its group and name.
    pub(super) arch: ArchSpec,
    /// The code of every image, by its number.
    pub(super) codes: Vec<ImageCode>,
    /// The PEs of the mesh, row by row.
    pub(super) pes: Vec<Pe>,
    /// All ports of all edge streams.
    pub(super) ports: Vec<Port>,
    pub(super) now: u64,
}

impl Machine {
    pub(super) fn coord(&self, pe: usize) -> PeCoord {
        self.grid.coord(PeIdx(u32::try_from(pe).expect("build refuses grids beyond 32 bits")))
    }
}

/// A processing element: router, compute element if it runs an image, and what they counted.
#[derive(Debug, Default)]
pub(super) struct Pe {
    pub(super) router: Router,
    pub(super) element: Option<Element>,
    pub(super) counters: PeCounters,
}

/// A router (R1 to R3).
#[derive(Debug, Default)]
pub(super) struct Router {
    /// The colors with a route, by number.
    pub(super) channels: Vec<Channel>,
    /// Indices into `channels`: the service order (R3).
    pub(super) order: Vec<usize>,
}

/// One color in one router.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) color: Color,
    /// Wavelets that left, by port (P2).
    pub(super) sent: [u64; 5],
    /// Positions of its switch, the route's own one first (S1).
    pub(super) positions: Vec<Position>,
    /// The position that it is in.
    pub(super) position: usize,
    /// S1: whether position 0 follows the last one.
    pub(super) ring: bool,
    /// What happens to the first command of a control wavelet that passes (S3).
    pub(super) pop: Pop,
    /// S4: closed by a control wavelet.
    pub(super) closed: bool,
    /// The counter of a filter down the ramp (S5).
    pub(super) filter: Option<Counter>,
    /// What came over the links that its positions take from.
    pub(super) buffers: Vec<(Dir, Fifo)>,
    /// The output queue of the compute element that sends the color, if there is one.
    pub(super) queue: Option<usize>,
}

/// A position of a switch: port of entry and outputs.
#[derive(Debug)]
pub(super) struct Position {
    pub(super) rx: Dir,
    pub(super) outputs: Vec<Output>,
}

/// The counter of a filter (S5).
#[derive(Debug, Clone, Copy)]
pub(super) struct Counter {
    pub(super) at: u32,
    pub(super) period: u32,
    pub(super) pass: u32,
}

/// One port that a color leaves by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) dir: Dir,
    pub(super) to: To,
}

/// What is at the other end of an output.
#[derive(Debug, Clone, Copy)]
pub(super) enum To {
    /// A buffer of a channel of a neighbour.
    Channel { pe: usize, channel: usize, buffer: usize },
    /// The input queue with this index of the same PE.
    Input(usize),
    /// The edge port with this index.
    Port(usize),
    /// Nothing takes the color there: there is never room.
    Nowhere,
}

/// One port of an edge stream (E1, E2).
#[derive(Debug)]
pub(super) struct Port {
    /// Index of the stream in the program.
    pub(super) stream: usize,
    /// Ordinal of the port within the stream.
    pub(super) ordinal: u32,
    pub(super) flow: Flow,
    pub(super) color: Color,
    /// The PE at the port.
    pub(super) pe: usize,
    /// The channel, and the buffer of it, that wavelets are put into; None for streams off the wafer
    /// and where the router does not take the color from this side.
    pub(super) into: Option<(usize, usize)>,
    pub(super) interval: u64,
    /// Wavelets that it has to move in all.
    pub(super) total: u64,
    /// Wavelets that it has still to move.
    pub(super) left: u64,
    /// The first cycle in which it may move one.
    pub(super) next: u64,
    /// With values: what enters, or what has left.
    pub(super) data: Vec<u32>,
    /// How many of `data` have entered.
    pub(super) entered: usize,
}

/// A compute element (C1).
#[derive(Debug)]
pub(super) struct Element {
    /// Index into `Machine::codes`.
    pub(super) code: usize,
    pub(super) main: Main,
    /// The instruction of each microthread; None: it is free.
    pub(super) micro: Vec<Option<Running>>,
    /// The microthread that issued last.
    pub(super) last: usize,
    /// Per task: whether it is activated.
    pub(super) active: Vec<bool>,
    /// Per task: whether it is blocked.
    pub(super) blocked: Vec<bool>,
    pub(super) addr: [i32; AddrReg::COUNT as usize],
    /// Data registers, as bits of binary32.
    pub(super) data: [u32; DataReg::COUNT as usize],
    /// From which cycle on each register may be read by an instruction that waits for it (C11).
    pub(super) addr_ready: [u64; AddrReg::COUNT as usize],
    pub(super) data_ready: [u64; DataReg::COUNT as usize],
    /// Input queues with their colors.
    pub(super) inputs: Vec<(Option<Color>, Fifo)>,
    /// Output queues with their colors.
    pub(super) outputs: Vec<(Option<Color>, Fifo)>,
    /// What each FIFO in memory holds (C10).
    pub(super) occupancies: Vec<Occupancy>,
}

/// What a FIFO in memory holds (C10).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Occupancy {
    /// Place of the first element, counted in elements.
    pub(super) head: u32,
    /// Number of elements in it.
    pub(super) len: u32,
}

/// The main thread (C9).
#[derive(Debug, Clone)]
pub(super) enum Main {
    /// It has no task.
    Free,
    /// It is on its way to a step of a task, which it reaches in cycle `reach`: the task was selected (C9),
    /// or it comes from a branch (C12), or its descriptors are loaded (C14). The loops as in [`At`].
    /// `from`: the step that it comes from, if it comes from one; for those who watch.
    Dispatch { task: usize, step: usize, loops: Vec<u32>, reach: u64, from: Option<usize> },
    /// It is at a step of a task.
    At(At),
}

/// Where the main thread is.
#[derive(Debug, Clone)]
pub(super) struct At {
    pub(super) task: usize,
    pub(super) step: usize,
    /// Repetitions left, this one included, of the loops around, outermost first.
    pub(super) loops: Vec<u32>,
    pub(super) work: Work,
}

/// What is left to do of a step.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// This many issue slots.
    Slots(u32),
    /// A vector instruction.
    Vector(Running),
}

/// A vector instruction at work (C2).
#[derive(Debug, Clone)]
pub(super) struct Running {
    /// Index into `ImageCode::vectors`.
    pub(super) vector: usize,
    /// The first cycle after the setup.
    pub(super) ready: u64,
    /// First addresses of destination and sources, as at the start of the setup (C5).
    pub(super) first: [i64; 4],
    /// Issue slots per beat, `s` of rule C5.
    pub(super) slots: u32,
    /// Elements that it has in all (C13).
    pub(super) len: u32,
    /// Elements that are done.
    pub(super) done: u32,
    /// Slots left of a beat that has started.
    pub(super) slots_left: u32,
    /// The wavelet that is being filled (destination) or used (sources).
    pub(super) held: [u32; 4],
    /// For microthreads.
    pub(super) priority: Priority,
    /// For microthreads.
    pub(super) then: Option<Then>,
}
