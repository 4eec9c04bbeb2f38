//! Colors, queues and microthreads of a kernel, given out by what they are used for.
//!
//! A kernel is put together of helpers: a ring along the row, a chain down the columns, a stream of
//! weights. Each needs colors and queues, and two helpers of one kernel must not take the same ones. So a
//! kernel says which [`Use`]s it has, and [`Ports::allot`] gives each of them its own, within the limits
//! of the machine (`router.colors`, `pe.input_queues`, `pe.output_queues`, `pe.microthreads`).
//!
//! Which color and which queue a use gets is not indifferent: colors decide the order in which a router
//! serves them (rule R3), queues differ in depth (rules C6 and C7). So every use has a place of its own
//! that it gets if the machine has it and nobody was there before: streams from the north first, then
//! rings along rows, then down columns; deep queues for the longest messages. Else it gets the first
//! color that is free, and the deepest queue. For example, a ring along the row has colors 4 to 7; on a
//! machine of six colors it gets four of those that the stream of weights leaves.
//!
//! Registers belong to the program format, not to the machine: `address_registers!` and
//! `microthreads!` number names in their order, and a register too many does not compile.
//!
//! **Invariant.** No color, queue or microthread is given out twice to a kernel.
//! **Not here.** Routes (`ring`, `row`, `streams`), memory (`memory`).

use super::instr::color;
use sim_core::arch::ArchSpec;
use sim_core::coord::Color;
use sim_core::diag::Diagnostic;
use sim_core::program::AddrReg;

/// What a kernel uses colors and queues for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// A stream from the north edge, broadcast down the columns: weights, parameters, embeddings.
    North,
    /// A second one: embeddings of positions.
    Positions,
    /// A third one: checkpoints on their way back.
    CheckpointIn,
    /// A chain down the columns to the south edge: sums, or checkpoints on their way out.
    Chain,
    /// The ring along a lane's row.
    RowRing,
    /// The ring along the columns of a head.
    HeadRing,
    /// The ring down the rows of a sequence: keys and values.
    ColumnRing,
    /// A second one: their gradients.
    SumsRing,
    /// Sums over a lane's row, and the way back.
    RowReduction,
    /// Targets from the west edge to the first columns of the lanes.
    Scatter,
    /// Targets along a lane, which the first column receives where the others receive these.
    Along,
    /// A stream from the west edge, broadcast along the rows: angles, positions.
    West,
    /// A level of sums down the columns.
    Level(u8),
    /// What leaves of the last of so many levels.
    Edge(u8),
}

/// What a use needs, and where it is put if nothing speaks against it.
struct Want {
    /// Its name in messages.
    name: &'static str,
    /// Its colors, by what they do.
    colors: &'static [&'static str],
    /// The first of them.
    first: u8,
    /// Input queues.
    inputs: &'static [u8],
    /// Output queues.
    outputs: &'static [u8],
}

/// Colors of a ring: those of places that send away from the origin, and of those that send back.
const RING: &[&str] = &["away, even", "away, odd", "back, even", "back, odd"];
/// Colors of a chain: those on which even and odd rows send.
const CHAIN: &[&str] = &["even", "odd"];
/// Input queue of a level of sums.
const LEVEL: [&[u8]; 8] = [&[0], &[1], &[2], &[3], &[4], &[5], &[6], &[7]];

impl Use {
    fn want(self) -> Want {
        let want = |name, colors, first, inputs, outputs| Want { name, colors, first, inputs, outputs };
        match self {
            Use::North => want("stream from the north", &[""], 0, &[0], &[]),
            Use::Positions => want("positions from the north", &[""], 3, &[1], &[]),
            Use::CheckpointIn => want("checkpoints from the north", &[""], 1, &[2], &[]),
            Use::Chain => want("chain down the column", CHAIN, 1, &[2], &[3]),
            Use::RowRing => want("ring along the row", RING, 4, &[1], &[2]),
            Use::HeadRing => want("ring along the head", RING, 4, &[2], &[0]),
            Use::ColumnRing => want("ring of keys", RING, 8, &[0], &[2]),
            Use::SumsRing => want("ring of their gradients", RING, 12, &[1], &[3]),
            Use::RowReduction => want("sums over the row", &["even", "odd", "back"], 12, &[1, 3], &[2]),
            Use::Scatter => want("targets from the west", CHAIN, 16, &[0], &[0]),
            Use::Along => want("targets along the lane", &[""], 18, &[], &[1]),
            Use::West => want("stream from the west", &[""], 16, &[0], &[]),
            Use::Level(level) => want("level of sums", CHAIN, 2 * level, LEVEL[usize::from(level) % LEVEL.len()], &[]),
            Use::Edge(levels) => want("sums of the last level", &[""], 2 * levels, &[], &[3]),
        }
    }
}

