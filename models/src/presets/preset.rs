//! What is known of a model that has a name: its sizes, and the runs that were published of it.
//!
//! **Invariant.** What was not published is `None`, not a guess.
//! **Not here.** The models themselves: one file per family beside this one.

use crate::shape::ModelShape;
use serde::Serialize;

/// A model known by name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preset {
    /// Its sizes.
    pub shape: ModelShape,
    /// How it was run on CS-2 systems, if that was published.
    pub published: Option<Published>,
    /// Sequences per step, unless a user wants another number: those of the published run, [`BATCH`] where none was
    /// published, few for a lesson.
    pub batch: u64,
    /// Where the numbers come from.
    pub source: &'static str,
}

/// A published run on CS-2 systems.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Published {
    /// Sequences per step over all systems; for a run in stages, of the last.
    pub batch: u64,
    /// Tokens per sequence.
    pub seq_len: u32,
    /// Systems; for a run in stages, of the last.
    pub systems: u32,
    /// Sequences that a system works on at a time. `None` if the vendor's compiler chose it.
    pub micro_batch_per_system: Option<u64>,
    /// The training run, if the model was trained to the end.
    pub training: Option<Training>,
}

/// A complete training run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Training {
    /// What was run, one part per batch size, in order.
    pub stages: &'static [Stage],
    /// Optimizer steps over all stages.
    pub steps: u64,
    /// Tokens over all stages.
    pub tokens: u64,
    /// Highest learning rate.
    pub lr_max: f64,
    /// How the learning rate falls to a tenth of `lr_max`.
    pub lr_decay: LrDecay,
    /// Steps of linear warm-up, counted in steps of the last stage.
    pub warmup_steps: u64,
    /// Adam's epsilon.
    pub adam_eps: f64,
    /// Test loss on the Pile in nats per token, as in the paper (later model cards differ by up to
    /// 0.05).
    pub cross_entropy: f64,
    /// Total training FLOPs as the paper states them, two digits, in Cerebras' own count.
    pub flops: f64,
    /// FLOP/s of a system against that of the 111M run on one, as claimed (table 6). `None` if it is
    /// not known here.
    pub relative_utilisation: Option<f64>,
}

/// Part of a training run with one batch size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// Sequences per step over all systems.
    pub batch: u64,
    /// Steps of this phase.
    pub steps: u64,
    /// Systems that shared the batch.
    pub systems: u32,
    /// Sequences that a system works on at a time.
    pub micro_batch_per_system: u64,
}

/// Shape of the learning rate after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LrDecay {
    /// A straight line.
    Linear,
    /// Half a cosine.
    Cosine,
}

/// Sequences per step of a model of which no run was published: about as many as most published runs have.
pub const BATCH: u64 = 120;

impl Preset {
    /// The shape for sequences of `seq_len`: that of the preset, with the position table grown to
    /// `seq_len` where the published run was that long. Only `gpt2-small` needs it.
    #[must_use]
    pub fn shape_for(&self, seq_len: u32) -> ModelShape {
        let mut shape = self.shape.clone();
        if self.published.as_ref().is_some_and(|run| seq_len <= run.seq_len) {
            shape.max_positions = shape.max_positions.max(seq_len);
        }
        shape
    }
}
