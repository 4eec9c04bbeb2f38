//! The registers of a PE: one file of integers, one of binary32 numbers.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// Address register: 32-bit integer; holds byte addresses, counts, and other whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AddrReg(pub u8);

impl AddrReg {
    /// Number of address registers of a PE.
    pub const COUNT: u8 = 16;
}

/// Data register: 32 bits, read and written as binary32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DataReg(pub u8);

impl DataReg {
    /// Number of data registers of a PE.
    pub const COUNT: u8 = 16;
}

/// A register of either file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reg {
    /// Of integers.
    Addr(AddrReg),
    /// Of binary32.
    Data(DataReg),
}

/// Registers that an instruction reads.
pub type Reads = SmallVec<[Reg; 3]>;
