//! Looking inside a program's run: counters, profile, events and traces, also of a run that stops.
//!
//! Counters come with every run. What else can be seen is watched on the reference engine, which executes
//! the program a second time, unfolded; so does a run that stopped, up to where it stopped.
//!
//! **Invariant.** Looking changes nothing: a run that is watched has the cycles of one that is not.
//! **Not here.** What is shown, and how (`report`).

use super::options::RunLimits;
use super::output::Output;
use super::trace::ProgramTrace;
use crate::fail::{Failure, Kind};
use crate::files::Destination;
use crate::{host, npy};
use clap::Args;
use fabric::RunOptions;
use fabric::reference::charge::Charge;
use fabric::reference::watch::{Seen, Watch};
use report::counters::{Counters, NAMES};
use report::encoding::events::EventLog;
use report::encoding::html::program::Watched;
use report::encoding::of_file;
use report::encoding::perfetto::pe::Recorder;
use report::encoding::trace_window::TraceWindow;
use report::listing::Listing;
use report::profile::Profiler;
use report::simulate::Inside;
use report::stamps::StampLog;
use report::table::Table;
use runner::Error;
use runner::heat::Heat;
use runner::program::{ExecutedProgram, Numbers, execute, observe};
use runner::verify_fold::{self, FoldVerification};
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, PeCoord};
use sim_core::diag::Diagnostic;
use sim_core::error::RunError;
use sim_core::program::Program;
use sim_core::program::parse::SourceMap;
use sim_core::report::FoldNote;
use std::path::{Path, PathBuf};

/// Most PE-cycles that are watched without being forced: some minutes.
const MOST: u64 = 1 << 30;
/// Events and time stamps that a page shows.
const SHOWN: usize = 400;
/// Why a page has nothing of single cycles.
const UNWATCHED: &str = "The run was not watched cycle by cycle, which would take minutes: there are no profile, time stamps and events. A smaller program has them; --force watches this one.";

/// What is shown of the inside of a run.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct InsideOptions {
    #[command(flatten)]
    trace: ProgramTrace,
    /// Writes all counters of every PE, in the form that the ending says: .csv, .parquet, .json, or .npy
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    counters: Option<PathBuf>,
    /// Writes who selected, issued and sent what in which cycle, as CSV. The program is executed once more
    /// for it, without folding
    #[arg(long, value_name = "FILE.csv", help_heading = "Output")]
    events: Option<PathBuf>,
    /// Most events that are written
    #[arg(long, value_name = "N", default_value_t = 1_000_000, help_heading = "Output")]
    events_limit: u64,
    /// Lists the cycles of every task and instruction, those with most first. The program is executed once
    /// more for it, without folding
    #[arg(long, help_heading = "Output")]
    profile: bool,
}

impl InsideOptions {
    /// Files that are written, with the options that name them.
    pub(super) fn destinations(&self) -> Vec<Destination<'_>> {
        let own = [("--counters", &self.counters), ("--events", &self.events)];
        let own = own.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?)));
        let own = own.map(|(option, path)| Destination { option, path, folder: false });
        self.trace.destinations().into_iter().chain(own).collect()
    }

    /// Files that are written.
    pub(super) fn files(&self) -> Vec<&Path> {
        self.destinations().iter().map(|d| d.path).collect()
    }

    /// What of the options is in the report, as on a command line.
    pub(super) fn command(&self) -> &'static str {
        if self.profile { " --profile" } else { "" }
    }

    /// Whether the run has to be watched.
    fn watches(&self) -> bool {
        self.profile || self.events.is_some() || !self.trace.files().is_empty()
    }
}

