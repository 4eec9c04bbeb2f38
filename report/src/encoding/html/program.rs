//! The page of one program: what `wafersim simulate --report` writes.
//!
//! **Invariant.** Long lists are cut, and the page says at what length.
//! **Not here.** Executing and watching the program (the command line).

use super::table::table;
use super::{Parts, grouped, map, rendered};
use crate::Tabular;
use crate::profile::{self, ProfileRow};
use crate::row;
use crate::simulate::{SimulateReport, ValuesReport};
use crate::table::{Beginning, Cell, Table, percent};
use crate::why::ProgramAnswer;
use askama::Template;
use runner::Error;
use runner::heat::Heat;

/// Most buffers whose values are shown, and most elements of each.
const BUFFERS: usize = 200;
const ELEMENTS: usize = 16;

/// What a program's page is drawn from.
#[derive(Debug)]
pub struct ProgramPage<'a> {
    /// The report.
    pub report: &'a SimulateReport,
    /// What the PEs did and the links carried.
    pub heat: &'a Heat,
    /// What bounds it; else why that is not known.
    pub bounds: Result<ProgramAnswer, String>,
    /// What was seen of it cycle by cycle; else why it was not watched.
    pub watched: Result<&'a Watched, String>,
    /// Why it ended before its end, at length.
    pub stopped: Option<String>,
    /// How many expectations of values the text has.
    pub expectations: usize,
    /// What is not as the text expects.
    pub differences: Vec<String>,
}

/// What was seen of a program while it was executed.
#[derive(Debug)]
pub struct Watched {
    /// Where the cycles went.
    pub profile: Vec<ProfileRow>,
    /// The first events.
    pub events: Beginning,
    /// The first time stamps.
    pub stamps: Beginning,
}

#[derive(Template)]
#[template(path = "program.html")]
struct Page<'a> {
    title: String,
    subtitle: String,
    cards: Vec<(&'static str, String, String)>,
    command: &'a str,
    data: String,
    whole: Parts,
    stopped: Option<&'a str>,
    bounds: String,
    about_bounds: String,
    folds: Vec<&'a str>,
    tasks: String,
    about_profile: String,
    instructions: String,
    expectations: String,
    differences: &'a [String],
    about_values: String,
    values: String,
    about_stamps: String,
    stamps: String,
    about_events: String,
    events: String,
}

/// The page.
///
/// # Errors
/// If the page cannot be put together: then the template is wrong.
pub fn page(source: &ProgramPage<'_>) -> Result<String, Error> {
    let report = source.report;
    let (bounds, about_bounds) = bounds(&source.bounds)?;
    let (about_values, values) = values(report.values.as_ref())?;
    let watched = source.watched.as_ref().ok();
    let (about_stamps, stamps) = beginning(watched.map(|w| &w.stamps), "time stamps")?;
    let (about_events, events) = beginning(watched.map(|w| &w.events), "events")?;
    let profile = watched.map_or(&[][..], |w| &w.profile);
    let mesh = source.heat.mesh;
    let page = Page {
        title: format!("{} on {}", report.program, report.arch.name),
        subtitle: format!("one program on {mesh} PEs, {} cycles", grouped(report.cycles)),
        cards: cards(report, mesh.pes()),
        command: &report.command,
        data: map::data(source.heat)?,
        whole: Parts::of(report.pe_cycles),
        stopped: source.stopped.as_deref(),
        bounds,
        about_bounds,
        folds: report.folds.iter().map(|fold| fold.text.as_str()).collect(),
        tasks: table(&profile::tasks(profile))?,
        about_profile: match &source.watched {
            Ok(_) => "Each cycle of each PE is in one row; issue and set-up together are compute.".to_owned(),
            Err(why) => why.clone(),
        },
        instructions: if profile.is_empty() { String::new() } else { table(&profile::summary(profile))? },
        expectations: expectations(source),
        differences: &source.differences,
        about_values,
        values,
        about_stamps,
        stamps,
        about_events,
        events,
    };
    rendered(&page)
}

