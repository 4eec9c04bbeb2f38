//! Names of numbers (constants, parameters, the variables of `for`), and of functions.
//!
//! **Invariant.** A scope is never changed: a new name makes a new scope, so a task whose code is read
//! later sees the names that were known where it stands.

use super::function::Function;
use super::value::Value;
use crate::util::suggest::{did_you_mean, distance};
use std::rc::Rc;

/// The names that are known at a place, the newest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope<'a>(Option<Rc<Entry<'a>>>);

#[derive(Debug)]
struct Entry<'a> {
    name: &'a str,
    meaning: Meaning,
    older: Scope<'a>,
}

#[derive(Debug, Clone)]
enum Meaning {
    Number(Value),
    Function(Rc<Function>),
}

impl<'a> Scope<'a> {
    /// This scope and the name of one more number.
    pub(super) fn with(&self, name: &'a str, value: Value) -> Scope<'a> {
        self.and(name, Meaning::Number(value))
    }

    /// This scope and one more function.
    pub(super) fn with_function(&self, name: &'a str, function: Function) -> Scope<'a> {
        self.and(name, Meaning::Function(Rc::new(function)))
    }

    fn and(&self, name: &'a str, meaning: Meaning) -> Scope<'a> {
        Scope(Some(Rc::new(Entry { name, meaning, older: self.clone() })))
    }

    fn entries(&self) -> impl Iterator<Item = &Entry<'a>> {
        std::iter::successors(self.0.as_deref(), |entry| entry.older.0.as_deref())
    }

    fn meaning(&self, name: &str) -> Option<&Meaning> {
        self.entries().find(|entry| entry.name == name).map(|entry| &entry.meaning)
    }

    /// The number that a name stands for.
    pub(super) fn find(&self, name: &str) -> Option<Value> {
        if let Some(Meaning::Number(value)) = self.meaning(name) { Some(*value) } else { None }
    }

    /// The function with a name.
    pub(super) fn function(&self, name: &str) -> Option<Rc<Function>> {
        if let Some(Meaning::Function(function)) = self.meaning(name) { Some(Rc::clone(function)) } else { None }
    }

    /// Whether a name stands for something.
    pub(super) fn has(&self, name: &str) -> bool {
        self.meaning(name).is_some()
    }

    /// All names.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.entries().map(|entry| entry.name)
    }
}

impl Drop for Entry<'_> {
    /// Without recursion: a program may define many names.
    fn drop(&mut self) {
        let mut older = self.older.0.take();
        while let Some(mut entry) = older.and_then(Rc::into_inner) {
            older = entry.older.0.take();
        }
    }
}

/// `did you mean …?` for a name that does not exist, if a known one is like it.
pub(super) fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
    did_you_mean(known, |known| distance(name, known))
}
