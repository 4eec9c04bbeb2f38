//! What every run obeys, checked at the end of every run: wavelets are conserved, queues keep their
//! bounds, a PE's cycles are not more than the run's.
//!
//! **Invariant.** A run that broke a law has no result.
//! **Not here.** What the laws follow from: `docs/MODEL.md`, "Accounting".

use super::Engine;
use sim_core::error::RunError;

impl Engine {
    /// Checks a run that ended in cycle `end`.
    pub(super) fn check_laws(&self, end: u64) -> Result<(), RunError> {
        let fifos = &self.t.fifos;
        if fifos.broken {
            return Err(RunError::Broken("a queue held more than it can, or less than nothing".to_owned()));
        }
        let in_flight: u64 = fifos.all.iter().map(|f| u64::from(f.len)).sum();
        if fifos.pushed != fifos.popped + in_flight {
            let law = format!("{} wavelets put in, {} taken out, {in_flight} there", fifos.pushed, fifos.popped);
            return Err(RunError::Broken(law));
        }
        // Skipped periods are in the counters of what was sent, but not in those of the queues.
        let sent: u64 = self.sent.iter().flatten().sum();
        let off: u64 = self.t.ports.iter().filter(|p| !p.inward).map(|p| p.total - p.left).sum();
        let on: u64 = self.t.ports.iter().filter(|p| p.inward).map(|p| p.total - p.left).sum();
        let entered = self.given + on + sent - off;
        if self.skipped == 0 && entered != fifos.pushed {
            let law = format!("{entered} wavelets entered queues, {} were put into them", fifos.pushed);
            return Err(RunError::Broken(law));
        }
        for (pe, ce) in self.t.ces.iter().enumerate() {
            let Some(ce) = ce else { continue };
            let busy = ce.cycles.compute + ce.cycles.wait + ce.cycles.back_pressure;
            if busy > end {
                let at = self.t.grid.coord(sim_core::coord::PeIdx(pe as u32));
                return Err(RunError::Broken(format!("PE {at} was busy for {busy} of {end} cycles")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Engine, Plan, Tables};
    use sim_core::arch::cs2::cs2;
    use sim_core::error::RunError;
    use sim_core::program::parse;

    const SEND: &str = "program p\ngrid 2x1\nimage a {\nout q0 c0\ntask m local active {\nvec mov 4: fab c0 f32 <- #1\n}\n}\nplace a x=0 y=0\nroute c0 x=0 y=0 ramp -> east\nroute c0 x=1 y=0 west -> east\nedge out o east y=0 c0 wavelets 4 every 1 fanout 1\n";

    /// A run in which `tamper` changed a number before it began.
    fn run(tamper: impl FnOnce(&mut Engine)) -> Result<u64, RunError> {
        let arch = cs2();
        let program = parse(SEND, "test").expect("a program");
        let tables = Tables::new(&program, &arch, 1 << 30).expect("tables");
        let mut engine = Engine::new(tables, &arch, Plan::default());
        tamper(&mut engine);
        engine.run(1000)
    }

    #[test]
    fn a_broken_law_is_no_result() {
        assert!(run(|_| ()).is_ok());
        let tampers: [fn(&mut Engine); 4] = [
            |e| e.t.fifos.pushed += 1,
            |e| e.given += 1,
            |e| e.t.fifos.broken = true,
            |e| e.t.ces[0].as_mut().expect("a compute element").cycles.wait = 999,
        ];
        for tamper in tampers {
            assert!(matches!(run(tamper), Err(RunError::Broken(_))));
        }
    }
}
