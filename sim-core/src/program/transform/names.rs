//! The names in a program that are for people only.

use crate::program::{Buffer, EdgeStream, Fifo, Image, Program, Task};

/// Names that are no part of a program's meaning: its own, and those of images, buffers and tasks.
/// Names of edge streams count, since the host finds values by them; those of FIFOs in memory are
/// part of the stored form.
pub(super) fn names(program: &mut Program) -> Vec<&mut String> {
    let Program { name, grid: _, images, placements: _, routes: _, switches: _, filters: _, edges } = program;
    let mut all = vec![name];
    for image in images {
        let Image { name, inputs: _, outputs: _, buffers, fifos, tasks } = image;
        all.push(name);
        all.extend(buffers.iter_mut().map(|Buffer { name, addr: _, dtype: _, word: _, len: _, init: _ }| name));
        all.extend(tasks.iter_mut().map(|Task { name, trigger: _, active: _, blocked: _, body: _ }| name));
        for Fifo { name: _, addr: _, dtype: _, len: _ } in fifos {}
    }
    for edge in edges {
        let EdgeStream { name: _, flow: _, side: _, ports: _, color: _, wavelets: _, interval: _, fanout: _ } = edge;
    }
    all
}
