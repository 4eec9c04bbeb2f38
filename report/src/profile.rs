//! Where the cycles of a program's PEs went, by task and instruction.
//!
//! **Invariant.** Every cycle of every PE is in exactly one row, so rows add up to cycles × PEs; issue and
//! set-up together are the compute cycles of rule P1, and the other columns its other counters.
//! **Not here.** What a cycle is charged to (`fabric::reference::charge`).

use crate::listing::Listing;
use crate::table::{Cell, Table};
use fabric::reference::charge::{Charge, Spent};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Cycles of one instruction, or of what is none, summed over PEs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProfileRow {
    /// The image; none for PEs without one.
    pub image: Option<String>,
    /// The task; none for cycles in which there was nothing to do.
    pub task: Option<String>,
    /// The instruction in the canonical text; none for the dispatch of the task.
    pub instruction: Option<String>,
    /// The line that it was read from.
    pub line: Option<String>,
    /// All cycles: the sum of the five others.
    pub cycles: u64,
    /// It used the issue slot.
    pub issue: u64,
    /// It was set up, dispatched, or on its way to where it branches, and nothing else was issued.
    pub set_up: u64,
    /// It waited for a wavelet, an element or a microthread, and nothing was issued.
    pub wait: u64,
    /// It waited for room, and nothing was issued.
    pub back_pressure: u64,
    /// There was nothing to do.
    pub idle: u64,
}

/// Cycles by what became of them, in the order of [`Spent`].
type Sums = [u64; 5];

/// Adds up cycles while a program is executed.
#[derive(Debug)]
pub struct Profiler {
    /// By image and task: the dispatch, then each instruction.
    sums: Vec<Vec<Vec<Sums>>>,
    /// By image: cycles with nothing to do.
    idle: Vec<u64>,
}

impl Profiler {
    /// Nothing yet.
    #[must_use]
    pub fn new(listing: &Listing) -> Profiler {
        let tasks = |image: &crate::listing::ListedImage| {
            image.tasks.iter().map(|task| vec![Sums::default(); 1 + task.instructions.len()]).collect()
        };
        Profiler { sums: listing.images.iter().map(tasks).collect(), idle: vec![0; listing.images.len()] }
    }

    /// A cycle of a PE with an image.
    pub fn add(&mut self, image: usize, charge: Charge) {
        match charge.at {
            Some((task, instruction)) => {
                self.sums[image][task][instruction.map_or(0, |i| i + 1)][charge.spent as usize] += 1;
            }
            None => self.idle[image] += 1,
        }
    }

    /// The rows, those with most cycles first and those without anything to do last; `pe_cycles` are all
    /// that there were, of which those of PEs without an image were not added.
    #[must_use]
    pub fn rows(&self, listing: &Listing, pe_cycles: u64) -> Vec<ProfileRow> {
        let mut rows = Vec::new();
        for (image, tasks) in listing.images.iter().zip(&self.sums) {
            for (task, sums) in image.tasks.iter().zip(tasks) {
                let none = (None, task.line.clone());
                let each = task.instructions.iter().map(|i| (Some(i.text.clone()), i.line.clone()));
                rows.extend(std::iter::once(none).chain(each).zip(sums).map(|((instruction, line), sums)| {
                    let place = (Some(image.name.clone()), Some(task.name.clone()), instruction, line);
                    ProfileRow::of(place, *sums)
                }));
            }
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.cycles));
        let busy: u64 = rows.iter().map(|row| row.cycles).sum();
        let elsewhere = pe_cycles.saturating_sub(busy + self.idle.iter().sum::<u64>());
        let names = listing.images.iter().map(|image| Some(image.name.clone())).chain([None]);
        let idle = names.zip(self.idle.iter().copied().chain([elsewhere]));
        rows.extend(idle.map(|(image, idle)| ProfileRow::of((image, None, None, None), [0, 0, 0, 0, idle])));
        rows.retain(|row| row.cycles > 0);
        rows
    }
}

/// Image, task, instruction and line.
type Place = (Option<String>, Option<String>, Option<String>, Option<String>);

impl ProfileRow {
    fn of((image, task, instruction, line): Place, sums: Sums) -> ProfileRow {
        let of = |spent: Spent| sums[spent as usize];
        ProfileRow {
            image,
            task,
            instruction,
            line,
            cycles: sums.iter().sum(),
            issue: of(Spent::Issue),
            set_up: of(Spent::SetUp),
            wait: of(Spent::Wait),
            back_pressure: of(Spent::BackPressure),
            idle: of(Spent::Idle),
        }
    }

