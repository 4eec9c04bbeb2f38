//! Parsing of routes, switches, filters and edge streams.

use super::fit::{Affine, written};
use super::lex::Tok;
use super::value::Value;
use super::{Parsed, Parser};
use crate::coord::{Dir, DirSet};
use crate::diag::Part;
use crate::program::{EdgeStream, Filter, Flow, Pop, Position, Route, Switch};

impl Parser<'_> {
    pub(super) fn route(&mut self, at: usize) -> Parsed<()> {
        let color = self.color()?;
        let region = self.region()?;
        let rx = self.one_of(&Dir::ALL, Dir::name)?;
        self.punct("->")?;
        let tx = self.ports()?;
        self.mark(Part::Route(self.program.routes.len()), at);
        self.program.routes.push(Route { color, region, rx, tx });
        Ok(())
    }

    /// Directions up to the end of the line or of a switch's position.
    fn ports(&mut self) -> Parsed<DirSet> {
        let mut ports = DirSet::EMPTY;
        while !self.ended() && self.peek() != Tok::Punct("|") {
            ports = ports.with(self.one_of(&Dir::ALL, Dir::name)?);
        }
        Ok(ports)
    }

    pub(super) fn switch(&mut self, at: usize) -> Parsed<()> {
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
        self.mark(Part::Switch(self.program.switches.len()), at);
        self.program.switches.push(Switch { color, region, positions, ring, pop });
        Ok(())
    }

    pub(super) fn filter(&mut self, at: usize) -> Parsed<()> {
        let color = self.color()?;
        let region = self.region()?;
        self.keyword("start")?;
        let place = self.at();
        let start = self.expr_of_place()?;
        self.keyword("pass")?;
        let pass = self.int()?;
        self.keyword("of")?;
        let period: u32 = self.int()?;
        let plain =
            |form: &Affine| [(form.dx, form.mod_x), (form.dy, form.mod_y)].iter().all(|a| a.0 == 0 || a.1 == u32::MAX);
        let parts = match written(&start, region).filter(plain) {
            Some(form) => vec![(region, vec![form])],
            None => self.parts(region, &[start], false, place)?,
        };
        for (region, forms) in parts {
            self.step()?;
            let form = forms[0];
            // The counter goes in a circle, so a start may be moved by whole periods.
            let first = if form.base < 0 && period > 0 { form.base.rem_euclid(period.into()) } else { form.base };
            let start = self.fits(Value::Int(first), place)?;
            let (dx, dy) = (self.fits(Value::Int(form.dx), place)?, self.fits(Value::Int(form.dy), place)?);
            self.mark(Part::Filter(self.program.filters.len()), at);
            self.program.filters.push(Filter { color, region, start, dx, dy, period, pass });
        }
        Ok(())
    }

    pub(super) fn edge(&mut self, at: usize) -> Parsed<()> {
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
        let index = self.program.edges.len();
        self.mark(Part::Edge(index), at);
        self.program.edges.push(EdgeStream { name, flow, side, ports, color, wavelets, interval, fanout });
        if self.take(Tok::Punct("=")) { self.stream_values(index, at) } else { Ok(()) }
    }
}
