//! Functions of one's own: `def u(a, b) = …`, a name for an expression with parameters.
//!
//! A call is replaced by the expression, with the operands in place of the parameters. `x` and `y` may stand
//! in a function, which can then be called where they have values.
//!
//! **Invariant.** What a call becomes counts as operations of the expression that the call stands in, so no
//! nesting of functions makes an expression larger than any other may be; and no function calls itself.
//! **Not here.** Functions of the language (`value.rs`).

use super::expr::{Expr, Fault, MAX_OPERATORS, Terms};
use super::lex::Tok;
use super::value::{Value, is_function, takes};
use super::{Parsed, Parser, clipped};
use std::sync::Arc;

/// Most parameters of a function.
const MAX_PARAMETERS: usize = 16;
/// What has a value per PE, and may stand in a function beside its parameters.
const PLACE: [&str; 2] = ["x", "y"];

/// An expression with parameters.
#[derive(Debug)]
pub(super) struct Function {
    parameters: usize,
    /// Its variables are the parameters, then x and y.
    body: Expr,
}

/// Why a call cannot be replaced.
enum Refused {
    /// The result would be too large.
    Large,
    /// It has no value.
    Faulty(Fault),
}

/// Operands of a call with their sizes, its place, and how many operations may still be made.
struct Call<'c> {
    operands: &'c [(Expr, usize)],
    /// Variables at the place of the call.
    around: usize,
    left: usize,
}

impl Call<'_> {
    fn take(&mut self, operations: usize) -> Result<(), Refused> {
        self.left = self.left.checked_sub(operations).ok_or(Refused::Large)?;
        Ok(())
    }

    /// An expression with the operands in place of its variables.
    fn replaced(&mut self, expr: &Expr) -> Result<Expr, Refused> {
        match expr {
            Expr::Const(value) => Ok(Expr::Const(*value)),
            // The index of a sum.
            Expr::Var(n) if *n >= self.operands.len() => Ok(Expr::Var(self.moved(*n))),
            Expr::Var(n) => {
                let (operand, size) = &self.operands[*n];
                self.take(*size)?;
                Ok(operand.clone())
            }
            Expr::Negative(a) => {
                let a = self.replaced(a)?;
                self.made(Expr::Negative(Box::new(a)))
            }
            Expr::Binary(op, ab, at) => {
                let ab = [self.replaced(&ab[0])?, self.replaced(&ab[1])?];
                self.made(Expr::Binary(*op, Box::new(ab), *at))
            }
            Expr::Call("select", all, at) => {
                let condition = self.replaced(&all[0])?;
                // Only the part that is chosen needs a value.
                if let Some(holds) = condition.known() {
                    return self.replaced(&all[if holds.holds() { 1 } else { 2 }]);
                }
                let parts = vec![condition, self.replaced(&all[1])?, self.replaced(&all[2])?];
                self.made(Expr::Call("select", parts, *at))
            }
            Expr::Call(name, all, at) => {
                let all = all.iter().map(|e| self.replaced(e)).collect::<Result<_, _>>()?;
                self.made(Expr::Call(name, all, *at))
            }
            Expr::Sum(term, terms, at) => {
                let terms = Terms { variable: self.moved(terms.variable), ..*terms };
                self.take(1)?;
                Ok(Expr::Sum(Box::new(self.replaced(term)?), terms, *at))
            }
            Expr::Element(array, all, at) => {
                let all = all.iter().map(|e| self.replaced(e)).collect::<Result<_, _>>()?;
                self.made(Expr::Element(Arc::clone(array), all, *at))
            }
        }
    }

    /// The number of a variable that is bound in the function, where the call stands.
    fn moved(&self, variable: usize) -> usize {
        variable - self.operands.len() + self.around
    }

    /// An operation, or its value if it has no variables.
    fn made(&mut self, expr: Expr) -> Result<Expr, Refused> {
        if expr.operands().iter().all(|e| e.known().is_some()) {
            return expr.value(&[]).map(Expr::Const).map_err(Refused::Faulty);
        }
        self.take(1)?;
        Ok(expr)
    }
}

impl<'a> Parser<'a> {
    /// `def NAME(PARAMETER, …) = EXPRESSION`
    pub(super) fn define_function(&mut self) -> Parsed<()> {
        self.next += 1;
        let at = self.at();
        let name = self.new_name()?;
        if is_function(name) {
            return self.fault("P006", at, format!("`{name}` is a function of the language"), "choose another name");
        }
        let around = self.defining.replace(name);
        let function = self.function_of();
        self.defining = around;
        match function {
            Ok(function) => self.scope = self.scope.with_function(name, function),
            Err(stop) => {
                self.failed.insert(name.to_owned());
                return Err(stop);
            }
        }
        Ok(())
    }

    fn function_of(&mut self) -> Parsed<Function> {
        let mut names = self.parameters()?;
        self.punct("=")?;
        let parameters = names.len();
        names.extend(PLACE);
        self.wanted = "an expression over the parameters";
        Ok(Function { parameters, body: self.over(names)? })
    }

    fn parameters(&mut self) -> Parsed<Vec<&'a str>> {
        let mut names: Vec<&'a str> = Vec::new();
        if self.peek() == Tok::Punct("=") {
            return self.expected_help("`(`", "without parameters it is a `const`");
        }
        self.punct("(")?;
        loop {
            let at = self.at();
            let Tok::Word(word) = self.peek() else {
                let help = if names.is_empty() { "without parameters it is a `const`" } else { "" };
                return self.expected_help("the name of a parameter", help);
            };
            if names.contains(&word) || PLACE.contains(&word) {
                let message = format!("a parameter cannot be named `{}`", clipped(word));
                return self.fault("P006", at, message, "x and y are column and row; others need names of their own");
            }
            if names.len() == MAX_PARAMETERS {
                return self.fault("P003", at, format!("more than {MAX_PARAMETERS} parameters"), "");
            }
            names.push(word);
            self.next += 1;
            if !self.take(Tok::Punct(",")) {
                break;
            }
        }
        self.punct(")")?;
        Ok(names)
    }

    /// What a call of a function of the program becomes.
    pub(super) fn called(&mut self, name: &str, function: &Function, operands: Vec<Expr>, at: usize) -> Parsed<Expr> {
        if operands.len() != function.parameters {
            let message = takes(name, function.parameters, operands.len());
            return self.fault("P007", at, message, "");
        }
        let mut all: Vec<(Expr, usize)> = operands.into_iter().map(|e| (e.clone(), e.size())).collect();
        for (n, axis) in PLACE.iter().enumerate() {
            let variable = self.free.iter().position(|free| free == axis);
            if variable.is_none() && function.body.uses(function.parameters + n) {
                let message = format!(
                    "`{}` depends on `{axis}`, which has a value in placements, filters and values of PEs only",
                    clipped(name)
                );
                return self.fault("P005", at, message, "give it as a parameter");
            }
            all.push((variable.map_or(Expr::Const(Value::Int(0)), Expr::Var), 0));
        }
        let around = self.free.len();
        let mut call = Call { operands: &all, around, left: MAX_OPERATORS.saturating_sub(self.operators) };
        match call.replaced(&function.body) {
            Ok(expr) => {
                self.operators = MAX_OPERATORS - call.left;
                if expr.known().is_some() { Ok(expr) } else { self.settled(expr, at) }
            }
            Err(Refused::Large) => self.too_many_operations(at),
            Err(Refused::Faulty((_, message))) => {
                self.fault("P007", at, format!("{message}, in `{}`", clipped(name)), "")
            }
        }
    }
}
