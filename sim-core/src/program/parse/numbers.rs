//! Numbers beside the program, as they are written: start values, values of streams, expectations.
//!
//! **Not here.** What becomes of them in a run (`data.rs`).

use super::data::{Elements, Expect, Feed, Start, What};
use super::expr::{Ends, Expr, Fault, UNCHARGED};
use super::lex::Tok;
use super::place::Pending;
use super::value::Value;
use super::values::{Item, Kind, Number, Values};
use super::{Parsed, Parser, clipped};
use crate::coord::{PeCoord, Region};
use crate::program::{DType, Dim, Dims, Flow};
use std::cmp::Ordering;

/// Most start values of all images.
const MAX_VALUES: u64 = 1 << 24;

impl<'a> Parser<'a> {
    /// A list, or an expression for each element of a shape.
    pub(super) fn values(&mut self, shape: &[u64], kind: Kind) -> Parsed<Values> {
        if self.take(Tok::Word("each")) {
            return self.each(shape);
        }
        let mut items = vec![self.item(kind)?];
        while self.take(Tok::Punct(",")) {
            items.push(self.item(kind)?);
        }
        Ok(Values::List(items))
    }

    fn item(&mut self, kind: Kind) -> Parsed<Item> {
        if let (Kind::Number(_), Some((bits, tokens))) = (kind, self.literal_bits()) {
            self.next += tokens;
            return Ok(Item::Bits(bits));
        }
        self.wanted = "a number in the range of binary32, or its bits as 0x…";
        self.over(vec!["x", "y"]).map(Item::Expr)
    }

    /// An expression over variables.
    pub(super) fn over(&mut self, names: Vec<&'a str>) -> Parsed<Expr> {
        self.free = names;
        let read = self.expr();
        self.free = Vec::new();
        read
    }

    fn each(&mut self, shape: &[u64]) -> Parsed<Values> {
        let at = self.at();
        let mut names: Vec<&'a str> = Vec::new();
        let mut next = self.next;
        // Names stand before a `:`; without it, what follows is the expression.
        while let Some([name, mark]) = self.tokens.get(next..next + 2) {
            let Tok::Word(word) = name.tok else { break };
            names.push(word);
            next += 2;
            match mark.tok {
                Tok::Punct(",") => {}
                Tok::Punct(":") => return self.each_of(names, next, shape, at),
                _ => break,
            }
        }
        let elements = shape.iter().fold(1u64, |n, &d| n.saturating_mul(d));
        self.wanted = "an expression over i, x and y";
        Ok(Values::Each(self.over(vec!["x", "y", "i"])?, vec![elements]))
    }

    fn each_of(&mut self, names: Vec<&'a str>, next: usize, shape: &[u64], at: usize) -> Parsed<Values> {
        if names.len() != 1 && names.len() != shape.len() {
            let message = format!("{} indices for {} dimensions", names.len(), shape.len());
            return self.fault("P011", at, message, "one for each dimension, or one that counts all elements");
        }
        self.next = next;
        let own = if names.len() == shape.len() { shape.to_vec() } else { vec![shape.iter().product()] };
        let names = ["x", "y"].into_iter().chain(names).collect();
        self.wanted = "an expression over the indices, x and y";
        Ok(Values::Each(self.over(names)?, own))
    }

