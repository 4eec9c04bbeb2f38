//! The state of routers, compute elements, threads and ports: what changes while a program runs.
//!
//! Speed on a full wafer depends on how many lines of memory an evaluation touches; so what most
//! evaluations need of a compute element is in two lines, and the rest in tables of its own.
//!
//! **Invariant.** A compute element is evaluated only when something may have changed for it. In
//! between, its class (rule P1) is constant, and a main thread in the middle of a memory-only
//! instruction advances one slot per cycle; [`Ce::since`] and [`Ce::bulk`] say since when.
//! **Not here.** FIFOs (`fifo`), and who changes the state (`ce`, `router`).

use sim_core::coord::Color;
use sim_core::report::{PeCounters, PeCycles};
use std::ops::Range;

/// Deepest loop nest that is kept without allocation; the verifier refuses deeper ones.
pub(crate) const LOOPS: usize = 8;

/// Where a PE's cycles go at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Compute,
    Wait,
    BackPressure,
    Idle,
}

/// A vector instruction at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Running {
    /// First cycle in which a beat may start.
    pub(crate) from: u64,
    /// Beats that have not started.
    pub(crate) beats: u32,
    /// Slots that the started beat still needs.
    pub(crate) rest: u16,
    /// Issue slots that each beat takes (rule C5).
    pub(crate) slots: u16,
    /// Elements that it has in all.
    pub(crate) len: u32,
    /// Elements computed so far.
    pub(crate) done: u32,
    /// Which start of an instruction this is, counted per PE.
    pub(crate) activation: u32,
    pub(crate) vector: u16,
}

/// A microthread, in half a line of memory.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(32))]
pub(crate) struct Micro {
    pub(crate) running: Running,
}

/// A loop that the main thread is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Frame {
    /// Repetitions left, this one included.
    pub(crate) left: u32,
    /// Which entry of a loop this is, counted per PE.
    pub(crate) activation: u32,
}

/// What the main thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Main {
    /// It has no task, and selects one.
    Idle,
    /// A task was selected; its first instruction is reached in this cycle.
    Dispatch(u64),
    /// At the instruction at `pc`; slots of it that are already used.
    At(u8),
    /// In a vector instruction.
    Vec(Running),
}

/// What most evaluations of a compute element need of it, in two lines of memory. Its microthreads are in
/// a table of their own, since most images use few, and so are its [`Registers`].
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Ce {
    /// Number of its image; [`NO_IMAGE`] for a PE that only routes.
    pub(crate) image: u16,
    pub(crate) class: Class,
    pub(crate) depth: u8,
    /// Where the cyclic order of microthreads begins.
    pub(crate) turn: u8,
    /// Microthreads at work, as bits.
    pub(crate) busy: u8,
    /// Microthreads of high, medium and low priority, as bits.
    pub(crate) levels: [u8; 3],
    /// The main thread's memory-only instruction has the issue slot from `since` on.
    pub(crate) bulk: bool,
    pub(crate) pc: u32,
    /// FIFO of its first input queue; the others and the output queues follow.
    pub(crate) queues: u32,
    /// Its first microthread in the table of these.
    pub(crate) micro: u32,
    /// First cycle that is not yet counted under `class`.
    pub(crate) since: u64,
    /// Cycles so far that were not idle.
    pub(crate) compute: u64,
    pub(crate) wait: u64,
    pub(crate) back_pressure: u64,
    pub(crate) finish: u64,
    /// Cycle after the last one that counts as compute.
    pub(crate) active: u64,
    pub(crate) main: Main,
    pub(crate) macs: u64,
}

/// What address arithmetic, loops and tasks of a compute element need.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registers {
    pub(crate) regs: [i32; 16],
    pub(crate) frames: [Frame; LOOPS],
    /// How many instructions and loops it started.
    pub(crate) activations: u32,
    /// Tasks that are activated, as bits: bit 3 stands for task 3.
    pub(crate) active: u64,
    pub(crate) blocked: u64,
    /// What each FIFO in memory holds.
    pub(crate) occupancies: Box<[Occupancy]>,
    /// From which cycle on each register may be read, address registers first; empty where all may be
    /// read in the cycle after they were written.
    pub(crate) ready: Box<[u64]>,
}

/// In place of an image's number.
pub(crate) const NO_IMAGE: u16 = u16::MAX;

/// What a FIFO in memory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Occupancy {
    /// Place of the first element.
    pub(crate) head: u32,
    /// Number of elements.
    pub(crate) len: u32,
}

impl Ce {
    /// The compute element of a PE that only routes: it is never evaluated.
    pub(crate) fn none() -> Ce {
        Ce {
            image: NO_IMAGE,
            class: Class::Idle,
            depth: 0,
            turn: 0,
            busy: 0,
            levels: [0; 3],
            bulk: false,
            pc: 0,
            queues: 0,
            micro: 0,
            since: 0,
            compute: 0,
            wait: 0,
            back_pressure: 0,
            finish: 0,
            active: 0,
            main: Main::Idle,
            macs: 0,
        }
    }

    /// Whether it has an image.
    #[inline]
    pub(crate) fn exists(&self) -> bool {
        self.image != NO_IMAGE
    }

    /// Where its microthreads are in the table, `threads` of them.
    #[inline]
    pub(crate) fn own(&self, threads: usize) -> Range<usize> {
        let first = self.micro as usize;
        first..first + threads
    }

