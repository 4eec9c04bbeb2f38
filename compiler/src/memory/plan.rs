//! The stage `Placed`: where every buffer of a step is in the memory of a PE, and for how long.
//!
//! A buffer lives from the kernel that writes it to the last kernel that reads what was written;
//! scratch lives as long as its kernel. Buffers whose lives overlap never overlap in memory.
//!
//! A kernel's code is loaded when it is launched: it lies at the top, below the stack, and every
//! buffer that lives in that launch lies below it.
//!
//! **Invariant.** The plan is the same for every PE. Buffers, code and stack of a launch do not
//! overlap. Queues have registers of their own and take no memory.
//! **Not here.** What the buffers are for (`schedule`).

use crate::kernel::{Access, Addresses, Kernel, Name, Requirement};
use crate::layout::Geometry;
use sim_core::arch::ArchSpec;
use sim_core::diag::Diagnostic;
use sim_core::program::code_bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A buffer with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedBuffer {
    /// Its name.
    pub name: Name,
    /// Bytes.
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
    /// Stack.
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
    phase: u64,
    margin: u64,
}

/// Plans the memory for kernels that are launched in this order.
///
/// # Errors
/// `M001` if the PE's memory is too small: what is needed, and by which buffers of which kernel.
pub fn plan(
    g: &Geometry,
    arch: &ArchSpec,
    kernels: &[&dyn Kernel],
    codes: &Codes,
) -> Result<(MemoryPlan, Vec<Addresses>), Box<Diagnostic>> {
    let mut lives = lives(g, arch, kernels);
    let (capacity, stack_bytes) = (u64::from(arch.pe.sram.value), u64::from(arch.pe.stack.value));
    // Where this is too much, no places make it less.
    let alive = living(&lives, kernels.len());
    let most = peak(&alive, &vec![0; kernels.len()]);
    if alive[most] + stack_bytes > capacity {
        return Err(Box::new(too_small(g, arch, kernels, &lives, (most, alive[most]))));
    }
    let code: Vec<u64> = kernels.iter().map(|k| codes.of(g, arch, *k)).collect();
    let mut found: Option<(u64, usize)> = None;
    for order in ORDERS {
        place(&mut lives, order);
        let tops = tops(&lives, kernels.len());
        let at = peak(&tops, &code);
        let peak_bytes = tops[at] + code[at] + stack_bytes;
        if peak_bytes <= capacity {
            let addresses = addresses(g, arch, kernels, &lives);
            let buffers = lives.into_iter().map(|l| l.buffer).collect();
            let code_bytes = code[at];
            let plan = MemoryPlan { peak_bytes, code_bytes, stack_bytes, capacity, buffers, peak_launch: at, code };
            return Ok((plan, addresses));
        }
        found = Some(found.unwrap_or((tops[at], at)).min((tops[at], at)));
    }
    let (top, at) = found.unwrap_or_default();
    Err(Box::new(too_small(g, arch, kernels, &lives, (at, top))))
}

/// The launch with the highest sum of its bytes of buffers and of code.
fn peak(buffers: &[u64], code: &[u64]) -> usize {
    let sum = |&i: &usize| (buffers[i] + code[i], std::cmp::Reverse(i));
    (0..buffers.len()).max_by_key(sum).unwrap_or(0)
}

/// Bytes of buffers and code that live in every launch.
#[must_use]
pub fn alive(g: &Geometry, arch: &ArchSpec, kernels: &[&dyn Kernel], codes: &Codes) -> Vec<u64> {
    let buffers = living(&lives(g, arch, kernels), kernels.len());
    buffers.iter().zip(kernels).map(|(bytes, k)| bytes + codes.of(g, arch, *k)).collect()
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

/// `M001`: the buffers of the launch `at` end at `top`, so that with its code and the stack they
/// are beyond the capacity.
fn too_small(
    g: &Geometry,
    arch: &ArchSpec,
    kernels: &[&dyn Kernel],
    lives: &[Life],
    (at, top): (usize, u64),
) -> Diagnostic {
    let alive = |b: &&PlannedBuffer| b.first <= at && at <= b.last;
    let mut peak: Vec<&PlannedBuffer> = lives.iter().map(|l| &l.buffer).filter(alive).collect();
    peak.sort_by_key(|b| std::cmp::Reverse(b.bytes));
    let largest: Vec<String> = peak.iter().take(4).map(|b| format!("{} {} B", b.name, b.bytes)).collect();
    let (stack, capacity) = (arch.pe.stack.value, arch.pe.sram.value);
    let code = kernels.get(at).map_or(0, |k| code_of(g, arch, *k));
    let message = format!(
        "with {} sequences at a time kernel `{}` needs {} B of a PE ({top} B of buffers, {code} B of code, {stack} B of stack), which has {capacity} B; `{}` does not fit; the largest buffers are {}",
        g.sequences,
        kernels.get(at).map_or(String::new(), |k| k.name()),
        top + code + u64::from(stack),
        peak.first().map_or("", |b| &b.name),
        largest.join(", ")
    );
    Diagnostic::new("M001", "micro-batch", message).help("choose a smaller --micro-batch")
}

fn lives(g: &Geometry, arch: &ArchSpec, kernels: &[&dyn Kernel]) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    let mut current: BTreeMap<Name, usize> = BTreeMap::new();
    for (at, kernel) in kernels.iter().enumerate() {
        let requirements = kernel.all_requirements(g, arch);
        for requirement in &requirements {
            let alive = current.get(&requirement.name).copied();
            // A buffer that the kernel reads as well as writes (under two windows) goes on.
            let read = requirements
                .iter()
                .any(|n| n.name == requirement.name && matches!(n.access, Access::Read | Access::Update));
            let known = alive.filter(|&i| read || lives[i].buffer.first == at);
            match known {
                Some(i) => {
                    let Life { buffer, margin, .. } = &mut lives[i];
                    buffer.last = at;
                    let inside = (buffer.bytes - 2 * *margin).max(bytes(requirement));
                    *margin = (*margin).max(u64::from(requirement.margin));
                    buffer.bytes = inside + 2 * *margin;
                }
                None => {
                    let (name, margin) = (requirement.name.clone(), u64::from(requirement.margin));
                    let buffer =
                        PlannedBuffer { name, bytes: bytes(requirement) + 2 * margin, addr: 0, first: at, last: at };
                    current.insert(requirement.name.clone(), lives.len());
                    lives.push(Life { buffer, phase: u64::from(requirement.phase), margin });
                }
            }
        }
    }
    lives
}

