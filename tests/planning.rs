//! What a step executes: launches whose programs are built once for several of them have the same
//! programs as if each had its own.
#![allow(clippy::unwrap_used, reason = "tests")]

use compiler::options::{CheckpointRequest, MappingConstraints};
use compiler::{Compiled, Options, compile};
use models::{Design, LayerGraph, ModelShape};
use runner::programs::{Hits, distinct, distinct_with};
use sim_core::arch::{ArchSpec, cs2::cs2};
use sim_core::program::DType;
use sim_core::program::content_hash;

/// A model with layers of one and of two digits.
fn compiled(arch: &ArchSpec, design: Design, checkpoints: CheckpointRequest) -> Compiled {
    let shape = ModelShape {
        name: "deep".into(),
        design,
        layers: 12,
        d_model: 16,
        heads: 2,
        d_ff: 64,
        vocab: 32,
        max_positions: 8,
    };
    let graph = LayerGraph::training_step(&shape, 2, 8).unwrap();
    let map = MappingConstraints { checkpoints, ..MappingConstraints::default() };
    let options = Options {
        batch: 2,
        micro_batch: Some(2),
        seq_len: 8,
        act: DType::F16,
        accumulator: DType::F32,
        constraints: map,
    };
    compile(&graph, arch, &options).unwrap()
}

#[test]
fn every_launch_has_the_program_that_it_would_have_alone() {
    let mut arch = cs2();
    (arch.wafer.width.value, arch.wafer.height.value) = (4, 4);
    for checkpoints in [CheckpointRequest::Stay, CheckpointRequest::Recompute, CheckpointRequest::Offload] {
        let compiled = compiled(&arch, Design::GPT2, checkpoints);
        let plan = distinct(&compiled, &arch).unwrap();
        let mut hash = blake3::Hasher::new();
        for (launch, &index) in compiled.launches.iter().zip(&plan.launches) {
            let program = compiled.program(launch, &arch);
            let count = launch.count * compiled.micro_batches;
            hash.update(&content_hash(&program)).update(&count.to_le_bytes());
            assert_eq!(
                fabric::fold::timing_key(&program, arch.pe.bank_period()),
                plan.programs[index].timing,
                "{}",
                launch.kernel.name()
            );
        }
        assert_eq!(plan.hash, hash.finalize().to_hex().to_string(), "{checkpoints:?}");
        assert!(plan.programs.len() * 4 < compiled.launches.len(), "layers are alike");
    }
}

/// Launches with equal stencils have equal programs, whatever the design: every launch's program is built and compared.
#[test]
fn stencils_tell_programs() {
    let mut arch = cs2();
    (arch.wafer.width.value, arch.wafer.height.value) = (4, 4);
    for design in [Design::GPT2, Design::gpt_neox(4), Design::llama(4), Design::BERT] {
        for checkpoints in [CheckpointRequest::Recompute, CheckpointRequest::Offload] {
            let compiled = compiled(&arch, design, checkpoints);
            let believed = distinct(&compiled, &arch).unwrap();
            let rechecked = distinct_with(&compiled, &arch, Hits::Rechecked).unwrap();
            assert_eq!(believed.hash, rechecked.hash);
            assert!(believed.programs.len() * 3 < compiled.launches.len(), "layers are alike");
        }
    }
}
