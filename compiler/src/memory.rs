//! The stage `Placed`: where every buffer of a step is in the memory of a PE, and for how long.
//!
//! A buffer lives from the kernel that writes it to the last kernel that reads what was written;
//! scratch lives as long as its kernel. Buffers whose lives overlap never overlap in memory.
//!
//! **Invariant.** The plan is the same for every PE. Code of the largest kernel and the stack are
//! set aside at the top.
//! **Not here.** What the buffers are for (`schedule`).

use crate::geometry::Geometry;
use crate::kernel::{Access, Addresses, Kernel, Need};
use sim_core::arch::ArchSpec;
use sim_core::diag::Diagnostic;
use sim_core::program::code_bytes;
use std::collections::{BTreeMap, BTreeSet};

/// A buffer with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedBuffer {
    /// Its name.
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

/// The memory of a PE over a step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryPlan {
    /// High-water mark: buffers, code and stack.
    pub peak_bytes: u64,
    /// Code of the largest kernel.
    pub code_bytes: u64,
    /// Stack.
    pub stack_bytes: u64,
    /// What a PE has.
    pub capacity: u64,
    /// All buffers, in order of their first use.
    pub buffers: Vec<PlannedBuffer>,
    /// The launch in which a buffer reaches the high-water mark.
    pub peak_launch: usize,
}

impl MemoryPlan {
    /// Whether a buffer lives at the high-water mark.
    #[must_use]
    pub fn at_peak(&self, buffer: &PlannedBuffer) -> bool {
        (buffer.first..=buffer.last).contains(&self.peak_launch)
    }
}

/// Bytes that a buffer takes, with room to bring it to its phase.
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
/// `M001` if the PE's memory is too small: what is needed, and by which buffers.
pub fn plan(
    g: &Geometry,
    arch: &ArchSpec,
    kernels: &[&dyn Kernel],
) -> Result<(MemoryPlan, Vec<Addresses>), Box<Diagnostic>> {
    let mut lives = lives(g, kernels);
    let capacity = u64::from(arch.sram.value);
    let stack_bytes = u64::from(arch.stack.value);
    // Where this is too much, no places and no code make it less.
    let (alive, at) = busiest(&lives, kernels.len());
    if alive + stack_bytes > capacity {
        return Err(Box::new(too_small(kernels, &lives, at, [alive, 0, stack_bytes, capacity])));
    }
    place(&mut lives);
    let top = lives.iter().map(|l| l.buffer.addr + l.buffer.bytes).max().unwrap_or(0);
    let code_bytes = largest_code(g, arch, kernels);
    let peak_bytes = top + code_bytes + stack_bytes;
    let highest = lives.iter().find(|l| l.buffer.addr + l.buffer.bytes == top);
    let at = highest.map_or(0, |l| l.buffer.first);
    if peak_bytes > capacity {
        return Err(Box::new(too_small(kernels, &lives, at, [top, code_bytes, stack_bytes, capacity])));
    }
    let addresses = addresses(g, kernels, &lives);
    let buffers = lives.into_iter().map(|l| l.buffer).collect();
    Ok((MemoryPlan { peak_bytes, code_bytes, stack_bytes, capacity, buffers, peak_launch: at }, addresses))
}

/// Bytes of buffers that live in every launch.
#[must_use]
pub fn alive(g: &Geometry, kernels: &[&dyn Kernel]) -> Vec<u64> {
    living(&lives(g, kernels), kernels.len())
}

fn living(lives: &[Life], launches: usize) -> Vec<u64> {
    let mut alive = vec![0; launches];
    for Life { buffer, .. } in lives {
        alive[buffer.first..=buffer.last].iter_mut().for_each(|sum| *sum += buffer.bytes);
    }
    alive
}

/// Most bytes of buffers that live in one launch, and the first such launch.
fn busiest(lives: &[Life], launches: usize) -> (u64, usize) {
    let alive = living(lives, launches);
    let most = alive.iter().copied().max().unwrap_or(0);
    (most, alive.iter().position(|&sum| sum == most).unwrap_or(0))
}

/// `M001`: the launch `at` needs bytes of buffers, code (0: not counted) and stack beyond the
/// capacity.
fn too_small(kernels: &[&dyn Kernel], lives: &[Life], at: usize, [top, code, stack, capacity]: [u64; 4]) -> Diagnostic {
    let alive = |b: &&PlannedBuffer| b.first <= at && at <= b.last;
    let mut peak: Vec<&PlannedBuffer> = lives.iter().map(|l| &l.buffer).filter(alive).collect();
    peak.sort_by_key(|b| std::cmp::Reverse(b.bytes));
    let largest: Vec<String> = peak.iter().take(4).map(|b| format!("{} {} B", b.name, b.bytes)).collect();
    let needs = top + code + stack;
    let code = if code > 0 { format!("{code} B of code") } else { "code".to_owned() };
    let message = format!(
        "a PE needs at least {needs} B ({top} B of buffers, {code}, {stack} B of stack) and has {capacity}; the largest buffers in `{}` are {}",
        kernels.get(at).map_or(String::new(), |k| k.name()),
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

/// First fit, the largest buffers first.
fn place(lives: &mut [Life]) {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(lives[i].buffer.bytes), lives[i].buffer.first, i));
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

/// Code of the largest kernel: emitted once for kernels that differ in their layer only, with
/// buffers one behind the other.
fn largest_code(g: &Geometry, arch: &ArchSpec, kernels: &[&dyn Kernel]) -> u64 {
    let mut seen = BTreeSet::new();
    let mut most = 0;
    for k in kernels {
        if !seen.insert(without_layers(&format!("{k:?}"))) {
            continue;
        }
        let mut next = 0u32;
        let mut at = Addresses::new();
        for need in k.needs(g) {
            let addr = next.next_multiple_of(8) + need.phase;
            at.insert(need.name.clone(), addr);
            next = addr + bytes(&need) as u32;
        }
        let program = k.program(g, arch, &at);
        most = most.max(program.images.iter().map(|i| code_bytes(i, arch)).max().unwrap_or(0));
    }
    most
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
