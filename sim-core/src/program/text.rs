//! The text form of a program: the printer. Its inverse is [`super::parse`].
//!
//! ```text
//! program gemv
//! grid 4x2
//!
//! image row {
//!   in q0 c1
//!   out q2 c0
//!   mem y f32[4] @1024 = 1, 2.5, -3, 0x7fc00000
//!   task main local active {
//!     vec mov 4: fab c0 f32 <- f32@1024[4]
//!     async t0 low vec mov 8: f16@a1+64[8] <- fab c1 f16 then activate 1
//!     join t0
//!     loop 10 {
//!       vec fmac 32: f32@2048[32] <- f32@2048[32], f16@a0+128[4:8,8], #0.5
//!       a0 = a0 + 64
//!       a1 = wrap a1 1024 512
//!     }
//!     a2 = load i16 a0+2
//!     if lt a2 a3 {
//!       vec mov a2 load: f32@a4+64[..]+ <- fab c1 f32
//!     } else {
//!       a2 = mul a2 4
//!     }
//!   }
//!   task recv data c1 r0 {
//!   }
//! }
//!
//! place row x=0..4 y=0 a0=5+2*(x%4)+3*(y%2)
//!
//! route c0 x=0..3 y=0..2 west -> east ramp
//! switch c0 x=1..3 y=0 pop advance ring | ramp -> east | -> north
//! filter c0 x=0..3 y=0 start 3-1*x pass 1 of 4
//!
//! edge in w north x=0..10 step 2 c3 wavelets 10 every 1 fanout 1
//! ```
//!
//! One statement per line; `//` starts a comment. Positions are `3`, `0..4` (without the 4), or
//! `0..10 step 2` (every second one). A memory operand is `type@register+bytes[dimensions]`, a
//! dimension `length` or `length:stride`; without dimensions it is one repeated word; `%512+64`
//! behind it wraps its addresses into the 64 bytes from 512 on. `fifo 0 f16` is a FIFO by number;
//! `control c0 adv nop -> 3` sends a control wavelet for control task 3, `open c0` opens a color. `2*(x%4)` is
//! a change of 2 per column with a period of 4; without `%` there is no period. `x` is the column: in a region
//! that begins elsewhere, or has a step, the place in it is `(x-3)` or `((x-3)/2)`. Numbers are
//! decimal, or the bits of a binary32 in hexadecimal. A name that is not a word is quoted; an
//! image without a name of its own is placed by number: `place #0`. Tasks are named by number.
//!
//! People write more than is printed: `docs/PROGRAMS.md`.
//!
//! **Invariant.** `parse(print(p)) == p` for every program whose spans have at least one
//! position, and `print(parse(t))` does not change when it is parsed and printed again.

use super::{
    AddrOp, AddrReg, Async, AsyncControl, Buffer, Control, Descriptors, EdgeStream, Filter, Flow, Image, Instr, MemRef,
    Operand, Placement, Priority, Program, Route, Switch, Task, Then, Trigger, VecOp, Word,
};
use crate::coord::{Color, Dir, DirSet, Span};
use std::fmt::{self, Display, Formatter};

impl Display for Program {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "program {}", Name(&self.name))?;
        match self.grid {
            Some(g) if g.width == 0 => writeln!(f, "grid 0 x {}", g.height)?,
            Some(g) => writeln!(f, "grid {g}")?,
            None => {}
        }
        for image in &self.images {
            writeln!(f)?;
            write_image(f, image)?;
        }
        blank(f, self.placements.is_empty())?;
        for p in &self.placements {
            write_placement(f, p, &self.images)?;
        }
        blank(f, self.routes.is_empty() && self.switches.is_empty() && self.filters.is_empty())?;
        for r in &self.routes {
            write_route(f, r)?;
        }
        for s in &self.switches {
            write_switch(f, s)?;
        }
        for x in &self.filters {
            write_filter(f, x)?;
        }
        blank(f, self.edges.is_empty())?;
        for e in &self.edges {
            write_edge(f, e)?;
        }
        Ok(())
    }
}

fn blank(f: &mut Formatter<'_>, empty: bool) -> fmt::Result {
    if empty { Ok(()) } else { writeln!(f) }
}

