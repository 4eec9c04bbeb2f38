//! The counters of a whole block, from those of the lines that were executed (rule F4).
//!
//! Every line of the block stands for an executed one, some cycles later: if rows 0 to 9 were executed and
//! row 9 stands for the rows 9 to 99 with a shift of one cycle each, row 50 did what row 9 did, 41 cycles
//! later. A PE is that of its row's and its column's executed lines, delayed by both.
//!
//! **Invariant.** Sums over the block and the counters of its PEs come from the same rule
//! ([`wait`], [`Assembly::delay`]).
//! **Not here.** Whether this is allowed (`execute`).

use super::gap::Gap;
use crate::fast::{Class, Detail};
use sim_core::axis::Axis;
use sim_core::coord::Grid;
use sim_core::report::{CellCounters, ColorCounters, PeCounters, PeCycles};
use std::collections::BTreeMap;

/// A gap whose checks hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) gap: Gap,
    /// First line behind it in the mesh that was executed.
    pub(crate) cut: u32,
    /// Shift from group to group.
    pub(crate) delta: u64,
}

/// A row or column of the block, by the executed one that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    /// The executed line that it stands for.
    of: u32,
    /// The watch that says since when it is delayed.
    watch: Option<u32>,
    /// By how many cycles it is delayed.
    by: u64,
}

/// Lines that stand for the same one, and from the same watch on.
#[derive(Debug, Clone, Copy, Default)]
struct Alike {
    count: u64,
    /// Sum of their delays, in cycles.
    sum: u64,
    /// Greatest of their delays, in cycles.
    most: u64,
}

impl Alike {
    fn add(&mut self, line: &Line) {
        self.count += 1;
        self.sum += line.by;
        self.most = self.most.max(line.by);
    }
}

/// A block that was executed.
#[derive(Debug)]
pub(crate) struct Assembly {
    grid: Grid,
    pub(crate) detail: Detail,
    rows: Vec<Line>,
    columns: Vec<Line>,
    placed: Vec<Placed>,
    /// Lines that repeat and were all executed, and why.
    pub(crate) whole: Vec<String>,
}

/// What a block's PEs counted together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    /// Length of the block's run.
    pub(crate) cycles: u64,
    /// Cycles of all PEs by class, without idle ones.
    pub(crate) busy: PeCycles,
    pub(crate) macs: u64,
    pub(crate) hops: u64,
}

impl Assembly {
    /// From the mesh that was executed, of size `small`.
    pub(crate) fn new(small: Grid, placed: Vec<Placed>, detail: Detail) -> Assembly {
        let rows = lines(&placed, Axis::Rows, small.height);
        let columns = lines(&placed, Axis::Columns, small.width);
        let left_out = |axis| placed.iter().filter(|p| p.gap.s.axis == axis).map(|p| p.gap.left_out()).sum::<u32>();
        assert_eq!(rows.len() as u32, small.height + left_out(Axis::Rows), "every row stands for an executed one");
        assert_eq!(columns.len() as u32, small.width + left_out(Axis::Columns), "every column stands for one");
        Assembly { grid: small, detail, rows, columns, placed, whole: Vec::new() }
    }

    /// Sums over all PEs of the block.
    pub(crate) fn sums(&self) -> Sums {
        let mut all = Sums::default();
        let (rows, columns) = (alike(&self.rows), alike(&self.columns));
        for (&(y, row_watch), row) in &rows {
            for (&(x, column_watch), column) in &columns {
                let at = (y * self.grid.width + x) as usize;
                let pe = self.detail.pes[at];
                let end = self.detail.ends[at];
                let delays = [(row_watch, row), (column_watch, column)]
                    .map(|(watch, line)| watch.map_or(0, |watch| self.delay(watch, end, line.most)));
                all.cycles = all.cycles.max(end + delays[0] + delays[1]);
                all.busy += self.busy(at, (row_watch, row), (column_watch, column));
                all.macs += pe.macs * row.count * column.count;
                all.hops += pe.hops() * row.count * column.count;
            }
        }
        all
    }

    /// Cycles of the PEs that stand for an executed one in some rows and columns, without idle
    /// ones.
    fn busy(&self, at: usize, row: (Option<u32>, &Alike), column: (Option<u32>, &Alike)) -> PeCycles {
        let cycles = PeCycles { idle: 0, ..self.detail.pes[at].cycles };
        let mut busy = cycles.times(row.1.count * column.1.count);
        for ((watch, line), across) in [(row, column.1.count), (column, row.1.count)] {
            let Some(watch) = watch else { continue };
            wait(&mut busy, self.class(watch, at), line.sum * across);
        }
        busy
    }

