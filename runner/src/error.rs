//! Why a model could not be run.
//!
//! **Invariant.** Whatever a caller hands in ends here, never in a panic. All diagnostics of an input
//! are returned at once.
//! **Not here.** Exit statuses and the words of an option on a command line: the caller adds them.

use models::diagnostic;
use sim_core::diag::Diagnostic;
use sim_core::error::RunError;
use std::fmt;

/// Why there is no result, by whose part it is to change that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The model, the machine or an option is wrong, and the caller can mend it.
    Invalid(Vec<Diagnostic>),
    /// What is asked for is well formed, and does not fit on the machine.
    Infeasible(Vec<Diagnostic>),
    /// A limit refused it before anything large was allocated.
    Refused(Vec<Diagnostic>),
    /// A program was executed, and failed: a deadlock, a limit of cycles or memory.
    Execution {
        /// What was executed, such as ``kernel `gemm qkv` ``.
        at: String,
        /// The evidence.
        error: RunError,
    },
    /// A bug of this library, to be reported.
    Internal(Vec<Diagnostic>),
}

impl Error {
    /// An [`Error::Invalid`] with one diagnostic.
    #[must_use]
    pub fn invalid(diagnostic: Diagnostic) -> Error {
        Error::Invalid(vec![diagnostic])
    }

    /// An [`Error::Internal`] with one diagnostic.
    #[must_use]
    pub fn internal(diagnostic: Diagnostic) -> Error {
        Error::Internal(vec![diagnostic])
    }

    /// The diagnostics of a model; `at` names the place that each of them is about.
    #[must_use]
    pub fn of_model(diagnostics: &[Diagnostic], at: impl Fn(&Diagnostic) -> String) -> Error {
        let refused = !diagnostics.is_empty() && diagnostics.iter().all(diagnostic::is_limit);
        let all = diagnostics.iter().map(|d| Diagnostic { at: at(d), ..d.clone() }).collect();
        if refused { Error::Refused(all) } else { Error::Invalid(all) }
    }

    /// The error of a program whose verification failed: infeasible if all diagnostics say that it
    /// does not fit or has no route, otherwise the program itself is wrong.
    #[must_use]
    pub fn of_program(diagnostics: Vec<Diagnostic>) -> Error {
        let unfit = |d: &Diagnostic| matches!(d.code.as_str(), "R020" | "R024" | "R027");
        if diagnostics.iter().all(unfit) { Error::Infeasible(diagnostics) } else { Error::Invalid(diagnostics) }
    }

    /// Changes the diagnostics of an error; that of an execution has none of its own, and stays as it is.
    #[must_use]
    pub fn mapped(self, change: impl Fn(Vec<Diagnostic>) -> Vec<Diagnostic>) -> Error {
        match self {
            Error::Invalid(all) => Error::Invalid(change(all)),
            Error::Infeasible(all) => Error::Infeasible(change(all)),
            Error::Refused(all) => Error::Refused(change(all)),
            Error::Internal(all) => Error::Internal(change(all)),
            Error::Execution { .. } => self,
        }
    }

    /// What is wrong, item by item.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        match self {
            Error::Invalid(all) | Error::Infeasible(all) | Error::Refused(all) | Error::Internal(all) => all.clone(),
            Error::Execution { error: RunError::Invalid(all), .. } => all.clone(),
            Error::Execution { at, error } => vec![executed(at, error)],
        }
    }
}

/// A program that failed, as a diagnostic.
fn executed(at: &str, error: &RunError) -> Diagnostic {
    let (code, help) = match error {
        RunError::Deadlock { .. } => ("run-deadlock", ""),
        RunError::CycleLimit { .. } => ("run-limit", "a higher --cycle-limit lets it go on"),
        RunError::MemoryFault { .. } => ("run-memory", ""),
        RunError::Broken(_) => ("run-broken", ""),
        RunError::TooLarge { .. } => ("run-host", "a higher --memory-limit, a smaller mesh, or --fold time,space"),
        RunError::Invalid(_) => ("run-broken", ""),
    };
    Diagnostic::new(code, at, error.to_string().as_str()).help(help)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.diagnostics().iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
