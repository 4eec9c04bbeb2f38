//! Reading what a user names and writing results.
//!
//! **Invariant.** Nothing is read that is larger than its kind can be, and a result file is either
//! the old one or the whole new one.

use crate::fail::{Failure, Kind};
use sim_core::diag::Diagnostic;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// `cli-read` if it cannot be read or is larger.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let fault = |message: String, kind| Failure::one(kind, Diagnostic::new("cli-read", path.display(), message));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| fault(e.to_string(), Kind::InvalidInput))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| fault(e.to_string(), Kind::InvalidInput))?;
    if bytes.len() as u64 > limit {
        return Err(fault(format!("the file is larger than {limit} bytes"), Kind::Refused));
    }
    Ok(bytes)
}

/// Reads a text file of at most `limit` bytes.
///
/// # Errors
/// `cli-read` if it cannot be read, is larger, or is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String, Failure> {
    String::from_utf8(read(path, limit)?).map_err(|e| {
        let message = format!("not UTF-8 text (byte {})", e.utf8_error().valid_up_to());
        Failure::one(Kind::InvalidInput, Diagnostic::new("cli-read", path.display(), message))
    })
}

/// Writes a file: a temporary one beside it, which then takes its name.
///
/// # Errors
/// `cli-write` if the folder or the file cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = || -> std::io::Result<()> {
        let _writing = crate::interrupt::writing();
        let mut file = tempfile::Builder::new().prefix(".wafersim-").permissions(permissions()).tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    written().map_err(|e| Failure::one(Kind::InvalidInput, Diagnostic::new("cli-write", path.display(), e.to_string())))
}

/// Makes a folder, if it is not there.
///
/// # Errors
/// `cli-write` if it cannot be made.
pub fn folder(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path)
        .map_err(|e| Failure::one(Kind::InvalidInput, Diagnostic::new("cli-write", path.display(), e.to_string())))
}

/// What a new file may: as the user's mask says, instead of a temporary file's owner only.
fn permissions() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    std::fs::Permissions::from_mode(0o666)
}
