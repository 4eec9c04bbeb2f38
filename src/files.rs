//! Reading what a user names and writing results.
//!
//! **Invariant.** Nothing is read that is larger than its kind can be, and a result file is either
//! the old one or the whole new one. What is no file, such as a device, stays what it is.

use crate::fail::{Failure, Kind};
use sim_core::diag::Diagnostic;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// What to do about a file that cannot be opened.
const OPEN_HELP: &str = "name a file that is there and may be read; the path begins at the current folder";

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// `cli-read` if it cannot be read or is larger.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let diagnostic = |message: String, kind| Failure::one(kind, Diagnostic::new("cli-read", path.display(), message));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| {
        let unreadable = Diagnostic::new("cli-read", path.display(), e.to_string());
        Failure::one(Kind::InvalidInput, unreadable.help(OPEN_HELP))
    })?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| diagnostic(e.to_string(), Kind::InvalidInput))?;
    if bytes.len() as u64 > limit {
        return Err(diagnostic(format!("the file is larger than {limit} bytes"), Kind::Refused));
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

/// Where a part of the result goes.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// The option that says so.
    pub option: &'static str,
    /// The file or folder.
    pub path: &'a Path,
    /// Whether it is a folder, which is made if it is not there.
    pub folder: bool,
}

/// Whether everything can go where it shall, as far as that can be known before there is anything.
///
/// # Errors
/// `cli-write` for a file in a folder that is not there, for a file that is a folder and the other
/// way round, and for two results of one name.
pub fn check(destinations: &[Destination<'_>]) -> Result<(), Failure> {
    let mut seen: BTreeMap<PathBuf, &str> = BTreeMap::new();
    let mut diagnostics = Vec::new();
    for d in destinations {
        let name = d.path.display();
        let mut diagnostic = |message: String, help: &str| {
            diagnostics.push(Diagnostic::new("cli-write", d.option, message).help(help));
        };
        let place = std::fs::canonicalize(d.path).or_else(|_| std::path::absolute(d.path));
        let other = seen.insert(place.unwrap_or_else(|_| d.path.to_owned()), d.option);
        if let Some(other) = other.filter(|_| !special(d.path)) {
            diagnostic(format!("{name} is what {other} names, too"), "another name");
        } else if d.folder && d.path.exists() && !d.path.is_dir() {
            diagnostic(format!("{name} is a file, and a folder is needed"), "another name");
        } else if !d.folder && d.path.is_dir() {
            diagnostic(format!("{name} is a folder, and a file is needed"), "the name of a file in it");
        } else if !d.folder && !parent(d.path).is_dir() {
            diagnostic(format!("there is no folder {} for it", parent(d.path).display()), "make the folder first");
        }
    }
    if diagnostics.is_empty() { Ok(()) } else { Err(Failure::many(Kind::InvalidInput, diagnostics)) }
}

/// The folder that a file is in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether something is there that is neither file nor folder: a device, a pipe.
#[must_use]
pub fn special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir())
}

/// Writes a file: a temporary one beside it, which then takes its name. Through a link it is the file
/// behind it; a device or a pipe is written to, and never replaced.
///
/// # Errors
/// `cli-write` if the folder or the file cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = || -> std::io::Result<()> {
        let _writing = crate::interrupt::writing();
        if special(path) {
            return match File::options().write(true).open(path)?.write_all(bytes) {
                // A reader that has gone away is not an error.
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
                done => done,
            };
        }
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let new = tempfile::Builder::new().prefix(".wafersim-").permissions(permissions()).tempfile_in(parent(&path));
        let mut file = new?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileTypeExt;

    #[test]
    fn what_is_no_file_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(special(&socket) && write(&socket, b"text").is_err(), "a socket cannot be opened");
        assert!(std::fs::metadata(&socket).unwrap().file_type().is_socket());

        let [file, link] = ["file", "link"].map(|name| folder.path().join(name));
        write(&file, b"old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, b"new").unwrap();
        assert!(link.is_symlink() && std::fs::read(&file).unwrap() == b"new");
    }

    #[test]
    fn all_places_are_checked_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(&at("file"), b"").unwrap();
        let [file, other, missing, new, plots] = ["file", "x/../file", "none/file", "new", "plots"].map(at);
        std::fs::create_dir(at("x")).unwrap();
        let to = |option, path, folder| Destination { option, path, folder };
        let all = [
            to("-o", file.as_path(), false),
            to("--report", &other, false),
            to("--trace", folder.path(), false),
            to("--manifest", &missing, false),
            to("--plot", &file, true),
            to("--wave", &new, false),
        ];
        let failure = check(&all).unwrap_err();
        let said: Vec<(String, bool)> =
            failure.diagnostics.iter().map(|f| (f.at.to_string(), f.message.contains("too"))).collect();
        let want = [("--report", true), ("--trace", false), ("--manifest", false), ("--plot", true)];
        assert_eq!(said, want.map(|(at, too)| (at.to_owned(), too)));
        assert!(check(&[to("-o", &new, false), to("--plot", &plots, true)]).is_ok());
        assert!(check(&[to("--plot", &file, true)]).is_err());
    }
}
