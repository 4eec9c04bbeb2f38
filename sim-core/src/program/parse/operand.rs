//! Operands of instructions: by name, as people write them, and by address, as they are printed.
//!
//! **Not here.** What an operand may be for an instruction ([`crate::program::verify()`]).

use super::expr::Ends;
use super::image::Register;
use super::lex::Tok;
use super::memory::{Declared, Piece};
use super::value::Value;
use super::{Parsed, Parser, clipped};
use crate::program::{AddrReg, DType, DataReg, Dim, Dims, FifoId, MemRef, Operand, Ring, Word};
use std::borrow::Cow;

/// What an operand is.
const OPERAND: &str = "an operand: a buffer, type@address, fab, fifo, a data register, or a constant with #";

impl<'a> Parser<'a> {
    pub(super) fn dtype(&mut self) -> Parsed<DType> {
        self.one_of(&DType::ALL, DType::name)
    }

    /// The name that stands next, with what `$` appends, and the token behind it.
    fn peeked_name(&mut self) -> Option<(Cow<'a, str>, usize)> {
        let Tok::Word(word) = self.peek() else { return None };
        let start = self.next;
        if self.second() != Tok::Punct("$") {
            return Some((Cow::Borrowed(word), start + 1));
        }
        let name = self.name();
        Some((Cow::Owned(name.ok()?), std::mem::replace(&mut self.next, start)))
    }

    /// The register whose name stands next, and the token behind the name.
    pub(super) fn register_named(&mut self) -> Option<(Register, usize)> {
        if self.names.registers.is_empty() {
            return None;
        }
        let (name, behind) = self.peeked_name()?;
        self.names.registers.iter().find(|r| r.0 == name).map(|r| (r.1, behind))
    }

    /// Whether a register stands next by its letter: with a number, or with an expression in parentheses.
    fn at_numbered(&self, letter: char) -> bool {
        let Tok::Word(word) = self.peek() else { return false };
        word.strip_prefix(letter).is_some_and(|rest| match rest {
            "" => self.second() == Tok::Punct("("),
            digits => digits.starts_with(|c: char| c.is_ascii_digit()),
        })
    }

    /// Whether the next word is an address register, by number or by name.
    pub(super) fn at_addr_reg(&mut self) -> bool {
        self.at_numbered('a') || matches!(self.register_named(), Some((Register::Addr(_), _)))
    }

    pub(super) fn addr_reg(&mut self) -> Parsed<AddrReg> {
        if let Some((Register::Addr(reg), behind)) = self.register_named() {
            self.next = behind;
            return Ok(reg);
        }
        self.numbered('a').map(AddrReg)
    }

    pub(super) fn at_data_reg(&mut self) -> bool {
        self.at_numbered('r') || matches!(self.register_named(), Some((Register::Data(_), _)))
    }

    pub(super) fn data_reg(&mut self) -> Parsed<DataReg> {
        if let Some((Register::Data(reg), behind)) = self.register_named() {
            self.next = behind;
            return Ok(reg);
        }
        self.numbered('r').map(DataReg)
    }

    /// An operand; None for its type if it is not written, as that of wavelets may be left out.
    pub(super) fn operand(&mut self) -> Parsed<(Operand, bool)> {
        let typed = |operand| Ok((operand, true));
        match self.peek() {
            Tok::Word("fab") => {
                self.next += 1;
                let color = self.color()?;
                match self.peek() {
                    Tok::Word(_) if !matches!(self.peek(), Tok::Word("then")) => {
                        typed(Operand::Fab(color, self.dtype()?))
                    }
                    _ => Ok((Operand::Fab(color, DType::F32), false)),
                }
            }
            Tok::Word("fifo") => {
                self.next += 1;
                typed(self.fifo_operand()?)
            }
            Tok::Punct("#") => {
                self.next += 1;
                typed(Operand::Imm(self.float()?))
            }
            Tok::Word(word) if self.second() == Tok::Punct("@") && DType::ALL.iter().any(|d| d.name() == word) => {
                typed(Operand::Mem(self.mem_ref()?))
            }
            _ if self.at_data_reg() => typed(Operand::Reg(self.data_reg()?)),
            Tok::Word(_) | Tok::Quoted(_) => self.named_operand().map(|o| (o, true)),
            Tok::Number(digits) => {
                let help = format!("write `#{}` for a constant", clipped(digits));
                self.expected_help(OPERAND, &help)
            }
            _ => self.expected(OPERAND),
        }
    }

