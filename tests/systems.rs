//! `wafersim run` on several systems: the cluster section, what bounds it, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

const CONFIG: &str = r#"{"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16,
 "vocab_size": 50, "n_inner": 64, "activation_function": "gelu"}"#;

/// Exit status, stdout and stderr of a run of a tiny model on a mesh of 16 × 16 PEs.
fn run(more: &[&str]) -> (i32, String, String) {
    let folder = TempDir::new().unwrap();
    let model = folder.path().join("config.json");
    std::fs::write(&model, CONFIG).unwrap();
    let mut command = Command::cargo_bin("wafersim").unwrap();
    command.env("WAFERSIM_CACHE", "").arg("run").arg(&model).args(["--set", "wafer.width=16"]);
    let output = command.args(["--set", "wafer.height=16", "--format", "json"]).args(more).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn report(more: &[&str]) -> Value {
    let (status, out, err) = run(more);
    assert_eq!(status, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

/// Seconds of the cluster section: the step, and its parts.
fn parts(cluster: &Value) -> (f64, f64) {
    let exposed = &cluster["exposed"];
    let of = |v: &Value| v.as_f64().unwrap();
    let parts = [
        &cluster["compute_seconds"],
        &exposed["weights"],
        &exposed["gradients"],
        &exposed["optimizer"],
        &exposed["activations"],
    ];
    (of(&cluster["step_seconds"]), parts.into_iter().map(of).sum())
}

#[test]
fn equal_systems_share_the_batch() {
    let one = report(&["--batch", "2"]);
    assert!(one.get("cluster").is_none());
    let four = report(&["--batch", "8", "--systems", "4"]);
    assert_eq!(one["step"]["cycles"], four["step"]["cycles"], "every system does what one does with its share");
    let c = &four["cluster"];
    assert_eq!((c["systems"].as_u64(), c["executed_systems"].as_u64()), (Some(4), Some(1)));
    let (step, sum) = parts(c);
    assert!((step - sum).abs() < 1e-9 * step, "{c}");
    assert!((c["compute_seconds"].as_f64().unwrap() / one["step"]["seconds"].as_f64().unwrap() - 1.0).abs() < 1e-6);
    let samples = four["throughput"]["samples_per_second"].as_f64().unwrap();
    assert!((samples * step - 8.0).abs() < 1e-6, "{samples}");
    let assumed = |r: &Value, key: &str| r["assumed"].as_array().unwrap().iter().any(|a| a["parameter"] == key);
    assert!(assumed(&four, "cluster.optimizer") && !assumed(&one, "cluster.optimizer"));
    assert!(assumed(&one, "model.optimizer") && !assumed(&four, "model.optimizer"));
}

#[test]
fn a_cut_bandwidth_is_named() {
    let bound = |set: &str, checkpoint: &str| {
        let more = ["--set", set, "--set", "cluster.prefetch=1KiB", "--checkpoint", checkpoint];
        let r = report(&[&["--batch", "64", "--systems", "4"][..], &more].concat());
        let text = |key: &str| r["cluster"][key].as_str().unwrap().to_owned();
        (text("bottleneck"), text("bound_by"))
    };
    let pair = |what: &str, part: &str| (what.to_owned(), part.to_owned());
    assert_eq!(bound("cluster.memory_read=1Mb/s", "stay"), pair("weights", "memoryx"));
    assert_eq!(bound("cluster.memory_write=1Mb/s", "stay"), pair("gradients", "memoryx"));
    assert_eq!(bound("cluster.optimizer=1000", "stay"), pair("optimizer", "memoryx"));
    // Gradients have twice the bytes of weights, on links of equal rates both ways.
    assert_eq!(bound("cluster.link=1Mb/s", "stay"), pair("gradients", "swarmx"));
    // What the activation servers keep beside the embeddings is the wafer's own (rule K8).
    assert_eq!(bound("cluster.activation=1Mb/s", "offload"), pair("activations", "servers"));
    let idle = ["--batch", "64", "--systems", "4", "--set", "cluster.node_latency=0"];
    assert!(report(&idle)["cluster"].get("bound_by").is_none());
}

/// Accumulation repeats the weights: two micro-batches of a system take them twice, and have twice
/// the inputs and outputs.
#[test]
fn every_micro_batch_takes_the_weights_again() {
    let of = |batch: &str| report(&["--batch", batch, "--systems", "4", "--micro-batch", "2"]);
    let (once, twice) = (of("8"), of("16"));
    let bytes = |r: &Value, key: &str| r["cluster"][key].as_u64().unwrap();
    assert_eq!((bytes(&once, "micro_batches"), bytes(&twice, "micro_batches")), (1, 2));
    for key in ["weights_bytes", "inputs_bytes", "outputs_bytes"] {
        assert!(bytes(&once, key) > 0, "{key}");
        assert_eq!(2 * bytes(&once, key), bytes(&twice, key), "{key}");
    }
}

#[test]
fn a_slow_system_holds_back_all() {
    let even = report(&["--batch", "8", "--systems", "4"]);
    let skewed = report(&["--batch", "8", "--systems", "4", "--set", "cluster.skew=500"]);
    assert_eq!(skewed["cluster"]["executed_systems"].as_u64(), Some(4));
    let compute = |r: &Value| r["cluster"]["compute_seconds"].as_f64().unwrap();
    assert!((compute(&skewed) / compute(&even) - 1.5).abs() < 1e-6);
}

#[test]
fn an_uneven_batch_is_refused() {
    let (status, out, err) = run(&["--batch", "9", "--systems", "4"]);
    assert_eq!((status, out.as_str()), (3, ""));
    assert!(err.contains("cli-systems") && err.contains("--batch 12"), "{err}");
    assert!(err.contains("--split pad, which fills 3 sequences up"), "{err}");
    let padded = report(&["--batch", "9", "--systems", "4", "--split", "pad"]);
    let even = report(&["--batch", "12", "--systems", "4"]);
    assert_eq!((padded["cluster"]["padding"].as_u64(), even["cluster"]["padding"].as_u64()), (Some(3), Some(0)));
    assert_eq!(padded["cluster"]["step_seconds"], even["cluster"]["step_seconds"]);
    let samples = |r: &Value| r["throughput"]["samples_per_second"].as_f64().unwrap();
    assert!((samples(&padded) / samples(&even) - 0.75).abs() < 1e-9, "padding counts for nothing");
}

#[test]
fn a_number_of_systems_that_no_cluster_has_is_refused_in_one_message() {
    for systems in ["0", "193", "4294967295"] {
        let (status, out, err) = run(&["--batch", "8", "--systems", systems]);
        assert_eq!((status, out.as_str()), (3, ""), "{systems}");
        assert!(err.contains("1 to 192") && err.matches("\"code\"").count() == 1, "{err}");
    }
    assert_eq!(run(&["--batch", "8", "--systems=-1"]).0, 2);
    assert_eq!(run(&["--batch", "8", "--systems", "99999999999"]).0, 2);
}

/// Four systems with two micro-batches each lose one: the other three need three each for the eight
/// sequences, one of which is padding; the step in which it happened is done again.
#[test]
fn the_share_of_a_lost_system_is_taken_over() {
    let run4 = |more: &[&str]| report(&[&["--batch", "8", "--systems", "4", "--micro-batch", "1"], more].concat());
    let (whole, left) = (run4(&[]), run4(&["--set", "cluster.lost=1"]));
    assert!(whole["cluster"].get("lost").is_none());
    let (before, after) = (&whole["cluster"], &left["cluster"]);
    assert_eq!((after["systems"].as_u64(), after["micro_batches"].as_u64()), (Some(3), Some(3)));
    assert_eq!(after["padding"].as_u64(), Some(1));
    let of = |v: &Value| v.as_f64().unwrap();
    assert!((of(&after["compute_seconds"]) / of(&before["compute_seconds"]) - 1.5).abs() < 1e-6);
    assert_eq!(after["lost"]["step_seconds_before"], before["step_seconds"]);
    let both = of(&before["step_seconds"]) + of(&after["step_seconds"]);
    assert!((of(&after["lost"]["redone_step_seconds"]) - both).abs() < 1e-12);
    let (status, _, err) = run(&["--batch", "8", "--systems", "4", "--set", "cluster.lost=4"]);
    assert!(status == 3 && err.contains("4 of 4 systems are lost"), "{err}");
}

/// Two reports: the machine differs in one key, and cycles follow.
#[test]
fn diff_names_what_changed() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, more) in [("a.json", &["--batch", "2"][..]), ("b.json", &["--batch", "2", "--set", "router.hop=2"])] {
        std::fs::write(path(name), report(more).to_string()).unwrap();
    }
    let diff = |a: &str, b: &str, format: &str| {
        let mut command = Command::cargo_bin("wafersim").unwrap();
        let output = command.args(["diff", "--format", format]).arg(path(a)).arg(path(b)).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(diff("a.json", "a.json", "text"), (0, "no difference\n".to_owned()));
    let (status, text) = diff("a.json", "b.json", "json");
    assert_eq!(status, 0);
    let found: Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<&str> = found["values"].as_array().unwrap().iter().map(|v| v["key"].as_str().unwrap()).collect();
    assert!(
        keys.contains(&"arch_hash") && keys.contains(&"step.cycles") && !keys.contains(&"model.layers"),
        "{keys:?}"
    );
    let first = &found["kernels"][0];
    assert!(first["b_cycles"].as_u64() > first["a_cycles"].as_u64(), "slower links: {first}");
    std::fs::write(path("no.json"), "{}").unwrap();
    assert_eq!(diff("a.json", "no.json", "text").0, 3);
}
