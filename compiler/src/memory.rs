//! The stage `Placed`: where every buffer of a step is in the memory of a PE, and for how long.
//!
//! A buffer lives from the kernel that writes it to the last kernel that reads what was written;
//! scratch and code live as long as their kernel. What lives at the same time never overlaps.
//!
//! **Invariant.** The plan is the same for every PE. A kernel's code is above all its buffers, and
//! ends where the stack begins, for all kernels.
//! **Not here.** What the buffers are for (`schedule`). Queues: they are hardware, not memory.

use crate::geometry::Geometry;
use crate::kernel::{Access, Addresses, Kernel, Need};
use sim_core::arch::ArchSpec;
use sim_core::diag::Diagnostic;
use sim_core::program::code_bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Name of a kernel's code in a plan.
pub const CODE: &str = ".code";

/// A buffer with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedBuffer {
    /// Its name; [`CODE`] for code.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// First byte.
    pub addr: u64,
    /// The launch that writes it.
    pub first: usize,
    /// The last launch that uses it.
    pub last: usize,
}

impl PlannedBuffer {
    /// Whether it lives in a launch.
    #[must_use]
    pub fn lives(&self, launch: usize) -> bool {
        (self.first..=self.last).contains(&launch)
    }
}

/// The memory of a PE over a step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryPlan {
    /// High-water mark over all launches: the end of the highest buffer that lives, code and stack.
    pub peak_bytes: u64,
    /// Code of the kernel at the high-water mark.
    pub code_bytes: u64,
    /// Stack.
    pub stack_bytes: u64,
    /// What a PE has.
    pub capacity: u64,
    /// All buffers, in order of their first use, and the code of every launch.
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
        buffer.lives(self.peak_launch)
    }
}

/// Bytes that a buffer takes.
fn bytes(need: &Need) -> u64 {
    u64::from(need.len) * u64::from(need.dtype.bytes())
}

struct Life {
    buffer: PlannedBuffer,
    phase: u64,
}

/// Plans the memory for kernels that are launched in this order.
///
/// # Errors
/// `M001` if the PE's memory is too small: what is needed, and by which buffers of which kernel.
pub fn plan(
    g: &Geometry,
    arch: &ArchSpec,
    kernels: &[&dyn Kernel],
) -> Result<(MemoryPlan, Vec<Addresses>), Box<Diagnostic>> {
    let mut lives = lives(g, kernels);
    let (stack_bytes, capacity) = (u64::from(arch.stack.value), u64::from(arch.sram.value));
    // Where this is too much, no places and no code make it less.
    let (alive, at) = busiest(&lives, kernels.len());
    if alive + stack_bytes > capacity {
        return Err(Box::new(too_small(kernels, &lives, at, alive + stack_bytes, arch)));
    }
    lives.extend(codes(g, arch, kernels));
    let room = capacity - stack_bytes;
    let (top, at) = place(&mut lives, room);
    if top > room {
        return Err(Box::new(too_small(kernels, &lives, at, top + stack_bytes, arch)));
    }
    let addresses = addresses(g, kernels, &lives);
    let buffers: Vec<PlannedBuffer> = lives.into_iter().map(|l| l.buffer).collect();
    let code_bytes = buffers.iter().filter(|b| b.name == CODE && b.lives(at)).map(|b| b.bytes).sum();
    let peak_bytes = top + stack_bytes;
    Ok((MemoryPlan { peak_bytes, code_bytes, stack_bytes, capacity, buffers, peak_launch: at }, addresses))
}