    /// The sum of rows, with the words of this one.
    fn sum(&self, rows: &[&ProfileRow]) -> ProfileRow {
        let sum = |of: fn(&ProfileRow) -> u64| rows.iter().map(|row| of(row)).sum();
        ProfileRow {
            cycles: sum(|r| r.cycles),
            issue: sum(|r| r.issue),
            set_up: sum(|r| r.set_up),
            wait: sum(|r| r.wait),
            back_pressure: sum(|r| r.back_pressure),
            idle: sum(|r| r.idle),
            ..self.clone()
        }
    }

    /// The cells of its row; `what` stands for the instruction.
    fn cells(&self, what: &str) -> Vec<Cell> {
        let counts = [self.cycles, self.issue, self.set_up, self.wait, self.back_pressure, self.idle];
        let words = [&self.image, &self.task, &self.line].map(|word| Cell::from(word.clone().unwrap_or_default()));
        counts.map(Cell::Count).into_iter().chain(words).chain([Cell::from(what)]).collect()
    }

    /// What stands for the instruction where there is none.
    fn what(&self) -> &str {
        match (&self.instruction, &self.task, &self.image) {
            (Some(text), ..) => text,
            (None, Some(_), _) => "(dispatch)",
            (None, None, Some(_)) => "(nothing to do)",
            (None, None, None) => "(no program)",
        }
    }
}

/// Rows that people are shown.
const SHOWN: usize = 40;

/// All rows as a table, which a sum ends.
#[must_use]
pub fn table(rows: &[ProfileRow]) -> Table {
    let mut table = Table::new(&[
        "cycles",
        "issue",
        "set_up",
        "wait",
        "back_pressure",
        "idle",
        "image",
        "task",
        "line",
        "instruction",
    ]);
    rows.iter().for_each(|r| table.row(r.cells(r.what())));
    table.row(total(rows).cells("(all)"));
    table
}

/// The rows with most cycles as a table: those of one line and one text are one row, whatever their
/// images, and those behind the first few are one row together.
#[must_use]
pub fn summary(rows: &[ProfileRow]) -> Table {
    let merged = merged(rows);
    let mut table = table(&merged[..merged.len().min(SHOWN)]);
    if let Some(rest) = merged.get(SHOWN..).filter(|rest| !rest.is_empty()) {
        let what = format!("({} more rows; --format csv or json has all)", rest.len());
        table.replace_last(total(rest).cells(&what));
        table.row(total(rows).cells("(all)"));
    }
    table
}

/// The cycles of each task of each image, those with most first; nothing else is listed.
#[must_use]
pub fn tasks(rows: &[ProfileRow]) -> Table {
    let mut sums: BTreeMap<(&str, &str), ProfileRow> = BTreeMap::new();
    for r in rows {
        let (Some(image), Some(task)) = (&r.image, &r.task) else { continue };
        let sum = sums.entry((image, task)).or_insert_with(|| r.sum(&[]));
        *sum = sum.sum(&[sum, r]);
    }
    let mut sums: Vec<ProfileRow> = sums.into_values().collect();
    sums.sort_by_key(|row| std::cmp::Reverse(row.cycles));
    let names = ["cycles", "issue", "set_up", "wait", "back_pressure", "idle", "image", "task"];
    let mut table = Table::new(&names);
    for sum in &sums[..sums.len().min(SHOWN)] {
        let mut cells = sum.cells("");
        cells.truncate(names.len());
        table.row(cells);
    }
    table
}

/// What rows have to agree in to be shown as one.
type Key<'a> = (Option<&'a str>, bool, Option<&'a str>, Option<&'a str>, Option<&'a str>);

fn merged(rows: &[ProfileRow]) -> Vec<ProfileRow> {
    let mut known: BTreeMap<Key<'_>, (ProfileRow, BTreeSet<&str>)> = BTreeMap::new();
    for r in rows {
        let image = r.image.as_deref();
        let apart = image.filter(|_| r.line.is_none() && r.task.is_some());
        let key = (apart, image.is_some(), r.task.as_deref(), r.line.as_deref(), r.instruction.as_deref());
        let nothing = || (r.sum(&[]), BTreeSet::new());
        let (sum, images) = known.entry(key).or_insert_with(nothing);
        *sum = r.sum(&[sum, r]);
        images.extend(image);
    }
    let mut all: Vec<ProfileRow> = known
        .into_values()
        .map(|(sum, images)| match images.len() {
            0 | 1 => sum,
            n => ProfileRow { image: Some(format!("{n} images")), ..sum },
        })
        .collect();
    all.sort_by_key(|row| (row.task.is_none(), std::cmp::Reverse(row.cycles)));
    all
}

/// The sum of rows, without words.
fn total(rows: &[ProfileRow]) -> ProfileRow {
    let nothing = ProfileRow::of((None, None, None, None), [0; 5]);
    nothing.sum(&rows.iter().collect::<Vec<_>>())
}