/// A program, and how it is executed.
pub(super) struct ProgramJob<'a> {
    pub(super) program: &'a Program,
    pub(super) arch: &'a ArchSpec,
    /// Where the program comes from, for messages.
    pub(super) at: String,
    pub(super) limits: &'a RunLimits,
    /// Whether the PEs' last cycles are listed.
    pub(super) finish: bool,
    /// Whether numbers are listed.
    pub(super) values: bool,
    /// Real numbers that are carried.
    pub(super) numbers: Numbers<'a>,
    /// Where its parts stand in its text.
    pub(super) map: Option<&'a SourceMap>,
    /// What shall be seen of it.
    pub(super) inside: &'a InsideOptions,
    /// Whether all is gathered that a page of it shows.
    pub(super) page: bool,
    pub(super) output: &'a Output,
}

/// A program that was executed, to its end or not, and what was seen of it.
pub(super) struct Looked {
    pub(super) executed: ExecutedProgram,
    pub(super) inside: Inside,
    /// Why it ended before its end.
    pub(super) stopped: Option<Failure>,
    /// Files that were asked for.
    pub(super) files: Vec<(PathBuf, Vec<u8>)>,
    /// What a page shows of it cycle by cycle; else why it was not watched for that.
    pub(super) watched: Result<Watched, String>,
}

/// Why a run stopped, and the first cycle that it did not reach, as far as that is known.
struct Stop {
    error: Error,
    cycles: u64,
}

