//! The report as a page: complete, small, and inert whatever a config says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assert_cmd::Command;
use tempfile::TempDir;

const HOSTILE: &str = r#"{"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16,
 "_name_or_path": "</script><img src=x onerror=alert(1)>&\"'",
 "vocab_size": 50, "n_inner": 64, "activation_function": "gelu"}"#;

#[test]
fn the_page_holds_everything_and_runs_nothing_of_a_users() {
    let folder = TempDir::new().unwrap();
    let model = folder.path().join("config.json");
    std::fs::write(&model, HOSTILE).unwrap();
    let page = folder.path().join("out.html");
    let plot = folder.path().join("heat.svg");
    let run = || {
        let mut command = Command::cargo_bin("wafersim").unwrap();
        command.env("WAFERSIM_CACHE", "").arg("run").arg(&model).args(["--batch", "2", "--set", "wafer.width=16"]);
        command.args(["--set", "wafer.height=16", "--format", "csv", "--report"]).arg(&page).arg("--plot").arg(&plot);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        (String::from_utf8(output.stdout).unwrap(), std::fs::read_to_string(&page).unwrap())
    };
    let (csv, html) = run();
    assert!(html.len() < 3 << 20);
    assert!(!html.contains("<img") && !html.contains("</script><"), "a name is text");
    assert_eq!(html.matches("<script>").count(), 1);
    for link in ["src=\"", "href=\"", "@import", "url("] {
        assert!(!html.contains(link), "{link}: the page needs nothing else");
    }
    let names: std::collections::BTreeSet<&str> = csv.lines().skip(1).map(|l| l.split(',').next().unwrap()).collect();
    for name in names {
        assert!(html.contains(&format!("<td>{name}</td>")), "{name}");
    }
    for part in ["router.buffer", "The step in time", "<svg", "What was folded", "wafersim run"] {
        assert!(html.contains(part), "{part}");
    }
    assert_eq!(run().1, html, "the same bytes again");
}
