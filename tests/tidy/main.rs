//! Rules of the house that no linter knows: which crate may use which, and what a file looks like.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod documents;
mod habits;
mod imports;
mod workspace;

use sim_core::arch;
use std::collections::BTreeSet;
use workspace::{crates, root, sources};

/// What each crate of the workspace may depend on, of the workspace.
const ALLOWED: [(&str, &[&str]); 9] = [
    ("sim-core", &[]),
    ("models", &["sim-core"]),
    ("compiler", &["sim-core", "models"]),
    ("fabric", &["sim-core"]),
    ("cluster", &["sim-core"]),
    ("runner", &["sim-core", "models", "compiler", "fabric", "cluster"]),
    ("report", &["sim-core", "models", "compiler", "fabric", "cluster", "runner"]),
    ("published", &["sim-core", "models", "compiler", "fabric", "cluster", "runner", "report"]),
    ("wafersim", &["sim-core", "models", "compiler", "fabric", "cluster", "runner", "report", "published"]),
];
const LINES_MAX: usize = 500;

#[test]
fn crates_depend_in_one_direction() {
    let crates = crates();
    let names: BTreeSet<&String> = crates.keys().collect();
    assert_eq!(names, ALLOWED.iter().map(|a| a.0.to_owned()).collect::<BTreeSet<_>>().iter().collect());
    for (name, allowed) in ALLOWED {
        let sections = ["dependencies", "build-dependencies"];
        let used = sections.iter().filter_map(|s| crates[name].get(*s)).flat_map(|t| t.as_table().unwrap().keys());
        for dependency in used.filter(|d| names.contains(d)) {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn every_version_is_in_the_root() {
    for (name, manifest) in crates() {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (dependency, how) in manifest.get(section).into_iter().flat_map(|t| t.as_table().unwrap()) {
                assert!(how.get("workspace").is_some(), "{name}: {dependency} has a version of its own");
            }
        }
    }
}

#[test]
fn only_the_codec_names_bincode() {
    let codec = root().join("sim-core/src/codec.rs");
    for (path, text) in sources() {
        let own = path == codec || path.ends_with("tests/tidy/main.rs");
        assert!(own || !text.contains("bincode::"), "{}: bincode belongs to {}", path.display(), codec.display());
    }
}

#[test]
fn every_file_says_what_it_is_and_is_short() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        if !text.starts_with("//!") {
            faults.push(format!("{} does not open with `//!`", path.display()));
        }
        if text.lines().count() > LINES_MAX {
            faults.push(format!("{} has {} lines; at most {LINES_MAX}", path.display(), text.lines().count()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nothing_is_postponed_or_skipped() {
    // Put together, so that this file does not name them.
    let banned = [["#[ign", "ore"], ["to", "do!("], ["unimpl", "emented!("], ["db", "g!("]].map(|w| w.concat());
    for (path, text) in sources() {
        for word in &banned {
            assert!(!text.contains(word.as_str()), "{} contains {word}", path.display());
        }
    }
}

#[test]
fn every_number_of_a_preset_has_a_source() {
    for name in arch::PRESETS {
        let machine = arch::preset(name).unwrap();
        assert!(machine.validate().is_empty(), "{name}: {:?}", machine.validate());
        for entry in machine.entries() {
            assert!(entry.source.len() >= 8, "{name}: {} has the source `{}`", entry.key, entry.source);
        }
    }
    for preset in models::presets::list() {
        assert!(preset.source.len() >= 8, "{}", preset.shape.name);
    }
}

#[test]
fn codes_are_explained_once() {
    let all = [wafersim::fail::CODES, runner::diagnostic::CODES, report::diagnostic::CODES, models::diagnostic::CODES];
    let mut codes: Vec<&str> = all.iter().flat_map(|codes| codes.iter()).map(|c| c.0).collect();
    let all = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), all);
    for (path, text) in sources() {
        for (at, _) in text.match_indices("Diagnostic::new(\"") {
            let code = text[at..].split('"').nth(1).unwrap();
            let explained = wafersim::fail::explain(code).is_some() || sim_core::diag::explain(code).is_some();
            assert!(explained, "{}: {code} is not explained", path.display());
        }
    }
}

/// Every rule of the machine model says where it comes from and names tests that exist.
#[test]
fn every_rule_of_the_model_has_a_source_and_a_test() {
    let model = std::fs::read_to_string(root().join("docs/MODEL.md")).unwrap();
    let mut code = String::new();
    for (_, text) in sources() {
        code += &text;
    }
    let rules: Vec<&str> = model.split("\n**").skip(1).map(|r| r.split("\n## ").next().unwrap()).collect();
    assert!(rules.len() > 30, "{} rules", rules.len());
    for rule in rules {
        let name = rule.split(['.', '*']).next().unwrap();
        let (statement, tests) = rule.split_once("*Test: ").unwrap_or_else(|| panic!("{name} has no test"));
        let kinds = ["ocument", "ssumed", "erived", "vendor simulator", "Definition", "esign choice", "Source:"];
        let source = statement.trim_end().rsplit_once(" *").map_or("", |s| s.1);
        assert!(kinds.iter().any(|k| source.contains(k)), "{name} has no source: {source:?}");
        for test in tests.split('`').skip(1).step_by(2) {
            assert!(code.contains(&format!("fn {test}(")), "{name}: there is no test {test}");
        }
    }
}