/// Bytes of buffers and code that live in every launch.
#[must_use]
pub fn alive(g: &Geometry, arch: &ArchSpec, kernels: &[&dyn Kernel], codes: &mut Codes) -> Vec<u64> {
    let buffers = living(&lives(g, kernels), kernels.len());
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

/// `M001`: the launch `at` needs `needs` bytes, stack included.
fn too_small(kernels: &[&dyn Kernel], lives: &[Life], at: usize, needs: u64, arch: &ArchSpec) -> Diagnostic {
    let mut peak: Vec<&PlannedBuffer> = lives.iter().map(|l| &l.buffer).filter(|b| b.lives(at)).collect();
    peak.sort_by_key(|b| std::cmp::Reverse(b.bytes));
    let code = peak.iter().find(|b| b.name == CODE).map(|b| b.bytes);
    let code = code.map_or("code".to_owned(), |bytes| format!("{bytes} B of code"));
    let largest = peak.iter().filter(|b| b.name != CODE).take(4);
    let largest: Vec<String> = largest.map(|b| format!("{} {} B", b.name, b.bytes)).collect();
    let message = format!(
        "a PE needs at least {needs} B in `{}`, {code} and {} B of stack included, and has {}; the largest buffers there are {}",
        kernels.get(at).map_or(String::new(), |k| k.name()),
        arch.stack.value,
        arch.sram.value,
        largest.join(", ")
    );
    Diagnostic::new("M001", "micro-batch", message).help("choose a smaller --micro-batch")
}

fn lives(g: &Geometry, kernels: &[&dyn Kernel]) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    let mut current: BTreeMap<String, usize> = BTreeMap::new();
    for (at, kernel) in kernels.iter().enumerate() {
        let needs = kernel.needs(g);
        for need in &needs {
            let alive = current.get(&need.name).copied();
            // A buffer that the kernel reads as well as writes (under two windows) goes on.
            let read = needs.iter().any(|n| n.name == need.name && matches!(n.access, Access::Read | Access::Update));
            let known = alive.filter(|&i| read || lives[i].buffer.first == at);
            match known {
                Some(i) => {
                    let buffer = &mut lives[i].buffer;
                    buffer.last = at;
                    buffer.bytes = buffer.bytes.max(bytes(need));
                }
                None => {
                    let buffer =
                        PlannedBuffer { name: need.name.clone(), bytes: bytes(need), addr: 0, first: at, last: at };
                    current.insert(need.name.clone(), lives.len());
                    lives.push(Life { buffer, phase: u64::from(need.phase) });
                }
            }
        }
    }
    lives
}

/// Orders in which buffers are placed, tried until one fits: the largest first; those that take
/// most over their life first; those that live longest first.
const ORDERS: [fn(&Life) -> u64; 3] = [
    |l| l.buffer.bytes,
    |l| l.buffer.bytes * (l.buffer.last - l.buffer.first + 1) as u64,
    |l| (l.buffer.last - l.buffer.first) as u64,
];

/// Finds places below `room`, if they are found; the number of bytes that it takes, and a launch
/// that takes them.
fn place(lives: &mut [Life], room: u64) -> (u64, usize) {
    let mut best: Option<(Vec<u64>, u64, usize)> = None;
    for order in ORDERS {
        let depths = depths(lives, order);
        let end = |i: usize| depths[i] + lives[i].buffer.bytes;
        let lowest = (0..lives.len()).max_by_key(|&i| (end(i), std::cmp::Reverse(i)));
        let (top, at) = lowest.map_or((0, 0), |i| (end(i), lives[i].buffer.first));
        if best.as_ref().is_none_or(|b| top < b.1) {
            best = Some((depths, top, at));
        }
        if top <= room {
            break;
        }
    }
    let Some((depths, top, at)) = best else { return (0, 0) };
    let top = top.next_multiple_of(8);
    for (life, depth) in lives.iter_mut().zip(depths) {
        life.buffer.addr = top - depth - life.buffer.bytes;
    }
    (top, at)
}