/// In which order buffers get their places.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// The largest first.
    Bytes,
    /// Those that live longest first.
    Life,
    /// Those first that take the most memory for the longest time.
    Both,
}

/// The orders that are tried, one after the other, until everything fits.
const ORDERS: [Order; 3] = [Order::Bytes, Order::Both, Order::Life];

/// First fit.
fn place(lives: &mut [Life], by: Order) {
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
        let fit = |from: u64| from.next_multiple_of(8) + me.phase;
        let mut addr = fit(0);
        for (start, end) in taken {
            if start < addr + me.buffer.bytes && addr < end {
                addr = fit(end);
            }
        }
        lives[i].buffer.addr = addr;
        placed.push(i);
    }
}

fn addresses(g: &Geometry, arch: &ArchSpec, kernels: &[&dyn Kernel], lives: &[Life]) -> Vec<Addresses> {
    let mut by_name: BTreeMap<&str, Vec<&Life>> = BTreeMap::new();
    for l in lives {
        by_name.entry(&l.buffer.name).or_default().push(l);
    }
    let find = |name: &str, at: usize| {
        let of = by_name.get(name).expect("every requirement has a life");
        let there = |l: &&&Life| l.buffer.first <= at && at <= l.buffer.last;
        let life = of.iter().find(there).expect("a requirement lives where it is needed");
        life.buffer.addr + life.margin
    };
    let names = |k: &dyn Kernel| k.all_requirements(g, arch).into_iter().map(|n| n.name).collect::<BTreeSet<_>>();
    kernels
        .iter()
        .enumerate()
        .map(|(at, k)| names(*k).into_iter().map(|n| (n.clone(), find(&n, at) as u32)).collect())
        .collect()
}

/// Bytes of kernels' code on one geometry: emitted once for kernels that differ only in their layer and
/// in where their windows begin, whichever thread asks first.
#[derive(Debug, Default)]
pub struct Codes {
    known: Mutex<BTreeMap<String, Arc<OnceLock<u64>>>>,
    guess: Option<u64>,
}

impl Codes {
    /// So many bytes for every kernel: nothing is emitted.
    #[must_use]
    pub fn guess(bytes: u64) -> Codes {
        Codes { guess: Some(bytes), ..Codes::default() }
    }

    /// Bytes of a kernel's code.
    pub fn of(&self, g: &Geometry, arch: &ArchSpec, kernel: &dyn Kernel) -> u64 {
        self.guess.unwrap_or_else(|| {
            let alike = alike(&format!("{kernel:?}"));
            let code = self.known.lock().unwrap_or_else(PoisonError::into_inner).entry(alike).or_default().clone();
            *code.get_or_init(|| code_of(g, arch, kernel))
        })
    }
}

/// Bytes of a kernel's code, with buffers one behind the other.
fn code_of(g: &Geometry, arch: &ArchSpec, kernel: &dyn Kernel) -> u64 {
    let mut next = 0u32;
    let mut at = Addresses::new();
    for requirement in kernel.all_requirements(g, arch) {
        let addr = next.next_multiple_of(8) + requirement.phase + requirement.margin;
        at.insert(requirement.name.clone(), addr);
        next = addr + bytes(&requirement) as u32 + requirement.margin;
    }
    let program = kernel.program(g, arch, &at);
    program.images.iter().map(|i| code_bytes(i, arch)).max().unwrap_or(0)
}

/// A kernel's text without the numbers of layers in the names of tensors, `h.3.attn`, and of buffers,
/// `x.3`, and without the beginnings of windows, `first_slot: 32`.
fn alike(text: &str) -> String {
    ["h.", "\"x.", "first_slot: ", "first_token: ", "skipped: "]
        .iter()
        .fold(text.to_owned(), |text, key| without(&text, key))
}

/// A text without the numbers that follow a key.
fn without(text: &str, key: &str) -> String {
    let mut parts = text.split(key);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out += key;
        out += part.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_layers_and_beginnings_go_and_numbers_stay() {
        assert_eq!(alike("Gemm { out: \"h.11.attn.q\", slots: 4 }"), "Gemm { out: \"h..attn.q\", slots: 4 }");
        assert_eq!(alike("h.x 12 h.0.y"), "h.x 12 h..y");
        assert_eq!(alike("all_slots: 8, first_slot: 32, slots: 4"), "all_slots: 8, first_slot: , slots: 4");
    }
}
