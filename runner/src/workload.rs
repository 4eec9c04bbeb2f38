//! What is run: a model with its batch and its length of sequences, by a preset's name, from the text
//! of a Hugging Face `config.json`, or from sizes of one's own.
//!
//! **Invariant.** The model has positions for the length of the sequences.
//! **Not here.** Reading files.

use crate::error::Error;
use models::presets::Published;
use models::{LayerGraph, ModelShape, Preset, hf, presets};
use sim_core::diag::Diagnostic;

/// A model, and how it is to be run.
#[derive(Debug, Clone)]
pub struct Workload {
    /// The model, with positions for the sequence length.
    pub shape: ModelShape,
    /// Sequences per step, all systems.
    pub batch: u64,
    /// Tokens per sequence.
    pub seq_len: u32,
    /// How it was run on CS-2 systems, if that was published.
    pub published: Option<Published>,
}

/// What is chosen beside the model; what is `None` is as published, or as long as the model can take.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request {
    /// Sequences per step, all systems.
    pub batch: Option<u64>,
    /// Tokens per sequence.
    pub seq_len: Option<u32>,
}

impl Workload {
    /// A model known by name (`wafersim models list`), run as it was published.
    ///
    /// # Errors
    /// If no model has this name.
    pub fn preset(name: &str) -> Result<Workload, Error> {
        Workload::preset_with(name, Request::default())
    }

    /// A model known by name, with a batch and a length of sequences.
    ///
    /// # Errors
    /// If no model has this name.
    pub fn preset_with(name: &str, request: Request) -> Result<Workload, Error> {
        let preset = presets::find(name).map_err(|f| Error::of_model(&[f], |_| "MODEL".to_owned()))?;
        Ok(Workload::of(&preset, request))
    }

    /// The model of a Hugging Face `config.json`; `origin` names the text in diagnostics. A model with
    /// the sizes of a preset runs at that preset's published batch.
    ///
    /// # Errors
    /// Every diagnostic of the text, with its line.
    pub fn from_hf_json(text: &str, origin: &str, request: Request) -> Result<Workload, Error> {
        let shape = hf::from_hf_json(text, origin)
            .map_err(|diagnostics| Error::of_model(&diagnostics, |f| place(text, origin, &f.at)))?;
        Ok(Workload::from_shape(shape, request))
    }

    /// A model of one's own. One with the sizes of a preset runs at that preset's published batch.
    #[must_use]
    pub fn from_shape(shape: ModelShape, request: Request) -> Workload {
        let same = |p: &Preset| ModelShape { name: shape.name.clone(), ..p.shape.clone() } == shape;
        let known = presets::list().into_iter().find(same);
        let batch = known.as_ref().map_or(presets::BATCH, |p| p.batch);
        let preset = Preset { shape, published: known.and_then(|p| p.published), batch, source: "" };
        Workload::of(&preset, request)
    }

    fn of(preset: &Preset, request: Request) -> Workload {
        let published = preset.published.as_ref();
        let seq_len = request.seq_len.or(published.map(|p| p.seq_len)).unwrap_or(preset.shape.max_positions);
        let batch = request.batch.unwrap_or(preset.batch);
        Workload { shape: preset.shape_for(seq_len), batch, seq_len, published: preset.published.clone() }
    }

    /// The vendor's level of precision: 0, sums of 32 bits, in the published training runs
    /// (Cerebras/modelzoo, `precision_opt_level` of the Cerebras-GPT configurations); 1, what the
    /// vendor's models have by default (docs.cerebras.net, *Control numerical precision level*).
    #[must_use]
    pub fn precision_opt_level(&self) -> u8 {
        u8::from(self.published.as_ref().is_none_or(|run| run.training.is_none()))
    }

    /// The layer graph of the training step.
    ///
    /// # Errors
    /// Every diagnostic of the sizes.
    pub fn graph(&self) -> Result<LayerGraph, Error> {
        let name = |d: &Diagnostic| match d.at.as_str() {
            key @ ("seq_len" | "batch") => key.to_owned(),
            key => format!("{}: {key}", self.shape.name),
        };
        LayerGraph::training_step(&self.shape, self.batch, self.seq_len)
            .map_err(|diagnostics| Error::of_model(&diagnostics, name))
    }
}

/// File, line and key of what is wrong in a JSON text.
fn place(text: &str, origin: &str, key: &str) -> String {
    if key.is_empty() {
        return origin.to_owned();
    }
    let quoted = format!("\"{key}\"");
    match text.lines().position(|line| line.contains(&quoted)) {
        Some(line) => format!("{origin}:{}: {key}", line + 1),
        None => format!("{origin}: {key}"),
    }
}
