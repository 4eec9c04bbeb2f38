//! Cutting a program into blocks that cannot influence each other (rule F3).
//!
//! A cut runs along a column boundary that no route crosses, or, within a strip between two such
//! cuts, along a row boundary. Blocks are compared as programs moved to the origin.

use super::lines::{self, Axis};
use super::registers::{Deciding, bit};
use sim_core::coord::{Dir, DirSet, Grid, Region};
use sim_core::program::{EdgeStream, Param, Placement, Program, Route, Switch};
use std::collections::BTreeMap;

/// Adjacent columns with their blocks, and where else equal columns are.
#[derive(Debug, Clone)]
pub(crate) struct Strip {
    /// First columns of all equal strips.
    pub(crate) at: Vec<u32>,
    /// Its different blocks.
    pub(crate) blocks: Vec<Block>,
}

/// A rectangle of PEs that nothing crosses the border of.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// First rows of all equal blocks of the strip.
    pub(crate) at: Vec<u32>,
    /// Its program, moved to the origin, with nothing that timing cannot depend on.
    pub(crate) program: Program,
}

/// A rectangle of the mesh.
#[derive(Debug, Clone, Copy)]
struct Window {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

/// Cuts `program` into strips and blocks; None if timing may depend on a PE's start values in a
/// way that is not the same for equal blocks.
pub(crate) fn strips(program: &Program) -> Option<Vec<Strip>> {
    let program = timing_only(program)?;
    let grid = program.grid();
    let cuts = cuts(&program, Axis::Columns);
    let mut kinds: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut strips: Vec<(Vec<u32>, Program)> = Vec::new();
    for pair in cuts.windows(2) {
        let window = Window { x: pair[0], y: 0, width: pair[1] - pair[0], height: grid.height };
        let part = clip(&program, window);
        let key = key(&part);
        if let Some(&i) = kinds.get(&key) {
            strips[i].0.push(pair[0]);
        } else {
            kinds.insert(key, strips.len());
            strips.push((vec![pair[0]], with_images(part, &program)));
        }
    }
    Some(strips.into_iter().map(|(at, part)| Strip { at, blocks: blocks(&part) }).collect())
}

fn blocks(strip: &Program) -> Vec<Block> {
    let grid = strip.grid();
    let cuts = cuts(strip, Axis::Rows);
    let mut kinds: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut blocks: Vec<Block> = Vec::new();
    for pair in cuts.windows(2) {
        let window = Window { x: 0, y: pair[0], width: grid.width, height: pair[1] - pair[0] };
        let program = clip(strip, window);
        let key = key(&program);
        if let Some(&i) = kinds.get(&key) {
            blocks[i].at.push(pair[0]);
        } else {
            kinds.insert(key, blocks.len());
            blocks.push(Block { at: vec![pair[0]], program: with_images(program, strip) });
        }
    }
    blocks
}

/// Contents as comparable bytes, without names.
fn key(program: &Program) -> Vec<u8> {
    use std::fmt::Write;
    let mut text = String::new();
    let p = program;
    write!(text, "{:?}{:?}{:?}{:?}{:?}{:?}", p.grid, p.placements, p.routes, p.switches, p.filters, p.edges)
        .expect("writing to a string");
    text.into_bytes()
}

/// The program without what timing cannot depend on: start values of registers that decide no
/// bank conflict, names, initial memory. None if a register that can decide one starts with
/// values that differ between PEs, in all or modulo 8, as it decides.
pub(super) fn timing_only(program: &Program) -> Option<Program> {
    let mut p = program.clone();
    p.name.clear();
    for e in &mut p.edges {
        e.name.clear();
    }
    for placement in &mut p.placements {
        let deciding = Deciding::of(p.images.get(placement.image as usize)?);
        placement.params.retain(|q| deciding.any() & bit(q.reg) != 0);
        for q in &mut placement.params {
            let whole = deciding.whole & bit(q.reg) != 0;
            let (dx, dy) = if whole { (q.dx, q.dy) } else { (q.dx.rem_euclid(8), q.dy.rem_euclid(8)) };
            if (dx, dy) != (0, 0) {
                return None;
            }
            *q = Param::constant(q.reg, if whole { q.base } else { q.base.rem_euclid(8) });
        }
    }
    Some(p)
}

/// Positions `0 = c0 < c1 < … = length` such that no route crosses from one part to another, in no
/// position of a switch.
fn cuts(program: &Program, axis: Axis) -> Vec<u32> {
    let length = axis.length(program.grid());
    let mut crossed = vec![false; length as usize + 1];
    let (up, down) = axis.directions();
    let mut mark = |region: Region, rx: Option<Dir>, tx: Option<DirSet>| {
        for (dir, shift) in [(up, 1), (down, 0)] {
            if tx.is_some_and(|tx| tx.contains(dir)) || rx == Some(dir) {
                axis.span(region).iter().for_each(|at| crossed[(at + shift) as usize] = true);
            }
        }
    };
    for r in &program.routes {
        mark(r.region, Some(r.rx), Some(r.tx));
    }
    for s in &program.switches {
        s.positions.iter().for_each(|p| mark(s.region, p.rx, p.tx));
    }
    (0..=length).filter(|&c| c == 0 || c == length || !crossed[c as usize]).collect()
}

fn clip_region(region: Region, w: Window) -> Option<Region> {
    Some(Region { x: region.x.clip(w.x, w.width)?, y: region.y.clip(w.y, w.height)? })
}

/// A part of a program with the program's images.
fn with_images(part: Program, whole: &Program) -> Program {
    Program { images: whole.images.clone(), ..part }
}

/// The part of a program inside a window, moved to the origin. Images keep their numbers, and are
/// left out: there may be as many windows as PEs.
fn clip(p: &Program, w: Window) -> Program {
    let grid = p.grid();
    let placements = p.placements.iter().filter_map(|q| {
        Some(Placement { region: clip_region(q.region, w)?, image: q.image, params: q.params.clone() })
    });
    let routes = p.routes.iter().filter_map(|r| Some(Route { region: clip_region(r.region, w)?, ..*r }));
    let switches = p.switches.iter().filter_map(|s| Some(Switch { region: clip_region(s.region, w)?, ..s.clone() }));
    let filters = p.filters.iter().filter_map(|f| lines::part_of_filter(f, clip_region(f.region, w)?, (w.x, w.y)));
    let edges = p.edges.iter().filter_map(|e| {
        let ports = match e.side {
            Dir::North if w.y == 0 => e.ports.clip(w.x, w.width)?,
            Dir::South if w.y + w.height == grid.height => e.ports.clip(w.x, w.width)?,
            Dir::West if w.x == 0 => e.ports.clip(w.y, w.height)?,
            Dir::East if w.x + w.width == grid.width => e.ports.clip(w.y, w.height)?,
            _ => return None,
        };
        Some(EdgeStream { ports, ..e.clone() })
    });
    Program {
        name: String::new(),
        grid: Some(Grid { width: w.width, height: w.height }),
        placements: placements.collect(),
        routes: routes.collect(),
        switches: switches.collect(),
        filters: filters.collect(),
        edges: edges.collect(),
        images: Vec::new(),
    }
}
