//! The verifier: whether a program is well formed for a machine, derived from the program alone.
//!
//! | code | what must hold |
//! |---|---|
//! | R001 | the program has a grid, and the machine has room for it |
//! | R002 | every region is on the grid |
//! | R003 | a PE has at most one image |
//! | R004 | a router has at most one route of a color |
//! | R005 | a placement names an image of the program |
//! | R006 | a route leads somewhere, and not back to where it came from |
//! | R007 | what a route sends over a link is taken at the other end |
//! | R008 | what a route takes from a link is sent at the other end |
//! | R009 | a route down the ramp ends in an input queue |
//! | R010 | a route from the ramp starts at an output queue |
//! | R011 | the machine has the color |
//! | R012 | queues exist, and each queue and color is bound once |
//! | R013 | a fabric operand or data task has a queue of its color |
//! | R014 | the machine has the microthread |
//! | R015 | tasks that are named exist; only local tasks are activated |
//! | R016 | registers exist, and a placement sets each once |
//! | R017 | operands are of a number and kind that the operation takes |
//! | R018 | lengths agree: of instructions, of dimensions |
//! | R019 | loops repeat something, and nest at most eight deep |
//! | R020 | buffers, code and stack fit a PE's memory |
//! | R021 | an operand without an address register lies in memory |
//! | R022 | an edge stream is on an edge, with positive numbers |
//! | R023 | an edge stream and the routers at its ports agree |
//! | R024 | the edge streams of a direction are within the machine's bandwidth |
//! | R025 | as many wavelets arrive as are waited for |
//! | R026 | a route does not lead back to itself |
//! | R027 | what is sent has a route, and what is waited for has one too |
//! | R028 | a switch has 1 to 3 positions beside the route's, each of which leads somewhere |
//! | R029 | a filter is on a route, and no more pass than come |
//! | R030 | FIFOs that are named exist, and circular buffers and FIFOs lie in memory |
//! | R031 | a control wavelet has at most 8 commands and a task below 64 |
//! | R032 | an asynchronous instruction has a fabric operand |
//!
//! **Invariant.** A program without a diagnostic can be executed without a panic. Diagnostics are true:
//! where something cannot be derived without running the program, nothing is reported. Hostile
//! numbers neither overflow nor allocate; per code, a few diagnostics are listed and the rest counted.
//! **Not checked.** Addresses that depend on a register; the wavelet counts of tasks that
//! wavelets trigger, that are blocked, or that may run more or less than once; counts where
//! senders on one connected route differ; links, ramps and counts of colors with a switch, and
//! counts of those with a filter or control wavelets; deadlock between colors or by the order of
//! instructions. These show when the program runs.

#[cfg(test)]
mod control_tests;
mod count;
mod image;
mod lint;
mod route;
mod span;
mod switch;
#[cfg(test)]
mod tests;

pub use lint::{WARNINGS, lints};

use super::{Placement, Program, Route};
use crate::arch::ArchSpec;
use crate::coord::{Color, Dir, Grid, MAX_PES, PeCoord, Region, Span};
use crate::diag::{self, Diagnostic, Part};
use span::{Cover, corner};
use std::collections::BTreeMap;
use std::fmt::Display;

/// Most loops inside one another.
pub const MAX_NESTING: usize = 8;
/// Most dimensions of a memory operand.
pub const MAX_DIMS: usize = 4;
/// Most tasks of an image.
pub const MAX_TASKS: usize = 64;
/// Diagnostics of one code that are listed; the rest are counted.
const LISTED: u64 = 20;

/// Codes of this checker with their titles, as in `docs/diagnostics.md`.
pub const RULES: [(&str, &str); 32] = [
    ("R001", "grid"),
    ("R002", "region off the grid"),
    ("R003", "two images on one PE"),
    ("R004", "two routes of a color in one router"),
    ("R005", "no such image"),
    ("R006", "route that leads nowhere"),
    ("R007", "link that nobody receives from"),
    ("R008", "link that nobody sends to"),
    ("R009", "ramp without an input queue"),
    ("R010", "ramp without an output queue"),
    ("R011", "no such color"),
    ("R012", "queue binding"),
    ("R013", "color without a queue"),
    ("R014", "no such microthread"),
    ("R015", "task reference"),
    ("R016", "register"),
    ("R017", "operands do not fit the operation"),
    ("R018", "lengths disagree"),
    ("R019", "loop"),
    ("R020", "memory of a PE is too small"),
    ("R021", "operand outside the memory"),
    ("R022", "malformed edge stream"),
    ("R023", "edge stream without a route"),
    ("R024", "edge bandwidth"),
    ("R025", "sent and received counts differ"),
    ("R026", "route that loops"),
    ("R027", "wavelets without a route"),
    ("R028", "switch"),
    ("R029", "filter"),
    ("R030", "FIFO or circular buffer"),
    ("R031", "control wavelet"),
    ("R032", "asynchronous instruction without a fabric operand"),
];

