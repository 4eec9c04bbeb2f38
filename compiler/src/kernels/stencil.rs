//! Which kernels are alike: a kernel apart from the layers that it belongs to.
//!
//! A step launches the same kernel once per layer, on other buffers and with other parameters. Their programs differ in
//! names only, so one program stands for all of them. A [`Stencil`] is what such launches have in common: the kernel
//! with its layers numbered in the order in which they occur, and its addresses. Two launches with equal stencils have
//! programs with equal content, which [`Stencil`]'s users can have checked.
//!
//! **Invariant.** Every kernel names all of its fields, without `..`, beside its definition (`relabelled!`): a field that
//! is added does not compile until it has been said what becomes of it.
//! **Not here.** What programs depend on (`kernels`); equality of programs (`sim_core`).

use super::KernelKind;
use crate::ids::{BufferId, TensorId};
use crate::kernel::{ActivationView, Addresses, CheckpointTransfer, WeightRef};
use models::graph::{Module, Parameter};

/// What becomes of what a kernel is bound to.
pub(crate) trait Relabel {
    /// A buffer.
    fn buffer(&mut self, buffer: BufferId) -> BufferId;

    /// A module with parameters.
    fn module(&mut self, module: Module) -> Module;

    /// Where a window begins in its buffer or its tensor.
    fn beginning(&mut self, at: u32) -> u32 {
        at
    }
}

/// Something that is bound to layers.
pub(crate) trait Relabelled {
    /// The value with everything that it is bound to relabelled.
    fn relabelled(&self, with: &mut dyn Relabel) -> Self;
}

/// A launch apart from the layers that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stencil {
    kernel: KernelKind,
    addresses: Vec<(BufferId, u32)>,
}

impl Stencil {
    /// Of a kernel at its addresses.
    #[must_use]
    pub fn of(kernel: &KernelKind, addresses: &Addresses) -> Stencil {
        let mut numbers = Numbered::default();
        let kernel = kernel.relabelled(&mut numbers);
        let addresses = addresses.iter().map(|(buffer, address)| (numbers.buffer(buffer), address)).collect();
        Stencil { kernel, addresses }
    }
}

/// Layers in the order in which they occur, those of buffers apart from those of parameters.
#[derive(Default)]
struct Numbered {
    buffers: Vec<u32>,
    modules: Vec<u32>,
}

/// The place of a layer among those that occurred, at their end if it is new.
fn number(layers: &mut Vec<u32>, layer: u32) -> u32 {
    let at = layers.iter().position(|known| *known == layer).unwrap_or_else(|| {
        layers.push(layer);
        layers.len() - 1
    });
    at as u32
}

impl Relabel for Numbered {
    fn buffer(&mut self, buffer: BufferId) -> BufferId {
        buffer.relabelled(|layer| number(&mut self.buffers, layer))
    }

    fn module(&mut self, module: Module) -> Module {
        Module { layer: module.layer.map(|layer| number(&mut self.modules, layer)), ..module }
    }
}

/// The size of a kernel's code depends on neither layers nor the places where windows begin.
struct Unbound;

impl Relabel for Unbound {
    fn buffer(&mut self, buffer: BufferId) -> BufferId {
        buffer.relabelled(|_| 0)
    }

    fn module(&mut self, module: Module) -> Module {
        Module { layer: module.layer.map(|_| 0), ..module }
    }

    fn beginning(&mut self, _at: u32) -> u32 {
        0
    }
}

/// The kernel without what the size of its code does not depend on.
pub(crate) fn of_code(kernel: &KernelKind) -> KernelKind {
    kernel.relabelled(&mut Unbound)
}

impl Relabelled for ActivationView {
    fn relabelled(&self, with: &mut dyn Relabel) -> Self {
        let &ActivationView {
            buffer,
            features,
            dtype,
            all_slots,
            row,
            skipped,
            first_slot,
            slots,
            first_token,
            tokens,
        } = self;
        ActivationView {
            buffer: with.buffer(buffer),
            features,
            dtype,
            all_slots,
            row,
            skipped: with.beginning(skipped),
            first_slot: with.beginning(first_slot),
            slots,
            first_token: with.beginning(first_token),
            tokens,
        }
    }
}

impl Relabelled for BufferId {
    fn relabelled(&self, with: &mut dyn Relabel) -> Self {
        with.buffer(*self)
    }
}

impl Relabelled for Module {
    fn relabelled(&self, with: &mut dyn Relabel) -> Self {
        with.module(*self)
    }
}

