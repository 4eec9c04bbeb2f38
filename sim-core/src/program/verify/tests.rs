//! One test per rule: a well-formed program, changed in one place, gives that diagnostic and no other.

use super::*;
use crate::arch::cs2::cs2;
use crate::coord::DirSet;
use crate::program::{
    AddrOp, AddrReg, Async, Buffer, DType, DataReg, Dim, EdgeStream, Flow, Image, Instr, MemRef, Op, Operand, Param,
    Priority, Task, TaskId, Then, Trigger, VecOp,
};

mod size;

fn c(n: u8) -> Color {
    Color::new(n).unwrap()
}

fn mov(len: u32, dst: Operand, src: Operand) -> VecOp {
    VecOp::new(Op::Mov, len, dst, vec![src])
}

fn mem(len: u32) -> Operand {
    Operand::Mem(MemRef::vec(DType::F32, 1024, len))
}

fn fab(n: u8) -> Operand {
    Operand::Fab(c(n), DType::F32)
}

fn image(name: &str, queue: (bool, u8), body: Vec<Instr>) -> Image {
    let bound = vec![(2, c(queue.1))];
    let (inputs, outputs) = if queue.0 { (bound, vec![]) } else { (vec![], bound) };
    let task = Task { name: "main".into(), trigger: Trigger::Local, active: true, blocked: false, body };
    let buffer = Buffer { name: "y".into(), addr: 1024, dtype: DType::F32, word: None, len: 4, init: vec![0; 4] };
    Image { name: name.into(), inputs, outputs, buffers: vec![buffer], fifos: Vec::new(), tasks: vec![task] }
}

fn route(n: u8, region: Region, rx: Dir, tx: &[Dir]) -> Route {
    Route { color: c(n), region, rx, tx: DirSet::of(tx) }
}

fn place(image: u32, region: Region) -> Placement {
    Placement { region, image, params: vec![] }
}

/// Four PEs in a row: the first sends four wavelets of c0 to the three others; an edge stream of
/// c1 goes through all of them.
fn good() -> Program {
    let send = image("send", (false, 0), vec![Instr::Vec(mov(4, fab(0), mem(4)))]);
    let halves = Instr::Loop { count: 2, body: vec![Instr::Vec(mov(2, mem(2), fab(0)))] };
    let recv = image("recv", (true, 0), vec![halves]);
    let edge = |name: &str, flow, side| EdgeStream {
        name: name.into(),
        flow,
        side,
        ports: Span::one(0),
        color: c(1),
        wavelets: 9,
        interval: 1,
        fanout: 1,
    };
    Program {
        name: "row".into(),
        grid: Some(Grid { width: 4, height: 1 }),
        images: vec![send, recv],
        placements: vec![place(0, Region::rect(0, 0, 1, 1)), place(1, Region::rect(1, 0, 3, 1))],
        routes: vec![
            route(0, Region::rect(0, 0, 1, 1), Dir::Ramp, &[Dir::East]),
            route(0, Region::rect(1, 0, 2, 1), Dir::West, &[Dir::East, Dir::Ramp]),
            route(0, Region::rect(3, 0, 1, 1), Dir::West, &[Dir::Ramp]),
            route(1, Region::rect(0, 0, 4, 1), Dir::West, &[Dir::East]),
        ],
        edges: vec![edge("a", Flow::In, Dir::West), edge("b", Flow::Out, Dir::East)],
        switches: Vec::new(),
        filters: Vec::new(),
    }
}

fn codes(program: &Program) -> Vec<String> {
    let mut codes: Vec<String> = verify(program, &cs2()).into_iter().map(|d| d.code).collect();
    codes.dedup();
    codes
}

#[track_caller]
fn diagnostic(code: &str, change: impl Fn(&mut Program)) {
    let mut program = good();
    change(&mut program);
    let found = verify(&program, &cs2());
    assert!(!found.is_empty() && found.iter().all(|d| d.code == code), "expected {code}, got {found:#?}");
}

/// Adds an instruction to the receivers.
#[track_caller]
fn instr(code: &str, instr: Instr) {
    diagnostic(code, |p| p.images[1].tasks[0].body.push(instr.clone()));
}

#[track_caller]
fn vec(code: &str, op: VecOp) {
    instr(code, Instr::Vec(op));
}

#[test]
fn a_good_program_has_no_fault() {
    assert_eq!(codes(&good()), Vec::<String>::new());
    assert_eq!(codes(&Program { grid: Some(Grid { width: 750, height: 994 }), ..Program::default() }).len(), 0);
}

#[test]
fn r001_grid() {
    diagnostic("R001", |p| p.grid = None);
    diagnostic("R001", |p| p.grid = Some(Grid { width: 0, height: 4 }));
    diagnostic("R001", |p| p.grid = Some(Grid { width: u32::MAX, height: u32::MAX }));
    let wide = Program { grid: Some(Grid { width: 751, height: 1 }), ..Program::default() };
    assert_eq!(codes(&wide), ["R001"]);
}

