//! Counts of wavelets: where what is sent and what is waited for can be derived without running
//! the program, they agree.
//!
//! **Invariant.** Nothing is reported that a run would not show as a deadlock: a count is used
//! only where each of the tasks behind it runs exactly once or never.

use super::route::Net;
use super::span::{corner, meet, moved};
use super::{Diagnostics, Placed, at_route};
use crate::coord::{Color, Dir, Grid};
use crate::diag::Part;
use crate::program::{Async, EdgeStream, Flow, Image, Instr, Operand, Program, Route, TaskId, Then, Trigger, VecOp};

/// How many wavelets; None where it cannot be derived.
type Count = Option<u64>;

/// Wavelets that a PE with an image sends and takes, by color.
pub(super) struct Flows {
    sends: Vec<Count>,
    takes: Vec<Count>,
}

/// How often a task runs.
#[derive(Clone, Copy, PartialEq)]
enum Runs {
    Never,
    Once,
    Unknown,
}

impl Flows {
    /// The flows of a well-formed image.
    pub(super) fn of(image: &Image) -> Flows {
        let runs = runs(image);
        let colors = usize::from(Color::MAX);
        let mut flows = Flows { sends: vec![Some(0); colors], takes: vec![Some(0); colors] };
        for (task, &runs) in image.tasks.iter().zip(&runs) {
            if let Trigger::Data(color, _) = task.trigger {
                flows.takes[color.index()] = None;
            }
            if runs != Runs::Never {
                // How much of a task that may end early is executed is only known when it runs.
                let once = runs == Runs::Once && !returns(&task.body);
                flows.add(&task.body, once.then_some(1));
            }
        }
        flows
    }

    fn add(&mut self, body: &[Instr], times: Count) {
        for instr in body {
            match instr {
                Instr::Vec(op) | Instr::Async(Async { op, .. }) => self.add_op(op, times),
                Instr::Loop { count, body } => {
                    self.add(body, times.and_then(|t| t.checked_mul(u64::from(*count))));
                }
                // How often is only known when the program runs.
                other => other.bodies().into_iter().for_each(|body| self.add(body, None)),
            }
        }
    }

    fn add_op(&mut self, op: &VecOp, times: Count) {
        let put = |list: &mut Vec<Count>, operand: &Operand, times: Count| {
            if let Operand::Fab(color, dtype) = operand {
                let sum = &mut list[color.index()];
                let times = times.filter(|_| op.count.is_none());
                let more = times.and_then(|t| t.checked_mul(u64::from(dtype.wavelets(op.len))));
                *sum = sum.zip(more).and_then(|(a, b)| a.checked_add(b));
            }
        };
        put(&mut self.sends, &op.dst, times);
        for (i, src) in op.src.iter().enumerate() {
            let shared = op.src.iter().enumerate().any(|(j, o)| j != i && same_color(o, src));
            put(&mut self.takes, src, if shared { None } else { times });
        }
    }
}

fn same_color(a: &Operand, b: &Operand) -> bool {
    matches!((a, b), (Operand::Fab(a, _), Operand::Fab(b, _)) if a == b)
}

/// How often each task runs: once if it is active at the start and nobody names it, or if it is
/// activated at exactly one place, outside loops, of a task that runs once.
fn runs(image: &Image) -> Vec<Runs> {
    let sites: Vec<Vec<Site>> = image.tasks.iter().map(|t| sites(&t.body, returns(&t.body))).collect();
    let mut held = vec![false; image.tasks.len()];
    for site in sites.iter().flatten().filter(|s| s.holds) {
        held[usize::from(site.task.0)] = true;
    }
    let mut runs: Vec<Option<Runs>> = image
        .tasks
        .iter()
        .zip(&held)
        .map(|(t, &held)| (held || t.blocked || t.trigger != Trigger::Local).then_some(Runs::Unknown))
        .collect();
    loop {
        let next: Vec<Option<Runs>> =
            (0..runs.len()).map(|t| runs[t].or_else(|| derive(image, &sites, &runs, t))).collect();
        if next == runs {
            return runs.into_iter().map(|r| r.unwrap_or(Runs::Unknown)).collect();
        }
        runs = next;
    }
}

fn derive(image: &Image, sites: &[Vec<Site>], runs: &[Option<Runs>], task: usize) -> Option<Runs> {
    let mut total = u32::from(image.tasks[task].active);
    for (from, list) in sites.iter().enumerate() {
        for site in list.iter().filter(|s| !s.holds && usize::from(s.task.0) == task) {
            match runs[from]? {
                Runs::Never => {}
                Runs::Once if !site.in_loop => total += 1,
                Runs::Once | Runs::Unknown => return Some(Runs::Unknown),
            }
        }
    }
    Some(match total {
        0 => Runs::Never,
        1 => Runs::Once,
        _ => Runs::Unknown,
    })
}

/// Whether a task may end before its last instruction.
fn returns(body: &[Instr]) -> bool {
    body.iter().any(|instr| matches!(instr, Instr::Return) || instr.bodies().into_iter().any(returns))
}

/// A place in code that names a task.
struct Site {
    task: TaskId,
    in_loop: bool,
    /// It blocks or unblocks, rather than activates.
    holds: bool,
}

fn sites(body: &[Instr], in_loop: bool) -> Vec<Site> {
    let mut found = Vec::new();
    for instr in body {
        let (task, holds) = match (instr, instr.then()) {
            (Instr::Activate(task), _) => (*task, false),
            (Instr::Block(task) | Instr::Unblock(task), _) => (*task, true),
            (_, Some(Then::Activate(task))) => (task, false),
            (_, Some(Then::Unblock(task))) => (task, true),
            (other, None) => {
                other.bodies().into_iter().for_each(|body| found.extend(sites(body, true)));
                continue;
            }
        };
        found.push(Site { task, in_loop, holds });
    }
    found
}