    /// Adds the PEs of all blocks like this one, by their first columns and rows, to cells.
    pub(crate) fn count(&self, columns: &[u32], rows: &[u32], all: &mut CellCounters) {
        let none = ColorCounters::default();
        let colors = self.detail.colors.as_ref().unwrap_or(&none);
        let columns = by_cell(&self.columns, columns, all.cell.width);
        for (&(cell_row, y, row_watch), row) in &by_cell(&self.rows, rows, all.cell.height) {
            for (&(cell_column, x, column_watch), column) in &columns {
                let at = (y * self.grid.width + x) as usize;
                let cycles = self.busy(at, (row_watch, row), (column_watch, column));
                let pe = PeCounters { cycles, ..self.detail.pes[at] };
                all.add(cell_row * all.cells.width + cell_column, &pe, colors.pe(at), row.count * column.count);
            }
        }
    }

    /// Size of the whole block, in PEs.
    pub(crate) fn size(&self) -> Grid {
        Grid { width: self.columns.len() as u32, height: self.rows.len() as u32 }
    }

    /// The executed PE that a PE of the block stands for, by its index.
    pub(crate) fn executed(&self, x: u32, y: u32) -> u32 {
        self.rows[y as usize].of * self.grid.width + self.columns[x as usize].of
    }

    /// The counters of a PE of the block, without idle cycles.
    pub(crate) fn pe(&self, x: u32, y: u32) -> PeCounters {
        let (column, row) = (self.columns[x as usize], self.rows[y as usize]);
        let at = self.executed(x, y) as usize;
        let mut pe = self.detail.pes[at];
        let end = pe.finish;
        for line in [row, column] {
            let Some(watch) = line.watch else { continue };
            wait(&mut pe.cycles, self.class(watch, at), line.by);
            pe.finish += self.delay(watch, end, line.by);
        }
        PeCounters { cycles: PeCycles { idle: 0, ..pe.cycles }, ..pe }
    }

    /// What a PE did at the first event on a boundary.
    fn class(&self, watch: u32, at: usize) -> Class {
        self.detail.watches[watch as usize].classes.get(at).copied().unwrap_or(Class::Idle)
    }

    /// By how much an instant of the executed mesh is later here: by nothing if it lies before the
    /// first event on a boundary.
    fn delay(&self, watch: u32, at: u64, by: u64) -> u64 {
        let w = &self.detail.watches[watch as usize];
        if at > w.skipped + w.first.unwrap_or(0) { by } else { 0 }
    }

    /// What was left out and why that is allowed, for reports.
    pub(crate) fn notes(&self) -> Vec<(&'static str, String)> {
        let note = |p: &Placed, boundary: &crate::fast::Watch| {
            let s = p.gap.s;
            let quiet = if p.delta > 0 { ", and they were quiescent before" } else { "" };
            let text = format!(
                "{} of {} {name} executed: {name} {}.. repeat with period {}, their boundary traces ({} events) are equal after a shift of {} cycles{quiet}",
                s.length - p.gap.left_out(),
                s.length,
                s.start,
                s.period,
                boundary.trace.2,
                p.delta,
                name = s.axis.name(),
            );
            (s.axis.name(), text)
        };
        self.placed.iter().zip(self.detail.watches.chunks(2)).map(|(p, pair)| note(p, &pair[0])).collect()
    }
}

/// The lines of the block along an axis, of which `length` were executed.
fn lines(placed: &[Placed], axis: Axis, length: u32) -> Vec<Line> {
    let mut all = Vec::new();
    let (mut from, mut watch, mut by) = (0, None, 0);
    for (i, p) in placed.iter().enumerate().filter(|(_, p)| p.gap.s.axis == axis) {
        all.extend((from..p.cut).map(|of| Line { of, watch, by }));
        let first = (p.delta > 0).then_some(2 * i as u32);
        for _ in 0..p.gap.copies() {
            by += p.delta;
            let copy = |of| Line { of, watch: first.or(watch), by };
            all.extend((p.cut - p.gap.s.period..p.cut).map(copy));
        }
        from = p.cut;
        watch = (p.delta > 0).then_some(2 * i as u32 + 1).or(watch);
    }
    all.extend((from..length).map(|of| Line { of, watch, by }));
    all
}

/// Lines by what they stand for and by their watch.
fn alike(lines: &[Line]) -> BTreeMap<(u32, Option<u32>), Alike> {
    let mut kinds: BTreeMap<_, Alike> = BTreeMap::new();
    for line in lines {
        kinds.entry((line.of, line.watch)).or_default().add(line);
    }
    kinds
}

/// Lines of blocks that begin at these places of the mesh: by the cell that they are in, of so many
/// lines, and then as above.
fn by_cell(lines: &[Line], starts: &[u32], cell: u32) -> BTreeMap<(u32, u32, Option<u32>), Alike> {
    let mut kinds: BTreeMap<_, Alike> = BTreeMap::new();
    for start in starts {
        for (at, line) in (*start..).zip(lines) {
            kinds.entry((at / cell, line.of, line.watch)).or_default().add(line);
        }
    }
    kinds
}

/// Adds cycles in which a PE goes on with what it did.
fn wait(cycles: &mut PeCycles, class: Class, by: u64) {
    match class {
        Class::Wait => cycles.wait += by,
        Class::BackPressure => cycles.back_pressure += by,
        Class::Compute | Class::Idle => {}
    }
}
