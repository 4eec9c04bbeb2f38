//! Which buffers kernels read and write.
//!
//! **Not here.** What passes do about it.

use crate::kernel::{Access, Kernel, Name};
use crate::layout::Geometry;
use crate::schedule::ScheduledKernel;
use std::sync::Arc;

/// Whether a kernel reads, and whether it writes a buffer.
pub(super) fn access(kernel: &Arc<dyn Kernel>, g: &Geometry, buffer: &str) -> (bool, bool) {
    let mut found = (false, false);
    for requirement in kernel.requirements(g).iter().filter(|n| *n.name == *buffer) {
        found.0 |= matches!(requirement.access, Access::Read | Access::Update);
        found.1 |= matches!(requirement.access, Access::Write | Access::Update);
    }
    found
}

/// Names of the buffers that a kernel reads, and of those that it writes.
pub(super) fn names(scheduled: &ScheduledKernel, g: &Geometry) -> (Vec<Name>, Vec<Name>) {
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for requirement in scheduled.kernel.requirements(g) {
        match requirement.access {
            Access::Read => reads.push(requirement.name),
            Access::Write => writes.push(requirement.name),
            Access::Update => {
                reads.push(requirement.name.clone());
                writes.push(requirement.name);
            }
            Access::Scratch => {}
        }
    }
    (reads, writes)
}
