//! The command line: exit codes, messages that name every fault, streams, formats.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assert_cmd::Command;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn wafersim() -> Command {
    let mut command = Command::cargo_bin("wafersim").unwrap();
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("NO_COLOR").env("WAFERSIM_CACHE", "");
    command
}

/// Runs it, checks the exit status, and returns stdout and stderr.
fn run(arguments: &[&str], status: i32) -> (String, String) {
    let output = wafersim().args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{out}\n{err}");
    assert!(!err.contains("panicked"), "{err}");
    (out, err)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn word(path: &Path) -> &str {
    path.to_str().unwrap()
}

const CONFIG: &str = r#"{
  "model_type": "gpt2",
  "activation_function": "gelu",
  "n_embd": 16,
  "n_head": 2,
  "n_layer": 2,
  "n_inner": null,
  "n_positions": 8,
  "vocab_size": 32
}"#;

#[test]
fn help_and_version_are_results() {
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"], &["arch", "show", "--help"]] {
        let (out, err) = run(arguments, 0);
        assert!(!out.is_empty() && err.is_empty());
    }
    assert!(run(&["--help"], 0).0.contains("Examples:"));
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for arguments in [&[][..], &["fly"], &["run"], &["arch"], &["run", "m", "--batch", "many"], &["completions", "dos"]]
    {
        let (out, err) = run(arguments, 2);
        assert!(out.is_empty() && !err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_unknown_activation_is_named_with_file_line_and_key() {
    let folder = TempDir::new().unwrap();
    let path = file(
        &folder,
        "config.json",
        &CONFIG.replace("\"gelu\"", "\"swiglu\"").replace("\"n_head\": 2", "\"n_head\": 3"),
    );
    for command in [&["models", "show"][..], &["run"]] {
        let (out, err) = run(&[command, &[word(&path)]].concat(), 3);
        assert!(out.is_empty());
        assert!(err.contains("hf-unsupported") && err.contains("swiglu") && err.contains("gelu"), "{err}");
        assert!(err.contains("config.json:3: activation_function"), "{err}");
        // The other fault of the same file is shown at once.
        assert!(err.contains("model-heads") && err.contains("config.json:5: n_head") && err.contains("16"), "{err}");
    }
}

#[test]
fn an_arch_file_with_three_mistakes_has_three_faults() {
    let folder = TempDir::new().unwrap();
    let text =
        "name = \"bad\"\nextends = \"cs2\"\n[pe]\nsrma = \"48KiB\"\nmicrothreads = \"many\"\n[router]\ncolors = 0\n";
    let path = file(&folder, "bad.toml", text);
    let (_, err) = run(&["arch", "show", "--arch", word(&path)], 3);
    for word in ["srma", "microthreads", "colors", "3 faults"] {
        assert!(err.contains(word), "{word}: {err}");
    }
    let (_, err) = run(&["arch", "show", "--arch", word(&path), "--set", "no", "--format", "json"], 3);
    let error = &json(&err)["error"];
    assert_eq!(error["status"], 3);
    assert_eq!(error["faults"].as_array().unwrap().len(), 4, "{err}");
}

#[test]
fn files_that_are_not_there_or_not_text() {
    let folder = TempDir::new().unwrap();
    let bytes = folder.path().join("bytes.wafer");
    std::fs::write(&bytes, [0xff, 0xfe, 0, 1]).unwrap();
    let stored = folder.path().join("stored.wbin");
    std::fs::write(&stored, b"wafersim and then something else entirely").unwrap();
    for path in [word(&bytes), word(&stored), "/nowhere/x.wafer", "."] {
        run(&["simulate", path], 3);
        run(&["verify", path], 3);
    }
    run(&["models", "show", "/nowhere/config.json"], 3);
    run(&["arch", "show", "--arch", "/nowhere/x.toml"], 3);
    run(&["models", "show", "gpt-17"], 3);
    run(&["arch", "show", "--arch", "cs17"], 3);
    run(&["explain", "X999"], 3);
    run(&["arch", "list", "-o", "/nowhere/x/y"], 3);
}

/// PE (0,0) waits for PE (1,0), which waits for PE (0,0); the counts agree.
const DEADLOCK: &str = include_str!("programs/embrace.wafer");

#[test]
fn a_deadlock_names_the_pes_and_colors() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "embrace.wafer", DEADLOCK);
    run(&["verify", word(&path)], 0);
    for engine in ["fast", "reference"] {
        let (out, err) = run(&["simulate", word(&path), "--engine", engine], 4);
        assert!(out.is_empty());
        for word in ["run-deadlock", "PE (0,0)", "c1", "PE (1,0)", "c0", "waits for a wavelet"] {
            assert!(err.contains(word), "{word}: {err}");
        }
    }
    // A wavelet that never comes is a deadlock too, and says so, after the verifier's warning.
    let unsent = DEADLOCK.replace("    vec mov 1: fab c1 f32 <- f32@0[1]\n", "");
    let path = file(&folder, "unsent.wafer", &unsent);
    run(&["verify", word(&path)], 3);
    let (_, err) = run(&["simulate", word(&path)], 4);
    assert!(err.contains("R025") && err.contains("run-deadlock"), "{err}");
}