/// Whether a name can stand without quotes.
pub(super) fn is_word(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_') && chars.all(is_word_char) && !name.contains("..")
}

/// Whether a character can stand inside a word.
pub(super) fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

/// A name, quoted where it must be.
struct Name<'a>(&'a str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if is_word(self.0) {
            return f.write_str(self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// The bits of a binary32: shortest decimal that gives them, or the bits where none does.
pub(super) struct Float(pub(super) u32);

impl Display for Float {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let value = f32::from_bits(self.0);
        if value.is_nan() {
            return write!(f, "{:#010x}", self.0);
        }
        let text = format!("{value:?}");
        f.write_str(text.strip_suffix(".0").unwrap_or(&text))
    }
}

fn write_image(f: &mut Formatter<'_>, image: &Image) -> fmt::Result {
    writeln!(f, "image {} {{", Name(&image.name))?;
    for (queue, color) in &image.inputs {
        writeln!(f, "  in q{queue} {color}")?;
    }
    for (queue, color) in &image.outputs {
        writeln!(f, "  out q{queue} {color}")?;
    }
    for b in &image.buffers {
        write_buffer(f, b)?;
    }
    for q in &image.fifos {
        writeln!(f, "  fifo {} {}[{}] @{}", Name(&q.name), q.dtype.name(), q.len, q.addr)?;
    }
    for t in &image.tasks {
        write_task(f, t)?;
    }
    writeln!(f, "}}")
}

fn write_buffer(f: &mut Formatter<'_>, b: &Buffer) -> fmt::Result {
    let kind = b.word.map_or(b.dtype.name(), Word::name);
    write!(f, "  mem {} {kind}[{}] @{}", Name(&b.name), b.len, b.addr)?;
    for (i, &bits) in b.init.iter().enumerate() {
        f.write_str(if i == 0 { " = " } else { ", " })?;
        match b.word {
            Some(word) => write!(f, "{}", word.number(bits))?,
            None => write!(f, "{}", Float(bits))?,
        }
    }
    writeln!(f)
}

fn write_task(f: &mut Formatter<'_>, t: &Task) -> fmt::Result {
    write!(f, "  task {} ", Name(&t.name))?;
    match t.trigger {
        Trigger::Local => write!(f, "local")?,
        Trigger::Data(color, reg) => write!(f, "data {color} r{}", reg.0)?,
        Trigger::Control(id) => write!(f, "control {id}")?,
        Trigger::Teardown(color) => write!(f, "teardown {color}")?,
    }
    for (flag, word) in [(t.active, " active"), (t.blocked, " blocked")] {
        f.write_str(if flag { word } else { "" })?;
    }
    writeln!(f, " {{")?;
    for instr in &t.body {
        write_instr(f, instr, 2)?;
    }
    writeln!(f, "  }}")
}

fn write_instr(f: &mut Formatter<'_>, instr: &Instr, depth: usize) -> fmt::Result {
    let indent = |f: &mut Formatter<'_>| (0..depth).try_for_each(|_| f.write_str("  "));
    let body = |f: &mut Formatter<'_>, body: &[Instr]| body.iter().try_for_each(|i| write_instr(f, i, depth + 1));
    indent(f)?;
    match instr {
        Instr::Loop { .. } | Instr::Repeat { .. } | Instr::While { .. } | Instr::If { .. } => {
            writeln!(f, "{instr} {{")?;
            let [first, second] = instr.bodies();
            body(f, first)?;
            indent(f)?;
            if !second.is_empty() {
                writeln!(f, "}} else {{")?;
                body(f, second)?;
                indent(f)?;
            }
            writeln!(f, "}}")
        }
        plain => writeln!(f, "{plain}"),
    }
}

/// As in the text form; of a loop or branch, the head.
impl Display for Instr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Instr::Vec(op) => write!(f, "{op}"),
            Instr::Async(Async { thread, priority, op, then }) => {
                write!(f, "async t{thread} {} {op}", priority.name())?;
                write_then(f, *then)
            }
            Instr::AsyncControl(AsyncControl { thread, priority, color, control, then }) => {
                write!(f, "async t{thread} {} ", priority.name())?;
                write_control(f, *color, control)?;
                write_then(f, *then)
            }
            Instr::Join(thread) => write!(f, "join t{thread}"),
            Instr::Loop { count, .. } => write!(f, "loop {count}"),
            Instr::Addr(op) => write!(f, "{op}"),
            Instr::Activate(task) => write!(f, "activate {}", task.0),
            Instr::Block(task) => write!(f, "block {}", task.0),
            Instr::Unblock(task) => write!(f, "unblock {}", task.0),
            Instr::Control(color, control) => write_control(f, *color, control),
            Instr::Open(color) => write!(f, "open {color}"),
            Instr::Scalar(op) => write!(f, "{op}"),
            Instr::Return => write!(f, "return"),
            Instr::If { cond, .. } => write!(f, "if {cond}"),
            Instr::While { cond, .. } => write!(f, "while {cond}"),
            Instr::Repeat { count, .. } => write!(f, "loop a{}", count.0),
            Instr::Filter { color, start, pass, period } => {
                write!(f, "filter {color} start {start} pass {pass} of {period}")
            }
            Instr::Turn { color, position, open } => {
                write!(f, "{} {color} {position}", if *open { "open" } else { "turn" })
            }
        }
    }
}

