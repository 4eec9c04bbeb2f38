//! Where every buffer of a step is in the memory of a PE, and for how long.
//!
//! A buffer lives from the kernel that writes it to the last kernel that reads what was written; scratch lives as long
//! as its kernel. Buffers whose lives overlap never overlap in memory. A kernel's code is loaded when it is launched: it
//! lies at the top, below the stack, and every buffer that lives in that launch lies below it.
//!
//! Places are found by first fit: buffers in some order, each at the lowest address where nothing that lives at the same
//! time is. Three orders are tried until everything fits.
//!
//! **Invariant.** The plan is the same for every PE. Buffers, code and stack of a launch do not overlap; `check` holds
//! every plan to that. Queues have registers of their own and take no memory.
//! **Not here.** What the buffers are for (`schedule`).

use crate::banks::{Banks, Side};
use crate::ids::BufferId;
use crate::kernel::{Access, Addresses, Requirement};
use sim_core::arch::ArchSpec;
use std::collections::BTreeMap;

/// A buffer with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedBuffer {
    /// Which buffer.
    pub buffer: BufferId,
    /// Bytes of the buffer.
    pub bytes: u64,
    /// First byte, margins included.
    pub addr: u64,
    /// The launch that writes it.
    pub first: usize,
    /// The last launch that uses it.
    pub last: usize,
}

/// The memory of a PE over a step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryPlan {
    /// High-water mark over all launches: the end of the highest buffer that lives, code and stack.
    pub peak_bytes: u64,
    /// Code of the launch with the high-water mark.
    pub code_bytes: u64,
    /// Bytes kept for the stack.
    pub stack_bytes: u64,
    /// What a PE has.
    pub capacity: u64,
    /// All buffers, in order of their first use.
    pub buffers: Vec<PlannedBuffer>,
    /// The launch with the high-water mark.
    pub peak_launch: usize,
    /// Bytes of code of every launch.
    pub code: Vec<u64>,
}

impl MemoryPlan {
    /// Whether a buffer lives at the high-water mark.
    #[must_use]
    pub fn at_peak(&self, buffer: &PlannedBuffer) -> bool {
        (buffer.first..=buffer.last).contains(&self.peak_launch)
    }
}

/// Bytes that a buffer takes.
fn bytes(requirement: &Requirement) -> u64 {
    u64::from(requirement.len) * u64::from(requirement.dtype.bytes())
}

struct Life {
    /// Its margins are counted, and lie before its address.
    buffer: PlannedBuffer,
    side: Side,
    /// Whether no use of it needs that side.
    either: bool,
    margin: u64,
}

/// Why there is no plan: the launch that needs most, whatever is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooSmall {
    /// The launch.
    pub launch: usize,
    /// Bytes up to the end of its highest buffer.
    pub top: u64,
    /// Bytes of its code.
    pub code: u64,
    /// The buffers that live in it, with their bytes, the largest first.
    pub buffers: Vec<(BufferId, u64)>,
}

/// Plans the memory of launches in this order, each with what it needs of a PE's memory. `code` gives the bytes of a
/// launch's code; it is asked only if the buffers alone fit.
///
/// # Errors
/// If the PE's memory is too small.
pub(super) fn find(
    arch: &ArchSpec,
    launches: &[Vec<Requirement>],
    code: impl Fn(usize) -> u64,
) -> Result<(MemoryPlan, Vec<Addresses>), Box<TooSmall>> {
    assert!(!launches.is_empty(), "a step has launches");
    let mut lives = lives(launches);
    let (capacity, stack_bytes) = (u64::from(arch.pe.sram.value), u64::from(arch.pe.stack.value));
    // Where this is too much, no places make it less.
    let alive = living(&lives, launches.len());
    let most = peak(&alive, &vec![0; launches.len()]);
    if alive[most] + stack_bytes > capacity {
        return Err(Box::new(too_small(&lives, (most, alive[most]), code(most))));
    }
    let code: Vec<u64> = (0..launches.len()).map(code).collect();
    let mut found: Option<(u64, usize)> = None;
    for order in ORDERS {
        place(Banks::of(arch), &mut lives, order);
        let tops = tops(&lives, launches.len());
        let at = peak(&tops, &code);
        let peak_bytes = tops[at] + code[at] + stack_bytes;
        if peak_bytes <= capacity {
            let addresses = addresses(launches, &lives);
            let buffers = lives.into_iter().map(|l| l.buffer).collect();
            let code_bytes = code[at];
            let plan = MemoryPlan { peak_bytes, code_bytes, stack_bytes, capacity, buffers, peak_launch: at, code };
            return Ok((plan, addresses));
        }
        found = Some(found.unwrap_or((tops[at], at)).min((tops[at], at)));
    }
    let (top, at) = found.unwrap_or_default();
    let code = code.get(at).copied().unwrap_or(0);
    Err(Box::new(too_small(&lives, (at, top), code)))
}

/// The launch with the highest sum of its bytes of buffers and of code.
fn peak(buffers: &[u64], code: &[u64]) -> usize {
    let sum = |&i: &usize| (buffers[i] + code[i], std::cmp::Reverse(i));
    (0..buffers.len()).max_by_key(sum).unwrap_or(0)
}

/// Bytes of buffers that live in every launch.
#[must_use]
pub fn alive(launches: &[Vec<Requirement>]) -> Vec<u64> {
    living(&lives(launches), launches.len())
}

fn living(lives: &[Life], launches: usize) -> Vec<u64> {
    let mut alive = vec![0; launches];
    for Life { buffer, .. } in lives {
        alive[buffer.first..=buffer.last].iter_mut().for_each(|sum| *sum += buffer.bytes);
    }
    alive
}