#[test]
fn programs_are_refused_with_all_faults() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "bad.wafer", "program p\ngrid 4x\nimage a {\n  mem y f99[4] @8\n}\n");
    let (_, err) = run(&["simulate", word(&path)], 3);
    assert!(err.contains("bad.wafer:2") && err.contains("bad.wafer:4"), "{err}");
    let large = DEADLOCK.replace("mem word f32[1] @0", "mem word f32[20000] @0");
    let path = file(&folder, "large.wafer", &large);
    let (_, err) = run(&["verify", word(&path)], 4);
    assert!(err.contains("R020") && err.contains("49152"), "{err}");
}

#[test]
fn limits_refuse() {
    let hello = "examples/hello.wafer";
    let (_, err) = run(&["simulate", hello, "--cycle-limit", "5"], 5);
    assert!(err.contains("limit of 5 cycles"), "{err}");
    run(&["simulate", hello, "--values", "--memory-limit", "1000"], 5);
}

#[test]
fn simulate_reports_as_documented() {
    let arguments = ["simulate", "examples/hello.wafer", "--finish", "--values", "--format", "json"];
    let report = json(&run(&arguments, 0).0);
    assert_eq!(report["schema"], "wafersim.simulate/1");
    assert_eq!(report["cycles"], 15);
    assert_eq!(report["finish"], serde_json::json!([[0, 0, 9], [1, 0, 15]]));
    assert_eq!(report["values"]["buffers"][1]["values"], serde_json::json!([42.0]));
    let parts = ["compute", "wait", "back_pressure", "idle"].map(|k| report["pe_cycles"][k].as_u64().unwrap());
    assert_eq!(parts.iter().sum::<u64>(), 2 * 15);
    for key in ["engine", "fold", "threads", "wall_seconds", "stepped_cycles", "stepped_pe_cycles", "peak_rss_bytes"] {
        assert!(!report["simulation"][key].is_null(), "{key}");
    }
    let (csv, _) = run(&["simulate", "examples/hello.wafer", "--finish", "--format", "csv"], 0);
    assert_eq!(csv, "x,y,finish\n0,0,9\n1,0,15\n");
}

#[test]
fn results_go_to_a_file_when_asked() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("list.csv");
    let (out, err) = run(&["arch", "list", "--format", "csv", "-o", word(&path)], 0);
    assert!(out.is_empty() && err.is_empty());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("name,width,height"), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    // The ending says the form, unless --format does.
    let read = |name: &str, more: &[&str]| {
        let path = folder.path().join(name);
        run(&[&["arch", "list", "-o", word(&path)], more].concat(), 0);
        std::fs::read_to_string(path).unwrap()
    };
    assert_eq!(read("b.csv", &[]), text);
    assert!(json(&read("b.json", &[])).is_array());
    assert_eq!(read("c.csv", &["--format", "text"]), read("c.txt", &[]));
    // A failure is for people all the same.
    let (_, err) = run(&["models", "show", "gpt-17", "-o", word(&folder.path().join("d.json"))], 3);
    assert!(err.starts_with("error["), "{err}");
}