fn write_control(f: &mut Formatter<'_>, color: Color, control: &Control) -> fmt::Result {
    write!(f, "control {color}")?;
    control.commands.iter().try_for_each(|c| write!(f, " {}", c.name()))?;
    control.task.map_or(Ok(()), |id| write!(f, " -> {id}"))
}

fn write_then(f: &mut Formatter<'_>, then: Option<Then>) -> fmt::Result {
    match then {
        Some(Then::Activate(task)) => write!(f, " then activate {}", task.0),
        Some(Then::Unblock(task)) => write!(f, " then unblock {}", task.0),
        None => Ok(()),
    }
}

impl Priority {
    /// All priorities.
    pub const ALL: [Priority; 3] = [Priority::High, Priority::Medium, Priority::Low];

    /// Name in the text form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Priority::High => "high",
            Priority::Medium => "medium",
            Priority::Low => "low",
        }
    }
}

/// As in the text form: `vec mov 4: fab c0 f32 <- f32@1024[4]`.
impl Display for VecOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "vec {} ", self.op.name())?;
        match self.count {
            Some(reg) => write!(f, "a{}", reg.0)?,
            None => write!(f, "{}", self.len)?,
        }
        let gap = if self.descriptors == Descriptors::Held { "" } else { " " };
        write!(f, "{gap}{}: {} <-", self.descriptors.name(), self.dst)?;
        for (i, src) in self.src.iter().enumerate() {
            write!(f, "{} {src}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// As in the text form.
impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Mem(m) => write!(f, "{m}"),
            Operand::Fab(color, dtype) => write!(f, "fab {color} {}", dtype.name()),
            Operand::Fifo(id, dtype) => write!(f, "fifo {} {}", id.0, dtype.name()),
            Operand::Reg(reg) => write!(f, "r{}", reg.0),
            Operand::Imm(bits) => write!(f, "#{}", Float(*bits)),
        }
    }
}

/// As in the text form: `f16@a1+64[4:8,8]%1024+512`.
impl Display for MemRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.dtype.name(), Address(self.base, self.offset))?;
        for (i, d) in self.dims.iter().enumerate() {
            f.write_str(if i == 0 { "[" } else { "," })?;
            if d.len == 0 {
                f.write_str("..")?
            } else {
                write!(f, "{}", d.len)?
            }
            if d.stride != 1 {
                write!(f, ":{}", d.stride)?;
            }
        }
        f.write_str(if self.dims.is_empty() { "" } else { "]" })?;
        if let Some(ring) = self.ring {
            write!(f, "%{}+{}", ring.start, ring.bytes)?;
        }
        f.write_str(if self.advance && !self.dims.is_empty() { "+" } else { "" })
    }
}

/// `64`, `a1`, `a1+64`, `a1-64`.
pub(super) struct Address(pub(super) Option<AddrReg>, pub(super) i32);

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (None, offset) => write!(f, "{offset}"),
            (Some(reg), 0) => write!(f, "a{}", reg.0),
            (Some(reg), offset) => write!(f, "a{}{offset:+}", reg.0),
        }
    }
}

