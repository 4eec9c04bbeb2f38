//! From a program on which two engines differ to a small one on which they still differ, and to a
//! file that is tried ever after.

use sim_core::coord::Color;
use sim_core::program::{Instr, Operand, Program, VecOp, parse};
use std::path::PathBuf;

/// Where small programs are kept. The first line of each gives the seed of its machine.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/regressions")
}

/// Leaves out whatever can be left out while `differs` holds: whole statements first, then tasks
/// and instructions, until nothing more can go.
pub(crate) fn shrink(mut program: Program, differs: &dyn Fn(&Program) -> bool) -> Program {
    loop {
        let smaller = candidates(&program).into_iter().find(|p| differs(p));
        match smaller {
            Some(p) => program = p,
            None => return program,
        }
    }
}

/// The program without one of its parts, for every part.
fn candidates(p: &Program) -> Vec<Program> {
    let mut out = Vec::new();
    let mut without = |count: usize, cut: &dyn Fn(&mut Program, usize)| {
        for i in 0..count {
            let mut q = p.clone();
            cut(&mut q, i);
            out.push(q);
        }
    };
    without(usize::from(Color::MAX), &|q, i| remove_color(q, Color::new(i as u8).unwrap()));
    without(p.images.len(), &|q, i| q.images[i].buffers.clear());
    without(p.placements.len(), &|q, i| drop(q.placements.remove(i)));
    without(p.edges.len(), &|q, i| drop(q.edges.remove(i)));
    without(p.switches.len(), &|q, i| drop(q.switches.remove(i)));
    without(p.filters.len(), &|q, i| {
        q.filters.remove(i);
    });
    without(p.routes.len(), &|q, i| {
        let gone = q.routes.remove(i);
        q.switches.retain(|s| s.color != gone.color || s.region != gone.region);
        q.filters.retain(|x| x.color != gone.color || x.region != gone.region);
    });
    for image in 0..p.images.len() {
        without(p.images[image].tasks.len(), &|q, i| q.images[image].tasks[i].body.clear());
        for task in 0..p.images[image].tasks.len() {
            let sizes = count(&p.images[image].tasks[task].body);
            without(sizes, &|q, i| remove(&mut q.images[image].tasks[task].body, &mut i.clone()));
        }
    }
    out.retain(|q| q != p);
    out
}

/// All traffic of a color, at both ends.
fn remove_color(p: &mut Program, color: Color) {
    p.routes.retain(|r| r.color != color);
    p.switches.retain(|s| s.color != color);
    p.filters.retain(|x| x.color != color);
    p.edges.retain(|e| e.color != color);
    let uses = |op: &VecOp| op.src.iter().chain([&op.dst]).any(|o| matches!(o, Operand::Fab(c, _) if *c == color));
    for image in &mut p.images {
        image.inputs.retain(|q| q.1 != color);
        image.outputs.retain(|q| q.1 != color);
        for task in &mut image.tasks {
            task.body.retain(|instr| match instr {
                Instr::Vec(op) => !uses(op),
                Instr::Async(a) => !uses(&a.op),
                Instr::Control(c, _) | Instr::Open(c) => *c != color,
                _ => true,
            });
        }
    }
}

/// Instructions, loops and branches counted with what is in them.
fn count(body: &[Instr]) -> usize {
    body.iter().map(|i| 1 + i.bodies().into_iter().map(count).sum::<usize>()).sum()
}

/// What a loop or a branch has inside.
fn bodies(instr: &mut Instr) -> Vec<&mut Vec<Instr>> {
    match instr {
        Instr::Loop { body, .. } | Instr::Repeat { body, .. } | Instr::While { body, .. } => vec![body],
        Instr::If { then, otherwise, .. } => vec![then, otherwise],
        _ => Vec::new(),
    }
}

/// Removes instruction `n` of a body, and loops and branches that become empty.
fn remove(body: &mut Vec<Instr>, n: &mut usize) {
    for i in 0..body.len() {
        if *n == 0 {
            body.remove(i);
            *n = usize::MAX;
            return;
        }
        *n -= 1;
        let mut inner = bodies(&mut body[i]);
        inner.iter_mut().for_each(|inner| {
            if *n != usize::MAX {
                remove(inner, n);
            }
        });
        if *n == usize::MAX {
            if inner.first().is_some_and(|first| first.is_empty()) {
                body.remove(i);
            }
            return;
        }
    }
}

/// Writes a small program for the machine of `seed`, with or without random costs of control code; gives
/// its path.
pub(crate) fn keep(program: &Program, seed: u64, with_control: bool) -> PathBuf {
    let path = folder().join(format!("seed-{seed}{}.wafer", if with_control { "-control" } else { "" }));
    std::fs::create_dir_all(folder()).unwrap();
    std::fs::write(&path, format!("// seed {seed}{}\n{program}", if with_control { " control" } else { "" })).unwrap();
    path
}

/// All programs that were kept, by name, with the seeds of their machines.
pub(crate) fn kept() -> Vec<(String, u64, bool, Program)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|f| f.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "wafer"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let first = text.lines().next().and_then(|l| l.strip_prefix("// seed ")).unwrap();
        let (seed, with_control) = first.strip_suffix(" control").map_or((first, false), |seed| (seed, true));
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name.clone(), seed.parse().unwrap(), with_control, parse(&text, &name).unwrap())
    };
    paths.into_iter().map(read).collect()
}
