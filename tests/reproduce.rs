//! `wafersim reproduce andromeda-scaling` and `cerebras-gpt`: rows, pictures, and models that fail.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// A tiny model.
fn config(folder: &TempDir, name: &str, width: u32) -> String {
    let path = folder.path().join(name);
    let text = format!(
        r#"{{"model_type": "gpt2", "n_embd": {width}, "n_layer": 2, "n_head": 2, "n_positions": 16,
 "vocab_size": 50, "n_inner": 64, "activation_function": "gelu"}}"#
    );
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Exit status, stdout and stderr of a reproduction on a mesh of 16 × 16 PEs.
fn reproduce(what: &str, more: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("wafersim").unwrap();
    command.env("WAFERSIM_CACHE", "").args(["reproduce", what, "--set", "wafer.width=16"]);
    let output = command.args(["--set", "wafer.height=16"]).args(more).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn scaling(more: &[&str]) -> Value {
    let (status, out, err) = reproduce("andromeda-scaling", &[more, &["--format", "json"]].concat());
    assert_eq!(status, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

fn of(curve: &Value, key: &str) -> Vec<f64> {
    curve["rows"].as_array().unwrap().iter().map(|r| r[key].as_f64().unwrap()).collect()
}

fn steps(curve: &Value) -> Vec<f64> {
    curve["rows"].as_array().unwrap().iter().map(|r| r["step"]["step_seconds"].as_f64().unwrap()).collect()
}

/// Weak scaling with slow nodes: one, one, one, two and two levels of them, a millisecond each on the
/// way up and down. Strong scaling: what is shared gets small.
#[test]
fn scaling_is_reproduced_row_by_row() {
    let folder = TempDir::new().unwrap();
    let model = config(&folder, "config.json", 16);
    let r = scaling(&["--models", &model, "--batch", "2", "--set", "cluster.node_latency=1000000"]);
    assert_eq!(r["schema"], "wafersim.scaling/1");
    let (weak, strong) = (&r["models"][0]["weak"], &r["models"][0]["strong"]);
    assert_eq!(of(weak, "systems"), [1.0, 2.0, 4.0, 8.0, 16.0]);
    assert_eq!(of(weak, "batch"), [2.0, 4.0, 8.0, 16.0, 32.0]);
    let far = steps(weak);
    assert!(far[0] == far[2] && far[3] == far[4]);
    assert!((far[3] - far[2] - 0.002).abs() < 1e-5, "{far:?}");
    assert_eq!(weak["bend"]["systems"].as_u64(), Some(8), "the second level is where it bends");
    assert!(of(weak, "efficiency")[2] == 1.0 && of(weak, "speedup")[2] == 4.0);
    // Two sequences on 4, 8 and 16 systems: one each, and the rest is padding.
    assert_eq!(of(strong, "batch"), [2.0; 5]);
    let rows = strong["rows"].as_array().unwrap();
    let padding: Vec<u64> = rows.iter().map(|r| r["step"]["padding"].as_u64().unwrap()).collect();
    assert_eq!(padding, [0, 0, 2, 6, 14]);
}

/// Cut bandwidths bend what was straight, and are named.
#[test]
fn a_cut_bandwidth_is_the_reason() {
    let folder = TempDir::new().unwrap();
    let model = config(&folder, "config.json", 16);
    let straight = scaling(&["--models", &model, "--batch", "2", "--set", "cluster.node_latency=0"]);
    let speeds = of(&straight["models"][0]["weak"], "efficiency");
    // Chunks are stored in every node: what remains is their length, twice.
    assert!(speeds[4] > 0.99, "{speeds:?}");
    let set = "cluster.memory_write=1Mb/s";
    let cut = scaling(&["--models", &model, "--batch", "2", "--only", "weak", "--set", set]);
    assert!(cut["models"][0].get("strong").is_none());
    let rows = &cut["models"][0]["weak"]["rows"];
    assert!((0..5).all(|i| rows[i]["step"]["bottleneck"] == "gradients"), "MemoryX takes one sum, for any number");
}

#[test]
fn pictures_are_the_same_every_time() {
    let folder = TempDir::new().unwrap();
    let models = format!("{},{}", config(&folder, "a.json", 16), config(&folder, "b.json", 32));
    let drawn = |name: &str| {
        let to = folder.path().join(name);
        std::fs::create_dir(&to).unwrap();
        let plot = to.display().to_string();
        let (status, _, err) = reproduce("andromeda-scaling", &["--models", &models, "--batch", "2", "--plot", &plot]);
        assert_eq!(status, 0, "{err}");
        let read = |file: &str| std::fs::read_to_string(to.join(file)).unwrap();
        [read("weak-scaling.svg"), read("strong-scaling.svg")]
    };
    let first = drawn("first");
    assert_eq!(first, drawn("second"));
    for svg in &first {
        assert!(svg.starts_with("<svg") && svg.matches("<polyline").count() >= 2 * 2);
    }
    let nowhere = folder.path().join("no/such").display().to_string();
    let (status, _, err) = reproduce("andromeda-scaling", &["--models", &models, "--batch", "2", "--plot", &nowhere]);
    assert!(status == 3 && err.contains("cli-write"), "{err}");
}

#[test]
fn models_that_fail_are_named_beside_those_that_do_not() {
    let folder = TempDir::new().unwrap();
    let model = config(&folder, "config.json", 16);
    // 20 billion parameters do not fit on 16 × 16 PEs.
    let both = format!("{model},gpt3-20b");
    let (status, out, err) = reproduce("andromeda-scaling", &["--models", &both, "--batch", "2"]);
    assert_eq!(status, 6, "{err}");
    assert!(out.contains("Weak scaling") && out.contains("Not executed: gpt3-20b"), "{out}");
    assert!(err.contains("gpt3-20b"), "{err}");
    let (status, out, _) = reproduce("andromeda-scaling", &["--models", "gpt3-20b", "--batch", "2"]);
    assert_eq!((status, out.as_str()), (4, ""));
    let (status, _, err) = reproduce("andromeda-scaling", &["--models", "gpt3-20c"]);
    assert!(status == 3 && err.contains("did you mean `gpt3-20b`?"), "{err}");
    let (status, _, err) = reproduce("cerebras-gpt", &["--models", &model]);
    assert!(status == 3 && err.contains("no training run of"), "{err}");
}
