//! A machine with single numbers changed.
//!
//! **Invariant.** A machine that leaves here has been validated; all diagnostics of the machine it is
//! made from, of every change and of the machine as a whole are returned together.
//! **Not here.** Keys, units and rules (`sim_core::arch`), reading files.

use crate::error::Error;
use sim_core::arch::{self, ArchSpec};
use sim_core::diag::Diagnostic;

/// The machine of this name, from `sim_core::arch::PRESETS`.
///
/// # Errors
/// If there is none.
pub fn preset(name: &str) -> Result<ArchSpec, Error> {
    arch::preset(name).ok_or_else(|| {
        let help = format!("one of {}, or the path of a TOML file", arch::PRESETS.join(", "));
        Error::invalid(Diagnostic::new("cli-arch", "arch", format!("there is no machine `{name}`")).help(help))
    })
}

/// A machine in which each of `sets`, such as `pe.sram=64KiB`, replaces a number. What is wrong with
/// `base` is returned beside what is wrong with the changes.
///
/// # Errors
/// Every diagnostic at once.
pub fn changed(base: Result<ArchSpec, Error>, sets: &[String]) -> Result<ArchSpec, Error> {
    let mut diagnostics = Vec::new();
    let known = base.is_ok();
    let mut spec = match base {
        Ok(spec) => spec,
        Err(Error::Invalid(all)) => {
            diagnostics.extend(all);
            arch::cs2::cs2()
        }
        Err(refused) => return Err(refused),
    };
    for set in sets {
        if set.contains('=') {
            diagnostics.extend(spec.set(set, &format!("--set {set}")).err());
        } else {
            let help = "KEY=VALUE, such as pe.sram=64KiB";
            diagnostics.push(Diagnostic::new("cli-set", format!("--set {set}"), "has no `=`").help(help));
        }
    }
    // What a machine that was not read implies is not the user's fault.
    if known {
        for diagnostic in spec.validate() {
            if !diagnostics.iter().any(|known| known.message == diagnostic.message) {
                diagnostics.push(diagnostic);
            }
        }
    }
    if diagnostics.is_empty() { Ok(spec) } else { Err(Error::Invalid(diagnostics)) }
}

/// A machine with another number of systems.
///
/// # Errors
/// If it cannot have that many.
pub fn with_systems(arch: &ArchSpec, systems: u32) -> Result<ArchSpec, Error> {
    changed(Ok(arch.clone()), &[format!("cluster.systems={systems}")])
}

/// Numbers in which two machines differ: key, value of the first and value of the second.
#[must_use]
pub fn differences(a: &ArchSpec, b: &ArchSpec) -> Vec<(String, String, String)> {
    let pairs = a.entries().into_iter().zip(b.entries());
    pairs.filter(|(a, b)| a.value != b.value).map(|(a, b)| (a.key, a.value, b.value)).collect()
}
