//! Two simulated systems that train on halves of a batch, with values: their gradients added as
//! SwarmX adds them, and AdamW on 32-bit parameters as MemoryX runs it, end with the same weights as
//! one system on the whole batch, and as the f64 implementation in `models`.
#![allow(clippy::unwrap_used, reason = "tests")]

use cluster::values::{CEREBRAS_GPT, Master, reduce};
use compiler::options::MappingConstraints;
use fabric::RunOptions;
use models::oracle::{self, Inputs, Params};
use models::{Design, ModelShape};
use ndarray::{ArrayD, IxDyn};
use runner::values::{LossScale, Wafer};
use runner::workload::Request;
use runner::{CompiledStep, Job, StepOptions, Workload};
use sim_core::arch::cs2::cs2;
use sim_core::program::DType;
use std::collections::BTreeMap;

/// Sequences of a step, tokens of each, steps.
const BATCH: usize = 4;
const SEQ: usize = 8;
const STEPS: usize = 3;
const RATE: f32 = 1e-2;

fn shape() -> ModelShape {
    let sizes = (1, 16, 2, 32);
    ModelShape {
        name: "tiny".into(),
        design: Design::GPT2,
        layers: sizes.0,
        d_model: sizes.1,
        heads: sizes.2,
        d_ff: sizes.3,
        vocab: 32,
        max_positions: SEQ as u32,
    }
}

/// Ids of all sequences of a step.
fn ids(step: usize, salt: usize) -> Vec<Vec<u32>> {
    let id = |s: usize, p: usize| ((s * 11 + p * 7 + salt * p * p + 5 * step + salt) % 32) as u32;
    (0..BATCH).map(|s| (0..SEQ).map(|p| id(s, p)).collect()).collect()
}

/// Parameters by name, one array behind the other in the order of names.
struct Layout(Vec<(String, Vec<usize>)>);

impl Layout {
    fn of(params: &Params) -> Layout {
        Layout(params.tensors.iter().map(|(name, t)| (name.clone(), t.shape().to_vec())).collect())
    }

    fn cut<T: Clone>(&self, flat: &[T]) -> BTreeMap<String, ArrayD<T>> {
        let mut at = 0;
        let mut next = |dims: &[usize]| {
            let n = dims.iter().product::<usize>();
            at += n;
            ArrayD::from_shape_vec(IxDyn(dims), flat[at - n..at].to_vec()).unwrap()
        };
        self.0.iter().map(|(name, dims)| (name.clone(), next(dims))).collect()
    }
}

fn flat<T: Clone>(tensors: &BTreeMap<String, ArrayD<T>>) -> Vec<T> {
    tensors.values().flat_map(|t| t.iter().cloned()).collect()
}

/// A way to share the batch.
#[derive(Clone, Copy)]
struct Way {
    systems: usize,
    micro_batch: usize,
}

struct Trainer {
    step: CompiledStep,
    layout: Layout,
    way: Way,
    scale: LossScale,
}

impl Trainer {
    fn new(way: Way, act: DType, lanes: Option<u32>) -> Trainer {
        let mut arch = cs2();
        (arch.wafer.width.value, arch.wafer.height.value) = (4, 4);
        arch.cluster.systems.value = way.systems as u32;
        let request = Request { batch: Some(BATCH as u64), seq_len: Some(SEQ as u32) };
        let options = StepOptions {
            micro_batch: Some(way.micro_batch as u32),
            act,
            precision_opt_level: Some(0),
            constraints: MappingConstraints { lanes, ..MappingConstraints::default() },
            ..StepOptions::default()
        };
        let job = Job::new(Workload::from_shape(shape(), request)).machine(arch).options(options);
        let step = job.compile().unwrap_or_else(|e| panic!("{e}"));
        let layout = Layout::of(&Params::zeros(&shape()));
        Trainer { step, layout, way, scale: LossScale(if act == DType::F16 { 64.0 } else { 1.0 }) }
    }

    /// The gradients of one step of all systems, as MemoryX has them.
    fn gradients(&self, weights: &[f32], step: usize) -> Vec<f32> {
        let weights: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
        let params = Params { tensors: self.layout.cut(&weights) };
        let inputs = Inputs { params, tokens: ids(step, 1), targets: ids(step, 3) };
        let wafer = Wafer::new(&self.step, &RunOptions::default()).unwrap().scaled(self.scale);
        let per_system = BATCH / self.way.systems;
        let of = |system: usize, micro_batch: usize| {
            let first = system * per_system + micro_batch * self.way.micro_batch;
            flat(&wafer.micro_batch(&inputs, first).unwrap_or_else(|e| panic!("{e}")).0.tensors)
        };
        let mut all: Option<Vec<f32>> = None;
        for micro_batch in 0..per_system / self.way.micro_batch {
            let wafers: Vec<Vec<f32>> = (0..self.way.systems).map(|system| of(system, micro_batch)).collect();
            let sum = reduce(&wafers, self.step.arch.cluster.fanout.value as usize);
            all = Some(match all {
                None => sum,
                Some(before) => before.iter().zip(&sum).map(|(a, b)| a + b).collect(),
            });
        }
        all.unwrap()
    }
}

