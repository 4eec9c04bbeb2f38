//! What the PEs did as bytes, for the cache.
//!
//! **Invariant.** What is written is read again; other bytes are refused or give other numbers, and
//! never more than the mesh has.

use super::{COUNTERS, Heat, colors_and_ports};
use sim_core::coord::Grid;

/// Numbers of cells row by row: each as its difference from the one above, positive ones doubled
/// and negative ones doubled less one, in seven bits per byte, the lowest first. 0 stands for a
/// stretch of differences that are 0, whose length follows.
#[must_use]
pub fn packed(numbers: &[u64], columns: usize) -> Vec<u8> {
    let mut out = Writer::default();
    out.plane(numbers.iter().copied(), columns);
    out.bytes
}

impl Heat {
    /// As bytes: the difference of every counter from the same one of the cell above.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.number(self.cycles);
        let columns = self.cells.width as usize;
        for counter in 0..COUNTERS {
            out.plane(self.sums.iter().map(|sum| sum[counter]), columns);
        }
        for port in colors_and_ports() {
            let plane = self.colors.get(&port);
            out.number(u64::from(plane.is_some()));
            plane.iter().for_each(|plane| out.plane(plane.iter().copied(), columns));
        }
        out.bytes
    }

    /// The inverse; None if the bytes are not those of a mesh of this size.
    #[must_use]
    pub fn from_bytes(mesh: Grid, bytes: &[u8]) -> Option<Heat> {
        let mut heat = Heat::new(mesh);
        let mut from = Reader { bytes };
        heat.cycles = from.number()?;
        let (cells, columns) = (heat.sums.len(), heat.cells.width as usize);
        for counter in 0..COUNTERS {
            let plane = from.plane(cells, columns)?;
            heat.sums.iter_mut().zip(plane).for_each(|(sum, n)| sum[counter] = n);
        }
        for port in colors_and_ports() {
            if from.number()? == 1 {
                heat.colors.insert(port, from.plane(cells, columns)?);
            }
        }
        from.bytes.is_empty().then_some(heat)
    }
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Seven bits per byte, the lowest first.
    fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.bytes.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.bytes.push(n as u8);
    }

    /// Differences from the number above; 0 stands for a stretch of them, whose length follows.
    fn plane(&mut self, numbers: impl Iterator<Item = u64>, columns: usize) {
        let numbers: Vec<u64> = numbers.collect();
        let mut equal = 0;
        for (i, n) in numbers.iter().enumerate() {
            let difference = n.wrapping_sub(i.checked_sub(columns).map_or(0, |i| numbers[i])).cast_signed();
            if difference == 0 {
                equal += 1;
                continue;
            }
            self.equal(&mut equal);
            self.number(((difference << 1) ^ (difference >> 63)).cast_unsigned());
        }
        self.equal(&mut equal);
    }

    fn equal(&mut self, length: &mut u64) {
        if *length > 0 {
            self.number(0);
            self.number(std::mem::take(length));
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(n);
            }
        }
        None
    }

    fn plane(&mut self, cells: usize, columns: usize) -> Option<Vec<u64>> {
        let mut numbers: Vec<u64> = Vec::with_capacity(cells);
        while numbers.len() < cells {
            let zigzag = self.number()?;
            let length = if zigzag == 0 { self.number()? } else { 1 };
            if length == 0 || length > (cells - numbers.len()) as u64 {
                return None;
            }
            for _ in 0..length {
                let above = numbers.len().checked_sub(columns).map_or(0, |i| numbers[i]);
                numbers.push(above.wrapping_add((zigzag >> 1) ^ (zigzag & 1).wrapping_neg()));
            }
        }
        Some(numbers)
    }
}
