//! From a [`Program`] to the tables of the machine.
//!
//! **Invariant.** Every index in the tables is in range, and nothing large is allocated before
//! its size was checked against the limit.
//! **Not here.** The checks of the verifier: a program that is only wrong (a color that nobody
//! takes) is built, and ends in a deadlock.

use super::code::{ImageCode, malformed};
use super::state::{Channel, Counter, Element, Fifo, Machine, Main, Output, Pe, Port, Position, Router};
use super::state::{Occupancy, To};
use crate::values::Values;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Dir, DirSet, Grid, PeCoord, Region, Span};
use sim_core::diag::Diagnostic;
use sim_core::error::RunError;
use sim_core::program::{EdgeStream, Flow, Placement, Pop, Program};

/// The machine at the start of cycle 0 (M3).
pub(super) fn build(
    program: &Program,
    arch: &ArchSpec,
    memory_limit: u64,
    values: Option<&Values<'_>>,
) -> Result<Machine, RunError> {
    let grid = program.grid();
    check(program).map_err(|d| RunError::Invalid(vec![d]))?;
    let needs = estimate(program, arch);
    if needs > memory_limit {
        return Err(RunError::TooLarge { needs, limit: memory_limit });
    }
    let mut codes = Vec::with_capacity(program.images.len());
    for image in &program.images {
        codes.push(ImageCode::new(image, arch).map_err(|d| RunError::Invalid(vec![d]))?);
    }
    let count = usize::try_from(grid.pes()).unwrap_or(usize::MAX);
    let pes = (0..count).map(|_| Pe::default()).collect();
    let mut machine = Machine { grid, arch: arch.clone(), codes, pes, ports: Vec::new(), now: 0 };
    let built = place(&mut machine, program, arch)
        .and_then(|()| add_routes(&mut machine, program))
        .and_then(|()| add_switches(&mut machine, program))
        .and_then(|()| add_filters(&mut machine, program))
        .map(|()| add_buffers(&mut machine, arch))
        .and_then(|()| add_ports(&mut machine, program, values));
    built.map_err(|d| RunError::Invalid(vec![d]))?;
    connect(&mut machine, program);
    Ok(machine)
}

/// What the tables cannot be built without.
fn check(program: &Program) -> Result<(), Diagnostic> {
    let grid = program.grid();
    if grid.pes() > u64::from(u32::MAX) {
        return Err(malformed("grid", format!("a grid of {grid} has too many PEs")));
    }
    let fits = |s: Span, size: u32| s.count > 0 && s.step > 0 && s.last() < u64::from(size);
    let inside = |r: Region| fits(r.x, grid.width) && fits(r.y, grid.height);
    for placement in &program.placements {
        if !inside(placement.region) || placement.image as usize >= program.images.len() {
            return Err(malformed("placement", format!("of image {}: no such PEs or no such image", placement.image)));
        }
        if placement.params.iter().any(|p| usize::from(p.reg.0) >= 16) {
            return Err(malformed("placement", "a parameter of an address register that does not exist".to_owned()));
        }
    }
    for route in &program.routes {
        if !inside(route.region) || route.tx.is_empty() {
            return Err(malformed("route", format!("of {}: no such PEs, or it leads nowhere", route.color)));
        }
    }
    let switches =
        program.switches.iter().map(|s| (s.region, s.positions.iter().any(|p| p.tx.is_some_and(DirSet::is_empty))));
    let filters = program.filters.iter().map(|x| (x.region, x.period == 0));
    if switches.chain(filters).any(|(region, broken)| broken || !inside(region)) {
        return Err(malformed("switch or filter", "no such PEs, or it leads nowhere".to_owned()));
    }
    for image in &program.images {
        if image.fifos.iter().any(|q| q.len == 0) {
            return Err(malformed(&format!("image {}", image.name), "a FIFO without elements".to_owned()));
        }
    }
    for edge in &program.edges {
        let size = match edge.side {
            Dir::North | Dir::South => grid.width,
            Dir::East | Dir::West => grid.height,
            Dir::Ramp => 0,
        };
        if !fits(edge.ports, size) {
            return Err(malformed("edge", format!("{}: no such ports", edge.name)));
        }
    }
    Ok(())
}

