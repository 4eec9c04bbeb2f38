//! The manifest beside a result obtains it again, and the published schemas are those of the
//! documents.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assert_cmd::Command;
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

const CONFIG: &str = r#"{"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16,
 "vocab_size": 50, "n_inner": 64, "activation_function": "gelu"}"#;
const PROGRAM: &str = "program two\ngrid 2x1\nimage a {\ntask main local active {\n}\n}\nplace a x=0..2 y=0\n";

/// Runs it in a folder, checks the exit status, and returns stdout and stderr.
fn run(folder: &Path, arguments: &[&str], status: i32) -> (String, String) {
    let mut command = Command::cargo_bin("wafersim").unwrap();
    let output = command.current_dir(folder).env("WAFERSIM_CACHE", "").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{out}\n{err}");
    (out, err)
}

fn document(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A folder with a tiny model's report and its manifest.
fn reported() -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("it's.json"), CONFIG).unwrap();
    let machine = ["--set", "wafer.width=8", "--set", "wafer.height=8"];
    let words = [&["run", "it's.json", "--batch", "2", "--format", "json", "-o", "out.json"][..], &machine].concat();
    assert_eq!(run(folder.path(), &words, 0).0, "");
    folder
}

#[test]
fn a_manifest_obtains_its_result_again() {
    let folder = reported();
    let path = folder.path().join("out.run.json");
    let manifest = document(&path);
    assert_eq!(manifest["argv"].as_array().unwrap().len(), 13);
    let setting = |key: &str| {
        let all = manifest["config"].as_array().unwrap();
        let found = all.iter().find(|s| s["key"] == key).unwrap();
        (found["value"].as_str().unwrap(), found["origin"].as_str().unwrap())
    };
    assert_eq!(setting("--batch"), ("2", "command line"));
    assert_eq!(setting("--act"), ("f16", "default"));
    assert_eq!(setting("--micro-batch").1, "compiler");
    assert_eq!(setting("wafer.width"), ("8", "user: --set wafer.width=8 wafer.width=8"));
    assert!(setting("router.hop").1.starts_with("documented: "));
    for (list, name) in [("inputs", "it's.json"), ("outputs", "out.json")] {
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(manifest[list][0]["path"], name);
        assert_eq!(manifest[list][0]["blake3"], blake3::hash(&bytes).to_hex().as_str());
    }
    let (out, _) = run(folder.path(), &["reproduce", "out.run.json", "--format", "json"], 0);
    let done: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(done["result_digest"], manifest["result_digest"]);

    // Another digest is a fault of ours, another input one of the user's.
    let other = "0".repeat(64);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(manifest["result_digest"].as_str().unwrap(), &other)).unwrap();
    let (_, err) = run(folder.path(), &["reproduce", "out.run.json"], 1);
    assert!(err.contains("cli-reproduce") && err.contains(&other), "{err}");
    std::fs::write(folder.path().join("it's.json"), CONFIG.replace("50", "51")).unwrap();
    let (_, err) = run(folder.path(), &["reproduce", "out.run.json"], 3);
    assert!(err.contains("it's.json") && err.contains("has changed"), "{err}");
}

#[test]
fn programs_and_collectives_have_manifests_too() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("two.wafer"), PROGRAM).unwrap();
    let collective = ["collective", "reduce", "--pes", "4x1", "--wavelets", "16"];
    for (name, words) in [("a", &["simulate", "two.wafer", "--values"][..]), ("b", &collective)] {
        let manifest = format!("{name}.json");
        run(folder.path(), &[words, &["--manifest", &manifest, "--verify-fold", "1", "--seed", "7"]].concat(), 0);
        let written = document(&folder.path().join(&manifest));
        assert_eq!(written["seed"], 7);
        assert!(written["command"].as_str().unwrap().contains("--verify-fold 1 --seed 7"), "{}", written["command"]);
        let seed = written["config"].as_array().unwrap().iter().find(|s| s["key"] == "--seed").unwrap().clone();
        assert_eq!((seed["value"].as_str(), seed["origin"].as_str()), (Some("7"), Some("command line")));
        run(folder.path(), &["reproduce", &manifest], 0);
    }
}

