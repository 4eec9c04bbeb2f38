//! The text form of scalar instructions: the printer. `target = operation operands`, stores by their
//! word, conditions as `lt a1 8`.
//!
//! **Not here.** Everything else (`text`), and the parser (`parse/scalar.rs`).

use super::reg::Reg;
use super::scalar::{Cond, Float, Int, ScalarOp};
use super::text;
use std::fmt::{self, Display, Formatter};

/// `a3` or `r3`.
impl Display for Reg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Reg::Addr(reg) => write!(f, "a{}", reg.0),
            Reg::Data(reg) => write!(f, "r{}", reg.0),
        }
    }
}

/// `a3`, `-5`.
impl Display for Int {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Int::Reg(reg) => write!(f, "a{}", reg.0),
            Int::Const(value) => write!(f, "{value}"),
        }
    }
}

/// `r3`, `#0.5`.
impl Display for Float {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Float::Reg(reg) => write!(f, "r{}", reg.0),
            Float::Const(bits) => write!(f, "#{}", text::Float(*bits)),
        }
    }
}

/// `lt a1 8`.
impl Display for Cond {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Cond::Int(cmp, a, b) => write!(f, "{} {a} {b}", cmp.name()),
            Cond::Float(cmp, a, b) => write!(f, "{} {a} {b}", cmp.name()),
        }
    }
}

/// `a1 = load i16 a2+64`.
impl Display for ScalarOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(to) = self.writes() {
            write!(f, "{to} = ")?;
        }
        let at = self.address().map(|(at, _)| text::Address(at.base, at.offset));
        let at = at.as_ref().map_or(&"" as &dyn Display, |at| at);
        match self {
            ScalarOp::Int(_, op, a, b) => write!(f, "{} {a} {b}", op.name()),
            ScalarOp::Float(_, op, from) => {
                write!(f, "{}", op.name())?;
                from.iter().take(op.sources()).try_for_each(|source| write!(f, " {source}"))
            }
            ScalarOp::LoadInt(_, word, _) => write!(f, "load {} {at}", word.name()),
            ScalarOp::StoreInt(word, _, from) => write!(f, "store {} {at} a{}", word.name(), from.0),
            ScalarOp::LoadFloat(_, dtype, _) => write!(f, "load {} {at}", dtype.name()),
            ScalarOp::StoreFloat(dtype, _, from) => write!(f, "store {} {at} r{}", dtype.name(), from.0),
            ScalarOp::ToFloat(_, from) => write!(f, "float a{}", from.0),
            ScalarOp::ToInt(_, from) => write!(f, "int r{}", from.0),
            ScalarOp::ToBits(_, from) => write!(f, "bits r{}", from.0),
            ScalarOp::OfBits(_, from) => write!(f, "bits a{}", from.0),
            ScalarOp::Timestamp(_) => write!(f, "timestamp {at}"),
        }
    }
}