/// About how many bytes the tables take, queues filled.
fn estimate(program: &Program, arch: &ArchSpec) -> u64 {
    let fifo = |capacity: u64| 40 + 16 * capacity.saturating_mul(2);
    let queues = arch.pe.input_queues.value.iter().chain(&arch.pe.output_queues.value);
    let queues: u64 = queues.map(|&depth| fifo(u64::from(depth) + 4)).fold(0, u64::saturating_add);
    let channel = fifo(u64::from(arch.router.buffer.value) + u64::from(arch.router.hop.value)) + 200;
    let mut needs = program.grid().pes().saturating_mul(size_of::<Pe>() as u64);
    for route in &program.routes {
        needs = needs.saturating_add(route.region.pes().saturating_mul(channel));
    }
    let element = queues.saturating_add(u64::from(arch.pe.microthreads.value) * 160 + 1280);
    for placement in &program.placements {
        needs = needs.saturating_add(placement.region.pes().saturating_mul(element));
    }
    for edge in &program.edges {
        needs = needs.saturating_add(u64::from(edge.ports.count) * 160);
    }
    needs
}

fn place(machine: &mut Machine, program: &Program, arch: &ArchSpec) -> Result<(), Diagnostic> {
    for placement in &program.placements {
        for at in placement.region.iter() {
            let element = element(program, arch, placement, at)?;
            let pe = &mut machine.pes[machine.grid.index(at).0 as usize];
            if pe.element.is_some() {
                return Err(malformed(&format!("PE {at}"), "two images on one PE".to_owned()));
            }
            pe.element = Some(element);
        }
    }
    Ok(())
}

/// The compute element of the PE `at` of a placement.
fn element(program: &Program, arch: &ArchSpec, placement: &Placement, at: PeCoord) -> Result<Element, Diagnostic> {
    let image = &program.images[placement.image as usize];
    let input = u64::from(arch.router.ramp_down.value);
    let output = u64::from(arch.pe.ce_latency.value) + u64::from(arch.router.ramp_up.value);
    let queues = |depths: &[u32], bindings: &[(u8, Color)], latency: u64| {
        queues(depths, bindings, latency).map_err(|message| malformed(&format!("image {}", image.name), message))
    };
    let mut addr = [0; 16];
    let (column, row) = (placement.region.x.ordinal(at.x), placement.region.y.ordinal(at.y));
    let (Some(i), Some(j)) = (column, row) else { unreachable!("a region's own PE is in it") };
    for param in &placement.params {
        addr[usize::from(param.reg.0)] = param.value(i, j);
    }
    let microthreads = arch.pe.microthreads.value as usize;
    Ok(Element {
        code: placement.image as usize,
        main: Main::Free,
        micro: vec![None; microthreads],
        last: microthreads.saturating_sub(1), // so that the first one is microthread 0 (C1)
        active: image.tasks.iter().map(|t| t.active).collect(),
        blocked: image.tasks.iter().map(|t| t.blocked).collect(),
        addr,
        data: [0; 16],
        addr_ready: [0; 16],
        data_ready: [0; 16],
        inputs: queues(&arch.pe.input_queues.value, &image.inputs, input)?,
        outputs: queues(&arch.pe.output_queues.value, &image.outputs, output)?,
        occupancies: vec![Occupancy::default(); image.fifos.len()],
    })
}

/// C6, C7: queues of capacity depth + latency − 1, with their colors.
fn queues(depths: &[u32], bindings: &[(u8, Color)], latency: u64) -> Result<Vec<(Option<Color>, Fifo)>, String> {
    let capacity = |depth: u32| (u64::from(depth) + latency).saturating_sub(1);
    let mut queues: Vec<_> = depths.iter().map(|&depth| (None, Fifo::new(capacity(depth)))).collect();
    for (k, (queue, color)) in bindings.iter().enumerate() {
        if bindings[..k].iter().any(|(_, c)| c == color) {
            return Err(format!("two queues are bound to {color}"));
        }
        match queues.get_mut(usize::from(*queue)) {
            Some((bound @ None, _)) => *bound = Some(*color),
            Some(_) => return Err(format!("two colors are bound to queue {queue}")),
            None => return Err(format!("there is no queue {queue}")),
        }
    }
    Ok(queues)
}

