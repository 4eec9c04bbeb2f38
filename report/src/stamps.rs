//! The time stamps that a program takes, as they are seen from outside.
//!
//! **Invariant.** A time stamp's cycle is the number that it writes: that of its last slot (rule C15).
//! **Not here.** What becomes of the numbers in the program.

use crate::listing::Listing;
use crate::row;
use crate::table::{Beginning, Table};
use fabric::reference::charge::{Charge, Spent};
use sim_core::coord::PeCoord;
use std::collections::BTreeMap;

/// Issue slots of a time stamp.
const SLOTS: u64 = 3;

/// Time stamps that are being listed.
#[derive(Debug)]
pub struct StampLog<'a> {
    listing: &'a Listing,
    /// Slots so far of the time stamp that a PE is at.
    slots: BTreeMap<PeCoord, u64>,
    table: Table,
    most: usize,
    missing: Option<(u64, u64)>,
}

impl<'a> StampLog<'a> {
    /// At most so many.
    #[must_use]
    pub fn new(listing: &'a Listing, most: usize) -> StampLog<'a> {
        let table = Table::new(&["cycle", "x", "y", "task", "line", "instruction"]);
        StampLog { listing, slots: BTreeMap::new(), table, most, missing: None }
    }

    /// What a cycle of a PE is charged to.
    pub fn charged(&mut self, now: u64, pe: PeCoord, image: usize, charge: Charge) {
        let (Spent::Issue, Some((task, Some(number)))) = (charge.spent, charge.at) else { return };
        let task = &self.listing.images[image].tasks[task];
        let instruction = &task.instructions[number];
        if !instruction.stamps {
            return;
        }
        let slots = self.slots.entry(pe).or_insert(0);
        *slots += 1;
        if !slots.is_multiple_of(SLOTS) {
            return;
        }
        if self.table.rows().len() >= self.most {
            self.missing = Some(self.missing.map_or((1, now), |(count, first)| (count + 1, first)));
            return;
        }
        let line = instruction.line.clone().unwrap_or_default();
        self.table.row(row![now, pe.x, pe.y, task.name.clone(), line, instruction.text.clone()]);
    }

    /// The table, as far as it goes.
    #[must_use]
    pub fn rows(self) -> Beginning {
        Beginning { rows: self.table, missing: self.missing }
    }
}