fn start() -> Vec<f32> {
    flat(&Params::seeded(&shape(), 7).tensors).into_iter().map(|w| w as f32).collect()
}

fn trained(way: Way, act: DType, lanes: Option<u32>) -> Vec<f32> {
    let trainer = Trainer::new(way, act, lanes);
    let mut master = Master::new(start());
    for step in 0..STEPS {
        let gradients = trainer.gradients(&master.weights, step);
        master.update(&CEREBRAS_GPT, RATE, &gradients);
    }
    master.weights
}

/// The same in f64 throughout, and the smallest gradient of every parameter over the steps, relative
/// to the largest of its tensor.
fn in_f64() -> (Vec<f64>, Vec<f64>) {
    let shape = shape();
    let layout = Layout::of(&Params::zeros(&shape));
    let mut weights: Vec<f64> = start().into_iter().map(f64::from).collect();
    let zeros = vec![0.0; weights.len()];
    let (mut mean, mut square, mut least) = (zeros.clone(), zeros, vec![f64::MAX; weights.len()]);
    for step in 0..STEPS {
        let params = Params { tensors: layout.cut(&weights) };
        let (_, gradients) = oracle::loss_and_gradients(&shape, &params, &ids(step, 1), &ids(step, 3));
        let relative = gradients.tensors.iter().map(|(n, t)| {
            let most = t.iter().fold(0.0f64, |m, g| m.max(g.abs()));
            (n.clone(), t.mapv(|g| if most < 1e-12 { 0.0 } else { g.abs() / most }))
        });
        least.iter_mut().zip(flat(&relative.collect())).for_each(|(l, r)| *l = l.min(r));
        let gradients = flat(&gradients.tensors);
        let norm = gradients.iter().map(|g| g * g).sum::<f64>().sqrt();
        let bias = |beta: f64| 1.0 - beta.powi(step as i32 + 1);
        for (i, g) in gradients.iter().map(|g| g / norm.max(1.0)).enumerate() {
            mean[i] = 0.9 * mean[i] + 0.1 * g;
            square[i] = 0.95 * square[i] + 0.05 * g * g;
            let move_by = mean[i] / bias(0.9) / ((square[i] / bias(0.95)).sqrt() + 1e-8) + 0.1 * weights[i];
            weights[i] -= f64::from(RATE) * move_by;
        }
    }
    (weights, least)
}

const WHOLE: Way = Way { systems: 1, micro_batch: 4 };
const TWICE: Way = Way { systems: 1, micro_batch: 2 };
const HALVES: Way = Way { systems: 2, micro_batch: 2 };

/// One system that accumulates two micro-batches adds the same numbers in the same order as the tree
/// over two systems: the weights are equal to the bit, in whatever precision the wafers compute.
#[test]
fn two_systems_are_one_that_accumulates_to_the_bit() {
    for act in [DType::F32, DType::F16] {
        let (one, two) = (trained(TWICE, act, Some(1)), trained(HALVES, act, Some(1)));
        assert!(one == two, "{act:?}");
        assert!(one.iter().zip(start()).filter(|(a, b)| *a != b).count() > one.len() / 2, "it was trained");
    }
}

/// And they end where one system on the whole batch and the f64 implementation do. AdamW divides a
/// gradient by its own size, so where that is rounding only (keys' biases, whose gradient is zero),
/// a parameter may go anywhere, though no further than the rate in a step.
#[test]
fn two_systems_end_where_one_and_f64_end() {
    let (two, one) = (trained(HALVES, DType::F32, None), trained(WHOLE, DType::F32, None));
    let (exact, least) = in_f64();
    let mut compared = 0;
    for (i, relative) in least.iter().enumerate() {
        let off = |a: f32| (f64::from(a) - exact[i]).abs() / f64::from(RATE);
        let most = 2.5 * STEPS as f64;
        assert!(off(two[i]) < most && off(one[i]) < most, "parameter {i}");
        if *relative > 1e-3 {
            compared += 1;
            assert!(off(two[i]) < 0.02 && off(one[i]) < 0.02, "parameter {i}: {} {} {}", two[i], one[i], exact[i]);
        }
    }
    assert!(compared * 10 > 9 * exact.len(), "{compared} of {}", exact.len());
}