#[test]
fn colors_are_for_terminals() {
    let bad = ["models", "show", "gpt-17"];
    let escape = '\u{1b}';
    assert!(!run(&bad, 3).1.contains(escape));
    assert!(run(&[&bad[..], &["--color", "always"]].concat(), 3).1.contains(escape));
    assert!(!run(&[&bad[..], &["--color", "never"]].concat(), 3).1.contains(escape));
}

#[test]
fn machines_are_shown_with_sources_and_compared() {
    assert_eq!(run(&["arch", "show", "andromeda16"], 0), run(&["arch", "show", "--arch", "andromeda16"], 0));
    run(&["arch", "show", "cs2", "--arch", "cs2"], 2);
    let shown = json(&run(&["arch", "show", "--set", "pe.sram=64KiB", "--format", "json"], 0).0);
    let sram = shown["numbers"].as_array().unwrap().iter().find(|n| n["key"] == "pe.sram").unwrap().clone();
    assert_eq!((sram["value"].as_str(), sram["source"].as_str()), (Some("64KiB"), Some("user")));
    assert_eq!(run(&["arch", "diff", "cs2", "cs2"], 0).0, "no differences\n");
    assert!(run(&["arch", "diff", "cs2", "teaching"], 0).0.contains("wafer.width"));
}

#[test]
fn every_code_can_be_explained() {
    for code in ["R020", "r020", "A001", "P001", "hf-unsupported", "run-deadlock", "cli-set"] {
        assert!(run(&["explain", code], 0).0.len() > 40, "{code}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(&["completions", shell], 0).0.contains("wafersim"));
    }
}

#[test]
fn collectives_are_generated_and_timed() {
    let line = ["--pes", "64x1", "--wavelets", "100", "--format", "json"];
    let cycles = |words: &[&str]| {
        let (out, _) = run(&[&["collective"], words, &line].concat(), 0);
        let report = json(&out);
        assert_eq!(report["schema"], "wafersim.simulate/1");
        report["cycles"].as_u64().unwrap()
    };
    assert_eq!(cycles(&["broadcast"]), 100 + 64 + 12);
    assert_eq!(cycles(&["reduce", "--algorithm", "chain"]), 8 + 100 + 6 * 63);
    assert!(cycles(&["reduce", "--algorithm", "two-phase", "--group", "8"]) < 8 + 100 + 6 * 63);
    let (_, err) = run(&["collective", "reduce", "--pes", "1x1", "--wavelets", "1", "--group", "3"], 3);
    assert!(err.contains("1x1") && err.contains("--group"), "{err}");
    let ring = |pes, wavelets| {
        run(&["collective", "all-reduce", "--algorithm", "ring", "--pes", pes, "--wavelets", wavelets], 3).1
    };
    assert!(ring("9x1", "9").contains("ring over 9 PEs") && ring("8x1", "9").contains("9 wavelets"));
    let (_, err) = run(&["collective", "reduce", "--algorithm", "tree", "--pes", "512x1", "--wavelets", "1"], 4);
    assert!(err.contains("input queue 8 does not exist"), "{err}");
    let (_, err) = run(&["collective", "reduce", "--pes", "8x1", "--wavelets", "100000"], 4);
    assert!(err.contains("R02"), "{err}");
    run(&["collective", "reduce", "--pes", "8x", "--wavelets", "1"], 2);
}

/// A report without what may differ from run to run.
fn result(mut report: Value) -> Value {
    report["simulation"] = Value::Null;
    report
}

#[test]
fn outcomes_are_kept_and_a_damaged_one_is_found_again() {
    let folder = TempDir::new().unwrap();
    let model = file(&folder, "config.json", CONFIG);
    let cache = folder.path().join("cache");
    let small = ["--set", "wafer.width=16", "--set", "wafer.height=16", "--format", "json"];
    let start = |more: &[&str]| {
        let mut command = wafersim();
        command.env("WAFERSIM_CACHE", &cache).args(["run", word(&model), "--batch", "2"]).args(small).args(more);
        command
    };
    let done = |more: &[&str]| {
        let output = start(more).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let report = json(&String::from_utf8(output.stdout).unwrap());
        let cached = report["simulation"]["cached_programs"].as_u64().unwrap();
        (result(report), cached)
    };
    let (first, cached) = done(&["--no-cache"]);
    assert!(cached == 0 && !cache.exists(), "nothing is kept");
    // Two processes at once.
    let mut both = [start(&[]), start(&[])].map(|c| {
        let mut plain = std::process::Command::new(c.get_program());
        plain.args(c.get_args()).env("WAFERSIM_CACHE", &cache).stdout(std::process::Stdio::piped());
        plain.spawn().unwrap()
    });
    for child in &mut both {
        let mut text = String::new();
        std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut text).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(result(json(&text)), first);
    }
    let (again, programs) = done(&[]);
    assert!(again == first && programs > 10, "{programs}");
    assert_eq!(done(&["--fold", "none"]).1, 0, "another way to execute");
    for entry in std::fs::read_dir(&cache).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    }
    let (repaired, cached) = done(&[]);
    assert!(repaired == first && cached == 0, "{cached}");
    assert_eq!(done(&[]).1, programs);
    let about = |verb: &str| wafersim().env("WAFERSIM_CACHE", &cache).args(["cache", verb]).output().unwrap().stdout;
    assert!(String::from_utf8(about("show")).unwrap().contains("outcomes"));
    about("clear");
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 0);
    run(&["cache", "show"], 3);
}

