//! A small wafer for numeric tests of kernels: scatters logical tensors into PE memories, runs a
//! kernel on the reference engine, and reads results back.
//!
//! Operands are placed when they are first named, one behind the other from byte 4096, and keep
//! their place; every run puts its kernel's scratch behind them.
//! **Not here.** What the results should be.
#![allow(dead_code, unreachable_pub, reason = "every test file uses its own part of this module")]

pub use crate::layouts::*;
use compiler::banks::{Banks, Side};
use compiler::ids::{BufferId, TensorId};
use compiler::kernel::{Access, ActivationView, Addresses, HostSink, HostSource, Kernel, Requirement};
use compiler::layout::{Features, Geometry};
use fabric::{EngineKind, HostStreams, RunOptions, Values, WaferMemory};
use ndarray::{Array2, Array3, ArrayD, IxDyn};
use sim_core::arch::{ArchSpec, cs2};
use sim_core::coord::PeCoord;
use sim_core::program::{DType, Flow, Program};
use sim_core::report::Outcome;
use std::collections::BTreeMap;

/// Address of the first operand.
const FIRST: u32 = 4096;
/// Bytes between operands that are nobody's: no kernel needs a larger margin.
const MARGIN: u32 = 32;

/// A wafer with its memory and the places of its operands.
pub struct Wafer {
    pub g: Geometry,
    pub arch: ArchSpec,
    pub engine: EngineKind,
    pub memory: WaferMemory,
    operands: BTreeMap<BufferId, Requirement>,
    places: Addresses,
    next: u32,
}

impl Wafer {
    pub fn new(g: &Geometry, arch: &ArchSpec) -> Wafer {
        Wafer {
            g: g.clone(),
            arch: arch.clone(),
            engine: EngineKind::Reference,
            memory: WaferMemory::new(g.grid, arch.pe.sram.value),
            operands: BTreeMap::new(),
            places: Addresses::new(),
            next: FIRST,
        }
    }

    /// A wafer of the CS-2.
    pub fn cs2(g: &Geometry) -> Wafer {
        Wafer::new(g, &cs2::cs2())
    }

    /// Gives an operand its place, or checks that it has one of the same type and size.
    pub fn place(&mut self, requirement: &Requirement) {
        if let Some(known) = self.operands.get(&requirement.buffer) {
            assert_eq!(
                (known.dtype, known.len, known.side),
                (requirement.dtype, requirement.len, requirement.side),
                "{}",
                requirement.buffer
            );
            return;
        }
        assert!(requirement.margin <= MARGIN, "{}", requirement.buffer);
        let addr = aligned(self.next, requirement.side);
        self.next = addr + requirement.len * requirement.dtype.bytes() + MARGIN;
        self.places.insert(requirement.buffer, addr);
        self.operands.insert(requirement.buffer, requirement.clone());
    }

    /// Places the operands of all kernels, and gives the addresses of the operands.
    pub fn addresses(&mut self, kernels: &[&dyn Kernel]) -> Addresses {
        for kernel in kernels {
            for requirement in kernel.all_requirements(&self.g, &self.arch) {
                if requirement.access != Access::Scratch {
                    self.place(&requirement);
                }
            }
        }
        self.places.clone()
    }

    /// Addresses of the operands and of one kernel's scratch.
    pub fn addresses_of(&mut self, kernel: &dyn Kernel) -> Addresses {
        let mut at = self.addresses(&[kernel]);
        let mut next = self.next;
        for requirement in kernel.all_requirements(&self.g, &self.arch) {
            if requirement.access == Access::Scratch {
                let addr = aligned(next, requirement.side);
                next = addr + requirement.len * requirement.dtype.bytes();
                let before = at.insert(requirement.buffer, addr);
                assert!(before.is_none(), "{} is needed twice", requirement.buffer);
            }
        }
        assert!(next <= self.arch.pe.sram.value, "{} does not fit", kernel.name());
        at
    }

    /// Fills the window in every lane: `f(sequence, position, logical feature)`; padding is zero.
    pub fn put(&mut self, act: &ActivationView, f: impl Fn(u32, u32, u32) -> f32) {
        self.put_from(act, self.token0(act), f);
    }

    /// Like [`Wafer::put`], where token 0 of the window is token `token0` of the PE.
    pub fn put_from(&mut self, act: &ActivationView, token0: u32, f: impl Fn(u32, u32, u32) -> f32) {
        self.place(&act.requirement(Access::Update));
        for pe in self.g.used().iter() {
            for slot in 0..act.slots {
                let values: Vec<f32> = (0..act.tokens)
                    .map(|t| {
                        let (s, p, i) = self.logical(act, pe, slot, token0 + t)?;
                        Some(f(s, p, i))
                    })
                    .map(|v| v.unwrap_or(0.0))
                    .collect();
                let addr = act.slot(&self.places, slot);
                self.write(pe, addr, act.dtype, &values);
            }
        }
    }

    /// Fills the window with `[sequence][position][feature]`.
    pub fn put_array(&mut self, act: &ActivationView, x: &Array3<f32>) {
        self.put(act, |s, p, i| x[[s as usize, p as usize, i as usize]]);
    }

