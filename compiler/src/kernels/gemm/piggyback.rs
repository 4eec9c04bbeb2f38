//! A checkpoint that goes along with a matrix product: buffers of some rows, off the wafer or back.
//!
//! A product leaves the edge and the issue slots of its pauses unused. The main thread moves a *piece* of some wavelets
//! behind every few AXPYs; its instructions take the place of pauses, so what goes along costs little. Since the main
//! thread moves it, it does so in all columns of a row at the same time, and disturbs no ring.
//!
//! Buffers leave by a chain down the columns, as in `checkpoint_transfer`, but for one thing: a row adds to the piece
//! that the row above sent a move before. So a piece is there when it is due, although rows do not wait for each other.
//! At the start every row sends a piece of zeros ahead. Buffers come back by broadcast.
//!
//! A register counts bytes from the row's first piece to the present one. Clamped to the buffer and one piece more on
//! either side, it is the address of what is added or received. These margins hold zeros on the way out, and take what
//! belongs to other rows on the way back.
//!
//! **Invariant.** No more wavelets than the edge lets through while a step's products are made. All rows do the same.
//! **Not here.** Which product carries what (`passes::offload`).

use super::{Gemm, Hop, Sums, UNROLLED};
use crate::banks::Banks;
use crate::codegen::instr::{at, imm, mem, step, vec};
use crate::codegen::resources::{GUESTS, Ports, Use, Uses, address_registers};
use crate::codegen::streams::{interval, interval_beside};
use crate::kernel::{Addresses, CheckpointTransfer, HostSink, HostSource, Requirement, Way};
use crate::kernels::lanes::ChainRows;
use crate::kernels::stencil::relabelled;
use crate::layout::Geometry;
use sim_core::arch::ArchSpec;
use sim_core::coord::Span;
use sim_core::program::{AddrOp, Image, Instr, Op, Param, Program};

address_registers! { from GUESTS;
    /// Bytes from the row's first piece to the present one.
    COUNT,
    /// The same, clamped.
    PLACE,
}

/// Most wavelets of a piece, whatever has room.
const PIECE_MAX: u32 = 8;
/// Bytes of a wavelet.
const WAVELET: u32 = 4;
/// Cycles of the instructions that move the window.
const COUNTING: u32 = 3;
/// Cycles of a step that its weights need not take.
const SPARE: u32 = 64;

/// A transfer and its timetable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Piggyback {
    pub(in crate::kernels) transfer: CheckpointTransfer,
    /// Wavelets of a piece.
    pub(in crate::kernels) piece: u32,
    /// Pieces of a step.
    pub(in crate::kernels) moves: u32,
    /// Rounds in which pieces move: the first ones.
    pub(in crate::kernels) rounds: u32,
    /// Least distances of wavelets of weights, and of the transfer, at the edge.
    pub(in crate::kernels) intervals: [u32; 2],
}

relabelled!(Piggyback { transfer; piece, moves, rounds, intervals });

/// Most wavelets of a piece that wait for a row to move them without holding up the row above: in its
/// input queue, on the ramp and in its router.
fn room(arch: &ArchSpec, port: Use) -> u32 {
    let port = Ports::allot(&Uses { ports: vec![Use::North, Use::RowRing, port], ..Uses::default() }, arch).of(port);
    let queue = arch.pe.input_queues.value.get(usize::from(port.input())).copied().unwrap_or(1);
    (queue + arch.router.buffer.value + arch.router.ramp_down.value).saturating_sub(1).clamp(1, PIECE_MAX)
}

/// A step in which pieces move.
struct Step {
    /// Pieces by halves, as long as these are.
    counts: [u32; 2],
    hop: Hop,
    /// Cycles of the halves.
    cycles: [u32; 2],
}

impl Step {
    fn of(gemm: &Gemm, g: &Geometry, arch: &ArchSpec, (moves, piece): (u32, u32)) -> Step {
        let (axpy, setup) = (gemm.axpy_cycles(arch, g.precision.accumulator), arch.pe.vector_setup.value);
        let with = |counts: [u32; 2]| {
            let hop = gemm.hop(g, arch, gemm.outs, counts);
            let axpys = [hop.first, gemm.outs * gemm.axpys() - hop.first];
            let half = |i| axpys[i] * axpy + hop.pauses[i] * (setup + 1) + counts[i] * (setup + piece + COUNTING);
            Step { counts, hop, cycles: [half(0), half(1)] }
        };
        // Pauses are fewer where more pieces move.
        let better = |Step { cycles: [first, second], .. }: Step| {
            let before = (2 * moves * first + first + second) / (2 * (first + second)).max(1);
            with([before, moves - before])
        };
        better(better(with([moves.div_ceil(2), moves / 2])))
    }