/// Checks a program against a machine. An empty list means that it is well formed.
#[must_use]
pub fn verify(program: &Program, arch: &ArchSpec) -> Vec<Diagnostic> {
    let mut diagnostics = Diagnostics::default();
    let mut flows = Vec::with_capacity(program.images.len());
    for (i, image) in program.images.iter().enumerate() {
        image::check(i, image, arch, &mut diagnostics);
    }
    let sound = diagnostics.list.is_empty();
    let Some(grid) = check_grid(program, arch, &mut diagnostics) else {
        return diagnostics.finish();
    };
    let on_grid = Placed::check(program, grid, &mut diagnostics);
    switch::check(program, grid, arch, &mut diagnostics);
    let nets = route::check(program, grid, arch, &on_grid, &mut diagnostics);
    if sound && on_grid.disjoint {
        flows.extend(program.images.iter().map(count::Flows::of));
        for net in &nets {
            count::check(program, net, &on_grid, &flows, &mut diagnostics);
        }
    }
    diagnostics.finish()
}

/// Rules without which an engine would index out of a table or divide by zero.
const STRUCTURE: [&str; 15] = [
    "R002", "R003", "R004", "R005", "R014", "R015", "R016", "R017", "R018", "R019", "R022", "R028", "R029", "R030",
    "R031",
];

/// Checks only that a program can be executed without a panic: that what its rules name by number or
/// place exists, and that nothing is divided by zero. It neither follows routes nor counts wavelets, so
/// it costs a small part of [`verify()`]; a program that passes may still deadlock, or may not fit the
/// machine. An empty list means that an engine can execute it.
#[must_use]
pub fn structure(program: &Program, arch: &ArchSpec) -> Vec<Diagnostic> {
    let mut diagnostics = Diagnostics::default();
    for (i, image) in program.images.iter().enumerate() {
        image::check(i, image, arch, &mut diagnostics);
    }
    let Some(grid) = program.grid.filter(|grid| (1..=MAX_PES).contains(&grid.pes())) else {
        // The only rule that is broken then, and it says which sizes are possible.
        check_grid(program, arch, &mut diagnostics);
        return diagnostics.finish();
    };
    Placed::check(program, grid, &mut diagnostics);
    switch::check(program, grid, arch, &mut diagnostics);
    for net in route::nets(program, grid, arch, &mut diagnostics) {
        net.check_overlap(&mut diagnostics);
    }
    let mut found = diagnostics.finish();
    found.retain(|d| STRUCTURE.contains(&d.code.as_str()));
    found
}

fn check_grid(program: &Program, arch: &ArchSpec, diagnostics: &mut Diagnostics) -> Option<Grid> {
    diagnostics.part = Some(Part::Grid);
    let at = program.name.as_str();
    let Some(grid) = program.grid else {
        diagnostics.push("R001", at, "the program has no grid", "add `grid WIDTHxHEIGHT`");
        return None;
    };
    let (w, h) = (arch.wafer.width.value, arch.wafer.height.value);
    if grid.pes() == 0 || grid.pes() > MAX_PES {
        let message = format!("the grid {grid} has {} PEs; 1 to {MAX_PES} are possible", grid.pes());
        diagnostics.push("R001", at, message, "");
        return None;
    }
    if grid.width > w || grid.height > h {
        let message = format!("the grid is {grid}, the machine {} has {w}x{h} PEs", arch.name);
        diagnostics.push("R001", at, message, "use a smaller grid or a larger machine");
    }
    Some(grid)
}

/// Collected diagnostics, bounded per code.
#[derive(Default)]
struct Diagnostics {
    list: Vec<Diagnostic>,
    seen: BTreeMap<&'static str, u64>,
    /// The part of the program that is being checked.
    part: Option<Part>,
}

impl Diagnostics {
    fn push(&mut self, code: &'static str, at: impl Display, message: impl Into<String>, help: &str) {
        let seen = self.seen.entry(code).or_default();
        *seen += 1;
        if *seen <= LISTED {
            let help = if help.is_empty() { diag::remedy(code) } else { help };
            self.list.push(Diagnostic::new(code, at, message).help(help).about(self.part));
        }
    }

