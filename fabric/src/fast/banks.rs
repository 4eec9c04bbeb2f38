//! Which distances of two sources in memory make them conflict (rule C5), worked out once per instruction.
//!
//! Two sources conflict or not by the distance of their first addresses modulo the period of the banks,
//! 16 bytes on the CS-2. So an instruction has a bit for each distance, and starting it looks one up.
//!
//! **Invariant.** Operands that are one and the same never conflict.
//! **Not here.** The addresses (`ce`), elements per beat (`lowered`).

use sim_core::arch::ArchSpec;
use sim_core::program::{MemRef, Operand, VecOp};

/// Two sources of an instruction that may conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Their numbers among the operands, where the destination is 0.
    operands: (u8, u8),
    /// Whether they conflict, by how far the second one is ahead of the first, modulo the period.
    by_distance: Vec<bool>,
    /// Whether they are one and the same operand if they start at one address.
    alike: bool,
}

impl Pair {
    /// Whether they conflict if the operands of the instruction start at these addresses.
    pub(crate) fn conflicts(&self, addresses: &[i32; 4]) -> bool {
        let (a, b) = (addresses[usize::from(self.operands.0)], addresses[usize::from(self.operands.1)]);
        // The period is a power of two.
        self.by_distance[b.wrapping_sub(a) as usize & (self.by_distance.len() - 1)] && !(self.alike && a == b)
    }
}

/// Pairs of sources that read memory as vectors and conflict at some distance.
pub(super) fn pairs(op: &VecOp, width: u32, arch: &ArchSpec) -> Vec<Pair> {
    let mut out = Vec::new();
    let vectors = op.src.iter().zip(1..).filter_map(|(operand, number)| vector(operand).map(|m| (m, number)));
    let vectors: Vec<(&MemRef, u8)> = vectors.collect();
    for (i, &(a, first)) in vectors.iter().enumerate() {
        for &(b, second) in vectors[i + 1..].iter().filter(|(b, _)| *b != a) {
            let alike = (a.dtype, &a.dims) == (b.dtype, &b.dims) && a.ring.is_none() && b.ring.is_none();
            let by_distance = by_distance(a, b, width, length(op), arch);
            out.push(Pair { operands: (first, second), by_distance, alike });
        }
    }
    out
}

/// Elements of the instruction; if a register gives their number, so many that banks repeat themselves.
fn length(op: &VecOp) -> u32 {
    if op.count.is_some() { u32::MAX } else { op.len }
}

fn vector(operand: &Operand) -> Option<&MemRef> {
    match operand {
        Operand::Mem(m) if !m.is_scalar() => Some(m),
        _ => None,
    }
}

/// For each distance whether the sources meet in every beat.
fn by_distance(a: &MemRef, b: &MemRef, width: u32, len: u32, arch: &ArchSpec) -> Vec<bool> {
    let period = arch.pe.bank_period() as usize;
    let word = arch.pe.bank_width.value as usize / 8;
    let first = first_beat(words(a, width.min(len), word, period), words(b, width.min(len), word, period), word);
    // How much further ahead the second one is after each beat.
    let step = ((pitch(b) - pitch(a)) * i64::from(width)).rem_euclid(period as i64) as usize;
    let beats = (len.div_ceil(width) as usize).min(period);
    (0..period).map(|distance| (0..beats).all(|beat| first[(distance + beat * step) % period])).collect()
}

/// For each distance whether some word of the one is less than a word away from some word of the other.
fn first_beat(a: Vec<bool>, b: Vec<bool>, word: usize) -> Vec<bool> {
    let period = a.len();
    let near = |at: usize| (0..word).flat_map(move |d| [at + d, at + period - d]).map(move |p| p % period);
    let mut meets = vec![false; period];
    for (x, _) in a.iter().enumerate().filter(|(_, read)| **read) {
        for (y, _) in b.iter().enumerate().filter(|(_, read)| **read) {
            near(x + period - y).for_each(|distance| meets[distance] = true);
        }
    }
    meets
}

/// The places of the words that a beat reads, modulo the period, from the first element on.
fn words(m: &MemRef, elements: u32, word: usize, period: usize) -> Vec<bool> {
    let mut read = vec![false; period];
    for element in 0..i64::from(elements) {
        let at = (element * pitch(m)).rem_euclid(period as i64) as usize;
        read[at - at % word] = true;
    }
    read
}

/// Bytes from an element to the next one of the last dimension.
fn pitch(m: &MemRef) -> i64 {
    m.dims.last().map_or(0, |last| i64::from(last.stride) * i64::from(m.dtype.bytes()))
}
