//! Ctrl-C: complete files or none, and how to go on.
//!
//! **Invariant.** A file that is being written is finished first, so none is cut short and no
//! temporary one is left.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Exit status of an interrupted run.
pub const STATUS: i32 = 130;

/// Held while a file is written.
static WRITING: Mutex<()> = Mutex::new(());
/// What is said when the run is interrupted.
static ADVICE: Mutex<String> = Mutex::new(String::new());

/// Installs the handler.
pub fn install() {
    // Without a handler the system's own ends the process: also without half a result.
    let _ = ctrlc::set_handler(|| {
        let _writing = writing();
        let advice = ADVICE.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody is left to tell when even this cannot be printed.
        let text = format!("interrupted: every file that was written is complete. {advice}");
        let _ = writeln!(std::io::stderr(), "\n{}", text.trim_end());
        std::process::exit(STATUS);
    });
}

/// What an interrupted user should know from now on.
pub fn advise(text: &str) {
    text.clone_into(&mut ADVICE.lock().unwrap_or_else(PoisonError::into_inner));
}

/// The process does not end by an interrupt while this is held.
pub fn writing() -> MutexGuard<'static, ()> {
    WRITING.lock().unwrap_or_else(PoisonError::into_inner)
}