    /// Whether further diagnostics of this code would not be listed.
    fn full(&self, code: &str) -> bool {
        self.seen.get(code).is_some_and(|&n| n > LISTED)
    }

    fn finish(mut self) -> Vec<Diagnostic> {
        for (code, seen) in self.seen {
            if seen > LISTED {
                self.list.push(Diagnostic::new(code, "", format!("and at least {} more of these", seen - LISTED)));
            }
        }
        self.list
    }
}

/// Placements on the grid, searchable.
struct Placed<'a> {
    list: Vec<&'a Placement>,
    /// Their places in the program's list.
    numbers: Vec<usize>,
    cover: Cover,
    disjoint: bool,
}

impl<'a> Placed<'a> {
    fn check(program: &'a Program, grid: Grid, diagnostics: &mut Diagnostics) -> Placed<'a> {
        let (mut list, mut numbers) = (Vec::new(), Vec::new());
        for (i, p) in program.placements.iter().enumerate() {
            diagnostics.part = Some(Part::Placement(i));
            let at = format!("place {}", p.region);
            let known = (p.image as usize) < program.images.len();
            if !known {
                let message = format!("image {} does not exist; there are {}", p.image, program.images.len());
                diagnostics.push("R005", &at, message, "");
            }
            image::check_params(p, &at, diagnostics);
            if check_region(p.region, grid, &at, diagnostics) && known {
                list.push(p);
                numbers.push(i);
            }
        }
        let name = |p: &Placement| program.images[p.image as usize].name.clone();
        let cover = Cover::new(list.iter().map(|p| p.region).collect());
        let overlap = |pe: PeCoord, a: usize, b: usize, diagnostics: &mut Diagnostics| {
            diagnostics.part = Some(Part::Placement(numbers[b]));
            let (a, b) = (list[a], list[b]);
            let message =
                format!("both `{}` ({}) and `{}` ({}) are placed on it", name(a), a.region, name(b), b.region);
            diagnostics.push("R003", format!("PE {pe}"), message, "");
        };
        let disjoint = check_disjoint(&cover, list.iter().map(|p| p.region), "R003", overlap, diagnostics);
        Placed { list, numbers, cover, disjoint }
    }

    /// A PE of the region that has no image for which `holds`.
    fn lacking(&self, region: Region, holds: impl Fn(u32) -> bool) -> Option<PeCoord> {
        self.cover.hole(region, |i| holds(self.list[i].image))
    }
}

/// Reports the regions that share a PE. False if there are any.
fn check_disjoint(
    cover: &Cover,
    regions: impl Iterator<Item = Region>,
    code: &'static str,
    report: impl Fn(PeCoord, usize, usize, &mut Diagnostics),
    diagnostics: &mut Diagnostics,
) -> bool {
    let mut disjoint = true;
    for (i, region) in regions.enumerate() {
        if diagnostics.full(code) {
            return false;
        }
        for (j, shared) in cover.meeting(region) {
            if j < i {
                disjoint = false;
                report(corner(shared), j, i, diagnostics);
                break;
            }
        }
    }
    disjoint
}

fn check_region(region: Region, grid: Grid, at: &str, diagnostics: &mut Diagnostics) -> bool {
    let axes = [("columns", region.x, grid.width), ("rows", region.y, grid.height)];
    let faulty = axes.map(|(what, span, size)| span_fault(span, size).map(|m| format!("{what}: {m}")));
    for message in faulty.iter().flatten() {
        diagnostics.push("R002", at, message.as_str(), "");
    }
    faulty.iter().all(Option::is_none)
}

/// What is wrong with positions on an axis of `size`.
fn span_fault(span: Span, size: u32) -> Option<String> {
    if span.count == 0 || span.step == 0 {
        Some(format!("{} positions at a distance of {}; both must be at least 1", span.count, span.step))
    } else if span.last() >= u64::from(size) {
        Some(format!("last position {}, but the grid ends at {}", span.last(), size - 1))
    } else {
        None
    }
}

/// Where a diagnostic about a route is.
fn at_route(route: &Route) -> String {
    let tx: Vec<&str> = route.tx.iter().map(Dir::name).collect();
    format!("route {} {} {} -> {}", route.color, route.region, route.rx.name(), tx.join(" "))
}

fn has_color(color: Color, arch: &ArchSpec) -> bool {
    color.index() < arch.router.colors.value as usize
}

fn check_color(color: Color, arch: &ArchSpec, at: &dyn Display, diagnostics: &mut Diagnostics) {
    if !has_color(color, arch) {
        let message = format!("{color} does not exist; the machine has {} colors", arch.router.colors.value);
        diagnostics.push("R011", at, message, "");
    }
}
