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

/// What the page of examples says that one prints.
fn shown(output: &str) -> bool {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/EXAMPLES.md")).unwrap();
    page.contains(&format!("```text\n{output}```"))
}

#[test]
fn the_page_of_examples_shows_what_they_print() {
    for name in ["hello_wavelet", "gemv", "gpt_block", "values"] {
        let output = example(name);
        assert!(shown(&output), "docs/EXAMPLES.md does not show what {name} prints:\n{output}");
    }
}

/// A caller of the library needs few lines, and nothing of the command line.
#[test]
fn a_model_is_run_by_the_library_alone() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/run_model.rs");
    let source = std::fs::read_to_string(path).unwrap();
    assert!(source.lines().count() <= 25 && !source.contains("wafersim::"));
    let output = example("run_model");
    for line in ["tiny: ", "memory: ", "slowest kernel: "] {
        assert!(output.lines().any(|l| l.starts_with(line)), "{output}");
    }
}

#[test]
fn the_readme_shows_the_first_program() {
    let read =
        |name: &str| std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    assert!(read("README.md").contains(read("examples/hello.wafer").trim_end()));
}

/// Three vectors (1, 2) arrive one after the other: the first beat of the root is in 14, the last of
/// six wavelets with two control wavelets between them in 21.
#[test]
fn the_star_adds_three_vectors() {
    use fabric::{EngineKind, HostStreams, RunOptions, Values, WaferMemory};
    use sim_core::{arch::cs2::cs2, program};
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/star.wafer")).unwrap();
    let star = program::parse(&text, "star.wafer").unwrap();
    let arch = cs2();
    assert!(program::verify(&star, &arch).is_empty());
    for engine in [EngineKind::Reference, EngineKind::Fast] {
        let mut memory = WaferMemory::new(star.grid(), arch.pe.sram.value);
        let mut outputs = HostStreams::default();
        let mut values = Values { memory: &mut memory, inputs: &HostStreams::default(), outputs: &mut outputs };
        let options = RunOptions { engine, ..RunOptions::default() };
        let outcome = fabric::run(&star, &arch, &options, Some(&mut values)).unwrap();
        assert_eq!(outcome.cycles.0, 22);
        let sum = |at: usize| f32::from_le_bytes(memory.pes[3][at..at + 4].try_into().unwrap());
        assert_eq!((sum(0), sum(4)), (3.0, 6.0));
    }
}

/// A program without any regularity is executed in full, in every place and cycle, and says so.
#[test]
fn what_does_not_repeat_is_not_folded() {
    use fabric::{EngineKind, RunOptions, fold};
    use sim_core::{arch::cs2::cs2, program};
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/aperiodic.wafer")).unwrap();
    let program = program::parse(&text, "aperiodic.wafer").unwrap();
    let arch = cs2();
    assert!(program::verify(&program, &arch).is_empty());
    let outcome = fabric::run(&program, &arch, &RunOptions::default(), None).unwrap();
    let plain = RunOptions { engine: EngineKind::Reference, ..RunOptions::default() };
    assert_eq!(outcome.cycles, fabric::run(&program, &arch, &plain, None).unwrap().cycles);
    assert_eq!(outcome.stepped_pe_cycles, outcome.pe_cycles.total(), "every cycle of every PE was stepped");
    assert_eq!(outcome.folds.iter().map(|f| f.kind.as_str()).collect::<Vec<_>>(), [fold::NONE]);
    assert!(outcome.folds[0].text.starts_with("nothing was folded: no rows and no columns repeat"));
    let mut wafersim = Command::cargo_bin("wafersim").unwrap();
    wafersim.args(["simulate", concat!(env!("CARGO_MANIFEST_DIR"), "/examples/aperiodic.wafer")]);
    let text = String::from_utf8(wafersim.assert().success().get_output().stdout.clone()).unwrap();
    assert!(text.contains("\n  nothing was folded: no rows"), "{text}");
}
