//! What is known of whole training runs: the learning rate over tokens, and the loss that the
//! published scaling law expects.
//!
//! **Invariant.** Every number is followed to Cerebras-GPT, arXiv 2304.03208.
//! **Not here.** Time, and how the parameters are updated.

use crate::presets::{LrDecay, Training};

/// Tokens per parameter of a run that spends its FLOPs best (Hoffmann et al. 2022, and all runs of
/// Cerebras-GPT).
pub const TOKENS_PER_PARAMETER: f64 = 20.0;

/// The scaling law, as it is written.
pub const LAW: &str = "L(f) = (f / 5.984e22)^-0.0737 + 0.5066";
/// Where it is from, and what it is about.
pub const LAW_SOURCE: &str = "Cerebras-GPT, arXiv 2304.03208, equation 1: test loss on the Pile in nats per token, \
    f training FLOPs by appendix F, at 20 tokens per parameter";

/// The test loss on the Pile, in nats per token, that the scaling law of Cerebras-GPT expects of a
/// run with `flops` training FLOPs in Cerebras' count.
#[must_use]
pub fn expected_loss(flops: f64) -> f64 {
    (flops / 5.984e22).powf(-0.0737) + 0.5066
}

/// The learning rate over the tokens of a run: a straight line from 0 to the highest rate, then down
/// to a tenth of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Highest rate.
    pub max: f64,
    /// Shape of the way down.
    pub decay: LrDecay,
    /// Tokens on the way up.
    pub warmup_tokens: u64,
    /// Tokens of the run.
    pub tokens: u64,
}

impl Schedule {
    /// The schedule of a run of so many tokens, with the published way up.
    #[must_use]
    pub fn of(training: &Training, seq_len: u32, tokens: u64) -> Schedule {
        let batch = training.stages.last().map_or(0, |stage| stage.batch);
        let warmup_tokens = training.warmup_steps * batch * u64::from(seq_len);
        Schedule { max: training.lr_max, decay: training.lr_decay, warmup_tokens, tokens }
    }

    /// The rate after so many tokens.
    #[must_use]
    pub fn rate(&self, tokens: u64) -> f64 {
        if tokens < self.warmup_tokens {
            return self.max * tokens as f64 / self.warmup_tokens as f64;
        }
        let way = (self.tokens.saturating_sub(self.warmup_tokens)).max(1) as f64;
        let gone = ((tokens - self.warmup_tokens) as f64 / way).min(1.0);
        let left = match self.decay {
            LrDecay::Linear => 1.0 - gone,
            LrDecay::Cosine => (1.0 + (std::f64::consts::PI * gone).cos()) / 2.0,
        };
        self.max * (0.1 + 0.9 * left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets;

    /// Losses that the law gives at the FLOPs that the paper states, and how far the paper's own
    /// losses are from them.
    #[test]
    fn the_law_is_within_a_hundredth_of_every_published_loss() {
        let expected = [2.603, 2.3685, 2.168, 1.9915, 1.8491, 1.6871, 1.5796];
        for (preset, expected) in presets::list().iter().zip(expected) {
            let run = preset.published.as_ref().unwrap().training.as_ref().unwrap();
            let law = expected_loss(run.flops);
            assert!((law - expected).abs() < 1e-3, "{}: {law}", preset.shape.name);
            assert!((law / run.cross_entropy - 1.0).abs() < 0.0105, "{}: {law}", preset.shape.name);
        }
    }

    /// All runs warm up for 375 million tokens, and end at a tenth of the highest rate; the first
    /// stage of the 13B has the same schedule in steps of its own.
    #[test]
    fn published_schedules_go_up_and_down() {
        for preset in presets::list() {
            let Some(run) = preset.published.as_ref().and_then(|p| p.training.as_ref()) else { continue };
            let s = Schedule::of(run, 2048, run.tokens);
            assert!((s.warmup_tokens as f64 / 375e6 - 1.0).abs() < 0.005, "{}", preset.shape.name);
            assert_eq!((s.rate(0), s.rate(s.warmup_tokens)), (0.0, s.max));
            assert!((s.rate(run.tokens) / s.max - 0.1).abs() < 1e-12);
            let middle = s.rate(s.warmup_tokens + (run.tokens - s.warmup_tokens) / 2);
            assert!((middle / s.max - 0.55).abs() < 1e-6, "both shapes are half down half way");
            if let [first, last] = run.stages {
                assert_eq!(s.warmup_tokens.div_ceil(first.batch * 2048), 254);
                let decay = run.tokens - s.warmup_tokens;
                assert_eq!((decay / (first.batch * 2048), decay / (last.batch * 2048)), (174_081, 116_054));
            }
        }
    }
}
