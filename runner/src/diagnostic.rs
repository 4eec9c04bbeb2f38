//! Codes of the diagnostics that running a model can end with, with their meaning.
//!
//! Some begin with `cli`, because they concern what is an option on the command line; that the codes
//! stay what they are is worth more than a better name.
//!
//! **Invariant.** Every code is explained once in the workspace.
//! **Not here.** Codes of models (`models::diagnostic`), of programs and machines (`sim_core::diag`).

/// Every code of this crate, with its meaning.
pub const CODES: &[(&str, &str)] = &[
    (
        "cli-arch",
        "No machine has this name, and it is not the path of a TOML file. `wafersim arch list` names the machines.",
    ),
    (
        "fold-differs",
        "`--verify-fold` found a program whose folded run and full run differ in a counter: a fault of wafersim. Results of `--fold none` do not depend on folding.",
    ),
    ("fold-small", "`--verify-fold` could not make a small model of this design: a fault of wafersim."),
    ("cli-set", "`--set` takes KEY=VALUE, such as `--set pe.sram=64KiB`. `wafersim arch show` lists the keys."),
    (
        "cli-systems",
        "A step's batch is divided evenly over the systems of a cluster: choose a batch that is a multiple of their number, or `--split pad`.",
    ),
    ("cli-batch", "A batch, micro-batch, sequence length or number of lanes must be at least 1."),
    (
        "cli-train",
        "A training run cannot be planned: it has no step, more than any run could have, or needs more systems than the machine has.",
    ),
    (
        "cli-values",
        "A run of this size, or of a batch that is filled up with sequences that count for nothing, cannot carry values. Every PE that runs code needs its whole memory in this computer's, and the f64 implementation that a step is compared with keeps every activation. Without `--values` a run takes neither, and the same cycles.",
    ),
    (
        "values-cycles",
        "A kernel took other cycles with values than without, and timing does not depend on values: a fault of wafersim, to be reported with the command.",
    ),
    (
        "run-deadlock",
        "Nothing in the simulated program can move any more, but work or wavelets are left. The PEs and colors that are listed wait for each other or for something that never comes: look for a receive without a send, for routes that differ from what the code sends, and for colors that wait for one another in a circle.",
    ),
    ("run-limit", "The run reached the number of cycles at which it was to be stopped (`--cycle-limit`)."),
    ("run-memory", "An instruction of the simulated program addressed memory that the PE does not have."),
    (
        "run-broken",
        "An invariant of every run was violated: wavelets were lost or came from nowhere, a queue held more than it can, or a PE's cycles do not add up. This is a fault of wafersim: please report it with the program.",
    ),
    ("run-host", "The run would take more memory of this computer than it may (`--memory-limit`)."),
];

/// The meaning of `code`; None if this crate has no such code.
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    CODES.iter().find(|(known, _)| *known == code).map(|(_, meaning)| *meaning)
}
