//! `wafersim train`: phases, totals, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

const CONFIG: &str = r#"{"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16,
 "vocab_size": 50, "n_inner": 64, "activation_function": "gelu"}"#;

/// Exit status, stdout and stderr of a training run of a tiny model on a mesh of 16 × 16 PEs.
fn train(format: &str, more: &[&str]) -> (i32, String, String) {
    let folder = TempDir::new().unwrap();
    let model = folder.path().join("config.json");
    std::fs::write(&model, CONFIG).unwrap();
    let mut command = Command::cargo_bin("wafersim").unwrap();
    command.env("WAFERSIM_CACHE", "").arg("train").arg(&model).args(["--set", "wafer.width=16"]);
    let output = command.args(["--set", "wafer.height=16", "--format", format]).args(more).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn report(more: &[&str]) -> Value {
    let (status, out, err) = train("json", more);
    assert_eq!(status, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

fn number(v: &Value) -> f64 {
    v.as_f64().unwrap()
}

fn near(a: f64, b: f64) -> bool {
    (a / b - 1.0).abs() < 1e-9
}

#[test]
fn totals_are_steps_times_the_executed_step() {
    let r = report(&["--arch", "andromeda", "--systems", "4", "--batch", "8", "--steps", "1000"]);
    assert_eq!(r["schema"], "wafersim.train/1");
    let (phase, total) = (&r["phases"][0], &r["total"]);
    assert_eq!((phase["systems"].as_u64(), phase["steps"].as_u64()), (Some(4), Some(1000)));
    assert_eq!(phase["tokens"].as_u64(), Some(1000 * 8 * 16));
    let seconds = number(&total["seconds"]);
    assert!(near(seconds, 1000.0 * number(&phase["step"]["step_seconds"])));
    assert!(near(number(&total["system_hours"]), 4.0 * seconds / 3600.0));
    assert!(near(number(&total["energy_at_peak_kwh"]), 23.0 * number(&total["system_hours"])));
    let flops = number(&total["flops"]["cerebras"]);
    assert!(near(number(&r["loss"]["expected"]), (flops / 5.984e22).powf(-0.0737) + 0.5066));
    assert!(r["loss"]["published"].is_null(), "nobody published this model");
    let parameters = number(&r["model"]["parameters"]);
    assert!(near(number(&total["flops"]["six_n"]), 6.0 * parameters * 128_000.0));
    assert!(r["assumed"].as_array().unwrap().iter().any(|a| a["parameter"] == "cluster.optimizer"));
}

/// A run's step is that of `wafersim run` on the same cluster.
#[test]
fn a_step_of_a_run_is_the_step_of_a_cluster() {
    let r = report(&["--systems", "2", "--batch", "4", "--tokens-per-parameter", "3"]);
    let tokens = 3 * r["model"]["parameters"].as_u64().unwrap();
    assert_eq!(r["phases"][0]["steps"].as_u64(), Some(tokens.div_ceil(4 * 16)));
    let folder = TempDir::new().unwrap();
    let model = folder.path().join("config.json");
    std::fs::write(&model, CONFIG).unwrap();
    let mut command = Command::cargo_bin("wafersim").unwrap();
    command.env("WAFERSIM_CACHE", "").arg("run").arg(&model).args(["--set", "wafer.width=16", "--set"]);
    let output =
        command.args(["wafer.height=16", "--systems", "2", "--batch", "4", "--format", "json"]).output().unwrap();
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(run["cluster"], r["phases"][0]["step"]);
}

#[test]
fn text_and_csv_say_the_same() {
    let options = ["--batch", "2", "--steps", "10"];
    let (status, text, _) = train("text", &options);
    assert_eq!(status, 0);
    for part in ["10 steps, 320 tokens", "at most 1 kWh: 23 000 W per system (documented:", "expected by L(f) ="] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (_, csv, _) = train("csv", &options);
    let rows: Vec<&str> = csv.lines().collect();
    assert!(rows.len() == 2 && rows[1].starts_with("1,1,2,"), "{csv}");
    assert_eq!(report(&options)["command"].as_str().unwrap().matches("--steps 10").count(), 1);
}

#[test]
fn what_cannot_be_trained_is_refused() {
    for (options, says) in [
        (&["--steps", "0"][..], "is 0"),
        (&["--tokens-per-parameter", "nan"], "above 0"),
        (&["--tokens-per-parameter=-1"], "above 0"),
        (&["--systems", "7", "--batch", "8", "--steps", "5"], "do not divide evenly over 7"),
    ] {
        let (status, out, err) = train("text", options);
        assert!(status == 3 && out.is_empty() && err.contains(says), "{options:?}: {status} {err}");
    }
    assert_eq!(train("text", &["--steps", "99999999999"]).0, 5);
    assert_eq!(train("text", &["--steps", "5", "--tokens-per-parameter", "3"]).0, 2);
    let mut command = Command::cargo_bin("wafersim").unwrap();
    let output = command.args(["train", "cerebras-gpt-13b"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("used 12 systems; `cs2` has 1"));
}
