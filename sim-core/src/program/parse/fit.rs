//! How a number depends on the place: from an expression over column and row to what a program holds,
//! `base + dx·(i mod mod_x) + dy·(j mod mod_y)` for column `i` and row `j` of a region.
//!
//! An expression of just this form is taken as it is written. Of any other one the values are computed for
//! all PEs, and the region is cut into rectangles on each of which they have this form.
//!
//! **Invariant.** On every PE the cut pieces give the value of the expression.

use super::expr::{Expr, Fault};
use super::value::{Binary, Value};
use crate::coord::{Region, Span};

/// A number that depends on the place in a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Affine {
    pub(super) base: i128,
    pub(super) dx: i128,
    pub(super) dy: i128,
    /// Period over columns; the largest number of 32 bits if there is none.
    pub(super) mod_x: u32,
    /// Period over rows.
    pub(super) mod_y: u32,
}

/// The form that an expression over `x` (variable 0) and `y` (variable 1) has as it is written.
pub(super) fn written(expr: &Expr, region: Region) -> Option<Affine> {
    let mut sum = Affine { base: 0, dx: 0, dy: 0, mod_x: 1, mod_y: 1 };
    let mut seen = [false; 2];
    let mut terms = vec![(expr, false)];
    while let Some((term, negative)) = terms.pop() {
        match term {
            Expr::Binary(Binary::Add, ab, _) => terms.extend([(&ab[0], negative), (&ab[1], negative)]),
            Expr::Binary(Binary::Sub, ab, _) if ordinal(term, region).is_none() => {
                terms.extend([(&ab[0], negative), (&ab[1], !negative)]);
            }
            Expr::Const(value) => sum.base += signed(value.whole()?, negative),
            _ => {
                let (factor, axis, period) = product(term, region)?;
                if std::mem::replace(&mut seen[axis], true) {
                    return None;
                }
                let factor = signed(factor, negative);
                match axis {
                    0 => (sum.dx, sum.mod_x) = (factor, period),
                    _ => (sum.dy, sum.mod_y) = (factor, period),
                }
            }
        }
    }
    Some(sum)
}

fn signed(n: i128, negative: bool) -> i128 {
    if negative { -n } else { n }
}

/// `factor * position` or `factor * (position % period)`: factor, axis, period.
fn product(term: &Expr, region: Region) -> Option<(i128, usize, u32)> {
    let (factor, position) = match term {
        Expr::Binary(Binary::Mul, ab, _) => match (ab[0].known(), ab[1].known()) {
            (Some(factor), None) => (factor.whole()?, &ab[1]),
            (None, Some(factor)) => (factor.whole()?, &ab[0]),
            _ => return None,
        },
        _ => (1, term),
    };
    let (position, period) = match position {
        Expr::Binary(Binary::Rem, ab, _) => (&ab[0], u32::try_from(ab[1].known()?.whole()?).ok()?),
        _ => (position, u32::MAX),
    };
    Some((factor, ordinal(position, region)?, period))
}

/// The axis whose place within the region an expression is: `x`, `(x-3)` or `((x-3)/2)`.
fn ordinal(expr: &Expr, region: Region) -> Option<usize> {
    let is = |e: &Expr, n: u32| e.known() == Some(Value::Int(n.into()));
    let on = |e: &Expr, divisor: Option<&Expr>| {
        let (axis, first) = match e {
            Expr::Var(axis) => (*axis, None),
            Expr::Binary(Binary::Sub, ab, _) => match ab[0] {
                Expr::Var(axis) => (axis, Some(&ab[1])),
                _ => return None,
            },
            _ => return None,
        };
        let span: Span = if axis == 0 { region.x } else { region.y };
        let starts = first.map_or(span.start == 0, |first| is(first, span.start));
        let steps = divisor.map_or(span.step == 1, |divisor| is(divisor, span.step));
        (starts && steps).then_some(axis)
    };
    match expr {
        Expr::Binary(Binary::Div, ab, _) => on(&ab[0], Some(&ab[1])),
        _ => on(expr, None),
    }
}

/// The values of expressions on all PEs of a region.
pub(super) struct Table {
    width: usize,
    height: usize,
    /// Per expression, row by row.
    values: Vec<Vec<i64>>,
    /// Whether a period is possible.
    periods: bool,
}

/// A rectangle of a table: first column, first row, columns, rows.
type Cut = (usize, usize, usize, usize);