/// The end of the highest buffer that lives in every launch.
fn tops(lives: &[Life], launches: usize) -> Vec<u64> {
    let mut tops = vec![0; launches];
    for Life { buffer, .. } in lives {
        let end = buffer.addr + buffer.bytes;
        tops[buffer.first..=buffer.last].iter_mut().for_each(|top| *top = end.max(*top));
    }
    tops
}

/// The launch `at`, whose buffers end at `top`, so that with its code and the stack they are beyond the capacity.
fn too_small(lives: &[Life], (at, top): (usize, u64), code: u64) -> TooSmall {
    let alive = |b: &&PlannedBuffer| b.first <= at && at <= b.last;
    let mut buffers: Vec<&PlannedBuffer> = lives.iter().map(|l| &l.buffer).filter(alive).collect();
    buffers.sort_by_key(|b| std::cmp::Reverse(b.bytes));
    TooSmall { launch: at, top, code, buffers: buffers.iter().map(|b| (b.buffer, b.bytes)).collect() }
}

/// The lives of all buffers, in order of their first use.
fn lives(launches: &[Vec<Requirement>]) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    let mut current: BTreeMap<BufferId, usize> = BTreeMap::new();
    for (at, requirements) in launches.iter().enumerate() {
        for requirement in requirements {
            let alive = current.get(&requirement.buffer).copied();
            // A buffer that the kernel reads as well as writes (under two windows) goes on.
            let reads =
                |r: &Requirement| r.buffer == requirement.buffer && matches!(r.access, Access::Read | Access::Update);
            let read = requirements.iter().any(reads);
            match alive.filter(|&i| read || lives[i].buffer.first == at) {
                Some(i) => lives[i].goes_on(at, requirement),
                None => {
                    current.insert(requirement.buffer, lives.len());
                    lives.push(Life::of(at, requirement));
                }
            }
        }
    }
    lives
}

impl Life {
    /// The life of a buffer from the launch `at` on.
    fn of(at: usize, requirement: &Requirement) -> Life {
        let margin = u64::from(requirement.margin);
        let bytes = bytes(requirement) + 2 * margin;
        let buffer = PlannedBuffer { buffer: requirement.buffer, bytes, addr: 0, first: at, last: at };
        Life { buffer, side: requirement.side, either: requirement.either, margin }
    }

    /// Another use of the buffer, in the launch `at`.
    fn goes_on(&mut self, at: usize, requirement: &Requirement) {
        let Life { buffer, margin, side, either } = self;
        assert_eq!(*side, requirement.side, "{}: a buffer's side is that of its first use", buffer.buffer);
        *either &= requirement.either;
        buffer.last = at;
        let inside = (buffer.bytes - 2 * *margin).max(bytes(requirement));
        *margin = (*margin).max(u64::from(requirement.margin));
        buffer.bytes = inside + 2 * *margin;
    }

    /// The first address at `from` or behind it where the banks let it start.
    fn place(&self, banks: Banks, from: u64) -> u64 {
        let on = |side| from + u64::from(banks.gap(from, side));
        if self.either { on(self.side).min(on(self.side.other())) } else { on(self.side) }
    }
}

/// In which order buffers get their places.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// The largest first.
    Bytes,
    /// Buffers that live longest first.
    Life,
    /// Buffers first that take the most memory for the longest time.
    Both,
}

/// The orders that are tried, one after the other, until everything fits.
const ORDERS: [Order; 3] = [Order::Bytes, Order::Both, Order::Life];

/// First fit.
fn place(banks: Banks, lives: &mut [Life], by: Order) {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|&i| {
        let b = &lives[i].buffer;
        let life = (b.last - b.first) as u64 + 1;
        let rank = match by {
            Order::Bytes => (b.bytes, 0),
            Order::Life => (life, b.bytes),
            Order::Both => (life * b.bytes, 0),
        };
        (std::cmp::Reverse(rank), b.first, i)
    });
    let mut placed: Vec<usize> = Vec::new();
    for i in order {
        let me = &lives[i];
        let overlaps = |j: &&usize| {
            let b = &lives[**j].buffer;
            b.first <= me.buffer.last && me.buffer.first <= b.last
        };
        let mut taken: Vec<(u64, u64)> = placed
            .iter()
            .filter(overlaps)
            .map(|&j| (lives[j].buffer.addr, lives[j].buffer.addr + lives[j].buffer.bytes))
            .collect();
        taken.sort_unstable();
        let mut addr = me.place(banks, 0);
        for (start, end) in taken {
            if start < addr + me.buffer.bytes && addr < end {
                addr = me.place(banks, end);
            }
        }
        lives[i].buffer.addr = addr;
        placed.push(i);
    }
}

/// The addresses of every launch's buffers, behind their margins.
fn addresses(launches: &[Vec<Requirement>], lives: &[Life]) -> Vec<Addresses> {
    let mut of: BTreeMap<BufferId, Vec<&Life>> = BTreeMap::new();
    for life in lives {
        of.entry(life.buffer.buffer).or_default().push(life);
    }
    let find = |buffer: BufferId, at: usize| {
        let there = |l: &&&Life| l.buffer.first <= at && at <= l.buffer.last;
        let life = of[&buffer].iter().find(there).expect("a buffer lives in every launch that asks for it");
        u32::try_from(life.buffer.addr + life.margin).expect("an address is within a PE's memory")
    };
    let one = |(at, requirements): (usize, &Vec<Requirement>)| {
        requirements.iter().map(|r| (r.buffer, find(r.buffer, at))).collect()
    };
    launches.iter().enumerate().map(one).collect()
}