/// R1: one channel per route and router, by color; outputs are connected later.
fn add_routes(machine: &mut Machine, program: &Program) -> Result<(), Diagnostic> {
    for route in &program.routes {
        for at in route.region.iter() {
            let pe = &mut machine.pes[machine.grid.index(at).0 as usize];
            let queues = pe.element.as_ref().map(|e| e.outputs.as_slice()).unwrap_or_default();
            let channel = Channel {
                color: route.color,
                sent: [0; 5],
                positions: vec![position(route.rx, route.tx)],
                position: 0,
                ring: false,
                pop: Pop::Never,
                closed: false,
                filter: None,
                buffers: Vec::new(),
                queue: queues.iter().position(|(c, _)| *c == Some(route.color)),
            };
            let Router { channels, order } = &mut pe.router;
            match channels.binary_search_by_key(&route.color, |c| c.color) {
                Ok(_) => return Err(malformed(&format!("PE {at}"), format!("two routes of {}", route.color))),
                Err(slot) => channels.insert(slot, channel),
            }
            order.push(order.len()); // R3: at the start by color number
        }
    }
    Ok(())
}

fn position(rx: Dir, tx: DirSet) -> Position {
    Position { rx, outputs: tx.iter().map(|dir| Output { dir, to: To::Nowhere }).collect() }
}

/// The channel of `color` in the router at `at`.
fn channel_at(machine: &mut Machine, at: PeCoord, color: Color) -> Result<&mut Channel, Diagnostic> {
    let pe = &mut machine.pes[machine.grid.index(at).0 as usize];
    let channel = pe.router.channels.iter_mut().find(|c| c.color == color);
    channel.ok_or_else(|| malformed(&format!("PE {at}"), format!("a switch or filter of {color}, which has no route")))
}

/// S1: further positions, each the route with what it changes.
fn add_switches(machine: &mut Machine, program: &Program) -> Result<(), Diagnostic> {
    for switch in &program.switches {
        for at in switch.region.iter() {
            let channel = channel_at(machine, at, switch.color)?;
            if channel.positions.len() > 1 {
                return Err(malformed(&format!("PE {at}"), format!("two switches of {}", switch.color)));
            }
            (channel.ring, channel.pop) = (switch.ring, switch.pop);
            let rx = channel.positions[0].rx;
            let tx = channel.positions[0].outputs.iter().fold(DirSet::EMPTY, |set, o| set.with(o.dir));
            for p in &switch.positions {
                channel.positions.push(position(p.rx.unwrap_or(rx), p.tx.unwrap_or(tx)));
            }
        }
    }
    Ok(())
}

/// S5: counters at their starts.
fn add_filters(machine: &mut Machine, program: &Program) -> Result<(), Diagnostic> {
    for filter in &program.filters {
        for at in filter.region.iter() {
            let channel = channel_at(machine, at, filter.color)?;
            let (column, row) = (filter.region.x.ordinal(at.x), filter.region.y.ordinal(at.y));
            let (Some(i), Some(j)) = (column, row) else { unreachable!("a region's own PE is in it") };
            let counter = Counter { at: filter.start_at(i, j), period: filter.period, pass: filter.pass };
            if channel.filter.replace(counter).is_some() {
                return Err(malformed(&format!("PE {at}"), format!("two filters of {}", filter.color)));
            }
        }
    }
    Ok(())
}

/// R2: a buffer for every link that a position takes from.
fn add_buffers(machine: &mut Machine, arch: &ArchSpec) {
    let capacity = (u64::from(arch.router.buffer.value) + u64::from(arch.router.hop.value)).saturating_sub(1);
    for channel in machine.pes.iter_mut().flat_map(|pe| &mut pe.router.channels) {
        let links = channel.positions.iter().fold(DirSet::EMPTY, |set, p| set.with(p.rx));
        let links = links.iter().filter(|&dir| dir != Dir::Ramp);
        channel.buffers = links.map(|dir| (dir, Fifo::new(capacity))).collect();
    }
}