/// As in the text form.
impl Display for AddrOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "a{} = ", self.target().0)?;
        match *self {
            AddrOp::Set(_, value) => write!(f, "{value}"),
            AddrOp::Add(r, value) => {
                write!(f, "a{} {} {}", r.0, if value < 0 { '-' } else { '+' }, value.unsigned_abs())
            }
            AddrOp::Copy(_, other) => write!(f, "a{}", other.0),
            AddrOp::AddReg(r, other) => write!(f, "a{} + a{}", r.0, other.0),
            AddrOp::Clamp(r, low, high) => write!(f, "clamp a{} {low} {high}", r.0),
            AddrOp::Wrap { reg, end, size } => write!(f, "wrap a{} {end} {size}", reg.0),
            AddrOp::Load { base, offset, .. } => write!(f, "load {}", Address(base, offset)),
        }
    }
}

fn write_placement(f: &mut Formatter<'_>, p: &Placement, images: &[Image]) -> fmt::Result {
    let own = images.get(p.image as usize).map(|i| i.name.as_str());
    match own.filter(|name| images.iter().filter(|i| i.name == *name).count() == 1) {
        Some(name) => write!(f, "place {} {}", Name(name), p.region)?,
        None => write!(f, "place #{} {}", p.image, p.region)?,
    }
    for param in &p.params {
        write!(f, " a{}={}", param.reg.0, param.base)?;
        let axes = [(param.dx, "x", p.region.x, param.mod_x), (param.dy, "y", p.region.y, param.mod_y)];
        for (change, axis, span, period) in axes {
            match (change, period) {
                (0, 1) => {}
                (_, u32::MAX) => write!(f, "{change:+}*{}", Ordinal(axis, span))?,
                _ => write!(f, "{change:+}*({}%{period})", Ordinal(axis, span))?,
            }
        }
    }
    writeln!(f)
}

/// The place within the positions of a region, from the column `x` or the row `y`.
struct Ordinal(&'static str, Span);

impl Display for Ordinal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Ordinal(axis, span) = self;
        match (span.start, span.step) {
            (0, 1) => write!(f, "{axis}"),
            (start, 1) => write!(f, "({axis}-{start})"),
            (0, step) => write!(f, "({axis}/{step})"),
            (start, step) => write!(f, "(({axis}-{start})/{step})"),
        }
    }
}

fn write_route(f: &mut Formatter<'_>, r: &Route) -> fmt::Result {
    writeln!(f, "route {} {} {} ->{}", r.color, r.region, r.rx.name(), Ports(r.tx))
}

fn write_switch(f: &mut Formatter<'_>, s: &Switch) -> fmt::Result {
    write!(f, "switch {} {} pop {}{}", s.color, s.region, s.pop.name(), if s.ring { " ring" } else { "" })?;
    for p in &s.positions {
        write!(f, " |")?;
        if let Some(rx) = p.rx {
            write!(f, " {}", rx.name())?;
        }
        if let Some(tx) = p.tx {
            write!(f, " ->{}", Ports(tx))?;
        }
    }
    writeln!(f)
}

fn write_filter(f: &mut Formatter<'_>, x: &Filter) -> fmt::Result {
    write!(f, "filter {} {} start {}", x.color, x.region, x.start)?;
    for (change, axis, span) in [(x.dx, "x", x.region.x), (x.dy, "y", x.region.y)] {
        if change != 0 {
            write!(f, "{change:+}*{}", Ordinal(axis, span))?;
        }
    }
    writeln!(f, " pass {} of {}", x.pass, x.period)
}

struct Ports(DirSet);

impl Display for Ports {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|d| write!(f, " {}", d.name()))
    }
}

fn write_edge(f: &mut Formatter<'_>, e: &EdgeStream) -> fmt::Result {
    let flow = if e.flow == Flow::In { "in" } else { "out" };
    let axis = if matches!(e.side, Dir::North | Dir::South) { 'x' } else { 'y' };
    write!(f, "edge {flow} {} {} {axis}={} {}", Name(&e.name), e.side.name(), e.ports, e.color)?;
    writeln!(f, " wavelets {} every {} fanout {}", e.wavelets, e.interval, e.fanout)
}
