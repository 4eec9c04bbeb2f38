//! Names of numbers: constants, parameters, and the variables of `for`.
//!
//! **Invariant.** A scope is never changed: a new name makes a new scope, so a task whose code is read
//! later sees the names that were known where it stands.

use super::value::Value;
use crate::util::suggest::{did_you_mean, distance};
use std::rc::Rc;

/// The names that are known at a place, the newest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope<'a>(Option<Rc<Entry<'a>>>);

#[derive(Debug)]
struct Entry<'a> {
    name: &'a str,
    value: Value,
    older: Scope<'a>,
}

impl<'a> Scope<'a> {
    /// This scope and one more name.
    pub(super) fn with(&self, name: &'a str, value: Value) -> Scope<'a> {
        Scope(Some(Rc::new(Entry { name, value, older: self.clone() })))
    }

    fn entries(&self) -> impl Iterator<Item = &Entry<'a>> {
        std::iter::successors(self.0.as_deref(), |entry| entry.older.0.as_deref())
    }

    /// The value of a name.
    pub(super) fn find(&self, name: &str) -> Option<Value> {
        self.entries().find(|entry| entry.name == name).map(|entry| entry.value)
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
