//! Models known by name, with the runs that were published for them.
//!
//! **Invariant.** Every number is followed to a source, named in [`Preset::source`].
//! **Not here.** Measured throughput.

mod cerebras_gpt;
mod gpt;
mod lesson;
mod other;
mod preset;

pub use preset::{BATCH, LrDecay, Preset, Published, Stage, Training};

use crate::diagnostic;
use sim_core::diag::Diagnostic;
use sim_core::util::suggest::{did_you_mean, distance};

/// All presets: Cerebras-GPT from the smallest on, GPT-2 and GPT-3, other designs, and last the models for lessons.
#[must_use]
pub fn list() -> Vec<Preset> {
    cerebras_gpt::list().chain(gpt::list()).chain(other::list()).chain(lesson::list()).collect()
}

/// The preset called `name`; letter case does not matter.
///
/// # Errors
/// `model-unknown`, with the preset whose name is nearest, or all names if none is near.
pub fn find(name: &str) -> Result<Preset, Diagnostic> {
    let mut presets = list();
    let wanted: String = name.chars().take(NAME_MAX).collect::<String>().to_lowercase();
    if let Some(at) = presets.iter().position(|preset| preset.shape.name == wanted) {
        return Ok(presets.swap_remove(at));
    }
    let names: Vec<&str> = presets.iter().map(|preset| preset.shape.name.as_str()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    let all = || format!("one of {}, or the path of a Hugging Face config.json", names.join(", "));
    let help = did_you_mean(sorted, |known| distance(known, &wanted)).unwrap_or_else(all);
    let message = format!("there is no preset `{}`", wanted.escape_debug());
    Err(diagnostic::of("model-unknown", "model", message, help))
}

/// Longer names are cut before they are compared or shown.
const NAME_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid_and_found_under_its_name() {
        for preset in list() {
            assert_eq!(preset.shape.validate(), []);
            assert_eq!(find(&preset.shape.name.to_uppercase()).unwrap(), preset);
        }
        assert_eq!(list().len(), 31);
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_gets_the_list() {
        let diagnostic = find("cerebras-gtp-111m").unwrap_err();
        assert_eq!(
            diagnostic.to_string(),
            "error[model-unknown] model: there is no preset `cerebras-gtp-111m`\n  help: did you mean `cerebras-gpt-111m`?"
        );
        let diagnostic = find("resnet\u{1b}[31m").unwrap_err();
        assert!(diagnostic.help.starts_with("one of cerebras-gpt-111m, "), "{diagnostic}");
        assert!(!diagnostic.message.contains('\u{1b}'));
    }

    #[test]
    fn stages_divide_evenly_over_their_systems() {
        for preset in list() {
            for stage in preset.published.iter().flat_map(|run| &run.training).flat_map(|run| run.stages) {
                let at_a_time = stage.micro_batch_per_system * u64::from(stage.systems);
                assert!(stage.batch.is_multiple_of(at_a_time), "{}", preset.shape.name);
            }
        }
    }

    #[test]
    fn only_the_published_length_grows_the_position_table() {
        let gpt2 = find("gpt2-small").unwrap();
        assert_eq!(gpt2.shape_for(2048).max_positions, 2048);
        assert_eq!(gpt2.shape_for(512), gpt2.shape);
        assert_eq!(gpt2.shape_for(4096), gpt2.shape);
    }

    /// Parameters of the released checkpoints; the larger ones are named by theirs.
    #[test]
    fn sizes_give_the_published_parameters() {
        let of = |name: &str| crate::count::parameters(&find(name).unwrap().shape);
        assert_eq!(of("gpt2-medium"), 354_823_168);
        assert_eq!(of("gpt2-large"), 774_030_080);
        assert_eq!(of("gpt2-xl"), 1_557_611_200);
        for (name, billions) in [
            ("gpt3-256m", 0.256),
            ("gpt3-xl", 1.3),
            ("gpt3-2.7b", 2.7),
            ("gpt3-6.7b", 6.7),
            ("gpt3-13b", 13.0),
            ("gpt3-20b", 20.0),
        ] {
            let error = of(name) as f64 / (billions * 1e9) - 1.0;
            assert!(error.abs() < 0.03, "{name}: {error}");
        }
    }

    /// Parameters of the released checkpoints of other designs. BERT's are those of the encoder with
    /// its pooler; the classifier comes on top.
    #[test]
    fn other_designs_have_the_published_parameters() {
        let of = |name: &str| crate::count::parameters(&find(name).unwrap().shape);
        assert_eq!(of("gpt-j-6b"), 6_050_882_784);
        assert_eq!(of("gpt-neox-20b"), 20_554_567_680);
        assert_eq!(of("llama-7b"), 6_738_415_616);
        assert_eq!(of("llama-13b"), 13_015_864_320);
        assert_eq!(of("bert-base"), 109_482_240 + 2 * 769);
        assert_eq!(of("bert-large"), 335_141_888 + 2 * 1025);
        assert_eq!(of("llama-2-70b"), 68_976_648_192);
        assert_eq!(of("falcon-40b"), 41_303_293_952);
        assert_eq!(of("starcoder-15b"), 15_517_456_384);
        for (name, billions) in [("llama-33b", 32.5), ("btlm-3b", 2.6), ("jais-13b", 13.0), ("gigagpt-70b", 65.0)] {
            let error = of(name) as f64 / (billions * 1e9) - 1.0;
            assert!(error.abs() < 0.03, "{name}: {error} of {}", of(name));
        }
    }
}
