//! `dW[a][b] = Σ_t A[a][t] · B[b][t]` over the tokens of all rows: gradients of weights.
//!
//! B's blocks travel around the rows' rings token by token, straight into a buffer
//! `[token][gathered features]`; while one such buffer is multiplied, the next one fills. A row of
//! sums goes down the columns on a microthread while the next one is computed.
//!
//! **Invariant.** A buffer is written by the ring only after its products are finished, and a row
//! of sums is sent only after the one before it, so that two of them are enough.
//! **Not here.** The sum over lanes: every lane's gradient leaves, and the host adds.

use super::by_features::by_features;
use super::lanes::{
    ChainRows, any_class, bind_ring, buffers, chain_results, chain_rows, chain_wavelets, classes, lay_chain, main_task,
    place, ring_of, ring_routes, row_places, row_use,
};
use super::pace::Pace;
use super::price;
use crate::banks::Side;
use crate::codegen::instr::{at, fab, grid, imm, mem, op, repeat, set, spawn, step, vec, word};
use crate::codegen::resources::{Use, Uses, address_registers, microthreads};
use crate::codegen::ring::RingClass;
use crate::codegen::streams::interval;
use crate::cost::{Source, remembered};
use crate::ids::{Label, TensorId};
use crate::kernel::{Access, ActivationView, Addresses, HostSink, HostSource, Kernel, Part, Requirement};
use crate::kernels::stencil::relabelled;
use crate::layout::{Features, Geometry};
use sim_core::arch::ArchSpec;
use sim_core::coord::Color;
use sim_core::program::{AddrOp, AddrReg, Async, DType, Image, Instr, Op, Operand, Priority, Program};

/// Name of the stream of results.
const RESULTS: &str = "gradient";

microthreads! { MICROTHREADS:
    /// Sends a block on.
    SENDER = "what goes around the row",
    /// Receives the next block.
    RECEIVER = "what comes around the row",
    /// Sends sums down.
    CHAIN = "sums down the column",
}

address_registers! {
    /// Address of the gathered blocks that are multiplied.
    GATHERED,
    /// Address of those that arrive.
    GATHERING,
    /// Address of the row of sums that is computed.
    SUMMED,
    /// Address of the one that is sent.
    SENT,
    /// Address of the block that is sent on.
    BLOCK_SENT,
    /// Address of the block that arrives.
    BLOCK_COMING,
    /// Address of the current row of A.
    A_ROW,
    /// For swaps.
    SPARE,
}
const GATHER: [AddrReg; 2] = [GATHERED, GATHERING];
const SUMS: [AddrReg; 2] = [SUMMED, SENT];
const BLOCK: [AddrReg; 2] = [BLOCK_SENT, BLOCK_COMING];

/// The gradient of a weight from two activations.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Outer {
    /// What it computes, for people.
    pub label: Label,
    /// One factor; its features stay where they are.
    pub a: ActivationView,
    /// The other factor; its features travel. As many tokens as `a`.
    pub b: ActivationView,
    /// The parameter tensor that gets the gradient.
    pub tensor: TensorId,
    /// Whether its index is `[b, a]` instead of `[a, b]`.
    pub transposed: bool,
    /// Columns whose features are gathered before they are multiplied; divides the columns of a
    /// lane. More gives longer vectors and takes more memory.
    pub gather: u32,
}

relabelled!(Outer { a, b, tensor; label, transposed, gather });
by_features!(Outer);

impl Outer {
    /// Products in a row of sums.
    fn len(&self) -> u32 {
        self.gather * self.b.slots
    }

    /// Elements between rows of sums and of gathered features: where both are of one size, all rows start on
    /// the side of the first one.
    fn stride(&self, g: &Geometry) -> u32 {
        let dtype = self.b.dtype;
        if dtype.bytes() == g.precision.accumulator.bytes() {
            g.banks.row(dtype, self.len())
        } else {
            self.len().next_multiple_of(4)
        }
    }

    /// How often features are gathered.
    fn phases(&self, g: &Geometry) -> u32 {
        g.lane_columns() / self.gather
    }

    /// Elements of a buffer of gathered features.
    fn gathered(&self, g: &Geometry) -> u32 {
        self.a.tokens * self.stride(g)
    }

    /// Products that leave by a column.
    fn results(&self, g: &Geometry) -> u64 {
        u64::from(self.phases(g)) * u64::from(self.a.slots) * u64::from(self.len())
    }

    /// Issue slots from the beginning of half a hop to its end.
    fn hop_slots(&self, pace: Pace) -> u32 {
        pace.slots(self.b.dtype.wavelets(self.b.slots * self.b.tokens))
    }

