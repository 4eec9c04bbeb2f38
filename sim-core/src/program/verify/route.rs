//! Checks of routes and edge streams: every link has a sender and a receiver, every ramp a queue.

use super::span::{Moved, border, hole_in_span, moved};
use super::{
    Diagnostics, Placed, at_route, check_color, check_disjoint, check_region, span::Cover, span_fault, switch,
};
use crate::arch::ArchSpec;
use crate::coord::{Color, Dir, Grid, PeCoord, Region, Span};
use crate::diag::Part;
use crate::program::{EdgeStream, Flow, Image, Program, Route};

/// Longest edge stream, in cycles: a run that lasts longer could not count them.
const MAX_CYCLES: u128 = 1 << 60;

/// The routes of one color, all on the grid.
pub(super) struct Net<'a> {
    pub(super) color: Color,
    pub(super) routes: Vec<&'a Route>,
    /// Their places in the program's list.
    numbers: Vec<usize>,
    pub(super) cover: Cover,
    /// With their places in the program's list.
    pub(super) edges: Vec<(usize, &'a EdgeStream)>,
    /// Every link and ramp of it was found in order.
    pub(super) sound: bool,
}

/// Checks all routes and streams; returns them by color.
pub(super) fn check<'a>(
    program: &'a Program,
    grid: Grid,
    arch: &ArchSpec,
    placed: &Placed<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Net<'a>> {
    let mut nets = nets(program, grid, arch, diagnostics);
    diagnostics.part = None;
    check_bandwidth(program, arch, diagnostics);
    let uncounted = switch::uncounted(program);
    nets.retain_mut(|net| {
        let before = diagnostics.seen.values().sum::<u64>();
        let disjoint = net.check_overlap(diagnostics);
        if program.switches.iter().any(|s| s.color == net.color) {
            net.check_ends(diagnostics);
        } else if disjoint {
            net.check_ends(diagnostics);
            net.check_links(grid, diagnostics);
            net.check_ramps(&program.images, placed, diagnostics);
            net.check_edges(grid, diagnostics);
            net.check_loops(grid, diagnostics);
        }
        net.sound = before == diagnostics.seen.values().sum::<u64>() && !uncounted.contains(&net.color);
        disjoint
    });
    nets
}

/// All routes and streams by color, without those that are not on the grid, which are reported.
pub(super) fn nets<'a>(
    program: &'a Program,
    grid: Grid,
    arch: &ArchSpec,
    diagnostics: &mut Diagnostics,
) -> Vec<Net<'a>> {
    let mut routes: Vec<Vec<(usize, &Route)>> = vec![Vec::new(); usize::from(Color::MAX)];
    for (i, r) in program.routes.iter().enumerate() {
        diagnostics.part = Some(Part::Route(i));
        let at = at_route(r);
        check_color(r.color, arch, &at, diagnostics);
        if check_region(r.region, grid, &at, diagnostics) {
            routes[r.color.index()].push((i, r));
        }
    }
    let mut edges: Vec<Vec<(usize, &EdgeStream)>> = vec![Vec::new(); usize::from(Color::MAX)];
    for (i, e) in program.edges.iter().enumerate() {
        diagnostics.part = Some(Part::Edge(i));
        if check_stream(e, grid, arch, diagnostics) {
            edges[e.color.index()].push((i, e));
        }
    }
    let colors = (0..Color::MAX).filter_map(Color::new);
    colors.zip(routes.into_iter().zip(edges)).map(|(c, (r, e))| net(c, r, e)).collect()
}

