//! Which buffers kernels read and write.
//!
//! **Not here.** What passes do about it.

use crate::ids::BufferId;
use crate::kernel::Access;
use crate::kernels::KernelKind;
use crate::layout::Geometry;

/// Whether a kernel reads, and whether it writes a buffer.
pub(super) fn access(kernel: &KernelKind, g: &Geometry, buffer: BufferId) -> (bool, bool) {
    let mut found = (false, false);
    for requirement in kernel.requirements(g).iter().filter(|r| r.buffer == buffer) {
        found.0 |= matches!(requirement.access, Access::Read | Access::Update);
        found.1 |= matches!(requirement.access, Access::Write | Access::Update);
    }
    found
}

/// The buffers that a kernel reads, and those that it writes.
pub(super) fn buffers(kernel: &KernelKind, g: &Geometry) -> (Vec<BufferId>, Vec<BufferId>) {
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for requirement in kernel.requirements(g) {
        match requirement.access {
            Access::Read => reads.push(requirement.buffer),
            Access::Write => writes.push(requirement.buffer),
            Access::Update => {
                reads.push(requirement.buffer);
                writes.push(requirement.buffer);
            }
            Access::Scratch => {}
        }
    }
    (reads, writes)
}
