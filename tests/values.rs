//! `wafersim run --values`: loss and gradients on the command line.
#![allow(clippy::unwrap_used, reason = "tests")]

use assert_cmd::Command;
use serde_json::Value;

/// What the command prints, and its exit status.
fn run(arguments: &[&str]) -> (String, String, i32) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_wafersim")).args(arguments).env("WAFERSIM_CACHE", "").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

/// `values` of the report of `tiny` on the mesh for lessons, without the time that it takes to start a layer, in which
/// the reference engine steps every PE.
fn values(more: &[&str]) -> Value {
    let step = ["run", "tiny", "--arch", "teaching", "--set", "wafer.layer_start=0", "--values", "--format", "json"];
    let (out, err, status) = run(&[&step[..], more].concat());
    assert_eq!(status, 0, "{err}");
    serde_json::from_str::<Value>(&out).unwrap()["values"].clone()
}

#[test]
fn the_loss_starts_at_the_logarithm_of_the_vocabulary() {
    let first = values(&["--seed", "5", "--threads", "1"]);
    let (loss, exact) = (first["loss"].as_f64().unwrap(), first["loss_f64"].as_f64().unwrap());
    assert!((loss - 61.0_f64.ln()).abs() < 0.05, "{loss}");
    assert!((loss / exact - 1.0).abs() < 1e-3, "{loss} {exact}");
    assert_eq!(first["seed"], 5);
    let tensors = first["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), 2 * 12 + 4, "twelve parameters a layer, two tables, and the last norm");
    for tensor in tensors {
        assert!(tensor["max_error"].as_f64().unwrap() < 0.03 && tensor["norm"].as_f64().unwrap() > 0.0, "{tensor}");
        assert!(tensor["rms_error"].as_f64().unwrap() < 0.03 && !tensor["shape"].as_array().unwrap().is_empty());
    }
    assert_eq!(values(&["--seed", "5", "--threads", "2"]), first);
    assert_eq!(values(&["--seed", "5", "--engine", "reference"]), first);
    assert_ne!(values(&["--seed", "6"])["loss"], first["loss"]);
}

#[test]
fn text_and_csv_have_the_values_only_where_they_are_asked_for() {
    let (text, _, _) = run(&["run", "tiny", "--arch", "teaching", "--values"]);
    let gradient = |line: &str| line.contains("h.1.mlp.c_fc.weight") && line.contains("24 × 96");
    assert!(text.contains("\nValues (seed 0)") && text.lines().any(gradient), "{text}");
    let (csv, _, _) = run(&["run", "tiny", "--arch", "teaching", "--values", "--format", "csv"]);
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("name,shape,norm,max_error,rms_error"));
    assert!(lines.next().unwrap().starts_with("loss,,4."), "{csv}");
    assert!(csv.contains("\nwte,61x24,"), "{csv}");
    let (json, _, _) = run(&["run", "tiny", "--arch", "teaching", "--format", "json"]);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert!(report.get("values").is_none());
}

#[test]
fn a_large_model_is_refused_with_a_remedy() {
    let (out, err, status) = run(&["run", "cerebras-gpt-111m", "--values"]);
    assert_eq!((out.as_str(), status), ("", 5));
    assert!(err.contains("error[cli-values] --values") && err.contains("a small model such as `tiny`"), "{err}");
}