fn net<'a>(color: Color, routes: Vec<(usize, &'a Route)>, edges: Vec<(usize, &'a EdgeStream)>) -> Net<'a> {
    let cover = Cover::new(routes.iter().map(|(_, r)| r.region).collect());
    let (numbers, routes) = routes.into_iter().unzip();
    Net { color, routes, numbers, cover, edges, sound: false }
}

fn at_stream(e: &EdgeStream) -> String {
    format!("edge stream `{}`", e.name)
}

fn check_stream(e: &EdgeStream, grid: Grid, arch: &ArchSpec, diagnostics: &mut Diagnostics) -> bool {
    let at = at_stream(e);
    check_color(e.color, arch, &at, diagnostics);
    let size = match e.side {
        Dir::North | Dir::South => grid.width,
        _ => grid.height,
    };
    let ports = span_fault(e.ports, size).map(|m| format!("ports: {m}"));
    let side = (e.side == Dir::Ramp).then(|| "the ramp is not an edge".to_owned());
    let least = (e.interval == 0 || e.fanout == 0)
        .then(|| format!("interval {} and fanout {}; both must be at least 1", e.interval, e.fanout));
    let cycles = u128::from(e.wavelets) * u128::from(e.interval);
    let long = (cycles > MAX_CYCLES).then(|| {
        format!(
            "{} wavelets, one every {} cycles, take {cycles} cycles; at most {MAX_CYCLES} are counted",
            e.wavelets, e.interval
        )
    });
    let messages: Vec<String> = [ports, side, least, long].into_iter().flatten().collect();
    let sound = messages.is_empty();
    for message in messages {
        diagnostics.push("R022", &at, message, "");
    }
    sound
}

/// Rule E3.
fn check_bandwidth(program: &Program, arch: &ArchSpec, diagnostics: &mut Diagnostics) {
    let (io, clock) = (arch.wafer.io_bits_per_second.value, arch.wafer.clock_hz.value);
    if io == 0 || clock == 0 {
        return;
    }
    let most = io as f64 / (32.0 * clock as f64);
    for (flow, name) in [(Flow::In, "onto"), (Flow::Out, "off")] {
        let streams = program.edges.iter().filter(|e| e.flow == flow && e.wavelets > 0);
        let rate = |e: &EdgeStream| f64::from(e.ports.count.div_ceil(e.fanout.max(1))) / f64::from(e.interval.max(1));
        let sum: f64 = streams.map(rate).sum();
        if sum > most * (1.0 + 1e-9) {
            let message = format!("{sum:.3} wavelets per cycle flow {name} the wafer; the machine can do {most:.3}");
            diagnostics.push("R024", "edge streams", message, "use a longer interval, fewer ports, or a fanout");
        }
    }
}

impl Net<'_> {
    pub(super) fn check_overlap(&self, diagnostics: &mut Diagnostics) -> bool {
        let report = |pe: PeCoord, a: usize, b: usize, diagnostics: &mut Diagnostics| {
            diagnostics.part = self.part(b);
            let message =
                format!("two routes of {}: {} and {}", self.color, at_route(self.routes[a]), at_route(self.routes[b]));
            diagnostics.push("R004", format!("router {pe}"), message, "a color has one route per router");
        };
        check_disjoint(&self.cover, self.routes.iter().map(|r| r.region), "R004", report, diagnostics)
    }

    /// A route of this net as a part of the program.
    pub(super) fn part(&self, route: usize) -> Option<Part> {
        Some(Part::Route(self.numbers[route]))
    }

    /// What the router at `pe` does with the color, in words.
    fn there(&self, pe: PeCoord) -> String {
        let here = Region::rect(pe.x, pe.y, 1, 1);
        match self.cover.meeting(here).next() {
            None => format!("has no route for {}", self.color),
            Some((i, _)) => format!("has {}", at_route(self.routes[i])),
        }
    }

    fn streams(&self, flow: Flow, side: Dir) -> Vec<Span> {
        self.edges.iter().filter(|(_, e)| e.flow == flow && e.side == side).map(|(_, e)| e.ports).collect()
    }

    fn check_ends(&self, diagnostics: &mut Diagnostics) {
        for (i, route) in self.routes.iter().enumerate() {
            diagnostics.part = self.part(i);
            if route.tx.is_empty() {
                diagnostics.push("R006", at_route(route), "no port to leave by", "");
            }
            if route.turns_back() {
                let message = format!("leads back to {}, where it comes from", route.rx.name());
                diagnostics.push("R006", at_route(route), message, "");
            }
        }
    }

    fn check_links(&self, grid: Grid, diagnostics: &mut Diagnostics) {
        for (i, route) in self.routes.iter().enumerate().filter(|(_, r)| !r.turns_back()) {
            diagnostics.part = self.part(i);
            for dir in Dir::LINKS {
                let sends = route.tx.contains(dir);
                if !sends && route.rx != dir {
                    continue;
                }
                let (code, flow, what) = match sends {
                    true => ("R007", Flow::Out, "sends"),
                    false => ("R008", Flow::In, "takes wavelets from"),
                };
                let from = dir.opposite();
                let fits = |i: usize| match sends {
                    true => self.routes[i].rx == from,
                    false => self.routes[i].tx.contains(from),
                };
                let Moved { inside, edge } = moved(route.region, dir, grid);
                if let Some(pe) = inside.and_then(|r| self.cover.hole(r, fits)) {
                    let message = format!("{what} {}, but the router {pe} there {}", dir.name(), self.there(pe));
                    diagnostics.push(code, at_route(route), message, "");
                }
                if let Some(port) = edge.and_then(|s| hole_in_span(s, &self.streams(flow, dir))) {
                    let message = format!(
                        "{what} {} over the edge of the grid at port {port}, where no edge stream is",
                        dir.name()
                    );
                    diagnostics.push(code, at_route(route), message, "add an edge stream, or end the route earlier");
                }
            }
        }
    }

    fn check_ramps(&self, images: &[Image], placed: &Placed<'_>, diagnostics: &mut Diagnostics) {
        if !placed.disjoint {
            return;
        }
        let bound = |list: &[(u8, Color)]| list.iter().any(|b| b.1 == self.color);
        for (i, route) in self.routes.iter().enumerate() {
            diagnostics.part = self.part(i);
            let sends = |i: u32| bound(&images[i as usize].outputs);
            let takes = |i: u32| bound(&images[i as usize].inputs);
            let up = (route.rx == Dir::Ramp).then(|| placed.lacking(route.region, sends)).flatten();
            let down = route.tx.contains(Dir::Ramp).then(|| placed.lacking(route.region, takes)).flatten();
            for (code, what, word, missing) in [("R010", "output", "out", up), ("R009", "input", "in", down)] {
                let Some(pe) = missing else { continue };
                let message = format!("PE {pe} has no image with an {what} queue for {}", self.color);
                let help =
                    format!("add `{word} qN {}` to the image of that PE, or end the route before it", self.color);
                diagnostics.push(code, at_route(route), message, &help);
            }
        }
    }

    fn check_edges(&self, grid: Grid, diagnostics: &mut Diagnostics) {
        for (i, &(number, e)) in self.edges.iter().enumerate() {
            diagnostics.part = Some(Part::Edge(number));
            let fits = |i: usize| match e.flow {
                Flow::In => self.routes[i].rx == e.side,
                Flow::Out => self.routes[i].tx.contains(e.side),
            };
            if let Some(pe) = self.cover.hole(border(e.side, e.ports, grid), fits) {
                let verb = if e.flow == Flow::In { "take" } else { "send" };
                let message =
                    format!("the router {pe} at its port does not {verb} {} there: it {}", self.color, self.there(pe));
                diagnostics.push("R023", at_stream(e), message, "");
            }
            let twin = self.edges[..i]
                .iter()
                .find(|(_, o)| o.flow == e.flow && o.side == e.side && super::span::meet(o.ports, e.ports).is_some());
            if let Some((_, twin)) = twin {
                let message = format!("shares a port and {} with {}", self.color, at_stream(twin));
                diagnostics.push("R023", at_stream(e), message, "");
            }
            if diagnostics.full("R023") {
                return;
            }
        }
    }

    /// Every router has one sender, so a loop is found by going upstream from each router. A loop
    /// moves in all four directions, hence a color that does not cannot have one.
    fn check_loops(&self, grid: Grid, diagnostics: &mut Diagnostics) {
        if !Dir::LINKS.iter().all(|&d| self.routes.iter().any(|r| r.rx == d)) {
            return;
        }
        diagnostics.part = self.part(0);
        const DONE: u8 = 254;
        const ON_PATH: u8 = 255;
        let mut rx = vec![DONE; grid.pes() as usize];
        for r in self.routes.iter().filter(|r| r.rx != Dir::Ramp) {
            for pe in r.region.iter() {
                rx[grid.index(pe).0 as usize] = r.rx as u8;
            }
        }
        let mut path = Vec::new();
        for start in 0..grid.pes() as usize {
            let mut next = Some(start);
            while let Some(at) = next {
                let step = rx[at];
                if step == ON_PATH {
                    let pe = grid.coord(crate::coord::PeIdx(at as u32));
                    let message = format!("going upstream from here, {} comes from here again", self.color);
                    diagnostics.push("R026", format!("router {pe}"), message, "no wavelet can enter a closed loop");
                    return;
                }
                if step == DONE {
                    break;
                }
                rx[at] = ON_PATH;
                path.push(at);
                let pe = grid.coord(crate::coord::PeIdx(at as u32));
                next = grid.neighbour(pe, Dir::LINKS[usize::from(step)]).map(|p| grid.index(p).0 as usize);
            }
            for at in path.drain(..) {
                rx[at] = DONE;
            }
        }
    }
}
