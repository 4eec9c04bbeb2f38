//! The manifest beside every result: enough to obtain it again, and to see that it is the same.
//!
//! **Invariant.** The digest of a result does not depend on the host, the threads, the cache or
//! the version that obtained it: what says how a result came about is left out.
//! **Not here.** Running again (`cli::reproduce`).

use crate::fail::{Failure, Kind};
use crate::files;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sim_core::arch::ArchSpec;
use sim_core::diag::Diagnostic;
use std::path::{Path, PathBuf};

/// Schema of a [`Manifest`].
pub const MANIFEST_SCHEMA: &str = "wafersim.manifest/1";
/// Largest manifest that is read, in bytes.
const MANIFEST_MAX: u64 = 4 << 20;
/// Largest input that is hashed, in bytes.
const INPUT_MAX: u64 = 1 << 30;
/// Keys of a report that say how it was obtained, not what it is, and that are there only if
/// pictures were asked for.
const HOW: [&str; 4] = ["command", "links", "simulation", "wafersim_version"];

/// What a result was obtained from, how, where, and its digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// Name and version of the schema, [`MANIFEST_SCHEMA`].
    pub schema: String,
    /// Version of this program.
    pub wafersim_version: String,
    /// Schema of the result.
    pub result_schema: String,
    /// Hash of the executable.
    pub executable_blake3: Option<String>,
    /// The command line as it was given.
    pub argv: Vec<String>,
    /// The command with everything resolved; `wafersim reproduce` runs it.
    pub command: String,
    /// Every value that the result depends on.
    pub config: Vec<Setting>,
    /// Files that were read.
    pub inputs: Vec<FileHash>,
    /// Seed of everything random in the run.
    pub seed: u64,
    /// Threads that the simulation used.
    pub threads: usize,
    /// The computer.
    pub host: Host,
    /// Seconds since 1970 at the start.
    pub started_unix_seconds: u64,
    /// Time that it took.
    pub wall_seconds: f64,
    /// Hash of the result without what says how it was obtained.
    pub result_digest: String,
    /// Files that were written, without the result itself if it went to stdout.
    pub outputs: Vec<FileHash>,
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// Its key: a key of the machine, or an option.
    pub key: String,
    /// The value taken.
    pub value: String,
    /// A source of the machine's number, `command line`, `model`, `compiler` or `default`.
    pub origin: String,
}

/// A file, as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileHash {
    /// Its path, as it was given.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its hash.
    pub blake3: String,
}

/// A computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// Operating system.
    pub os: String,
    /// Instruction set.
    pub architecture: String,
    /// Cores that may be used.
    pub cores: usize,
    /// Memory in bytes; 0 where the system does not say.
    pub memory_bytes: u64,
}

impl Setting {
    /// A value with its origin.
    #[must_use]
    pub fn new(key: &str, value: impl ToString, origin: &str) -> Setting {
        Setting { key: key.to_owned(), value: value.to_string(), origin: origin.to_owned() }
    }

    /// Every number of a machine.
    #[must_use]
    pub fn of_machine(arch: &ArchSpec) -> Vec<Setting> {
        let setting = |e: sim_core::arch::ArchEntry| Setting {
            origin: format!("{}: {}", e.kind, e.source),
            key: e.key,
            value: e.value,
        };
        arch.entries().into_iter().map(setting).collect()
    }
}

impl FileHash {
    /// A file with its hash.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(path: &Path) -> Result<FileHash, Failure> {
        Ok(FileHash::of_bytes(path, &files::read(path, INPUT_MAX)?))
    }

    /// A file that has these bytes.
    #[must_use]
    pub fn of_bytes(path: &Path, bytes: &[u8]) -> FileHash {
        let blake3 = blake3::hash(bytes).to_hex().to_string();
        FileHash { path: path.to_owned(), bytes: bytes.len() as u64, blake3 }
    }
}

impl Host {
    /// This computer.
    #[must_use]
    pub fn this() -> Host {
        let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        Host {
            os: std::env::consts::OS.to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_bytes: kib.unwrap_or(0) * 1024,
        }
    }
}

/// Hash of this executable; None if it cannot be read.
#[must_use]
pub fn executable() -> Option<String> {
    let mut hash = blake3::Hasher::new();
    hash.update_reader(std::fs::File::open(std::env::current_exe().ok()?).ok()?).ok()?;
    Some(hash.finalize().to_hex().to_string())
}

/// The digest of a report.
///
/// # Errors
/// If it is no JSON object: a bug of ours.
pub fn digest<T: Serialize>(report: &T) -> Result<String, Failure> {
    let diagnostic = |e: &dyn ToString| Failure::one(Kind::Internal, Diagnostic::new("cli-json", "", e.to_string()));
    let mut value = serde_json::to_value(report).map_err(|e| diagnostic(&e))?;
    let object = value.as_object_mut().ok_or_else(|| diagnostic(&"a report is an object"))?;
    HOW.iter().for_each(|key| drop(object.remove(*key)));
    // What else there was to choose from is not known where the layout is given.
    if let Some(layout) = object.get_mut("layout").and_then(|l| l.as_object_mut()) {
        layout.remove("runner_up");
    }
    // Keys are sorted, and numbers have one shortest form.
    let bytes = serde_json::to_vec(&value).map_err(|e| diagnostic(&e))?;
    Ok(blake3::hash(&bytes).to_hex().to_string())
}

/// Reads a manifest.
///
/// # Errors
/// If the file is none.
pub fn read(path: &Path) -> Result<Manifest, Failure> {
    let wrong = |message: String| {
        let help = "it is written beside every result: `wafersim run MODEL --format json -o FILE.json`";
        Failure::one(Kind::InvalidInput, Diagnostic::new("cli-manifest", path.display(), message).help(help))
    };
    let text = files::read_text(path, MANIFEST_MAX)?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|e| wrong(format!("is not a manifest: {e}")))?;
    match manifest.schema.as_str() {
        MANIFEST_SCHEMA => Ok(manifest),
        other => Err(wrong(format!("has the schema `{other}`, not `{MANIFEST_SCHEMA}`"))),
    }
}

/// Where the manifest of a result goes: beside it, with its name and `.run.json`.
#[must_use]
pub fn beside(result: &Path) -> PathBuf {
    if result.is_dir() { result.join("run.json") } else { result.with_extension("run.json") }
}

/// A word for a shell.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Splits a command line as it stands in a report: words, quoted by apostrophes where needed.
#[must_use]
pub fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let (mut quoted, mut escaped) = (false, false);
    for c in command.chars() {
        match c {
            _ if escaped => {
                word.get_or_insert_default().push(c);
                escaped = false;
            }
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if !quoted => escaped = true,
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_splits_into_what_was_quoted() {
        for all in [vec!["a", "b c", "it's", "", "'", "x=<y>;\\"], vec!["one"]] {
            let line: Vec<String> = all.iter().map(|w| quoted(w)).collect();
            assert_eq!(words(&line.join(" ")), all);
        }
    }

    #[test]
    fn a_digest_leaves_out_how_a_result_was_obtained() {
        let report = |wall: f64, cycles: u64| {
            let simulation = serde_json::json!({ "wall_seconds": wall });
            digest(&serde_json::json!({ "cycles": cycles, "simulation": simulation, "command": wall })).ok()
        };
        assert_eq!(report(1.0, 5), report(2.0, 5));
        assert_ne!(report(1.0, 5), report(1.0, 6));
    }
}