impl Table {
    /// Evaluates expressions on a region, which is of a size that memory has room for.
    pub(super) fn of(expressions: &[Expr], region: Region, periods: bool) -> Result<Table, Fault> {
        let evaluate = |expr: &Expr| {
            let at = |x: u32, y: u32| expr.value(&[Value::Int(x.into()), Value::Int(y.into())]);
            let whole = |value: Value| {
                let n = value.whole().and_then(|n| i64::try_from(n).ok());
                n.ok_or_else(|| (usize::MAX, format!("{value} is no whole number, or out of range")))
            };
            region.iter().map(|pe| whole(at(pe.x, pe.y)?)).collect::<Result<Vec<i64>, Fault>>()
        };
        let values = expressions.iter().map(evaluate).collect::<Result<_, _>>()?;
        Ok(Table { width: region.x.count as usize, height: region.y.count as usize, values, periods })
    }

    /// Cuts the region into parts on which all expressions have the form.
    pub(super) fn cut(&self, region: Region) -> Vec<(Region, Vec<Affine>)> {
        let mut found = Vec::new();
        let mut left: Vec<Cut> = vec![(0, 0, self.width, self.height)];
        while let Some((i, j, w, h)) = left.pop() {
            let whole = self.fits((i, j, w, h));
            let columns = if whole.is_none() { self.most(w, |n| self.fits((i, j, n, h)).is_some()) } else { w };
            let rows = if columns == 0 { self.most(h, |n| self.fits((i, j, w, n)).is_some()) } else { h };
            match (columns, rows) {
                (0, 0) if w >= h => left.extend([(i + w / 2, j, w - w / 2, h), (i, j, w / 2, h)]),
                (0, 0) => left.extend([(i, j + h / 2, w, h - h / 2), (i, j, w, h / 2)]),
                (0, rows) => {
                    left.push((i, j + rows, w, h - rows));
                    left.push((i, j, w, rows));
                }
                (columns, _) if columns < w => {
                    left.push((i + columns, j, w - columns, h));
                    left.push((i, j, columns, h));
                }
                _ => found.extend(whole.map(|forms| (part(region, (i, j, w, h)), forms))),
            }
        }
        found
    }

    /// The largest number up to `most`, not included, for which something holds that holds for all smaller
    /// ones as well; 0 if it does not hold for 1.
    fn most(&self, most: usize, holds: impl Fn(usize) -> bool) -> usize {
        let (mut good, mut bad) = (0, most);
        while bad - good > 1 {
            let middle = if good == 0 { 1 } else { good + (bad - good) / 2 };
            if holds(middle) {
                good = middle;
            } else {
                bad = middle;
            }
        }
        good
    }

    fn fits(&self, cut: Cut) -> Option<Vec<Affine>> {
        self.values.iter().map(|values| self.form(values, cut)).collect()
    }

    /// The form of values on a rectangle, if they have it.
    fn form(&self, values: &[i64], (i, j, w, h): Cut) -> Option<Affine> {
        let at = |column: usize, row: usize| i128::from(values[(j + row) * self.width + i + column]);
        let base = at(0, 0);
        let (dx, mod_x) = self.along(w, |n| at(n, 0) - base)?;
        let (dy, mod_y) = self.along(h, |n| at(0, n) - base)?;
        let separable = (0..h).all(|row| (0..w).all(|column| at(column, row) == at(column, 0) + at(0, row) - base));
        separable.then_some(Affine { base, dx, dy, mod_x, mod_y })
    }

    /// Change and period of values along an axis, of which the first is 0.
    fn along(&self, count: usize, value: impl Fn(usize) -> i128) -> Option<(i128, u32)> {
        let step = if count > 1 { value(1) } else { 0 };
        let Some(other) = (0..count).find(|&n| value(n) != step * n as i128) else {
            return Some(if step == 0 { (0, 1) } else { (step, u32::MAX) });
        };
        let periodic = self.periods && (0..count).all(|n| value(n) == step * (n % other) as i128);
        periodic.then_some((step, other as u32))
    }
}

/// A rectangle of a region.
fn part(region: Region, (i, j, w, h): Cut) -> Region {
    let along = |span: Span, from: usize, count: usize| {
        let start = span.start + from as u32 * span.step;
        Span { start, count: count as u32, step: if count == 1 { 1 } else { span.step } }
    };
    Region { x: along(region.x, i, w), y: along(region.y, j, h) }
}
