//! Expressions: how they are read, and what is left of them where the value of a name is not yet known.
//!
//! What consists of known numbers is computed while it is read. A name that gets its value later, such
//! as `x` in a placement, stays as a variable; then the expression is kept and evaluated for each PE.
//!
//! **Invariant.** Reading ends on any input; parentheses nest at most [`MAX_DEPTH`] deep.
//! **Not here.** What operators and functions compute (`value.rs`), which names there are (`scope.rs`),
//! functions of one's own (`function.rs`).

use super::array::Array;
use super::lex::Tok;
use super::value::{self, Binary, Evaluated, FUNCTIONS, OF_BUFFERS, OF_MACHINE, Value, is_function, takes};
use super::{MAX_DEPTH, Parsed, Parser, Stop, clipped};
use std::sync::Arc;

/// Most operations of an expression that is kept, so that evaluating it takes little of the host's stack.
pub(super) const MAX_OPERATORS: usize = 1000;

/// Operations that a value may take without being counted.
pub(super) const UNCHARGED: u64 = 2 * MAX_OPERATORS as u64;

/// An expression with the values of its known names in place of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    /// A number.
    Const(Value),
    /// A name that gets its value later, by its place in the list of such names.
    Var(usize),
    /// The operand with the other sign.
    Negative(Box<Expr>),
    /// An operator with two operands, and where it stands.
    Binary(Binary, Box<[Expr; 2]>, usize),
    /// A function by its name, its operands, and where it stands.
    Call(&'static str, Vec<Expr>, usize),
    /// An element of an array, its indices, and where it stands.
    Element(Arc<Array>, Vec<Expr>, usize),
    /// A sum of an expression over an index, and where it stands.
    Sum(Box<Expr>, Terms, usize),
}

/// The variable of a sum, and the numbers that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) variable: usize,
    pub(super) from: i64,
    pub(super) step: i64,
    pub(super) count: u64,
}

impl Terms {
    /// The value of the variable in a term.
    pub(super) fn index(self, term: u64) -> Value {
        Value::Int(i128::from(self.from) + i128::from(term) * i128::from(self.step))
    }
}

/// What is wrong with the value of an expression, and where.
pub(super) type Fault = (usize, String);

impl Expr {
    /// Its value, given those of the variables.
    pub(super) fn value(&self, variables: &[Value]) -> Result<Value, Fault> {
        let at = |at: usize| move |message| (at, message);
        match self {
            Expr::Const(value) => Ok(*value),
            Expr::Var(n) => Ok(variables[*n]),
            Expr::Negative(a) => Ok(value::negative(a.value(variables)?)),
            Expr::Binary(op, ab, place) => {
                let (a, b) = (ab[0].value(variables)?, ab[1].value(variables)?);
                value::binary(*op, a, b).map_err(at(*place))
            }
            // Only the part that is chosen needs a value.
            Expr::Call("select", all, _) => {
                let holds = all[0].value(variables)?.holds();
                all[if holds { 1 } else { 2 }].value(variables)
            }
            Expr::Call(name, operands, place) => {
                let values = operands.iter().map(|o| o.value(variables)).collect::<Result<Vec<_>, _>>()?;
                value::call(name, &values).map_err(at(*place))
            }
            Expr::Element(array, indices, place) => {
                let values = indices.iter().map(|o| o.value(variables)).collect::<Result<Vec<_>, _>>()?;
                array.element(&values).map_err(at(*place))
            }
            Expr::Sum(term, terms, place) => {
                let mut inner = variables.to_vec();
                inner.resize(terms.variable + 1, Value::Int(0));
                let mut sum = Value::Int(0);
                for n in 0..terms.count {
                    inner[terms.variable] = terms.index(n);
                    sum = value::binary(Binary::Add, sum, term.value(&inner)?).map_err(at(*place))?;
                }
                Ok(sum)
            }
        }
    }

    /// What the operation is applied to.
    pub(super) fn operands(&self) -> &[Expr] {
        match self {
            Expr::Const(_) | Expr::Var(_) => &[],
            Expr::Negative(a) | Expr::Sum(a, ..) => std::slice::from_ref(a),
            Expr::Binary(_, ab, _) => &ab[..],
            Expr::Call(_, all, _) | Expr::Element(_, all, _) => all,
        }
    }

