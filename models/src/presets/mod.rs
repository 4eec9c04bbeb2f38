//! Models known by name, with the runs that were published for them.
//!
//! **Invariant.** every number is followed to a source, named in [`Preset::source`]; what was not
//! published is `None`, not a guess.
//! **Not here.** measured throughput.

mod other;

use serde::Serialize;

use crate::diagnostic;
use crate::shape::ModelShape;
use crate::shape::design::Design;
use sim_core::diag::Diagnostic;

/// A model known by name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preset {
    /// Its sizes.
    pub shape: ModelShape,
    /// How it was run on CS-2 systems, if that was published.
    pub published: Option<Published>,
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
    /// Steps.
    pub steps: u64,
    /// Systems.
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

const CEREBRAS_GPT: &str = "Cerebras-GPT, arXiv 2304.03208, tables 1, 6, 8, appendix E; \
    github.com/Cerebras/modelzoo at b353ab5 (2023-03-27), Cerebras_GPT/README.md and yaml files";

const GPT2: &str = "sizes: huggingface.co/gpt2 config.json (124,439,808 parameters with 1024 \
    positions); run: batch 112 at 2048 tokens, which is the GPT-2 small configuration of \
    Cerebras/modelzoo Release_2.3.0 and the one measured on a CS-2 in \
    github.com/augustuszzq/Regular-DABench-LLM at 5f86bb6";

const PLAIN: &str = "sizes: config.json of huggingface.co/openai-community (gpt2-medium, gpt2-large, gpt2-xl); \
    Brown et al. 2020, table 2.1, with the heads of Cerebras/modelzoo (gpt3-*); batch: batch_size of the \
    configurations in Cerebras/modelzoo R_1.7.1, Release_1.8.0 and Release_2.1.1 (gpt2-medium: that of gpt2-large); \
    gpt3-256m: sizes of Cerebras-GPT 256M, batch of a measurement (arXiv 2409.00287v2, table V)";

/// Rows of the table below.
struct Row {
    name: &'static str,
    /// layers, d_model, heads
    sizes: (u32, u32, u32),
    stages: &'static [Stage],
    /// highest learning rate, decay, warm-up steps, Adam's epsilon
    schedule: (f64, LrDecay, u64, f64),
    cross_entropy: f64,
    flops: f64,
    relative_utilisation: Option<f64>,
}

const fn stage(batch: u64, steps: u64, systems: u32, micro_batch_per_system: u64) -> Stage {
    Stage { batch, steps, systems, micro_batch_per_system }
}

/// Batches per system are those of table 6, except 13B's 90, which is in the yaml file (the table
/// says 45). 2.7B has 32 heads by paper, yaml and weights; a README of 2023-03-27 says 20. 6.7B ran
/// on 16 systems by table 6; the published yaml has 8 with two accumulation steps.
const CEREBRAS_GPT_ROWS: [Row; 7] = [
    Row {
        name: "cerebras-gpt-111m",
        sizes: (10, 768, 12),
        stages: &[stage(120, 9_037, 1, 120)],
        schedule: (6e-4, LrDecay::Linear, 1525, 1e-8),
        cross_entropy: 2.608,
        flops: 2.6e18,
        relative_utilisation: Some(1.0),
    },
    Row {
        name: "cerebras-gpt-256m",
        sizes: (14, 1088, 17),
        stages: &[stage(264, 9_468, 1, 264)],
        schedule: (6e-4, LrDecay::Linear, 693, 1e-8),
        cross_entropy: 2.349,
        flops: 1.3e19,
        relative_utilisation: None,
    },
    Row {
        name: "cerebras-gpt-590m",
        sizes: (18, 1536, 12),
        stages: &[stage(264, 21_836, 1, 264)],
        schedule: (2e-4, LrDecay::Linear, 693, 1e-8),
        cross_entropy: 2.181,
        flops: 6.1e19,
        relative_utilisation: Some(0.92),
    },
    Row {
        name: "cerebras-gpt-1.3b",
        sizes: (24, 2048, 16),
        stages: &[stage(528, 24_334, 4, 132)],
        schedule: (2e-4, LrDecay::Cosine, 346, 1e-8),
        cross_entropy: 1.997,
        flops: 2.8e20,
        relative_utilisation: Some(0.96),
    },
    Row {
        name: "cerebras-gpt-2.7b",
        sizes: (32, 2560, 32),
        stages: &[stage(528, 49_041, 4, 132)],
        schedule: (2e-4, LrDecay::Cosine, 346, 1e-8),
        cross_entropy: 1.834,
        flops: 1.1e21,
        relative_utilisation: Some(0.96),
    },
    Row {
        name: "cerebras-gpt-6.7b",
        sizes: (32, 4096, 32),
        stages: &[stage(1040, 62_522, 16, 65)],
        schedule: (1.2e-4, LrDecay::Linear, 176, 1e-9),
        cross_entropy: 1.704,
        flops: 6.3e21,
        relative_utilisation: Some(1.05),
    },
    Row {
        name: "cerebras-gpt-13b",
        sizes: (40, 5120, 40),
        // After 57,000 steps the step counter was set back to 38,000 and run on to 116,223.
        stages: &[stage(720, 57_000, 8, 90), stage(1080, 78_223, 12, 90)],
        schedule: (1.2e-4, LrDecay::Cosine, 169, 1e-9),
        cross_entropy: 1.572,
        flops: 2.3e22,
        relative_utilisation: Some(1.02),
    },
];

