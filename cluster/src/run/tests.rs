//! Closed forms, conservation, and equal wafers (rules K2 to K7).

use super::*;
use proptest::prelude::*;

/// A cluster in which everything but what a test changes is free.
fn fast(systems: u32) -> Cluster {
    Cluster {
        systems,
        fanout: 4,
        link: u64::MAX / 16,
        latency: Picos(0),
        read: u64::MAX / 16,
        write: u64::MAX / 16,
        optimizer: u64::MAX / 16,
        prefetch: u64::MAX / 16,
        skew: 0,
    }
}

const MB: u64 = 1_000_000;
/// A microsecond.
const US: u64 = 1_000_000;

fn stage(us: u64, weights: u64, gradients: u64, layer: u32) -> Stage {
    Stage { time: Picos(us * US), weights, gradients, layer }
}

#[test]
fn a_cluster_that_costs_nothing_takes_as_long_as_a_wafer() {
    let stages = [stage(100, MB, 0, 0), stage(50, 0, MB, 0)];
    let done = run(&fast(16), &stages, 3, &[1000, 0]);
    // Every transfer is rounded up to a picosecond.
    assert!(done.step.0 - 3 * 150 * US < 100, "{done:?}");
    assert_eq!(done.compute.0, 3 * 150 * US);
    assert_eq!(done.bottleneck(), Cause::Compute);
}

/// One chunk of 1 MB after the update: 8 Mb at 1 Gb/s is 8 ms on each link and out of MemoryX; 64
/// systems are three levels. The next step waits for gradients up, update, weights down.
#[test]
fn a_broadcast_and_a_reduction_of_one_chunk_take_their_closed_form() {
    for (systems, depth) in [(1, 1), (2, 1), (4, 1), (5, 2), (16, 2), (64, 3), (65, 4)] {
        let mut c = fast(systems);
        (c.link, c.read, c.write, c.latency) = (1_000_000_000, 1_000_000_000, 1_000_000_000, Picos(3 * US));
        c.optimizer = 1_000_000;
        let done = run(&c, &[stage(10, MB, MB, 0)], 1, &[500, 0]);
        let (chunk, latency, update) = (8000 * US, 3 * US, 500 * US);
        let way = depth * (chunk + latency) + chunk;
        assert_eq!(done.step.0, 10 * US + 2 * way + update, "{systems} systems");
        assert_eq!(done.bottleneck(), Cause::Optimizer, "all of it lies behind the update");
    }
}

/// 100 MB of weights for 1 ms of cycles over a link of 8 Gb/s: 100 ms, whatever the depth.
#[test]
fn a_slow_link_bounds_the_step_by_its_bandwidth() {
    for systems in [1, 16, 64] {
        let mut c = fast(systems);
        c.link = 8_000_000_000;
        let done = run(&c, &[stage(1000, 100 * MB, 0, 0)], 4, &[0, 0]);
        let bytes = 400_000 * US;
        assert!(done.step.0 >= bytes && done.step.0 < bytes + bytes / 100, "{systems}: {done:?}");
        assert_eq!(done.bottleneck(), Cause::Weights);
    }
    let mut c = fast(16);
    c.write = 8_000_000_000;
    c.prefetch = 8 * MB;
    // What MemoryX takes slowly does not hold the wafer back before its own link is full.
    c.link = 8_000_000_000;
    let done = run(&c, &[stage(1000, 0, 100 * MB, 0)], 4, &[0, 0]);
    assert_eq!(done.bottleneck(), Cause::Gradients, "{done:?}");
}

/// The wafer's time is its kernels' and what it stands still for, to the picosecond.
fn adds_up(o: &Outcome) -> bool {
    o.step.0 == o.compute.0 + o.weights.0 + o.gradients.0 + o.optimizer.0
}

fn any_cluster() -> impl Strategy<Value = Cluster> {
    let rate = || 1_000_000_000u64..1_000_000_000_000;
    (1u32..70, 2u32..6, rate(), 0u64..10_000_000, rate(), rate(), 1_000_000u64..1_000_000_000, 1u64..64_000_000)
        .prop_map(|(systems, fanout, link, latency, read, write, optimizer, prefetch)| Cluster {
            systems,
            fanout,
            link,
            latency: Picos(latency),
            read,
            write,
            optimizer,
            prefetch,
            skew: 0,
        })
}

fn any_stages() -> impl Strategy<Value = Vec<Stage>> {
    let bytes = || prop_oneof![Just(0u64), 1u64..20_000_000];
    prop::collection::vec(
        (0u64..5000, bytes(), bytes(), 0u32..3).prop_map(|(us, w, g, layer)| stage(us, w, g, layer)),
        1..12,
    )
}

proptest! {
    /// K7: one wafer stands for all of them; bytes are conserved; the parts add up.
    #[test]
    fn equal_wafers_are_executed_once(c in any_cluster(), stages in any_stages(), micro_batches in 1u64..4) {
        let parameters = [10_000, 20_000, 5_000];
        let one = run(&c, &stages, micro_batches, &parameters);
        let all = run_wafers(&c, &stages, micro_batches, &parameters, c.systems);
        prop_assert_eq!(Outcome { executed: 1, ..all }, one);
        prop_assert!(adds_up(&one), "{:?}", one);
        let gradients: u64 = stages.iter().map(|s| s.gradients).sum();
        prop_assert_eq!(one.gradients_bytes, 2 * micro_batches * gradients);
    }

    /// A slower wafer brings nothing forward, and delays nothing by more than what it is slower: all
    /// times are sums and maxima of lengths, of which some grow by that factor. (A single step may be
    /// shorter than with equal wafers, as the one before it ended later.)
    #[test]
    fn a_straggler_costs_what_it_is_slower(c in any_cluster(), stages in any_stages(), skew in 1u32..500) {
        let even = run(&c, &stages, 2, &[0, 0, 0]);
        let skewed = run(&Cluster { skew, ..c }, &stages, 2, &[0, 0, 0]);
        prop_assert!(adds_up(&skewed));
        prop_assert_eq!(skewed.executed, c.systems);
        prop_assert!(skewed.until >= even.until, "{:?} {:?}", even, skewed);
        let most = u128::from(even.until.0) * u128::from(1000 + skew) / 1000;
        prop_assert!(u128::from(skewed.until.0) <= most + 1000, "{:?} {:?}", even, skewed);
    }
}