#[test]
fn r002_region_off_the_grid() {
    let region = |x| Region { x, y: Span::one(0) };
    for x in [Span::run(3, 2), Span::run(0, 0), Span { start: 0, count: u32::MAX, step: u32::MAX }, Span::one(4)] {
        diagnostic("R002", |p| p.placements.push(place(0, region(x))));
        diagnostic("R002", |p| p.routes.push(route(5, region(x), Dir::Ramp, &[Dir::East])));
    }
}

#[test]
fn r003_two_images_on_one_pe() {
    diagnostic("R003", |p| {
        p.placements.push(place(0, Region { x: Span { start: 0, count: 2, step: 3 }, y: Span::one(0) }))
    });
}

#[test]
fn r004_two_routes_of_a_color_in_one_router() {
    diagnostic("R004", |p| p.routes.push(route(0, Region::rect(2, 0, 2, 1), Dir::West, &[Dir::Ramp])));
}

#[test]
fn r005_no_such_image() {
    diagnostic("R005", |p| {
        p.grid = Some(Grid { width: 4, height: 2 });
        p.placements.push(place(2, Region::rect(0, 1, 1, 1)));
    });
}

#[test]
fn r006_route_that_leads_nowhere() {
    diagnostic("R006", |p| p.routes[2].tx = DirSet::EMPTY);
    diagnostic("R006", |p| p.routes[3].tx = DirSet::of(&[Dir::East, Dir::West]));
}

#[test]
fn r007_link_that_nobody_receives_from() {
    diagnostic("R007", |p| p.routes[2].tx = DirSet::of(&[Dir::Ramp, Dir::East]));
    diagnostic("R007", |p| {
        p.grid = Some(Grid { width: 4, height: 2 });
        p.routes[2].tx = DirSet::of(&[Dir::Ramp, Dir::South]);
    });
}

#[test]
fn r008_link_that_nobody_sends_to() {
    diagnostic("R008", |p| drop(p.edges.remove(0)));
    assert_eq!(
        codes(&{
            let mut p = good();
            p.routes[2].rx = Dir::South;
            p
        }),
        ["R007", "R008"]
    );
}

#[test]
fn r009_ramp_without_an_input_queue() {
    diagnostic("R009", |p| p.routes[3].tx = DirSet::of(&[Dir::East, Dir::Ramp]));
}

#[test]
fn r010_ramp_without_an_output_queue() {
    diagnostic("R010", |p| {
        p.routes.push(route(2, Region::rect(0, 0, 1, 1), Dir::Ramp, &[Dir::East]));
        p.routes.push(route(2, Region::rect(1, 0, 1, 1), Dir::West, &[Dir::Ramp]));
        p.images[1].inputs.push((3, c(2)));
    });
}

#[test]
fn r011_no_such_color() {
    let mut arch = cs2();
    arch.router.colors.value = 1;
    let found = verify(&good(), &arch);
    assert!(found.len() == 3 && found.iter().all(|d| d.code == "R011"), "{found:#?}");
}

#[test]
fn r012_queue_binding() {
    diagnostic("R012", |p| p.images[0].outputs.push((6, c(7))));
    diagnostic("R012", |p| p.images[1].inputs.push((2, c(7))));
    diagnostic("R012", |p| p.images[1].inputs.push((3, c(0))));
}

#[test]
fn r013_color_without_a_queue() {
    vec("R013", mov(4, mem(4), fab(1)));
    vec("R013", mov(4, fab(0), mem(4)));
    diagnostic("R013", |p| p.images[0].tasks[0].trigger = Trigger::Data(c(3), DataReg(0)));
}

#[test]
fn r014_no_such_microthread() {
    let op = mov(4, mem(4), fab(0));
    instr("R014", Instr::Async(Async { thread: 8, priority: Priority::Low, op, then: None }));
    instr("R014", Instr::Join(8));
}

#[test]
fn r015_task_reference() {
    instr("R015", Instr::Activate(TaskId(1)));
    instr("R015", Instr::Block(TaskId(9)));
    let op = mov(4, mem(4), fab(0));
    let then = Some(Then::Unblock(TaskId(1)));
    instr("R015", Instr::Async(Async { thread: 0, priority: Priority::Low, op, then }));
    diagnostic("R015", |p| {
        p.images[1].tasks[0].trigger = Trigger::Data(c(0), DataReg(0));
        p.images[1].tasks[0].body = vec![Instr::Activate(TaskId(0))];
    });
}