#[test]
fn what_is_no_manifest_is_refused() {
    let folder = reported();
    let mut manifest = document(&folder.path().join("out.run.json"));
    for command in ["wafersim cache clear", "rm -rf /", "wafersim run", ""] {
        manifest["command"] = command.into();
        std::fs::write(folder.path().join("m.json"), manifest.to_string()).unwrap();
        let (_, err) = run(folder.path(), &["reproduce", "m.json"], 3);
        assert!(err.contains("cli-manifest"), "{command}: {err}");
    }
    for (name, text) in [("x.json", "{}"), ("y.json", "no"), ("z.json", "")] {
        std::fs::write(folder.path().join(name), text).unwrap();
        run(folder.path(), &["reproduce", name], 3);
    }
    run(folder.path(), &["reproduce", "out.json"], 3);
    run(folder.path(), &["reproduce", "nowhere.json"], 3);
    run(folder.path(), &["reproduce"], 2);
}

/// Checks a document against a schema with the keywords that the published ones use.
fn check(at: &str, value: &Value, schema: &Value, root: &Value) {
    if let Some(reference) = schema["$ref"].as_str() {
        return check(at, value, root.pointer(reference.trim_start_matches('#')).unwrap(), root);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let null = |s: &&Value| (s["type"] == "null") == value.is_null();
        return check(at, value, choices.iter().find(null).unwrap(), root);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types = match &schema["type"] {
        Value::Array(all) => all.iter().map(|t| t.as_str().unwrap()).collect(),
        one => vec![one.as_str().unwrap_or_else(|| panic!("{at} has no type: {schema}"))],
    };
    assert!(types.contains(&kind) || (kind == "integer" && types.contains(&"number")), "{at}: {kind}, not {types:?}");
    for (key, value) in value.as_object().into_iter().flatten() {
        let listed = &schema["properties"][key];
        let known = if listed.is_null() { &schema["additionalProperties"] } else { listed };
        assert!(known.is_object(), "{at}.{key} is not in the schema");
        check(&format!("{at}.{key}"), value, known, root);
    }
    for key in schema["required"].as_array().into_iter().flatten() {
        assert!(value.get(key.as_str().unwrap()).is_some(), "{at} has no {key}");
    }
    for (i, value) in value.as_array().into_iter().flatten().enumerate() {
        let item = if schema["prefixItems"].is_array() { &schema["prefixItems"][i] } else { &schema["items"] };
        check(&format!("{at}[{i}]"), value, item, root);
    }
}

#[test]
fn documents_are_as_their_schemas_say() {
    let folder = reported();
    std::fs::write(folder.path().join("two.wafer"), PROGRAM).unwrap();
    let json = ["--format", "json", "-o"];
    let simulate = ["simulate", "two.wafer", "--values", "--finish", "--profile", "--counters", "counters.json"];
    run(folder.path(), &[&simulate, &json[..], &["two.json"]].concat(), 0);
    run(folder.path(), &[&["why", "two.wafer"], &json[..], &["why.json"]].concat(), 0);
    run(folder.path(), &[&["why", "out.json", "--limit", "edges"], &json[..], &["step.json"]].concat(), 0);
    let of = |name: &str| -> Value { serde_json::from_str(&run(folder.path(), &["schema", name], 0).0).unwrap() };
    let documents = [
        ("report", "out.json"),
        ("simulate", "two.json"),
        ("counters", "counters.json"),
        ("why-program", "why.json"),
        ("why", "step.json"),
        ("manifest", "out.run.json"),
        ("manifest", "two.run.json"),
    ];
    for (schema, file) in documents {
        let schema = of(schema);
        check(file, &document(&folder.path().join(file)), &schema, &schema);
    }
}
