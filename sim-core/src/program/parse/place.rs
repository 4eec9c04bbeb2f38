//! Placements: which PEs run an image, and with which registers.
//!
//! They are read behind everything else, when all images and the addresses of their buffers are known.

use super::expr::{Expr, UNCHARGED};
use super::fit::{Affine, Table, written};
use super::image::Register;
use super::lex::Tok;
use super::scope::{Scope, nearest};
use super::value::Value;
use super::{Parsed, Parser, Stop, clipped};
use crate::coord::{MAX_PES, Region};
use crate::diag::Part;
use crate::program::{AddrReg, Param, Placement};
use std::collections::BTreeMap;

/// A placement that is not read yet.
pub(super) struct Pending<'a> {
    /// Where it stands.
    at: usize,
    /// The first token behind `place`.
    first: usize,
    scope: Scope<'a>,
    repeats: Vec<(&'a str, i128)>,
}

impl<'a> Pending<'a> {
    /// The statement whose first word was just read.
    pub(super) fn here(parser: &Parser<'a>, at: usize) -> Pending<'a> {
        let (scope, repeats) = (parser.scope.clone(), parser.repeats.clone());
        Pending { at, first: parser.next, scope, repeats }
    }

    /// Goes back to it; returns where it stands.
    pub(super) fn resume(self, parser: &mut Parser<'a>) -> usize {
        parser.next = self.first;
        parser.end = parser.tokens.len();
        parser.scope = self.scope;
        parser.repeats = self.repeats;
        self.at
    }
}

impl<'a> Parser<'a> {
    /// Remembers a placement, and goes on behind it.
    pub(super) fn placement(&mut self, at: usize) -> Parsed<()> {
        let pending = Pending::here(self, at);
        self.pending.push(pending);
        self.skip_statement();
        Ok(())
    }

    /// Goes on at the end of the statement.
    pub(super) fn skip_statement(&mut self) {
        while !self.ended() {
            self.next += 1;
        }
    }

    /// Reads all placements.
    pub(super) fn place_all(&mut self) {
        let mut numbers = BTreeMap::<String, Vec<usize>>::new();
        for (i, image) in self.program.images.iter().enumerate() {
            numbers.entry(image.name.clone()).or_default().push(i);
        }
        for pending in std::mem::take(&mut self.pending) {
            let at = pending.resume(self);
            self.misplaced |= matches!(self.place(at, &numbers), Err(Stop::Failed));
        }
    }

    fn place(&mut self, at: usize, numbers: &BTreeMap<String, Vec<usize>>) -> Parsed<()> {
        let number = if self.take(Tok::Punct("#")) { Some(self.atom()?) } else { None };
        let named = if number.is_none() { Some((self.at(), self.name()?)) } else { None };
        let region = self.region();
        if let (Err(Stop::Nothing), Some((_, name))) = (&region, &named) {
            // Without positions an image is not needed, and is not missed.
            let meant = numbers.get(name).into_iter().flatten().map(|&i| Part::Image(i));
            self.meant.extend(meant);
        }
        if let Err(Stop::Nothing) = region {
            return Err(Stop::Nothing);
        }
        let image = match (number, named) {
            (None, Some((at, name))) => self.image_named(&name, at, numbers)?,
            (number, _) => number.unwrap_or_default(),
        };
        let region = region?;
        self.current = image as usize;
        let names = self.images.get_mut(self.current).map(std::mem::take);
        self.names = names.unwrap_or_default();
        let values = self.registers();
        if let Some(own) = self.images.get_mut(self.current) {
            *own = std::mem::take(&mut self.names);
        }
        let values = values?;
        self.line_end()?;
        for (region, params) in self.starts(region, &values, at)? {
            self.mark(Part::Placement(self.program.placements.len()), at);
            self.program.placements.push(Placement { region, image, params });
        }
        Ok(())
    }

