//! The report as a page and as pictures: complete, small, the same bytes every time, and inert
//! whatever a config says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assert_cmd::Command;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tempfile::TempDir;

const HOSTILE: &str = r#"{"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16,
 "_name_or_path": "=</script><img src=x onerror=alert(1)>&\"'{{7}}",
 "vocab_size": 50, "n_inner": 64, "activation_function": "gelu"}"#;
const PICTURES: [&str; 14] = [
    "heat-back-pressure",
    "heat-compute",
    "heat-idle",
    "heat-link-east",
    "heat-link-north",
    "heat-link-south",
    "heat-link-west",
    "heat-ramp",
    "heat-wait",
    "histogram",
    "memory",
    "overview",
    "roofline",
    "timeline",
];

/// Runs the hostile model in a folder, and gives what goes to stdout.
fn run(folder: &Path, arguments: &[&str]) -> String {
    std::fs::write(folder.join("config.json"), HOSTILE).unwrap();
    let mut command = Command::cargo_bin("wafersim").unwrap();
    command.current_dir(folder).env("WAFERSIM_CACHE", "").args(["run", "config.json", "--set", "wafer.width=16"]);
    let output = command.args(["--set", "wafer.height=16"]).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The pictures of a folder by name.
fn pictures(folder: &Path) -> BTreeMap<String, String> {
    let file = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        name.strip_suffix(".svg").map(|name| (name.to_owned(), std::fs::read_to_string(entry.path()).unwrap()))
    };
    std::fs::read_dir(folder).unwrap().filter_map(|entry| file(entry.unwrap())).collect()
}

/// Whether a picture is the map of a color.
fn is_of_a_color(name: &str) -> bool {
    name.strip_prefix("heat-link-c").is_some_and(|color| color.parse::<u8>().is_ok())
}

#[test]
fn the_page_holds_everything_and_runs_nothing_of_a_users() {
    let folder = TempDir::new().unwrap();
    let page = folder.path().join("out.html");
    let run = || {
        let csv = run(folder.path(), &["--batch", "2", "--format", "csv", "--report", "out.html", "--plot", "plots"]);
        (csv, std::fs::read_to_string(&page).unwrap(), pictures(&folder.path().join("plots")))
    };
    let (csv, html, drawn) = run();
    assert!(html.len() < 3 << 20);
    assert!(!html.contains("<img") && !html.contains("</script><"), "a name is text");
    assert_eq!(html.matches("<script>").count(), 1);
    assert_eq!(html.matches("</script>").count(), 2, "the data and the script");
    for link in ["src=\"", "href=\"", "@import", "url("] {
        assert!(!html.contains(link), "{link}: the page needs nothing else");
    }
    let names: BTreeSet<&str> = csv.lines().skip(1).map(|l| l.split(',').next().unwrap()).collect();
    for name in names {
        assert!(html.contains(&format!("<td>{name}</td>")), "{name}");
    }
    for part in ["router.buffer", "Where the time went", "The step in time", "What was folded", "wafersim run"] {
        assert!(html.contains(part), "{part}");
    }
    assert_eq!(html.matches("<svg").count(), 4, "timeline, histogram, roofline, memory");
    let (colors, others): (Vec<&String>, Vec<_>) = drawn.keys().partition(|name| is_of_a_color(name));
    assert_eq!(others, PICTURES);
    assert!(colors.len() > 1, "maps by color");
    for (name, picture) in &drawn {
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"), "{name}");
        assert!(!picture.contains("<img") && !picture.contains("</script>"), "{name}: a name is text");
    }
    let (_, again, redrawn) = run();
    assert_eq!(again, html, "the same bytes again");
    assert_eq!(redrawn, drawn, "the same bytes again");
}

