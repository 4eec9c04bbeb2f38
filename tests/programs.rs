//! Programs on the command line: what the language refuses, warns of, computes and expects, and how texts
//! are laid out. The programs are in `tests/programs`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assert_cmd::Command;
use std::path::Path;

/// Runs it in the folder of the programs, checks the exit status, and returns stdout and stderr.
fn run(arguments: &[&str], status: i32) -> (String, String) {
    let mut command = Command::cargo_bin("wafersim").unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    let output = command.current_dir(folder).env("WAFERSIM_CACHE", "").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{out}\n{err}");
    assert!(!err.contains("panicked"), "{err}");
    (out, err)
}

#[test]
fn a_second_program_or_grid_is_refused() {
    let (_, err) = run(&["simulate", "two_heads.wafer"], 3);
    assert!(err.contains("error[P010] two_heads.wafer:3:1: a second `program` line"), "{err}");
    assert!(err.contains("error[P010] two_heads.wafer:5:1: a second `grid` line; the grid is 2x1"), "{err}");
    assert!(err.contains("5 | grid 8x1\n    | ^^^^"), "{err}");
}

#[test]
fn what_does_nothing_is_warned_of() {
    let (_, err) = run(&["simulate", "idle.wafer"], 0);
    for code in ["W002] idle.wafer:4:1", "W003] idle.wafer:10:3", "W004] idle.wafer:3:1"] {
        assert!(err.contains(&format!("warning[{code}")), "{code}: {err}");
    }
    let (_, err) = run(&["verify", "shared_bytes.wafer"], 0);
    assert!(err.contains("warning[W001] shared_bytes.wafer:6:3: `a` and `a` share bytes 8 to 15"), "{err}");
    assert!(err.contains("warning[W001] shared_bytes.wafer:14:3: `c` and `b` share bytes 8 to 15"), "{err}");
}

#[test]
fn a_stream_without_an_end_is_refused_where_it_stands() {
    let (_, err) = run(&["simulate", "long_stream.wafer"], 3);
    assert!(
        err.contains("error[R022] long_stream.wafer:12:1: edge stream `w`: 18446744073709551615 wavelets"),
        "{err}"
    );
    assert!(err.contains("  help: "), "{err}");
}

#[test]
fn x_is_the_column() {
    run(&["simulate", "columns.wafer", "--values"], 0);
    run(&["simulate", "../../examples/ring.wafer", "--values", "--param", "P=6", "--param", "n=3"], 0);
}

/// Programs that somebody wrote with nothing but `docs/PROGRAMS.md`, for any size.
#[test]
fn programs_from_scratch_compute_what_they_expect() {
    let sizes: [(&str, &[&[&str]]); 3] = [
        ("ring_gather.wafer", &[&["P=2"], &["P=6"], &["P=7", "n=3"]]),
        ("five_points.wafer", &[&["px=1", "py=1"], &["px=2", "py=1"], &["px=5", "py=4", "tx=3", "ty=7"]]),
        ("bins.wafer", &[&["P=1"], &["P=2", "bins=64"], &["P=5", "n=100"]]),
    ];
    for (program, sizes) in sizes {
        for size in sizes {
            let params = size.iter().flat_map(|param| ["--param", param]);
            let (_, err) =
                run(&["simulate", program, "--values=@0,0"].into_iter().chain(params).collect::<Vec<_>>(), 0);
            assert!(err.is_empty(), "{program} {size:?}: {err}");
        }
    }
}

