//! What every run obeys, checked at the end of every run: wavelets are neither lost nor made, queues keep
//! their bounds, and a PE's cycles are not more than the run's.
//!
//! Example: if 4,000 wavelets were put into FIFOs and 3,999 taken out, one has to lie in some FIFO. If it
//! does not, the engine has a bug, and the counters of the run cannot be trusted.
//!
//! **Invariant.** A run that violates one of them has no result.
//! **Not here.** What the invariants follow from: `docs/MODEL.md`, "Accounting".

use super::band::Band;
use super::fifo::is_remote;
use sim_core::error::RunError;

/// Checks the bands of a run that ended in cycle `end`.
pub(super) fn check(bands: &[Band], end: u64) -> Result<(), RunError> {
    let sum = |of: &dyn Fn(&Band) -> u64| -> u64 { bands.iter().map(of).sum() };
    if bands.iter().any(|b| b.t.fifos.broken) {
        return Err(RunError::Broken("a queue held more than it can, or less than nothing".to_owned()));
    }
    let held = |b: &Band| -> u64 {
        let own = b.t.fifos.all.iter().filter(|f| !is_remote(f.consumer));
        own.map(|f| u64::from(f.len)).sum()
    };
    let (pushed, popped, in_flight) = (sum(&|b| b.t.fifos.pushed), sum(&|b| b.t.fifos.popped), sum(&held));
    if pushed != popped + in_flight {
        let violation = format!("{pushed} wavelets put in, {popped} taken out, {in_flight} there");
        return Err(RunError::Broken(violation));
    }
    // Skipped periods are in the counters of what was sent, but not in those of the queues.
    let sent = sum(&|b| (0..b.t.routers.len()).flat_map(|pe| b.sent(pe)).sum());
    let ports = |b: &Band, inward: bool| -> u64 {
        b.t.ports.iter().filter(|p| p.inward == inward).map(|p| p.total - p.left).sum()
    };
    let (off, on) = (sum(&|b| ports(b, false)), sum(&|b| ports(b, true)));
    let entered = sum(&|b| b.given) + on + sent - off;
    if bands.iter().all(|b| b.skipped == 0) && entered != pushed {
        let violation = format!("{entered} wavelets entered queues, {pushed} were put into them");
        return Err(RunError::Broken(violation));
    }
    for band in bands {
        for (pe, ce) in band.t.ces.iter().enumerate() {
            let busy = ce.compute + ce.wait + ce.back_pressure;
            if busy > end {
                let at = band.t.coord(pe as u32);
                return Err(RunError::Broken(format!("PE {at} was busy for {busy} of {end} cycles")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::fast::band::Band;
    use crate::fast::build::{self, Cut};
    use crate::fast::engine::{Engine, Instruments};
    use sim_core::arch::cs2::cs2;
    use sim_core::error::RunError;
    use sim_core::program::parse;

    const SEND: &str = "program p\ngrid 2x1\nimage a {\nout q0 c0\ntask m local active {\nvec mov 4: fab c0 f32 <- #1\n}\n}\nplace a x=0 y=0\nroute c0 x=0 y=0 ramp -> east\nroute c0 x=1 y=0 west -> east\nedge out o east y=0 c0 wavelets 4 every 1 fanout 1\n";

    /// A run in which `tamper` changed a number before it began.
    fn run(tamper: impl FnOnce(&mut Band)) -> Result<u64, RunError> {
        let arch = cs2();
        let program = parse(SEND, "test").expect("a program");
        let tables = build::bands(&program, &arch, Cut { limit: 1 << 30, bands: 1, watched: false }).expect("tables");
        let mut engine = Engine::new(tables, &arch, Instruments::default());
        tamper(&mut engine.bands[0]);
        engine.run(1000)
    }

    #[test]
    fn a_broken_invariant_is_no_result() {
        assert!(run(|_| ()).is_ok());
        let tampers: [fn(&mut Band); 4] =
            [|e| e.t.fifos.pushed += 1, |e| e.given += 1, |e| e.t.fifos.broken = true, |e| e.t.ces[0].wait = 999];
        for tamper in tampers {
            assert!(matches!(run(tamper), Err(RunError::Broken(_))));
        }
    }
}