impl ProgramJob<'_> {
    /// Executes the program, and looks at what is asked for.
    ///
    /// # Errors
    /// If it cannot be executed; if it stops and nothing is asked for; if what is asked for would be too large.
    pub(super) fn look(&self) -> Result<Looked, Failure> {
        let (executed, stop) = match self.execute()? {
            Ok(executed) => (Some(executed), None),
            Err(stop) => (None, Some(stop)),
        };
        let mut looked = match executed {
            Some(executed) if !self.inside.watches() && !self.watches_for_page(executed.outcome.cycles.0) => {
                let watched = Err(UNWATCHED.to_owned());
                Looked { executed, inside: Inside::default(), stopped: None, files: Vec::new(), watched }
            }
            executed => self.watched(executed, stop)?,
        };
        if let Some(path) = &self.inside.counters {
            let bytes = self.counters(path, &looked.executed)?;
            looked.files.push((path.clone(), bytes));
        }
        Ok(looked)
    }

    /// Executes the program, unless it is known that its trace will be refused.
    fn execute(&self) -> Result<Result<ExecutedProgram, Stop>, Failure> {
        let mut options = self.options();
        let trace = &self.inside.trace;
        let most = trace.most_cycles(self.program.grid())?.filter(|most| *most < options.cycle_limit);
        options.cycle_limit = most.unwrap_or(options.cycle_limit);
        let pool = host::pool(self.limits.threads())?;
        let done = pool.install(|| execute(self.program, self.arch, &options, self.numbers, &self.at));
        let error = match done {
            Ok(executed) => return Ok(Ok(executed)),
            Err(error) => error,
        };
        let Error::Execution { error: why, .. } = &error else { return Err(error.into()) };
        let cycles = match (why, most) {
            (RunError::CycleLimit { .. }, Some(most)) => return Err(trace.refusal(most)),
            (RunError::CycleLimit { limit }, None) => *limit,
            (RunError::Deadlock { at, .. } | RunError::MemoryFault { at, .. }, _) => at.0 + 1,
            _ => return Err(error.into()),
        };
        let inside = self.page || self.inside.profile || !self.inside.destinations().is_empty();
        let asked = self.finish || self.values || inside;
        if asked { Ok(Err(Stop { error, cycles })) } else { Err(error.into()) }
    }

    fn options(&self) -> RunOptions {
        let cells = self.page.then(|| Heat::new(self.program.grid()).cell);
        RunOptions { cells, ..self.limits.options(self.finish || self.inside.counters.is_some()) }
    }

    /// Whether a run of so many cycles is watched for a page: if that takes no more than some minutes.
    fn watches_for_page(&self, cycles: u64) -> bool {
        self.page && self.affordable(cycles).is_ok()
    }

    /// Executes the program again, and watches. Without an outcome, it is that of what is executed here.
    fn watched(&self, executed: Option<ExecutedProgram>, stop: Option<Stop>) -> Result<Looked, Failure> {
        let cycles = executed.as_ref().map_or(u64::MAX, |e| e.outcome.cycles.0);
        let known = stop.as_ref().map_or(cycles, |stop| stop.cycles);
        // Where exactly it stops is seen when it does.
        let mut part = self.inside.trace.part(self.program.grid(), known)?;
        if part.window.end == known {
            part.window.end = part.window.end.max(cycles);
        }
        let page = self.watches_for_page(known);
        let all = page || stop.is_some() || self.inside.profile;
        if let Err(refusal) = self.affordable(if all { known } else { part.window.end }) {
            let Some(stop) = stop else { return Err(refusal) };
            self.output
                .warn(&format!("what the run had when it stopped is not written: {}", refusal.text().trim_end()));
            return Err(stop.error.into());
        }
        let cycle_limit = if all { self.limits.cycle_limit } else { part.window.end };
        let options = RunOptions { cycle_limit, ..self.options() };
        self.output.stage(&format!("once more on the reference engine, unfolded: {known} cycles"));
        let listing = Listing::of(self.program, self.map);
        let mut watcher = self.watcher(&listing, part, page)?;
        let (seen, _) = observe(self.program, self.arch, &options, self.numbers, &self.at, &mut watcher)?;
        self.gathered(watcher, executed, seen, stop)
    }

    /// Whether so many cycles can be watched.
    fn affordable(&self, cycles: u64) -> Result<(), Failure> {
        let pes = self.program.grid().pes();
        if cycles.saturating_mul(pes) <= MOST || self.inside.trace.forced() {
            return Ok(());
        }
        let message =
            format!("{cycles} cycles of {pes} PEs would be watched; without being forced at most {MOST} PE-cycles are");
        let help = "a smaller program, an earlier end of --window A..B for --events, or --force";
        Err(Failure::one(Kind::Refused, Diagnostic::new("cli-trace", &self.at, message).help(help)))
    }

    fn watcher<'l>(&'l self, listing: &'l Listing, part: TraceWindow, page: bool) -> Result<Watcher<'l>, Failure> {
        let inside = self.inside;
        Ok(Watcher {
            listing,
            recorder: inside.trace.recorder(self.program, &part)?,
            events: inside.events.as_ref().map(|_| EventLog::new(listing, inside.events_limit)),
            profile: (inside.profile || page).then(|| Profiler::new(listing)),
            page: page.then(|| (EventLog::table(listing, SHOWN as u64), StampLog::new(listing, SHOWN))),
            part,
        })
    }

    /// What came of watching.
    fn gathered(
        &self,
        watcher: Watcher<'_>,
        executed: Option<ExecutedProgram>,
        seen: ExecutedProgram,
        stop: Option<Stop>,
    ) -> Result<Looked, Failure> {
        let Watcher { listing, part, recorder, events, profile, page } = watcher;
        let end = part.window.end.min(seen.outcome.cycles.0);
        let mut files = recorder.map_or(Ok(Vec::new()), |recorder| self.inside.trace.recorded(recorder, end))?;
        if let (Some(log), Some(path)) = (events, &self.inside.events) {
            if let Some((missing, cycle)) = log.missing {
                let limit = self.inside.events_limit;
                self.output.warn(&format!(
                    "{} has the first {limit} events; {missing} from cycle {cycle} on are left out. --events-limit N allows more, --window A..B and --region x0..x1,y0..y1 choose",
                    path.display()
                ));
            }
            files.push((path.clone(), log.finish()));
        }
        let cycles = end.saturating_sub(part.window.start);
        let profile = profile.map(|profiler| profiler.rows(listing, cycles * part.pes()));
        let watched = match (page, &profile) {
            (Some((events, stamps)), Some(rows)) => {
                Ok(Watched { profile: rows.clone(), events: events.rows(), stamps: stamps.rows() })
            }
            _ => Err(UNWATCHED.to_owned()),
        };
        let profile = profile.filter(|_| self.inside.profile);
        let stopped = stop.as_ref().map(|stop| reason(&stop.error));
        let executed = executed.unwrap_or_else(|| up_to_the_stop(seen));
        let stop = stop.map(|stop| stop.error.into());
        Ok(Looked { executed, inside: Inside { stopped, profile }, stopped: stop, files, watched })
    }

    /// All counters, in the form that the file's ending says.
    fn counters(&self, path: &Path, executed: &ExecutedProgram) -> Result<Vec<u8>, Failure> {
        let counters = Counters::new(self.program.grid(), executed.outcome.per_pe.clone().unwrap_or_default());
        if path.extension().is_some_and(|ending| ending == "npy") {
            return Ok(npy::records(NAMES, counters.width.into(), counters.numbers()));
        }
        Ok((of_file(path).encode)(&counters)?)
    }

    /// Executes programs folded and in full.
    pub(super) fn verified(
        &self,
        programs: impl Iterator<Item = Program>,
        seed: u64,
    ) -> Result<FoldVerification, Failure> {
        let pool = host::pool(self.limits.threads())?;
        let compare = |p: Program| verify_fold::compare(&p.name, &p, self.arch, &self.limits.options(false));
        let kernels = programs.map(|p| pool.install(|| compare(p))).collect::<Result<_, Error>>()?;
        Ok(FoldVerification { seed, kernels })
    }
}

