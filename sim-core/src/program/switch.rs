//! What changes or thins out a color's traffic in a router while a program runs: switches, the
//! control wavelets that move them, and filters.
//!
//! **Invariant.** Everything that timing depends on is in the program text: the content of a
//! control wavelet is part of the instruction that sends it, not a computed value (rule V1).
//! **Not here.** What they cost and when they act (rules S1 to S6 of `docs/MODEL.md`).

use crate::coord::{Color, Dir, DirSet, Region};
use serde::{Deserialize, Serialize};

/// Most positions of a switch, the route's own one (position 0) included.
pub const POSITIONS: usize = 4;
/// Most commands in a control wavelet.
pub const COMMANDS: usize = 8;
/// Numbers of control tasks: 0 to one less than this.
pub const ENTRIES: u8 = 64;

/// The switch of one color in the routers of a region: positions beside that of the route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Switch {
    /// The color whose wavelets the switch directs.
    pub color: Color,
    /// The routers; each has a route of the color, which is position 0.
    pub region: Region,
    /// Positions 1, 2 and 3, as far as there are any.
    pub positions: Vec<Position>,
    /// Whether position 0 follows the last one; if not, the switch stays at its last position.
    pub ring: bool,
    /// What happens to the first command of a control wavelet that passes.
    pub pop: Pop,
}

/// What a position changes in the route; the rest stays as in the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The port that wavelets come from.
    pub rx: Option<Dir>,
    /// The ports that every wavelet leaves by.
    pub tx: Option<DirSet>,
}

/// When a router takes the first command off a control wavelet, so that the next router finds the
/// second one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Pop {
    /// Never: all routers on the way find the same first command.
    Never,
    /// Every router takes it off.
    Always,
    /// A router takes it off if it advanced its switch.
    OnAdvance,
}

impl Pop {
    /// All modes, in the order of their declaration.
    pub const ALL: [Pop; 3] = [Pop::Never, Pop::Always, Pop::OnAdvance];

    /// Name in the text form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Pop::Never => "never",
            Pop::Always => "always",
            Pop::OnAdvance => "advance",
        }
    }
}

/// What a control wavelet tells a router to do with the switch of the wavelet's color.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Command {
    /// Do nothing.
    Nop,
    /// Turn the switch to its next position.
    Advance,
    /// Turn the switch to position 0.
    Reset,
    /// Close the color in this router until the PE opens it again.
    Teardown,
}

impl Command {
    /// All commands, by their two-bit code.
    pub const ALL: [Command; 4] = [Command::Nop, Command::Advance, Command::Reset, Command::Teardown];

    /// Name in the text form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Command::Nop => "nop",
            Command::Advance => "adv",
            Command::Reset => "rst",
            Command::Teardown => "teardown",
        }
    }
}

/// The content of a control wavelet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Control {
    /// Commands, of which each router obeys the first; at most eight, the rest is [`Command::Nop`].
    pub commands: Vec<Command>,
    /// Number of the control task that it makes runnable where it goes down a ramp. Without one it
    /// goes down no ramp.
    pub task: Option<u8>,
}

impl Control {
    /// As the 32 bits of a wavelet: commands in bits 0 to 15, the first one lowest; the task's
    /// number in bits 16 to 21; bit 22 says that there is one.
    #[must_use]
    pub fn word(&self) -> u32 {
        let codes = self.commands.iter().take(COMMANDS).enumerate();
        let commands = codes.fold(0, |word, (i, &c)| word | (c as u32) << (2 * i));
        commands | self.task.map_or(0, |id| 1 << 22 | u32::from(id % ENTRIES) << 16)
    }
}

/// Lets only some of the data wavelets of a color go down the ramps of a region: in each router a
/// counter runs from `start` in a circle of `period`, one step per data wavelet that would go down
/// the ramp, and those that find it below `pass` do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Filter {
    /// The color whose wavelets are counted.
    pub color: Color,
    /// The routers that filter; each has a route of the color down its ramp.
    pub region: Region,
    /// Start of the counter in the region's first router, modulo `period`.
    pub start: u32,
    /// Change of the start per column of the region.
    pub dx: i32,
    /// Change of the start per row of the region.
    pub dy: i32,
    /// Circle of the counter; at least 1.
    pub period: u32,
    /// Wavelets that pass in each circle.
    pub pass: u32,
}

impl Filter {
    /// Start of the counter in column `i` and row `j` of the region.
    #[must_use]
    pub fn start_at(&self, i: u32, j: u32) -> u32 {
        let sum = i64::from(self.start) + i64::from(self.dx) * i64::from(i) + i64::from(self.dy) * i64::from(j);
        sum.rem_euclid(i64::from(self.period.max(1))) as u32
    }
}
