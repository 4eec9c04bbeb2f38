//! Numbers from files, such as `.npy`, by name and index.
//!
//! **Not here.** Reading files: who calls gives a [`super::Loader`].

use super::lex::Tok;
use super::value::{Evaluated, Value};
use super::{Parsed, Parser};
use std::sync::Arc;

/// An array of numbers; the last dimension runs fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Elements along each dimension.
    pub shape: Vec<usize>,
    /// The elements; as many as the product of the shape.
    pub elements: Vec<f64>,
    /// Whether they are whole numbers.
    pub whole: bool,
}

impl Array {
    /// Its shape in words, such as `2 x 3`.
    pub(super) fn size(&self) -> String {
        let sizes: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        if sizes.is_empty() { "a single number".to_owned() } else { sizes.join(" x ") }
    }

    /// The element with these indices, or the one that a single index counts.
    pub(super) fn element(&self, indices: &[Value]) -> Evaluated {
        let mut at = 0usize;
        let count = [self.elements.len()];
        let shape = if indices.len() == self.shape.len() { &self.shape[..] } else { &count[..] };
        for (index, &size) in indices.iter().zip(shape) {
            let inside = index.whole().and_then(|i| usize::try_from(i).ok()).filter(|&i| i < size);
            match inside {
                Some(i) => at = at * size + i,
                None => return Err(format!("index {index} of an array of {}", self.size())),
            }
        }
        match self.elements.get(at) {
            Some(&element) if self.whole => Ok(Value::Int(element as i128)),
            Some(&element) => Ok(Value::Float(element)),
            None => Err("an array without elements".to_owned()),
        }
    }
}

impl Parser<'_> {
    /// `array NAME = "FILE"`
    pub(super) fn define_array(&mut self) -> Parsed<()> {
        self.next += 1;
        let name = self.new_name()?;
        self.punct("=")?;
        let at = self.at();
        let Tok::Quoted(path) = self.peek() else { return self.expected("the name of a file in quotes") };
        self.next += 1;
        let from = self.map.file_of(at);
        match self.files[from].arrays.iter().find(|(written, _)| written == path) {
            Some((_, array)) => {
                let array: Arc<Array> = Arc::clone(array);
                self.arrays.insert(name.to_owned(), array);
                Ok(())
            }
            None => self.fault("P009", at, format!("\"{path}\" was not read"), ""),
        }
    }
}
