//! Programs of the library (`examples/programs/`) whose cycles on the vendor's simulator are public.
//!
//! A row names a program, what its parameters are, and the published cycles on a WSE-2 and on a WSE-3. Where the source
//! gives cycles per iteration, so does ours: what more iterations take longer, by how many there are.
//!
//! **Invariant.** The programs are those that a user finds in `examples/programs/`; no row has a number of its own.
//! **Not here.** Why a program takes what it takes: `examples/programs/README.md`.

use fabric::RunOptions;
use runner::Error;
use sim_core::arch::ArchSpec;
use sim_core::program::parse::{NoFiles, Options, read};
use sim_core::program::{Program, verify};

/// Where the stencils were measured: files of results of 2025.
const STENCILS: &str = "Jorineg/cerebras, tiled-stencil/, tables of results (commit eb1ec0f)";
/// Where the reductions were measured.
pub(super) const REDUCTIONS: &str =
    "pr0f3ss/SpMM_Cerebras, src/mpi_collectives/reduce_0_pe/reduce_2colors_2phase/results.txt (SDK 0.6, WSE-2)";

/// A program with what its execution is compared to.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) source: &'static str,
    /// Cycles, where they are published for the machine.
    pub(super) theirs: u64,
    text: &'static str,
    params: Vec<(&'static str, u64)>,
    /// Of a row per iteration: the parameter that counts them.
    per: Option<&'static str>,
}

/// Tile, radius, PEs in a row and a column that are executed, cycles per iteration on a WSE-2 and on a WSE-3. More PEs
/// would do what these do.
const TILES: [([u64; 2], u64, u64, [u64; 2]); 10] = [
    ([1, 1], 1, 16, [127, 156]),
    ([10, 10], 1, 10, [781, 558]),
    ([20, 20], 1, 5, [2_669, 1_788]),
    ([86, 14], 1, 3, [7_741, 5_299]),
    ([20, 20], 2, 5, [4_548, 4_570]),
    ([14, 9], 4, 3, [3_190, 3_216]),
    ([86, 14], 3, 3, [18_305, 18_329]),
    ([86, 14], 4, 3, [27_168, 27_253]),
    ([86, 14], 5, 3, [33_304, 33_699]),
    ([86, 14], 6, 3, [42_663, 42_772]),
];

/// Reductions with their start: the parameters of a program, and cycles on a WSE-2.
const REDUCED: [(&str, &str, u64, u64); 3] = [
    ("chain", include_str!("../../examples/programs/reduce_chain.wafer"), 0, 7_218),
    ("two-phase by groups of 8", include_str!("../../examples/programs/reduce_two_phase.wafer"), 8, 9_117),
    ("two-phase by groups of 64", include_str!("../../examples/programs/reduce_two_phase.wafer"), 64, 9_061),
];

/// The rows of a machine: those of a WSE-3 for `cs3`, of a WSE-2 for all others.
pub(super) fn rows(arch: &ArchSpec) -> Vec<Row> {
    let wse3 = arch.name == "cs3";
    let stencil = |&([tx, ty], r, pes, theirs): &([u64; 2], u64, u64, [u64; 2])| Row {
        name: format!("star stencil of radius {r}, {tx}x{ty} f32 per PE, an iteration"),
        source: STENCILS,
        theirs: theirs[usize::from(wse3)],
        text: include_str!("../../examples/programs/stencil.wafer"),
        params: vec![("px", pes), ("py", pes), ("tx", tx), ("ty", ty), ("r", r)],
        per: Some("iters"),
    };
    let reduction = |&(what, text, groups, theirs): &(&str, &'static str, u64, u64)| {
        let mut params = vec![("P", 512), ("B", 4_096)];
        if groups > 0 {
            params.push(("S", groups));
        }
        let name = format!("reduce of 4096 f32 over 512 PEs with its start, {what}");
        Row { name, source: REDUCTIONS, theirs, text, params, per: None }
    };
    let reductions = REDUCED.iter().filter(|_| !wse3).map(reduction);
    TILES.iter().map(stencil).chain(reductions).collect()
}

impl Row {
    /// Cycles here.
    pub(super) fn ours(&self, arch: &ArchSpec) -> Result<u64, Error> {
        let Some(iterations) = self.per else { return self.run(arch, None) };
        // As the source: a quarter of what 8 iterations take longer than 4.
        let [few, many] = [4, 8].map(|n| self.run(arch, Some((iterations, n))));
        Ok((many?.saturating_sub(few?) + 2) / 4)
    }

    fn run(&self, arch: &ArchSpec, more: Option<(&str, u64)>) -> Result<u64, Error> {
        let named = self.params.iter().copied().chain(more);
        let params: Vec<_> = named.map(|(name, value)| (name.to_owned(), value.to_string())).collect();
        let options = Options { params: &params, machine: &arch.name, loader: &mut NoFiles };
        let unit = read(self.text, &self.name, options).map_err(Error::Infeasible)?;
        execute(&unit.program, arch)
    }
}

/// Cycles of a program.
pub(super) fn execute(program: &Program, arch: &ArchSpec) -> Result<u64, Error> {
    let faults = verify(program, arch);
    if !faults.is_empty() {
        return Err(Error::Infeasible(faults));
    }
    let done = fabric::run(program, arch, &RunOptions::default(), None);
    done.map(|outcome| outcome.cycles.0).map_err(|error| Error::Execution { at: program.name.clone(), error })
}