#[test]
fn one_buffer_can_be_listed() {
    let ring = "../../examples/ring.wafer";
    let (out, err) = run(&["simulate", ring, "--param", "P=4", "--values=all@3,0"], 0);
    let listed: Vec<&str> = out.lines().map(str::trim_start).filter(|l| l.starts_with("PE (")).collect();
    assert_eq!(listed.len(), 1, "{out}");
    assert!(listed[0].starts_with("PE (3, 0) all = [0.0, 1.0"), "{out}");
    assert!(err.is_empty(), "{err}");
    let (out, _) = run(&["simulate", ring, "--param", "P=4", "--values=all", "--format", "json"], 0);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["values"]["buffers"].as_array().unwrap().len(), 4);
    assert!(report["command"].to_string().contains("--values=all"), "{}", report["command"]);
    let (_, err) = run(&["simulate", ring, "--values=al"], 2);
    assert!(err.contains("the program has no buffer `al`\n  help: did you mean `all`?"), "{err}");
    let (_, err) = run(&["simulate", ring, "--values=all@99,0"], 2);
    assert!(err.contains("no image is placed on PE (99,0)"), "{err}");
    let (_, err) = run(&["simulate", ring, "--values=all@99"], 2);
    assert!(err.contains("column and row of a PE are written as in `v@2,0`"), "{err}");
    let (_, err) = run(&["simulate", ring], 0);
    assert!(err.contains("1 expectation of values is not checked; --values checks it"), "{err}");
}

#[test]
fn streams_have_values() {
    run(&["simulate", "edge_stream.wafer", "--values"], 0);
}

#[test]
fn files_make_a_program() {
    let (_, err) = run(&["simulate", "whole.wafer"], 0);
    assert!(err.contains("1 expectation of values is not checked; --values checks it"), "{err}");
    let (out, err) = run(&["simulate", "whole.wafer", "--values", "--param", "width=2"], 0);
    assert!(out.contains("PE (1, 0) v = [2.0, 3.0, 4.0]") && err.is_empty(), "{out}{err}");
    let (_, err) = run(&["simulate", "whole.wafer", "--param", "widht=2"], 3);
    assert!(err.contains("no parameter `widht`\n  help: did you mean `width`?"), "{err}");
}

#[test]
fn an_expectation_that_is_not_met_fails_behind_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.wafer");
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello.wafer")).unwrap();
    std::fs::write(&path, text + "expect word x=1 y=0 == 41\nexpect cycles == 16\n").unwrap();
    let (out, err) = run(&["simulate", path.to_str().unwrap(), "--values"], 4);
    assert!(out.contains("PE (1, 0) word = [42.0]"), "{out}");
    assert!(
        err.contains("`word`: 1 of 1 numbers are not as expected\n    PE (1,0): element 0 is 42, expected 41"),
        "{err}"
    );
}

#[test]
fn a_mistake_is_reported_once_and_verified_parts_have_places() {
    let (_, err) = run(&["verify", "one_line.wafer"], 3);
    assert!(err.contains("one_line.wafer:6:41: expected vec,") && err.contains("did you mean `activate`?"), "{err}");
    assert!(err.contains("one_line.wafer:6:64: there is no task `nxt` in this image"), "{err}");
    assert!(err.ends_with("2 faults\n"), "{err}");
}

#[test]
fn programs_are_laid_out_and_expanded() {
    let (out, _) = run(&["fmt", "--expand", "whole.wafer", "--param", "width=2"], 0);
    assert!(out.contains("place p x=0..2 y=0\n") && out.contains("  mem v f32[3] @0\n"), "{out}");
    assert!(out.contains("vec add 3: f32@0[3] <- f32@0[3], #1"), "{out}");
    run(&["fmt", "--check", "whole.wafer", "parts.wafer", "columns.wafer", "../../examples/ring.wafer"], 0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ragged.wafer");
    std::fs::write(&path, "program  ragged\ngrid 1x1\n").unwrap();
    let (_, err) = run(&["fmt", "--check", path.to_str().unwrap()], 3);
    assert!(err.contains("ragged.wafer:1: is laid out differently"), "{err}");
    run(&["fmt", "--write", path.to_str().unwrap()], 0);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "program ragged\ngrid 1x1\n");
}

/// Words that the editors' grammar colors.
#[test]
fn the_grammar_of_editors_knows_the_words() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("editors/vscode/syntaxes/wafer.tmLanguage.json");
    let text = std::fs::read_to_string(path).unwrap();
    let grammar: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(grammar["scopeName"], "source.wafer");
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PROGRAMS.md")).unwrap();
    let statements =
        page.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|l| l.split(['`', ' ', ',']).next());
    let words: Vec<&str> = statements.filter(|w| w.len() > 1 && w.chars().all(|c| c.is_ascii_lowercase())).collect();
    assert!(words.len() > 20, "{words:?}");
    for word in words {
        let known = text.split(|c: char| !c.is_ascii_alphanumeric()).any(|w| w == word);
        assert!(known, "`{word}` is in docs/PROGRAMS.md and not in the grammar");
    }
}

