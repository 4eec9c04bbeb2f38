//! Prices that were asked for before.
//!
//! Mappings are compared by the thousand, and the price of a piece of code depends on little: lengths,
//! types, the machine. So it is worked out once for each set
//! of these, whatever thread asks for it first.
//!
//! **Invariant.** A key holds all that a price depends on, the machine's numbers included.
//! **Not here.** Which numbers those are: the kernels say it, in a type of their own for each kind of
//! price.

use rustc_hash::FxHashMap;
use sim_core::arch::{ArchSpec, Widths};
use std::any::{Any, TypeId};
use std::hash::Hash;
use std::sync::{LazyLock, PoisonError, RwLock};

/// The numbers of a machine that the price of code depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Machine {
    clock: u64,
    io: u64,
    pe: [u32; 7],
    widths: [[u32; 3]; 7],
    queue: Option<u32>,
    router: [u32; 5],
}

impl Machine {
    fn of(arch: &ArchSpec) -> Machine {
        let (pe, router) = (&arch.pe, &arch.router);
        let three = |w: &Widths| [w.half, w.single, w.mixed];
        let widths = [
            &pe.width_mov,
            &pe.width_add,
            &pe.width_mul,
            &pe.width_max,
            &pe.width_fmac,
            &pe.width_scale,
            &pe.width_bitsub,
        ];
        let numbers = [
            &pe.vector_setup,
            &pe.loop_back,
            &pe.task_dispatch,
            &pe.ce_latency,
            &pe.width_register,
            &pe.reduce_cycles,
            &pe.bank_conflict,
        ];
        let of_router = [&router.buffer, &router.hop, &router.ramp_down, &router.ramp_up, &router.edge_latency];
        Machine {
            clock: arch.wafer.clock_hz.value,
            io: arch.wafer.io_bits_per_second.value,
            pe: numbers.map(|n| n.value),
            widths: widths.map(|w| three(&w.value)),
            queue: pe.input_queues.value.first().copied(),
            router: of_router.map(|n| n.value),
        }
    }
}

/// Most prices of one kind that are remembered; beyond that it begins anew.
const MOST: usize = 1 << 17;

type Prices<K> = FxHashMap<K, u64>;

#[derive(Default)]
struct Memo {
    machine: Option<Machine>,
    prices: FxHashMap<TypeId, Box<dyn Any + Send + Sync>>,
}

static MEMO: LazyLock<RwLock<Memo>> = LazyLock::new(RwLock::default);

/// The price for a key on a machine: remembered, or else worked out.
pub fn remembered<K: Hash + Eq + Send + Sync + 'static>(arch: &ArchSpec, key: K, price: impl FnOnce() -> u64) -> u64 {
    let machine = Machine::of(arch);
    let kind = TypeId::of::<K>();
    {
        let memo = MEMO.read().unwrap_or_else(PoisonError::into_inner);
        if memo.machine == Some(machine)
            && let Some(prices) = memo.prices.get(&kind)
            && let Some(cycles) = prices.downcast_ref::<Prices<K>>().and_then(|prices| prices.get(&key))
        {
            return *cycles;
        }
    }
    // A price may ask for others: nothing is held meanwhile.
    let cycles = price();
    let mut memo = MEMO.write().unwrap_or_else(PoisonError::into_inner);
    if memo.machine != Some(machine) {
        *memo = Memo { machine: Some(machine), ..Memo::default() };
    }
    let prices = memo.prices.entry(kind).or_insert_with(|| Box::new(Prices::<K>::default()));
    if let Some(prices) = prices.downcast_mut::<Prices<K>>() {
        if prices.len() >= MOST {
            prices.clear();
        }
        prices.insert(key, cycles);
    }
    cycles
}
