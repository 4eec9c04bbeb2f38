//! The instructions of a program as people see them: their canonical text, and the lines that they stand in.
//!
//! **Invariant.** Instructions are numbered in the order of the text, those in loops and branches included,
//! as in `sim_core::diag::Part::Instr`.
//! **Not here.** The text form itself (`sim_core::program::text`).

use sim_core::diag::Part;

use sim_core::program::parse::SourceMap;
use sim_core::program::{Instr, Operand, Program, ScalarOp, VecOp, walk};

/// The code of a program.
#[derive(Debug, Clone)]
pub struct Listing {
    /// By image.
    pub(crate) images: Vec<ListedImage>,
}

/// The code of an image.
#[derive(Debug, Clone)]
pub(crate) struct ListedImage {
    pub(crate) name: String,
    pub(crate) tasks: Vec<ListedTask>,
}

/// The code of a task.
#[derive(Debug, Clone)]
pub(crate) struct ListedTask {
    pub(crate) name: String,
    /// Line of the task.
    pub(crate) line: Option<String>,
    pub(crate) instructions: Vec<ListedInstruction>,
}

/// An instruction.
#[derive(Debug, Clone)]
pub(crate) struct ListedInstruction {
    /// As in the canonical text; of a loop or branch its head.
    pub(crate) text: String,
    /// The line that it was read from, with the name of the file if that is an included one.
    pub(crate) line: Option<String>,
    /// Colors that it takes wavelets of, and then those that it sends.
    pub(crate) colors: String,
    /// Whether it takes a time stamp.
    pub(crate) stamps: bool,
}

impl Listing {
    /// Of a program, with the lines that it was read from, if it was a text.
    #[must_use]
    pub fn of(program: &Program, map: Option<&SourceMap>) -> Listing {
        let line = |part: Part| {
            let (file, line) = map?.line_of(&part)?;
            let first = map?.files().next() == Some(file);
            Some(if first { line.to_string() } else { format!("{file}:{line}") })
        };
        let task = |image: usize, number: usize, task: &sim_core::program::Task| {
            let mut instructions = Vec::new();
            walk(&task.body, |instr| {
                let line = line(Part::Instr(image, number, instructions.len()));
                let stamps = matches!(instr, Instr::Scalar(ScalarOp::Timestamp(_)));
                instructions.push(ListedInstruction { text: instr.to_string(), line, colors: colors(instr), stamps });
            });
            ListedTask { name: task.name.clone(), line: line(Part::Task(image, number)), instructions }
        };
        let images = program.images.iter().enumerate().map(|(i, image)| ListedImage {
            name: image.name.clone(),
            tasks: image.tasks.iter().enumerate().map(|(t, listed)| task(i, t, listed)).collect(),
        });
        Listing { images: images.collect() }
    }
}

/// Colors that an instruction is about.
fn colors(instr: &Instr) -> String {
    match instr {
        Instr::Vec(op) => of_operands(op),
        Instr::Async(run) => of_operands(&run.op),
        Instr::Control(color, _) | Instr::Open(color) => color.to_string(),
        Instr::AsyncControl(send) => send.color.to_string(),
        Instr::Filter { color, .. } | Instr::Turn { color, .. } => color.to_string(),
        _ => String::new(),
    }
}

fn of_operands(op: &VecOp) -> String {
    let fabric = |operand: &Operand| match operand {
        Operand::Fab(color, _) => Some(color.to_string()),
        _ => None,
    };
    let all: Vec<String> = op.src.iter().chain([&op.dst]).filter_map(fabric).collect();
    all.join(" ")
}
