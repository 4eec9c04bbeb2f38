//! Walking an image's instructions: the bytes that its code takes.
//!
//! **Invariant.** A walk keeps its own stack, so no nesting of loops can exhaust the host's.

use super::{Image, Instr};
use crate::arch::ArchSpec;

/// Calls `visit` for every instruction of a body in the order of the code, a loop or branch before what is in it.
/// Instructions in a loop are visited once, however often they are repeated.
pub fn walk<'a>(body: &'a [Instr], mut visit: impl FnMut(&'a Instr)) {
    let mut stack = vec![body.iter()];
    while let Some(top) = stack.last_mut() {
        let Some(instr) = top.next() else {
            stack.pop();
            continue;
        };
        visit(instr);
        stack.extend(instr.bodies().into_iter().rev().filter(|body| !body.is_empty()).map(<[Instr]>::iter));
    }
}

/// Bytes of a PE's memory that the code of an image takes: `pe.vector_code` for each vector
/// instruction, on the main thread or not, and `pe.scalar_code` for every other one, a loop
/// being one.
#[must_use]
pub fn code_bytes(image: &Image, arch: &ArchSpec) -> u64 {
    let mut bytes = 0u64;
    for task in &image.tasks {
        walk(&task.body, |instr| {
            bytes += u64::from(match instr {
                Instr::Vec(_) | Instr::Async(_) | Instr::AsyncControl(_) => arch.pe.vector_code.value,
                _ => arch.pe.scalar_code.value,
            });
        });
    }
    bytes
}