impl Relabelled for TensorId {
    fn relabelled(&self, with: &mut dyn Relabel) -> Self {
        match *self {
            TensorId::Parameter(Parameter { module, part }) => {
                TensorId::Parameter(Parameter { module: with.module(module), part })
            }
            TensorId::Checkpoint(buffer) => TensorId::Checkpoint(with.buffer(buffer)),
            TensorId::Loss => TensorId::Loss,
            TensorId::Named(name) => TensorId::Named(name),
        }
    }
}

impl<T: Relabelled> Relabelled for Option<T> {
    fn relabelled(&self, with: &mut dyn Relabel) -> Self {
        self.as_ref().map(|one| one.relabelled(with))
    }
}

impl Relabelled for WeightRef {
    fn relabelled(&self, with: &mut dyn Relabel) -> Self {
        let WeightRef { tensor, transposed, bias, mask_padding } = self;
        let (tensor, bias) = (tensor.relabelled(with), bias.relabelled(with));
        WeightRef { tensor, transposed: *transposed, bias, mask_padding: *mask_padding }
    }
}

impl Relabelled for CheckpointTransfer {
    fn relabelled(&self, with: &mut dyn Relabel) -> Self {
        let CheckpointTransfer { act, rows, way } = self;
        CheckpointTransfer { act: act.relabelled(with), rows: *rows, way: *way }
    }
}

/// Implements [`Relabelled`] for a kernel, beside its definition: fields that are relabelled, and behind a semicolon
/// fields that are kept.
macro_rules! relabelled {
    ($kernel:ident { $($bound:ident),* $(; $($kept:ident),*)? }) => {
        impl $crate::kernels::stencil::Relabelled for $kernel {
            fn relabelled(&self, _with: &mut dyn $crate::kernels::stencil::Relabel) -> Self {
                #[allow(unused_imports, reason = "a kernel may be bound to nothing")]
                use $crate::kernels::stencil::Relabelled as _;
                let $kernel { $($bound,)* $($($kept,)*)? } = self;
                $kernel {
                    $($bound: $bound.relabelled(_with),)*
                    $($($kept: $kept.clone(),)*)?
                }
            }
        }
    };
}

pub(crate) use relabelled;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Product, ProductPart};
    use crate::kernels::gemm::Gemm;
    use crate::layout::Features;
    use models::graph::ModuleKind;
    use sim_core::program::DType;

    fn gemm(layer: u32, input: u32) -> KernelKind {
        let view = |buffer: BufferId, first_slot| ActivationView {
            buffer,
            features: Features::Hidden,
            dtype: DType::F16,
            all_slots: 4,
            row: 4,
            skipped: 0,
            first_slot,
            slots: 2,
            first_token: 0,
            tokens: 4,
        };
        let module = Module { layer: Some(layer), kind: ModuleKind::Qkv };
        let bias = Some(module.bias().into());
        let weight = WeightRef { tensor: module.weight().into(), transposed: false, bias, mask_padding: false };
        let (x, y) = (view(BufferId::Residual(input), 2), view(BufferId::Qkv, 0));
        let label = Product::Qkv.makes(ProductPart::Output);
        Gemm { label, x, y, weight, add: false, outs: 1, piggyback: None }.into()
    }

    fn stencil(kernel: &KernelKind, residual: u32) -> Stencil {
        let at = [(BufferId::Residual(residual), 8), (BufferId::Qkv, 64)].into_iter().collect();
        Stencil::of(kernel, &at)
    }

    #[test]
    fn layers_do_not_count_and_addresses_do() {
        assert_eq!(stencil(&gemm(3, 3), 3), stencil(&gemm(11, 11), 11));
        let elsewhere = [(BufferId::Residual(3), 16), (BufferId::Qkv, 64)].into_iter().collect();
        assert_ne!(stencil(&gemm(3, 3), 3), Stencil::of(&gemm(3, 3), &elsewhere));
    }

    #[test]
    fn the_order_of_layers_counts() {
        // The input's buffer is the first one that occurs, whichever layer that is.
        assert_eq!(stencil(&gemm(3, 4), 4), stencil(&gemm(3, 5), 5));
        assert_ne!(stencil(&gemm(3, 4), 4), stencil(&gemm(3, 4), 5), "the address belongs to another buffer");
    }

    #[test]
    fn the_size_of_code_depends_on_no_beginning() {
        let moved = |kernel: &KernelKind| match kernel {
            KernelKind::Gemm(gemm) => {
                KernelKind::Gemm(Gemm { x: ActivationView { first_slot: 0, ..gemm.x.clone() }, ..gemm.clone() })
            }
            other => other.clone(),
        };
        assert_eq!(of_code(&gemm(0, 0)), of_code(&moved(&gemm(7, 9))));
    }
}
