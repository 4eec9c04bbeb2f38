//! `wafersim why`: limits are lifted by executing again, and what is known to bind binds.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assert_cmd::Command;
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

const CONFIG: &str = r#"{"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 16,
 "vocab_size": 50, "n_inner": 64, "activation_function": "gelu"}"#;

fn run(folder: &Path, arguments: &[&str], status: i32) -> String {
    let mut command = Command::cargo_bin("wafersim").unwrap();
    let output = command.current_dir(folder).env("WAFERSIM_CACHE", "").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{out}\n{err}");
    out
}

/// A folder with the report of a tiny model.
fn reported(options: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("c.json"), CONFIG).unwrap();
    let machine = ["--set", "wafer.width=8", "--set", "wafer.height=8", "--format", "json", "-o", "out.json"];
    run(folder.path(), &[&["run", "c.json", "--batch", "2"][..], options, &machine].concat(), 0);
    folder
}

fn why(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&run(folder, &[&["why", "out.json", "--format", "json"], arguments].concat(), 0)).unwrap()
}

#[test]
fn a_lifted_limit_is_an_execution_on_another_machine() {
    let folder = reported(&[]);
    let answer = why(folder.path(), &[]);
    let report: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("out.json")).unwrap()).unwrap();
    assert_eq!(answer["step_cycles"], report["step"]["cycles"]);
    let limits = answer["limits"].as_array().unwrap();
    assert_eq!(limits.len(), 10, "all but the cluster");
    let cycles = |l: &Value| l["step_cycles"].as_u64().unwrap();
    assert!(limits.windows(2).all(|w| cycles(&w[0]) <= cycles(&w[1])), "what costs most comes first");
    // The same machine by --set takes as many cycles.
    let limit = |name: &str| limits.iter().find(|l| l["limit"] == name).unwrap();
    let other = reported(&["--set", "pe.task_dispatch=0"]);
    let other: Value = serde_json::from_str(&std::fs::read_to_string(other.path().join("out.json")).unwrap()).unwrap();
    assert_eq!(limit("dispatch")["step_cycles"], other["step"]["cycles"]);
    assert!(cycles(limit("dispatch")) < answer["step_cycles"].as_u64().unwrap(), "every kernel is dispatched");
    assert!(
        cycles(limit("setup")) < answer["step_cycles"].as_u64().unwrap(),
        "a tiny model pays for every instruction"
    );
    let kernels = answer["kernels"].as_array().unwrap();
    let sum: u64 = kernels.iter().map(|k| k["cycles"].as_u64().unwrap()).sum();
    assert_eq!(Value::from(sum), answer["step_cycles"]);
}

/// Without setups a product would be compiled another way, with other buffers: what is executed
/// are the kernels of the report all the same.
#[test]
fn the_kernels_are_those_of_the_report() {
    let folder = reported(&["--precision-opt-level", "0"]);
    let answer = why(folder.path(), &[]);
    assert_eq!(answer["limits"].as_array().unwrap().len(), 10, "all but the cluster");
}

#[test]
fn narrow_edges_are_what_binds() {
    let folder = reported(&["--set", "wafer.io=1Gb/s", "--set", "wafer.layer_start=0"]);
    let answer = why(folder.path(), &["--limit", "edges", "--limit", "arithmetic"]);
    let limits = answer["limits"].as_array().unwrap();
    assert_eq!(limits[0]["limit"], "edges");
    assert!(limits[0]["saved"].as_f64().unwrap() > 0.5, "{}", limits[0]);
    let text = run(folder.path(), &["why", "out.json", "--limit", "edges"], 0);
    assert!(text.contains("edges") && text.contains("What bounds the kernels"), "{text}");
}

#[test]
fn a_report_of_other_programs_is_refused() {
    let folder = reported(&[]);
    let path = folder.path().join("out.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut report: Value = serde_json::from_str(&text).unwrap();
    report["program_hash"] = "0".into();
    std::fs::write(&path, report.to_string()).unwrap();
    run(folder.path(), &["why", "out.json"], 3);
    report["command"] = "wafersim models list".into();
    std::fs::write(&path, report.to_string()).unwrap();
    run(folder.path(), &["why", "out.json"], 3);
    run(folder.path(), &["why", "c.json"], 3);
    run(folder.path(), &["why", "out.json", "--limit", "luck"], 2);
}

/// `hello.wafer` takes 16 cycles: 3 of dispatch, 6 of set-up, 3 + 1 + 2 on the way, 1 to receive; the sender
/// issues in the cycle in which its wavelet begins. A task that starts at once is reached in the next cycle.
#[test]
fn a_program_is_bounded_as_counted_by_hand() {
    let folder = TempDir::new().unwrap();
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let hello = project.join("examples/hello.wafer");
    let hello = hello.to_str().unwrap();
    let cycles = |path: &str| -> Vec<(String, u64)> {
        let answer: Value = serde_json::from_str(&run(folder.path(), &["why", path, "--format", "json"], 0)).unwrap();
        assert_eq!(answer["cycles"], 15);
        let limits = answer["limits"].as_array().unwrap().iter();
        let named = limits.map(|l| (l["limit"].as_str().unwrap().to_owned(), l["cycles"].as_u64().unwrap()));
        named.filter(|(_, cycles)| *cycles != 15).collect()
    };
    let known = [("setup", 9), ("ramp", 12), ("dispatch", 14)].map(|(name, n)| (name.to_owned(), n));
    assert_eq!(cycles(hello), known);
    run(folder.path(), &["simulate", hello, "--format", "json", "-o", "hello.json"], 0);
    assert_eq!(cycles("hello.json"), known, "of its report");
}
