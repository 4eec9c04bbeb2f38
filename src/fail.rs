//! Why a command ends without a result: its exit status, and every diagnostic at once.
//!
//! **Invariant.** Whatever a user hands in ends here, never in a panic.
//! **Not here.** The checks that find what is wrong.

use runner::Error;
use serde::Serialize;
use sim_core::diag::Diagnostic;
use sim_core::error::{Blocked, MAIN_THREAD, RunError, WaitFor};
use std::fmt::Write as _;

/// Codes of this package, with their meaning.
pub const CODES: &[(&str, &str)] = &[
    (
        "cli-read",
        "A file cannot be read: it does not exist, is not readable, is larger than anything it could be, or is not text where text is needed.",
    ),
    (
        "cli-write",
        "A result cannot be written where an option such as `-o` or `--plot` says: the folder is not there, a folder has the name of a file, or two results would have one name.",
    ),
    (
        "cli-format",
        "A program is laid out differently than `wafersim fmt` does it, or options of `wafersim fmt` do not go together.",
    ),
    ("cli-stored", "The file is not a program that this version of wafersim stored."),
    (
        "cli-kernel",
        "No kernel of the compiled step has a name with this text in it, or several programs have, and one file holds one program.",
    ),
    (
        "cli-collective",
        "A collective works over at least two PEs that the machine has, by an algorithm that it knows. A ring needs even numbers of PEs, and a vector that divides into as many parts of whole wavelets.",
    ),
    ("cli-cache", "There is no folder for the cache: none is set, and the system names none for the user."),
    ("cli-report", "A file is not a report that `wafersim run --format json` of this version wrote."),
    ("cli-manifest", "A file is not a manifest or a report of this version, or the command in it cannot be used."),
    (
        "cli-reproduce",
        "A result could not be obtained again: one of its inputs has changed, or the executed result has another digest. Results of one version never differ; those of two versions may, and CHANGELOG.md says why.",
    ),
    ("cli-code", "No diagnostic has this code."),
    (
        "cli-shown",
        "`--values=NAME@X,Y` names a buffer, a stream or a PE that the program does not have. Without a name all are listed.",
    ),
    (
        "cli-map",
        "Two options fix the same choice of the mapping at different values, such as `--lanes 7 --map lanes=3`.",
    ),
];

/// What kind of failure it is; the exit status follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A bug of ours.
    Internal,
    /// The command line is wrong.
    Usage,
    /// A model, machine or program is wrong.
    InvalidInput,
    /// It does not fit, has no route, or the simulated program failed.
    Infeasible,
    /// Refused before anything large is allocated.
    Refused,
    /// Some of what was asked for was done.
    Incomplete,
}

impl Kind {
    /// The exit status.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Kind::Internal => 1,
            Kind::Usage => 2,
            Kind::InvalidInput => 3,
            Kind::Infeasible => 4,
            Kind::Refused => 5,
            Kind::Incomplete => 6,
        }
    }
}

/// A command's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind.
    pub kind: Kind,
    /// All diagnostics; at least one.
    pub diagnostics: Vec<Diagnostic>,
    /// What a deadlock looks like, for scripts.
    pub deadlock: Option<Deadlock>,
}

/// A deadlock of the simulated program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deadlock {
    /// Cycle from which on nothing moved.
    pub at: u64,
    /// Blocked units in all.
    pub total: u64,
    /// The first of them.
    pub blocked: Vec<Unit>,
    /// Units each of which waits for the next one, and the last for the first.
    pub cycle: Vec<Unit>,
}

/// A blocked unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unit {
    /// Column of the PE.
    pub x: u32,
    /// Row of the PE.
    pub y: u32,
    /// `main`, `t0` to `t7`, or none for routers, queues and edge streams.
    pub thread: Option<String>,
    /// `wavelet`, `room`, `microthread`, `router`, `unread`, `edge`, `elements` or `space`.
    pub waits_for: &'static str,
    /// The color, such as `c3`.
    pub color: Option<String>,
    /// The input or output queue.
    pub queue: Option<u8>,
}

impl Deadlock {
    /// What of an execution that failed is a deadlock.
    fn of(error: &RunError) -> Option<Deadlock> {
        let RunError::Deadlock { at, blocked, total, cycle } = error else { return None };
        let units = |list: &[Blocked]| list.iter().map(Unit::from).collect();
        Some(Deadlock { at: at.0, total: *total, blocked: units(blocked), cycle: units(cycle) })
    }
}