    /// The window as `[sequence][position][feature]`; what it does not hold is zero.
    pub fn get(&self, act: &ActivationView) -> Array3<f64> {
        self.get_from(act, self.token0(act))
    }

    /// Like [`Wafer::get`], where token 0 of the window is token `token0` of the PE.
    pub fn get_from(&self, act: &ActivationView, token0: u32) -> Array3<f64> {
        let n = width(&self.g, act.features);
        let mut out = Array3::zeros((self.g.sequences as usize, self.g.seq_len as usize, n as usize));
        for pe in self.g.used().iter() {
            for slot in 0..act.slots {
                let addr = act.slot(&self.places, slot);
                for (t, v) in (0..act.tokens).zip(self.read(pe, addr, act.dtype, act.tokens)) {
                    if let Some((s, p, i)) = self.logical(act, pe, slot, token0 + t) {
                        out[[s as usize, p as usize, i as usize]] = f64::from(v);
                    }
                }
            }
        }
        out
    }

    /// All numbers of the window that belong to padding features of real tokens.
    pub fn padding(&self, act: &ActivationView) -> Vec<f32> {
        let mut out = Vec::new();
        for pe in self.g.used().iter() {
            for slot in 0..act.slots {
                let values = self.read(pe, act.slot(&self.places, slot), act.dtype, act.tokens);
                for (t, v) in (0..act.tokens).zip(values) {
                    let real = self.g.token(pe, self.token0(act) + t).is_some();
                    if real && self.logical(act, pe, slot, self.token0(act) + t).is_none() {
                        out.push(v);
                    }
                }
            }
        }
        out
    }

    /// Numbers at the start of a named operand of one PE.
    pub fn raw(&self, pe: PeCoord, buffer: impl Into<BufferId>, len: u32) -> Vec<f32> {
        let buffer = buffer.into();
        self.read(pe, self.places[buffer], self.operands[&buffer].dtype, len)
    }

    /// Overwrites the start of a named operand of one PE.
    pub fn set_raw(&mut self, pe: PeCoord, buffer: impl Into<BufferId>, values: &[f32]) {
        let buffer = buffer.into();
        self.write(pe, self.places[buffer], self.operands[&buffer].dtype, values);
    }

    /// Runs a kernel: feeds every stream onto the wafer, collects every stream off it.
    pub fn run(&mut self, kernel: &dyn Kernel, host: &dyn HostSource) -> (Outcome, Gradients) {
        let at = self.addresses_of(kernel);
        let program = kernel.program(&self.g, &self.arch, &at);
        let faults = sim_core::program::verify::verify(&program, &self.arch);
        assert!(
            faults.is_empty(),
            "{}: {}",
            kernel.name(),
            faults.iter().map(|f| format!("\n{f}")).collect::<String>()
        );
        let mut inputs = HostStreams::default();
        for edge in program.edges.iter().filter(|e| e.flow == Flow::In) {
            for port in 0..edge.ports.count {
                let words = kernel.feed(&self.g, &edge.name, port, host);
                assert_eq!(words.len() as u64, edge.wavelets, "{}: feed of {} {port}", kernel.name(), edge.name);
                inputs.ports.insert((edge.name.clone(), port), words);
            }
        }
        let mut outputs = HostStreams::default();
        let outcome = self.execute(&program, &inputs, &mut outputs);
        let mut gradients = Gradients::default();
        for edge in program.edges.iter().filter(|e| e.flow == Flow::Out) {
            for port in 0..edge.ports.count {
                let words = outputs.ports.get(&(edge.name.clone(), port)).map_or(&[][..], Vec::as_slice);
                assert_eq!(words.len() as u64, edge.wavelets, "{}: drain of {} {port}", kernel.name(), edge.name);
                kernel.collect(&self.g, &edge.name, port, words, host, &mut gradients);
            }
        }
        (outcome, gradients)
    }

    /// Runs a program on the wafer's memory.
    pub fn execute(&mut self, program: &Program, inputs: &HostStreams, outputs: &mut HostStreams) -> Outcome {
        let options = RunOptions { engine: self.engine, per_pe: true, cycle_limit: 2_000_000, ..RunOptions::default() };
        let mut values = Values { memory: &mut self.memory, inputs, outputs };
        match fabric::run(program, &self.arch, &options, Some(&mut values)) {
            Ok(outcome) => outcome,
            Err(e) => panic!("{}: {e}", program.name),
        }
    }

    fn token0(&self, act: &ActivationView) -> u32 {
        if act.row == self.g.tokens { act.first_token } else { 0 }
    }

    /// Sequence, position and feature of a number of the window, or None for padding.
    fn logical(&self, act: &ActivationView, pe: PeCoord, slot: u32, token: u32) -> Option<(u32, u32, u32)> {
        let (s, p) = self.g.token(pe, token)?;
        let column = pe.x % self.g.lane_columns();
        Some((s, p, act.feature(&self.g, column, slot)?))
    }

