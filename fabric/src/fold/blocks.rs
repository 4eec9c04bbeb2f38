//! Cutting a program into blocks that cannot influence each other (rule F3).
//!
//! Sixteen lanes side by side that receive the same weights, with no route between them, do the same: one
//! of them is executed and counted sixteen times. A cut runs along a column boundary that no route crosses,
//! or, within a strip between two such cuts, along a row boundary. Blocks are compared as programs moved to
//! the origin.
//!
//! **Invariant.** Every PE of the mesh is in one block.
//! **Not here.** Rows and columns within a block (`execute`).

use sim_core::arch::ArchSpec;
use sim_core::axis::Axis;
use sim_core::coord::{Dir, DirSet, Region};
use sim_core::program::transform::{Window, clip, timing_only};
use sim_core::program::{Image, Program};
use std::collections::BTreeMap;

/// Adjacent columns with their blocks, and where else equal columns are.
#[derive(Debug, Clone)]
pub(crate) struct Strip {
    /// First columns of all equal strips.
    pub(crate) at: Vec<u32>,
    /// Its blocks, equal ones once.
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

/// Cuts `program` into strips and blocks; None if timing may depend on a PE's start values in a
/// way that is not the same for equal blocks.
pub(crate) fn strips(program: &Program, arch: &ArchSpec) -> Option<Vec<Strip>> {
    let program = timing_only(program, arch.pe.bank_period())?;
    let grid = program.grid();
    let cuts = cuts(&program, Axis::Columns);
    let images = &program.images;
    let windows =
        cuts.windows(2).map(|pair| Window { x: pair[0], y: 0, width: pair[1] - pair[0], height: grid.height });
    let strips = distinct(windows.map(|window| (window.x, clip(&program, window))));
    Some(strips.into_iter().map(|(at, strip)| Strip { at, blocks: blocks(&strip, images) }).collect())
}

fn blocks(strip: &Program, images: &[Image]) -> Vec<Block> {
    let grid = strip.grid();
    let cuts = cuts(strip, Axis::Rows);
    let windows = cuts.windows(2).map(|pair| Window { x: 0, y: pair[0], width: grid.width, height: pair[1] - pair[0] });
    let blocks = distinct(windows.map(|window| (window.y, clip(strip, window))));
    let block = |(at, part)| Block { at, program: Program { images: images.to_vec(), ..part } };
    blocks.into_iter().map(block).collect()
}

/// Parts of one program, each with its place, by what they are: equal parts once with all of their
/// places, in the order of the first ones. The parts have no images, so comparing them is quick.
fn distinct(parts: impl Iterator<Item = (u32, Program)>) -> Vec<(Vec<u32>, Program)> {
    let mut numbers: BTreeMap<Program, usize> = BTreeMap::new();
    let mut places: Vec<Vec<u32>> = Vec::new();
    for (at, part) in parts {
        let number = *numbers.entry(part).or_insert(places.len());
        if number == places.len() {
            places.push(Vec::new());
        }
        places[number].push(at);
    }
    let mut parts: Vec<(usize, Program)> = numbers.into_iter().map(|(part, number)| (number, part)).collect();
    parts.sort_unstable_by_key(|part| part.0);
    places.into_iter().zip(parts).map(|(at, (_, part))| (at, part)).collect()
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
