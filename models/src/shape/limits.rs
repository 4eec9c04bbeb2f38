//! Which shapes are refused: sizes that are zero, that do not fit each other, or that no real model has.
//!
//! **Invariant.** A valid shape has at most [`PARAMETERS_MAX`] parameters, so that no count overflows.
//! **Not here.** Limits of a step, such as its tokens ([`crate::workload`]).

use super::count;
use super::design::{Block, Decimal, Head};
use super::model::ModelShape;
use crate::diagnostic;
use sim_core::diag::Diagnostic;

/// The most layers a shape may have.
pub const LAYERS_MAX: u32 = 100_000;
/// The largest hidden size.
pub const D_MODEL_MAX: u32 = 1 << 20;
/// The largest feed-forward size.
pub const D_FF_MAX: u32 = 1 << 22;
/// The largest vocabulary.
pub const VOCAB_MAX: u32 = 1 << 24;
/// The longest sequence, in tokens.
pub const POSITIONS_MAX: u32 = 1 << 24;
/// The most parameters: a thousand times the largest model of 2024.
pub const PARAMETERS_MAX: u64 = 1_000_000_000_000_000;

impl ModelShape {
    /// Sizes of the design that do not fit the others.
    fn design_diagnostics(&self) -> Vec<Diagnostic> {
        let mut diagnostics = Vec::new();
        let kv_heads = self.kv_heads();
        if kv_heads == 0 || !self.heads.is_multiple_of(kv_heads) {
            let message = format!("{kv_heads} heads of keys and values do not divide {} heads", self.heads);
            diagnostics.push(diagnostic::of("model-heads", "kv_heads", message, ""));
        }
        if let Some(rotary) = self.design.rotary() {
            let fits = rotary.dims > 0 && rotary.dims.is_multiple_of(2) && rotary.dims <= self.d_head();
            if !fits && self.d_head() > 0 {
                let message = format!("{} features of a head are rotated, and it has {}", rotary.dims, self.d_head());
                diagnostics.push(diagnostic::of("model-rotary", "rotary", message, "an even number, at most all"));
            }
        }
        let lm = matches!(self.design.head, Head::Tied | Head::Untied { .. }) && self.design.block != Block::Post;
        if self.design.logit_scale != Decimal::ONE && !lm {
            diagnostics.push(diagnostic::of("model-scale", "logit_scale", "is for logits of a language model", ""));
        }
        for (key, size) in [("labels", self.classes()), ("token_types", self.design.token_types)] {
            if size > VOCAB_MAX && self.vocab <= VOCAB_MAX {
                let message = format!("is {size}, the most is {VOCAB_MAX}");
                diagnostics.push(diagnostic::of("model-size-limit", key, message, ""));
            }
        }
        if self.classes() == 0 && self.vocab > 0 {
            diagnostics.push(diagnostic::of("model-zero", "labels", "is 0", "must be at least 1"));
        }
        diagnostics
    }

    /// Every diagnostic of this shape; empty when it is valid.
    #[must_use]
    pub fn validate(&self) -> Vec<Diagnostic> {
        let sizes = [
            ("layers", self.layers, LAYERS_MAX),
            ("d_model", self.d_model, D_MODEL_MAX),
            ("heads", self.heads, D_MODEL_MAX),
            ("d_ff", self.d_ff, D_FF_MAX),
            ("vocab", self.vocab, VOCAB_MAX),
            ("max_positions", self.max_positions, POSITIONS_MAX),
        ];
        let mut diagnostics = Vec::new();
        for (key, size, most) in sizes {
            if size == 0 {
                diagnostics.push(diagnostic::of("model-zero", key, "is 0", "must be at least 1"));
            } else if size > most {
                let message = format!("is {size}, the most is {most}");
                diagnostics.push(diagnostic::of("model-size-limit", key, message, ""));
            }
        }
        if self.d_model != 0 && self.heads != 0 && !self.d_model.is_multiple_of(self.heads) {
            let message = format!("{} heads do not divide d_model {}", self.heads, self.d_model);
            let help = format!("{} heads would", nearest_divisor(self.d_model, self.heads));
            diagnostics.push(diagnostic::of("model-heads", "heads", message, help));
        }
        diagnostics.extend(self.design_diagnostics());
        let parameters = count::parameters(self);
        if diagnostics.is_empty() && parameters > PARAMETERS_MAX {
            let message = format!("the sizes give {parameters} parameters, the most is {PARAMETERS_MAX}");
            diagnostics.push(diagnostic::of("model-size-limit", "parameters", message, ""));
        }
        diagnostics
    }
}

/// The divisor of `number` closest to `wish`, the smaller one on a tie; both are at least 1.
fn nearest_divisor(number: u32, wish: u32) -> u32 {
    let below = (1..=wish.min(number)).rev().find(|n| number.is_multiple_of(*n)).unwrap_or(1);
    let reach = wish.saturating_add(wish - below).min(number);
    (wish.saturating_add(1)..reach).find(|n| number.is_multiple_of(*n)).unwrap_or(below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Design;

    fn tiny() -> ModelShape {
        ModelShape {
            name: "tiny".into(),
            design: Design::GPT2,
            layers: 2,
            d_model: 16,
            heads: 2,
            d_ff: 64,
            vocab: 32,
            max_positions: 8,
        }
    }

    #[test]
    fn a_valid_shape_has_no_diagnostics() {
        assert_eq!(tiny().validate(), []);
        assert_eq!(tiny().d_head(), 8);
    }

    #[test]
    fn all_diagnostics_come_at_once() {
        let shape = ModelShape { layers: 0, heads: 5, vocab: u32::MAX, ..tiny() };
        let diagnostics: Vec<String> = shape.validate().iter().map(ToString::to_string).collect();
        assert_eq!(
            diagnostics,
            [
                "error[model-zero] layers: is 0\n  help: must be at least 1",
                "error[model-size-limit] vocab: is 4294967295, the most is 16777216",
                "error[model-heads] heads: 5 heads do not divide d_model 16\n  help: 4 heads would",
            ]
        );
    }

    #[test]
    fn the_help_names_a_head_count_that_works() {
        assert_eq!(nearest_divisor(768, 11), 12);
        assert_eq!(nearest_divisor(768, 1000), 768);
        assert_eq!(nearest_divisor(1, u32::MAX), 1);
        assert_eq!(nearest_divisor(7, 3), 1);
    }

    #[test]
    fn the_largest_numbers_overflow_nothing() {
        let most = u32::MAX;
        let shape = ModelShape {
            layers: most,
            d_model: most,
            heads: most,
            d_ff: most,
            vocab: most,
            max_positions: most,
            ..tiny()
        };
        assert_eq!(shape.validate().len(), 6);
        let absurd = ModelShape { layers: 100_000, d_model: 1 << 20, d_ff: 1 << 22, heads: 1, ..tiny() };
        let diagnostics = absurd.validate();
        assert_eq!(diagnostics.len(), 1);
        assert_eq!(diagnostics[0].at, "parameters");
        assert!(diagnostic::is_limit(&diagnostics[0]));
    }

    #[test]
    fn a_shape_survives_json() {
        let text = serde_json::to_string(&tiny()).unwrap();
        assert_eq!(serde_json::from_str::<ModelShape>(&text).unwrap(), tiny());
        assert!(text.contains(r#""positions":"learned""#), "{text}");
    }
}
