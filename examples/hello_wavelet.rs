//! Two PEs and one wavelet, printed cycle by cycle: `cargo run --example hello_wavelet`.

use fabric::{HostStreams, RunOptions, Values, WaferMemory, reference};
use sim_core::arch::cs2::cs2;
use sim_core::program::{parse, verify};

#[allow(clippy::print_stdout, reason = "an example prints")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let program = parse(include_str!("hello.wafer"), "examples/hello.wafer").map_err(|faults| format!("{faults:?}"))?;
    let arch = cs2();
    assert!(verify(&program, &arch).is_empty(), "the program is well formed");

    let mut memory = WaferMemory::new(program.grid(), arch.pe.sram.value);
    let (inputs, mut outputs) = (HostStreams::default(), HostStreams::default());
    let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
    let mut watch =
        |cycle: u64, pe, color| println!("cycle {cycle:>2}: a wavelet of {color} leaves the router of PE {pe}");
    let outcome = reference::run_watched(&program, &arch, &RunOptions::default(), Some(&mut values), &mut watch)?;

    let word = |pe: usize| {
        let bytes = &values.memory.pes[pe];
        f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    };
    println!("after {} the west PE holds {} and the east PE {}", outcome.cycles, word(0), word(1));
    let c = outcome.pe_cycles;
    println!("PE-cycles: {} compute, {} wait, {} back-pressure, {} idle", c.compute, c.wait, c.back_pressure, c.idle);
    assert_eq!(word(1), word(0), "the number arrived");
    Ok(())
}