/// A name that a spreadsheet would take for a formula, in every form of the result.
#[test]
fn a_hostile_name_is_inert_in_every_output() {
    let folder = TempDir::new().unwrap();
    let json = run(folder.path(), &["--batch", "2", "--format", "json", "--trace", "t.pftrace"]);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(report["model"]["name"].as_str().unwrap().starts_with("=</script>"));
    assert!(
        report::encoding::perfetto::step::packets(&std::fs::read(folder.path().join("t.pftrace")).unwrap()).unwrap()
            > 10
    );
    let text = run(folder.path(), &["--batch", "2"]);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "no escape of a terminal");
    run(folder.path(), &["--batch", "2", "--plot", "plots"]);
    for (name, picture) in pictures(&folder.path().join("plots")) {
        assert!(!picture.contains("</script>"), "{name}: {picture}");
    }
    let program = "program x\ngrid 1x1\nimage a {\nmem b f32[1] @0\ntask main local active {\n}\n}\nplace a x=0 y=0\n";
    std::fs::write(folder.path().join("=cmd().wafer"), program).unwrap();
    let mut command = Command::cargo_bin("wafersim").unwrap();
    let words = ["models", "show", "config.json", "--format", "csv"];
    let output = command.current_dir(folder.path()).args(words).output().unwrap();
    let csv = String::from_utf8(output.stdout).unwrap();
    let cells = csv.split([',', '\n']).map(|cell| cell.trim_start_matches('"'));
    assert!(cells.clone().any(|c| c.starts_with("'=</script>")), "{csv}");
    assert!(cells.into_iter().all(|c| !c.starts_with(['=', '@'])), "{csv}");
}

