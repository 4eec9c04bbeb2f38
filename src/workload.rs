//! MODEL on the command line: a preset's name, or the path of a Hugging Face `config.json`.
//!
//! **Invariant.** A shape that leaves here has been validated for its sequence length.

use crate::fail::Failure;
use crate::files;
use models::presets::Published;
use models::{LayerGraph, ModelShape, Preset, hf, presets};
use sim_core::diag::Diagnostic;
use std::path::Path;

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

/// What the user asked for beside the model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// Sequences per step.
    pub batch: Option<u64>,
    /// Tokens per sequence.
    pub seq_len: Option<u32>,
}

/// Finds a model by preset or path.
///
/// # Errors
/// Every fault of the name or of the file.
pub fn find(model: &str, wish: Wish) -> Result<Workload, Failure> {
    let path = Path::new(model);
    if path.extension().is_some_and(|e| e == "json") || path.is_file() {
        return imported(path, wish);
    }
    let preset = presets::find(model).map_err(|f| Failure::of_model(&[f], |_| "MODEL".to_owned()))?;
    Ok(of_preset(&preset, wish))
}

fn of_preset(preset: &Preset, wish: Wish) -> Workload {
    let published = preset.published.as_ref();
    let seq_len = wish.seq_len.or(published.map(|p| p.seq_len)).unwrap_or(preset.shape.max_positions);
    let batch = wish.batch.unwrap_or(preset.batch);
    Workload { shape: preset.shape_for(seq_len), batch, seq_len, published: preset.published.clone() }
}

/// A `config.json`. A model with the sizes of a preset runs at that preset's published batch.
fn imported(path: &Path, wish: Wish) -> Result<Workload, Failure> {
    let text = files::read_text(path, hf::TEXT_MAX as u64)?;
    let origin = path.display().to_string();
    let shape = hf::from_hf_json(&text, &origin)
        .map_err(|faults| Failure::of_model(&faults, |f| place(&text, &origin, &f.at)))?;
    let same = |p: &Preset| ModelShape { name: shape.name.clone(), ..p.shape.clone() } == shape;
    let known = presets::list().into_iter().find(same);
    let batch = known.as_ref().map_or(presets::BATCH, |p| p.batch);
    let preset = Preset { shape, published: known.and_then(|p| p.published), batch, source: "" };
    Ok(of_preset(&preset, wish))
}

/// File, line and key of a fault in a JSON text.
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

impl Workload {
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
    /// Every fault of the sizes.
    pub fn graph(&self) -> Result<LayerGraph, Failure> {
        let name = |d: &Diagnostic| match d.at.as_str() {
            "seq_len" => "--seq-len".to_owned(),
            "batch" => "--batch".to_owned(),
            key => format!("{}: {key}", self.shape.name),
        };
        LayerGraph::training_step(&self.shape, self.batch, self.seq_len)
            .map_err(|faults| Failure::of_model(&faults, name))
    }
}