fn cards(report: &SimulateReport, pes: u64) -> Vec<(&'static str, String, String)> {
    let p = report.pe_cycles;
    let share = |part| format!("{} %", percent(part, p.total()));
    let rate = report.macs as f64 / (report.cycles * pes).max(1) as f64;
    vec![
        ("cycles", grouped(report.cycles), report.stopped.as_ref().map_or("to its end", |_| "until it stopped").into()),
        ("compute", share(p.compute), format!("{} PE-cycles", grouped(p.compute))),
        ("wait", share(p.wait), format!("{} PE-cycles", grouped(p.wait))),
        ("back-pressure", share(p.back_pressure), format!("{} PE-cycles", grouped(p.back_pressure))),
        ("idle", share(p.idle), format!("{} PE-cycles", grouped(p.idle))),
        ("multiply-adds", grouped(report.macs), format!("{rate:.3} per PE and cycle")),
        ("link crossings", grouped(report.wavelet_hops), "of all wavelets".to_owned()),
    ]
}

fn bounds(bounds: &Result<ProgramAnswer, String>) -> Result<(String, String), Error> {
    match bounds {
        Err(why) => Ok((String::new(), why.clone())),
        Ok(answer) => {
            let about = "Executed again without one limit at a time, as wafersim why does. Costs do not add up: behind a lifted limit stands the next one.";
            Ok((table(&answer.table())?, about.to_owned()))
        }
    }
}

/// How much there is of a list, and what is shown of it.
fn beginning(of: Option<&Beginning>, what: &str) -> Result<(String, String), Error> {
    let Some(Beginning { rows, missing }) = of else { return Ok((String::new(), String::new())) };
    let n = grouped(rows.rows().len() as u64);
    let about = match missing {
        None => format!("All {n} {what}."),
        Some((more, cycle)) => {
            format!("The first {n} {what}; {} more follow from cycle {} on.", grouped(*more), grouped(*cycle))
        }
    };
    Ok((about, table(rows)?))
}

fn expectations(source: &ProgramPage<'_>) -> String {
    let carried = source.report.values.is_some();
    match (source.differences.len(), source.expectations) {
        _ if source.stopped.is_some() => "The run did not come to its end: nothing was checked.".to_owned(),
        (0, 0) => "What the program expects is met; it expects nothing of values.".to_owned(),
        (0, n) if carried => format!("What the program expects is met, of values as well (expectations: {n})."),
        (0, n) => format!("What it expects of values was not checked (expectations: {n}): --values checks it."),
        (n, _) => format!("Not as the program expects (differences: {n}):"),
    }
}

/// The first buffers and what left at the edges.
fn values(values: Option<&ValuesReport>) -> Result<(String, String), Error> {
    let Some(values) = values else {
        return Ok(("The run carried no numbers: --values does.".to_owned(), String::new()));
    };
    let mut rows = Table::new(&["x", "y", "name", "elements", "values"]);
    for b in values.buffers.iter().take(BUFFERS) {
        let shown = first(&b.values, |x| x.to_string());
        rows.row(row![b.x, b.y, b.name.clone(), Cell::Count(b.values.len() as u64), shown]);
    }
    for e in values.edges.iter().take(BUFFERS) {
        let shown = first(&e.words, |word| format!("{word:#010x}"));
        let name = format!("edge {} port {}", e.stream, e.port);
        rows.row(row![Cell::Empty, Cell::Empty, name, Cell::Count(e.words.len() as u64), shown]);
    }
    let (all, edges) = (values.buffers.len(), values.edges.len());
    let cut = |n: usize| if n > BUFFERS { format!("the first {BUFFERS} of {n}") } else { n.to_string() };
    let about = format!(
        "Named buffers of the PEs ({}) and what left at the edges ({} ports), at most {ELEMENTS} elements of each.",
        cut(all),
        cut(edges)
    );
    Ok((about, table(&rows)?))
}

fn first<T>(all: &[T], show: impl Fn(&T) -> String) -> String {
    let shown: Vec<String> = all.iter().take(ELEMENTS).map(show).collect();
    shown.join(", ") + if all.len() > ELEMENTS { ", …" } else { "" }
}