    /// Rows of sums whose setups leave enough issue slots to half a hop and to the sums on their
    /// way down.
    fn busy_rows(&self, pace: Pace) -> u32 {
        let free = pace.free(self.a.tokens).saturating_sub(self.len());
        if free == 0 { u32::MAX } else { self.hop_slots(pace).div_ceil(free) }
    }

    fn code<'a>(
        &'a self,
        (g, arch): (&Geometry, &ArchSpec),
        at: &'a Addresses,
        (class, sends_first): (Option<&'a RingClass>, bool),
        chain: &'a ChainRows,
    ) -> Code<'a> {
        let (pace, sums, interval) = (Pace::of(arch), g.precision.accumulator, interval(arch, g.used_columns()));
        let stride = self.stride(g);
        Code { outer: self, pace, interval, stride, at, sums, class, sends_first, chain }
    }

    /// The price of the whole of it in the first row.
    fn price(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let ports = self.ports(g, arch);
        let class = any_class(g, &ports);
        let ring = class.as_ref().map(|class| (class.recv, price::ring(arch)));
        let sources: Vec<(Color, Source)> = price::chain(g, arch, &ports).into_iter().chain(ring).collect();
        let (chain, at) = (chain_rows(g, &ports).swap_remove(0), price::anywhere(g, &self.requirements(g)));
        let code = self.code((g, arch), &at, (class.as_ref(), true), &chain);
        price::code(arch, &sources, &code.body(self.phases(g)))
    }

    /// Instructions of one element behind half a hop during which so many rows are computed. The
    /// sums of the row before, and of all but the last of these, go down meanwhile; those of the
    /// last one begin to, one per `interval` cycles.
    fn pauses(&self, pace: Pace, rows: u32, interval: u32) -> u32 {
        let free = pace.free(rows * self.a.tokens);
        pace.pauses_beside(self.hop_slots(pace) + rows * self.len(), free, interval, self.len())
    }
}

/// Emits the code of one class of PEs.
struct Code<'a> {
    outer: &'a Outer,
    pace: Pace,
    /// Cycles between two sums on their way down.
    interval: u32,
    /// Elements between rows.
    stride: u32,
    at: &'a Addresses,
    sums: DType,
    class: Option<&'a RingClass>,
    /// Whether a PE sends before it receives: those of even place in the ring.
    sends_first: bool,
    chain: &'a ChainRows,
}

