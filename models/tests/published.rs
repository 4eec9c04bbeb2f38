//! Do counts equal the published figures, digit by digit?
#![allow(clippy::unwrap_used, reason = "tests")]

use models::count::{self, FlopConvention};
use models::presets;
use sim_core::program::DType;

/// Name, exact parameters, training tokens, FLOPs per token as Cerebras and as PaLM count (six
/// digits), training FLOPs as 6N, PaLM and Cerebras count (four digits).
///
/// Derived from the sizes and steps in arXiv 2304.03208 (parameters: appendix E; FLOPs: appendix F,
/// arXiv 2204.02311 appendix B, arXiv 2001.08361) independently of this crate; trailing zeros are
/// dropped.
type Row = (&'static str, u64, u64, f64, f64, f64, f64, f64);
const PUBLISHED: [Row; 7] = [
    ("111m", 111_050_496, 2_220_933_120, 1.1903e9, 8.45001e8, 1.48e18, 1.877e18, 2.644e18),
    ("256m", 255_977_024, 5_119_082_496, 2.49299e9, 1.89563e9, 7.862e18, 9.704e18, 1.276e19),
    ("590m", 590_310_912, 11_806_113_792, 5.19635e9, 4.20029e9, 4.182e19, 4.959e19, 6.135e19),
    ("1.3b", 1_315_723_264, 26_313_424_896, 1.07068e10, 9.07327e9, 2.077e20, 2.387e20, 2.817e20),
    ("2.7b", 2_651_553_280, 53_030_191_104, 2.04357e10, 1.78847e10, 8.437e20, 9.484e20, 1.084e21),
    ("6.7b", 6_658_404_352, 133_166_858_240, 4.71926e10, 4.3111e10, 5.32e21, 5.741e21, 6.284e21),
    ("13b", 12_853_386_240, 257_066_680_320, 8.81947e10, 8.20745e10, 1.983e22, 2.11e22, 2.267e22),
];

/// `count` rounded to `digits` significant digits.
fn rounded(count: u128, digits: usize) -> f64 {
    format!("{:.*e}", digits - 1, count as f64).parse().unwrap()
}

#[test]
fn cerebras_gpt_counts_equal_the_published_ones() {
    for (name, parameters, tokens, cerebras, palm, six_n_total, palm_total, cerebras_total) in PUBLISHED {
        let preset = presets::find(&format!("cerebras-gpt-{name}")).unwrap();
        let run = preset.published.unwrap();
        let training = run.training.unwrap();
        assert_eq!(count::parameters(&preset.shape), parameters, "{name}");
        assert_eq!(training.tokens, tokens, "{name}");
        let per_token = |convention| rounded(count::flops_per_token(&preset.shape, run.seq_len, convention).into(), 6);
        assert_eq!(per_token(FlopConvention::Cerebras), cerebras, "{name}");
        assert_eq!(per_token(FlopConvention::Palm), palm, "{name}");
        let total = |convention| count::training_flops(&preset.shape, run.seq_len, tokens, convention);
        assert_eq!(rounded(total(FlopConvention::SixN), 4), six_n_total, "{name}");
        assert_eq!(rounded(total(FlopConvention::Palm), 4), palm_total, "{name}");
        assert_eq!(rounded(total(FlopConvention::Cerebras), 4), cerebras_total, "{name}");
        assert_eq!(rounded(total(FlopConvention::Cerebras), 2), training.flops, "{name}: the paper's own figure");
    }
}

#[test]
fn models_were_trained_on_twenty_tokens_per_parameter() {
    for preset in presets::list() {
        let Some(training) = preset.published.and_then(|run| run.training) else { continue };
        let twenty = 20 * count::parameters(&preset.shape);
        assert!(training.tokens.abs_diff(twenty) * 5000 < twenty, "{}", preset.shape.name);
    }
}

#[test]
fn the_13b_run_has_two_stages() {
    let run = presets::find("cerebras-gpt-13b").unwrap().published.unwrap();
    assert_eq!((run.batch, run.systems), (1080, 12));
    let training = run.training.unwrap();
    assert_eq!(training.stages.len(), 2);
    assert_eq!(training.steps, 57_000 + 116_223 - 38_000);
}

#[test]
fn gpt2_small_has_its_well_known_size() {
    let preset = presets::find("gpt2-small").unwrap();
    assert_eq!(count::parameters(&preset.shape), 124_439_808);
    assert_eq!(count::parameter_bytes(&preset.shape, DType::F16), 248_879_616);
    assert_eq!(count::parameter_bytes(&preset.shape, DType::F32), 497_759_232);
    // At the length of the CS-2 run, 1.351e9 FLOPs per token by Cerebras' count.
    let long = preset.shape_for(2048);
    assert_eq!(count::parameters(&long), 124_439_808 + 1024 * 768);
    assert_eq!(rounded(count::flops_per_token(&long, 2048, FlopConvention::Cerebras).into(), 4), 1.351e9);
}
