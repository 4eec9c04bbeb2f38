//! Habits of code: no key made of `Debug` text, and assertions where invariants protect.

use crate::workspace::{macros, modules};

/// Crates in which invariants are asserted, and how many assertions a thousand lines have at least.
const ASSERTED: [(&str, usize); 2] = [("fabric", 4), ("compiler", 4)];

/// Macros that make texts.
const FORMATTING: [&str; 5] = ["format", "write", "writeln", "format_args", "println"];

/// Texts for people in which `Debug` is the right form, and nothing is found again by them: a string
/// between quotes, a number with all of its digits, two counters that differ, a kind in a listing.
const SHOWN: [(&str, &str); 10] = [
    ("models/src/graph/mod.rs", "{:<15} {:?}({inputs}"),
    ("report/src/encoding/text/simulate.rs", "  PE ({}, {}) {} = {:?}"),
    ("runner/src/verify_fold.rs", "PE {i}: {a:?} instead of {b:?}"),
    ("runner/src/verify_fold.rs", "PE-cycles: {:?} instead of {:?}"),
    ("runner/src/verify_fold.rs", "{diagnostics:?}"),
    ("sim-core/src/program/parse/cursor.rs", "{s:?}"),
    ("sim-core/src/program/parse/place.rs", "there are {count} images with the name {:?}"),
    ("sim-core/src/program/parse/value.rs", "{v:?}"),
    ("sim-core/src/program/text.rs", "{value:?}"),
    ("src/cli/diff.rs", "is not a report of this version: its schema is {other:?}, not {RUN_SCHEMA:?}"),
];

/// `Debug` text is for people who look for a mistake: it changes with names, it can be written by
/// hand, and two values that differ may have the same. So nothing is compared, hashed, stored or
/// printed by it; only messages of failed assertions have it.
#[test]
fn debug_text_is_no_key() {
    let mut faults = Vec::new();
    for module in modules() {
        for called in macros(&module.syntax) {
            let literal = called.tokens.split('"').nth(1).unwrap_or_default();
            let shown = SHOWN.iter().any(|(file, text)| module.place() == *file && literal == *text);
            if !shown
                && FORMATTING.contains(&called.name.as_str())
                && (literal.contains(":?}") || literal.contains(":#?}"))
            {
                faults.push(format!("{}: {}!({literal:?}, …)", module.place(), called.name));
            }
        }
    }
    assert!(faults.is_empty(), "give the type a `Display`, or a typed key:\n{}", faults.join("\n"));
}

#[test]
fn invariants_are_asserted() {
    const ASSERTIONS: [&str; 7] =
        ["assert", "assert_eq", "assert_ne", "debug_assert", "debug_assert_eq", "debug_assert_ne", "unreachable"];
    let modules = modules();
    for (krate, least) in ASSERTED {
        let own = || modules.iter().filter(|m| m.krate == krate);
        let lines: usize = own().map(|m| code_lines(&m.text)).sum();
        let assertions: usize =
            own().map(|m| macros(&m.syntax).iter().filter(|c| ASSERTIONS.contains(&c.name.as_str())).count()).sum();
        println!("{krate}: {assertions} assertions in {lines} lines");
        assert!(assertions * 1000 >= least * lines, "{krate}: {assertions} assertions in {lines} lines of code");
    }
}

/// Lines up to the tests at the end of a file.
fn code_lines(text: &str) -> usize {
    text.lines().take_while(|line| *line != "#[cfg(test)]").count()
}
