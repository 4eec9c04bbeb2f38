//! Activations leave a small wafer and come back as they were.
mod common;

use common::{TestHost, Wafer, geometries, random_act};
use compiler::geometry::{Features, Geometry};
use compiler::kernel::Act;
use compiler::kernels::ferry::{Load, Save};
use fabric::{EngineKind, Fold, RunOptions};
use ndarray::{ArrayD, IxDyn};
use sim_core::program::DType;

fn acts(g: &Geometry) -> [Act; 2] {
    [Act::whole(g, "x", Features::Hidden), Act { dtype: DType::F32, ..Act::whole(g, "y", Features::Ffn) }]
}

#[test]
fn what_left_comes_back() {
    for g in [DType::F16, DType::Bf16, DType::F32].into_iter().flat_map(geometries) {
        for act in acts(&g) {
            let mut wafer = Wafer::cs2(&g);
            let x = random_act(&g, act.features, 1, act.dtype);
            wafer.put_array(&act, &x);
            let (_, gone) = wafer.run(&Save { act: act.clone() }, &TestHost::default());
            let name = format!("checkpoint {}", act.name);
            let len = act.all_slots * act.row;
            let shape = [g.used_columns(), g.used_rows(), len];
            let kept = gone.dense(&name, &shape).mapv(|v| v as f32);
            let mut host = TestHost::default();
            host.tensors.insert(name, ArrayD::from_shape_fn(IxDyn(&shape.map(|n| n as usize)), |i| kept[&i]));
            let mut other = Wafer::cs2(&g);
            other.run(&Load { act: act.clone() }, &host);
            for pe in g.used().iter() {
                assert_eq!(wafer.raw(pe, &act.name, len), other.raw(pe, &act.name, len), "{pe:?} of {g:?}");
            }
        }
    }
}

/// The rows take turns, but all of them are at work all the time.
#[test]
fn engines_and_foldings_agree_on_the_cycles() {
    for g in geometries(DType::F16) {
        let mut w = Wafer::cs2(&g);
        let [act, _] = acts(&g);
        for kernel in [&Save { act: act.clone() } as &dyn compiler::kernel::Kernel, &Load { act: act.clone() }] {
            let at = w.addresses_of(kernel);
            let program = kernel.program(&g, &w.arch, &at);
            let cycles = |engine, fold| {
                let options = RunOptions { engine, fold, ..RunOptions::default() };
                fabric::run(&program, &w.arch, &options, None).unwrap().cycles
            };
            let want = cycles(EngineKind::Reference, Fold::NONE);
            assert_eq!(cycles(EngineKind::Fast, Fold::NONE), want, "{g:?}");
            assert_eq!(cycles(EngineKind::Fast, Fold::ALL), want, "{g:?}");
        }
    }
}