    /// Whether the edge lets the pieces of both halves through meanwhile.
    fn passes(&self, piece: u32, interval: u32) -> bool {
        self.counts.iter().zip(&self.cycles).all(|(count, cycles)| count * piece * interval <= *cycles)
    }
}

/// Intervals of weights and of the transfer that share the edge: weights of a step come during a step.
fn intervals(gemm: &Gemm, g: &Geometry, arch: &ArchSpec, way: Way) -> Option<[u32; 2]> {
    let (lane, all) = (g.lane_columns(), g.used_columns());
    if way == Way::Out {
        // The chain's zeros come in, those of all columns as one stream.
        let transfer = interval(arch, all);
        return Some([interval_beside(arch, lane, (1, transfer))?, transfer]);
    }
    let step: u32 = Step::of(gemm, g, arch, (0, 0)).cycles.iter().sum();
    let weights = step.saturating_sub(SPARE) / (gemm.block_wavelets(g.precision.act, gemm.outs) + 1);
    let enough = weights > interval(arch, lane);
    let transfer = interval_beside(arch, all, (lane, weights)).filter(|_| enough)?;
    Some([weights, transfer])
}

impl Piggyback {
    /// As many of the the transfer's rows as there is time for; None if there is none.
    pub(super) fn of(gemm: &Gemm, g: &Geometry, arch: &ArchSpec, transfer: &CheckpointTransfer) -> Option<Piggyback> {
        let beside = matches!(gemm.way(g, arch, gemm.outs), Sums::Beside(_)) && g.lane_columns() > 1;
        if !beside || gemm.piggyback.is_some() || gemm.outs * gemm.x.slots > UNROLLED {
            return None;
        }
        let intervals = intervals(gemm, g, arch, transfer.way)?;
        // The largest pieces of which the edge lets one through in time, and as many as it does.
        let pieces = (1..=room(arch, transfer.port())).rev().filter(|n| transfer.of_row().is_multiple_of(*n));
        let (piece, moves) = pieces.into_iter().find_map(|piece| {
            let pass = |moves: &u32| Step::of(gemm, g, arch, (*moves, piece)).passes(piece, intervals[1]);
            Some((piece, (1..=gemm.outs * gemm.x.slots).take_while(pass).last()?))
        })?;
        let one = Piggyback { transfer: transfer.clone(), piece, moves, rounds: 1, intervals };
        // Whole rows, and not a round more than they need.
        let of_round = u64::from(one.pieces(g));
        let most = (of_round * u64::from(gemm.y.slots / gemm.outs)).checked_sub(one.lag(g))? / u64::from(one.of_row());
        let count = transfer.rows.count.min(u32::try_from(most).unwrap_or(u32::MAX));
        let transfer = CheckpointTransfer { rows: Span { count, ..transfer.rows }, ..transfer.clone() };
        let rounds = (u64::from(count * one.of_row()) + one.lag(g)).div_ceil(of_round) as u32;
        assert!(rounds <= gemm.y.slots / gemm.outs, "pieces move in rounds that there are");
        (count > 0).then_some(Piggyback { transfer, rounds, ..one })
    }

