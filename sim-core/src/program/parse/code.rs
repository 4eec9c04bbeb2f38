//! Parsing of instructions.

use super::lex::Tok;
use super::value::Value;
use super::{Parsed, Parser, clipped};
use crate::diag::Part;
use crate::program::{
    AddrOp, AddrReg, Async, AsyncControl, Command, Control, DType, Descriptors, Instr, Int, IntOp, Op, Operand,
    Priority, ScalarOp, TaskId, Then, VecOp,
};

/// What an instruction begins with, beside the names of registers and operations.
const INSTRUCTIONS: [&str; 16] = [
    "vec",
    "async",
    "join",
    "loop",
    "if",
    "while",
    "activate",
    "block",
    "unblock",
    "control",
    "open",
    "turn",
    "filter",
    "store",
    "timestamp",
    "return",
];

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
            return self.addr_op();
        }
        if self.at_data_reg() {
            return self.float_op().map(Instr::Scalar);
        }
        if word == "vec" || Op::ALL.iter().any(|op| op.name() == word) {
            return self.vec_op().map(Instr::Vec);
        }
        if !INSTRUCTIONS.contains(&word) && self.peek_memory().is_some() {
            let help = format!("an element is written by `store {}[k] a1`, all by `mov {0} <- …`", clipped(word));
            return self.expected_help("an instruction", &help);
        }
        if !INSTRUCTIONS.contains(&word) {
            let known: Vec<&str> = INSTRUCTIONS.iter().copied().chain(Op::ALL.map(Op::name)).collect();
            return self.expected_word(&known, ", a register or `}`");
        }
        self.next += 1;
        Ok(match word {
            "async" => self.async_op()?,
            "join" => Instr::Join(self.resource('t')?),
            "loop" if self.at_addr_reg() => self.repeated(depth, code)?,
            "loop" => Instr::Loop { count: self.int()?, body: self.instrs(depth, code)? },
            "if" => self.branch(depth, code)?,
            "while" => Instr::While { cond: self.cond()?, body: self.instrs(depth, code)? },
            "store" => Instr::Scalar(self.store()?),
            "timestamp" => Instr::Scalar(self.timestamp()?),
            "filter" => self.set_filter()?,
            "return" => Instr::Return,
            "turn" => Instr::Turn { color: self.color()?, position: self.int_source()?, open: false },
            "activate" => Instr::Activate(self.task_id()?),
            "block" => Instr::Block(self.task_id()?),
            "control" => Instr::Control(self.color()?, self.control()?),
            "open" => {
                let color = self.color()?;
                match self.ended() {
                    true => Instr::Open(color),
                    false => Instr::Turn { color, position: self.int_source()?, open: true },
                }
            }
            _ => Instr::Unblock(self.task_id()?),
        })
    }

    /// Behind `loop`, if a register says how often.
    fn repeated(&mut self, depth: usize, code: &mut Code) -> Parsed<Instr> {
        let count = self.addr_reg()?;
        if self.peek() != Tok::Punct("{") {
            return self.expected_help("`{`", "a loop with a condition is a `while`");
        }
        Ok(Instr::Repeat { count, body: self.instrs(depth, code)? })
    }

    /// The `=` behind a register.
    pub(super) fn becomes(&mut self) -> Parsed<()> {
        match self.peek() {
            Tok::Punct("+" | "-" | "*") => self.expected_help("`=`", "write the register again: `a1 = a1 + 1`"),
            _ => self.punct("="),
        }
    }

    /// Behind the `if` of a branch that the machine takes.
    fn branch(&mut self, depth: usize, code: &mut Code) -> Parsed<Instr> {
        let (cond, then) = (self.cond()?, self.instrs(depth, code)?);
        let otherwise = match self.take(Tok::Word("else")) {
            false => Vec::new(),
            true if self.take(Tok::Word("if")) => {
                self.mark(Part::Instr(code.image, code.task, code.ordinal), self.at());
                code.ordinal += 1;
                vec![self.branch(depth + 1, code)?]
            }
            true => self.instrs(depth, code)?,
        };
        Ok(Instr::If { cond, then, otherwise })
    }

    fn set_filter(&mut self) -> Parsed<Instr> {
        let color = self.color()?;
        let mut numbers = [Int::Const(0); 3];
        for (number, word) in numbers.iter_mut().zip(["start", "pass", "of"]) {
            self.keyword(word)?;
            *number = self.int_source()?;
        }
        let [start, pass, period] = numbers;
        Ok(Instr::Filter { color, start, pass, period })
    }

    fn control(&mut self) -> Parsed<Control> {
        let mut commands = Vec::new();
        while matches!(self.peek(), Tok::Word(word) if word != "then") {
            commands.push(self.one_of(&Command::ALL, Command::name)?);
        }
        let task = if self.take(Tok::Punct("->")) { Some(self.int()?) } else { None };
        Ok(Control { commands, task })
    }

    fn async_op(&mut self) -> Parsed<Instr> {
        let thread = self.resource('t')?;
        let priority = self.one_of(&Priority::ALL, Priority::name)?;
        if self.take(Tok::Word("control")) {
            let (color, control) = (self.color()?, self.control()?);
            return Ok(Instr::AsyncControl(AsyncControl { thread, priority, color, control, then: self.then()? }));
        }
        let op = self.vec_op()?;
        Ok(Instr::Async(Async { thread, priority, op, then: self.then()? }))
    }

    /// What happens when a microthread is done.
    fn then(&mut self) -> Parsed<Option<Then>> {
        if !self.take(Tok::Word("then")) {
            Ok(None)
        } else if self.take(Tok::Word("activate")) {
            Ok(Some(Then::Activate(self.task_id()?)))
        } else if self.take(Tok::Word("unblock")) {
            Ok(Some(Then::Unblock(self.task_id()?)))
        } else {
            self.expected("activate or unblock")
        }
    }

    /// `vec OP LENGTH: DESTINATION <- SOURCE, …`. `vec` may be left out, and so may the length, which is
    /// then that of the first operand that has one; wavelets whose type is left out have that of the first
    /// vector that has one. With a register as length, operands by name are as long as it says. `load`,
    /// `base` or both may stand before the colon.
    fn vec_op(&mut self) -> Parsed<VecOp> {
        let at = self.at();
        self.take(Tok::Word("vec"));
        let op = self.one_of(&Op::ALL, Op::name)?;
        let (written, count, descriptors) = self.length_and_descriptors()?;
        let mut operands = vec![self.operand_of(count.is_some())?];
        self.punct("<-")?;
        if !self.ended() && self.peek() != Tok::Word("then") {
            operands.push(self.operand_of(count.is_some())?);
            while self.take(Tok::Punct(",")) {
                operands.push(self.operand_of(count.is_some())?);
            }
        }
        let written = written.or(count.map(|_| 0));
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
        Ok(VecOp { op, len, count, descriptors, dst, src: all.collect() })
    }

    /// What stands before the colon: the length as a number or as a register, and what is done for the
    /// descriptors.
    fn length_and_descriptors(&mut self) -> Parsed<(Option<u32>, Option<AddrReg>, Descriptors)> {
        let (mut written, mut count, mut descriptors) = (None, None, Descriptors::Held);
        if self.has_length() {
            let marked = |p: &Self| match (p.peek(), p.second()) {
                (Tok::Word("load" | "base"), Tok::Punct(":")) => true,
                (first, second) => first == Tok::Word("load") && second == Tok::Word("base"),
            };
            if self.at_addr_reg() {
                count = Some(self.addr_reg()?);
            } else if !marked(self) {
                written = Some(self.int()?);
            }
            if marked(self) {
                descriptors = match (self.take(Tok::Word("load")), self.take(Tok::Word("base"))) {
                    (true, true) => Descriptors::LoadedBased,
                    (true, false) => Descriptors::Loaded,
                    (false, _) => Descriptors::Based,
                };
            }
            self.punct(":")?;
        } else {
            self.take(Tok::Punct(":"));
        }
        Ok((written, count, descriptors))
    }

    /// An operand; if the length of the instruction is in a register, one by name is as long as it says.
    fn operand_of(&mut self, open: bool) -> Parsed<(Operand, bool)> {
        let by_address = self.second() == Tok::Punct("@")
            && matches!(self.peek(), Tok::Word(word) if DType::ALL.iter().any(|d| d.name() == word));
        let (mut operand, typed) = self.operand()?;
        if let Operand::Mem(m) = &mut operand
            && let Some(first) = m.dims.first_mut().filter(|_| open && !by_address)
        {
            first.len = 0;
        }
        Ok((operand, typed))
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

    /// `a1 = …`
    fn addr_op(&mut self) -> Parsed<Instr> {
        let reg = self.addr_reg()?;
        self.becomes()?;
        if self.at_addr_reg() {
            return self.computed(reg);
        }
        let Tok::Word(word) = self.peek() else { return Ok(Instr::Addr(AddrOp::Set(reg, self.int()?))) };
        if let Some(op) = self.int_op(reg, word)? {
            return Ok(Instr::Scalar(op));
        }
        let op = match word {
            "load" => {
                self.next += 1;
                if let Some(op) = self.typed_load(reg)? {
                    return Ok(Instr::Scalar(op));
                }
                let (base, offset) = self.address()?;
                AddrOp::Load { reg, base, offset }
            }
            "clamp" => {
                self.next += 1;
                self.same(reg)?;
                AddrOp::Clamp(reg, self.first_of_two()?, self.int()?)
            }
            "wrap" => {
                self.next += 1;
                self.same(reg)?;
                AddrOp::Wrap { reg, end: self.first_of_two()?, size: self.int()? }
            }
            _ => AddrOp::Set(reg, self.int()?),
        };
        Ok(Instr::Addr(op))
    }

    /// `a1 = a2`, `a1 = a1 + 8`, `a1 = a2 * a3`: the forms with an operator between its operands.
    fn computed(&mut self, reg: AddrReg) -> Parsed<Instr> {
        let other = self.addr_reg()?;
        if self.ended() {
            return Ok(Instr::Addr(AddrOp::Copy(reg, other)));
        }
        let op = match self.peek() {
            Tok::Punct("+") => IntOp::Add,
            Tok::Punct("-") => IntOp::Sub,
            Tok::Punct("*") => IntOp::Mul,
            Tok::Punct("/" | "%") => {
                let help = "of integers there is no division; `sar a1 n` divides by the n-th power of two";
                return self.expected_help("+, -, * or the end of the line", help);
            }
            _ => return self.expected("+, -, * or the end of the line"),
        };
        let start = self.next;
        self.next += 1;
        if self.at_addr_reg() {
            let second = self.addr_reg()?;
            self.one_operation()?;
            return Ok(match op {
                IntOp::Add if other == reg => Instr::Addr(AddrOp::AddReg(reg, second)),
                _ => Instr::Scalar(ScalarOp::Int(reg, op, Int::Reg(other), Int::Reg(second))),
            });
        }
        if op == IntOp::Mul {
            let factor: i32 = self.factor()?;
            return Ok(Instr::Scalar(ScalarOp::Int(reg, op, Int::Reg(other), Int::Const(factor))));
        }
        if op == IntOp::Sub {
            // `a2 - 3 - 2` is 5 less.
            self.next = start;
        }
        let at = self.at();
        let change: i32 = self.int()?;
        self.one_operation()?;
        if other == reg {
            return Ok(Instr::Addr(AddrOp::Add(reg, change)));
        }
        let amount = if op == IntOp::Sub { -i64::from(change) } else { change.into() };
        let amount = self.fits(Value::Int(amount.into()), at)?;
        Ok(Instr::Scalar(ScalarOp::Int(reg, op, Int::Reg(other), Int::Const(amount))))
    }

    /// A constant behind `*`, at the end of an instruction.
    fn factor(&mut self) -> Parsed<i32> {
        let at = self.at();
        let value = self.constant_product()?;
        if !self.ended() {
            let help = "an instruction is one operation; put a sum that is a factor in parentheses";
            return self.expected_help("the end of the line", help);
        }
        self.fits(value, at)
    }

    /// Behind the operands of an instruction with an operator.
    fn one_operation(&mut self) -> Parsed<()> {
        if self.ended() {
            return Ok(());
        }
        self.expected_help("the end of the line", "an instruction is one operation; write another one for the rest")
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
