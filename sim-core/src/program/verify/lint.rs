//! Warnings: what a program may do, and nobody means.
//!
//! | code | what is suspicious |
//! |---|---|
//! | W001 | buffers of an image overlap |
//! | W002 | an image is placed nowhere |
//! | W003 | a task never runs |
//! | W004 | nothing starts |
//! | W005 | two buffers or tasks of an image have one name |
//! | W006 | a parameter is used nowhere |
//! | W007 | a step that looks like a quotient |
//!
//! **Invariant.** A program with warnings is executed as it is.
//! **Not here.** What makes a program wrong (the other files of this folder); W006 and W007, which only the
//! text shows.

use crate::diag::{Diagnostic, Part};
use crate::program::{Flow, Image, Instr, Program, Task, TaskId, Then, Trigger, walk};
use std::collections::{BTreeMap, BTreeSet};

/// Codes of warnings with their titles, as in `docs/diagnostics.md`.
pub const WARNINGS: [(&str, &str); 7] = [
    ("W001", "buffers overlap"),
    ("W002", "image that is placed nowhere"),
    ("W003", "task that never runs"),
    ("W004", "nothing starts"),
    ("W005", "one name for two"),
    ("W006", "parameter that is used nowhere"),
    ("W007", "step that looks like a quotient"),
];

/// Warnings of one code that are listed.
const LISTED: usize = 10;

/// What is suspicious about a program, beside what is `meant`: buffers that lie on others, and images that are
/// placed nowhere.
#[must_use]
pub fn lints(program: &Program, meant: &BTreeSet<Part>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let placed: BTreeSet<usize> = program.placements.iter().map(|p| p.image as usize).collect();
    let sent = control_numbers(program);
    for (i, image) in program.images.iter().enumerate() {
        if !placed.contains(&i) && !meant.contains(&Part::Image(i)) {
            let message = format!("image `{}` is placed nowhere, so no PE runs it", image.name);
            found.push(warning("W002", Part::Image(i), message, "add `place`, or remove the image"));
        }
        overlaps(i, image, meant, &mut found);
        idle_tasks(i, image, &sent, &mut found);
        twins(i, image, &mut found);
    }
    nothing_starts(program, &placed, &mut found);
    let mut listed = BTreeMap::<String, usize>::new();
    found.retain(|d| {
        let count = listed.entry(d.code.clone()).or_default();
        *count += 1;
        *count <= LISTED
    });
    found
}

fn warning(code: &str, part: Part, message: String, help: &str) -> Diagnostic {
    Diagnostic::new(code, "", message).help(help).about(Some(part))
}

/// Buffers and FIFOs that share bytes.
fn overlaps(index: usize, image: &Image, meant: &BTreeSet<Part>, found: &mut Vec<Diagnostic>) {
    let buffers = image.buffers.iter().enumerate().filter(|(i, _)| !meant.contains(&Part::Buffer(index, *i)));
    let buffers = buffers.map(|(i, b)| (u64::from(b.addr), b.end(), b.name.as_str(), Part::Buffer(index, i)));
    let fifos = image.fifos.iter().map(|q| (u64::from(q.addr), q.end(), q.name.as_str(), Part::Image(index)));
    let mut pieces: Vec<_> = buffers.chain(fifos).filter(|p| p.0 < p.1).collect();
    pieces.sort_by_key(|p| (p.0, p.1));
    let mut reach: Option<(u64, &str)> = None;
    for (from, end, name, part) in pieces {
        if let Some((taken, other)) = reach.filter(|r| r.0 > from) {
            let message =
                format!("`{name}` and `{other}` share bytes {from} to {} of a PE's memory", taken.min(end) - 1);
            let help = "leave the addresses out, or say that it is meant: `mem NAME TYPE[n] over OTHER`";
            found.push(warning("W001", part, message, help));
        }
        if reach.is_none_or(|r| r.0 < end) {
            reach = Some((end, name));
        }
    }
}

/// The numbers that control wavelets of the program carry.
fn control_numbers(program: &Program) -> BTreeSet<u8> {
    let mut numbers = BTreeSet::new();
    for task in program.images.iter().flat_map(|i| &i.tasks) {
        walk(&task.body, |instr| {
            numbers.extend(instr.control().and_then(|(_, control)| control.task));
        });
    }
    numbers
}

/// Tasks that code activates, and tasks that it unblocks.
fn named(image: &Image) -> (BTreeSet<TaskId>, BTreeSet<TaskId>) {
    let (mut activated, mut unblocked) = (BTreeSet::new(), BTreeSet::new());
    for task in &image.tasks {
        walk(&task.body, |instr| match (instr, instr.then()) {
            (Instr::Activate(id), _) => {
                activated.insert(*id);
            }
            (Instr::Unblock(id), _) => {
                unblocked.insert(*id);
            }
            (_, Some(Then::Activate(id))) => {
                activated.insert(id);
            }
            (_, Some(Then::Unblock(id))) => {
                unblocked.insert(id);
            }
            _ => {}
        });
    }
    (activated, unblocked)
}

fn idle_tasks(index: usize, image: &Image, sent: &BTreeSet<u8>, found: &mut Vec<Diagnostic>) {
    let (activated, unblocked) = named(image);
    for (i, task) in image.tasks.iter().enumerate() {
        let id = u8::try_from(i).ok().map(TaskId);
        let has = |set: &BTreeSet<TaskId>| id.is_some_and(|id| set.contains(&id));
        let why = match task.trigger {
            Trigger::Local if !task.active && !has(&activated) => "nothing activates it",
            Trigger::Control(number) if !sent.contains(&number) => "no control wavelet has its number",
            _ if task.blocked && !has(&unblocked) => "it is blocked, and nothing unblocks it",
            _ => continue,
        };
        let message = format!("task `{}` of image `{}` never runs: {why}", task.name, image.name);
        let help = match task.trigger {
            Trigger::Local => "write `active` behind `local`, or `activate` it from another task",
            _ => "send such a control wavelet, unblock it, or remove the task",
        };
        found.push(warning("W003", Part::Task(index, i), message, help));
    }
}

fn twins(index: usize, image: &Image, found: &mut Vec<Diagnostic>) {
    let buffers = image.buffers.iter().enumerate().map(|(i, b)| ("buffers", b.name.as_str(), Part::Buffer(index, i)));
    let tasks = image.tasks.iter().enumerate().map(|(i, t)| ("tasks", t.name.as_str(), Part::Task(index, i)));
    let mut seen = BTreeSet::new();
    for (what, name, part) in buffers.chain(tasks) {
        if !seen.insert((what, name)) {
            let message = format!("two {what} of image `{}` are named `{name}`", image.name);
            found.push(warning("W005", part, message, "give each a name of its own"));
        }
    }
}

fn nothing_starts(program: &Program, placed: &BTreeSet<usize>, found: &mut Vec<Diagnostic>) {
    let starts = |task: &Task| task.trigger == Trigger::Local && task.active && !task.blocked;
    let tasks = placed.iter().filter_map(|&i| program.images.get(i)).flat_map(|i| &i.tasks);
    let fed = program.edges.iter().any(|e| e.flow == Flow::In && e.wavelets > 0);
    if !fed && !tasks.into_iter().any(starts) {
        let message = "no PE has a task that is active at the start, and nothing enters at the edges".to_owned();
        let help = "write `active` behind `local` at a task of an image that is placed";
        found.push(warning("W004", Part::Grid, message, help));
    }
}