/// What a kernel needs of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uses {
    /// Of colors and queues, in the order in which they are given out.
    pub ports: Vec<Use>,
    /// Its microthreads by name: the number of each is its place.
    pub microthreads: &'static [&'static str],
}

/// The color that every machine has.
const FIRST: Color = match Color::new(0) {
    Some(color) => color,
    None => panic!("a machine has a color"),
};

/// The colors and queues of a use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    colors: [Color; 4],
    inputs: [u8; 2],
    output: u8,
}

impl Port {
    /// No color and no queue in particular.
    pub const NONE: Port = Port { colors: [FIRST; 4], inputs: [0; 2], output: 0 };

    /// Its colors, in the order that its [`Use`] says.
    #[must_use]
    pub fn colors<const N: usize>(&self) -> [Color; N] {
        std::array::from_fn(|i| self.colors[i])
    }

    /// The first of its colors, or the only one.
    #[must_use]
    pub fn color(&self) -> Color {
        self.colors[0]
    }

    /// Its input queue.
    #[must_use]
    pub fn input(&self) -> u8 {
        self.inputs[0]
    }

    /// The two input queues of the pair.
    #[must_use]
    pub fn inputs(&self) -> [u8; 2] {
        self.inputs
    }

    /// Its output queue.
    #[must_use]
    pub fn output(&self) -> u8 {
        self.output
    }
}

/// The colors and queues of a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ports {
    given: Vec<(Use, Port)>,
}

impl Ports {
    /// The resource that a use was given.
    ///
    /// # Panics
    /// If the kernel did not name it: a mistake in the kernel.
    #[must_use]
    pub fn of(&self, wanted: Use) -> Port {
        let given = self.given.iter().find(|(given, _)| *given == wanted);
        given.expect("a kernel names all uses that its code has").1
    }

    /// Gives out colors and queues for uses. What the machine lacks gets its place nevertheless, so that
    /// code can be priced; [`missing`] says whether a kernel's program can run.
    #[must_use]
    pub fn allot(uses: &Uses, arch: &ArchSpec) -> Ports {
        let mut stocks = Stocks::of(arch);
        let given = uses.ports.iter().map(|&wanted| (wanted, stocks.port(wanted))).collect();
        Ports { given }
    }
}

/// `M005` if the machine has too little of something for a kernel.
#[must_use]
pub fn missing(kernel: &str, uses: &Uses, arch: &ArchSpec) -> Option<Diagnostic> {
    let mut stocks = Stocks::of(arch);
    for &wanted in &uses.ports {
        stocks.port(wanted);
    }
    for name in uses.microthreads {
        stocks.microthreads.take(None, (*name).to_owned(), &[]);
    }
    stocks.all().into_iter().find_map(|stock| stock.missing(kernel))
}

/// What there is of a kind, and for what it is in use.
struct Stock {
    /// What one of them is called.
    what: &'static str,
    /// The number of the machine that says how many there are.
    key: &'static str,
    /// Names by number; empty where one is free.
    names: Vec<String>,
    /// What there was none left for.
    refused: Vec<String>,
}

impl Stock {
    fn new(what: &'static str, key: &'static str, count: usize) -> Stock {
        Stock { what, key, names: vec![String::new(); count], refused: Vec::new() }
    }

    /// Number `place` if it is free, else the free one that is deepest (of equals, the first).
    fn take(&mut self, place: Option<u8>, name: String, depths: &[u32]) -> u8 {
        let free = |i: &usize| self.names[*i].is_empty();
        let wanted = place.map(usize::from).filter(|&i| i < self.names.len()).filter(free);
        let depth = |i: &usize| (depths.get(*i).copied().unwrap_or(0), std::cmp::Reverse(*i));
        let number = wanted.or_else(|| (0..self.names.len()).filter(free).max_by_key(depth));
        match number {
            Some(number) => {
                self.names[number] = name;
                number as u8
            }
            None => {
                self.refused.push(name);
                place.unwrap_or(0)
            }
        }
    }

