//! Time multiplexing: all rows of the mesh share the streams of a column, one row after the other.
//!
//! When it is a row's turn, what is sent comes from the row's buffer, and what is received goes there. Otherwise zeros
//! are sent, and what is received goes into memory that nobody reads. So all rows execute the same code; whose turn it
//! is decides only an address, by registers that count.
//!
//! **Invariant.** Only addresses depend on the row, and no timing on them.
//! **Not here.** What is sent or received.

use crate::codegen::instr::{at, mem, repeat, step};
use crate::codegen::resources::address_registers;
use crate::kernel::{Access, ActivationView, Addresses, Requirement};
use crate::layout::Geometry;
use sim_core::coord::{Region, Span};
use sim_core::program::{AddrOp, AddrReg, Image, Instr, Operand, Param, Placement, Program};

/// Memory for what is of other rows.
pub(super) const OTHER: &str = ".other";

address_registers! {
    /// The row less the row whose turn it is, times the distance from the buffer to [`OTHER`].
    AHEAD_OF,
    /// The opposite.
    BEHIND_IT,
    /// Bytes from the buffer to what is sent or received.
    PLACE,
    /// For sums.
    SPARE,
    /// As [`AHEAD_OF`], for a second kind of turns.
    AHEAD_OF_SECOND,
    /// As [`BEHIND_IT`].
    BEHIND_SECOND,
}
/// For two kinds of turns.
const AHEAD: [AddrReg; 2] = [AHEAD_OF, AHEAD_OF_SECOND];
const BEHIND: [AddrReg; 2] = [BEHIND_IT, BEHIND_SECOND];

/// Elements of a buffer.
pub(super) fn len(act: &ActivationView) -> u32 {
    act.all_slots * act.row
}

/// The buffer, and as much for other rows.
pub(super) fn requirements(act: &ActivationView, access: Access) -> Vec<Requirement> {
    let buffer = act.requirement(access).on_either_side();
    let side = buffer.side;
    vec![buffer, Requirement::scratch(OTHER, act.dtype, len(act), side)]
}

/// Turns of rows, and of rows within their period.
pub(super) struct TimeMultiplex<'a> {
    act: &'a ActivationView,
    at: &'a Addresses,
    /// Rows that take turns, one below the other.
    rows: Span,
    /// Every so many rows share a turn of the second kind.
    period: Option<u32>,
}

impl<'a> TimeMultiplex<'a> {
    pub(super) fn new(act: &'a ActivationView, at: &'a Addresses, rows: Span) -> TimeMultiplex<'a> {
        assert!(rows.count > 0, "somebody has a turn");
        TimeMultiplex { act, at, rows, period: None }
    }

    /// With a second kind of turns, which rows at a distance of `period` share.
    pub(super) fn with_period(self, period: u32) -> TimeMultiplex<'a> {
        TimeMultiplex { period: Some(period), ..self }
    }

    /// Bytes from the buffer to what takes its place.
    fn distance(&self) -> i32 {
        self.at[OTHER] as i32 - self.at[self.act.buffer] as i32
    }

    /// The buffer, or what takes its place.
    pub(super) fn operand(&self) -> Operand {
        at(PLACE, mem(self.act.dtype, self.at[self.act.buffer], len(self.act)))
    }

    /// One turn after the other: `body`, on [`TimeMultiplex::operand`].
    pub(super) fn code(&self, body: Vec<Instr>) -> Vec<Instr> {
        repeat(self.rows.count, [self.next(0), body].concat())
    }

    /// The rows' turns with the second kind of operand.
    pub(super) fn shared(&self, body: Vec<Instr>) -> Vec<Instr> {
        repeat(self.period.unwrap_or(self.rows.count), [self.next(1), body].concat())
    }

    fn next(&self, kind: usize) -> Vec<Instr> {
        let d = self.distance();
        let clamp = |reg| Instr::Addr(AddrOp::Clamp(reg, d.min(0), d.max(0)));
        let copy = |to, from| Instr::Addr(AddrOp::Copy(to, from));
        // One of both is zero; the other one too, if it is the row's turn.
        vec![
            copy(PLACE, AHEAD[kind]),
            clamp(PLACE),
            copy(SPARE, BEHIND[kind]),
            clamp(SPARE),
            Instr::Addr(AddrOp::AddReg(PLACE, SPARE)),
            step(AHEAD[kind], -d),
            step(BEHIND[kind], d),
        ]
    }

    /// Start values of the registers in the rows of a span.
    fn params(&self, rows: Span) -> Vec<Param> {
        let param = |reg, d: i32, mod_y| {
            let (base, dy) = (d * (rows.start as i32 - self.rows.start as i32), d * rows.step as i32);
            Param { reg, base, dx: 0, dy, mod_x: 1, mod_y }
        };
        let d = self.distance();
        let mut params = vec![param(AHEAD[0], d, rows.count), param(BEHIND[0], -d, rows.count)];
        if let Some(period) = self.period {
            params.extend([param(AHEAD[1], d, period), param(BEHIND[1], -d, period)]);
        }
        params
    }

    /// Puts an image on all columns in use, in the rows of a span. With a second kind of turns that
    /// is all rows.
    pub(super) fn place(&self, program: &mut Program, g: &Geometry, image: Image, rows: Span) {
        let region = Region { x: Span::run(0, g.used_columns()), y: rows };
        let placement = Placement { region, image: program.images.len() as u32, params: self.params(rows) };
        program.images.push(image);
        program.placements.push(placement);
    }
}
