//! Tensors of the layer graph: a name and a shape whose dimensions say what they run over.
//!
//! **Invariant.** A shape is plain data; [`LayerGraph::check`](crate::LayerGraph::check) holds shapes against each other.
//! **Not here.** Element types and layouts, which a mapping chooses.

use std::fmt;

use super::role::Role;
use serde::{Deserialize, Serialize};

/// What a dimension runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Sequences of the batch.
    Batch,
    /// Tokens of a sequence.
    Seq,
    /// Attention heads.
    Head,
    /// Tokens that ask, in attention.
    Query,
    /// Tokens that are looked at, in attention.
    Key,
    /// Features of a token.
    Feature,
    /// Entries of the vocabulary.
    Vocab,
    /// Rows of the position table.
    Position,
    /// Rows of the table of token types.
    TokenType,
    /// Labels of a sequence.
    Label,
    /// Input features of a weight matrix.
    Input,
    /// Output features of a weight matrix.
    Output,
}

impl Axis {
    fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Seq => "seq",
            Self::Head => "head",
            Self::Query => "query",
            Self::Key => "key",
            Self::Feature => "feature",
            Self::Vocab => "vocab",
            Self::Position => "position",
            Self::TokenType => "token_type",
            Self::Label => "label",
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

/// One dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dim {
    /// What it runs over.
    pub axis: Axis,
    /// How many.
    pub size: u64,
}

/// The dimensions of a tensor, outermost first; none for a scalar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorShape(pub Vec<Dim>);

impl TensorShape {
    /// A shape of `(axis, size)` pairs, outermost first.
    #[must_use]
    pub fn new(dims: &[(Axis, u64)]) -> Self {
        Self(dims.iter().map(|&(axis, size)| Dim { axis, size }).collect())
    }

    /// The sizes alone, outermost first.
    #[must_use]
    pub fn sizes(&self) -> Vec<u64> {
        self.0.iter().map(|dim| dim.size).collect()
    }

    /// The size along `axis`, or `None` if the tensor has no such dimension.
    #[must_use]
    pub fn size(&self, axis: Axis) -> Option<u64> {
        self.0.iter().find(|dim| dim.axis == axis).map(|dim| dim.size)
    }

    /// Elements of the tensor; 1 for a scalar.
    #[must_use]
    pub fn elements(&self) -> u128 {
        self.0.iter().map(|dim| u128::from(dim.size)).product()
    }
}

impl fmt::Display for TensorShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (n, dim) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", dim.axis.name(), dim.size)?;
        }
        f.write_str("]")
    }
}

/// A named tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// Name of the activation or parameter; `d.` in front for a gradient.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Its dimensions.
    pub shape: TensorShape,
}

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, self.shape)
    }
}