#[test]
fn the_page_of_validation_is_what_the_program_says() {
    let (page, _) = run(&["validate", "--page"], 0);
    let known = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/VALIDATION.md")).unwrap();
    assert_eq!(page, known, "docs/VALIDATION.md is stale: wafersim validate --page -o docs/VALIDATION.md");
    let (out, _) = run(&["validate", "--format", "json"], 0);
    for case in json(&out).as_array().unwrap() {
        let (ours, theirs) = (case["ours"].as_u64().unwrap(), case["theirs"].as_u64().unwrap());
        match case["kind"].as_str().unwrap() {
            "vendor's simulator" => {
                let most = if case["name"].as_str().unwrap().starts_with("star stencil") { 0.08 } else { 0.01 };
                assert!(case["error"].as_f64().unwrap().abs() < most, "{case}");
            }
            // Two issue slots for a wavelet that the closed form counts once.
            _ if case["name"].as_str().unwrap().starts_with("ring") => assert!(ours < 5 * theirs / 2, "{case}"),
            // A control wavelet per PE as well.
            "closed form" if case["name"].as_str().unwrap().starts_with("star") => {
                let pes: u64 = case["name"]
                    .as_str()
                    .unwrap()
                    .split(" over ")
                    .nth(1)
                    .unwrap()
                    .split('x')
                    .next()
                    .unwrap()
                    .parse()
                    .unwrap();
                assert_eq!(ours, theirs + 7 + pes, "{case}");
            }
            // Selecting the task and setting up its instruction, which the closed forms leave out.
            _ => assert_eq!(ours, theirs + 8, "{case}"),
        }
    }
}

#[test]
fn places_of_results_are_checked_before_anything_is_executed() {
    let folder = TempDir::new().unwrap();
    let config = file(&folder, "config.json", CONFIG);
    let at = |name: &str| word(&folder.path().join(name)).to_owned();
    let [out, missing] = [at("out"), at("none/t.pftrace")];
    let words = ["run", word(&config), "--report", &out, "-o", &out, "--trace", &missing, "--plot", word(&config)];
    // A step of this size would fail later, and with another status.
    let (_, err) = run(&[&words[..], &["--batch", "2", "--cycle-limit", "1"]].concat(), 3);
    for (option, said) in [("--report", "names, too"), ("--trace", "there is no folder"), ("--plot", "is a file")] {
        assert!(
            err.lines().any(|l| l.starts_with("error[cli-write]") && l.contains(option) && l.contains(said)),
            "{err}"
        );
    }
    assert!(!folder.path().join("out").exists() && std::fs::read_to_string(&config).unwrap() == CONFIG);
}