/// First fit from where the stack begins downwards, below the kernels' code: the distance of every
/// buffer's end from there.
fn depths(lives: &[Life], key: fn(&Life) -> u64) -> Vec<u64> {
    let mut order: Vec<usize> = (0..lives.len()).filter(|&i| lives[i].buffer.name != CODE).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(key(&lives[i])), std::cmp::Reverse(lives[i].buffer.bytes), lives[i].buffer.first, i));
    let mut depths = vec![0; lives.len()];
    // What is placed, by launch.
    let launches = lives.iter().map(|l| l.buffer.last + 1).max().unwrap_or(0);
    let mut placed: Vec<Vec<usize>> = vec![Vec::new(); launches];
    for (i, l) in lives.iter().enumerate().filter(|(_, l)| l.buffer.name == CODE) {
        placed[l.buffer.first].push(i);
    }
    for i in order {
        let Life { buffer: me, phase } = &lives[i];
        let mut taken: Vec<(u64, u64)> = placed[me.first..=me.last]
            .iter()
            .flatten()
            .map(|&j| (depths[j], depths[j] + lives[j].buffer.bytes))
            .collect();
        taken.sort_unstable();
        taken.dedup();
        // Its start, as far from a multiple of 8 as its phase asks for.
        let fit = |from: u64| (from + me.bytes + phase).next_multiple_of(8) - phase - me.bytes;
        let mut depth = fit(0);
        for (start, end) in taken {
            if start < depth + me.bytes && depth < end {
                depth = fit(end);
            }
        }
        depths[i] = depth;
        placed[me.first..=me.last].iter_mut().for_each(|p| p.push(i));
    }
    depths
}

fn addresses(g: &Geometry, kernels: &[&dyn Kernel], lives: &[Life]) -> Vec<Addresses> {
    let mut by_name: BTreeMap<&str, Vec<&PlannedBuffer>> = BTreeMap::new();
    for l in lives {
        by_name.entry(&l.buffer.name).or_default().push(&l.buffer);
    }
    let find = |name: &str, at: usize| {
        let of = by_name.get(name).expect("every need has a life");
        of.iter().find(|b| b.first <= at && at <= b.last).expect("a need lives where it is needed").addr
    };
    let names = |k: &dyn Kernel| k.needs(g).into_iter().map(|n| n.name).collect::<BTreeSet<_>>();
    kernels
        .iter()
        .enumerate()
        .map(|(at, k)| names(*k).into_iter().map(|n| (n.clone(), find(&n, at) as u32)).collect())
        .collect()
}

/// Bytes of kernels' code on one geometry: emitted once for kernels that differ in their layer only,
/// with buffers one behind the other.
#[derive(Debug, Default)]
pub struct Codes(BTreeMap<String, u64>);

impl Codes {
    /// Bytes of a kernel's code.
    pub fn of(&mut self, g: &Geometry, arch: &ArchSpec, kernel: &dyn Kernel) -> u64 {
        *self.0.entry(without_layers(&format!("{kernel:?}"))).or_insert_with(|| code_of(g, arch, kernel))
    }
}

/// The code of every launch.
fn codes(g: &Geometry, arch: &ArchSpec, kernels: &[&dyn Kernel]) -> Vec<Life> {
    let mut codes = Codes::default();
    let life = |(at, k): (usize, &&dyn Kernel)| {
        let buffer = PlannedBuffer { name: CODE.to_owned(), bytes: codes.of(g, arch, *k), addr: 0, first: at, last: at };
        Life { buffer, phase: 0 }
    };
    kernels.iter().enumerate().map(life).collect()
}

/// Bytes of a kernel's code in the PE that has most of it.
fn code_of(g: &Geometry, arch: &ArchSpec, kernel: &dyn Kernel) -> u64 {
    let mut next = 0u32;
    let mut at = Addresses::new();
    for need in kernel.needs(g) {
        let addr = next.next_multiple_of(8) + need.phase;
        at.insert(need.name.clone(), addr);
        next = addr + bytes(&need) as u32;
    }
    let program = kernel.program(g, arch, &at);
    program.images.iter().map(|i| code_bytes(i, arch)).max().unwrap_or(0)
}

/// A text without the numbers of layers in the names of tensors: `h.3.attn` becomes `h.attn`.
fn without_layers(text: &str) -> String {
    let mut parts = text.split("h.");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        out += if rest.len() < part.len() { "h" } else { "h." };
        out += rest;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_layers_go_and_numbers_stay() {
        assert_eq!(without_layers("Gemm { out: \"h.11.attn.q\", slots: 4 }"), "Gemm { out: \"h.attn.q\", slots: 4 }");
        assert_eq!(without_layers("h.x 12 h.0.y"), "h.x 12 h.y");
    }
}