#[test]
fn r016_register() {
    vec("R016", mov(4, Operand::Reg(DataReg(16)), mem(4)));
    instr("R016", Instr::Addr(AddrOp::Copy(AddrReg(1), AddrReg(16))));
    vec("R016", mov(4, Operand::Mem(MemRef::vec(DType::F32, 0, 4).at(AddrReg(16))), mem(4)));
    diagnostic("R016", |p| p.placements[0].params = vec![Param::constant(AddrReg(16), 0)]);
    diagnostic("R016", |p| p.placements[0].params = vec![Param::constant(AddrReg(1), 0); 2]);
    diagnostic("R016", |p| p.placements[0].params = vec![Param { mod_x: 0, ..Param::constant(AddrReg(1), 0) }]);
}

#[test]
fn r017_operands_do_not_fit_the_operation() {
    vec("R017", VecOp { op: Op::Add, ..mov(4, mem(4), mem(4)) });
    vec("R017", VecOp::new(Op::Fmac, 4, mem(4), vec![mem(4); 3]));
    vec("R017", mov(4, Operand::imm(1.0), mem(4)));
    let fab = |n| Operand::Fab(Color::new(n).unwrap(), DType::F32);
    let add = |a, b| VecOp::new(Op::Add, 4, mem(4), vec![fab(a), fab(b)]);
    let diagnostics = |op| {
        let task = Task {
            name: "t".into(),
            trigger: Trigger::Local,
            active: true,
            blocked: false,
            body: vec![Instr::Vec(op)],
        };
        let inputs = (0..2).map(|n| (n, Color::new(n).unwrap())).collect();
        let image = Image { name: "i".into(), inputs, tasks: vec![task], ..Image::default() };
        let program = Program { images: vec![image], grid: Some(Grid { width: 1, height: 1 }), ..Program::default() };
        verify(&program, &crate::arch::cs2::cs2()).iter().filter(|d| d.code == "R017").count()
    };
    assert_eq!((diagnostics(add(1, 1)), diagnostics(add(0, 1))), (1, 0), "one color twice, two colors");
}

#[test]
fn r018_lengths_disagree() {
    vec("R018", mov(0, mem(0), Operand::imm(0.0)));
    vec("R018", mov(4, mem(3), Operand::imm(0.0)));
    let dims = vec![Dim { len: u32::MAX, stride: i32::MIN }; 4].into();
    vec(
        "R018",
        mov(
            4,
            Operand::Mem(MemRef { base: None, offset: 0, dtype: DType::F16, dims, ring: None, advance: false }),
            mem(4),
        ),
    );
    let dims = vec![Dim { len: 1, stride: 1 }; 5].into();
    vec(
        "R018",
        mov(
            1,
            Operand::Mem(MemRef { base: None, offset: 0, dtype: DType::F16, dims, ring: None, advance: false }),
            mem(1),
        ),
    );
    diagnostic("R018", |p| p.images[0].buffers[0].init.push(0));
}

#[test]
fn r019_loop() {
    let join = Instr::Join(0);
    instr("R019", Instr::Loop { count: 0, body: vec![join.clone()] });
    instr("R019", Instr::Loop { count: 1, body: vec![] });
    let nest = |depth| (0..depth).fold(join.clone(), |body, _| Instr::Loop { count: 2, body: vec![body] });
    instr("R019", nest(9));
    let mut fine = good();
    fine.images[1].tasks[0].body.push(nest(8));
    assert_eq!(codes(&fine).len(), 0);
}

#[test]
fn r020_memory_of_a_pe_is_too_small() {
    diagnostic("R020", |p| p.images[0].buffers[0].len = u32::MAX);
    // 16 bytes of code and 1,024 of stack leave 48,112.
    let fits = |len| {
        let mut p = good();
        p.images[0].buffers[0].len = len;
        codes(&p).is_empty()
    };
    assert!(fits((48_112 - 1024) / 4));
    assert!(!fits((48_112 - 1024) / 4 + 1));
}

#[test]
fn r021_operand_outside_the_memory() {
    let at = |offset, stride| {
        let dims = vec![Dim { len: 4, stride }].into();
        mov(
            4,
            Operand::Mem(MemRef { base: None, offset, dtype: DType::F32, dims, ring: None, advance: false }),
            Operand::imm(0.0),
        )
    };
    vec("R021", at(49_140, 1));
    vec("R021", at(8, -1));
    vec("R021", at(i32::MAX, i32::MAX));
    instr("R021", Instr::Addr(AddrOp::Load { reg: AddrReg(0), base: None, offset: 49_151 }));
    let mut fine = good();
    fine.images[1].tasks[0].body.extend([Instr::Vec(at(49_136, 1)), Instr::Vec(at(12, -1))]);
    assert_eq!(codes(&fine).len(), 0);
}

