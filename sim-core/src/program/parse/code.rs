//! Parsing of instructions and operands.

use super::lex::Tok;
use super::{Parsed, Parser};
use crate::program::{
    AddrOp, AddrReg, Async, Command, Control, DType, DataReg, Dim, Dims, FifoId, Instr, MemRef, Op, Operand, Priority,
    Ring, Sources, TaskId, Then, VecOp,
};

impl Parser<'_> {
    pub(super) fn dtype(&mut self) -> Parsed<DType> {
        self.one_of(&[DType::F16, DType::Bf16, DType::F32], DType::name)
    }

    pub(super) fn addr_reg(&mut self) -> Parsed<AddrReg> {
        self.numbered('a').map(AddrReg)
    }

    pub(super) fn data_reg(&mut self) -> Parsed<DataReg> {
        self.numbered('r').map(DataReg)
    }

    pub(super) fn body(&mut self, depth: usize) -> Parsed<Vec<Instr>> {
        let mut body = Vec::new();
        self.block(depth, |p, depth| {
            let instr = p.instr(depth)?;
            body.push(instr);
            Ok(())
        })?;
        Ok(body)
    }

    fn task_id(&mut self) -> Parsed<TaskId> {
        self.int().map(TaskId)
    }

    fn instr(&mut self, depth: usize) -> Parsed<Instr> {
        let Tok::Word(word) = self.peek() else { return self.expected("an instruction or `}`") };
        if word.starts_with('a') && word[1..].starts_with(|c: char| c.is_ascii_digit()) {
            return self.addr_op().map(Instr::Addr);
        }
        match word {
            "vec" => return self.vec_op().map(Instr::Vec),
            "async" | "join" | "loop" | "activate" | "block" | "unblock" | "control" | "open" => self.next += 1,
            _ => {
                let known =
                    "vec, async, join, loop, activate, block, unblock, control, open, an address register or `}`";
                return self.expected(known);
            }
        }
        Ok(match word {
            "async" => Instr::Async(self.async_op()?),
            "join" => Instr::Join(self.numbered('t')?),
            "loop" => Instr::Loop { count: self.int()?, body: self.body(depth)? },
            "activate" => Instr::Activate(self.task_id()?),
            "block" => Instr::Block(self.task_id()?),
            "control" => Instr::Control(self.color()?, self.control()?),
            "open" => Instr::Open(self.color()?),
            _ => Instr::Unblock(self.task_id()?),
        })
    }

    fn control(&mut self) -> Parsed<Control> {
        let mut commands = Vec::new();
        while matches!(self.peek(), Tok::Word(_)) {
            commands.push(self.one_of(&Command::ALL, Command::name)?);
        }
        let task = if self.take(Tok::Punct("->")) { Some(self.int()?) } else { None };
        Ok(Control { commands, task })
    }

    fn async_op(&mut self) -> Parsed<Async> {
        let thread = self.numbered('t')?;
        let priority = self.one_of(&Priority::ALL, Priority::name)?;
        let op = self.vec_op()?;
        let then = if !self.take(Tok::Word("then")) {
            None
        } else if self.take(Tok::Word("activate")) {
            Some(Then::Activate(self.task_id()?))
        } else if self.take(Tok::Word("unblock")) {
            Some(Then::Unblock(self.task_id()?))
        } else {
            return self.expected("activate or unblock");
        };
        Ok(Async { thread, priority, op, then })
    }

    fn vec_op(&mut self) -> Parsed<VecOp> {
        self.keyword("vec")?;
        let op = self.one_of(&Op::ALL, Op::name)?;
        let len = self.int()?;
        self.punct(":")?;
        let dst = self.operand()?;
        self.punct("<-")?;
        let mut src = Sources::new();
        if !matches!(self.peek(), Tok::Line | Tok::Word("then")) {
            src.push(self.operand()?);
            while self.take(Tok::Punct(",")) {
                src.push(self.operand()?);
            }
        }
        Ok(VecOp { op, len, dst, src })
    }

    fn operand(&mut self) -> Parsed<Operand> {
        match self.peek() {
            Tok::Word("fab") => {
                self.next += 1;
                Ok(Operand::Fab(self.color()?, self.dtype()?))
            }
            Tok::Word("fifo") => {
                self.next += 1;
                Ok(Operand::Fifo(FifoId(self.int()?), self.dtype()?))
            }
            Tok::Word(word) if word.starts_with('r') => self.data_reg().map(Operand::Reg),
            Tok::Punct("#") => {
                self.next += 1;
                self.float().map(Operand::Imm)
            }
            Tok::Word("f16" | "bf16" | "f32") => self.mem_ref().map(Operand::Mem),
            _ => self.expected("an operand: type@address, fab, fifo, a data register, or a constant with #"),
        }
    }

    fn mem_ref(&mut self) -> Parsed<MemRef> {
        let dtype = self.dtype()?;
        self.punct("@")?;
        let (base, offset) = self.address()?;
        let mut dims = Dims::new();
        if self.take(Tok::Punct("[")) {
            loop {
                let len = self.int()?;
                let stride = if self.take(Tok::Punct(":")) { self.int()? } else { 1 };
                dims.push(Dim { len, stride });
                if !self.take(Tok::Punct(",")) {
                    break;
                }
            }
            self.punct("]")?;
        }
        let mut ring = None;
        if self.take(Tok::Punct("%")) {
            let start = self.int()?;
            self.punct("+")?;
            ring = Some(Ring { start, bytes: self.int()? });
        }
        Ok(MemRef { base, offset, dtype, dims, ring })
    }

    fn address(&mut self) -> Parsed<(Option<AddrReg>, i32)> {
        if !matches!(self.peek(), Tok::Word(_)) {
            return Ok((None, self.int()?));
        }
        let base = Some(self.addr_reg()?);
        if self.peek() == Tok::Punct("-") || self.take(Tok::Punct("+")) {
            return Ok((base, self.int()?));
        }
        Ok((base, 0))
    }

    fn addr_op(&mut self) -> Parsed<AddrOp> {
        let reg = self.addr_reg()?;
        self.punct("=")?;
        let Tok::Word(word) = self.peek() else { return Ok(AddrOp::Set(reg, self.int()?)) };
        if matches!(word, "clamp" | "wrap" | "load") {
            self.next += 1;
        }
        match word {
            "load" => {
                let (base, offset) = self.address()?;
                Ok(AddrOp::Load { reg, base, offset })
            }
            "clamp" => {
                self.same(reg)?;
                Ok(AddrOp::Clamp(reg, self.int()?, self.int()?))
            }
            "wrap" => {
                self.same(reg)?;
                Ok(AddrOp::Wrap { reg, end: self.int()?, size: self.int()? })
            }
            _ => {
                let start = self.next;
                let other = self.addr_reg()?;
                if self.peek() == Tok::Line {
                    return Ok(AddrOp::Copy(reg, other));
                }
                self.next = start;
                self.same(reg)?;
                if self.peek() == Tok::Punct("-") {
                    return Ok(AddrOp::Add(reg, self.int()?));
                }
                self.punct("+")?;
                match self.peek() {
                    Tok::Word(_) => Ok(AddrOp::AddReg(reg, self.addr_reg()?)),
                    _ => Ok(AddrOp::Add(reg, self.int()?)),
                }
            }
        }
    }

    /// The register that is also the target.
    fn same(&mut self, target: AddrReg) -> Parsed<()> {
        match self.peek() {
            Tok::Word(word) if word == format!("a{}", target.0) => {
                self.next += 1;
                Ok(())
            }
            _ => self.expected(&format!("a{}, the register that is written", target.0)),
        }
    }
}