    /// The microthreads at work, of its own in the table.
    pub(crate) fn threads<'a>(&self, own: &'a [Micro]) -> impl Iterator<Item = (usize, &'a Running)> + use<'a> {
        let busy = self.busy;
        own.iter().map(|micro| &micro.running).enumerate().filter(move |(t, _)| busy & 1 << t != 0)
    }

    /// Counts the cycles before `now` under the present class, and advances a main thread that
    /// had the issue slot all the time. `skipped` cycles were folded away before.
    #[inline]
    pub(crate) fn flush(&mut self, now: u64, skipped: u64) {
        debug_assert!(now >= self.since, "cycles of a compute element would be counted twice");
        let span = now - self.since;
        if span > 0 {
            self.since = now;
            match self.class {
                Class::Compute => {
                    self.compute += span;
                    self.active = now + skipped;
                }
                Class::Wait => self.wait += span,
                Class::BackPressure => self.back_pressure += span,
                Class::Idle => return,
            }
            self.finish = now + skipped;
            if let (true, Main::Vec(running)) = (self.bulk, &mut self.main) {
                running.advance(span);
            }
        }
    }
}

impl Running {
    /// Slots that it still needs.
    pub(crate) fn slots_left(&self) -> u64 {
        u64::from(self.rest) + u64::from(self.beats) * u64::from(self.slots)
    }

    /// Uses `slots` slots without checking conditions.
    pub(crate) fn advance(&mut self, slots: u64) {
        debug_assert!(slots <= self.slots_left(), "an instruction would use more slots than it has");
        let left = self.slots_left() - slots;
        self.beats = (left / u64::from(self.slots)) as u32;
        self.rest = (left % u64::from(self.slots)) as u16;
    }

    /// Whether nothing is left to do.
    pub(crate) fn over(&self) -> bool {
        self.beats == 0 && self.rest == 0
    }
}

/// Most colors of a router.
pub(crate) const COLORS: usize = Color::MAX as usize;

/// The state of a router; its paths and FIFOs are in tables of their own.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Router {
    /// Cycle after its last event.
    pub(crate) last_event: u64,
    /// Index of its first path in the table of paths.
    pub(crate) start: u32,
    /// Paths whose FIFO holds something, as bits; only where no color is switched.
    pub(crate) occupied: u32,
    /// Number of its paths.
    pub(crate) count: u8,
    /// Service order: its paths by number.
    pub(crate) order: [u8; COLORS],
}

impl Router {
    /// Puts a path at the end of the service order.
    #[inline]
    pub(crate) fn serve(&mut self, local: u8) {
        debug_assert!(local < self.count, "the router has no such path");
        let order = &mut self.order[..usize::from(self.count)];
        if order.last() == Some(&local) {
            return;
        }
        let at = order.iter().position(|&l| l == local).unwrap_or(order.len());
        for i in at + 1..order.len() {
            order.swap(i - 1, i);
        }
    }
}

/// One color in a router: where its wavelets wait and where they go. Two are a line of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(32))]
pub(crate) struct Path {
    /// Wavelets that left by this path so far.
    pub(crate) moved: u64,
    /// Where its wavelets wait.
    pub(crate) from: u32,
    /// Its switch or filter in the table of these, or [`NONE`](super::fifo::NONE).
    pub(crate) switched: u32,
    /// For its first two output ports: the FIFO, or the number of the port of an edge stream.
    pub(crate) to: [u32; 2],
    /// Ports to leave by behind the first ones, in the table of these; only where there are more.
    pub(crate) further: u32,
    /// Number of output ports.
    pub(crate) count: u8,
    /// Output ports, as bits in the order north, east, south, west, ramp.
    pub(crate) ports: u8,
    /// Ports of the path that lead off the mesh.
    pub(crate) edges: u8,
    /// Number of its color.
    pub(crate) color: u8,
}

/// Output ports that are given as bits, in order, with their ordinals.
#[inline]
pub(crate) fn ports(bits: u8) -> impl Iterator<Item = (usize, u8)> {
    let mut left = bits;
    let next = move || {
        let port = left & left.wrapping_neg();
        left ^= port;
        (port != 0).then_some(port)
    };
    std::iter::from_fn(next).enumerate()
}

/// The ramp among a path's ports.
pub(crate) const RAMP: u8 = 1 << 4;

/// A port of an edge stream.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    /// Index of the stream in the program, and ordinal of the port in it.
    pub(crate) stream: u32,
    pub(crate) ordinal: u32,
    /// The PE at the edge, by its number in the band.
    pub(crate) pe: u32,
    /// The edge, as a port of its router.
    pub(crate) side: u8,
    pub(crate) color: u8,
    /// Whether it puts wavelets onto the wafer.
    pub(crate) inward: bool,
    /// Into which FIFO it puts, for streams onto the wafer.
    pub(crate) into: u32,
    /// Wavelets that it moves in the whole run.
    pub(crate) total: u64,
    /// Wavelets that it has not moved yet.
    pub(crate) left: u64,
    /// First cycle of the next one.
    pub(crate) next: u64,
    pub(crate) interval: u32,
    /// What is put in, or what came out.
    pub(crate) values: Vec<u32>,
    pub(crate) taken: usize,
}

/// Builds what a PE reports of a run of `cycles` cycles.
pub(crate) fn counters(ce: &Ce, sent: [u64; 5], cycles: u64) -> PeCounters {
    let (compute, wait, back_pressure) = (ce.compute, ce.wait, ce.back_pressure);
    assert!(compute + wait + back_pressure <= cycles, "a PE was busy for more cycles than the run has (P1)");
    let idle = cycles - (compute + wait + back_pressure);
    PeCounters { sent, cycles: PeCycles { compute, wait, back_pressure, idle }, macs: ce.macs, finish: ce.finish }
}

// The sizes that a step's speed on large meshes depends on.
const _: () = assert!(size_of::<Ce>() == 128 && size_of::<Path>() == 32 && size_of::<Micro>() == 32);
