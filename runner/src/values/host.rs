//! The host of a wafer that computes: what it feeds to the edges, and what it makes of the numbers that come out.
//!
//! **Invariant.** Numbers are added in the order in which they come, in 32 bits, as a store of parameters outside the
//! wafer does it.
//! **Not here.** Which wavelet is which number: every kernel knows its own (`compiler`).

use compiler::ids::{BufferId, TensorId};
use compiler::kernel::{HostSink, HostSource};
use models::oracle::Inputs;
use ndarray::ArrayD;
use sim_core::program::DType;
use std::collections::BTreeMap;

/// What the loss is multiplied by on the wafer, so that small gradients are not rounded to nothing; the host divides by
/// it again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossScale(pub f32);

impl LossScale {
    /// The scale for activations of a type and a loss that is the mean of `losses` cross-entropies. Numbers of 32 bits
    /// and bfloat16 reach far enough down without one. In binary16, every cross-entropy's own gradient is multiplied by
    /// [`LossScale::F16`], whatever the batch.
    #[must_use]
    pub fn of(act: DType, losses: usize) -> LossScale {
        match act {
            DType::F16 => LossScale(LossScale::F16 * losses as f32),
            DType::Bf16 | DType::F32 => LossScale(1.0),
        }
    }

    /// Factor on the gradient of one cross-entropy in binary16: a power of two, so that scaling rounds nothing.
    pub const F16: f32 = 4.0;
}

/// A loss and its gradients, as the host adds them up.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// Mean cross-entropy, in nats per token (per sequence of a classifier).
    pub loss: f32,
    /// Gradient of the loss with respect to every parameter, by the parameter's name and in its shape.
    pub tensors: BTreeMap<String, ArrayD<f32>>,
}

impl Gradients {
    /// Nothing yet, for the parameters of `inputs`.
    pub(super) fn zeros(inputs: &Inputs) -> Gradients {
        let zeros = |(name, tensor): (&String, &ArrayD<f64>)| (name.clone(), ArrayD::zeros(tensor.raw_dim()));
        Gradients { loss: 0.0, tensors: inputs.params.tensors.iter().map(zeros).collect() }
    }

    /// Adds those of another micro-batch or system.
    pub fn add(&mut self, other: &Gradients) {
        self.loss += other.loss;
        for (name, sum) in &mut self.tensors {
            *sum += &other.tensors[name];
        }
    }

    /// Takes the scale of the loss out.
    pub(super) fn unscaled(mut self, scale: LossScale) -> Gradients {
        self.loss /= scale.0;
        self.tensors.values_mut().for_each(|tensor| tensor.mapv_inplace(|g| g / scale.0));
        self
    }
}

impl Gradients {
    /// Adds to an element of a parameter's gradient, or to the loss.
    fn add_element(&mut self, tensor: TensorId, index: &[u32], value: f32) {
        if tensor == TensorId::Loss {
            self.loss += value;
            return;
        }
        let sum = self.tensors.get_mut(&tensor.to_string());
        let sum = sum.expect("kernels make gradients of the model's parameters only");
        sum[place(index).as_slice()] += value;
    }
}

/// An index as ndarray takes it.
fn place(index: &[u32]) -> Vec<usize> {
    index.iter().map(|&i| i as usize).collect()
}

/// Layer inputs that leave the wafer until the backward pass needs them, element by element.
type Checkpoints = BTreeMap<(BufferId, Vec<u32>), f32>;

/// The host during one micro-batch of a step.
pub(super) struct Host<'a> {
    inputs: &'a Inputs,
    /// Of the step's sequences, the first one of the micro-batch.
    first: usize,
    /// Factor on the gradient of one cross-entropy.
    weight: f32,
    checkpoints: Checkpoints,
    /// What has been added up so far.
    pub(super) gradients: Gradients,
}

impl<'a> Host<'a> {
    pub(super) fn new(inputs: &'a Inputs, first: usize, weight: f32) -> Host<'a> {
        Host { inputs, first, weight, checkpoints: Checkpoints::new(), gradients: Gradients::zeros(inputs) }
    }

    /// Keeps checkpoints, and adds gradients up.
    pub(super) fn take(&mut self, left: Left) {
        for (tensor, index, value) in left.0 {
            if let TensorId::Checkpoint(buffer) = tensor {
                self.checkpoints.insert((buffer, index), value);
            } else {
                self.gradients.add_element(tensor, &index, value);
            }
        }
    }
}

impl HostSource for Host<'_> {
    fn value(&self, tensor: TensorId, index: &[u32]) -> f32 {
        if let TensorId::Checkpoint(buffer) = tensor {
            let key = (buffer, index.to_vec());
            return *self.checkpoints.get(&key).expect("a checkpoint leaves the wafer before it comes back");
        }
        self.inputs.params.tensors[&tensor.to_string()][place(index).as_slice()] as f32
    }
    fn token(&self, sequence: u32, position: u32) -> u32 {
        self.inputs.tokens[self.first + sequence as usize][position as usize]
    }
    fn target(&self, sequence: u32, position: u32) -> u32 {
        self.inputs.targets[self.first + sequence as usize][position as usize]
    }
    fn loss_weight(&self) -> f32 {
        self.weight
    }
}

/// The numbers that left the wafer in one launch, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Left(Vec<(TensorId, Vec<u32>, f32)>);

impl HostSink for Left {
    fn add(&mut self, tensor: TensorId, index: &[u32], value: f32) {
        self.0.push((tensor, index.to_vec(), value));
    }
}
