//! Closed forms, conservation, and equal wafers (rules K2 to K8).

use super::*;
use crate::work::Table;
use proptest::prelude::*;

/// A cluster in which everything but what a test changes is free.
fn fast(systems: u32) -> Cluster {
    let free = u64::MAX / 16;
    Cluster {
        systems,
        fanout: 4,
        link: free,
        io: free,
        latency: Picos(0),
        read: free,
        write: free,
        optimizer: free,
        activation: free,
        clip: false,
        prefetch: free,
        skew: 0,
        lost: 0,
    }
}

const MB: u64 = 1_000_000;
/// A microsecond.
const US: u64 = 1_000_000;
const NONE: Table = Table { weights: 0, gradients: 0 };

fn kernel(us: u64, weights: u64, gradients: u64, layer: u32) -> ExecutedKernel {
    ExecutedKernel { time: Picos(us * US), weights, gradients, layer, ..ExecutedKernel::default() }
}

fn step(cluster: &Cluster, kernels: &[ExecutedKernel], micro_batches: u64, parameters: &[u64]) -> Outcome {
    run(cluster, &Work { kernels, micro_batches, parameters, table: NONE })
}

#[test]
fn a_cluster_that_costs_nothing_takes_as_long_as_a_wafer() {
    let mut alone = kernel(50, 0, MB, 0);
    (alone.inputs, alone.outputs) = (MB, MB);
    let kernels = [kernel(100, MB, 0, 0), alone];
    let table = Table { weights: MB, gradients: MB };
    let work = Work { kernels: &kernels, micro_batches: 3, parameters: &[1000, 0], table };
    let done = run(&fast(16), &work);
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
        for clip in [false, true] {
            let mut c = Cluster { clip, ..fast(systems) };
            (c.link, c.read, c.write, c.latency) = (1_000_000_000, 1_000_000_000, 1_000_000_000, Picos(3 * US));
            c.optimizer = 1_000_000;
            let done = step(&c, &[kernel(10, MB, MB, 0)], 1, &[500, 0]);
            let (chunk, latency, update) = (8000 * US, 3 * US, 500 * US);
            let way = depth * (chunk + latency) + chunk;
            assert_eq!(done.step.0, 10 * US + 2 * way + update, "{systems} systems");
            assert_eq!([done.gradients.0, done.optimizer.0, done.weights.0], [way, update, way]);
        }
    }
}

/// 100 MB of weights for 1 ms of cycles over a link of 8 Gb/s: 100 ms, whatever the depth.
#[test]
fn a_slow_link_bounds_the_step_by_its_bandwidth() {
    for systems in [1, 16, 64] {
        let mut c = fast(systems);
        c.link = 8_000_000_000;
        let done = step(&c, &[kernel(1000, 100 * MB, 0, 0)], 4, &[0, 0]);
        let bytes = 400_000 * US;
        assert!(done.step.0 >= bytes && done.step.0 < bytes + bytes / 100, "{systems}: {done:?}");
        assert_eq!(done.bottleneck(), Cause::Weights);
    }
}

/// What MemoryX takes slowly holds the wafer back, through nodes with fast links (rule K4).
#[test]
fn a_slow_memory_bounds_the_step_by_its_bandwidth() {
    for systems in [1, 16, 64] {
        let c = Cluster { write: 8_000_000_000, prefetch: 16 * MB, ..fast(systems) };
        let done = step(&c, &[kernel(1000, 0, 100 * MB, 0)], 4, &[0, 0]);
        let bytes = 400_000 * US;
        assert!(done.step.0 >= bytes && done.step.0 < bytes + bytes / 100, "{systems}: {done:?}");
        assert_eq!(done.bottleneck(), Cause::Gradients);
    }
}

/// Slow activation servers hold the wafer back both ways (rule K8).
#[test]
fn slow_activation_servers_bound_the_step() {
    let c = Cluster { activation: 8_000_000_000, prefetch: 16 * MB, ..fast(16) };
    for (inputs, outputs) in [(100 * MB, 0), (0, 100 * MB)] {
        let kernel = ExecutedKernel { time: Picos(1000 * US), inputs, outputs, ..ExecutedKernel::default() };
        let done = step(&c, &[kernel], 4, &[0, 0]);
        let bytes = 400_000 * US;
        assert!(done.step.0 >= bytes && done.step.0 < bytes + bytes / 100, "{done:?}");
        assert_eq!(done.bottleneck(), Cause::Activations);
    }
}

