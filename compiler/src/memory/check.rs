//! A check of a memory plan, by rules of its own: it follows each buffer from its write to its last read and looks
//! whether two of them meet. Every plan of a step is held to it, so a mistake of the planner stops the compiler before a
//! wrong program runs.
//!
//! **Invariant.** Nothing here uses what the planner believes of lives; only its addresses and its sums are looked at.
//! **Not here.** Finding places (`plan`).

use super::plan::MemoryPlan;
use crate::banks::{Banks, Side};
use crate::ids::BufferId;
use crate::kernel::{Access, Addresses, Requirement};
use std::collections::BTreeMap;

/// A buffer from the launch that writes it to the last one that reads what was written.
struct Segment {
    buffer: BufferId,
    first: usize,
    last: usize,
    /// Its place, without margins.
    address: u32,
    side: Side,
    either: bool,
    bytes: u32,
    margin: u32,
}

impl Segment {
    /// What it takes, margins included.
    fn span(&self) -> (u64, u64) {
        let start = u64::from(self.address).checked_sub(u64::from(self.margin));
        let start = start.unwrap_or_else(|| panic!("`{}` has no room for its margin", self.buffer));
        (start, u64::from(self.address) + u64::from(self.bytes) + u64::from(self.margin))
    }
}

/// What a launch asks of one buffer, under all windows together.
#[derive(Clone, Copy)]
struct Use {
    reads: bool,
    side: Side,
    either: bool,
    bytes: u32,
    margin: u32,
}

fn uses(requirements: &[Requirement]) -> BTreeMap<BufferId, Use> {
    let mut all: BTreeMap<BufferId, Use> = BTreeMap::new();
    for r in requirements {
        let reads = matches!(r.access, Access::Read | Access::Update);
        let one = Use { reads, side: r.side, either: r.either, bytes: r.len * r.dtype.bytes(), margin: r.margin };
        let known = all.entry(r.buffer).or_insert(one);
        known.reads |= reads;
        known.either &= r.either;
        known.bytes = known.bytes.max(one.bytes);
        known.margin = known.margin.max(one.margin);
    }
    all
}

/// Every buffer's segments. Whoever reads a buffer finds it where it was written.
fn segments(launches: &[Vec<Requirement>], addresses: &[Addresses]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut open: BTreeMap<BufferId, usize> = BTreeMap::new();
    for (at, requirements) in launches.iter().enumerate() {
        for (buffer, Use { reads, side, either, bytes, margin }) in uses(requirements) {
            let address = addresses[at][buffer];
            let known = open.get(&buffer).copied().filter(|_| reads);
            let Some(i) = known else {
                open.insert(buffer, segments.len());
                segments.push(Segment { buffer, first: at, last: at, address, side, either, bytes, margin });
                continue;
            };
            let segment = &mut segments[i];
            assert_eq!(address, segment.address, "`{buffer}` is read in launch {at} where it was not written");
            segment.last = at;
            segment.either &= either;
            segment.bytes = segment.bytes.max(bytes);
            segment.margin = segment.margin.max(margin);
        }
    }
    segments
}

/// Holds a plan to its promises.
///
/// # Panics
/// If two buffers that live at the same time meet, if a buffer moves while it lives or starts on the wrong side of the banks, if
/// buffers reach into code or stack, or if the plan's high-water mark is another: a mistake of the planner.
pub fn check(banks: Banks, plan: &MemoryPlan, launches: &[Vec<Requirement>], addresses: &[Addresses]) {
    assert_eq!(launches.len(), addresses.len(), "every launch has addresses");
    let segments = segments(launches, addresses);
    let mut begins: Vec<Vec<usize>> = vec![Vec::new(); launches.len()];
    let mut ends: Vec<Vec<usize>> = vec![Vec::new(); launches.len()];
    for (i, segment) in segments.iter().enumerate() {
        let (period, want) = (banks.period(), banks.start(segment.side));
        let place = segment.address % period;
        let will_do = place == want || (segment.either && place == banks.start(segment.side.other()));
        assert!(will_do, "`{}` starts at {place} modulo {period} and asked for {want}", segment.buffer);
        begins[segment.first].push(i);
        ends[segment.last].push(i);
    }
    // What lives, by address: the end, and who it is.
    let mut living: BTreeMap<u64, (u64, usize)> = BTreeMap::new();
    let mut peak = 0;
    for at in 0..launches.len() {
        for &i in &begins[at] {
            let (start, end) = segments[i].span();
            let before = living.range(..end).next_back().filter(|(_, (other, _))| *other > start);
            if let Some((_, (_, other))) = before {
                panic!("`{}` and `{}` meet in launch {at}", segments[i].buffer, segments[*other].buffer);
            }
            living.insert(start, (end, i));
        }
        let top = living.last_key_value().map_or(0, |(_, (end, _))| *end);
        let used = top + plan.code[at] + plan.stack_bytes;
        assert!(used <= plan.capacity, "launch {at} takes {used} B of {} B", plan.capacity);
        peak = peak.max(used);
        for &i in &ends[at] {
            living.remove(&segments[i].span().0);
        }
    }
    assert_eq!(peak, plan.peak_bytes, "the high-water mark is that of the fullest launch");
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::program::DType;

    fn operand(name: &'static str, len: u32, access: Access) -> Requirement {
        Requirement::operand(name, DType::F16, len, access)
    }

    /// Two launches: `a` is written, then read while `b` is written.
    fn launches() -> Vec<Vec<Requirement>> {
        let first = vec![operand("a", 8, Access::Write)];
        vec![first, vec![operand("a", 8, Access::Read), operand("b", 8, Access::Write)]]
    }

    fn addresses(a: [u32; 2], b: u32) -> Vec<Addresses> {
        let at = |all: &[(&'static str, u32)]| all.iter().map(|&(name, addr)| (name.into(), addr)).collect();
        vec![at(&[("a", a[0])]), at(&[("a", a[1]), ("b", b)])]
    }

    fn plan(peak_bytes: u64) -> MemoryPlan {
        MemoryPlan { peak_bytes, capacity: 64, code: vec![4, 4], ..MemoryPlan::default() }
    }

    fn banks() -> Banks {
        Banks::of(&sim_core::arch::cs2::cs2())
    }

    #[test]
    fn a_good_plan_passes() {
        check(banks(), &plan(36), &launches(), &addresses([0, 0], 16));
    }

    #[test]
    #[should_panic(expected = "`b` and `a` meet in launch 1")]
    fn buffers_that_meet_are_found() {
        check(banks(), &plan(28), &launches(), &addresses([0, 0], 0));
    }

    #[test]
    #[should_panic(expected = "`a` is read in launch 1 where it was not written")]
    fn a_buffer_that_moves_is_found() {
        check(banks(), &plan(36), &launches(), &addresses([0, 16], 0));
    }

    #[test]
    #[should_panic(expected = "the high-water mark is that of the fullest launch")]
    fn a_wrong_sum_is_found() {
        check(banks(), &plan(35), &launches(), &addresses([0, 0], 16));
    }
}
