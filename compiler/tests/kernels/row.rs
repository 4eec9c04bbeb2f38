//! All-reduces along rows and scatters from the west edge.

use crate::common::*;
use compiler::codegen::instr::{color, mem};
use compiler::codegen::resources::{Port, Ports, Use, Uses};
use compiler::codegen::row::RowReduce;
use compiler::codegen::scatter::Scatter;
use compiler::ids::BufferId;
use compiler::kernel::{Access, Addresses, HostSource, Kernel, Requirement};
use compiler::layout::Geometry;
use sim_core::arch::{ArchSpec, cs2::cs2};
use sim_core::coord::{PeCoord, Region, Span};
use sim_core::program::{DType, Image, Instr, Op, Placement, Program, Task, Trigger};

fn image(body: Vec<Instr>) -> Image {
    let task = Task { name: "main".into(), trigger: Trigger::Local, active: true, blocked: false, body };
    Image { name: "test".into(), tasks: vec![task], ..Image::default() }
}

fn put(program: &mut Program, image: Image, x: u32, rows: Span) {
    let index = program.images.len() as u32;
    program.images.push(image);
    program.placements.push(Placement { region: Region { x: Span::one(x), y: rows }, image: index, params: vec![] });
}

/// All-reduces `v` over groups of columns, twice: the sum, then the maximum.
#[derive(Debug)]
struct Reduce(RowReduce, u32);

impl Kernel for Reduce {
    fn name(&self) -> String {
        "reduce".into()
    }

    fn requirements(&self, _: &Geometry) -> Vec<Requirement> {
        vec![
            Requirement::operand("sum", DType::F32, self.1, Access::Update),
            Requirement::operand("max", DType::F32, self.1, Access::Update),
        ]
    }

    fn program(&self, g: &Geometry, _: &ArchSpec, at: &Addresses) -> Program {
        let mut program = Program { grid: Some(g.grid), routes: self.0.routes(), ..Program::default() };
        for group in 0..self.0.groups {
            for (class, columns) in self.0.classes() {
                let mut body = Vec::new();
                self.0.all_reduce(class, Op::Add, self.1, at[BufferId::Named("sum")], &mut body);
                self.0.all_reduce(class, Op::Max, self.1, at[BufferId::Named("max")], &mut body);
                let mut image = image(body);
                self.0.bind(class, &mut image);
                for i in columns {
                    put(&mut program, image.clone(), self.0.first + group * self.0.width + i, self.0.rows);
                }
            }
        }
        program
    }

    fn estimate(&self, _: &Geometry, _: &ArchSpec) -> u64 {
        u64::from(self.1)
    }
}

/// The colors and queues of sums over the row on a CS-2.
fn sums() -> Port {
    let uses = Uses { ports: vec![Use::RowReduction], ..Uses::default() };
    Ports::allot(&uses, &cs2()).of(Use::RowReduction)
}

#[test]
fn every_column_of_a_group_gets_the_result() {
    let g = padded(DType::F32);
    for (width, groups) in [(1, 8), (2, 4), (3, 2), (4, 2), (8, 1)] {
        let reduce = Reduce(RowReduce { width, groups, ..RowReduce::lanes(&g, sums()) }, 5);
        let mut wafer = Wafer::cs2(&g);
        wafer.addresses(&[&reduce]);
        let value = |at: PeCoord, i: u32| noise(at.y * 100 + at.x, i);
        for pe in g.used().iter() {
            let v: Vec<f32> = (0..5).map(|i| value(pe, i)).collect();
            wafer.set_raw(pe, "sum", &v);
            wafer.set_raw(pe, "max", &v);
        }
        wafer.run(&reduce, &TestHost::default());
        for pe in g.used().iter().filter(|pe| pe.x < width * groups) {
            let members = (0..width).map(|i| PeCoord { x: pe.x / width * width + i, y: pe.y });
            for i in 0..5 {
                let all: Vec<f32> = members.clone().map(|at| value(at, i)).collect();
                let sum = wafer.raw(pe, "sum", 5)[i as usize];
                assert!((sum - all.iter().sum::<f32>()).abs() < 1e-5, "width {width} at {pe}");
                assert_eq!(wafer.raw(pe, "max", 5)[i as usize], all.iter().copied().fold(-9.0, f32::max));
            }
        }
    }
}

/// Scatters the numbers 1, 2, …
#[derive(Debug)]
struct Scattered(Scatter);

impl Kernel for Scattered {
    fn name(&self) -> String {
        "scatter".into()
    }

    fn requirements(&self, _: &Geometry) -> Vec<Requirement> {
        vec![Requirement::operand("own", DType::F32, self.0.wavelets, Access::Write)]
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        let mut program = Program { grid: Some(g.grid), routes: self.0.routes(), ..Program::default() };
        program.edges = vec![self.0.feed_west(arch, "in")];
        for (station, members) in self.0.classes() {
            let mut body = vec![self.0.receive(station, mem(DType::F32, at[BufferId::Named("own")], self.0.wavelets))];
            body.extend(self.0.forward(station, 1));
            body.extend(self.0.finish(station, 1));
            let mut image = image(body);
            image.inputs.push((0, station.recv));
            image.outputs.extend(station.send.map(|c| (2, c)));
            for i in members {
                put(&mut program, image.clone(), i * self.0.period, self.0.rows);
            }
        }
        program
    }

    fn feed(&self, _: &Geometry, _: &str, port: u32, _: &dyn HostSource) -> Vec<u32> {
        let n = self.0.wavelets;
        self.0.feed(|i| (0..n).map(|k| ((1000 * port + i * n + k) as f32).to_bits()).collect())
    }

    fn estimate(&self, _: &Geometry, _: &ArchSpec) -> u64 {
        0
    }
}

#[test]
fn every_station_keeps_its_own() {
    let g = padded(DType::F32);
    for (period, stations) in [(1, 1), (1, 2), (1, 8), (2, 4), (3, 3), (4, 2)] {
        let rows = Span::run(0, g.used_rows());
        let scatter = Scatter { period, stations, rows, wavelets: 7, colors: [color(16), color(17)] };
        let mut wafer = Wafer::cs2(&g);
        wafer.run(&Scattered(scatter), &TestHost::default());
        for y in rows.iter() {
            for i in 0..stations {
                let own = wafer.raw(PeCoord { x: i * period, y }, "own", 7);
                let want: Vec<f32> = (0..7).map(|k| (1000 * y + i * 7 + k) as f32).collect();
                assert_eq!(own, want, "{stations} stations, one in {period} columns");
            }
        }
    }
}
