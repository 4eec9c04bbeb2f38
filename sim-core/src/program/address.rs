//! The first forms of arithmetic on address registers, which kernels use.
//!
//! **Not here.** Other scalar instructions (`scalar`).

use super::reg::{AddrReg, Reads, Reg};
use serde::{Deserialize, Serialize};

/// Arithmetic on address registers; one cycle each, `Wrap` two.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AddrOp {
    /// `reg = value`
    Set(AddrReg, i32),
    /// `reg = reg + value`
    Add(AddrReg, i32),
    /// `reg = other`
    Copy(AddrReg, AddrReg),
    /// `reg = reg + other`
    AddReg(AddrReg, AddrReg),
    /// `reg = min(max(reg, low), high)`
    Clamp(AddrReg, i32, i32),
    /// `reg = reg - size` if `reg >= end`. Two cycles: compare and select.
    Wrap {
        /// The register that is wrapped.
        reg: AddrReg,
        /// First value that is too large.
        end: i32,
        /// What is subtracted if it is at least `end`.
        size: i32,
    },
    /// `reg` = the unsigned 16-bit word at byte address `register + offset`.
    Load {
        /// The register that is loaded.
        reg: AddrReg,
        /// Register added to the offset.
        base: Option<AddrReg>,
        /// Byte address, or what is added to `base`.
        offset: i32,
    },
}

impl AddrOp {
    /// The register that is written.
    #[must_use]
    pub fn target(&self) -> AddrReg {
        match *self {
            AddrOp::Set(r, _)
            | AddrOp::Add(r, _)
            | AddrOp::Copy(r, _)
            | AddrOp::AddReg(r, _)
            | AddrOp::Clamp(r, ..)
            | AddrOp::Wrap { reg: r, .. }
            | AddrOp::Load { reg: r, .. } => r,
        }
    }

    /// The registers that are read.
    #[must_use]
    pub fn reads(&self) -> Reads {
        let reads: [Option<AddrReg>; 2] = match *self {
            AddrOp::Set(..) => [None, None],
            AddrOp::Add(r, _) | AddrOp::Clamp(r, ..) | AddrOp::Wrap { reg: r, .. } => [Some(r), None],
            AddrOp::Copy(_, other) => [Some(other), None],
            AddrOp::AddReg(r, other) => [Some(r), Some(other)],
            AddrOp::Load { base, .. } => [base, None],
        };
        reads.into_iter().flatten().map(Reg::Addr).collect()
    }
}