    pub(super) fn name(&self) -> &'static str {
        self.transfer.name()
    }

    /// Rows that are carried.
    pub(super) fn rows(&self) -> u32 {
        self.transfer.rows.count
    }

    /// What the price of carrying it depends on: wavelets of a piece and of a row, pieces of a step,
    /// rounds, distances at the edge, and the way.
    pub(super) fn numbers(&self) -> [u32; 7] {
        let [weights, cargo] = self.intervals;
        let out = u32::from(self.transfer.way == Way::Out);
        [self.piece, self.transfer.of_row(), self.moves, self.rounds, weights, cargo, out]
    }

    /// What it travels on.
    pub(super) fn port(&self) -> Use {
        self.transfer.port()
    }

    /// Least distance of two of its wavelets at the edge.
    pub(super) fn interval(&self) -> u32 {
        self.intervals[1]
    }

    /// Pieces of a row.
    fn of_row(&self) -> u32 {
        self.transfer.of_row() / self.piece
    }

    /// Pieces that a row moves.
    fn pieces(&self, g: &Geometry) -> u32 {
        self.rounds * g.lane_columns() * self.moves
    }

    /// Moves until the last row moves the first piece.
    fn lag(&self, g: &Geometry) -> u64 {
        if self.transfer.way == Way::Out { u64::from(g.used_rows() - 1) } else { 0 }
    }

    /// Bytes of a piece.
    fn bytes(&self) -> u32 {
        self.piece * WAVELET
    }

    /// The buffer, with a piece more on either side.
    pub(super) fn requirement(&self, banks: Banks) -> Requirement {
        Requirement {
            margin: banks.whole(self.bytes()),
            ..self.transfer.act.requirement(self.transfer.access()).on_either_side()
        }
    }

    pub(super) fn weights_interval(&self) -> u32 {
        self.intervals[0]
    }

    /// Wavelets of a column: a piece of zeros goes ahead of those that leave.
    fn wavelets(&self, g: &Geometry) -> u64 {
        let ahead = u64::from(self.transfer.way == Way::Out);
        (u64::from(self.pieces(g)) + ahead) * u64::from(self.piece)
    }

    /// Lays routes and streams.
    pub(super) fn lay(&self, program: &mut Program, g: &Geometry, (arch, ports): (&ArchSpec, &Ports)) {
        self.transfer.lay(program, g, (arch, ports), [self.wavelets(g); 2], self.intervals[1]);
    }

    pub(super) fn images(&self, g: &Geometry, ports: &Ports) -> Vec<(Option<ChainRows>, Span)> {
        self.transfer.images(g, ports)
    }

    /// Binds queues, and gives the start values of registers in some rows.
    pub(super) fn bind(
        &self,
        image: &mut Image,
        g: &Geometry,
        (ports, chain): (&Ports, Option<&ChainRows>),
        rows: Span,
    ) -> Vec<Param> {
        self.transfer.bind(image, ports, chain);
        let (bytes, of_row) = (self.bytes() as i32, self.of_row() as i32);
        // A row of the mesh begins later by its own pieces, and by one for every row above.
        let per = -bytes * (of_row + i32::from(self.lag(g) > 0));
        let first = bytes * of_row * self.transfer.rows.start as i32;
        let (base, dy) = (first + per * rows.start as i32, per * rows.step as i32);
        vec![Param { reg: COUNT, base, dx: 0, dy, mod_x: 1, mod_y: rows.count }]
    }

    pub(super) fn feed(&self, g: &Geometry, port: u32, host: &dyn HostSource) -> Vec<u32> {
        self.transfer.feed(port, self.wavelets(g), host)
    }

    pub(super) fn collect(&self, g: &Geometry, port: u32, words: &[u32], sink: &mut dyn HostSink) {
        let ahead = (self.lag(g) + 1) as usize * self.piece as usize;
        self.transfer.collect(port, words.get(ahead..).unwrap_or(&[]), sink);
    }

    /// The instructions that move it, in the rows of a chain or in all.
    pub(super) fn moves(
        &self,
        gemm: &Gemm,
        (g, arch): (&Geometry, &ArchSpec),
        addresses: &Addresses,
        (ports, chain): (&Ports, Option<&ChainRows>),
    ) -> Moves {
        let act = &self.transfer.act;
        let (dtype, buffer) = (act.dtype, addresses[&act.buffer]);
        let (bytes, all) = (self.bytes(), self.of_row() * self.bytes());
        let n = bytes / dtype.bytes();
        let margin = |place| mem(dtype, place, n);
        let (mut begin, mut end) = (Vec::new(), Vec::new());
        if let Some(chain) = chain {
            begin.extend([buffer - bytes, buffer + all].map(|place| vec(Op::Mov, n, margin(place), &[imm(0.0)])));
            begin.push(chain.put(dtype, n, margin(buffer + all)));
            end.push(chain.take(dtype, n, margin(buffer + all)));
        }
        let code = vec![
            Instr::Addr(AddrOp::Copy(PLACE, COUNT)),
            Instr::Addr(AddrOp::Clamp(PLACE, -(bytes as i32), all as i32)),
            Instr::Vec(self.transfer.piece((ports, chain), n, at(PLACE, mem(dtype, buffer, n)))),
            step(COUNT, bytes as i32),
        ];
        let Step { counts, hop, .. } = Step::of(gemm, g, arch, (self.moves, self.piece));
        Moves { begin, code, end, counts, hop, rounds: self.rounds }
    }
}

/// The instructions that move the transfer.
pub(super) struct Moves {
    /// Before the first round.
    pub(super) begin: Vec<Instr>,
    /// For one piece.
    pub(super) code: Vec<Instr>,
    /// Behind the last round in which pieces move: the last piece from above.
    pub(super) end: Vec<Instr>,
    /// Pieces of a step, by halves.
    pub(super) counts: [u32; 2],
    /// How its products are shared between the halves.
    pub(super) hop: Hop,
    /// Rounds in which pieces move.
    pub(super) rounds: u32,
}
