//! What the commands that execute programs put into the manifest beside their results.
//!
//! **Not here.** The manifest itself (`manifest`).

use super::options::{MachineOptions, RunLimits, VerifyOptions};
use super::output::Output;
use crate::fail::Failure;
use crate::files::{self, Destination};
use crate::host;
use crate::manifest::{self, FileHash, Host, MANIFEST_SCHEMA, Manifest, Setting};
use clap::Args;
use report::Provenance;
use sim_core::arch::ArchSpec;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

/// Where the manifest goes.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ManifestOptions {
    /// Writes the manifest to FILE; it is written beside every result that goes to a file
    #[arg(long, value_name = "FILE.json", help_heading = "Output")]
    pub(super) manifest: Option<PathBuf>,
}

/// A result that is being made: when it began, and what it has written.
pub(super) struct Recording {
    start: Instant,
    started: u64,
    /// Files that were written.
    pub(super) outputs: Vec<FileHash>,
}

/// What a manifest says of a result.
pub(super) struct ManifestFacts<'a> {
    pub(super) result_schema: &'a str,
    pub(super) command: &'a str,
    pub(super) config: Vec<Setting>,
    /// Files that may have been read; those that do not exist were not.
    pub(super) inputs: Vec<&'a Path>,
    /// Seed of everything random in the run.
    pub(super) seed: u64,
    pub(super) threads: usize,
    pub(super) digest: String,
    /// Files or folders that the user named for results, the most important one first.
    pub(super) beside: Vec<&'a Path>,
}

impl Recording {
    #[allow(clippy::disallowed_methods, reason = "wall time of the host, reported as such")]
    pub(super) fn start() -> Recording {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Recording { start: Instant::now(), started: since.map_or(0, |d| d.as_secs()), outputs: Vec::new() }
    }

    pub(super) fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// How a result of this command was obtained, up to now.
    pub(super) fn provenance(&self, command: String, seed: u64, limits: &RunLimits) -> Provenance {
        Provenance {
            command,
            seed,
            options: limits.options(false),
            threads: limits.threads(),
            wall_seconds: self.seconds(),
            peak_rss_bytes: host::peak_rss_bytes(),
        }
    }

    /// Begins a result, once it is known that everything can go where it shall.
    pub(super) fn towards(
        results: &[Destination<'_>],
        options: &ManifestOptions,
        output: &Output,
    ) -> Result<Recording, Failure> {
        let file = |option, path| Destination { option, path, folder: false };
        let result = output.file.as_deref().map(|path| file("-o", path));
        let manifest = options.manifest.as_deref().map(|path| file("--manifest", path));
        let all: Vec<_> = result.into_iter().chain(results.iter().copied()).chain(manifest).collect();
        files::check(&all)?;
        Ok(Recording::start())
    }

    /// Writes a file that belongs to the result.
    pub(super) fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
        files::write(path, bytes)?;
        self.outputs.push(FileHash::of_bytes(path, bytes));
        Ok(())
    }

    /// Has the manifest written behind the result, if the result or anything else goes to a file.
    pub(super) fn attach(
        self,
        facts: ManifestFacts<'_>,
        options: &ManifestOptions,
        output: &Output,
    ) -> Result<(), Failure> {
        let files = || output.file.as_deref().into_iter().chain(facts.beside.iter().copied());
        let first = || files().find(|file| !files::special(file));
        let Some(path) = options.manifest.clone().or_else(|| first().map(manifest::beside)) else { return Ok(()) };
        let inputs = facts.inputs.into_iter().filter(|path| path.is_file()).map(FileHash::of);
        let manifest = Manifest {
            schema: MANIFEST_SCHEMA.to_owned(),
            wafersim_version: env!("CARGO_PKG_VERSION").to_owned(),
            result_schema: facts.result_schema.to_owned(),
            executable_blake3: manifest::executable(),
            argv: output.arguments.clone(),
            command: facts.command.to_owned(),
            config: facts.config,
            inputs: inputs.collect::<Result<_, _>>()?,
            seed: facts.seed,
            threads: facts.threads,
            host: Host::this(),
            started_unix_seconds: self.started,
            wall_seconds: self.seconds(),
            result_digest: facts.digest,
            outputs: self.outputs,
        };
        output.attach(path, manifest);
        Ok(())
    }
}

/// Engine, foldings, checks of them and machine, each with its origin.
pub(super) fn settings(limits: &RunLimits, verify: &VerifyOptions, arch: &ArchSpec, output: &Output) -> Vec<Setting> {
    let given = |option| output.origin(option);
    let how = [("--engine", limits.engine_name()), ("--fold", limits.fold_name())];
    let how = how.map(|(option, value)| Setting::new(option, value, given(option)));
    let count = verify.verify_fold.map(|count| Setting::new("--verify-fold", count, given("--verify-fold")));
    let seed = Setting::new("--seed", verify.seed, given("--seed"));
    how.into_iter().chain(count).chain([seed]).chain(Setting::of_machine(arch)).collect()
}

/// The machine's file, if it is one.
pub(super) fn machine_file(machine: &MachineOptions) -> &Path {
    Path::new(&machine.arch)
}
