//! How a simulated program fails: values with evidence, never a hang and never a panic.

use crate::coord::{Color, PeCoord};
use crate::diag::Diagnostic;
use crate::units::Cycle;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a blocked unit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WaitFor {
    /// A wavelet of the color, in the input queue.
    Input(Color),
    /// Room in the output queue of the color.
    Output(Color),
    /// The end of a microthread's instruction.
    Microthread(u8),
    /// Nothing: wavelets of the color are in the router and cannot go on.
    Router(Color),
    /// Nothing: wavelets of the color lie in the input queue and nobody takes them.
    Unread(Color),
    /// Wavelets of the color that an edge stream still has to deliver or to receive.
    Edge(Color),
    /// Elements of the PE's FIFO in memory with this number.
    Elements(u8),
    /// Room in the PE's FIFO in memory with this number.
    Space(u8),
}

/// A unit that could not go on when nothing moved any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Blocked {
    /// The PE (for an edge stream, the PE at its port).
    pub pe: PeCoord,
    /// None: router or edge. Some(8): main thread. Otherwise the microthread.
    pub thread: Option<u8>,
    /// What the unit waits for.
    pub wait: WaitFor,
    /// The input or output queue of the PE that this is about, where it is known.
    pub queue: Option<u8>,
}

impl Blocked {
    /// A unit whose queue is not known.
    #[must_use]
    pub fn new(pe: PeCoord, thread: Option<u8>, wait: WaitFor) -> Blocked {
        Blocked { pe, thread, wait, queue: None }
    }
}

/// The thread number under which [`Blocked`] lists the main thread.
pub const MAIN_THREAD: u8 = 8;

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PE {}: ", self.pe)?;
        match self.thread {
            Some(MAIN_THREAD) => write!(f, "main thread ")?,
            Some(t) => write!(f, "microthread {t} ")?,
            None => {}
        }
        match self.wait {
            WaitFor::Input(c) => write!(f, "waits for a wavelet of {c}"),
            WaitFor::Output(c) => write!(f, "waits for room to send on {c}"),
            WaitFor::Microthread(t) => write!(f, "waits for microthread {t}"),
            WaitFor::Router(c) => write!(f, "wavelets of {c} are held in the router"),
            WaitFor::Unread(c) => write!(f, "wavelets of {c} lie unread in the input queue"),
            WaitFor::Edge(c) => write!(f, "the edge stream of {c} is not finished"),
            WaitFor::Elements(q) => write!(f, "waits for elements in FIFO {q}"),
            WaitFor::Space(q) => write!(f, "waits for room in FIFO {q}"),
        }?;
        match (self.queue, self.wait) {
            (Some(q), WaitFor::Output(_)) => write!(f, " (output queue {q})"),
            (Some(q), _) => write!(f, " (input queue {q})"),
            (None, _) => Ok(()),
        }
    }
}

/// Why a run ended without a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunError {
    /// Nothing can move any more, but work or wavelets are left.
    Deadlock {
        /// When nothing moved any more.
        at: Cycle,
        /// The first few blocked units, in PE order.
        blocked: Vec<Blocked>,
        /// Number of blocked units, listed or not.
        total: u64,
        /// Units each of which waits for the next one, and the last for the first; empty if what is
        /// waited for never comes.
        cycle: Vec<Blocked>,
    },
    /// The run was longer than its limit.
    CycleLimit {
        /// The limit that the run reached, in cycles.
        limit: u64,
    },
    /// An instruction addressed memory that the PE does not have.
    MemoryFault {
        /// Cycle of the access.
        at: Cycle,
        /// The PE whose memory was accessed.
        pe: PeCoord,
        /// First byte of the access.
        address: i64,
        /// Bytes of memory that the PE has.
        sram: u64,
    },
    /// An invariant of every run was violated: a bug of the simulator, and no result.
    Broken(String),
    /// The program is not well formed.
    Invalid(Vec<Diagnostic>),
    /// The run would need more memory of the host than it may take.
    TooLarge {
        /// Bytes of host memory that the run would take.
        needs: u64,
        /// Bytes of host memory that it may take.
        limit: u64,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Deadlock { at, blocked, total, cycle } => {
                write!(f, "deadlock at {at}: nothing moves, {total} units are blocked")?;
                for b in blocked {
                    write!(f, "\n  {b}")?;
                }
                if *total > blocked.len() as u64 {
                    write!(f, "\n  … and {} more", total - blocked.len() as u64)?;
                }
                if let [one] = &cycle[..] {
                    write!(f, "\nit waits for itself: {one}")?;
                } else if !cycle.is_empty() {
                    write!(f, "\nthey wait for each other in a circle:")?;
                    cycle.iter().try_for_each(|b| write!(f, "\n  {b}, from"))?;
                    write!(f, " the first")?;
                }
                Ok(())
            }
            RunError::CycleLimit { limit } => write!(f, "the run was stopped at its limit of {limit} cycles"),
            RunError::MemoryFault { at, pe, address, sram } => {
                write!(f, "{at}: PE {pe} addressed byte {address}; it has {sram}")
            }
            RunError::Broken(violation) => {
                write!(f, "the simulator contradicts itself: {violation}. This is a bug of wafersim: please report it")
            }
            RunError::Invalid(diagnostics) => {
                for (i, d) in diagnostics.iter().enumerate() {
                    if i > 0 {
                        writeln!(f)?;
                    }
                    write!(f, "{d}")?;
                }
                Ok(())
            }
            RunError::TooLarge { needs, limit } => {
                write!(f, "the run needs {needs} bytes of memory and may take {limit}")
            }
        }
    }
}

impl std::error::Error for RunError {}
