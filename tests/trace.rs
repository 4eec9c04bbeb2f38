//! Traces: what they show, where they are refused, and that they are the same every time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assert_cmd::Command;
use fst_reader::{FstFilter, FstHierarchyEntry, FstReader, FstSignalValue};
use report::encoding::perfetto::step::packets;
use std::collections::BTreeMap;
use std::path::Path;
use tempfile::TempDir;

/// Runs it in the folder of the project, checks the exit status, and returns stderr.
fn run(arguments: &[&str], status: i32) -> String {
    let mut command = Command::cargo_bin("wafersim").unwrap();
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("WAFERSIM_CACHE", "");
    let output = command.args(arguments).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {err}");
    err
}

const CHAIN: [&str; 8] = ["collective", "reduce", "--algorithm", "chain", "--pes", "8x1", "--wavelets", "64"];

/// Traces the chain, and gives the file.
fn traced(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let path = folder.join("t.pftrace");
    run(&[&CHAIN[..], &["--trace", path.to_str().unwrap()], arguments].concat(), 0);
    std::fs::read(path).unwrap()
}

#[test]
fn a_trace_is_the_same_every_time_and_only_of_its_part() {
    let folder = TempDir::new().unwrap();
    let whole = traced(folder.path(), &[]);
    assert_eq!(traced(folder.path(), &["--threads", "1"]), whole);
    assert_eq!(traced(folder.path(), &["--window", "0..1000000", "--region", "0..8,0..1"]), whole);
    let number = |bytes: &[u8]| packets(bytes).unwrap();
    let two = number(&traced(folder.path(), &["--region", "2..4,0..9"]));
    let one = number(&traced(folder.path(), &["--region", "2..3,0..1"]));
    let short = number(&traced(folder.path(), &["--window", "20..40"]));
    assert!(one < two && two < number(&whole), "{one} {two}");
    assert!(8 < short && short < number(&whole), "{short}");
    assert_eq!(packets(b"no trace"), None);
    let text = String::from_utf8_lossy(&whole).into_owned();
    for name in ["wafer: chain reduce (1 ns is 1 cycle)", "PE (0,0)", "main thread", "router", "compute", "wait: "] {
        assert!(text.contains(name), "{name}");
    }
}

#[test]
fn large_traces_are_refused_unless_forced() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.pftrace");
    let path = path.to_str().unwrap();
    let large = ["collective", "broadcast", "--pes", "750x994", "--wavelets", "100", "--trace", path];
    let err = run(&large, 5);
    assert!(err.contains("cli-trace") && err.contains("--region"), "{err}");
    assert!(!Path::new(path).exists());
    // Refused while it runs, not behind its end: unfolded, all of it would take years.
    let program = folder.path().join("long.wafer");
    let nest = "loop 100000 {\nloop 100000 {\nloop 100000 {\nvec mov 1: f32@0[1] <- #0\n}\n}\n}\n";
    let text = format!(
        "program long\ngrid 2x2\nimage a {{\nmem x f32[1] @0\ntask main local active {{\n{nest}}}\n}}\nplace a x=0..2 y=0..2\n"
    );
    std::fs::write(&program, text).unwrap();
    let long = ["simulate", program.to_str().unwrap(), "--fold", "none", "--trace", path];
    let err = run(&long, 5);
    assert!(err.contains("takes more than 1677721 cycles"), "{err}");
    let err = run(&[&long[..], &["--region", "0..2,1..2", "--window", "9..9999999"]].concat(), 5);
    assert!(err.contains("takes more than 3355452 cycles"), "{err}");
    let many = ["collective", "broadcast", "--pes", "10x10", "--wavelets", "2", "--wave", path];
    run(&many, 5);
    run(&[&many[..], &["--force"]].concat(), 0);
    run(&[&CHAIN[..], &["--trace", path, "--region", "800..900,0..1"]].concat(), 3);
    run(&[&CHAIN[..], &["--trace", path, "--window", "1000000..1000001"]].concat(), 3);
    for wrong in ["9..3", "x", "1,2"] {
        run(&[&CHAIN[..], &["--trace", path, "--window", wrong]].concat(), 2);
    }
}

/// Names of the signals, and their changes.
fn waveforms(path: &Path) -> BTreeMap<String, Vec<(u64, u64)>> {
    let mut reader = FstReader::open(std::io::BufReader::new(std::fs::File::open(path).unwrap())).unwrap();
    let (mut scope, mut names) = (Vec::new(), BTreeMap::new());
    reader
        .read_hierarchy(|entry| match entry {
            FstHierarchyEntry::Scope { name, .. } => scope.push(name),
            FstHierarchyEntry::UpScope => drop(scope.pop()),
            FstHierarchyEntry::Var { name, handle, .. } => {
                names.insert(handle.get_index(), format!("{}.{name}", scope.join(".")));
            }
            _ => {}
        })
        .unwrap();
    let mut changes: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    reader
        .read_signals(&FstFilter::all(), |time, handle, value| {
            if let FstSignalValue::String(bits) = value
                // Unknown until it is seen first.
                && let Ok(value) = u64::from_str_radix(std::str::from_utf8(bits).unwrap(), 2)
            {
                changes.entry(names[&handle.get_index()].clone()).or_default().push((time, value));
            }
            Ok::<(), std::convert::Infallible>(())
        })
        .unwrap();
    changes
}

/// `hello.wafer`: the wavelet that is sent is in the waveforms where the rules have it.
#[test]
fn waveforms_show_the_wavelet_on_its_way() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("hello.fst");
    let words = ["simulate", "examples/hello.wafer", "--wave", path.to_str().unwrap()];
    run(&words, 0);
    let waves = waveforms(&path);
    let rises = |name: &str| -> Vec<u64> {
        waves[name].windows(2).filter(|w| w[0].1 == 0 && w[1].1 == 1).map(|w| w[1].0).collect()
    };
    let (leaves, crosses) = (rises("wafer.pe_0_0.router"), rises("wafer.pe_1_0.router"));
    assert_eq!((leaves.len(), crosses.len()), (1, 1));
    // One hop between the routers; then the ramp down into the queue, where it can be seen a cycle later.
    assert_eq!(crosses[0], leaves[0] + 1);
    assert_eq!(rises("wafer.pe_1_0.in_q0_c0"), [crosses[0] + 1]);
    assert!(rises("wafer.pe_0_0.out_q0_c0")[0] < leaves[0]);
    let first = std::fs::read(&path).unwrap();
    run(&words, 0);
    assert_eq!(std::fs::read(&path).unwrap(), first, "the same bytes again");
}
