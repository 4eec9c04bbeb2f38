//! Looking inside a program's run: counters, profile and events, counted by hand from the rules, and what a
//! run that stops had by then.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assert_cmd::Command;
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

/// Runs it in the folder of the project, checks the exit status, and returns stdout and stderr.
fn run(arguments: &[&str], status: i32) -> (String, String) {
    let mut command = Command::cargo_bin("wafersim").unwrap();
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("WAFERSIM_CACHE", "");
    let output = command.args(arguments).output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {err}");
    (out, err)
}

fn word(path: &Path) -> &str {
    path.to_str().unwrap()
}

const HELLO: &str = "examples/hello.wafer";

/// Both PEs dispatch their task in cycles 0 and 1 and set up their instruction in 2 to 7. The sender issues in
/// cycle 8; its wavelet leaves its router in 11 and the receiver's in 12, and the receiver issues in 14.
#[test]
fn hello_is_profiled_as_counted_by_hand() {
    let (out, _) = run(&["simulate", HELLO, "--profile", "--format", "csv"], 0);
    let expected = "\
cycles,issue,set_up,wait,back_pressure,idle,image,task,line,instruction
13,1,6,6,0,0,receiver,main,18,vec mov 1: f32@0[1] <- fab c0 f32
7,1,6,0,0,0,sender,main,10,vec mov 1: fab c0 f32 <- f32@0[1]
2,0,2,0,0,0,sender,main,9,(dispatch)
2,0,2,0,0,0,receiver,main,17,(dispatch)
6,0,0,0,0,6,sender,,,(nothing to do)
30,2,16,6,0,6,,,,(all)
";
    assert_eq!(out, expected);
    let (text, _) = run(&["simulate", HELLO, "--profile"], 0);
    assert!(text.contains("13      1       6     6              0     0  receiver"), "{text}");
}

#[test]
fn hello_has_these_events_and_counters() {
    let folder = TempDir::new().unwrap();
    let [events, counters] = ["events.csv", "counters.csv"].map(|name| folder.path().join(name));
    run(&["simulate", HELLO, "--events", word(&events), "--counters", word(&counters)], 0);
    let expected = "\
cycle,x,y,thread,task,instruction,color
0,0,0,main,main,,
0,1,0,main,main,,
8,0,0,main,main,vec mov 1: fab c0 f32 <- f32@0[1],c0
11,0,0,router,,,c0
12,1,0,router,,,c0
14,1,0,main,main,vec mov 1: f32@0[1] <- fab c0 f32,c0
";
    assert_eq!(std::fs::read_to_string(&events).unwrap(), expected);
    let expected = "\
x,y,compute,wait,back_pressure,idle,finish,macs,north,east,south,west,ramp
0,0,9,0,0,6,9,0,0,1,0,0,0
1,0,9,6,0,0,15,0,0,0,0,0,1
";
    assert_eq!(std::fs::read_to_string(&counters).unwrap(), expected);
    // A part of it, and no more than so many.
    let part = ["--window", "9..13", "--region", "1..2,0..1"];
    run(&[&["simulate", HELLO, "--events", word(&events)], &part[..]].concat(), 0);
    assert!(std::fs::read_to_string(&events).unwrap().ends_with("color\n12,1,0,router,,,c0\n"));
    let (_, err) = run(&["simulate", HELLO, "--events", word(&events), "--events-limit", "2"], 0);
    assert!(err.contains("4 from cycle 8 on are left out"), "{err}");
    assert_eq!(std::fs::read_to_string(&events).unwrap().lines().count(), 3);
}

#[test]
fn counters_have_other_forms() {
    let folder = TempDir::new().unwrap();
    let [npy, parquet] = ["c.npy", "c.parquet"].map(|name| folder.path().join(name));
    run(&["simulate", HELLO, "--counters", word(&npy)], 0);
    let bytes = std::fs::read(&npy).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY"));
    let data: Vec<u64> = bytes[bytes.len() - 2 * 11 * 8..]
        .chunks_exact(8)
        .map(|number| u64::from_le_bytes(number.try_into().unwrap()))
        .collect();
    assert_eq!(data[..11], [9, 0, 0, 6, 9, 0, 0, 1, 0, 0, 0]);
    assert_eq!(data[11..], [9, 6, 0, 0, 15, 0, 0, 0, 0, 0, 1]);
    run(&["simulate", HELLO, "--counters", word(&parquet)], 0);
    assert!(std::fs::read(&parquet).unwrap().starts_with(b"PAR1"));
}

