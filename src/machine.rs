//! `--arch` and `--set`: a preset or a TOML file, then single numbers.
//!
//! **Invariant.** A machine that leaves here has been validated; all faults of the file, of every
//! `--set` and of the machine as a whole are returned together.
//! **Not here.** Keys, units and rules (`sim_core::arch`).

use crate::fail::{Failure, Kind};
use crate::files;
use sim_core::arch::{self, ArchSpec};
use sim_core::diag::Diagnostic;
use std::path::Path;

/// Builds the machine that the options describe.
///
/// # Errors
/// Every fault at once.
pub fn build(name: &str, sets: &[String]) -> Result<ArchSpec, Failure> {
    let mut faults = Vec::new();
    let base = base(name);
    let known = base.is_ok();
    let mut spec = match base {
        Ok(spec) => spec,
        Err(failure) if failure.kind == Kind::Refused => return Err(failure),
        Err(failure) => {
            faults.extend(failure.faults);
            arch::cs2::cs2()
        }
    };
    for set in sets {
        if set.contains('=') {
            faults.extend(spec.set(set, &format!("--set {set}")).err());
        } else {
            let help = "KEY=VALUE, such as pe.sram=64KiB";
            faults.push(Diagnostic::new("cli-set", format!("--set {set}"), "has no `=`").help(help));
        }
    }
    // What a machine that was not read implies is not the user's fault.
    if known {
        for fault in spec.validate() {
            if !faults.iter().any(|known| known.message == fault.message) {
                faults.push(fault);
            }
        }
    }
    if faults.is_empty() { Ok(spec) } else { Err(Failure::many(Kind::InvalidInput, faults)) }
}

fn base(name: &str) -> Result<ArchSpec, Failure> {
    if let Some(spec) = arch::preset(name) {
        return Ok(spec);
    }
    let path = Path::new(name);
    if !(path.extension().is_some_and(|e| e == "toml") || path.is_file()) {
        let help = format!("one of {}, or the path of a TOML file", arch::PRESETS.join(", "));
        let fault = Diagnostic::new("cli-arch", "--arch", format!("there is no machine `{name}`")).help(help);
        return Err(Failure::one(Kind::InvalidInput, fault));
    }
    let text = files::read_text(path, arch::MAX_FILE as u64)?;
    ArchSpec::from_toml(&text, name).map_err(|faults| Failure::many(Kind::InvalidInput, faults))
}