impl From<&Blocked> for Unit {
    fn from(b: &Blocked) -> Unit {
        let thread = b.thread.map(|t| if t == MAIN_THREAD { "main".to_owned() } else { format!("t{t}") });
        let (waits_for, color) = match b.wait {
            WaitFor::Input(c) => ("wavelet", Some(c)),
            WaitFor::Output(c) => ("room", Some(c)),
            WaitFor::Microthread(_) => ("microthread", None),
            WaitFor::Router(c) => ("router", Some(c)),
            WaitFor::Unread(c) => ("unread", Some(c)),
            WaitFor::Edge(c) => ("edge", Some(c)),
            WaitFor::Elements(_) => ("elements", None),
            WaitFor::Space(_) => ("space", None),
        };
        Unit { x: b.pe.x, y: b.pe.y, thread, waits_for, color: color.map(|c| c.to_string()), queue: b.queue }
    }
}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    kind: Kind,
    status: u8,
    #[serde(rename = "faults")]
    diagnostics: &'a [Diagnostic],
    #[serde(skip_serializing_if = "Option::is_none")]
    deadlock: Option<&'a Deadlock>,
}

impl Failure {
    /// A failure with one diagnostic.
    #[must_use]
    pub fn one(kind: Kind, diagnostic: Diagnostic) -> Failure {
        Failure::many(kind, vec![diagnostic])
    }

    /// A failure with several diagnostics.
    #[must_use]
    pub fn many(kind: Kind, diagnostics: Vec<Diagnostic>) -> Failure {
        Failure { kind, diagnostics, deadlock: None }
    }

    /// As an error of the runner, for a failure to read an input that the runner checks together with
    /// others.
    #[must_use]
    pub fn into_error(self) -> Error {
        match self.kind {
            Kind::Usage | Kind::InvalidInput => Error::Invalid(self.diagnostics),
            Kind::Infeasible => Error::Infeasible(self.diagnostics),
            Kind::Refused | Kind::Incomplete => Error::Refused(self.diagnostics),
            Kind::Internal => Error::Internal(self.diagnostics),
        }
    }

    /// The diagnostics as text for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for diagnostic in &self.diagnostics {
            let _ = writeln!(out, "{diagnostic}");
        }
        let n = self.diagnostics.len();
        if n > 1 {
            let _ = writeln!(out, "{n} faults");
        }
        out
    }

    /// The diagnostics as one JSON document.
    #[must_use]
    pub fn json(&self) -> String {
        let error = ErrorBody {
            kind: self.kind,
            status: self.kind.status(),
            diagnostics: &self.diagnostics,
            deadlock: self.deadlock.as_ref(),
        };
        let text = serde_json::to_string_pretty(&ErrorDocument { error }).unwrap_or_else(|e| e.to_string());
        text + "\n"
    }
}

impl From<Error> for Failure {
    /// The exit status follows from the kind of the error; names of fields become those of options.
    fn from(error: Error) -> Failure {
        let kind = match &error {
            Error::Invalid(_) => Kind::InvalidInput,
            Error::Infeasible(_) => Kind::Infeasible,
            Error::Refused(_) => Kind::Refused,
            Error::Internal(_) => Kind::Internal,
            Error::Execution { error, .. } => match error {
                RunError::Deadlock { .. } | RunError::MemoryFault { .. } => Kind::Infeasible,
                RunError::CycleLimit { .. } | RunError::TooLarge { .. } => Kind::Refused,
                RunError::Invalid(_) => Kind::InvalidInput,
                RunError::Broken(_) => Kind::Internal,
            },
        };
        let deadlock = if let Error::Execution { error, .. } = &error { Deadlock::of(error) } else { None };
        let diagnostics = error.diagnostics().into_iter().map(|d| Diagnostic { at: option(d.at), ..d }).collect();
        Failure { kind, diagnostics, deadlock }
    }
}

/// Fields of the libraries that are options here.
const OPTIONS: [&str; 11] = [
    "arch",
    "batch",
    "lanes",
    "micro_batch",
    "models",
    "seq_len",
    "steps",
    "tokens_per_parameter",
    "trace",
    "values",
    "wave",
];

/// The place that a diagnostic of a library names, as a user knows it.
fn option(at: String) -> String {
    if OPTIONS.contains(&at.as_str()) { format!("--{}", at.replace('_', "-")) } else { at }
}

/// The meaning of a code in a sentence or two, of this package or of a library below it that has no
/// section in `docs/diagnostics.md`.
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    let own = CODES.iter().find(|(known, _)| *known == code).map(|(_, meaning)| *meaning);
    own.or_else(|| runner::diagnostic::explain(code))
        .or_else(|| report::diagnostic::explain(code))
        .or_else(|| models::diagnostic::explain(code))
}
