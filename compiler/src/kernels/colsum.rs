//! `Σ_t B[b][t]`, or `Σ_t B[b][t] · C[b][t]`, over the tokens of all rows: gradients of biases and
//! of the parameters of LayerNorm.
//!
//! A PE's tokens are added by halves, so that vectors stay long; the rest is a chain, or several
//! levels of them.
//!
//! **Invariant.** Sums are f32 from the first addition on.
//! **Not here.** The sum over lanes: every lane's gradient leaves, and the host adds.

use super::by_features::by_features;
use super::lanes::{ChainRows, buffers, chain_rows, chain_wavelets, lay_chain, main_task, place, results};
use super::price;
use super::reduce::Levels;
use crate::banks::Side;
use crate::codegen::instr::{grid, vec};
use crate::codegen::resources::{Use, Uses};
use crate::codegen::streams::interval;
use crate::cost::remembered;
use crate::ids::{Label, TensorId};
use crate::kernel::{Access, ActivationView, Addresses, HostSink, HostSource, Kernel, Part, Requirement};
use crate::kernels::stencil::relabelled;
use crate::layout::{Features, Geometry};
use crate::options::Reduction;
use sim_core::arch::ArchSpec;
use sim_core::program::{DType, Image, Instr, Op, Operand, Program};

/// Name of the stream of results.
const RESULTS: &str = "gradient";

/// Sum of an activation over all tokens, or of a product of two.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ColSum {
    /// What it computes, for people.
    pub label: Label,
    /// What is summed. Zero at padding tokens, or `times` is.
    pub b: ActivationView,
    /// What it is multiplied by; a window of the same size.
    pub times: Option<ActivationView>,
    /// The parameter tensor that gets the gradient, indexed by feature.
    pub tensor: TensorId,
    /// Levels in which rows are summed; else they are by a chain.
    pub levels: Option<Levels>,
}

relabelled!(ColSum { b, times, tensor; label, levels });
by_features!(ColSum);

impl ColSum {
    /// Elements between slots in scratch: products need a place for every token, sums for half.
    fn stride(&self) -> u32 {
        if self.times.is_some() { self.b.tokens } else { self.b.tokens.div_ceil(2) }
    }

    /// `tokens` tokens of every slot of an operand.
    fn window(act: &ActivationView, at: &Addresses, first: u32, tokens: u32) -> Operand {
        let addr = act.slot(at, 0) + first * act.dtype.bytes();
        grid(act.dtype, addr, &[(act.slots, act.row as i32), (tokens, 1)])
    }

    /// The view of the sums in scratch memory.
    fn sums(&self, at: &Addresses, first: u32, tokens: u32) -> Operand {
        let addr = at[".sums"] + first * DType::F32.bytes();
        grid(DType::F32, addr, &[(self.b.slots, self.stride() as i32), (tokens, 1)])
    }

    /// Adds the PE's tokens.
    fn own(&self, at: &Addresses) -> Vec<Instr> {
        let (slots, mut left) = (self.b.slots, self.b.tokens);
        let mut code = Vec::new();
        if let Some(times) = &self.times {
            let of = |act| ColSum::window(act, at, 0, left);
            code.push(vec(Op::Mul, slots * left, self.sums(at, 0, left), &[of(&self.b), of(times)]));
        } else {
            let half = left / 2;
            let of = |first| ColSum::window(&self.b, at, first, half);
            code.push(vec(Op::Add, slots * half, self.sums(at, 0, half), &[of(0), of(half)]));
            left = half;
        }
        while left > 1 {
            let (keep, fold) = (left.div_ceil(2), left / 2);
            let (to, from) = (self.sums(at, 0, fold), self.sums(at, keep, fold));
            code.push(vec(Op::Add, slots * fold, to.clone(), &[to, from]));
            left = keep;
        }
        code
    }

    fn body(&self, at: &Addresses, chain: &ChainRows) -> Vec<Instr> {
        let send = Instr::Vec(chain.send(self.b.slots, self.sums(at, 0, 1)));
        [vec![chain.start()], self.own(at), vec![send]].concat()
    }
}