    fn missing(&self, kernel: &str) -> Option<Diagnostic> {
        let refused = self.refused.first()?;
        let (what, all) = (self.what, self.names.len());
        let message = format!(
            "no {what} is left for `{refused}`: {all} of the machine's {all} are in use: {}",
            self.names.join("; ")
        );
        let needs = all + self.refused.len();
        let help = format!("this kernel needs {needs}: set {} to as much, or take a machine that has it", self.key);
        Some(Diagnostic::new("M005", format!("kernel `{kernel}`"), message).help(help))
    }
}

/// All that a machine has.
struct Stocks<'a> {
    arch: &'a ArchSpec,
    colors: Stock,
    inputs: Stock,
    outputs: Stock,
    microthreads: Stock,
}

impl Stocks<'_> {
    fn of(arch: &ArchSpec) -> Stocks<'_> {
        let (pe, router) = (&arch.pe, &arch.router);
        Stocks {
            arch,
            colors: Stock::new("color", "router.colors", router.colors.value as usize),
            inputs: Stock::new("input queue", "pe.input_queues", pe.input_queues.value.len()),
            outputs: Stock::new("output queue", "pe.output_queues", pe.output_queues.value.len()),
            microthreads: Stock::new("microthread", "pe.microthreads", pe.microthreads.value as usize),
        }
    }

    fn all(&self) -> [&Stock; 4] {
        [&self.colors, &self.inputs, &self.outputs, &self.microthreads]
    }

    fn port(&mut self, wanted: Use) -> Port {
        let Want { name, colors, first, inputs, outputs } = wanted.want();
        let one = |what: &str| if what.is_empty() { name.to_owned() } else { format!("{name}, {what}") };
        let mut port = Port::NONE;
        for (i, what) in colors.iter().enumerate() {
            port.colors[i] = color(self.colors.take(Some(first + i as u8), one(what), &[]));
        }
        let depths = &self.arch.pe.input_queues.value;
        for (i, place) in inputs.iter().enumerate() {
            port.inputs[i] = self.inputs.take(Some(*place), name.to_owned(), depths);
        }
        let depths = &self.arch.pe.output_queues.value;
        for place in outputs {
            port.output = self.outputs.take(Some(*place), name.to_owned(), depths);
        }
        port
    }
}

/// Names microthreads: a constant for each, numbered in their order, and the list of their names.
macro_rules! microthreads {
    ($list:ident: $($(#[$doc:meta])* $name:ident = $says:literal),* $(,)?) => {
        $crate::codegen::resources::numbered!(pub(super) u8, $crate::codegen::resources::microthread, 0; $($(#[$doc])* $name)*);
        /// Names of the microthreads.
        pub(super) const $list: &[&str] = &[$($says),*];
    };
}

/// Names address registers: a constant for each, numbered in their order from `$first` on. A register
/// that the program format does not have does not compile.
macro_rules! address_registers {
    (from $first:expr; $($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $crate::codegen::resources::numbered!(
            pub(super) sim_core::program::AddrReg, $crate::codegen::resources::register, $first;
            $($(#[$doc])* $name)*
        );
    };
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $crate::codegen::resources::address_registers!(from 0; $($(#[$doc])* $name),*);
    };
}

/// Constants that are numbered in their order.
macro_rules! numbered {
    ($vis:vis $type:ty, $of:expr, $next:expr;) => {};
    ($vis:vis $type:ty, $of:expr, $next:expr; $(#[$doc:meta])* $name:ident $($rest:tt)*) => {
        $(#[$doc])*
        $vis const $name: $type = $of($next);
        $crate::codegen::resources::numbered!($vis $type, $of, $next + 1; $($rest)*);
    };
}

pub(crate) use {address_registers, microthreads, numbered};

/// Microthreads that an instruction can name, as many as the largest machine has.
const MICROTHREADS: u8 = 8;

/// Registers from here on are those of a helper that works beside the code of another kernel.
pub(crate) const GUESTS: u8 = AddrReg::COUNT / 2;

/// A microthread.
///
/// # Panics
/// When a constant is made of a number that an instruction cannot name.
pub(crate) const fn microthread(number: u8) -> u8 {
    assert!(number < MICROTHREADS, "a kernel names more microthreads than an instruction can");
    number
}

/// An address register.
///
/// # Panics
/// When a constant is made of a number that the program format does not have.
pub(crate) const fn register(number: u8) -> AddrReg {
    assert!(number < AddrReg::COUNT, "a kernel names more address registers than the program format has");
    AddrReg(number)
}
