//! Scatter from the west edge: every station of a row keeps its own wavelets and passes on the
//! rest.
//!
//! Stations are every `period`-th column; the columns between only route. What arrives at a
//! station are the wavelets of all stations from it to the last, in this order, and then as many
//! zeros as earlier stations have kept: all stations run the same code on the same counts.
//! **Not here.** What is scattered.

use crate::codegen::instr::{fab, imm, op, spawn, vec};
use crate::codegen::streams::interval;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Dir, DirSet, Region, Span};
use sim_core::program::{DType, DataReg, EdgeStream, Flow, Instr, Op, Operand, Route};

/// Where the wavelets that nobody wants go.
const SINK: DataReg = DataReg(15);

/// A scatter along rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scatter {
    /// Distance between stations in columns; the first one is column 0.
    pub period: u32,
    /// Stations of the row.
    pub stations: u32,
    /// The rows; every row has its own wavelets.
    pub rows: Span,
    /// Wavelets that a station keeps.
    pub wavelets: u32,
    /// Colors on which even and odd stations receive.
    pub colors: [Color; 2],
}

/// What a station receives and sends on; stations of a class share an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Station {
    /// Color on which it receives.
    pub recv: Color,
    /// Color on which it sends, unless it is the last one.
    pub send: Option<Color>,
}

impl Scatter {
    /// What station `i` receives and sends on.
    #[must_use]
    pub fn station(&self, i: u32) -> Station {
        debug_assert!(i < self.stations, "there is no station {i} of {}", self.stations);
        let color = |i: u32| self.colors[(i % 2) as usize];
        Station { recv: color(i), send: (i + 1 < self.stations).then(|| color(i + 1)) }
    }

    /// The classes of stations with their members.
    #[must_use]
    pub fn classes(&self) -> Vec<(Station, Vec<u32>)> {
        let mut classes: Vec<(Station, Vec<u32>)> = Vec::new();
        for i in 0..self.stations {
            let station = self.station(i);
            match classes.iter_mut().find(|(s, _)| *s == station) {
                Some((_, members)) => members.push(i),
                None => classes.push((station, vec![i])),
            }
        }
        classes
    }

    /// The routes of both colors.
    #[must_use]
    pub fn routes(&self) -> Vec<Route> {
        let mut routes = Vec::new();
        let mut push = |color, x, rx, tx| {
            let region = Region { x, y: self.rows };
            routes.push(Route { color, region, rx, tx: DirSet::of(&[tx]) });
        };
        let stride = 2 * self.period;
        for parity in 0..2 {
            let first = parity * self.period;
            let color = self.colors[parity as usize];
            if let Some(x) = Span::every(first, self.stations * self.period, stride) {
                push(color, x, Dir::West, Dir::Ramp);
            }
            // Its senders: the stations before, all but the first of which are of the other parity.
            let senders = self.period * (1 - parity)..(self.stations - 1) * self.period;
            if let Some(x) = Span::every(senders.start, senders.end, stride) {
                push(color, x, Dir::Ramp, Dir::East);
            }
        }
        if self.period > 1 {
            for i in 1..self.stations {
                let x = Span::run((i - 1) * self.period + 1, self.period - 1);
                push(self.station(i).recv, x, Dir::West, Dir::East);
            }
        }
        routes
    }

    /// The stream that feeds it: one port per row, the wavelets of all stations in order.
    #[must_use]
    pub fn feed_west(&self, arch: &ArchSpec, name: &str) -> EdgeStream {
        EdgeStream {
            name: name.to_owned(),
            flow: Flow::In,
            side: Dir::West,
            ports: self.rows,
            color: self.colors[0],
            wavelets: u64::from(self.wavelets) * u64::from(self.stations),
            interval: interval(arch, self.rows.count),
            fanout: 1,
        }
    }

    /// Takes a station's own wavelets into `dst` (f32, or any 32 bits that are no NaN).
    #[must_use]
    pub fn receive(&self, station: Station, dst: Operand) -> Instr {
        vec(Op::Mov, self.wavelets, dst, &[fab(station.recv, DType::F32)])
    }

    /// Starts to pass on the others' wavelets on a microthread.
    #[must_use]
    pub fn forward(&self, station: Station, thread: u8) -> Vec<Instr> {
        let rest = self.wavelets * (self.stations - 1);
        let to = station.send.map_or(Operand::Reg(SINK), |color| fab(color, DType::F32));
        let pass = || spawn(thread, op(Op::Mov, rest, to, &[fab(station.recv, DType::F32)]));
        if rest == 0 { Vec::new() } else { vec![pass()] }
    }

    /// Waits until all has been passed on, and makes up for the wavelets that were kept.
    #[must_use]
    pub fn finish(&self, station: Station, thread: u8) -> Vec<Instr> {
        let mut code = Vec::new();
        if let Some(color) = station.send {
            code.push(spawn(thread, op(Op::Mov, self.wavelets, fab(color, DType::F32), &[imm(0.0)])));
        }
        if self.stations > 1 {
            code.push(Instr::Join(thread));
        }
        code
    }

    /// The wavelets of one port from those of every station.
    #[must_use]
    pub fn feed(&self, of: impl Fn(u32) -> Vec<u32>) -> Vec<u32> {
        let own = |station| {
            let words = of(station);
            assert_eq!(words.len(), self.wavelets as usize, "station {station} keeps as many wavelets as all others");
            words
        };
        (0..self.stations).flat_map(own).collect()
    }
}