/// The table's gradients go up after the last outputs, are applied, and the table comes down again
/// before the first inputs: one chunk of 1 MB each at 1 Gb/s over two levels.
#[test]
fn the_next_step_waits_for_its_embeddings() {
    for clip in [false, true] {
        let mut c = Cluster { clip, ..fast(16) };
        (c.link, c.read, c.write, c.activation) = (1_000_000_000, 1_000_000_000, 1_000_000_000, 1_000_000_000);
        c.optimizer = 1_000_000;
        let kernels = [ExecutedKernel {
            time: Picos(10 * US),
            inputs: 1000,
            outputs: 1000,
            layer: 1,
            ..ExecutedKernel::default()
        }];
        let table = Table { weights: MB, gradients: MB };
        let done = run(&c, &Work { kernels: &kernels, micro_batches: 1, parameters: &[0, 500], table });
        let (chunk, own, update) = (8000 * US, 8 * US, 500 * US);
        assert_eq!(done.step.0, 10 * US + 2 * own + 3 * chunk + update + 3 * chunk + 2 * own, "{done:?}");
        let parts = [done.gradients, done.optimizer, done.weights, done.activations].map(|part| part.0);
        assert_eq!(parts, [3 * chunk, update, 3 * chunk, 4 * own], "2 up to the servers, 2 down");
    }
}

/// Servers that are slow to take gradients of embeddings hold back the table's sums, and with them,
/// if all updates wait for all gradients, every layer. The wafer's own gradients, which are there
/// sooner, are not to blame (rule K6); if these come later than the servers are done, they are.
#[test]
fn waits_for_slow_servers_are_theirs() {
    let outputs = ExecutedKernel { outputs: MB, layer: 1, ..ExecutedKernel::default() };
    let kernels = [kernel(1000, 1, 0, 0), kernel(10, 0, MB, 0), outputs];
    let table = Table { weights: 1, gradients: 1 };
    let parts = |clip, activation, write| {
        let c = Cluster { clip, activation, write, ..fast(16) };
        let done = run(&c, &Work { kernels: &kernels, micro_batches: 1, parameters: &[0, 0], table });
        // Transfers are rounded up to a picosecond.
        [done.gradients.0, done.activations.0].map(|part| (part + 50) / US)
    };
    let (slow, fast) = (1_000_000_000, u64::MAX / 16);
    assert_eq!(parts(true, slow, fast), [0, 8000], "8 Mb at 1 Gb/s after the last cycle");
    assert_eq!(parts(false, slow, fast), [0, 8000], "MemoryX reads layer 0 after the table, in order");
    assert_eq!(parts(true, fast, slow), [8000, 0]);
    assert_eq!(parts(true, slow, slow / 2), [16_000, 0]);
    assert_eq!(parts(true, slow / 2, slow), [8000, 8000], "the servers for what they are later");
}

/// Servers that take embedding gradients slowly, with room for all of them: the wafer waits at the
/// start of the next step, for the servers, and not for gradients on their way; nor for weights,
/// though MemoryX reads the first layer's only after the table.
#[test]
fn slow_servers_are_not_slow_gradients() {
    for clip in [false, true] {
        let c = Cluster { clip, activation: 8_000_000_000, ..fast(16) };
        let kernels = [
            kernel(10, MB, MB, 0),
            ExecutedKernel {
                time: Picos(10 * US),
                inputs: 1000,
                outputs: 100 * MB,
                layer: 1,
                ..ExecutedKernel::default()
            },
        ];
        let table = Table { weights: MB, gradients: MB };
        let done = run(&c, &Work { kernels: &kernels, micro_batches: 1, parameters: &[500, 500], table });
        assert!(done.activations.0 > 99_900 * US, "{done:?}");
        // The sums of the table, 1 MB at the servers' rate.
        assert!(done.gradients.0.abs_diff(1000 * US) < US, "{done:?}");
        assert_eq!(done.bottleneck(), Cause::Activations);
    }
}

/// Two layers of equal gradients, the second one's first: without clipping its update is over when
/// the first one's gradients come; with clipping both come at the end, in the order of need.
#[test]
fn clipping_puts_all_updates_at_the_end_of_a_step() {
    let kernels = [kernel(1000, 1, 0, 0), kernel(1000, 1, MB, 1), kernel(1000, 0, MB, 0)];
    let of = |clip| {
        let c = Cluster { clip, optimizer: 1_000_000, ..fast(4) };
        step(&c, &kernels, 1, &[500, 500, 0]).optimizer.0
    };
    let (without, with) = (of(false), of(true));
    assert!(without.abs_diff(500 * US) < 100 && with.abs_diff(500 * US) < 100, "layer 0 is exposed: {without} {with}");
    let slow = |clip| {
        let c = Cluster { clip, optimizer: 250_000, ..fast(4) };
        step(&c, &kernels, 1, &[500, 500, 0]).optimizer.0
    };
    // 2 ms for each. Without: layer 1 from 2 ms to 4, layer 0 from 4 to 6, so 3 ms of a wait. With:
    // layer 0 from 3 to 5, layer 1 to 7; the wafer waits 2 ms, works 1 ms, and waits 1 ms more.
    assert!(slow(false).abs_diff(3000 * US) < 100 && slow(true).abs_diff(3000 * US) < 100);
}