#[test]
fn tables_are_written_as_parquet() {
    let folder = TempDir::new().unwrap();
    for words in [&["-o", "k.parquet"][..], &["--format", "parquet", "-o", "k2"]] {
        assert_eq!(run(folder.path(), &[&["--batch", "2"], words].concat()), "");
    }
    let [a, b] = ["k.parquet", "k2"].map(|name| std::fs::read(folder.path().join(name)).unwrap());
    assert_eq!(a, b, "the same bytes");
    assert_eq!((&a[..4], &a[a.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
    let mut command = Command::cargo_bin("wafersim").unwrap();
    assert_eq!(command.args(["arch", "list", "--format", "parquet"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn a_cluster_has_a_scaling_curve() {
    let folder = TempDir::new().unwrap();
    run(folder.path(), &["--batch", "8", "--systems", "4", "--plot", "plots", "--report", "out.html"]);
    let mut drawn = pictures(&folder.path().join("plots"));
    drawn.retain(|name, _| !is_of_a_color(name));
    assert_eq!(drawn.len(), PICTURES.len() + 1);
    assert!(drawn["scaling"].contains("100.0 %"), "one system is as fast as itself");
    assert_eq!(std::fs::read_to_string(folder.path().join("out.html")).unwrap().matches("<svg").count(), 5);
}

/// Colors that cross links are in the report and have a map; what they carry does not depend on
/// folding, and is no part of the digest.
#[test]
fn links_are_reported_by_color() {
    let folder = TempDir::new().unwrap();
    let report = |more: &[&str]| -> serde_json::Value {
        let words = [&["--batch", "2", "--format", "json", "-o", "out.json"], more].concat();
        run(folder.path(), &words);
        serde_json::from_slice(&std::fs::read(folder.path().join("out.json")).unwrap()).unwrap()
    };
    let digest = || {
        let manifest = std::fs::read(folder.path().join("out.run.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&manifest).unwrap()["result_digest"].clone()
    };
    assert!(report(&[]).get("links").is_none(), "maps were not asked for");
    let plain = digest();
    let with = report(&["--plot", "plots"]);
    assert_eq!(digest(), plain);
    let full = report(&["--plot", "full", "--fold", "none"]);
    assert_eq!(with["links"], full["links"]);
    let links = with["links"].as_array().unwrap();
    let ports: BTreeSet<&str> = links.iter().map(|l| l["port"].as_str().unwrap()).collect();
    assert_eq!(ports, ["east", "north", "ramp", "south", "west"].into());
    let crossing = links.iter().filter(|l| l["port"] != "ramp").map(|l| format!("heat-link-c{}", l["color"]));
    let drawn = pictures(&folder.path().join("plots"));
    let maps: BTreeSet<String> = drawn.into_keys().filter(|name| is_of_a_color(name)).collect();
    assert_eq!(crossing.collect::<BTreeSet<_>>(), maps);
    for link in links {
        let (wavelets, load) = (link["wavelets"].as_u64().unwrap(), link["greatest_load"].as_f64().unwrap());
        let mean = wavelets as f64 / (256 * with["step"]["cycles"].as_u64().unwrap()) as f64;
        assert!(wavelets > 0 && mean <= load * (1.0 + 1e-12) && load <= 1.0, "{link}");
    }
}

/// A parameter that changed is named, with both values; reports of one command do not differ.
#[test]
fn what_changed_between_two_reports_is_named() {
    let folder = TempDir::new().unwrap();
    for (name, more) in [("a.json", &[][..]), ("b.json", &["--set", "router.hop=2"]), ("c.json", &[])] {
        run(folder.path(), &[&["--batch", "2", "--format", "json", "-o", name], more].concat());
    }
    let diff = |words: &[&str]| {
        let mut command = Command::cargo_bin("wafersim").unwrap();
        let output = command.current_dir(folder.path()).arg("diff").args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(diff(&["a.json", "c.json"]), "no difference\n");
    let text: serde_json::Value = serde_json::from_str(&diff(&["a.json", "b.json", "--format", "json"])).unwrap();
    let values = text["values"].as_array().unwrap();
    let parameters: Vec<_> = values.iter().filter(|v| v["key"].as_str().unwrap().starts_with("arch.par")).collect();
    assert_eq!(parameters.len(), 1, "{parameters:?}");
    assert_eq!((&parameters[0]["key"], &parameters[0]["b"]), (&"arch.parameters.router.hop".into(), &"2".into()));
    assert!(values.iter().any(|v| v["key"] == "step.cycles"), "and what came of it");
    assert!(!text["kernels"].as_array().unwrap().is_empty(), "kernel by kernel");
}

/// A program whose name and buffers are hostile, whose expectation fails, and which takes the time.
const PROGRAM: &str = r#"program "</script><img src=x onerror=alert(1)>"
grid 2 x 1
image "<b>one" {
  mem "<i>v" f32[20] = each i
  mem t i16[3] @1024
  task main local active {
    timestamp t[0]
    add "<i>v" <- "<i>v", #1
  }
}
place "<b>one" x=0..2 y=0
expect "<i>v" == each i + select(i == 3, 2, 1)
"#;

/// Runs the hostile program, and gives its page.
fn program_page(folder: &Path, arguments: &[&str], status: i32) -> String {
    std::fs::write(folder.join("p.wafer"), PROGRAM).unwrap();
    let mut command = Command::cargo_bin("wafersim").unwrap();
    command.current_dir(folder).env("WAFERSIM_CACHE", "").args(["simulate", "p.wafer", "--report", "p.html"]);
    let output = command.args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(status), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(folder.join("p.html")).unwrap()
}

#[test]
fn the_page_of_a_program_holds_everything_and_runs_nothing_of_a_users() {
    let folder = TempDir::new().unwrap();
    let html = program_page(folder.path(), &["--values"], 4);
    assert!(!html.contains("<img") && !html.contains("<b>one") && !html.contains("<i>v"), "names are text");
    assert_eq!((html.matches("<script>").count(), html.matches("</script>").count()), (1, 2));
    for link in ["src=\"", "href=\"", "@import", "url("] {
        assert!(!html.contains(link), "{link}: the page needs nothing else");
    }
    let parts = ["What bounds it", "The mesh", "Tasks", "Instructions", "Not as the program expects", "Values"];
    for part in
        parts.iter().chain(&["Time stamps", "All 2 time stamps.", "Events", "timestamp 1024", "nothing was folded"])
    {
        assert!(html.contains(part), "{part}");
    }
    // Sixteen elements of twenty.
    assert!(html.contains("15, 16, …"), "{html}");
    assert_eq!(program_page(folder.path(), &["--values"], 4), html, "the same bytes again");
    // Without values, and a run that stops.
    let bare = program_page(folder.path(), &[], 0);
    assert!(bare.contains("was not checked (expectations: 1)") && bare.contains("carried no numbers"));
    let stopped = program_page(folder.path(), &["--cycle-limit", "5"], 5);
    assert!(stopped.contains("Stopped before its end") && stopped.contains("limit of 5 cycles"), "{stopped}");
    assert!(!stopped.contains("<h3>What bounds it</h3>"));
}
