//! How many bytes of a PE's memory a kernel's code takes: known only once its program has been emitted, which is dear.
//!
//! **Invariant.** Kernels that differ only in their layers and in where their windows begin have code of equal size, so
//! it is emitted once for all of them.
//! **Not here.** Bytes of an instruction (`sim_core`).

use crate::kernel::{Addresses, Requirement};
use crate::kernels::KernelKind;
use crate::kernels::stencil;
use crate::layout::Geometry;
use sim_core::arch::ArchSpec;
use sim_core::program::code_bytes;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Bytes by kernel, each emitted by whoever asks first. Only looked up, never iterated over.
#[expect(clippy::disallowed_types, reason = "nothing iterates over it")]
type Known = std::collections::HashMap<KernelKind, Arc<OnceLock<u64>>>;

/// Bytes of kernels' code on one geometry: emitted once for kernels that are alike, whichever thread asks first.
#[derive(Debug, Default)]
pub struct Codes {
    known: Mutex<Known>,
    guess: Option<u64>,
}

impl Codes {
    /// So many bytes for every kernel: nothing is emitted.
    #[must_use]
    pub fn guess(bytes: u64) -> Codes {
        Codes { guess: Some(bytes), ..Codes::default() }
    }

    /// Bytes of a kernel's code.
    pub fn of(&self, g: &Geometry, arch: &ArchSpec, kernel: &KernelKind) -> u64 {
        self.guess.unwrap_or_else(|| {
            let alike = stencil::of_code(kernel);
            let code = self.known.lock().unwrap_or_else(PoisonError::into_inner).entry(alike).or_default().clone();
            *code.get_or_init(|| code_of(g, arch, kernel))
        })
    }
}

/// Bytes of a kernel's code, with buffers one behind the other.
fn code_of(g: &Geometry, arch: &ArchSpec, kernel: &KernelKind) -> u64 {
    let mut next = 0u32;
    let mut at = Addresses::new();
    for Requirement { buffer, dtype, len, side, margin, .. } in kernel.all_requirements(g, arch) {
        let address = g.banks.place(next + margin, side);
        at.insert(buffer, address);
        next = address + len * dtype.bytes() + margin;
    }
    let program = kernel.program(g, arch, &at);
    program.images.iter().map(|i| code_bytes(i, arch)).max().unwrap_or(0)
}
