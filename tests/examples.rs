//! Builds and runs every example: what the README and the docs show is what they print.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assert_cmd::Command;

fn example(name: &str) -> String {
    // target/<profile>/deps/examples-…: examples are built beside deps.
    let profile = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_path_buf();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--example", name, "--target-dir"]).arg(profile.parent().unwrap());
    if profile.ends_with("release") {
        build.arg("--release");
    }
    build.current_dir(env!("CARGO_MANIFEST_DIR")).assert().success();
    let output = Command::new(profile.join("examples").join(name)).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{name}: {}\n{text}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn hello_wavelet() {
    let want = "cycle 12: a wavelet of c0 leaves the router of PE (0,0)
cycle 13: a wavelet of c0 leaves the router of PE (1,0)
after 16 cycles the west PE holds 42 and the east PE 42
PE-cycles: 20 compute, 6 wait, 0 back-pressure, 6 idle
";
    assert_eq!(example("hello_wavelet"), want);
}

#[test]
fn gemv() {
    let text = example("gemv");
    assert!(text.ends_with("largest error against ndarray: 0e0\n"), "{text}");
}

#[test]
fn gpt_block() {
    let want = "kernel           cycles  wavelet-hops    MACs
norm ln_1           493           544     512
gemm qkv           1068         10752   12288
attention          1279          5120    4864
gemm proj           405          3616    4096
add                  13             0       0
norm ln_2           493           544     512
gemm ffn_up        1399         14320   16384
gelu               1363             0    5120
gemm ffn_down      1161          4840   16384
add                  13             0       0
";
    assert_eq!(example("gpt_block"), want);
}
