//! Presets, keys, files: every mistake gives a diagnostic with its code and place.

use super::cs1::cs1;
use super::cs2::{andromeda16, cs2, teaching};
use super::cs3::cs3;
use super::*;
use crate::diag::Diagnostic;
use proptest::prelude::*;

fn show(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(|d| format!("{} {} {} | {}", d.code, d.at, d.message, d.help)).collect()
}

#[test]
fn presets_are_in_range_and_differ_where_they_say() {
    for name in PRESETS {
        let arch = preset(name).unwrap();
        assert_eq!(arch.name, name);
        assert_eq!(arch.validate(), []);
    }
    assert!(preset("cs9").is_none());
    let changed = |other: &ArchSpec| -> Vec<String> {
        let pairs = cs2().entries().into_iter().zip(other.entries());
        pairs.filter(|(a, b)| a.value != b.value).map(|(_, b)| format!("{}={}", b.key, b.value)).collect()
    };
    assert_eq!(changed(&andromeda16()), ["cluster.systems=16"]);
    assert_eq!(changed(&teaching()), ["wafer.width=8", "wafer.height=8"]);
    assert_eq!(changed(&cs1()), ["wafer.width=602", "wafer.height=595", "system.power=20000"]);
    let wse3 = changed(&cs3());
    assert!(wse3.contains(&"router.hop=2".to_owned()) && wse3.contains(&"wafer.height=1170".to_owned()), "{wse3:?}");
}

#[test]
fn every_field_has_one_key() {
    let fields = format!("{:#?}", cs2()).lines().filter(|l| l.ends_with(": Sourced {")).count();
    let mut keys: Vec<String> = cs2().entries().into_iter().map(|e| e.key).collect();
    assert_eq!(keys.len(), fields);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), fields);
}

#[test]
fn what_entries_show_can_be_set() {
    let mut arch = teaching();
    for e in cs2().entries() {
        arch.set(&format!("{}={}", e.key, e.value), "--set").unwrap();
    }
    assert_eq!(arch.hash(), cs2().hash());
    assert_ne!(arch.hash(), teaching().hash());
    assert_eq!(arch.pe.sram.source, Source::User("--set pe.sram=48KiB".into()));
}

#[test]
fn assumed_numbers_are_listed_until_they_are_set() {
    let mut arch = cs2();
    let listed = |arch: &ArchSpec| arch.assumed().iter().any(|(key, ..)| key == "router.buffer");
    assert!(listed(&arch));
    arch.set("router.buffer = 8", "--set").unwrap();
    assert!(!listed(&arch) && arch.router.buffer.value == 8);
}

#[test]
fn a001_no_such_key() {
    let mut arch = cs2();
    let diagnostic = |arch: &mut ArchSpec, text: &str| show(&[arch.set(text, "--set").unwrap_err()]).remove(0);
    let near = "A001 --set there is no key `pe.srma` | did you mean `pe.sram`?";
    assert_eq!(diagnostic(&mut arch, "pe.srma=64KiB"), near);
    let tail = "A001 --set there is no key `sram` | did you mean `pe.sram`?";
    assert_eq!(diagnostic(&mut arch, "sram=64KiB"), tail);
    assert!(diagnostic(&mut arch, "something=1").contains("known are wafer.clock, "));
    assert_eq!(arch, cs2());
}

#[test]
fn a002_value_of_a_key() {
    let mut arch = cs2();
    for bad in
        ["pe.sram=64", "pe.sram", "pe.sram=", "wafer.clock=850", "router.hop=1.5", "pe.width_add=4", "pe.sram=8GiB"]
    {
        assert_eq!(arch.set(bad, "--set").unwrap_err().code, "A002", "{bad}");
    }
    assert_eq!(arch, cs2());
}

#[test]
fn a003_value_out_of_range() {
    let mut arch = cs2();
    for change in ["pe.width_add=3,16,0", "wafer.width=4194304", "pe.stack=48KiB", "router.hop=0", "pe.sram=1B"] {
        arch.set(change, "--set").unwrap();
    }
    let want = [
        "A003 pe.sram 1B is out of range: 1KiB to 16MiB are possible | ",
        "A003 pe.width_add 16 is out of range: 1 to 8 are possible | ",
        "A003 pe.width_add 0 is out of range: 1 to 8 are possible | ",
        "A003 pe.width_add 3 is not a power of two | ",
        "A003 router.hop 0 is out of range: 1 to 10000 are possible | ",
        "A003 wafer.width 4194304 x 994 are 4169138176 PEs; at most 4194304 are possible | ",
        "A003 pe.stack the stack of 49152 B leaves nothing of 1 B | ",
    ];
    assert_eq!(show(&arch.validate()), want);
}

