//! The numbers that a step starts from: parameters, tokens, targets.
//!
//! **Invariant.** The same shape, sizes and seed give the same numbers on every platform.
//! **Not here.** What is computed from them.

use super::params::Params;
use crate::shape::ModelShape;
use crate::shape::design::Head;
use sim_core::util::random::SplitMix64;

/// Parameters and sequences of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// The parameters.
    pub params: Params,
    /// Ids of the tokens, below the size of the vocabulary, as `[batch][seq_len]`.
    pub tokens: Vec<Vec<u32>>,
    /// What each token's logits should choose, below [`ModelShape::classes`], as `[batch][seq_len]`; of a classifier
    /// the first of every sequence is its label, and the others mean nothing.
    pub targets: Vec<Vec<u32>>,
}

impl Inputs {
    /// The start of training, from one generator: first all parameters, as [`Params::initial`] draws them, then
    /// `seq_len + 1` random tokens per sequence. The target of a token is the one behind it; of a model that is not to
    /// say the next token, one that is drawn for it after those of its sequence.
    ///
    /// # Panics
    /// If the shape is invalid.
    #[must_use]
    pub fn initial(shape: &ModelShape, batch: usize, seq_len: usize, seed: u64) -> Inputs {
        assert!(shape.validate().is_empty(), "the shape is valid");
        let mut generator = SplitMix64::new(seed);
        let params = Params::initial(shape, &mut generator);
        let mut ids = |n: usize, below: u32| -> Vec<u32> { (0..n).map(|_| generator.below(below)).collect() };
        let (mut tokens, mut targets) = (Vec::new(), Vec::new());
        for _ in 0..batch {
            let mut row = ids(seq_len + 1, shape.vocab);
            targets.push(match shape.design.head {
                Head::Tied | Head::Untied { .. } => row[1..].to_vec(),
                Head::MaskedLm | Head::Classifier { .. } => ids(seq_len, shape.classes()),
            });
            row.truncate(seq_len);
            tokens.push(row);
        }
        Inputs { params, tokens, targets }
    }

    /// How many cross-entropies the loss is the mean of: one per token, or per sequence of a classifier.
    #[must_use]
    pub fn losses(&self, shape: &ModelShape) -> usize {
        match shape.design.head {
            Head::Classifier { .. } => self.tokens.len(),
            Head::Tied | Head::Untied { .. } | Head::MaskedLm => self.tokens.iter().map(Vec::len).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oracle, presets};

    /// At the start of training a model knows nothing: every entry of the vocabulary is as likely as any other.
    #[test]
    fn the_loss_starts_at_the_logarithm_of_the_vocabulary() {
        let shape = presets::find("tiny").unwrap().shape;
        for seed in 0..4 {
            let Inputs { params, tokens, targets } = Inputs::initial(&shape, 4, 12, seed);
            let loss = oracle::loss(&shape, &params, &tokens, &targets);
            assert!((loss - f64::from(shape.vocab).ln()).abs() < 0.05, "{loss}");
        }
    }

    #[test]
    fn seeds_decide_and_targets_are_the_next_tokens() {
        let shape = presets::find("tiny").unwrap().shape;
        let of = |seed| Inputs::initial(&shape, 3, 8, seed);
        assert_eq!(of(5), of(5));
        assert_ne!(of(5).params, of(6).params);
        assert_ne!(of(5).tokens, of(6).tokens);
        let Inputs { tokens, targets, .. } = of(5);
        assert!(tokens.iter().zip(&targets).all(|(t, next)| t[1..] == next[..7] && next[7] < shape.vocab));
    }
}