/// A program of `examples/programs`, as seen from the folder of the programs.
fn of_library(name: &str) -> String {
    format!("../../examples/programs/{name}.wafer")
}

/// `--param A=1 --param B=2` for `A=1 B=2`.
fn parameters(text: &str) -> Vec<&str> {
    text.split_whitespace().flat_map(|parameter| ["--param", parameter]).collect()
}

#[test]
fn the_library_computes_what_it_expects() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/programs");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "wafer"));
    paths.sort();
    assert!(paths.len() >= 12, "{paths:?}");
    for path in paths {
        run(&["simulate", path.to_str().unwrap(), "--values", "-q"], 0);
    }
}

#[test]
fn the_library_takes_other_sizes() {
    let sizes = [
        ("stencil", "px=1 py=1 r=2"),
        ("stencil", "px=2 py=1 tx=9 r=2"),
        ("stencil", "px=9 py=7 tx=3 ty=4 iters=3"),
        ("stencil", "px=3 py=3 tx=14 ty=9 r=4 iters=2"),
        ("halo", "px=1 py=1"),
        ("halo", "px=2 py=3 tx=4 r=3"),
        ("allgather", "P=2 n=1"),
        ("allgather", "P=9 n=5"),
        ("histogram", "P=2 bins=3"),
        ("cg", "px=2 py=2"),
        ("cg", "px=7 py=6 tx=3 ty=1"),
        ("reduce_plain", "P=3 B=5"),
        ("gemv", "P=3 M=6 N=6 groups=1"),
        ("gemv", "P=12 M=24 N=24 groups=3"),
        ("gemv", "P=16 groups=16"),
        ("spmm", "rows=5 cols=12 q=3 m=1"),
        ("spmm", "m=132 q=2"),
        ("fft1d", "n=4"),
        ("fft1d", "n=512"),
        ("fft3d", "n=4"),
        ("fft3d", "n=8"),
    ];
    for (name, size) in sizes {
        let path = of_library(name);
        let mut arguments = vec!["simulate", &path, "--values", "-q"];
        arguments.extend(parameters(size));
        run(&arguments, 0);
    }
}

/// B + 6 (P-1) + 56, and 2 B + 6 (S-1) + (k-2) (S+5) + 77 with k = P/S (vendor simulator).
#[test]
fn reductions_take_what_is_published() {
    let chain = |p: u64, b: u64| b + 6 * (p - 1) + 56;
    let two_phase = |p: u64, b: u64, s: u64| 2 * b + 6 * (s - 1) + (p / s - 2) * (s + 5) + 77;
    let sizes = [
        ("reduce_chain", "P=512 B=4096", chain(512, 4096)),
        ("reduce_chain", "P=16 B=64", chain(16, 64)),
        ("reduce_two_phase", "P=512 B=4096 S=8", two_phase(512, 4096, 8)),
        ("reduce_two_phase", "P=512 B=4096 S=64", two_phase(512, 4096, 64)),
        ("reduce_two_phase", "P=16 B=64 S=4", two_phase(16, 64, 4)),
    ];
    for (name, size, published) in sizes {
        let path = of_library(name);
        let mut arguments = vec!["simulate", &path, "--values", "-q", "--format", "json"];
        arguments.extend(parameters(size));
        let report: serde_json::Value = serde_json::from_str(&run(&arguments, 0).0).unwrap();
        let cycles = report["cycles"].as_u64().unwrap();
        assert!(cycles.abs_diff(published) * 100 <= published, "{name} {size}: {cycles} cycles, published {published}");
    }
}

#[test]
fn programs_of_the_tutorial_are_right() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PROGRAMS.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutorial.wafer");
    let texts = page.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next());
    let programs: Vec<&str> = texts.filter(|text| text.starts_with("program ")).collect();
    assert!(programs.len() >= 5, "{}", programs.len());
    for text in programs {
        std::fs::write(&path, text).unwrap();
        run(&["simulate", path.to_str().unwrap(), "--values", "-q"], 0);
    }
}