const SEQ_LEN: u32 = 2048;

fn shape(name: &str, sizes: (u32, u32, u32), max_positions: u32) -> ModelShape {
    let (layers, d_model, heads) = sizes;
    ModelShape {
        name: name.to_owned(),
        design: Design::GPT2,
        layers,
        d_model,
        heads,
        d_ff: 4 * d_model,
        vocab: 50_257,
        max_positions,
    }
}

fn cerebras_gpt(row: &Row) -> Preset {
    let last = row.stages[row.stages.len() - 1];
    let (lr_max, lr_decay, warmup_steps, adam_eps) = row.schedule;
    let sequences: u64 = row.stages.iter().map(|stage| stage.batch * stage.steps).sum();
    Preset {
        shape: shape(row.name, row.sizes, SEQ_LEN),
        published: Some(Published {
            batch: last.batch,
            seq_len: SEQ_LEN,
            systems: last.systems,
            micro_batch_per_system: Some(last.micro_batch_per_system),
            training: Some(Training {
                stages: row.stages,
                steps: row.stages.iter().map(|stage| stage.steps).sum(),
                tokens: sequences * u64::from(SEQ_LEN),
                lr_max,
                lr_decay,
                warmup_steps,
                adam_eps,
                cross_entropy: row.cross_entropy,
                flops: row.flops,
                relative_utilisation: row.relative_utilisation,
            }),
        }),
        source: CEREBRAS_GPT,
    }
}

/// GPT-2 small with the 1024 positions of its release. The CS-2 run was at 2048 tokens, hence with a
/// longer table: [`Preset::shape_for`] gives that shape.
fn gpt2_small() -> Preset {
    Preset {
        shape: shape("gpt2-small", (12, 768, 12), 1024),
        published: Some(Published {
            batch: 112,
            seq_len: 2048,
            systems: 1,
            micro_batch_per_system: None,
            training: None,
        }),
        source: GPT2,
    }
}

/// Name; layers, width, heads; positions; sequences per step of the published configuration for one
/// CS-2, at as many tokens as positions.
type Plain = (&'static str, (u32, u32, u32), u32, u64);

/// Further models of the same architecture.
const PLAIN_ROWS: [Plain; 9] = [
    ("gpt3-256m", (14, 1088, 17), 2048, 256),
    ("gpt2-medium", (24, 1024, 16), 1024, 80),
    ("gpt2-large", (36, 1280, 20), 1024, 80),
    ("gpt2-xl", (48, 1600, 25), 1024, 95),
    ("gpt3-xl", (24, 2048, 16), 2048, 121),
    ("gpt3-2.7b", (32, 2560, 32), 2048, 99),
    ("gpt3-6.7b", (32, 4096, 32), 2048, 85),
    ("gpt3-13b", (40, 5120, 40), 2048, 60),
    ("gpt3-20b", (44, 6144, 64), 2048, 77),
];

fn plain(&(name, sizes, positions, batch): &Plain) -> Preset {
    let published = Published { batch, seq_len: positions, systems: 1, micro_batch_per_system: None, training: None };
    Preset { shape: shape(name, sizes, positions), published: Some(published), source: PLAIN }
}

/// All presets, smaller Cerebras-GPT models first.
#[must_use]
pub fn list() -> Vec<Preset> {
    let plain = PLAIN_ROWS.iter().map(plain);
    let others = other::list();
    CEREBRAS_GPT_ROWS.iter().map(cerebras_gpt).chain([gpt2_small()]).chain(plain).chain(others).collect()
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
    let near = names.iter().map(|known| (distance(known, &wanted), *known)).min();
    let help = match near {
        // Up to a third of the letters may differ before a suggestion is noise.
        Some((changes, known)) if changes * 3 <= known.len() => format!("did you mean `{known}`?"),
        _ => format!("one of {}, or the path of a Hugging Face config.json", names.join(", ")),
    };
    let message = format!("there is no preset `{}`", wanted.escape_debug());
    Err(diagnostic::of("model-unknown", "model", message, help))
}

/// Longer names are cut before they are compared or shown.
const NAME_MAX: usize = 100;

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid_and_found_under_its_name() {
        for preset in list() {
            assert_eq!(preset.shape.validate(), []);
            assert_eq!(find(&preset.shape.name.to_uppercase()).unwrap(), preset);
        }
        assert_eq!(list().len(), 30);
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

    #[test]
    fn distance_counts_changed_characters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("gpt", "gpt"), 0);
    }
}
