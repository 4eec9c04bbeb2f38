//! What a vector instruction computes when it uses a slot, in a run with values.
//!
//! **Not here.** Arithmetic and memory (`memory`), and timing, which never depends on values (`ce`).

use super::ce::CeCycle;
use super::lowered::LoweredVec;
use super::state::Running;
use sim_core::program::{DType, FifoId};

impl CeCycle<'_> {
    /// Values of `n` elements; the wavelet that they complete.
    pub(super) fn compute(&mut self, running: &Running, vector: &LoweredVec, thread: usize, n: u32) -> u32 {
        let Some(memory) = &mut self.memory else { return 0 };
        let (queues, fifos, inputs) = (self.ce.queues, &*self.fifos, &self.image.inputs);
        let wavelet = |color| {
            let local = inputs.iter().position(|&(_, c)| c == color);
            local.map_or(0, |l| fifos.word(queues + l as u32) as u32)
        };
        let (occupancies, memory_fifos) = (&self.registers.occupancies, &self.image.memory_fifos);
        let place = |id: FifoId, source: bool, index: u32, dtype: DType| {
            let (occupancy, (addr, capacity)) = (occupancies[usize::from(id.0)], memory_fifos[usize::from(id.0)]);
            let ahead = if source { index } else { occupancy.len + index };
            let at = (u64::from(occupancy.head) + u64::from(ahead)) % u64::from(capacity);
            i64::from(addr) + at as i64 * i64::from(dtype.bytes())
        };
        match memory.beat(&vector.op, thread, running.done..running.done + n, &wavelet, &place) {
            Ok(word) => word,
            Err(address) => {
                self.out.memory_fault = Some(address);
                0
            }
        }
    }
}