#[test]
fn r022_malformed_edge_stream() {
    diagnostic("R022", |p| p.edges.push(EdgeStream { side: Dir::Ramp, ..p.edges[0].clone() }));
    diagnostic("R022", |p| p.edges.push(EdgeStream { interval: 0, ..p.edges[0].clone() }));
    diagnostic("R022", |p| p.edges.push(EdgeStream { fanout: 0, ..p.edges[0].clone() }));
    diagnostic("R022", |p| {
        p.edges.push(EdgeStream { ports: Span::run(1, u32::MAX), interval: u32::MAX, ..p.edges[0].clone() })
    });
}

#[test]
fn r023_edge_stream_without_a_route() {
    diagnostic("R023", |p| p.edges.push(EdgeStream { color: c(2), ..p.edges[0].clone() }));
    diagnostic("R023", |p| p.edges.push(EdgeStream { side: Dir::North, ports: Span::one(2), ..p.edges[1].clone() }));
    diagnostic("R023", |p| p.edges.push(p.edges[0].clone()));
}

#[test]
fn r024_edge_bandwidth() {
    let wide = |height, interval, fanout| {
        let mut p = good();
        p.grid = Some(Grid { width: 4, height });
        p.routes[3].region = Region::rect(0, 0, 4, height);
        for e in &mut p.edges {
            *e = EdgeStream { ports: Span::run(0, height), interval, fanout, ..e.clone() };
        }
        codes(&p)
    };
    // 1.2 Tb/s at 850 MHz are 44.1 wavelets per cycle.
    assert_eq!(wide(44, 1, 1), Vec::<String>::new());
    assert_eq!(wide(45, 1, 1), ["R024"]);
    assert_eq!(wide(88, 2, 1), Vec::<String>::new());
    assert_eq!(wide(45, 1, 2), Vec::<String>::new());
}

#[test]
fn r025_sent_and_received_counts_differ() {
    diagnostic("R025", |p| p.images[0].tasks[0].body = vec![Instr::Vec(mov(5, fab(0), mem(5)))]);
    diagnostic("R025", |p| p.images[1].tasks[0].body.clear());
    diagnostic("R025", |p| p.edges[0].wavelets = 8);
    // A task that something else decides about is not counted.
    let mut unknown = good();
    let body = &mut unknown.images[1].tasks[0].body;
    body.extend([body[0].clone(), Instr::Block(TaskId(0))]);
    assert_eq!(codes(&unknown).len(), 0);
    // Two tasks of two wavelets each, the second activated by the first.
    let mut two = good();
    let half = Instr::Vec(mov(2, mem(2), fab(0)));
    two.images[1].tasks[0].body = vec![half.clone(), Instr::Activate(TaskId(1))];
    let again = Task { name: "again".into(), trigger: Trigger::Local, active: false, blocked: false, body: vec![half] };
    two.images[1].tasks.push(again);
    assert_eq!(codes(&two).len(), 0);
    two.images[1].tasks[1].body.clear();
    assert_eq!(codes(&two), ["R025"]);
}

#[test]
fn r026_route_that_loops() {
    let turn = |x, y, rx, tx| route(3, Region::rect(x, y, 1, 1), rx, &[tx]);
    diagnostic("R026", |p| {
        p.grid = Some(Grid { width: 4, height: 2 });
        p.routes.push(turn(0, 0, Dir::South, Dir::East));
        p.routes.push(turn(1, 0, Dir::West, Dir::South));
        p.routes.push(turn(1, 1, Dir::North, Dir::West));
        p.routes.push(turn(0, 1, Dir::East, Dir::North));
    });
}

#[test]
fn r027_wavelets_without_a_route() {
    diagnostic("R027", |p| {
        p.images[0].outputs.push((3, c(5)));
        p.images[0].tasks[0].body.push(Instr::Vec(mov(1, fab(5), mem(1))));
    });
    diagnostic("R027", |p| {
        p.images[0].inputs.push((3, c(5)));
        p.images[0].tasks[0].body.push(Instr::Vec(mov(1, mem(1), fab(5))));
    });
}

#[test]
fn r032_asynchronous_without_a_fabric_operand() {
    let op = mov(4, mem(4), Operand::imm(0.0));
    instr("R032", Instr::Async(Async { thread: 0, priority: Priority::Low, op, then: None }));
}

#[test]
fn a_place_names_the_loops_around_an_instruction() {
    let mut program = good();
    let inner = Instr::Loop { count: 2, body: vec![Instr::Join(0), Instr::Vec(mov(0, mem(0), fab(0)))] };
    program.images[1].tasks[0].body = vec![Instr::Join(0), Instr::Loop { count: 3, body: vec![inner] }];
    let diagnostics = verify(&program, &cs2());
    let at: Vec<&str> = diagnostics.iter().map(|f| f.at.as_str()).collect();
    assert!(at.contains(&"image `recv` task `main` instruction 2.1.2"), "{at:?}");
}
