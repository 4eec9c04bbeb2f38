//! Reports as pages: no network, no other file, they open from disk.
//!
//! **Invariant.** Every text of a user's is escaped by the templates.
//! **Not here.** How the pages look and act (`report/templates/`).

mod map;
pub mod program;
pub mod step;
mod table;

use crate::table as shown;
use askama::Template;
use runner::Error;
use sim_core::diag::Diagnostic;
use sim_core::report::PeCycles;

/// Shares of PE-cycles in per cent.
struct Parts {
    compute: String,
    wait: String,
    back: String,
    idle: String,
    title: String,
}

impl Parts {
    fn of(p: PeCycles) -> Parts {
        let whole = p.total();
        let (compute, wait, back) = (tenths(p.compute, whole), tenths(p.wait, whole), tenths(p.back_pressure, whole));
        let idle = tenths(p.idle, whole);
        let title = format!("compute {compute} %, wait {wait} %, back-pressure {back} %, idle {idle} %");
        Parts { compute, wait, back, idle, title }
    }
}

/// A number in groups of digits that stay on one line.
fn grouped(n: u64) -> String {
    shown::grouped(n).replace(' ', "\u{a0}")
}

/// A number of bytes that stays on one line.
fn bytes(n: u64) -> String {
    shown::bytes(n).replace(' ', "\u{a0}")
}

fn tenths(part: u64, whole: u64) -> String {
    format!("{:.1}", 100.0 * part as f64 / whole.max(1) as f64)
}

/// A page that is put together; if that fails, its template is wrong.
fn rendered(page: &impl Template) -> Result<String, Error> {
    page.render().map_err(|e| Error::internal(Diagnostic::new("cli-plot", "--report", e.to_string())))
}