/// Checks the counts of one color.
pub(super) fn check(
    program: &Program,
    net: &Net<'_>,
    placed: &Placed<'_>,
    flows: &[Flows],
    diagnostics: &mut Diagnostics,
) {
    if !net.sound {
        return;
    }
    check_routed(net, placed, flows, diagnostics);
    let part = parts(net, program.grid());
    for root in (0..part.len()).filter(|&i| part[i] == i) {
        let members: Vec<usize> = (0..part.len()).filter(|&i| part[i] == root).collect();
        let members = Members { net, routes: members.iter().map(|&i| net.routes[i]).collect(), grid: program.grid() };
        if let Some(sent) = members.sent(placed, flows) {
            members.check_taken(sent, placed, flows, diagnostics);
        }
    }
}

/// A PE that surely sends has a route from the ramp; one that surely takes has one to the ramp.
fn check_routed(net: &Net<'_>, placed: &Placed<'_>, flows: &[Flows], diagnostics: &mut Diagnostics) {
    let color = net.color;
    for (p, number) in placed.list.iter().zip(&placed.numbers) {
        diagnostics.part = Some(Part::Placement(*number));
        let flow = &flows[p.image as usize];
        let sends = flow.sends[color.index()].is_some_and(|n| n > 0);
        let takes = flow.takes[color.index()].is_some_and(|n| n > 0);
        let unsent = sends.then(|| net.cover.hole(p.region, |i| net.routes[i].rx == Dir::Ramp)).flatten();
        let unmet = takes.then(|| net.cover.hole(p.region, |i| net.routes[i].tx.contains(Dir::Ramp))).flatten();
        if let Some(pe) = unsent {
            diagnostics.push(
                "R027",
                format!("PE {pe}"),
                format!("sends on {color}, which has no route from its ramp"),
                "",
            );
        }
        if let Some(pe) = unmet {
            diagnostics.push(
                "R027",
                format!("PE {pe}"),
                format!("waits for {color}, which no route brings to its ramp"),
                "",
            );
        }
    }
}

/// For every route, the least route that it is connected with.
fn parts(net: &Net<'_>, grid: Grid) -> Vec<usize> {
    let mut part: Vec<usize> = (0..net.routes.len()).collect();
    fn root(part: &mut [usize], mut i: usize) -> usize {
        while part[i] != i {
            part[i] = part[part[i]];
            i = part[i];
        }
        i
    }
    for (i, route) in net.routes.iter().enumerate() {
        for dir in route.tx.iter().filter(|&d| d != Dir::Ramp) {
            let Some(there) = moved(route.region, dir, grid).inside else { continue };
            for (j, _) in net.cover.meeting(there) {
                let (a, b) = (root(&mut part, i), root(&mut part, j));
                part[a.max(b)] = a.min(b);
            }
        }
    }
    (0..part.len()).map(|i| root(&mut part, i)).collect()
}

/// Routes of one color that are connected.
struct Members<'a> {
    net: &'a Net<'a>,
    routes: Vec<&'a Route>,
    grid: Grid,
}

impl Members<'_> {
    /// Wavelets that each of the senders sends, if all of them send the same number.
    fn sent(&self, placed: &Placed<'_>, flows: &[Flows]) -> Count {
        let mut all: Vec<Count> = Vec::new();
        for route in self.routes.iter().filter(|r| r.rx == Dir::Ramp) {
            let images = placed.cover.meeting(route.region).map(|(p, _)| placed.list[p].image);
            all.extend(images.map(|image| flows[image as usize].sends[self.net.color.index()]));
        }
        all.extend(self.streams(Flow::In).map(|(_, e)| Some(e.wavelets)));
        let first = *all.first()?;
        all.iter().all(|&n| n == first).then_some(first).flatten()
    }

    /// The edge streams that these routes lead from or to.
    fn streams(&self, flow: Flow) -> impl Iterator<Item = (usize, &EdgeStream)> {
        let touches = move |e: &EdgeStream| {
            self.routes.iter().any(|r| {
                let uses = if flow == Flow::In { r.rx == e.side } else { r.tx.contains(e.side) };
                uses && moved(r.region, e.side, self.grid).edge.is_some_and(|ports| meet(ports, e.ports).is_some())
            })
        };
        self.net.edges.iter().copied().filter(move |(_, e)| e.flow == flow && touches(e))
    }

    fn check_taken(&self, sent: u64, placed: &Placed<'_>, flows: &[Flows], diagnostics: &mut Diagnostics) {
        let color = self.net.color;
        for route in self.routes.iter().filter(|r| r.tx.contains(Dir::Ramp)) {
            for (p, shared) in placed.cover.meeting(route.region) {
                let taken = flows[placed.list[p].image as usize].takes[color.index()];
                if let Some(taken) = taken.filter(|&t| t != sent) {
                    let pe = corner(shared);
                    diagnostics.part = Some(Part::Placement(placed.numbers[p]));
                    let message = format!("PE {pe} takes {taken} wavelets of {color}, but {sent} are sent to it");
                    diagnostics.push(
                        "R025",
                        at_route(route),
                        message,
                        "make lengths and loop counts of both sides agree",
                    );
                }
            }
        }
        for (number, e) in self.streams(Flow::Out).filter(|(_, e)| e.wavelets != sent) {
            diagnostics.part = Some(Part::Edge(number));
            let message = format!("takes {} wavelets of {color}, but {sent} are sent to it", e.wavelets);
            diagnostics.push("R025", format!("edge stream `{}`", e.name), message, "");
        }
    }
}
