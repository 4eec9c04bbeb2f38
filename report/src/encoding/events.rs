//! What happens in a run, event by event, as comma-separated values or as a table.
//!
//! A line is a task that is selected (`thread` is `main`, without an instruction), an issue slot that an
//! instruction of a thread uses, or a wavelet that leaves a router (`thread` is `router`).
//!
//! **Invariant.** Lines are in the order of cycles; there are never more than was asked for, and those that
//! are missing are counted.
//! **Not here.** Which PEs and cycles are of interest (the command line).

use crate::listing::Listing;
use crate::table::{Beginning, Cell, Table};
use fabric::reference::charge::{Charge, Spent};
use sim_core::coord::{Color, PeCoord};
use sim_core::error::MAIN_THREAD;

/// What there is of an event, in order.
const NAMES: [&str; 7] = ["cycle", "x", "y", "thread", "task", "instruction", "color"];

/// What events are written to.
pub trait EventSink {
    /// An event, as the names of its parts say.
    fn event(&mut self, cells: [&str; 7]);
}

impl EventSink for csv::Writer<Vec<u8>> {
    fn event(&mut self, cells: [&str; 7]) {
        self.write_record(cells).expect("a record in memory is written");
    }
}

impl EventSink for Table {
    fn event(&mut self, cells: [&str; 7]) {
        let cell = |(at, cell): (usize, &str)| match cell.parse() {
            Ok(number) if at < 3 => Cell::Whole(number),
            _ => Cell::from(cell),
        };
        self.row(cells.into_iter().enumerate().map(cell).collect());
    }
}

/// A log that is being written.
#[derive(Debug)]
pub struct EventLog<'a, S = csv::Writer<Vec<u8>>> {
    listing: &'a Listing,
    sink: S,
    left: u64,
    /// Events that were left out, since the log was full, and the cycle of the first of them.
    pub missing: Option<(u64, u64)>,
}

impl<'a> EventLog<'a> {
    /// A log of at most so many events.
    #[must_use]
    pub fn new(listing: &'a Listing, most: u64) -> EventLog<'a> {
        let mut sink = csv::Writer::from_writer(Vec::new());
        sink.event(NAMES);
        EventLog { listing, sink, left: most, missing: None }
    }

    /// The file.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.sink.into_inner().expect("a buffer in memory is flushed")
    }
}

impl<'a> EventLog<'a, Table> {
    /// A table of at most so many events.
    #[must_use]
    pub fn table(listing: &'a Listing, most: u64) -> EventLog<'a, Table> {
        EventLog { listing, sink: Table::new(&NAMES), left: most, missing: None }
    }

    /// The table, as far as it goes.
    #[must_use]
    pub fn rows(self) -> Beginning {
        Beginning { rows: self.sink, missing: self.missing }
    }
}

impl<S: EventSink> EventLog<'_, S> {
    /// What a cycle of a PE is charged to.
    pub fn charged(&mut self, now: u64, pe: PeCoord, image: usize, charge: Charge) {
        let tasks = &self.listing.images[image].tasks;
        if let Some(task) = charge.selected {
            self.event(now, pe, "main", [&tasks[task].name, "", ""]);
        }
        if let (Spent::Issue, Some(thread), Some((task, Some(number)))) = (charge.spent, charge.thread, charge.at) {
            let instruction = &tasks[task].instructions[number];
            let thread = if thread == MAIN_THREAD { "main".to_owned() } else { format!("t{thread}") };
            self.event(now, pe, &thread, [&tasks[task].name, &instruction.text, &instruction.colors]);
        }
    }

    /// A wavelet leaves the router of a PE.
    pub fn moved(&mut self, now: u64, pe: PeCoord, color: Color) {
        self.event(now, pe, "router", ["", "", &color.to_string()]);
    }

    fn event(&mut self, now: u64, pe: PeCoord, thread: &str, [task, instruction, color]: [&str; 3]) {
        if self.left == 0 {
            self.missing = Some(self.missing.map_or((1, now), |(count, first)| (count + 1, first)));
            return;
        }
        self.left -= 1;
        let [cycle, x, y] = [now.to_string(), pe.x.to_string(), pe.y.to_string()];
        self.sink.event([&cycle, &x, &y, thread, task, instruction, color]);
    }
}
