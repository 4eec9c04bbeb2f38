//! Sums of 16 bits whose inputs lie on both sides of the memory banks.
//!
//! A product of an input with a weight is added to sums that are read together with the input, so both need banks of
//! their own (rule C5). With 36 tokens in a row of 16 bits, the first input starts at the beginning of a period of the
//! banks, the second one in its middle, the third one at the beginning again, while the sums stay where they are: every
//! second product would take twice as long. So the sums do not stay. A product reads them on the side where its input is
//! not, and writes them on the side where the next input is not; what is written meets nobody. For that there is a
//! second place for the sums of one output. No instruction is added.
//!
//! **Invariant.** The sums end up where they are kept, behind the product of the last input.
//! **Not here.** Where a buffer goes (`memory`), and what the products of an output are (`code`, `output_stationary`).

use crate::banks::{Banks, Side};
use crate::codegen::instr::{grid, mem};
use crate::kernel::{Addresses, Requirement};
use sim_core::program::{DType, Operand};

/// Name of the second place.
pub(super) const TURN: &str = ".turn";

/// Sides of the banks on which the products of successive inputs find their sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turns {
    banks: Banks,
    /// The side of the first input.
    first: Side,
    /// Bytes from an input to the next one, where that changes its side of the banks.
    row: Option<u32>,
}

impl Turns {
    /// Of inputs of a type, so many elements from one to the next, the first one on a side, which are added to sums of
    /// a type. Vectors of different types need no care.
    pub(super) fn of(banks: Banks, (inputs, row): (DType, u32), sums: DType, first: Side) -> Turns {
        let row = row * inputs.bytes();
        let turns = inputs.bytes() == sums.bytes() && !row.is_multiple_of(banks.period());
        Turns { banks, first, row: turns.then_some(row) }
    }

    /// The side on which the product of an input finds its sums, and that of the one before it leaves them.
    pub(super) fn sums(self, input: u32) -> Side {
        let bytes = self.banks.start(self.first) + input * self.row.unwrap_or(0);
        self.banks.side(bytes).other()
    }

    /// Whether the product of an input finds its sums in the second place, if there are so many inputs.
    pub(super) fn in_second(self, input: u32, inputs: u32) -> bool {
        self.sums(input) != self.sums(inputs)
    }

    /// Memory of the second place, if it is needed, for an output of so many tokens.
    pub(super) fn scratch(self, sums: DType, tokens: u32, inputs: u32) -> Option<Requirement> {
        let needed = self.row.is_some() && inputs > 1;
        needed.then(|| Requirement::scratch(TURN, sums, tokens, self.sums(inputs).other()))
    }
}

/// The sums of a PE's own products: those of a step, and those of the step before, which are on their way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accumulators<'a> {
    pub(super) at: &'a Addresses,
    pub(super) dtype: DType,
    pub(super) turns: Turns,
    /// Inputs of a column.
    pub(super) inputs: u32,
    /// Sums of an output.
    pub(super) tokens: u32,
    /// Elements from the sums of an output to those of the next one.
    pub(super) row: u32,
    /// Bytes from the sums of a step to those of the next one.
    pub(super) step: u32,
}

impl Accumulators<'_> {
    fn address(&self, parity: u32) -> u32 {
        self.at[".acc"] + parity * self.step
    }

    /// The sums of so many outputs, complete.
    pub(super) fn all(&self, parity: u32, outs: u32) -> Operand {
        let address = self.address(parity);
        if outs == 1 || self.row == self.tokens {
            return mem(self.dtype, address, outs * self.tokens);
        }
        grid(self.dtype, address, &[(outs, self.row as i32), (self.tokens, 1)])
    }

    /// One of them.
    pub(super) fn first(&self, parity: u32) -> Operand {
        mem(self.dtype, self.address(parity), 1)
    }

    /// The sums of one output, as the product of an input finds them and that of the one before it leaves them.
    pub(super) fn of(&self, parity: u32, out: u32, input: u32) -> Operand {
        let kept = self.address(parity) + out * self.row * self.dtype.bytes();
        let address = if self.turns.in_second(input, self.inputs) { self.at[TURN] } else { kept };
        mem(self.dtype, address, self.tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::arch::cs2::cs2;

    fn turns(tokens: u32, first: Side) -> Turns {
        Turns::of(Banks::of(&cs2()), (DType::F16, tokens), DType::F16, first)
    }

    #[test]
    fn sums_are_never_on_the_side_of_the_input() {
        for (tokens, first) in [(36, Side::Near), (36, Side::Far), (40, Side::Near), (40, Side::Far)] {
            let (turns, banks) = (turns(tokens, first), Banks::of(&cs2()));
            for input in 0..9 {
                let address = banks.start(first) + input * tokens * 2;
                assert_eq!(turns.sums(input), banks.side(address).other(), "{tokens} tokens, input {input}");
            }
        }
    }

    #[test]
    fn only_rows_of_half_periods_need_a_second_place() {
        assert!(turns(40, Side::Near).scratch(DType::F16, 40, 9).is_none());
        assert!(turns(36, Side::Near).scratch(DType::F16, 36, 1).is_none(), "one input has one side");
        for inputs in [8, 9] {
            let turns = turns(36, Side::Near);
            let second = turns.scratch(DType::F16, 36, inputs).expect("rows change sides");
            assert_ne!(second.side, turns.sums(inputs));
            assert!(!turns.in_second(inputs, inputs), "sums end up where they are kept");
            assert!(turns.in_second(inputs - 1, inputs));
        }
        let mixed = Turns::of(Banks::of(&cs2()), (DType::F16, 36), DType::F32, Side::Near);
        assert!(mixed.scratch(DType::F32, 36, 9).is_none(), "vectors of different types need no care");
    }
}
