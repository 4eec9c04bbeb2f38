//! On which side of a PE's memory banks a buffer starts, so that vectors that are read together need
//! different banks (rule C5 of `docs/MODEL.md`).
//!
//! Addresses meet at the same banks again after a *period*, 16 bytes on the CS-2. Of two vectors of one
//! type, one starts at the beginning of a period and the other one in its middle: they are as far apart as
//! can be, and no width of the machine makes them meet. Vectors of different types need no care.
//!
//! **Invariant.** What is on a side of one period is on that side of every period: rows of whole periods
//! keep the side of the first one.
//! **Not here.** When two vectors conflict (the engines, and `cost` for prices); where buffers go (`memory`).

use sim_core::arch::ArchSpec;
use sim_core::program::DType;

/// Where in a period of the banks a buffer starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// At its beginning: activations of 16 bits.
    Near,
    /// In its middle: accumulators, and everything else of 32 bits.
    Far,
}

impl Side {
    /// Of a buffer that kernels share, by the type of its elements.
    #[must_use]
    pub fn of(dtype: DType) -> Side {
        match dtype {
            DType::F32 => Side::Far,
            DType::F16 | DType::Bf16 => Side::Near,
        }
    }

    /// The side of what is read together with a buffer on this side.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::Near => Side::Far,
            Side::Far => Side::Near,
        }
    }
}

/// The banks of a machine's PEs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Banks {
    /// Bytes after which addresses meet at the same banks again; a multiple of 8, so that every element and
    /// every piece of rows is aligned.
    period: u32,
}

impl Banks {
    /// The banks of a machine, from their number and width.
    #[must_use]
    pub fn of(arch: &ArchSpec) -> Banks {
        Banks { period: arch.pe.bank_period().next_multiple_of(8) }
    }

    /// Bytes of a period.
    #[must_use]
    pub fn period(self) -> u32 {
        self.period
    }

    /// Bytes from the beginning of a period to a side; a multiple of 4.
    #[must_use]
    pub fn start(self, side: Side) -> u32 {
        match side {
            Side::Near => 0,
            Side::Far => self.period / 2,
        }
    }

    /// The side on which an address is, or which it is next to.
    #[must_use]
    pub fn side(self, address: u32) -> Side {
        if address % self.period < self.start(Side::Far) { Side::Near } else { Side::Far }
    }

    /// Bytes from an address to the next one on a side: less than a period.
    #[must_use]
    pub fn gap(self, from: u64, side: Side) -> u32 {
        let period = u64::from(self.period);
        let behind = from % period;
        ((period + u64::from(self.start(side)) - behind) % period) as u32
    }

    /// The first address on a side at `from` or behind it.
    #[must_use]
    pub fn place(self, from: u32, side: Side) -> u32 {
        from + self.gap(from.into(), side)
    }

    /// Bytes, rounded up to whole periods.
    #[must_use]
    pub fn whole(self, bytes: u32) -> u32 {
        bytes.next_multiple_of(self.period)
    }

    /// Elements of a row, rounded up to whole periods.
    #[must_use]
    pub fn row(self, dtype: DType, elements: u32) -> u32 {
        self.whole(elements * dtype.bytes()) / dtype.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::arch::cs2::cs2;

    #[test]
    fn sides_of_a_cs2_are_8_bytes_apart_modulo_16() {
        let banks = Banks::of(&cs2());
        assert_eq!([0, 7, 8, 15, 16].map(|a| banks.side(a) == Side::Far), [false, false, true, true, false]);
        assert_eq!((banks.row(DType::F16, 9), banks.row(DType::F32, 9)), (16, 12));
    }

    #[test]
    fn few_banks_leave_elements_aligned() {
        let mut arch = cs2();
        arch.pe.banks.value = 2;
        assert_eq!(Banks::of(&arch).place(8, Side::Far), 12);
    }

    #[test]
    fn a_place_is_the_nearest_address_on_its_side() {
        let mut arch = cs2();
        for number in [2, 4, 8, 16] {
            arch.pe.banks.value = number;
            let banks = Banks::of(&arch);
            for side in [Side::Near, Side::Far] {
                for from in 0..3 * banks.period() {
                    let on_side = |address: &u32| address % banks.period() == banks.start(side);
                    let nearest = (from..).find(on_side).expect("every period has one");
                    assert_eq!(banks.place(from, side), nearest, "{side:?} from {from} of {banks:?}");
                    assert_eq!(from + banks.gap(from.into(), side), nearest);
                }
            }
        }
    }
}