impl Code<'_> {
    fn copy(&self, to: AddrReg, from: AddrReg) -> Instr {
        Instr::Addr(AddrOp::Copy(to, from))
    }

    fn swap(&self, pair: [AddrReg; 2]) -> [Instr; 3] {
        [self.copy(SPARE, pair[0]), self.copy(pair[0], pair[1]), self.copy(pair[1], SPARE)]
    }

    /// A block in place among the gathered features, token by token.
    fn block(&self, addr: u32) -> Operand {
        let o = self.outer;
        grid(o.b.dtype, addr, &[(o.a.tokens, self.stride as i32), (o.b.slots, 1)])
    }

    /// Puts the PE's own block into the first buffer.
    fn own(&self) -> Instr {
        let b = &self.outer.b;
        let from = grid(b.dtype, b.slot(self.at, 0), &[(b.tokens, 1), (b.slots, b.row as i32)]);
        vec(Op::Mov, b.slots * b.tokens, self.block(self.at[".gather"]), &[from])
    }

    /// One half of a hop: every second PE of the ring sends its newest block on, and the next one
    /// receives it. So what arrives takes no issue slot from what is sent.
    fn exchange(&self, sends: bool) -> Vec<Instr> {
        let Some(class) = self.class else { return Vec::new() };
        let b = &self.outer.b;
        let len = b.slots * b.tokens;
        let one = if sends {
            spawn(SENDER, op(Op::Mov, len, fab(class.send, b.dtype), &[at(BLOCK[0], self.block(0))]))
        } else {
            spawn(RECEIVER, op(Op::Mov, len, at(BLOCK[1], self.block(0)), &[fab(class.recv, b.dtype)]))
        };
        vec![Instr::Join(RECEIVER), Instr::Join(SENDER), one]
    }

    /// The block that has arrived is the next one to be sent on.
    fn arrived(&self) -> [Instr; 2] {
        let b = &self.outer.b;
        [self.copy(BLOCK[0], BLOCK[1]), step(BLOCK[1], (b.slots * b.dtype.bytes()) as i32)]
    }

    /// Lets the ring finish a hop: instructions of one element, whose setups leave issue slots to
    /// the microthreads. `rows` are computed meanwhile and leave slots too.
    fn pause(&self, rows: u32) -> Vec<Instr> {
        let nothing = vec(Op::Mov, 1, at(SUMS[0], mem(self.sums, 0, 1)), &[imm(0.0)]);
        repeat(self.outer.pauses(self.pace, rows, self.interval), vec![nothing])
    }

    /// One row of sums: an AXPY per token. Then it is sent down, while the PE goes on. What goes
    /// down takes turns with what comes around in the slots that are left, and none from the AXPYs:
    /// both share the ramps, so that its time depends on the PE's place in the ring.
    fn row(&self) -> Vec<Instr> {
        let (o, len) = (self.outer, self.outer.len());
        let sums = || at(SUMS[0], mem(self.sums, 0, len));
        let mut code = Vec::with_capacity(o.a.tokens as usize + 6);
        for t in 0..o.a.tokens {
            let b = at(GATHER[0], mem(o.b.dtype, t * self.stride * o.b.dtype.bytes(), len));
            let a = at(A_ROW, word(o.a.dtype, t * o.a.dtype.bytes()));
            let start = if t == 0 { imm(0.0) } else { sums() };
            code.push(vec(Op::Fmac, len, sums(), &[start, b, a]));
        }
        code.push(step(A_ROW, (o.a.row * o.a.dtype.bytes()) as i32));
        let send = self.chain.send(len, sums());
        let send = Async { thread: CHAIN, priority: Priority::Low, op: send, then: None };
        code.extend([Instr::Join(CHAIN), Instr::Async(send)]);
        code.extend(self.swap(SUMS));
        code
    }

    /// Multiplies the gathered features; meanwhile those of the next phase arrive, if any: as
    /// many between two rows of sums as between any others.
    fn multiply(&self, more: bool) -> Vec<Instr> {
        let (rows, gather) = (self.outer.a.slots, self.outer.gather);
        let mut code = vec![set(A_ROW, self.outer.a.slot(self.at, 0) as i32)];
        if !more {
            code.extend(repeat(rows, self.row()));
            return code;
        }
        code.push(self.copy(BLOCK[1], GATHER[1]));
        if rows < gather {
            let part = [repeat(gather / rows - 1, self.hop(0)), self.hop(1)].concat();
            code.extend(repeat(rows, part));
            code.extend(repeat(gather % rows, self.hop(0)));
        } else {
            code.extend(repeat(gather, self.hop(rows / gather)));
            code.extend(repeat(rows % gather, self.row()));
        }
        code
    }

    /// One hop of the ring, while so many rows of sums are computed.
    fn hop(&self, rows: u32) -> Vec<Instr> {
        let busy = self.outer.busy_rows(self.pace);
        let mut code = Vec::new();
        let mut left = rows;
        for half in [0, 1] {
            let busy = busy.min(if half == 0 { rows.div_ceil(2) } else { left });
            code.extend(self.exchange(self.sends_first == (half == 0)));
            if half == 1 {
                code.extend(self.arrived());
            }
            code.extend(repeat(busy, self.row()));
            code.extend(self.pause(busy));
            left -= busy;
        }
        code.extend(repeat(left, self.row()));
        code
    }

    fn body(&self, phases: u32) -> Vec<Instr> {
        let o = self.outer;
        let (gather, sums) = (self.at[".gather"] as i32, self.at[".sums"] as i32);
        let (size, shift) = (o.b.dtype.bytes(), (o.b.slots * o.b.dtype.bytes()) as i32);
        let mut code = vec![
            self.chain.start(),
            set(GATHER[0], gather),
            set(GATHER[1], gather + (o.a.tokens * self.stride * size) as i32),
            set(SUMS[0], sums),
            set(SUMS[1], sums + (self.stride * self.sums.bytes()) as i32),
            set(BLOCK[0], gather),
            set(BLOCK[1], gather + shift),
            self.own(),
        ];
        code.extend(repeat(o.gather - 1, self.hop(0)));
        code.extend([Instr::Join(RECEIVER), Instr::Join(SENDER)]);
        let mut phase = self.multiply(true);
        phase.push(Instr::Join(RECEIVER));
        phase.extend(self.swap(GATHER));
        code.extend(repeat(phases - 1, phase));
        code.extend(self.multiply(false));
        code
    }
}

