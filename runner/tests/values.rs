//! A step with real numbers through the library: what does not change its values, and that an error in them is seen.
#![allow(clippy::unwrap_used, reason = "tests")]

use compiler::options::MappingConstraints;
use fabric::{EngineKind, RunOptions};
use models::oracle::Inputs;
use runner::values::{self, Comparison, Wafer};
use runner::workload::Request;
use runner::{CompiledStep, Error, Executor, Extras, Job, StepOptions, Workload, machine};
use sim_core::arch::ArchSpec;
use sim_core::program::DType;

const SEED: u64 = 3;

/// The mesh for lessons, without the time that it takes to start a layer, in which the reference engine steps every PE.
fn teaching() -> ArchSpec {
    machine::changed(machine::preset("teaching"), &["wafer.layer_start=0".to_owned()]).unwrap()
}

fn job(micro_batch: Option<u32>, act: DType) -> Job {
    let options = StepOptions { micro_batch, act, precision_opt_level: Some(0), ..StepOptions::default() };
    Job::new(Workload::preset("tiny").unwrap()).machine(teaching()).options(options)
}

fn inputs(step: &CompiledStep) -> Inputs {
    let workload = &step.workload;
    Inputs::initial(&workload.shape, workload.batch as usize, workload.seq_len as usize, SEED)
}

fn largest_error(compared: &Comparison) -> f64 {
    compared.worst().unwrap().max_error.max(compared.loss_error())
}

#[test]
fn engines_and_threads_give_the_same_values() {
    let of = |engine, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let executor = Executor { options: RunOptions { engine, ..RunOptions::default() }, ..Executor::default() };
        let extras = Extras { values: Some(SEED), ..Extras::default() };
        pool.install(|| job(None, DType::F16).run(&executor, extras)).unwrap().values.unwrap()
    };
    let first = of(EngineKind::Fast, 1);
    assert!((first.compared.loss - 61.0_f64.ln()).abs() < 0.05, "{}", first.compared.loss);
    assert!(largest_error(&first.compared) < 5e-3, "{:?}", first.compared.worst());
    for (engine, threads) in [(EngineKind::Fast, 2), (EngineKind::Fast, 3), (EngineKind::Reference, 2)] {
        assert_eq!(of(engine, threads), first, "{engine:?}, {threads} threads");
    }
}

/// Gradients are added up over micro-batches: in f32 the sum is that of all sequences at a time but for rounding.
#[test]
fn micro_batches_add_up_to_the_step() {
    for micro_batch in [1, 2, 4] {
        let step = job(Some(micro_batch), DType::F32).compile().unwrap();
        let executed = step.execute(&Executor::default()).unwrap();
        let values = values::run(&step, &executed, &RunOptions::default(), SEED).unwrap();
        assert!(largest_error(&values.compared) < 1e-4, "{micro_batch}: {:?}", values.compared.worst());
    }
}

/// The other columns of a machine have nothing to do with a model in the first ones.
#[test]
fn a_wide_machine_gives_the_values_of_a_narrow_one() {
    let of = |width: u32| {
        let sets = [&format!("wafer.width={width}"), "wafer.height=8", "wafer.layer_start=0"].map(str::to_owned);
        let arch = machine::changed(machine::preset("cs2"), &sets).unwrap();
        // Four lanes of two heads, each in three columns: all of the narrow machine's columns.
        let constraints = MappingConstraints {
            lanes: Some(4),
            head_columns: Some(3),
            tokens: Some(4),
            ..MappingConstraints::default()
        };
        let options = StepOptions { act: DType::F32, constraints, ..StepOptions::default() };
        let step = job(None, DType::F32).machine(arch).options(options).compile().unwrap();
        assert_eq!(step.compiled.geometry.used_columns(), 24);
        Wafer::new(&step, &RunOptions::default()).unwrap().step(&inputs(&step)).unwrap()
    };
    assert_eq!(of(24), of(300));
}

/// An element that is off by a tenth of the largest of its tensor, and a weight that was fed wrongly, are seen in the
/// tensors where they are.
#[test]
fn a_wrong_gradient_is_seen() {
    let step = job(None, DType::F32).compile().unwrap();
    let (shape, right) = (&step.workload.shape, inputs(&step));
    let wafer = Wafer::new(&step, &RunOptions::default()).unwrap();
    let (mut gradients, _) = wafer.step(&right).unwrap();
    assert!(largest_error(&Comparison::of(shape, &right, &gradients)) < 1e-4);
    let name = "h.1.mlp.c_fc.weight";
    let tensor = gradients.tensors.get_mut(name).unwrap();
    let largest = tensor.iter().fold(0.0_f32, |most, g| most.max(g.abs()));
    tensor[[5, 17]] += largest / 10.0;
    let compared = Comparison::of(shape, &right, &gradients);
    let worst = compared.worst().unwrap();
    assert_eq!(worst.name, name);
    assert!((worst.max_error - 0.1).abs() < 1e-3, "{worst:?}");

    let mut wrong = right.clone();
    wrong.params.tensors.get_mut("h.0.attn.c_attn.weight").unwrap()[[3, 60]] += 0.05;
    let (gradients, _) = wafer.step(&wrong).unwrap();
    assert!(largest_error(&Comparison::of(shape, &right, &gradients)) > 1e-2);
}

#[test]
fn a_model_that_is_too_large_for_values_is_refused() {
    let job = job(None, DType::F16);
    let options = RunOptions { memory_limit: 1 << 20, ..RunOptions::default() };
    let executor = Executor { options, ..Executor::default() };
    let refused = job.run(&executor, Extras { values: Some(0), ..Extras::default() }).unwrap_err();
    assert!(matches!(&refused, Error::Refused(all) if all[0].code == "cli-values"), "{refused}");
    let padded = StepOptions { split: runner::Split::Pad, ..StepOptions::default() };
    let arch = machine::changed(machine::preset("teaching"), &["cluster.systems=3".to_owned()]).unwrap();
    let step = Job::new(Workload::preset_with("tiny", Request::default()).unwrap()).machine(arch).options(padded);
    let step = step.compile().unwrap();
    assert!(matches!(values::check(&step, &RunOptions::default()), Err(Error::Invalid(_))));
}