impl ColSum {
    /// What is left of the kernel if buffers of `features` hold only `slots` slots, from `first` on.
    pub(crate) fn part(&self, features: Features, first: u32, slots: u32) -> Part<Self> {
        if self.b.features != features || self.times.is_some() {
            return Part::Apart;
        }
        let one = |b| Part::Of(ColSum { b, ..self.clone() });
        self.b.part(first, slots).map_or(Part::Nothing, one)
    }

    /// The sum as a reduction of a kind, or as the fastest one that is no chain.
    #[must_use]
    pub fn reduced(&self, g: &Geometry, arch: &ArchSpec, kind: Option<Reduction>) -> Self {
        ColSum { levels: Levels::of(g, arch, self.b.slots, kind), ..self.clone() }
    }

    /// How it sums over the rows.
    pub fn reduction(&self) -> Reduction {
        self.levels.as_ref().map_or(Reduction::Chain, Levels::kind)
    }
}

impl Kernel for ColSum {
    fn name(&self) -> String {
        format!("colsum {}", self.label)
    }

    fn requirements(&self, _g: &Geometry) -> Vec<Requirement> {
        let mut requirements = vec![self.b.requirement(Access::Read).on_either_side()];
        requirements.extend(
            self.times
                .iter()
                .filter(|t| t.buffer != self.b.buffer)
                .map(|t| t.requirement(Access::Read).on_either_side()),
        );
        requirements.push(Requirement::scratch(".sums", DType::F32, self.b.slots * self.stride(), Side::Near));
        requirements
    }

    fn uses(&self, _g: &Geometry) -> Uses {
        let ports = self.levels.as_ref().map_or_else(|| vec![Use::Chain], Levels::uses);
        Uses { ports, ..Uses::default() }
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        let columns: Vec<u32> = (0..g.lane_columns()).collect();
        let mut program = Program { name: self.name(), grid: Some(g.grid), ..Program::default() };
        let ports = self.ports(g, arch);
        if let Some(levels) = &self.levels {
            let slots = self.b.slots;
            levels.lay(&mut program, (g, arch), &ports, (RESULTS, u64::from(slots)), |role| {
                let body = [self.own(at), role.pass(slots, &self.sums(at, 0, 1))].concat();
                let buffers = buffers(&self.requirements(g), at);
                Image { name: "colsum".to_owned(), buffers, tasks: vec![main_task(body)], ..Image::default() }
            });
            return program;
        }
        lay_chain(&mut program, g, (arch, &ports), RESULTS, u64::from(self.b.slots));
        for chain in chain_rows(g, &ports) {
            let mut image = Image { name: "colsum".to_owned(), ..Image::default() };
            chain.bind(&mut image);
            image.buffers = buffers(&self.requirements(g), at);
            image.tasks = vec![main_task(self.body(at, &chain))];
            place(&mut program, g, image, &columns, chain.rows);
        }
        program
    }

    fn feed(&self, _g: &Geometry, _stream: &str, _port: u32, _host: &dyn HostSource) -> Vec<u32> {
        vec![0; chain_wavelets(u64::from(self.b.slots)) as usize]
    }

    fn collect(
        &self,
        g: &Geometry,
        _stream: &str,
        port: u32,
        words: &[u32],
        _host: &dyn HostSource,
        sink: &mut dyn HostSink,
    ) {
        let ahead = usize::from(self.levels.is_none());
        for (slot, value) in (0..).zip(results(words, ahead)) {
            if let Some(i) = self.b.feature(g, port % g.lane_columns(), slot) {
                sink.add(self.tensor, &[i], value);
            }
        }
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let key = (price::shape(&self.b), self.times.as_ref().map(price::shape));
        let numbers = (interval(arch, g.used_columns()), self.levels.is_some());
        if let Some(levels) = &self.levels {
            let own = remembered(arch, ("colsum in levels", key, numbers), || {
                price::code(arch, &[], &self.own(&price::anywhere(g, &self.requirements(g))))
            });
            return own + levels.estimate(g, arch, self.b.slots);
        }
        let chain = || price::whole(self, g, arch, &price::chain(g, arch, &self.ports(g, arch)));
        remembered(arch, ("colsum", key, numbers), chain) + price::rows_of_chain(g, arch)
    }
}