/// The rows of a profile, part by part, are the counters of the run, branches, microthreads and all.
#[test]
fn profiles_add_up_to_the_counters() {
    for (program, values) in [("halo", true), ("histogram", true), ("reduce_two_phase", false), ("cg", true)] {
        let path = format!("examples/programs/{program}.wafer");
        let options = ["--profile", "--format", "json", "-q"];
        let values = if values { &["--values"][..] } else { &[] };
        let (out, _) = run(&[&["simulate", &path], &options[..], values].concat(), 0);
        let report: Value = serde_json::from_str(&out).unwrap();
        let rows = report["profile"].as_array().unwrap();
        let sum = |key: &str| rows.iter().map(|row| row[key].as_u64().unwrap()).sum::<u64>();
        let counted = |key: &str| report["pe_cycles"][key].as_u64().unwrap();
        assert_eq!(sum("issue") + sum("set_up"), counted("compute"), "{program}");
        for key in ["wait", "back_pressure", "idle"] {
            assert_eq!(sum(key), counted(key), "{program}: {key}");
        }
        assert_eq!(sum("cycles"), ["compute", "wait", "back_pressure", "idle"].map(counted).iter().sum::<u64>());
    }
}

/// Two PEs that both receive before they send; the west one says when it began.
fn embrace() -> String {
    let text = include_str!("programs/embrace.wafer");
    let timed = text.replacen("  task", "  mem t i16[4] @8\n  task", 1);
    timed.replacen("active {\n", "active {\n    timestamp t[0]\n", 1)
}

/// The west PE dispatches in cycles 0 and 1, takes the time in 2 to 4, sets up in 5 to 10, and waits in 11, in
/// which nothing can move any more; the east one sets up in 2 to 7, and waits in 8 to 11.
#[test]
fn a_deadlock_reports_what_the_run_had() {
    let folder = TempDir::new().unwrap();
    let [path, trace, events, counters, result] =
        ["embrace.wafer", "t.pftrace", "e.csv", "c.csv", "r.json"].map(|name| folder.path().join(name));
    std::fs::write(&path, embrace()).unwrap();
    for engine in ["fast", "reference"] {
        let files = ["--trace", word(&trace), "--events", word(&events), "--counters", word(&counters)];
        let more = ["--engine", engine, "--profile", "--values", "-o", word(&result)];
        let (out, err) = run(&[&["simulate", word(&path)], &files[..], &more[..]].concat(), 4);
        assert!(out.is_empty() && err.contains("run-deadlock") && err.contains("wait for each other"), "{err}");
        let report: Value = serde_json::from_slice(&std::fs::read(&result).unwrap()).unwrap();
        assert!(report["stopped"].as_str().unwrap().starts_with("deadlock at cycle 11"), "{report}");
        assert_eq!(report["cycles"], 12);
        assert_eq!(report["values"]["buffers"][1]["values"][0], 4.0, "the last cycle of the timestamp");
        let row = |line: &str| {
            let rows = report["profile"].as_array().unwrap();
            let row = rows.iter().find(|row| row["line"] == line).unwrap();
            ["issue", "set_up", "wait"].map(|key| row[key].as_u64().unwrap())
        };
        assert_eq!((row("8"), row("9"), row("10")), ([0, 2, 0], [3, 0, 0], [0, 6, 1]));
        assert_eq!(row("19"), [0, 6, 4]);
        let counters = std::fs::read_to_string(&counters).unwrap();
        assert!(counters.contains("\n0,0,11,1,0,0,12,") && counters.contains("\n1,0,8,4,0,0,12,"), "{counters}");
        assert!(std::fs::metadata(&trace).unwrap().len() > 100);
        assert!(std::fs::read_to_string(&events).unwrap().contains("4,0,0,main,main,timestamp 8,"));
    }
}

#[test]
fn a_run_at_its_limit_reports_what_it_had() {
    let (out, err) = run(&["simulate", HELLO, "--cycle-limit", "5", "--finish", "--format", "json"], 5);
    assert!(err.contains("limit of 5 cycles"), "{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["stopped"], "the run was stopped at its limit of 5 cycles");
    assert_eq!((&report["cycles"], &report["pe_cycles"]["compute"]), (&5.into(), &10.into()));
    // Without anything asked for, there is only the message.
    assert!(run(&["simulate", HELLO, "--cycle-limit", "5"], 5).0.is_empty());
}