    fn read(&self, pe: PeCoord, addr: u32, dtype: DType, len: u32) -> Vec<f32> {
        let memory = &self.memory.pes[self.g.grid.index(pe).0 as usize];
        dtype.read(&memory[addr as usize..(addr + len * dtype.bytes()) as usize])
    }

    fn write(&mut self, pe: PeCoord, addr: u32, dtype: DType, values: &[f32]) {
        let memory = &mut self.memory.pes[self.g.grid.index(pe).0 as usize];
        dtype.write(&mut memory[addr as usize..], values);
    }
}

/// The first address from `next` on, on the given side of the banks.
fn aligned(next: u32, side: Side) -> u32 {
    Banks::of(&cs2::cs2()).place(next, side)
}

/// Logical features of a tensor.
pub fn width(g: &Geometry, features: Features) -> u32 {
    match features {
        Features::Hidden => g.model.d_model,
        Features::Qkv => g.model.d_model + 2 * g.model.kv_heads * g.d_head(),
        Features::Ffn => g.model.d_ff,
        Features::Vocab => g.model.vocab,
    }
}

/// The host's numbers from arrays.
#[derive(Debug, Clone, Default)]
pub struct TestHost {
    pub tensors: BTreeMap<String, ArrayD<f32>>,
    /// `[sequence][position]`
    pub tokens: Array2<u32>,
    /// `[sequence][position]`
    pub targets: Array2<u32>,
    pub loss_weight: f32,
}

impl TestHost {
    /// Adds a tensor of pseudo-random numbers in (-1, 1), rounded to `dtype`.
    pub fn random(&mut self, name: &str, shape: &[u32], dtype: DType) -> ArrayD<f32> {
        let shape: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
        let seed = name.bytes().fold(7u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
        let mut i = 0;
        let tensor = ArrayD::from_shape_simple_fn(IxDyn(&shape), || {
            i += 1;
            round(dtype, noise(seed, i))
        });
        self.tensors.insert(name.to_owned(), tensor.clone());
        tensor
    }
}

impl HostSource for TestHost {
    fn value(&self, tensor: TensorId, index: &[u32]) -> f32 {
        let index: Vec<usize> = index.iter().map(|&i| i as usize).collect();
        self.tensors.get(&tensor.to_string()).unwrap_or_else(|| panic!("no tensor {tensor}"))[&index[..]]
    }

    fn token(&self, sequence: u32, position: u32) -> u32 {
        self.tokens[[sequence as usize, position as usize]]
    }

    fn target(&self, sequence: u32, position: u32) -> u32 {
        self.targets[[sequence as usize, position as usize]]
    }

    fn loss_weight(&self) -> f32 {
        self.loss_weight
    }
}

/// Sums of what left the wafer, by tensor and index.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gradients {
    pub tensors: BTreeMap<String, BTreeMap<Vec<u32>, f64>>,
}

impl Gradients {
    /// A tensor as an array; elements that nothing was added to are zero.
    pub fn dense(&self, tensor: &str, shape: &[u32]) -> ArrayD<f64> {
        let shape: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
        let mut out = ArrayD::zeros(IxDyn(&shape));
        for (index, v) in self.tensors.get(tensor).into_iter().flatten() {
            let index: Vec<usize> = index.iter().map(|&i| i as usize).collect();
            out[&index[..]] += *v;
        }
        out
    }
}

impl HostSink for Gradients {
    fn add(&mut self, tensor: TensorId, index: &[u32], value: f32) {
        let tensor = self.tensors.entry(tensor.to_string()).or_default();
        *tensor.entry(index.to_vec()).or_insert(0.0) += f64::from(value);
    }
}

/// A number in (-1, 1) from a seed and an index.
pub fn noise(seed: u32, index: u32) -> f32 {
    let mut h = seed.wrapping_mul(0x9e37_79b9) ^ index.wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    h ^= h >> 15;
    (h >> 8) as f32 / (1 << 23) as f32 - 1.0
}

/// The nearest number of a type.
pub fn round(dtype: DType, v: f32) -> f32 {
    dtype.round(v)
}

/// A pseudo-random logical tensor, `[sequence][position][feature]`, rounded to `dtype`.
pub fn random_act(g: &Geometry, features: Features, seed: u32, dtype: DType) -> Array3<f32> {
    let shape = (g.sequences as usize, g.seq_len as usize, width(g, features) as usize);
    let mut i = 0;
    Array3::from_shape_simple_fn(shape, || {
        i += 1;
        round(dtype, noise(seed, i))
    })
}

/// Checks `|got - want| <= tolerance · (scale + |want|)` everywhere, `scale` the largest `|want|`
/// (at least 1).
pub fn assert_close<D: ndarray::Dimension>(
    got: &ndarray::Array<f64, D>,
    want: &ndarray::Array<f64, D>,
    tolerance: f64,
    what: &str,
) {
    assert_eq!(got.shape(), want.shape(), "{what}");
    let scale = want.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    for ((i, &a), &b) in got.indexed_iter().zip(want) {
        assert!((a - b).abs() <= tolerance * (scale + b.abs()), "{what} at {i:?}: {a}, expected {b}");
    }
}
