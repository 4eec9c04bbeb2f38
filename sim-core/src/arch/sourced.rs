//! A machine number and why we believe it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A number of a machine with the source that it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sourced<T> {
    /// The number.
    pub value: T,
    /// The document, measurement or reason that it comes from.
    pub source: Source,
}

/// Where a number comes from, strongest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Measured on a real machine, with the citation.
    Measured(String),
    /// Cycle counts of the vendor's fabric simulator; not silicon.
    VendorSimulator(String),
    /// Stated in a manual, paper, talk or vendor example.
    Documented(String),
    /// Follows from other numbers.
    Derived(String),
    /// Nothing public found: read off measurements of silicon, as said, and the same for all programs.
    /// Reports list it.
    Calibrated(String),
    /// Nothing public found; our choice. Reports list it.
    Assumed(String),
    /// Set by the user: the file or option.
    User(String),
}

impl Source {
    /// The kind of the source as reports show it, such as `documented`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Source::Measured(_) => "measured",
            Source::VendorSimulator(_) => "vendor simulator",
            Source::Documented(_) => "documented",
            Source::Derived(_) => "derived",
            Source::Calibrated(_) => "calibrated",
            Source::Assumed(_) => "assumed",
            Source::User(_) => "user",
        }
    }

    /// The citation of the source, or the reason for an assumption.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Source::Measured(t)
            | Source::VendorSimulator(t)
            | Source::Documented(t)
            | Source::Derived(t)
            | Source::Calibrated(t)
            | Source::Assumed(t)
            | Source::User(t) => t,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind(), self.text())
    }
}

macro_rules! ladder {
    ($($name:ident => $variant:ident),*) => {
        $(
            #[doc = concat!("A value with a source of the kind `", stringify!($variant), "`.")]
            pub(super) fn $name<T>(value: T, text: &str) -> Sourced<T> {
                Sourced { value, source: Source::$variant(text.to_owned()) }
            }
        )*
    };
}

ladder!(measured => Measured, vendor_simulator => VendorSimulator, documented => Documented, derived => Derived, calibrated => Calibrated, assumed => Assumed);
