//! Prices that were asked for before.
//!
//! Mappings are compared by the thousand, and the price of a piece of code depends on little: lengths,
//! types, the machine. So it is worked out once for each set
//! of these, whatever thread asks for it first.
//!
//! **Invariant.** A key holds all that a price depends on, the machine's numbers included.
//! **Not here.** What else a price depends on: the kernels say it, in a type of their own for each kind of
//! price.

use rustc_hash::FxHashMap;
use sim_core::arch::ArchSpec;
use std::any::{Any, TypeId};
use std::hash::Hash;
use std::sync::{LazyLock, PoisonError, RwLock};

/// Whether two machines have the same numbers in every group that code on a wafer can depend on.
fn same(a: &ArchSpec, b: &ArchSpec) -> bool {
    a.wafer.same_numbers(&b.wafer) && a.pe.same_numbers(&b.pe) && a.router.same_numbers(&b.router)
}

/// Most prices of one kind that are remembered; beyond that it begins anew.
const MOST: usize = 1 << 17;

type Prices<K> = FxHashMap<K, u64>;

#[derive(Default)]
struct Memo {
    /// The machine that the prices are for.
    machine: Option<ArchSpec>,
    prices: FxHashMap<TypeId, Box<dyn Any + Send + Sync>>,
}

static MEMO: LazyLock<RwLock<Memo>> = LazyLock::new(RwLock::default);

/// The price for a key on a machine: remembered, or else worked out.
pub fn remembered<K: Hash + Eq + Send + Sync + 'static>(arch: &ArchSpec, key: K, price: impl FnOnce() -> u64) -> u64 {
    let kind = TypeId::of::<K>();
    {
        let memo = MEMO.read().unwrap_or_else(PoisonError::into_inner);
        if memo.machine.as_ref().is_some_and(|known| same(known, arch))
            && let Some(prices) = memo.prices.get(&kind)
            && let Some(cycles) = prices.downcast_ref::<Prices<K>>().and_then(|prices| prices.get(&key))
        {
            return *cycles;
        }
    }
    // A price may ask for others: nothing is held meanwhile.
    let cycles = price();
    let mut memo = MEMO.write().unwrap_or_else(PoisonError::into_inner);
    if !memo.machine.as_ref().is_some_and(|known| same(known, arch)) {
        *memo = Memo { machine: Some(arch.clone()), ..Memo::default() };
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
