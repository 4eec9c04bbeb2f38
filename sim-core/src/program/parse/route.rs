//! Parsing of routes, switches, filters and edge streams.

use super::lex::Tok;
use super::{Parsed, Parser};
use crate::coord::{Dir, DirSet};
use crate::program::{EdgeStream, Filter, Flow, Pop, Position, Route, Switch};

impl Parser<'_> {
    pub(super) fn route(&mut self) -> Parsed<Route> {
        let color = self.color()?;
        let region = self.region()?;
        let rx = self.one_of(&Dir::ALL, Dir::name)?;
        self.punct("->")?;
        Ok(Route { color, region, rx, tx: self.ports()? })
    }

    /// Directions up to the end of the line or of a switch's position.
    fn ports(&mut self) -> Parsed<DirSet> {
        let mut ports = DirSet::EMPTY;
        while !matches!(self.peek(), Tok::Line | Tok::Punct("|")) {
            ports = ports.with(self.one_of(&Dir::ALL, Dir::name)?);
        }
        Ok(ports)
    }

    pub(super) fn switch(&mut self) -> Parsed<Switch> {
        let color = self.color()?;
        let region = self.region()?;
        self.keyword("pop")?;
        let pop = self.one_of(&Pop::ALL, Pop::name)?;
        let ring = self.take(Tok::Word("ring"));
        let mut positions = Vec::new();
        while self.take(Tok::Punct("|")) {
            let rx = match self.peek() {
                Tok::Word(_) => Some(self.one_of(&Dir::ALL, Dir::name)?),
                _ => None,
            };
            let tx = if self.take(Tok::Punct("->")) { Some(self.ports()?) } else { None };
            positions.push(Position { rx, tx });
        }
        Ok(Switch { color, region, positions, ring, pop })
    }

    pub(super) fn filter(&mut self) -> Parsed<Filter> {
        let color = self.color()?;
        let region = self.region()?;
        self.keyword("start")?;
        let start = self.int()?;
        let (mut dx, mut dy) = (0, 0);
        while self.peek() == Tok::Punct("-") || self.take(Tok::Punct("+")) {
            let change = self.int()?;
            self.punct("*")?;
            if self.take(Tok::Word("x")) {
                dx = change;
            } else {
                self.keyword("y")?;
                dy = change;
            }
        }
        self.keyword("pass")?;
        let pass = self.int()?;
        self.keyword("of")?;
        Ok(Filter { color, region, start, dx, dy, period: self.int()?, pass })
    }

    pub(super) fn edge(&mut self) -> Parsed<EdgeStream> {
        let flow = self.one_of(&[Flow::In, Flow::Out], |f| if f == Flow::In { "in" } else { "out" })?;
        let name = self.name()?;
        let side = self.one_of(&Dir::ALL, Dir::name)?;
        let ports = self.span(if matches!(side, Dir::North | Dir::South) { "x" } else { "y" })?;
        let color = self.color()?;
        self.keyword("wavelets")?;
        let wavelets = self.int()?;
        self.keyword("every")?;
        let interval = self.int()?;
        self.keyword("fanout")?;
        let fanout = self.int()?;
        Ok(EdgeStream { name, flow, side, ports, color, wavelets, interval, fanout })
    }
}
