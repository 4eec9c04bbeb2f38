//! Parsing of scalar instructions and conditions. Their form is described with the printer.

use super::lex::Tok;
use super::{Parsed, Parser};
use crate::program::{AddrReg, Address, Cmp, Cond, DType, DataReg, Float, FloatOp, Int, IntOp, ScalarOp, Word};

impl Parser<'_> {
    /// `a3` or a whole number, as the last operand.
    pub(super) fn int_source(&mut self) -> Parsed<Int> {
        if self.at_addr_reg() { self.addr_reg().map(Int::Reg) } else { self.int().map(Int::Const) }
    }

    /// `a3` or a whole number that another operand follows.
    fn first_int(&mut self) -> Parsed<Int> {
        if self.at_addr_reg() { self.addr_reg().map(Int::Reg) } else { self.first_of_two().map(Int::Const) }
    }

    /// A whole number that another one follows, which may have a sign: a sum needs parentheses.
    pub(super) fn first_of_two<T: TryFrom<i128>>(&mut self) -> Parsed<T> {
        let at = self.at();
        self.wanted = "a whole number";
        let value = self.constant_product()?;
        if self.peek() == Tok::Punct("+") {
            let help = "put a sum that another operand follows in parentheses, as in `(n + 1)`";
            return self.expected_help("an operand", help);
        }
        self.fits(value, at)
    }

    /// `r3` or `#` and a number.
    fn float_source(&mut self) -> Parsed<Float> {
        if self.take(Tok::Punct("#")) {
            return self.float().map(Float::Const);
        }
        match self.peek() {
            Tok::Number(digits) => {
                let help = format!("write `#{}` for a constant", super::clipped(digits));
                self.expected_help("a data register, or a constant with #", &help)
            }
            _ => self.data_reg().map(Float::Reg),
        }
    }

    /// Whether an `if` is a branch of the machine: a comparison of registers follows, and no expression that
    /// is known before the program runs.
    pub(super) fn at_branch(&mut self) -> bool {
        let start = self.next;
        self.next += 1;
        let compared = matches!(self.peek(), Tok::Word(word) if Cmp::ALL.iter().any(|cmp| cmp.name() == word))
            && !matches!(
                self.second(),
                Tok::Punct("==" | "!=" | "<" | "<=" | ">" | ">=" | "+" | "*" | "/" | "%" | "{")
            );
        let branch = compared || self.at_addr_reg() || self.at_data_reg();
        self.next = start;
        branch
    }

    /// A comparison up to the `{` of its block.
    pub(super) fn cond(&mut self) -> Parsed<Cond> {
        let cond = self.compared()?;
        if matches!(self.peek(), Tok::Word("and" | "or")) {
            let help = "a branch of the wafer compares two operands; put one `if` into another";
            return self.expected_help("`{`", help);
        }
        Ok(cond)
    }

    /// `lt a1 8` or `a1 < 8`: a comparison of operands of one file.
    fn compared(&mut self) -> Parsed<Cond> {
        if self.at_addr_reg() {
            let first = self.addr_reg().map(Int::Reg)?;
            return Ok(Cond::Int(self.comparison()?, first, self.int_source()?));
        }
        if self.at_data_reg() {
            let first = self.data_reg().map(Float::Reg)?;
            return Ok(Cond::Float(self.comparison()?, first, self.float_source()?));
        }
        let cmp = self.one_of(&Cmp::ALL, Cmp::name)?;
        Ok(match self.peek() == Tok::Punct("#") || self.at_data_reg() {
            true => Cond::Float(cmp, self.float_source()?, self.float_source()?),
            false => Cond::Int(cmp, self.first_int()?, self.int_source()?),
        })
    }

    fn comparison(&mut self) -> Parsed<Cmp> {
        let cmp = match self.peek() {
            Tok::Punct("<") => Cmp::Lt,
            Tok::Punct("<=") => Cmp::Le,
            Tok::Punct(">") => Cmp::Gt,
            Tok::Punct(">=") => Cmp::Ge,
            Tok::Punct("==") => Cmp::Eq,
            Tok::Punct("!=") => Cmp::Ne,
            _ => return self.expected("<, <=, >, >=, == or !="),
        };
        self.next += 1;
        Ok(cmp)
    }

    fn scalar_place(&mut self) -> Parsed<Address> {
        let (base, offset) = self.address()?;
        Ok(Address { base, offset })
    }

    /// The type behind `load` or `store`: that of an integer, or that of a number.
    /// It may be left out where a buffer is named.
    fn stored_type(&mut self) -> Parsed<Result<Word, DType>> {
        if let Some(declared) = self.peek_memory() {
            return Ok(declared.word.ok_or(declared.dtype));
        }
        if let Tok::Word(name) = self.peek()
            && let Some(word) = Word::ALL.into_iter().find(|w| w.name() == name)
        {
            self.next += 1;
            return Ok(Ok(word));
        }
        let Some(dtype) = self.peek_word().and_then(|name| name.parse().ok()) else {
            return self.expected("u16, i16, i32, f16, bf16 or f32");
        };
        self.next += 1;
        Ok(Err(dtype))
    }

    fn peek_word(&self) -> Option<&str> {
        match self.peek() {
            Tok::Word(word) => Some(word),
            _ => None,
        }
    }

    /// What stands behind `a1 = load`, if a type does; `u16` is the form without a type.
    pub(super) fn typed_load(&mut self, to: AddrReg) -> Parsed<Option<ScalarOp>> {
        let named = self.peek_memory();
        if named.is_none() && !self.peek_word().is_some_and(|name| Word::ALL.iter().any(|w| w.name() == name)) {
            return Ok(None);
        }
        match self.stored_type()? {
            Ok(word) => Ok(Some(ScalarOp::LoadInt(to, word, self.scalar_place()?))),
            Err(_) => self.expected("a buffer of integers; numbers are loaded into data registers"),
        }
    }

    /// What stands behind `a1 =`, if it is a scalar operation.
    pub(super) fn int_op(&mut self, to: AddrReg, word: &str) -> Parsed<Option<ScalarOp>> {
        if let Some(&op) = IntOp::ALL.iter().find(|op| op.name() == word) {
            self.next += 1;
            let op = ScalarOp::Int(to, op, self.first_int()?, self.int_source()?);
            if !self.ended() {
                let help = "put a sum that another operand follows in parentheses, as in `(n - 1)`";
                return self.expected_help("the end of the line", help);
            }
            return Ok(Some(op));
        }
        let convert: fn(AddrReg, DataReg) -> ScalarOp = match word {
            "int" => ScalarOp::ToInt,
            "bits" => ScalarOp::ToBits,
            _ => return Ok(None),
        };
        self.next += 1;
        Ok(Some(convert(to, self.data_reg()?)))
    }

    /// `r1 = …`
    pub(super) fn float_op(&mut self) -> Parsed<ScalarOp> {
        let to = self.data_reg()?;
        self.becomes()?;
        match self.peek() {
            Tok::Word("load") => {
                self.next += 1;
                match self.stored_type()? {
                    Err(dtype) => Ok(ScalarOp::LoadFloat(to, dtype, self.scalar_place()?)),
                    Ok(_) => {
                        self.next -= 1;
                        self.expected("f16, bf16 or f32; integers are loaded into address registers")
                    }
                }
            }
            Tok::Word(word @ ("float" | "bits")) => {
                self.next += 1;
                let from = self.addr_reg()?;
                Ok(if word == "float" { ScalarOp::ToFloat(to, from) } else { ScalarOp::OfBits(to, from) })
            }
            Tok::Word(word) if FloatOp::ALL.iter().any(|op| op.name() == word) => {
                let op = self.one_of(&FloatOp::ALL, FloatOp::name)?;
                let mut from = [Float::Const(0); 3];
                for source in from.iter_mut().take(op.sources()) {
                    *source = self.float_source()?;
                }
                Ok(ScalarOp::Float(to, op, from))
            }
            _ => {
                let help = if self.at_data_reg() || self.peek() == Tok::Punct("#") {
                    "the operation stands first: `r1 = add r2 #0.5`, `r1 = mov r2`"
                } else {
                    "an element is read by `r1 = load A[3]`, a constant by `r1 = mov #0.5`"
                };
                self.expected_help("load, float, bits, mov, add, sub, mul, div, min, max or fmac", help)
            }
        }
    }

    /// Behind `store`.
    pub(super) fn store(&mut self) -> Parsed<ScalarOp> {
        match self.stored_type()? {
            Ok(word) => {
                let place = self.scalar_place()?;
                if matches!(self.peek(), Tok::Number(_) | Tok::Punct("#")) {
                    return self.expected_help("an address register", "put the constant into a register: `a1 = 5`");
                }
                Ok(ScalarOp::StoreInt(word, place, self.addr_reg()?))
            }
            Err(dtype) => {
                let place = self.scalar_place()?;
                if matches!(self.peek(), Tok::Number(_) | Tok::Punct("#")) {
                    return self.expected_help("a data register", "put the constant into a register: `r1 = mov #5`");
                }
                Ok(ScalarOp::StoreFloat(dtype, place, self.data_reg()?))
            }
        }
    }

    /// Behind `timestamp`.
    pub(super) fn timestamp(&mut self) -> Parsed<ScalarOp> {
        self.scalar_place().map(ScalarOp::Timestamp)
    }
}
