//! What routers sent, by color and port.
//!
//! **Invariant.** PEs that sent the same share an entry, and entries are numbered in the order of
//! the first PE that has them: equal counters are equal values, however they came about.
//! **Not here.** Counting (`fabric`), sums over PEs (the root package).

use crate::coord::Color;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Wavelets of one color that left a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ColorSent {
    /// The color.
    pub color: Color,
    /// Wavelets by port: North, East, South, West, ramp (down).
    pub sent: [u64; 5],
}

/// What the routers of a mesh sent by color, PE by PE in row-major order (rule P2).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ColorCounters {
    /// The entry of every PE.
    of: Vec<u32>,
    entries: Vec<Vec<ColorSent>>,
}

impl ColorCounters {
    /// From what every PE sent, every color at most once; those that sent nothing are left out.
    pub fn collect(pes: impl Iterator<Item = Vec<ColorSent>>) -> ColorCounters {
        let mut known: BTreeMap<Vec<ColorSent>, u32> = BTreeMap::new();
        let mut all = ColorCounters::default();
        for mut pe in pes {
            pe.retain(|c| c.sent != [0; 5]);
            pe.sort_unstable();
            let next = all.entries.len() as u32;
            let entry = *known.entry(pe).or_insert_with_key(|pe| {
                all.entries.push(pe.clone());
                next
            });
            all.of.push(entry);
        }
        all
    }

    /// PEs that sent what others did: those others by their part and their index in it, or None
    /// for a PE that sent nothing.
    #[must_use]
    pub fn spread(parts: &[&ColorCounters], of: &[Option<(u32, u32)>]) -> ColorCounters {
        let mut numbers: Vec<Vec<Option<u32>>> = parts.iter().map(|p| vec![None; p.entries.len()]).collect();
        let mut known: BTreeMap<&[ColorSent], u32> = BTreeMap::new();
        let mut all = ColorCounters::default();
        for pe in of {
            let place = pe.map(|(part, pe)| (part as usize, parts[part as usize].of[pe as usize] as usize));
            if let Some(number) = place.and_then(|(part, entry)| numbers[part][entry]) {
                all.of.push(number);
                continue;
            }
            let entry = place.map_or(&[][..], |(part, entry)| &parts[part].entries[entry]);
            let next = all.entries.len() as u32;
            let number = *known.entry(entry).or_insert_with(|| {
                all.entries.push(entry.to_vec());
                next
            });
            if let Some((part, entry)) = place {
                numbers[part][entry] = Some(number);
            }
            all.of.push(number);
        }
        all
    }

    /// What a PE sent, by ascending color; colors that sent nothing are left out.
    #[must_use]
    pub fn pe(&self, index: usize) -> &[ColorSent] {
        self.of.get(index).map_or(&[], |&entry| &self.entries[entry as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(color: u8, east: u64) -> ColorSent {
        ColorSent { color: Color::new(color).unwrap(), sent: [0, east, 0, 0, 0] }
    }

    #[test]
    fn equal_counters_are_equal_however_they_came_about() {
        let pes = [vec![], vec![sent(3, 1), sent(1, 2)], vec![sent(1, 2), sent(2, 0), sent(3, 1)], vec![sent(1, 9)]];
        let all = ColorCounters::collect(pes.into_iter());
        assert_eq!(all.pe(1), [sent(1, 2), sent(3, 1)]);
        assert_eq!((all.pe(1), all.pe(0), all.pe(3)), (all.pe(2), &[][..], &[sent(1, 9)][..]));
        assert_eq!(all.entries.len(), 3);
        let one = ColorCounters::collect([vec![sent(1, 9)], vec![sent(5, 5)]].into_iter());
        let two = ColorCounters::collect([vec![sent(3, 1), sent(1, 2)]].into_iter());
        let of = [None, Some((1, 0)), Some((1, 0)), Some((0, 0))];
        assert_eq!(ColorCounters::spread(&[&one, &two], &of), all);
    }
}