fn add_ports(machine: &mut Machine, program: &Program, values: Option<&Values<'_>>) -> Result<(), Diagnostic> {
    for (stream, edge) in program.edges.iter().enumerate() {
        for (ordinal, position) in (0u32..).zip(edge.ports.iter()) {
            let at = at_edge(machine.grid, edge.side, position);
            let pe = machine.grid.index(at).0 as usize;
            if port_at(machine, program, pe, edge).is_some() {
                return Err(malformed(
                    &format!("edge {}", edge.name),
                    format!("another stream of {} at {at}", edge.color),
                ));
            }
            let into = buffer_from(machine, pe, edge.color, edge.side).filter(|_| edge.flow == Flow::In);
            let data = match values {
                Some(v) if edge.flow == Flow::In => v.inputs.ports.get(&(edge.name.clone(), ordinal)),
                _ => None,
            };
            machine.ports.push(Port {
                stream,
                ordinal,
                flow: edge.flow,
                color: edge.color,
                pe,
                into,
                interval: edge.interval.max(1).into(),
                total: edge.wavelets,
                left: edge.wavelets,
                // E1: the first one enters at `edge_latency`.
                next: if edge.flow == Flow::In { machine.arch.router.edge_latency.value.into() } else { 0 },
                data: data.cloned().unwrap_or_default(),
                entered: 0,
            });
        }
    }
    Ok(())
}

fn at_edge(grid: Grid, side: Dir, position: u32) -> PeCoord {
    match side {
        Dir::North | Dir::Ramp => PeCoord { x: position, y: 0 },
        Dir::South => PeCoord { x: position, y: grid.height - 1 },
        Dir::West => PeCoord { x: 0, y: position },
        Dir::East => PeCoord { x: grid.width - 1, y: position },
    }
}

/// The port of a stream of the same color, flow and side as `edge` at this PE.
fn port_at(machine: &Machine, program: &Program, pe: usize, edge: &EdgeStream) -> Option<usize> {
    machine.ports.iter().position(|p| {
        p.pe == pe && p.color == edge.color && p.flow == edge.flow && program.edges[p.stream].side == edge.side
    })
}

/// The channel of `color` in the router of `pe` with its buffer for port `rx`, if it ever takes
/// from there.
fn buffer_from(machine: &Machine, pe: usize, color: Color, rx: Dir) -> Option<(usize, usize)> {
    let channel = machine.pes[pe].router.channels.iter().position(|c| c.color == color)?;
    let buffers = &machine.pes[pe].router.channels[channel].buffers;
    buffers.iter().position(|(dir, _)| *dir == rx).map(|buffer| (channel, buffer))
}

/// Finds the other end of every output.
fn connect(machine: &mut Machine, program: &Program) {
    for pe in 0..machine.pes.len() {
        for channel in 0..machine.pes[pe].router.channels.len() {
            for position in 0..machine.pes[pe].router.channels[channel].positions.len() {
                let Channel { color, positions, .. } = &machine.pes[pe].router.channels[channel];
                let dirs: Vec<Dir> = positions[position].outputs.iter().map(|o| o.dir).collect();
                let color = *color;
                for (k, dir) in dirs.into_iter().enumerate() {
                    let to = other_end(machine, program, pe, color, dir).unwrap_or(To::Nowhere);
                    machine.pes[pe].router.channels[channel].positions[position].outputs[k].to = to;
                }
            }
        }
    }
}

/// What takes the wavelets of `color` that leave the router of `pe` by `dir`.
fn other_end(machine: &Machine, program: &Program, pe: usize, color: Color, dir: Dir) -> Option<To> {
    match (dir, machine.grid.neighbour(machine.coord(pe), dir)) {
        (Dir::Ramp, _) => {
            let inputs = machine.pes[pe].element.as_ref().map(|e| e.inputs.as_slice()).unwrap_or_default();
            inputs.iter().position(|(c, _)| *c == Some(color)).map(To::Input)
        }
        (_, Some(next)) => {
            let pe = machine.grid.index(next).0 as usize;
            buffer_from(machine, pe, color, dir.opposite()).map(|(channel, buffer)| To::Channel { pe, channel, buffer })
        }
        (_, None) => {
            let out = |p: &Port| p.flow == Flow::Out && program.edges[p.stream].side == dir;
            machine.ports.iter().position(|p| p.pe == pe && p.color == color && out(p)).map(To::Port)
        }
    }
}
