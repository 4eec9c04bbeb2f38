//! Kernels added up over the layers of a model.

use crate::run::{KernelReport, RunReport};
use std::collections::BTreeMap;

/// One entry per name and phase, in the order of first use. Layers and foldings are left out.
#[must_use]
pub fn over_layers(kernels: &[KernelReport]) -> Vec<KernelReport> {
    let mut order: Vec<KernelReport> = Vec::new();
    let mut index = BTreeMap::new();
    for k in kernels {
        let next = order.len();
        let at = *index.entry((&k.name, &k.phase)).or_insert(next);
        match order.get_mut(at) {
            Some(sum) => add(sum, k),
            None => order.push(KernelReport { layer: None, folded: Vec::new(), ..k.clone() }),
        }
    }
    order
}

/// Adds the counters of another kernel.
pub fn add(sum: &mut KernelReport, k: &KernelReport) {
    sum.count += k.count;
    sum.cycles += k.cycles;
    sum.macs += k.macs;
    sum.edge_in_bytes += k.edge_in_bytes;
    sum.edge_out_bytes += k.edge_out_bytes;
    sum.pe_cycles += k.pe_cycles;
}

impl RunReport {
    /// The kernel that takes most of the step, over all layers.
    #[must_use]
    pub fn slowest_kernel(&self) -> Option<KernelReport> {
        over_layers(&self.kernels).into_iter().max_by_key(|k| k.cycles)
    }
}
