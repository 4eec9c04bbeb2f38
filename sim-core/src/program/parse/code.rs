//! Parsing of instructions.

use super::lex::Tok;
use super::value::Value;
use super::{Parsed, Parser, clipped};
use crate::diag::Part;
use crate::program::{
    AddrOp, AddrReg, Async, Command, Control, DType, Instr, Op, Operand, Priority, TaskId, Then, VecOp,
};

/// What an instruction begins with, beside the names of registers and operations.
const INSTRUCTIONS: [&str; 8] = ["vec", "async", "join", "loop", "activate", "block", "unblock", "control"];

/// The place of an instruction: image, task, and how many stand before it in the task.
struct Code {
    image: usize,
    task: usize,
    ordinal: usize,
}

impl<'a> Parser<'a> {
    /// The code of a task.
    pub(super) fn body(&mut self, depth: usize, image: usize, task: usize) -> Parsed<Vec<Instr>> {
        self.instrs(depth, &mut Code { image, task, ordinal: 0 })
    }

    fn instrs(&mut self, depth: usize, code: &mut Code) -> Parsed<Vec<Instr>> {
        let mut body = Vec::new();
        self.block(depth, &mut |p: &mut Parser<'a>, depth| {
            p.mark(Part::Instr(code.image, code.task, code.ordinal), p.at());
            code.ordinal += 1;
            let instr = p.instr(depth, code)?;
            body.push(instr);
            Ok(())
        })?;
        Ok(body)
    }

    /// A task by its name or its number.
    fn task_id(&mut self) -> Parsed<TaskId> {
        let at = self.at();
        let named = match self.peek() {
            Tok::Word(word) => self.scope.find(word).is_none() || self.second() == Tok::Punct("$"),
            other => matches!(other, Tok::Quoted(_)),
        };
        if !named {
            return self.int().map(TaskId);
        }
        let name = self.name()?;
        let tasks = &self.program.images[self.current].tasks;
        let mut with = tasks.iter().enumerate().filter(|(_, t)| t.name == name).map(|(i, _)| i);
        match (with.next(), with.next()) {
            (Some(one), None) => {
                let id = self.fits(Value::Int(one as i128), at)?;
                Ok(TaskId(id))
            }
            (Some(_), Some(_)) => {
                let message = format!("several tasks are named `{}`", clipped(&name));
                self.fault("P006", at, message, "give each a name of its own")
            }
            (None, _) => self.unknown_in_image(&name, "task", at),
        }
    }

    fn instr(&mut self, depth: usize, code: &mut Code) -> Parsed<Instr> {
        let Tok::Word(word) = self.peek() else { return self.expected("an instruction or `}`") };
        if self.at_addr_reg() {
            return self.addr_op().map(Instr::Addr);
        }
        if word == "vec" || Op::ALL.iter().any(|op| op.name() == word) {
            return self.vec_op().map(Instr::Vec);
        }
        if !INSTRUCTIONS.contains(&word) && word != "open" {
            let known: Vec<&str> = INSTRUCTIONS.iter().copied().chain(["open"]).chain(Op::ALL.map(Op::name)).collect();
            return self.expected_word(&known, ", an address register or `}`");
        }
        self.next += 1;
        Ok(match word {
            "async" => Instr::Async(self.async_op()?),
            "join" => Instr::Join(self.numbered('t')?),
            "loop" => Instr::Loop { count: self.int()?, body: self.instrs(depth, code)? },
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

    /// `vec OP LENGTH: DESTINATION <- SOURCE, …`. `vec` may be left out, and so may the length, which is
    /// then that of the first operand that has one; wavelets whose type is left out have that of the first
    /// vector that has one.
    fn vec_op(&mut self) -> Parsed<VecOp> {
        let at = self.at();
        self.take(Tok::Word("vec"));
        let op = self.one_of(&Op::ALL, Op::name)?;
        let written = if self.has_length() { Some(self.int()?) } else { None };
        if written.is_some() || self.peek() == Tok::Punct(":") {
            self.punct(":")?;
        }
        let mut operands = vec![self.operand()?];
        self.punct("<-")?;
        if !self.ended() && self.peek() != Tok::Word("then") {
            operands.push(self.operand()?);
            while self.take(Tok::Punct(",")) {
                operands.push(self.operand()?);
            }
        }
        let len = match written.or_else(|| operands.iter().find_map(|(o, _)| length(o))) {
            Some(len) => len,
            None => {
                let message = "no operand has a length".to_owned();
                return self.fault("P001", at, message, &format!("write it: `vec {} LENGTH: …`", op.name()));
            }
        };
        let dtype =
            operands.iter().find(|o| o.1).and_then(|_| operands.iter().filter(|o| o.1).find_map(|o| o.0.dtype()));
        let mut all = operands.into_iter().map(|(operand, typed)| match (operand, typed) {
            (Operand::Fab(color, _), false) => Operand::Fab(color, dtype.unwrap_or(DType::F32)),
            (operand, _) => operand,
        });
        let dst = all.next().expect("the destination was read");
        Ok(VecOp { op, len, dst, src: all.collect() })
    }

    /// Whether a length stands before the operands: there is a `:` outside of brackets before `<-`.
    fn has_length(&self) -> bool {
        let mut depth = 0usize;
        for token in &self.tokens[self.next..self.end] {
            match token.tok {
                Tok::Punct("[" | "(") => depth += 1,
                Tok::Punct("]" | ")") => depth = depth.saturating_sub(1),
                Tok::Punct(":") if depth == 0 => return token.at != self.at(),
                Tok::Punct("<-" | "{" | "}" | ";") | Tok::Line => return false,
                _ => {}
            }
        }
        false
    }

    fn addr_op(&mut self) -> Parsed<AddrOp> {
        let reg = self.addr_reg()?;
        self.punct("=")?;
        if !self.at_addr_reg() {
            let Tok::Word(word) = self.peek() else { return Ok(AddrOp::Set(reg, self.int()?)) };
            return match word {
                "load" => {
                    self.next += 1;
                    let (base, offset) = self.address()?;
                    Ok(AddrOp::Load { reg, base, offset })
                }
                "clamp" => {
                    self.next += 1;
                    self.same(reg)?;
                    Ok(AddrOp::Clamp(reg, self.atom()?, self.atom()?))
                }
                "wrap" => {
                    self.next += 1;
                    self.same(reg)?;
                    Ok(AddrOp::Wrap { reg, end: self.atom()?, size: self.atom()? })
                }
                _ => Ok(AddrOp::Set(reg, self.int()?)),
            };
        }
        let start = self.next;
        let other = self.addr_reg()?;
        if self.ended() {
            return Ok(AddrOp::Copy(reg, other));
        }
        self.next = start;
        self.same(reg)?;
        if self.peek() == Tok::Punct("-") {
            return Ok(AddrOp::Add(reg, self.int()?));
        }
        self.punct("+")?;
        if self.at_addr_reg() { Ok(AddrOp::AddReg(reg, self.addr_reg()?)) } else { Ok(AddrOp::Add(reg, self.int()?)) }
    }

    /// The register that is also the target.
    fn same(&mut self, target: AddrReg) -> Parsed<()> {
        let start = self.next;
        if self.at_addr_reg() && self.addr_reg()? == target {
            return Ok(());
        }
        self.next = start;
        self.expected(&format!("a{}, the register that is written", target.0))
    }
}

/// Elements that an operand says that it has.
fn length(operand: &Operand) -> Option<u32> {
    match operand {
        Operand::Mem(m) if !m.is_scalar() => m.dims.iter().try_fold(1u32, |n, d| n.checked_mul(d.len)),
        _ => None,
    }
}