impl Outer {
    /// What is left of the kernel if buffers of `features` hold only `slots` slots, from `first` on.
    pub(crate) fn part(&self, features: Features, first: u32, slots: u32) -> Part<Self> {
        let one = |a: ActivationView, b: ActivationView| Part::Of(Outer { a, b, ..self.clone() });
        if self.a.features == features {
            self.a.part(first, slots).map_or(Part::Nothing, |a| one(a, self.b.clone()))
        } else if self.b.features == features {
            self.b.part(first, slots).map_or(Part::Nothing, |b| one(self.a.clone(), b))
        } else {
            Part::Apart
        }
    }
}

impl Kernel for Outer {
    fn name(&self) -> String {
        format!("outer {}", self.label)
    }

    fn requirements(&self, g: &Geometry) -> Vec<Requirement> {
        let copies = self.phases(g).min(2);
        // Sums and gathered features are read together: never from one bank at a time.
        let side = Side::of(self.b.dtype);
        let mut requirements = vec![self.a.requirement(Access::Read).on_either_side()];
        if self.b.buffer != self.a.buffer {
            requirements.push(self.b.requirement(Access::Read).on_either_side());
        }
        requirements.push(Requirement::scratch(".gather", self.b.dtype, copies * self.gathered(g), side));
        requirements.push(Requirement::scratch(".sums", g.precision.accumulator, 2 * self.stride(g), side.other()));
        requirements
    }

    fn uses(&self, g: &Geometry) -> Uses {
        let ports = row_use(g).into_iter().chain([Use::Chain]).collect();
        Uses { ports, microthreads: MICROTHREADS }
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        assert_eq!(self.a.tokens, self.b.tokens, "{}: tokens of both factors", self.label);
        assert!(g.lane_columns().is_multiple_of(self.gather), "{}: gather divides the columns", self.label);
        let mut program = Program { name: self.name(), grid: Some(g.grid), ..Program::default() };
        let ports = self.ports(g, arch);
        lay_chain(&mut program, g, (arch, &ports), RESULTS, self.results(g));
        if let Some(ring) = ring_of(g, &ports) {
            program.routes.extend(ring_routes(g, &ring));
        }
        let buffers = buffers(&self.requirements(g), at);
        for chain in chain_rows(g, &ports) {
            for (class, columns) in classes(g, &ports) {
                let mut image = Image { name: "outer".to_owned(), buffers: buffers.clone(), ..Image::default() };
                if let Some(class) = &class {
                    bind_ring(&mut image, &ports, class);
                }
                chain.bind(&mut image);
                let sends_first = row_places(g).is_none_or(|ring| ring.index(columns[0]).is_multiple_of(2));
                let code = self.code((g, arch), at, (class.as_ref(), sends_first), &chain);
                image.tasks = vec![main_task(code.body(self.phases(g)))];
                place(&mut program, g, image, &columns, chain.rows);
            }
        }
        program
    }

    fn feed(&self, g: &Geometry, _stream: &str, _port: u32, _host: &dyn HostSource) -> Vec<u32> {
        vec![0; chain_wavelets(self.results(g)) as usize]
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
        let columns = g.lane_columns();
        let column = port % columns;
        let ring = row_places(g);
        let index = ring.as_ref().map_or(0, |r| r.index(column));
        let mut values = chain_results(words).into_iter();
        for phase in 0..self.phases(g) {
            for i in 0..self.a.slots {
                for j in 0..self.len() {
                    let value = values.next().expect("the stream has a wavelet for every product");
                    // After s steps a PE holds the block of the PE s places before it.
                    let steps = phase * self.gather + j / self.b.slots;
                    let owner = (index + columns - steps) % columns;
                    let owner = ring.as_ref().map_or(0, |r| r.position(owner));
                    let a = self.a.feature(g, column, i);
                    let b = self.b.feature(g, owner, j % self.b.slots);
                    if let (Some(a), Some(b)) = (a, b) {
                        let index = if self.transposed { [b, a] } else { [a, b] };
                        sink.add(self.tensor, &index, value);
                    }
                }
            }
        }
    }

    /// Every row of sums has an AXPY for every token.
    fn at_least(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let axpys = u64::from(self.phases(g)) * u64::from(self.a.slots) * u64::from(self.a.tokens);
        axpys * price::axpy(arch, (self.b.dtype, g.precision.accumulator), self.len())
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let (a, b) = (price::shape(&self.a), price::shape(&self.b));
        let numbers =
            [self.gather, g.precision.accumulator.bytes(), g.lane_columns(), interval(arch, g.used_columns())];
        remembered(arch, ("outer", a, b, numbers), || self.price(g, arch)) + price::rows_of_chain(g, arch)
    }
}
