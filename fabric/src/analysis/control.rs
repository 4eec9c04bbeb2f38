//! Which control wavelets a program may send.
//!
//! A control wavelet moves switches in the routers on its way (rules S1 to S5), and what it carries is
//! in no trace of a boundary. So the engines keep more state for colors that one may travel on, and a
//! program that sends one has no gaps (rule F4).

use sim_core::coord::Color;
use sim_core::program::{Image, Instr, Program, walk};

/// The color that an instruction sends a control wavelet on, if it does.
fn control_color(instr: &Instr) -> Option<Color> {
    instr.control().map(|(color, _)| color)
}

/// The color that an instruction sends a control wavelet on, or whose switch or filter it sets.
fn steered_color(instr: &Instr) -> Option<Color> {
    match instr {
        Instr::Filter { color, .. } | Instr::Turn { color, .. } => Some(*color),
        other => control_color(other),
    }
}

/// The colors that are of interest in the code of some images, in its order.
fn colors<'a>(images: impl Iterator<Item = &'a Image>, of: fn(&Instr) -> Option<Color>) -> Vec<Color> {
    let mut colors = Vec::new();
    for task in images.flat_map(|image| &image.tasks) {
        walk(&task.body, |instr| {
            colors.extend(of(instr).filter(|color| !colors.contains(color)));
        });
    }
    colors
}

/// Colors on which some image, placed or not, may send control wavelets, or whose switch or filter it may set.
pub(crate) fn controlled(program: &Program) -> Vec<Color> {
    colors(program.images.iter(), steered_color)
}

/// Whether a PE may send a control wavelet.
pub(crate) fn sends_control(program: &Program) -> bool {
    let placed = program.placements.iter().filter_map(|p| program.images.get(p.image as usize));
    !colors(placed, control_color).is_empty()
}