/// The first line of why a run stopped.
fn reason(error: &Error) -> String {
    let Error::Execution { error, .. } = error else { return String::new() };
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// What a run had when it stopped, with a note of how that is known.
fn up_to_the_stop(mut seen: ExecutedProgram) -> ExecutedProgram {
    let text = "nothing was folded: executed once more, on the reference engine, up to where it stops".to_owned();
    seen.outcome.folds = vec![FoldNote { kind: fabric::fold::NONE.to_owned(), text }];
    seen
}

/// Everybody who watches a run.
struct Watcher<'a> {
    listing: &'a Listing,
    part: TraceWindow,
    recorder: Option<Recorder<'a>>,
    events: Option<EventLog<'a>>,
    profile: Option<Profiler>,
    /// For a page.
    page: Option<(EventLog<'a, Table>, StampLog<'a>)>,
}

impl Watcher<'_> {
    fn has(&self, now: u64, pe: PeCoord) -> bool {
        self.part.window.contains(&now) && self.part.has(pe)
    }
}

impl Watch for Watcher<'_> {
    fn moved(&mut self, now: u64, pe: PeCoord, color: Color) {
        if self.has(now, pe) {
            self.recorder.iter_mut().for_each(|r| r.moved(now, pe, color));
            self.events.iter_mut().for_each(|log| log.moved(now, pe, color));
            self.page.iter_mut().for_each(|(events, _)| events.moved(now, pe, color));
        }
    }

    fn wants(&self, now: u64, pe: PeCoord) -> bool {
        self.recorder.is_some() && self.has(now, pe)
    }

    fn wants_charges(&self) -> bool {
        self.events.is_some() || self.profile.is_some()
    }

    fn charged(&mut self, now: u64, pe: PeCoord, image: usize, charge: Charge) {
        if self.has(now, pe) {
            self.events.iter_mut().for_each(|log| log.charged(now, pe, image, charge));
            self.profile.iter_mut().for_each(|profile| profile.add(image, charge));
            if let Some((events, stamps)) = &mut self.page {
                events.charged(now, pe, image, charge);
                stamps.charged(now, pe, image, charge);
            }
        }
    }

    fn element(&mut self, now: u64, pe: PeCoord, seen: &Seen<'_>) {
        self.recorder.iter_mut().for_each(|r| r.element(now, pe, seen));
    }
}