#[test]
fn a_file_changes_a_preset() {
    let text = "extends = \"cs2\"\nname = \"big\"\nwafer.clock = \"1.1GHz\"\n[pe]\nsram = \"64KiB\"\ninput_queues = [6, 6]\nwidth_fmac = { half = 8, single = 1, mixed = 2 }\n[router]\nhop = 2\n";
    let arch = ArchSpec::from_toml(text, "big.toml").unwrap();
    assert_eq!((arch.name.as_str(), arch.wafer.clock_hz.value, arch.pe.sram.value), ("big", 1_100_000_000, 65_536));
    assert_eq!((arch.pe.input_queues.value, arch.pe.width_fmac.value.half, arch.router.hop.value), (vec![6, 6], 8, 2));
    assert_eq!(arch.pe.sram.source, Source::User("big.toml:5:8".into()));
    assert_eq!(arch.router.colors, cs2().router.colors);
}

#[test]
fn a_file_shows_all_its_diagnostics() {
    let text = "extends = \"cs9\"\n[pe]\nsrm = \"64KiB\"\nstack = 1024\nwidth_add = { half = 4, single = 2 }\n[routr]\nhop = 1\n";
    let want = [
        "A005 m:1:11 there is no preset `cs9` | did you mean `cs2`?",
        "A001 m:3:1 there is no key `pe.srm` | did you mean `pe.sram`?",
        "A002 m:4:9 pe.stack: `1024` cannot be read | write a size such as 48KiB or 1024B",
        "A002 m:5:13 pe.width_add: a value of this kind is not possible | ",
        "A001 m:6:2 there is no table or key `routr` here | did you mean `router`?",
    ];
    let mut got = show(&ArchSpec::from_toml(text, "m").unwrap_err());
    got.sort_by_key(|line| line.split(' ').nth(1).map(str::to_owned));
    assert_eq!(got, want);
    let range = ArchSpec::from_toml("extends = \"cs2\"\nrouter.hop = 0\n", "m").unwrap_err();
    assert_eq!(show(&range), ["A003 m: router.hop 0 is out of range: 1 to 10000 are possible | "]);
}

/// Every group of keys is a table that a file may have; `[system]` once was not.
#[test]
fn every_group_is_a_table_of_a_file() {
    for entry in cs2().entries() {
        let (group, key) = entry.key.split_once('.').unwrap();
        let value = if entry.value.contains(',') { continue } else { &entry.value };
        let text = format!("extends = \"cs2\"\n[{group}]\n{key} = \"{value}\"\n");
        let arch = ArchSpec::from_toml(&text, "m").unwrap();
        assert_eq!(arch.hash(), cs2().hash(), "{text}");
        assert_eq!(KeyGroup::of(&entry.key).map(KeyGroup::name), Some(group));
    }
}

#[test]
fn a004_not_toml() {
    let diagnostics = ArchSpec::from_toml("extends = \"cs2\"\n[pe\nsram = \n", "m").unwrap_err();
    assert!(diagnostics.iter().all(|d| d.code == "A004"), "{diagnostics:#?}");
    assert_eq!(diagnostics[0].at, "m:2:4");
    assert!(ArchSpec::from_toml("a = \nb = ]\n", "m").unwrap_err().len() >= 2);
    assert_eq!(ArchSpec::from_toml(&"#".repeat(MAX_FILE + 1), "m").unwrap_err()[0].code, "A004");
}

#[test]
fn a005_no_such_preset() {
    assert_eq!(ArchSpec::from_toml("", "m").unwrap_err()[0].code, "A005");
    assert_eq!(ArchSpec::from_toml("extends = 2", "m").unwrap_err()[0].code, "A005");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(extends = \"cs2\"\n)?(\\[pe\\]\n)?([a-z.]{0,8} = [\"\\[{0-9a-zKMi,=}\\]é]{0,8}\n){0,4}\\PC{0,5}") {
        let _ = ArchSpec::from_toml(&text, "m");
        let _ = cs2().set(&text, "m");
    }
}
