//! Addresses of buffers that have none: the lowest free ones, in the order of the declarations.
//!
//! **Invariant.** A buffer that gets an address here overlaps no other one, except that which it is
//! declared over.

use super::{Parsed, Parser};
use crate::program::{DType, Word};

/// Which of an image's lists a piece of memory is in, and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    Buffer(usize),
    Fifo(usize),
}

/// Where a piece of memory lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Where {
    /// At a byte.
    At(u32),
    /// Anywhere at `plus` bytes behind a multiple of `align`.
    Free { align: u32, plus: u32 },
    /// So many elements of its own type behind the start of a buffer.
    Over(String, u32),
}

/// A declared piece of memory.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) piece: Piece,
    pub(super) dtype: DType,
    /// How its elements are held if they are integers.
    pub(super) word: Option<Word>,
    /// Elements along each dimension, the last one running fastest.
    pub(super) shape: Vec<u32>,
    pub(super) place: Where,
    /// Where it is declared.
    pub(super) at: usize,
}

impl Declared {
    /// Elements in all; at most as many as 32 bits count.
    pub(super) fn elements(&self) -> u64 {
        self.shape.iter().fold(1u64, |n, &d| n.saturating_mul(d.into()))
    }

    /// Its size in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.elements().saturating_mul(self.dtype.bytes().into())
    }
}

impl Parser<'_> {
    /// Gives every piece of the image's memory its address.
    pub(super) fn allocate(&mut self) -> Parsed<()> {
        let mut taken: Vec<(u64, u64)> = Vec::new();
        for index in 0..self.names.memory.len() {
            if let Where::At(address) = self.names.memory[index].place {
                occupy(&mut taken, address.into(), self.names.memory[index].bytes());
            }
        }
        for index in 0..self.names.memory.len() {
            let declared = self.names.memory[index].clone();
            if let Where::Free { align, plus } = declared.place {
                let address = lowest(&taken, declared.bytes(), align.into(), plus.into());
                self.settle(&declared, address)?;
                occupy(&mut taken, address, declared.bytes());
            }
        }
        for index in 0..self.names.memory.len() {
            let declared = self.names.memory[index].clone();
            if let Where::Over(name, element) = &declared.place {
                let under = self.memory_named(name, declared.at)?;
                let start = u64::from(self.address_of(&self.names.memory[under]))
                    + u64::from(*element) * u64::from(declared.dtype.bytes());
                self.settle(&declared, start)?;
            }
        }
        Ok(())
    }

    fn settle(&mut self, declared: &Declared, address: u64) -> Parsed<()> {
        let Ok(address) = u32::try_from(address) else {
            return self.fault("P011", declared.at, format!("there is no room for {} bytes", declared.bytes()), "");
        };
        match declared.piece {
            Piece::Buffer(i) => self.image_mut().buffers[i].addr = address,
            Piece::Fifo(i) => self.image_mut().fifos[i].addr = address,
        }
        Ok(())
    }
}

/// Takes bytes; what is taken stays in the order of addresses.
fn occupy(taken: &mut Vec<(u64, u64)>, address: u64, bytes: u64) {
    let at = taken.partition_point(|&(start, _)| start < address);
    taken.insert(at, (address, address.saturating_add(bytes)));
}

/// The lowest address, `plus` behind a multiple of `align`, from which on so many bytes are free.
fn lowest(taken: &[(u64, u64)], bytes: u64, align: u64, plus: u64) -> u64 {
    let aligned = |address: u64| address.saturating_sub(plus).div_ceil(align) * align + plus;
    let mut address = aligned(0);
    for &(start, end) in taken {
        if address.saturating_add(bytes) <= start {
            break;
        }
        address = address.max(aligned(end));
    }
    address
}