    /// `fifo 0 f16`, or `fifo NAME`.
    fn fifo_operand(&mut self) -> Parsed<Operand> {
        let at = self.at();
        if let Tok::Word(word) = self.peek()
            && self.scope.find(word).is_none()
        {
            let name = self.name()?;
            let index = self.memory_named(&name, at)?;
            let Declared { piece, dtype, .. } = &self.names.memory[index];
            return match *piece {
                Piece::Fifo(n) if n < 256 => Ok(Operand::Fifo(FifoId(n as u8), *dtype)),
                _ => self.fault("P011", at, format!("`{}` is no FIFO", clipped(&name)), ""),
            };
        }
        let id = self.int()?;
        Ok(Operand::Fifo(FifoId(id), self.dtype()?))
    }

    /// `A`, `A[3]`, `A[0..n]`, `A[k:n:stride]`, `A[1..h, 0..w]`; with `@REGISTER` behind the name, that many
    /// bytes further on.
    fn named_operand(&mut self) -> Parsed<Operand> {
        let at = self.at();
        let name = self.name()?;
        let index = match self.names.memory.iter().any(|m| m.name == name) {
            true => self.memory_named(&name, at)?,
            false => return self.unknown_in_image(&name, "buffer or register", at),
        };
        let declared = self.names.memory[index].clone();
        if let Piece::Fifo(_) = declared.piece {
            let help = format!("write `fifo {name}`");
            return self.fault("P011", at, format!("`{}` is a FIFO", clipped(&name)), &help);
        }
        let base = if self.take(Tok::Punct("@")) { Some(self.addr_reg()?) } else { None };
        let (element, dims) = if self.peek() == Tok::Punct("[") {
            self.indices(&declared, at)?
        } else {
            (0, Dims::from_elem(Dim { len: declared.elements() as u32, stride: 1 }, 1))
        };
        let ring = self.ring()?;
        if base.is_none() && ring.is_none() {
            self.check_inside(&declared, element, &dims, at)?;
        }
        let bytes = i64::from(self.address_of(&declared)) + element * i64::from(declared.dtype.bytes());
        let offset = self.fits(Value::Int(bytes.into()), at)?;
        let advance = !dims.is_empty() && self.take(Tok::Punct("+"));
        Ok(Operand::Mem(MemRef { base, offset, dtype: declared.dtype, dims, ring, advance }))
    }

    /// Whether all elements of an operand are in its buffer.
    pub(super) fn check_inside(&mut self, declared: &Declared, element: i64, dims: &Dims, at: usize) -> Parsed<()> {
        if dims.iter().any(|d| d.len == 0) {
            return Ok(());
        }
        let reach = |d: &Dim| i64::from(d.len - 1) * i64::from(d.stride);
        let first = element + dims.iter().map(|d| reach(d).min(0)).sum::<i64>();
        let last = element + dims.iter().map(|d| reach(d).max(0)).sum::<i64>();
        let all = declared.elements() as i64;
        if first >= 0 && last < all {
            return Ok(());
        }
        let name = clipped(&declared.name);
        let message = format!("elements {first} to {last} of `{name}`, which has {all}");
        self.fault("P011", at, message, "elements count from 0, and the end of a range is not part of it")
    }