    /// Whether a variable is in it.
    pub(super) fn uses(&self, variable: usize) -> bool {
        *self == Expr::Var(variable) || self.operands().iter().any(|e| e.uses(variable))
    }

    /// Operations in it.
    pub(super) fn size(&self) -> usize {
        let own = usize::from(!matches!(self, Expr::Const(_) | Expr::Var(_)));
        self.operands().iter().map(Expr::size).fold(own, usize::saturating_add)
    }

    /// Operations that its value takes.
    pub(super) fn cost(&self) -> u64 {
        let cost = self.operands().iter().map(Expr::cost).fold(1, u64::saturating_add);
        if let Expr::Sum(_, terms, _) = self { cost.saturating_mul(terms.count) } else { cost }
    }

    /// Whether no variable is in it.
    fn is_known(&self) -> bool {
        matches!(self, Expr::Const(_))
    }

    /// The number that it is, if no variable is in it.
    pub(super) fn known(&self) -> Option<Value> {
        if let Expr::Const(value) = self { Some(*value) } else { None }
    }
}

/// Operators that mean something else behind the expression, and so end it unless they are in parentheses.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ends {
    /// `/`, as the step of a range.
    pub(super) slash: bool,
    /// `%`, as the circular buffer of an operand.
    pub(super) percent: bool,
}

