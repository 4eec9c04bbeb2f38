//! What `--values` lists of a run: all numbers, or those of one buffer or PE.
//!
//! **Not here.** How they are carried (`fabric`) and printed (`report`).

use crate::fail::{Failure, Kind};
use report::simulate::ValuesReport;
use sim_core::coord::PeCoord;
use sim_core::diag::Diagnostic;
use sim_core::program::Program;
use sim_core::util::suggest::{did_you_mean, distance};
use std::str::FromStr;

/// `NAME`, `NAME@X,Y` or `@X,Y`; all numbers if it is empty.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    written: String,
    /// Of which buffer, or which stream that leaves.
    name: Option<String>,
    /// On which PE.
    pe: Option<PeCoord>,
}

impl FromStr for Shown {
    type Err = String;

    fn from_str(text: &str) -> Result<Shown, String> {
        let (name, place) = match text.rsplit_once('@') {
            Some((name, place)) => (name, Some(place)),
            None => (text, None),
        };
        let pe = place.map(|place| {
            let (x, y) = place.split_once(',')?;
            Some(PeCoord { x: x.trim().parse().ok()?, y: y.trim().parse().ok()? })
        });
        if pe == Some(None) {
            return Err("column and row of a PE are written as in `v@2,0`".to_owned());
        }
        let name = (!name.is_empty()).then(|| name.to_owned());
        Ok(Shown { written: text.to_owned(), name, pe: pe.flatten() })
    }
}

impl Shown {
    /// The option as it was given.
    pub(super) fn flag(&self) -> String {
        if self.written.is_empty() { "--values".to_owned() } else { format!("--values={}", self.written) }
    }

    /// Whether the numbers of a buffer or stream are listed.
    fn has(&self, name: &str, pe: Option<PeCoord>) -> bool {
        self.name.as_ref().is_none_or(|own| own == name) && self.pe.is_none_or(|own| pe == Some(own))
    }

    /// Refuses what the program does not have.
    fn check(&self, program: &Program) -> Result<(), Failure> {
        let placed = |pe: PeCoord| program.placements.iter().find(|p| p.region.contains(pe));
        let refused = |message: String, help: Option<String>| {
            let diagnostic = Diagnostic::new("cli-shown", self.flag(), message).help(help.unwrap_or_default());
            Err(Failure::one(Kind::Usage, diagnostic))
        };
        let on = self.pe.map(|pe| (pe, placed(pe)));
        if let Some((pe, None)) = on {
            return refused(format!("no image is placed on PE {pe}"), None);
        }
        let images = program.images.iter().enumerate();
        let there = images.filter(|(i, _)| on.is_none_or(|(_, p)| p.is_some_and(|p| p.image as usize == *i)));
        let buffers = there.flat_map(|(_, image)| &image.buffers).map(|b| b.name.as_str());
        let streams = program.edges.iter().filter(|_| self.pe.is_none()).map(|e| e.name.as_str());
        let known: Vec<&str> = buffers.chain(streams).collect();
        match &self.name {
            Some(name) if !known.contains(&name.as_str()) => {
                let place = self.pe.map_or("the program".to_owned(), |pe| format!("PE {pe}"));
                let near = did_you_mean(known.iter().copied(), |known| distance(name, known));
                refused(format!("{place} has no buffer `{name}`"), near)
            }
            _ => Ok(()),
        }
    }
}

/// Refuses options that name what the program does not have.
pub(super) fn check(shown: &[Shown], program: &Program) -> Result<(), Failure> {
    shown.iter().try_for_each(|own| own.check(program))
}

/// Leaves of the numbers those that are asked for.
pub(super) fn reduce(values: &mut ValuesReport, shown: &[Shown]) {
    values.buffers.retain(|b| shown.iter().any(|own| own.has(&b.name, Some(PeCoord { x: b.x, y: b.y }))));
    values.edges.retain(|e| shown.iter().any(|own| own.has(&e.stream, None)));
}
