//! What verifying costs and says where a program, a mesh or its faults are many.

use super::*;

#[test]
fn many_faults_are_counted_not_listed() {
    let mut p = good();
    p.routes.extend(vec![p.routes[0]; 1000]);
    let found = verify(&p, &cs2());
    assert_eq!(found.len() as u64, LISTED + 1, "{found:#?}");
}

#[test]
fn a_full_wafer_takes_no_loop_over_its_pes() {
    let (width, height) = (750, 994);
    let mut p = Program { grid: Some(Grid { width, height }), ..Program::default() };
    let odd = |start, n: u32| Span { start, count: (n - start).div_ceil(2), step: 2 };
    for n in 0..24 {
        for y in [0, 1] {
            let rows = odd(y, height);
            p.routes.push(route(n, Region { x: Span::one(0), y: rows }, Dir::West, &[Dir::East]));
            p.routes.push(route(n, Region { x: odd(1, width), y: rows }, Dir::West, &[Dir::East]));
            p.routes.push(route(n, Region { x: odd(2, width), y: rows }, Dir::West, &[Dir::East]));
        }
        for (flow, side) in [(Flow::In, Dir::West), (Flow::Out, Dir::East)] {
            let ports = Span::run(0, height);
            let name = String::new();
            p.edges.push(EdgeStream { name, flow, side, ports, color: c(n), wavelets: 9, interval: 1000, fanout: 1 });
        }
    }
    for _ in 0..20 {
        assert_eq!(codes(&p), Vec::<String>::new());
    }
}

#[test]
fn many_regions_are_compared_with_their_neighbours_only() {
    let (width, height) = (750, 994);
    let mut p = Program { grid: Some(Grid { width, height }), ..Program::default() };
    for n in 0..24 {
        for y in 0..height {
            p.routes.push(route(n, Region::rect(0, y, width, 1), Dir::West, &[Dir::East]));
        }
    }
    // All but the missing edge streams is in order; 71 million pairs would take seconds.
    assert!(verify(&p, &cs2()).iter().all(|d| d.code != "R004"));
}

#[test]
fn every_rule_is_in_the_table_once() {
    for (i, (code, _)) in RULES.iter().enumerate() {
        assert_eq!(*code, format!("R{:03}", i + 1));
    }
}