    /// What stands in brackets behind a buffer: the first element, and the dimensions from there on.
    pub(super) fn indices(&mut self, declared: &Declared, at: usize) -> Parsed<(i64, Dims)> {
        self.punct("[")?;
        let strides = strides(&declared.shape);
        let mut element = 0i64;
        let mut dims = Dims::new();
        let mut count = 0usize;
        let linear = self.alone();
        loop {
            let stride = if linear { 1 } else { strides.get(count).copied().unwrap_or(1) };
            let size =
                if linear { declared.elements() as u32 } else { declared.shape.get(count).copied().unwrap_or(1) };
            let (from, dim) = self.index(size, count == 0)?;
            count += 1;
            let stride_of_first = if matches!(dim, Index::Strided(_)) { 1 } else { stride };
            element = element.saturating_add(from.saturating_mul(stride_of_first));
            match dim {
                Index::One => {}
                Index::Range { len, step } => {
                    dims.push(Dim { len, stride: self.stride(step.saturating_mul(stride), at)? })
                }
                Index::Strided(all) => {
                    self.punct("]")?;
                    return Ok((element, merged(all)));
                }
            }
            if !self.take(Tok::Punct(",")) {
                break;
            }
        }
        self.punct("]")?;
        if count != 1 && count != declared.shape.len() {
            let message =
                format!("{count} indices for `{}`, which has {}", clipped(&declared.name), declared.shape.len());
            return self.fault("P011", at, message, "as many as it has dimensions, or one that counts all elements");
        }
        Ok((element, merged(dims)))
    }

    fn stride(&mut self, stride: i64, at: usize) -> Parsed<i32> {
        self.fits(Value::Int(stride.into()), at)
    }

    /// Whether the brackets that were just opened hold a single index.
    fn alone(&self) -> bool {
        let mut depth = 0usize;
        for token in &self.tokens[self.next..self.end] {
            match token.tok {
                Tok::Punct("(" | "[") => depth += 1,
                Tok::Punct("]") if depth == 0 => return true,
                Tok::Punct(")" | "]") => depth = depth.saturating_sub(1),
                Tok::Punct(",") if depth == 0 => return false,
                Tok::Line => return true,
                _ => {}
            }
        }
        true
    }

    /// One index: `3`, `0..n`, `0..n step 2`, `..` for all, or `k:n:stride` with further dimensions.
    fn index(&mut self, size: u32, first: bool) -> Parsed<(i64, Index)> {
        if self.take(Tok::Punct("..")) {
            return Ok((0, Index::Range { len: size, step: 1 }));
        }
        let start = self.next;
        let from = i64::from(self.int::<i32>()?);
        if first && self.take(Tok::Punct(":")) {
            return Ok((from, Index::Strided(self.dims()?)));
        }
        if !self.take(Tok::Punct("..")) {
            return Ok((from, Index::One));
        }
        let at = self.at();
        let (end, step) = self.end_and_step(start)?;
        let (end, step) =
            (self.fits::<i32>(Value::Int(end.into()), at)?, self.fits::<i32>(Value::Int(step.into()), at)?);
        let (end, step) = (i64::from(end), i64::from(step));
        if step < 1 {
            return self.fault("P002", at, format!("a step of {step}; steps are at least 1"), "");
        }
        let len = (end - from).max(0).unsigned_abs().div_ceil(step.unsigned_abs());
        let len = self.fits(Value::Int(len.into()), at)?;
        Ok((from, Index::Range { len, step }))
    }

    /// `length` or `length:stride`, one for each dimension; `..` is as many as the instruction has.
    fn dims(&mut self) -> Parsed<Dims> {
        let mut dims = Dims::new();
        loop {
            let len = if self.take(Tok::Punct("..")) { 0 } else { self.int()? };
            let stride = if self.take(Tok::Punct(":")) { self.int()? } else { 1 };
            dims.push(Dim { len, stride });
            if !self.take(Tok::Punct(",")) {
                return Ok(dims);
            }
        }
    }

    fn mem_ref(&mut self) -> Parsed<MemRef> {
        let dtype = self.dtype()?;
        self.punct("@")?;
        let (base, offset) = self.address()?;
        let mut dims = Dims::new();
        if self.take(Tok::Punct("[")) {
            dims = self.dims()?;
            self.punct("]")?;
        }
        let ring = self.ring()?;
        let advance = !dims.is_empty() && self.take(Tok::Punct("+"));
        Ok(MemRef { base, offset, dtype, dims, ring, advance })
    }

