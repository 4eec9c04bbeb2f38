//! What the host gives a run with values, and gets back: memory of PEs and words of edge streams.
//!
//! **Not here.** Arithmetic (`values`).

use super::Engine;
use super::values::Memory;
use crate::Values;
use sim_core::program::Program;

impl Engine {
    /// Memory and edge streams at the start of a run with values.
    pub(super) fn load(&mut self, program: &Program, values: &mut Values<'_>) {
        self.t.fifos.carry_words();
        let mut memories = vec![Memory::default(); self.t.grid.pes() as usize];
        for (pe, ce) in self.t.ces.iter().enumerate() {
            let Some(ce) = ce else { continue };
            let m = &mut memories[pe];
            m.bytes = std::mem::take(&mut values.memory.pes[pe]);
            for b in &program.images[usize::from(ce.image)].buffers {
                for (i, bits) in b.init.iter().enumerate() {
                    let address = i64::from(b.addr) + i as i64 * i64::from(b.dtype.bytes());
                    if let Err(address) = m.set(b.dtype, address, f32::from_bits(*bits)) {
                        self.fault = Some((pe as u32, address));
                    }
                }
            }
        }
        self.memories = Some(memories);
        for p in self.t.ports.iter_mut().filter(|p| p.inward) {
            let name = program.edges[p.stream as usize].name.clone();
            p.values = values.inputs.ports.get(&(name, p.ordinal)).cloned().unwrap_or_default();
        }
    }

    /// Gives memory and edge streams back at its end.
    pub(super) fn unload(&mut self, program: &Program, values: &mut Values<'_>) {
        for (pe, m) in self.memories.take().into_iter().flatten().enumerate() {
            if self.t.ces[pe].is_some() {
                values.memory.pes[pe] = m.bytes;
            }
        }
        for p in self.t.ports.iter_mut().filter(|p| !p.inward) {
            let name = program.edges[p.stream as usize].name.clone();
            values.outputs.ports.insert((name, p.ordinal), std::mem::take(&mut p.values));
        }
    }
}