/// Operators by level, the loosest first.
const LEVELS: [&[(Tok<'static>, Binary)]; 5] = [
    &[(Tok::Word("or"), Binary::Or)],
    &[(Tok::Word("and"), Binary::And)],
    &[
        (Tok::Punct("=="), Binary::Equal),
        (Tok::Punct("!="), Binary::Unequal),
        (Tok::Punct("<="), Binary::AtMost),
        (Tok::Punct(">="), Binary::AtLeast),
        (Tok::Punct("<"), Binary::Less),
        (Tok::Punct(">"), Binary::Greater),
    ],
    &[(Tok::Punct("+"), Binary::Add), (Tok::Punct("-"), Binary::Sub)],
    &[(Tok::Punct("*"), Binary::Mul), (Tok::Punct("/"), Binary::Div), (Tok::Punct("%"), Binary::Rem)],
];

/// The level of comparisons, which `not` is as tight as.
const COMPARISON: usize = 2;
/// The level of sums.
const SUM: usize = 3;

impl<'a> Parser<'a> {
    /// Any expression.
    pub(super) fn expr(&mut self) -> Parsed<Expr> {
        self.expr_until(Ends::default())
    }

    /// An expression that some operators end.
    pub(super) fn expr_until(&mut self, ends: Ends) -> Parsed<Expr> {
        if self.nested == 0 {
            self.operators = 0;
        }
        self.level(0, ends)
    }

    /// An expression of operators of a level and tighter ones.
    fn level(&mut self, level: usize, ends: Ends) -> Parsed<Expr> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        if level == COMPARISON && self.peek() == Tok::Word("not") && self.second() != Tok::Punct("(") {
            return self.negated(ends);
        }
        let mut left = self.level(level + 1, ends)?;
        let mut before: Option<Binary> = None;
        loop {
            let (tok, at) = (self.peek(), self.at());
            let ended = tok == Tok::Punct("/") && ends.slash || tok == Tok::Punct("%") && ends.percent;
            let Some(&(_, op)) = operators.iter().find(|(t, _)| *t == tok).filter(|_| !ended) else {
                return Ok(left);
            };
            self.next += 1;
            let right = self.level(level + 1, ends)?;
            if before.is_some_and(|b| b != op && (b == Binary::Rem || op == Binary::Rem)) {
                let message = "`%` beside `*` or `/` needs parentheses";
                return self.fault("P007", at, message.to_owned(), "write `2*(x%4)` or `(2*x)%4`");
            }
            before = Some(op);
            left = self.combined(op, left, right, at)?;
        }
    }

    fn combined(&mut self, op: Binary, left: Expr, right: Expr, at: usize) -> Parsed<Expr> {
        match (&left, &right) {
            (Expr::Const(a), Expr::Const(b)) => self.evaluated(value::binary(op, *a, *b), at),
            _ if self.operators >= MAX_OPERATORS => self.too_many_operations(at),
            _ => {
                self.operators += 1;
                Ok(Expr::Binary(op, Box::new([left, right]), at))
            }
        }
    }

    pub(super) fn too_many_operations<T>(&mut self, at: usize) -> Parsed<T> {
        let message = format!("an expression of more than {MAX_OPERATORS} operations on x, y or an index");
        self.fault("P003", at, message, "")
    }

    /// `not CONDITION`
    fn negated(&mut self, ends: Ends) -> Parsed<Expr> {
        let at = self.at();
        self.next += 1;
        let operand = self.nested_in(|p| p.level(COMPARISON, ends))?;
        self.applied("not", vec![operand], at)
    }

    fn evaluated(&mut self, result: Evaluated, at: usize) -> Parsed<Expr> {
        match result {
            Ok(value) => Ok(Expr::Const(value)),
            Err(message) => self.fault("P007", at, message, ""),
        }
    }

    pub(super) fn unary(&mut self) -> Parsed<Expr> {
        self.nested_in(Self::operand_of_expr)
    }

    fn nested_in(&mut self, read: impl FnOnce(&mut Self) -> Parsed<Expr>) -> Parsed<Expr> {
        if self.nested == MAX_DEPTH {
            return self.fault("P003", self.at(), format!("expressions are nested more than {MAX_DEPTH} deep"), "");
        }
        self.nested += 1;
        let read = read(self);
        self.nested -= 1;
        read
    }

    fn operand_of_expr(&mut self) -> Parsed<Expr> {
        if self.take(Tok::Punct("-")) {
            return Ok(match self.unary()? {
                Expr::Const(value) => Expr::Const(value::negative(value)),
                other => Expr::Negative(Box::new(other)),
            });
        }
        if self.take(Tok::Punct("(")) {
            let inner = self.expr()?;
            self.punct(")")?;
            return Ok(inner);
        }
        match self.peek() {
            Tok::Number(digits) => {
                let Some(value) = number(digits) else { return self.expected("a number") };
                self.next += 1;
                Ok(Expr::Const(value))
            }
            Tok::Word(word) => self.named(word),
            _ => self.expected(self.wanted),
        }
    }

    /// A name or a function in an expression.
    fn named(&mut self, word: &'a str) -> Parsed<Expr> {
        let at = self.at();
        if let Some(n) = self.free.iter().position(|&free| free == word) {
            self.next += 1;
            return Ok(Expr::Var(n));
        }
        if let Some(value) = self.scope.find(word) {
            self.next += 1;
            self.used.insert(word.to_owned());
            return Ok(Expr::Const(value));
        }
        if let Some(array) = self.arrays.get(word).cloned() {
            self.next += 1;
            self.used.insert(word.to_owned());
            return self.element(array, at);
        }
        if self.second() == Tok::Punct("(") {
            self.next += 1;
            return self.function(word, at);
        }
        if word == "not" {
            return self.fault("P007", at, "`not` behind an operator".to_owned(), "put it in parentheses: `(not a)`");
        }
        if is_function(word) || self.scope.has(word) {
            let message = format!("`{}` is a function, and its operands are missing", clipped(word));
            return self.fault("P007", at, message, &format!("write `{}(…)`", clipped(word)));
        }
        if word == "pi" {
            self.next += 1;
            return Ok(Expr::Const(Value::Float(std::f64::consts::PI)));
        }
        self.unknown(word, at)
    }

    fn function(&mut self, word: &'a str, at: usize) -> Parsed<Expr> {
        self.punct("(")?;
        if OF_BUFFERS.contains(&word) {
            let value = self.of_buffer(word)?;
            self.punct(")")?;
            return Ok(Expr::Const(value));
        }
        if word == "sum" {
            return self.sum(at);
        }
        if word == OF_MACHINE {
            let name = self.name()?;
            self.punct(")")?;
            return Ok(Expr::Const(Value::Int((name == self.machine).into())));
        }
        let own = self.scope.function(word);
        let known = FUNCTIONS.iter().find(|f| f.0 == word);
        if own.is_none() && known.is_none() {
            return self.no_function(word, at);
        }
        let mut operands = vec![self.expr()?];
        while self.take(Tok::Punct(",")) {
            operands.push(self.expr()?);
        }
        self.punct(")")?;
        let &(name, count) = match (own, known) {
            (Some(function), _) => return self.called(word, &function, operands, at),
            (None, known) => known.expect("one of both was found"),
        };
        let more = matches!(name, "min" | "max") && operands.len() > count;
        if operands.len() != count && !more {
            return self.fault("P007", at, takes(name, count, operands.len()), "");
        }
        self.applied(name, operands, at)
    }

    fn no_function(&mut self, word: &str, at: usize) -> Parsed<Expr> {
        if self.failed.contains(word) {
            return Err(Stop::Failed);
        }
        if self.defining == Some(word) {
            let help = "a function is a name for an expression, and cannot be in it";
            return self.fault("P007", at, format!("`{}` calls itself", clipped(word)), help);
        }
        let known =
            FUNCTIONS.iter().map(|f| f.0).chain(OF_BUFFERS).chain(["sum", OF_MACHINE]).chain(self.scope.names());
        let help = Self::nearest(word, known).unwrap_or_default();
        self.fault("P005", at, format!("there is no function `{}`", clipped(word)), &help)
    }

    /// A function of the language with its operands, or its value if they are known.
    fn applied(&mut self, name: &'static str, operands: Vec<Expr>, at: usize) -> Parsed<Expr> {
        let known: Option<Vec<Value>> = operands.iter().map(Expr::known).collect();
        match known {
            Some(values) => self.evaluated(value::call(name, &values), at),
            None => Ok(Expr::Call(name, operands, at)),
        }
    }

    /// `[INDEX, …]` behind the name of an array; without indices it is a single number.
    fn element(&mut self, array: Arc<Array>, at: usize) -> Parsed<Expr> {
        let mut indices = Vec::new();
        if self.take(Tok::Punct("[")) {
            indices.push(self.expr()?);
            while self.take(Tok::Punct(",")) {
                indices.push(self.expr()?);
            }
            self.punct("]")?;
        }
        if indices.len() != array.shape.len() && indices.len() != 1 {
            let message = format!("{} indices for an array of {}", indices.len(), array.size());
            return self.fault("P007", at, message, "one for each dimension, or one that counts all elements");
        }
        let element = Expr::Element(array, indices, at);
        match &element {
            Expr::Element(_, indices, _) if indices.iter().all(Expr::is_known) => match element.value(&[]) {
                Ok(value) => Ok(Expr::Const(value)),
                Err((at, message)) => self.fault("P007", at, message, ""),
            },
            _ => Ok(element),
        }
    }

    /// The value of an expression without variables.
    pub(super) fn constant(&mut self, ends: Ends) -> Parsed<Value> {
        self.without_variables(|p| p.expr_until(ends))
    }

    /// The value of a sum without variables; comparisons in it need parentheses.
    pub(super) fn constant_sum(&mut self, ends: Ends) -> Parsed<Value> {
        self.without_variables(|p| p.level(SUM, ends))
    }

    /// The value of a product without variables; sums in it need parentheses.
    pub(super) fn constant_product(&mut self) -> Parsed<Value> {
        self.without_variables(|p| p.level(SUM + 1, Ends::default()))
    }

    /// The value of what is read without variables.
    pub(super) fn without_variables(&mut self, read: impl FnOnce(&mut Self) -> Parsed<Expr>) -> Parsed<Value> {
        let free = std::mem::take(&mut self.free);
        let expr = read(self);
        self.free = free;
        // Without variables there is nothing that could stay unknown.
        expr?.known().ok_or(Stop::Failed)
    }
}

/// A number as it is written.
fn number(digits: &str) -> Option<Value> {
    if let Some(hex) = digits.strip_prefix("0x") {
        return i128::from_str_radix(hex, 16).ok().filter(|n| *n < 1 << 64).map(Value::Int);
    }
    match digits.parse::<i128>() {
        Ok(n) if n < 1 << 100 => Some(Value::Int(n)),
        _ => digits.parse::<f64>().ok().filter(|v| v.is_finite()).map(Value::Float),
    }
}