    /// Start values of a buffer: in the image if they are the same on all PEs.
    pub(super) fn start_values(&mut self, image: usize, buffer: usize, shape: &[u32]) -> Parsed<()> {
        let at = self.at();
        let shape: Vec<u64> = shape.iter().map(|&d| d.into()).collect();
        let own = &self.program.images[image].buffers[buffer];
        let kind = Kind::of(own.dtype, own.word);
        let values = self.values(&shape, kind)?;
        if !values.same_everywhere() {
            self.data.starts.push(Start { image, buffer, values, at });
            return Ok(());
        }
        let len = shape.iter().product();
        self.valued += values.count(len);
        if self.valued > MAX_VALUES {
            let message = format!("more than {MAX_VALUES} start values");
            return self.fault("P008", at, message, "give less, or let them depend on the place");
        }
        let cost = values.cost();
        if cost > UNCHARGED {
            self.charge(values.count(len), cost)?;
        }
        let number = |element| values.number(PeCoord { x: 0, y: 0 }, element).transpose();
        // In an image numbers stand as they are given, and are rounded when a run begins.
        let held = |number: Number| match kind {
            Kind::Number(_) => Ok(number.single().to_bits()),
            Kind::Whole(word) => number.word(word),
        };
        let init: Result<Vec<u32>, Fault> =
            (0..values.count(len)).map_while(number).map(|number| held(number?)).collect();
        match init {
            Ok(init) => {
                self.program.images[image].buffers[buffer].init = init;
                Ok(())
            }
            Err((place, message)) => {
                let place = if place == usize::MAX { at } else { place };
                self.fault("P007", place, message, "")
            }
        }
    }

    /// `= [TYPE] VALUES` behind an edge stream.
    pub(super) fn stream_values(&mut self, edge: usize, at: usize) -> Parsed<()> {
        let stream = &self.program.edges[edge];
        let (flow, wavelets) = (stream.flow, stream.wavelets);
        if flow == Flow::Out {
            let help = "what leaves is checked by `expect edge NAME == …`";
            return self.fault("P007", at, "values for a stream that leaves the wafer".to_owned(), help);
        }
        let dtype = self.stream_type()?;
        let values = self.values(&[wavelets.saturating_mul(dtype.per_wavelet().into())], Kind::Number(dtype))?;
        self.data.feeds.push(Feed { edge, dtype, values, at });
        Ok(())
    }

    fn stream_type(&mut self) -> Parsed<DType> {
        match self.peek() {
            Tok::Word(word) if DType::ALL.iter().any(|d| d.name() == word) => self.dtype(),
            _ => Ok(DType::F32),
        }
    }

    /// Remembers an expectation, and goes on behind it.
    pub(super) fn expectation(&mut self, at: usize) -> Parsed<()> {
        let pending = Pending::here(self, at);
        self.expectations.push(pending);
        self.skip_statement();
        Ok(())
    }

    /// Reads all expectations.
    pub(super) fn expect_all(&mut self) {
        for pending in std::mem::take(&mut self.expectations) {
            let at = pending.resume(self);
            let read = self.expect(at).and_then(|expect| self.line_end().map(|()| expect));
            self.data.expects.extend(read.ok());
        }
    }

    fn expect(&mut self, at: usize) -> Parsed<Expect> {
        let what = match (self.peek(), self.second()) {
            (Tok::Word("cycles"), Tok::Punct("==" | "<=" | ">=" | "<" | ">")) => self.expect_cycles()?,
            (Tok::Word("edge"), Tok::Word(_) | Tok::Quoted(_)) => self.expect_edge()?,
            _ => self.expect_buffer()?,
        };
        let mut tolerance = 0.0;
        if self.take(Tok::Word("within")) {
            tolerance = self.constant(Ends::default())?.float();
        }
        Ok(Expect { what, at, tolerance })
    }

    fn expect_cycles(&mut self) -> Parsed<What> {
        self.next += 1;
        let Tok::Punct(comparison) = self.peek() else { return self.expected("a comparison") };
        self.next += 1;
        let order = match comparison {
            "<" | "<=" => Ordering::Less,
            ">" | ">=" => Ordering::Greater,
            _ => Ordering::Equal,
        };
        let cycles = self.constant(Ends::default())?.float();
        Ok(What::Cycles(order, comparison.ends_with('='), cycles))
    }

