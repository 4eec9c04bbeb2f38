//! Checks of switches, filters and control wavelets.

use super::span::Cover;
use super::{Diagnostics, check_color, check_disjoint, check_region};
use crate::arch::ArchSpec;
use crate::coord::{Color, Dir, Grid, PeCoord, Region};
use crate::diag::Part;
use crate::program::switch::{COMMANDS, ENTRIES, POSITIONS};
use crate::program::{Control, Filter, Instr, Program, Switch};
use std::fmt::Display;

/// Checks all switches and filters against the grid and the routes.
pub(super) fn check(program: &Program, grid: Grid, arch: &ArchSpec, diagnostics: &mut Diagnostics) {
    for (i, s) in program.switches.iter().enumerate() {
        diagnostics.part = Some(Part::Switch(i));
        let at = format!("switch {} {}", s.color, s.region);
        check_color(s.color, arch, &at, diagnostics);
        check_positions(s, &at, diagnostics);
        if check_region(s.region, grid, &at, diagnostics) {
            check_routed(program, s.color, s.region, "R028", &at, diagnostics);
        }
    }
    for (i, x) in program.filters.iter().enumerate() {
        diagnostics.part = Some(Part::Filter(i));
        let at = format!("filter {} {}", x.color, x.region);
        check_color(x.color, arch, &at, diagnostics);
        check_filter(x, &at, diagnostics);
        if check_region(x.region, grid, &at, diagnostics) {
            check_routed(program, x.color, x.region, "R029", &at, diagnostics);
        }
    }
    diagnostics.part = None;
    check_set(program, diagnostics);
    let switches: Vec<_> = program.switches.iter().map(|s| (s.color, s.region)).collect();
    let filters: Vec<_> = program.filters.iter().map(|x| (x.color, x.region)).collect();
    check_single("R028", "switches", &switches, diagnostics);
    check_single("R029", "filters", &filters, diagnostics);
}

/// Colors for which the number of wavelets at a PE is not that of the route alone.
pub(super) fn uncounted(program: &Program) -> Vec<Color> {
    let mut colors: Vec<Color> = program.switches.iter().map(|s| s.color).collect();
    colors.extend(program.filters.iter().map(|x| x.color));
    for task in program.images.iter().flat_map(|i| &i.tasks) {
        super::super::code::walk(&task.body, |instr| match instr {
            Instr::Filter { color, .. } | Instr::Turn { color, .. } => colors.push(*color),
            other => colors.extend(other.control().map(|(color, _)| color)),
        });
    }
    colors
}

/// What a PE sets in its router at run time has to be there (rule S7).
fn check_set(program: &Program, diagnostics: &mut Diagnostics) {
    let regions = |color: Color, what: &str| -> Vec<Region> {
        match what {
            "switch" => program.switches.iter().filter(|s| s.color == color).map(|s| s.region).collect(),
            _ => program.routes.iter().filter(|r| r.color == color).map(|r| r.region).collect(),
        }
    };
    for (i, placement) in program.placements.iter().enumerate() {
        diagnostics.part = Some(Part::Placement(i));
        let Some(image) = program.images.get(placement.image as usize) else { continue };
        let mut set = Vec::new();
        for task in &image.tasks {
            super::super::code::walk(&task.body, |instr| match instr {
                Instr::Filter { color, .. } => set.push((*color, "route", "R029", "filter")),
                Instr::Turn { color, .. } => set.push((*color, "switch", "R028", "switch")),
                _ => {}
            });
        }
        set.sort_unstable();
        set.dedup();
        for (color, needs, code, what) in set {
            // Where others of the image's PEs have it, those without do nothing.
            let some = |r: &Region| super::span::meet_region(*r, placement.region).is_some();
            if needs == "switch" && regions(color, needs).iter().any(some) {
                continue;
            }
            if let Some(pe) = Cover::new(regions(color, needs)).hole(placement.region, |_| true) {
                let message =
                    format!("image `{}` sets the {what} of {color}, but PE {pe} has no {needs} of it", image.name);
                diagnostics.push(code, format!("place {}", placement.region), message, "");
            }
        }
    }
}

/// Checks the content of a control wavelet.
pub(super) fn check_control(control: &Control, at: &dyn Display, diagnostics: &mut Diagnostics) {
    if control.commands.len() > COMMANDS {
        let message = format!("{} commands; a control wavelet has {COMMANDS}", control.commands.len());
        diagnostics.push("R031", at, message, "");
    }
    if let Some(id) = control.task {
        check_entry(id, at, diagnostics);
    }
}

/// Checks the number of a control task.
pub(super) fn check_entry(id: u8, at: &dyn Display, diagnostics: &mut Diagnostics) {
    if id >= ENTRIES {
        diagnostics.push("R031", at, format!("control task {id}; the last one is {}", ENTRIES - 1), "");
    }
}

fn check_positions(s: &Switch, at: &str, diagnostics: &mut Diagnostics) {
    let count = s.positions.len();
    if count == 0 || count >= POSITIONS {
        let message = format!("{count} positions beside the route's own; 1 to {} are possible", POSITIONS - 1);
        diagnostics.push("R028", at, message, "");
    }
    for (i, p) in s.positions.iter().enumerate() {
        if p.tx.is_some_and(crate::coord::DirSet::is_empty) {
            diagnostics.push("R028", at, format!("position {} has no port to leave by", i + 1), "");
        }
        if let (Some(rx), Some(tx)) = (p.rx, p.tx)
            && rx != Dir::Ramp
            && tx.contains(rx)
        {
            let message = format!("position {} leads back to {}, where it comes from", i + 1, rx.name());
            diagnostics.push("R028", at, message, "");
        }
    }
}

fn check_filter(x: &Filter, at: &str, diagnostics: &mut Diagnostics) {
    if x.period == 0 || x.pass > x.period {
        let message = format!("{} wavelets of every {} pass", x.pass, x.period);
        diagnostics.push("R029", at, message, "the circle is at least 1, and no more pass than it has");
    }
}

/// Every router of the region has a route of the color.
fn check_routed(
    program: &Program,
    color: Color,
    region: Region,
    code: &'static str,
    at: &str,
    diagnostics: &mut Diagnostics,
) {
    let routes = program.routes.iter().filter(|r| r.color == color).map(|r| r.region);
    if let Some(pe) = Cover::new(routes.collect()).hole(region, |_| true) {
        diagnostics.push(code, at, format!("the router {pe} has no route for {color}"), "");
    }
}

/// A router has at most one of them for a color.
fn check_single(code: &'static str, what: &str, list: &[(Color, Region)], diagnostics: &mut Diagnostics) {
    for index in 0..Color::MAX {
        let regions: Vec<Region> =
            list.iter().filter(|(c, _)| c.index() == usize::from(index)).map(|&(_, r)| r).collect();
        let report = |pe: PeCoord, _: usize, _: usize, diagnostics: &mut Diagnostics| {
            diagnostics.push(code, format!("router {pe}"), format!("two {what} of c{index}"), "");
        };
        check_disjoint(&Cover::new(regions.clone()), regions.into_iter(), code, report, diagnostics);
    }
}