    fn image_named(&mut self, name: &str, at: usize, numbers: &BTreeMap<String, Vec<usize>>) -> Parsed<u32> {
        match numbers.get(name).map(Vec::as_slice) {
            Some(&[one]) => Ok(one as u32),
            None if self.failed.contains(name) => Err(Stop::Failed),
            found => {
                let count = found.map_or(0, <[usize]>::len);
                let help = nearest(name, numbers.keys().map(String::as_str)).filter(|_| count == 0);
                let message = format!("there are {count} images with the name {:?}", clipped(name));
                self.fault("P004", at, message, &help.unwrap_or_default())
            }
        }
    }

    /// `REGISTER=EXPRESSION` up to the end of the line.
    fn registers(&mut self) -> Parsed<Vec<(AddrReg, Expr, usize)>> {
        let mut values = Vec::new();
        while !self.ended() {
            let reg = self.placed_register()?;
            self.punct("=")?;
            let at = self.at();
            values.push((reg, self.expr_of_place()?, at));
        }
        Ok(values)
    }

    fn placed_register(&mut self) -> Parsed<AddrReg> {
        if let Some((Register::Data(_), _)) = self.register_named() {
            return self.expected("an address register; data registers start at zero");
        }
        if let Tok::Word(word) = self.peek()
            && !self.at_addr_reg()
        {
            let names: Vec<String> = self.names.registers.iter().map(|r| r.0.clone()).collect();
            let help = nearest(word, names.iter().map(String::as_str)).unwrap_or_default();
            return self.expected_help("`a` with a number, or the name of a register of the image", &help);
        }
        self.addr_reg()
    }

    /// An expression over `x` and `y`, column and row of a PE.
    pub(super) fn expr_of_place(&mut self) -> Parsed<Expr> {
        self.wanted = "a number, or an expression over x and y";
        self.over(vec!["x", "y"])
    }

    /// Start values of registers on a region, or on parts of it where they differ by more than a placement
    /// can say.
    fn starts(
        &mut self,
        region: Region,
        values: &[(AddrReg, Expr, usize)],
        at: usize,
    ) -> Parsed<Vec<(Region, Vec<Param>)>> {
        let forms: Option<Vec<Affine>> = values.iter().map(|(_, expr, _)| written(expr, region)).collect();
        let parts = match forms {
            Some(forms) => vec![(region, forms)],
            None => {
                let expressions: Vec<Expr> = values.iter().map(|(_, expr, _)| expr.clone()).collect();
                self.parts(region, &expressions, true, at)?
            }
        };
        let mut starts = Vec::new();
        for (region, forms) in parts {
            self.step()?;
            let mut params = Vec::new();
            for (form, (reg, _, at)) in forms.iter().zip(values) {
                let value = |p: &mut Self, n| p.fits::<i32>(Value::Int(n), *at);
                let (base, dx, dy) = (value(self, form.base)?, value(self, form.dx)?, value(self, form.dy)?);
                params.push(Param { reg: *reg, base, dx, dy, mod_x: form.mod_x, mod_y: form.mod_y });
            }
            starts.push((region, params));
        }
        Ok(starts)
    }

    /// Rectangles of a region on which expressions have the form that a program can hold.
    pub(super) fn parts(
        &mut self,
        region: Region,
        expressions: &[Expr],
        periods: bool,
        at: usize,
    ) -> Parsed<Vec<(Region, Vec<Affine>)>> {
        if region.pes() > MAX_PES || region.x.last().max(region.y.last()) > u64::from(u32::MAX) {
            let message = format!("an expression over {} PEs; at most {MAX_PES} are possible", region.pes());
            return self.fault("P008", at, message, "");
        }
        for cost in expressions.iter().map(Expr::cost).filter(|cost| *cost > UNCHARGED) {
            self.charge(region.pes(), cost)?;
        }
        match Table::of(expressions, region, periods) {
            Ok(table) => Ok(table.cut(region)),
            Err((place, message)) => {
                let place = if place == usize::MAX { at } else { place };
                self.fault("P007", place, message, "")
            }
        }
    }
}