    fn expect_edge(&mut self) -> Parsed<What> {
        self.next += 1;
        let at = self.at();
        let name = self.name()?;
        let Some(edge) = self.program.edges.iter().position(|e| e.name == name && e.flow == Flow::Out) else {
            return self.fault("P005", at, format!("there is no `edge out {}`", clipped(&name)), "");
        };
        let dtype = self.stream_type()?;
        self.punct("==")?;
        let wavelets = self.program.edges[edge].wavelets;
        let shape = [wavelets.saturating_mul(dtype.per_wavelet().into())];
        let values = self.expected_values(&shape, Kind::Number(dtype))?;
        Ok(What::Edge { edge, dtype, values })
    }

    /// One number without `each` is meant for every element.
    fn expected_values(&mut self, shape: &[u64], kind: Kind) -> Parsed<Values> {
        let values = self.values(shape, kind)?;
        match values {
            Values::List(mut items) if items.len() == 1 => match items.remove(0) {
                Item::Expr(expr) => Ok(Values::Each(expr, vec![shape.iter().product()])),
                Item::Bits(bits) => {
                    let value = Value::Float(f32::from_bits(bits).into());
                    Ok(Values::Each(Expr::Const(value), vec![shape.iter().product()]))
                }
            },
            other => Ok(other),
        }
    }

    fn expect_buffer(&mut self) -> Parsed<What> {
        let at = self.at();
        let name = self.name()?;
        let with = self.images.iter().flat_map(|i| &i.memory).find(|m| m.name == name);
        let Some(declared) = with.cloned() else {
            if self.failed.contains(&name) {
                return Err(super::Stop::Failed);
            }
            let known: Vec<String> = self.images.iter().flat_map(|i| &i.memory).map(|m| m.name.clone()).collect();
            let help = super::scope::nearest(&name, known.iter().map(String::as_str)).unwrap_or_default();
            return self.fault("P005", at, format!("no image has a buffer `{}`", clipped(&name)), &help);
        };
        let (first, dims) = if self.peek() == Tok::Punct("[") {
            self.indices(&declared, at)?
        } else {
            (0, Dims::from_elem(Dim { len: declared.elements() as u32, stride: 1 }, 1))
        };
        // Images may have buffers of several sizes with one name.
        let same = self.images.iter().flat_map(|i| &i.memory).filter(|m| m.name == name);
        if let Some(largest) = same.max_by_key(|m| m.elements()).cloned() {
            self.check_inside(&largest, first, &dims, at)?;
        }
        let elements = Elements { first, dims };
        if elements.count() > declared.elements() {
            let message =
                format!("{} elements of `{}`, which has {}", elements.count(), clipped(&name), declared.elements());
            return self.fault("P011", at, message, "");
        }
        let region = if self.peek() == Tok::Word("x") { Some(self.region()?) } else { None };
        self.check_region_has(&name, region, at)?;
        self.punct("==")?;
        let shape: Vec<u64> = declared.shape.iter().map(|&d| d.into()).collect();
        let values = self.expected_values(&shape, Kind::of(declared.dtype, declared.word))?;
        Ok(What::Buffer { name, region, elements, values })
    }

    /// Whether some PE of the region has the buffer.
    fn check_region_has(&mut self, name: &str, region: Option<Region>, at: usize) -> Parsed<()> {
        let meets = |p: &crate::program::Placement| match region {
            None => true,
            Some(r) => p.region.pes() <= crate::coord::MAX_PES && p.region.iter().any(|pe| r.contains(pe)),
        };
        let has = |image: u32| {
            let image = self.program.images.get(image as usize);
            image.is_some_and(|i| i.buffers.iter().any(|b| b.name == name))
        };
        if self.misplaced || self.program.placements.iter().any(|p| has(p.image) && meets(p)) {
            return Ok(());
        }
        let place = region.map_or("no PE".to_owned(), |r| format!("no PE of {r}"));
        self.fault("P011", at, format!("{place} has a buffer `{}`", clipped(name)), "")
    }
}
