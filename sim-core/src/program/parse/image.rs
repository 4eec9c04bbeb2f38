//! Images: declarations first, then the code of tasks.
//!
//! The code of a task may name tasks and buffers that are declared below it. So all declarations of an
//! image are read, addresses are given to its buffers, and then the tasks' code is read.
//!
//! **Not here.** Instructions (`code.rs`), operands (`operand.rs`), addresses (`memory.rs`).

use super::lex::Tok;
use super::memory::{Declared, Piece, Where};
use super::scope::{Scope, nearest};
use super::value::Value;
use super::{Parsed, Parser, clipped};
use crate::diag::Part;
use crate::program::{AddrReg, Buffer, DType, DataReg, Fifo, Image, Task, Trigger, Word};

/// What the names in an image stand for.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// Buffers and FIFOs.
    pub(super) memory: Vec<Declared>,
    /// Registers with names.
    pub(super) registers: Vec<(String, Register)>,
}

/// A register of either kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Register {
    Addr(AddrReg),
    Data(DataReg),
}

/// A task whose code is not read yet.
struct Body<'a> {
    task: usize,
    /// The `{` of its code.
    first: usize,
    scope: Scope<'a>,
    repeats: Vec<(&'a str, i128)>,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// The image that is being read.
    pub(super) fn image_mut(&mut self) -> &mut Image {
        &mut self.program.images[self.current]
    }

    pub(super) fn image(&mut self, depth: usize, at: usize) -> Parsed<()> {
        let name = self.name()?;
        let (start, index) = (self.next, self.program.images.len());
        self.program.images.push(Image { name, ..Image::default() });
        self.mark(Part::Image(index), at);
        self.names = Names::default();
        self.current = index;
        let mut bodies = Vec::new();
        let done = self.block(depth, &mut |p, depth| p.declaration(depth, start, &mut bodies));
        let behind = self.cut.take().unwrap_or(self.next);
        let allocated = self.allocate();
        for body in bodies {
            self.next = body.first;
            let around =
                (std::mem::replace(&mut self.scope, body.scope), std::mem::replace(&mut self.repeats, body.repeats));
            let code = self.body(body.depth, index, body.task);
            (self.scope, self.repeats) = around;
            if let Ok(code) = code {
                self.image_mut().tasks[body.task].body = code;
            }
        }
        if !self.given_up {
            self.next = behind;
        }
        let names = std::mem::take(&mut self.names);
        self.images.push(names);
        done.and(allocated)
    }

    fn declaration(&mut self, depth: usize, start: usize, bodies: &mut Vec<Body<'a>>) -> Parsed<()> {
        const KNOWN: [&str; 10] = ["in", "out", "mem", "fifo", "reg", "task", "const", "def", "for", "if"];
        let at = self.at();
        let Tok::Word(word) = self.peek() else { return self.expected_word(&KNOWN, " or `}`") };
        if matches!(word, "program" | "grid" | "image" | "place" | "route" | "switch" | "edge" | "expect" | "param") {
            return self.cut_off(word);
        }
        if !KNOWN[..6].contains(&word) {
            return self.expected_word(&KNOWN, " or `}`");
        }
        self.next += 1;
        match word {
            "in" => {
                let bound = (self.resource('q')?, self.color()?);
                self.image_mut().inputs.push(bound);
            }
            "out" => {
                let bound = (self.resource('q')?, self.color()?);
                self.image_mut().outputs.push(bound);
            }
            "mem" => self.buffer(at)?,
            "fifo" => self.fifo(at)?,
            "reg" => self.register(start)?,
            _ => bodies.push(self.task(depth, at)?),
        }
        Ok(())
    }

    /// A statement that stands in no image: there is a `}` too few above, and the image ends here.
    fn cut_off(&mut self, word: &str) -> Parsed<()> {
        let before = self.next.checked_sub(1).filter(|&n| matches!(self.tokens[n].tok, Tok::Line | Tok::Punct(";")));
        self.cut = before;
        self.fault("P001", self.at(), format!("`{word}` inside of an image"), "is there a `}` too few above?")
    }

    /// The type of elements: of numbers, or of integers in a buffer.
    fn element_type(&mut self, piece: Piece) -> Parsed<(DType, Option<Word>)> {
        if let Tok::Word(name) = self.peek()
            && let Some(word) = Word::ALL.into_iter().find(|w| w.name() == name && matches!(piece, Piece::Buffer(_)))
        {
            self.next += 1;
            return Ok((word.as_wide(), Some(word)));
        }
        let known: Vec<&str> = DType::ALL.map(DType::name).into_iter().chain(Word::ALL.map(Word::name)).collect();
        match self.peek() {
            Tok::Word(name) if DType::ALL.iter().any(|d| d.name() == name) => Ok((self.dtype()?, None)),
            _ => self.expected_word(&known, ""),
        }
    }

    /// Type, shape and place of a piece of memory.
    fn piece(&mut self, name: &str, piece: Piece, at: usize) -> Parsed<Declared> {
        let (dtype, word) = self.element_type(piece)?;
        self.punct("[")?;
        let mut shape = vec![self.int()?];
        while self.take(Tok::Punct(",")) {
            shape.push(self.int()?);
        }
        self.punct("]")?;
        let place = self.place_of_memory()?;
        let declared = Declared { name: name.to_owned(), piece, dtype, word, shape, place, at };
        match u32::try_from(declared.elements()) {
            Ok(_) => Ok(declared),
            Err(_) => self.fault("P002", at, format!("{} elements are out of range", declared.elements()), ""),
        }
    }

    fn place_of_memory(&mut self) -> Parsed<Where> {
        if self.take(Tok::Punct("@")) {
            return Ok(Where::At(self.int()?));
        }
        if self.take(Tok::Word("over")) {
            let name = self.name()?;
            let element = if self.take(Tok::Punct("[")) {
                let element = self.int()?;
                self.punct("]")?;
                element
            } else {
                0
            };
            return Ok(Where::Over(name, element));
        }
        let mut place = (8, 0);
        if self.take(Tok::Word("align")) {
            let at = self.at();
            place.0 = self.int()?;
            if self.take(Tok::Word("plus")) {
                place.1 = self.int()?;
            }
            if place.0 == 0 {
                return self.fault("P002", at, "an alignment of 0 bytes".to_owned(), "");
            }
        }
        Ok(Where::Free { align: place.0, plus: place.1 })
    }

    /// Remembers that a declaration failed, so that uses of the name cause no diagnostics.
    fn declared<T>(&mut self, name: &str, read: Parsed<T>) -> Parsed<T> {
        if read.is_err() {
            self.failed.insert(name.to_owned());
        }
        read
    }

    fn fifo(&mut self, at: usize) -> Parsed<()> {
        let name = self.name()?;
        let index = self.image_mut().fifos.len();
        let piece = self.piece(&name, Piece::Fifo(index), at);
        let piece = self.declared(&name, piece)?;
        let addr = if let Where::At(address) = piece.place { address } else { 0 };
        let fifo = Fifo { name, addr, dtype: piece.dtype, len: piece.elements() as u32 };
        self.image_mut().fifos.push(fifo);
        self.names.memory.push(piece);
        Ok(())
    }

    fn buffer(&mut self, at: usize) -> Parsed<()> {
        let name = self.name()?;
        let (image, index) = (self.current, self.image_mut().buffers.len());
        let piece = self.piece(&name, Piece::Buffer(index), at);
        let piece = self.declared(&name, piece)?;
        self.mark(Part::Buffer(image, index), at);
        if let Where::Over(..) = piece.place {
            self.meant.insert(Part::Buffer(image, index));
        }
        let addr = if let Where::At(address) = piece.place { address } else { 0 };
        let (dtype, word, len) = (piece.dtype, piece.word, piece.elements() as u32);
        let shape = piece.shape.clone();
        self.image_mut().buffers.push(Buffer { name, addr, dtype, word, len, init: Vec::new() });
        self.names.memory.push(piece);
        if self.take(Tok::Punct("=")) {
            self.start_values(image, index, &shape)?;
        }
        Ok(())
    }

    /// `reg NAME` or `reg NAME = a3`: a name for a register; the lowest that the image does not write by
    /// number, if there is none.
    fn register(&mut self, start: usize) -> Parsed<()> {
        let at = self.at();
        let name = self.name()?;
        if self.names.registers.iter().any(|r| r.0 == name) || self.scope.find(&name).is_some() {
            return self.fault("P006", at, format!("`{}` is defined already", clipped(&name)), "");
        }
        let register = if self.take(Tok::Punct("=")) {
            match self.peek() {
                Tok::Word(word) if word.starts_with('r') => Register::Data(self.data_reg()?),
                _ => Register::Addr(self.addr_reg()?),
            }
        } else {
            Register::Addr(self.free_register(start, at)?)
        };
        self.names.registers.push((name, register));
        Ok(())
    }

    fn free_register(&mut self, start: usize, at: usize) -> Parsed<AddrReg> {
        let mut depth = 0usize;
        let image = self.tokens[start..self.end].iter().take_while(|t| {
            match t.tok {
                Tok::Punct("{") => depth += 1,
                Tok::Punct("}") => depth -= 1,
                _ => {}
            }
            depth > 0
        });
        let written: Vec<&str> = image.filter_map(|t| if let Tok::Word(w) = t.tok { Some(w) } else { None }).collect();
        let named = |reg: AddrReg| self.names.registers.iter().any(|r| r.1 == Register::Addr(reg));
        let free = (0..AddrReg::COUNT).map(AddrReg).find(|&reg| {
            let word = format!("a{}", reg.0);
            !named(reg) && !written.contains(&word.as_str())
        });
        match free {
            Some(reg) => Ok(reg),
            None => {
                let message = format!("no register is left; a PE has {}", AddrReg::COUNT);
                self.fault("P011", at, message, "use one register for several things")
            }
        }
    }

    fn task(&mut self, depth: usize, at: usize) -> Parsed<Body<'a>> {
        let name = self.name()?;
        let (image, task) = (self.current, self.image_mut().tasks.len());
        self.mark(Part::Task(image, task), at);
        let task_of = |trigger| Task { name, trigger, active: false, blocked: false, body: Vec::new() };
        // Known by its name even if the rest of the line is faulty.
        self.image_mut().tasks.push(task_of(Trigger::Local));
        let trigger = if self.take(Tok::Word("local")) {
            Trigger::Local
        } else if self.take(Tok::Word("data")) {
            Trigger::Data(self.color()?, self.data_reg()?)
        } else if self.take(Tok::Word("control")) {
            Trigger::Control(self.int()?)
        } else if self.take(Tok::Word("teardown")) {
            Trigger::Teardown(self.color()?)
        } else {
            return self.expected_word(&["local", "data", "control", "teardown"], "");
        };
        let active = self.take(Tok::Word("active"));
        let blocked = self.take(Tok::Word("blocked"));
        let own = &mut self.image_mut().tasks[task];
        (own.trigger, own.active, own.blocked) = (trigger, active, blocked);
        let body = Body { task, first: self.next, scope: self.scope.clone(), repeats: self.repeats.clone(), depth };
        self.skip_block(depth)?;
        Ok(body)
    }

    /// The piece of memory with a name.
    pub(super) fn memory_named(&mut self, name: &str, at: usize) -> Parsed<usize> {
        let mut with = self.names.memory.iter().enumerate().filter(|(_, m)| m.name == name).map(|(i, _)| i);
        match (with.next(), with.next()) {
            (Some(one), None) => Ok(one),
            (Some(_), Some(_)) => {
                let message = format!("several buffers are named `{}`", clipped(name));
                self.fault("P006", at, message, "give each a name of its own")
            }
            (None, _) => self.unknown_in_image(name, "buffer", at),
        }
    }

    /// A name that stands for nothing in the image.
    pub(super) fn unknown_in_image<T>(&mut self, name: &str, what: &str, at: usize) -> Parsed<T> {
        if self.failed.contains(name) {
            return Err(super::Stop::Failed);
        }
        let image = self.program.images.get(self.current);
        let tasks = image.iter().flat_map(|i| &i.tasks).map(|t| t.name.as_str()).filter(|_| what == "task");
        let memory = self.names.memory.iter().map(|m| m.name.as_str()).filter(|_| what != "task");
        let registers = self.names.registers.iter().map(|r| r.0.as_str()).filter(|_| what != "task");
        let help = nearest(name, tasks.chain(memory).chain(registers)).unwrap_or_default();
        self.fault("P005", at, format!("there is no {what} `{}` in this image", clipped(name)), &help)
    }

    /// The address that a piece of memory has.
    pub(super) fn address_of(&self, declared: &Declared) -> u32 {
        let image = &self.program.images[self.current];
        match declared.piece {
            Piece::Buffer(i) => image.buffers[i].addr,
            Piece::Fifo(i) => image.fifos[i].addr,
        }
    }

    /// `addr(A)`, `len(A)` or `bytes(A)`; `addr(A[3])` is the address of an element.
    pub(super) fn of_buffer(&mut self, function: &str) -> Parsed<Value> {
        let at = self.at();
        let name = self.name()?;
        let declared = self.memory_named(&name, at)?;
        let declared = self.names.memory[declared].clone();
        let size = u64::from(declared.dtype.bytes());
        Ok(Value::Int(match function {
            "len" => declared.elements().into(),
            "bytes" => (declared.elements() * size).into(),
            _ => {
                let offset = if self.peek() == Tok::Punct("[") { self.indices(&declared, at)?.0 } else { 0 };
                i128::from(self.address_of(&declared)) + i128::from(offset) * i128::from(size)
            }
        }))
    }
}