/// Every micro-batch takes the whole stream of weights again.
#[test]
fn accumulation_repeats_the_weights() {
    let kernels = [kernel(10, 7 * MB, 3 * MB, 0)];
    for micro_batches in [1, 2, 5] {
        let done = step(&fast(8), &kernels, micro_batches, &[0, 0]);
        // Two whole steps, and the first chunk of the third: half of 7 MB.
        assert_eq!(done.read_bytes, 2 * micro_batches * 7 * MB + 7 * MB / 2);
        assert_eq!(done.written_bytes, 2 * micro_batches * 3 * MB);
    }
}

/// The wafer's time is its kernels' and its stalls, to the picosecond.
fn adds_up(o: &Outcome) -> bool {
    o.step.0 == o.compute.0 + o.weights.0 + o.gradients.0 + o.optimizer.0 + o.activations.0
}

fn any_cluster() -> impl Strategy<Value = Cluster> {
    let rate = || 1_000_000_000u64..1_000_000_000_000;
    let sizes = (1u32..70, 2u32..6, 1u64..64_000_000, 0u64..10_000_000, any::<bool>());
    (sizes, rate(), rate(), rate(), rate(), rate(), 1_000_000u64..1_000_000_000).prop_map(
        |((systems, fanout, prefetch, latency, clip), link, io, read, write, activation, optimizer)| Cluster {
            systems,
            fanout,
            link,
            io,
            latency: Picos(latency),
            read,
            write,
            optimizer,
            activation,
            clip,
            prefetch,
            ..fast(systems)
        },
    )
}

fn any_kernels() -> impl Strategy<Value = Vec<ExecutedKernel>> {
    let bytes = || prop_oneof![Just(0u64), 1u64..20_000_000];
    let one = (0u64..5000, bytes(), bytes(), bytes(), bytes(), 0u32..3)
        .prop_map(|(us, w, g, inputs, outputs, layer)| ExecutedKernel { inputs, outputs, ..kernel(us, w, g, layer) });
    prop::collection::vec(one, 1..12)
}

fn any_table() -> impl Strategy<Value = Table> {
    (0u64..20_000_000, 0u64..20_000_000).prop_map(|(weights, gradients)| Table { weights, gradients })
}

proptest! {
    /// K7: one wafer stands for all of them; the parts add up; and bytes are conserved on every
    /// link, which every run checks, here with all wafers and nodes.
    #[test]
    fn equal_wafers_are_executed_once(
        c in any_cluster(), kernels in any_kernels(), table in any_table(), micro_batches in 1u64..4
    ) {
        let work = Work { kernels: &kernels, micro_batches, parameters: &[10_000, 20_000, 5_000], table };
        let one = run(&c, &work);
        let all = run_wafers(&c, &work, c.systems);
        prop_assert_eq!(Outcome { executed: 1, ..all }, one);
        prop_assert!(adds_up(&one), "{:?}", one);
        let gradients: u64 = kernels.iter().map(|s| s.gradients).sum();
        prop_assert_eq!(one.written_bytes, 2 * (micro_batches * gradients + table.gradients));
    }

    /// A slower wafer brings nothing forward, and delays nothing by more than what it is slower: all
    /// times are sums and maxima of lengths, of which some grow by that factor. (A single step may be
    /// shorter than with equal wafers, as the one before it ended later.)
    #[test]
    fn a_straggler_costs_what_it_is_slower(c in any_cluster(), kernels in any_kernels(), skew in 1u32..500) {
        let even = step(&c, &kernels, 2, &[0, 0, 0]);
        let skewed = step(&Cluster { skew, ..c }, &kernels, 2, &[0, 0, 0]);
        prop_assert!(adds_up(&skewed));
        prop_assert_eq!(skewed.executed, c.systems);
        prop_assert!(skewed.until >= even.until, "{:?} {:?}", even, skewed);
        let most = u128::from(even.until.0) * u128::from(1000 + skew) / 1000;
        prop_assert!(u128::from(skewed.until.0) <= most + 1000, "{:?} {:?}", even, skewed);
    }

    /// More bandwidth anywhere never ends a run later.
    #[test]
    fn faster_parts_delay_nothing(c in any_cluster(), kernels in any_kernels(), table in any_table(), part in 0usize..6) {
        let work = Work { kernels: &kernels, micro_batches: 2, parameters: &[10_000, 20_000, 5_000], table };
        let mut faster = c;
        let rates = [&mut faster.link, &mut faster.io, &mut faster.read, &mut faster.write, &mut faster.activation, &mut faster.optimizer];
        for (i, rate) in rates.into_iter().enumerate() {
            *rate *= if i == part { 2 } else { 1 };
        }
        prop_assert!(run(&faster, &work).until <= run(&c, &work).until);
    }
}