    /// `%512+64`, or `%A` for the bytes of a buffer.
    fn ring(&mut self) -> Parsed<Option<Ring>> {
        if !self.take(Tok::Punct("%")) {
            return Ok(None);
        }
        let at = self.at();
        if let Some((name, behind)) = self.peeked_name()
            && self.names.memory.iter().any(|m| m.name == name)
        {
            self.next = behind;
            let index = self.memory_named(&name, at)?;
            let declared = &self.names.memory[index];
            let (start, bytes) = (self.address_of(declared), declared.bytes());
            return Ok(Some(Ring { start, bytes: self.fits(Value::Int(bytes.into()), at)? }));
        }
        let start = self.atom()?;
        self.punct("+")?;
        Ok(Some(Ring { start, bytes: self.atom()? }))
    }

    /// The piece of memory that the next word names.
    pub(super) fn peek_memory(&mut self) -> Option<Declared> {
        let Tok::Word(word) = self.peek() else { return None };
        let is_type = DType::ALL.iter().any(|d| d.name() == word) || Word::ALL.iter().any(|w| w.name() == word);
        if is_type || self.names.memory.is_empty() || self.at_addr_reg() || self.at_data_reg() {
            return None;
        }
        let (name, _) = self.peeked_name()?;
        self.names.memory.iter().find(|m| m.name == name).cloned()
    }

    /// `A[3]`, `A[r, c]`, `A@a0`, `A@a0[1]`: the address of an element.
    fn address_in(&mut self, declared: &Declared) -> Parsed<(Option<AddrReg>, i32)> {
        let at = self.at();
        let name = self.name()?;
        self.memory_named(&name, at)?;
        let base = if self.take(Tok::Punct("@")) { Some(self.addr_reg()?) } else { None };
        let (element, dims) =
            if self.peek() == Tok::Punct("[") { self.indices(declared, at)? } else { (0, Dims::new()) };
        if !dims.is_empty() {
            return self.fault(
                "P011",
                at,
                format!("several elements of `{}`", clipped(&name)),
                "name one, as in `A[3]`",
            );
        }
        if base.is_none() {
            self.check_inside(declared, element, &dims, at)?;
        }
        let bytes = i64::from(self.address_of(declared)) + element * i64::from(declared.dtype.bytes());
        Ok((base, self.fits(Value::Int(bytes.into()), at)?))
    }

    /// `64`, `a1`, `a1+64`, `a1-64`, or an element of a buffer.
    pub(super) fn address(&mut self) -> Parsed<(Option<AddrReg>, i32)> {
        let ends = Ends { slash: false, percent: true };
        if let Some(declared) = self.peek_memory() {
            return self.address_in(&declared);
        }
        if !self.at_addr_reg() {
            return Ok((None, self.int_until(ends)?));
        }
        let base = Some(self.addr_reg()?);
        if self.peek() == Tok::Punct("-") || self.take(Tok::Punct("+")) {
            return Ok((base, self.int_until(ends)?));
        }
        Ok((base, 0))
    }
}

/// What an index means, beside its first element.
enum Index {
    One,
    Range { len: u32, step: i64 },
    Strided(Dims),
}

/// Distance of neighbours along each dimension.
fn strides(shape: &[u32]) -> Vec<i64> {
    let mut strides = vec![1i64; shape.len()];
    for d in (1..shape.len()).rev() {
        strides[d - 1] = strides[d].saturating_mul(shape[d].into());
    }
    strides
}

/// Dimensions that give equal elements in equal order, the fewest: whole rows behind each other are one.
fn merged(dims: Dims) -> Dims {
    let mut fewest = Dims::new();
    for dim in dims {
        let inside = i64::from(dim.len) * i64::from(dim.stride);
        match fewest.last_mut() {
            Some(outer) if outer.len == 1 => *outer = dim,
            Some(_) if dim.len == 1 => {}
            Some(outer) if i64::from(outer.stride) == inside && outer.len.checked_mul(dim.len).is_some() => {
                *outer = Dim { len: outer.len * dim.len, stride: dim.stride };
            }
            _ => fewest.push(dim),
        }
    }
    fewest
}
