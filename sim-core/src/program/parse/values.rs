//! Numbers of elements: a list, or an expression for each element.
//!
//! `1, 2.5, x` gives the first elements; `each 0.5*i` gives all, with `i` counting them; `each r, c: 10*r+c`
//! names an index for every dimension. `x` and `y` are column and row of the PE.
//!
//! **Not here.** How they are read (`numbers.rs`).

use super::expr::{Expr, Fault};
use super::value::Value;
use crate::coord::PeCoord;
use crate::program::{DType, Word};

/// Numbers of elements.
#[derive(Debug)]
pub(super) enum Values {
    /// Of the first elements.
    List(Vec<Item>),
    /// Of every element. The variables are x, y, and an index for each dimension of the shape.
    Each(Expr, Vec<u64>),
}

/// A number of a list.
#[derive(Debug)]
pub(super) enum Item {
    /// The bits of a binary32.
    Bits(u32),
    /// An expression over x and y.
    Expr(Expr),
}

impl Values {
    /// Whether all PEs have the same.
    pub(super) fn same_everywhere(&self) -> bool {
        let same = |expr: &Expr| !expr.uses(0) && !expr.uses(1);
        match self {
            Values::List(items) => items.iter().all(|i| if let Item::Expr(e) = i { same(e) } else { true }),
            Values::Each(expr, _) => same(expr),
        }
    }

    /// Operations that the costliest number takes.
    pub(super) fn cost(&self) -> u64 {
        let of = |item: &Item| if let Item::Expr(expr) = item { expr.cost() } else { 1 };
        match self {
            Values::List(items) => items.iter().map(of).max().unwrap_or_default(),
            Values::Each(expr, _) => expr.cost(),
        }
    }

    /// Whether the numbers are listed one by one.
    pub(super) fn is_list(&self) -> bool {
        matches!(self, Values::List(_))
    }

    /// How many of `len` elements have a number.
    pub(super) fn count(&self, len: u64) -> u64 {
        if let Values::List(items) = self { items.len() as u64 } else { len }
    }

    /// The number of an element on a PE; None behind the end of a list.
    pub(super) fn number(&self, pe: PeCoord, element: u64) -> Result<Option<Number>, Fault> {
        let place = [Value::Int(pe.x.into()), Value::Int(pe.y.into())];
        let value = match self {
            Values::List(items) => match items.get(element as usize) {
                None => return Ok(None),
                Some(Item::Bits(bits)) => return Ok(Some(Number::Bits(*bits))),
                Some(Item::Expr(expr)) => expr.value(&place)?,
            },
            Values::Each(expr, shape) => {
                let mut variables = place.to_vec();
                let mut rest = element;
                for &size in shape.iter().skip(1).rev() {
                    variables.insert(2, Value::Int((rest % size.max(1)).into()));
                    rest /= size.max(1);
                }
                variables.insert(2, Value::Int(rest.into()));
                expr.value(&variables)?
            }
        };
        Ok(Some(Number::Value(value)))
    }

    /// The number of an element as its type holds it; None behind the end of a list.
    pub(super) fn held(&self, pe: PeCoord, element: u64, kind: Kind) -> Result<Option<f64>, Fault> {
        let Some(number) = self.number(pe, element)? else { return Ok(None) };
        Ok(Some(match kind {
            Kind::Number(dtype) => dtype.round(number.single()).into(),
            Kind::Whole(_) => number.value().float(),
        }))
    }

    /// The bits in memory of the first of `len` elements, as many as have a number.
    pub(super) fn bits(&self, pe: PeCoord, len: u64, kind: Kind) -> Result<Vec<u32>, Fault> {
        let numbers = (0..self.count(len)).map_while(|element| self.number(pe, element).transpose());
        numbers.map(|number| kind.bits(number?)).collect()
    }
}

/// The type of elements.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Number(DType),
    Whole(Word),
}

impl Kind {
    /// Of the elements of a buffer.
    pub(super) fn of(dtype: DType, word: Option<Word>) -> Kind {
        word.map_or(Kind::Number(dtype), Kind::Whole)
    }

    /// The bits in memory.
    fn bits(self, number: Number) -> Result<u32, Fault> {
        match self {
            Kind::Number(dtype) => Ok(dtype.encode(number.single())),
            Kind::Whole(word) => number.word(word),
        }
    }
}

/// A number as it is given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    /// The bits of a binary32.
    Bits(u32),
    Value(Value),
}

impl Number {
    pub(super) fn single(self) -> f32 {
        match self {
            Number::Bits(bits) => f32::from_bits(bits),
            Number::Value(value) => value.float() as f32,
        }
    }

    fn value(self) -> Value {
        match self {
            Number::Bits(bits) => Value::Float(f32::from_bits(bits).into()),
            Number::Value(value) => value,
        }
    }

    pub(super) fn word(self, word: Word) -> Result<u32, Fault> {
        let value = self.value();
        let whole = value.whole().and_then(|n| i64::try_from(n).ok());
        whole.and_then(|n| word.bits(n)).ok_or_else(|| (usize::MAX, format!("{value} is no {}", word.name())))
    }
}
