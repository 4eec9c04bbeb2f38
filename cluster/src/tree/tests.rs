//! Closed forms of a broadcast and of a reduction: bandwidth, latency, log N (rule K2).

use super::*;
use crate::Picos;

const MB: u64 = 1_000_000;
const US: u64 = 1_000_000;

/// Links of 8 Gb/s: a megabyte takes a millisecond; 5 µs per node.
fn cluster(systems: u32, fanout: u32) -> Cluster {
    Cluster {
        systems,
        fanout,
        link: 8_000_000_000,
        io: 8_000_000_000,
        latency: Picos(5 * US),
        read: 1,
        write: 1,
        optimizer: 1,
        activation: 8_000_000_000,
        clip: false,
        prefetch: 1,
        skew: 0,
        lost: 0,
    }
}

/// When a megabyte that is at the root at 0 is at each wafer.
fn sent(tree: &mut Tree) -> Vec<u64> {
    let mut at = Vec::new();
    tree.broadcast(Leaf::Wafers, 0, MB, &mut at);
    at
}

#[test]
fn the_depth_is_the_logarithm_of_the_systems() {
    for fanout in [2u32, 3, 4, 16] {
        for systems in 1..=192u32 {
            let depth = depth(systems, fanout);
            assert!(fanout.pow(depth) >= systems && (depth == 1 || fanout.pow(depth - 1) < systems));
        }
    }
    assert_eq!([1, 4, 5, 16, 17, 64, 192].map(|n| depth(n, 4)), [1, 1, 2, 2, 3, 3, 4]);
}

/// `n` chunks of 1 MB, one behind the other, through D levels: the bandwidth of one link for all of
/// them, once more per level for the first to get through, and the latency of D nodes.
#[test]
fn a_broadcast_takes_its_closed_form_at_every_leaf() {
    for (systems, fanout) in [(1, 4), (4, 4), (5, 4), (16, 4), (64, 4), (192, 4), (16, 2), (27, 3)] {
        let mut tree = Tree::new(&cluster(systems, fanout), systems as usize);
        let levels = u64::from(depth(systems, fanout));
        for n in 1..=8u64 {
            let at = sent(&mut tree);
            let form = n * 1000 * US + (levels - 1) * 1000 * US + levels * 5 * US;
            assert!(at.len() == systems as usize && at.iter().all(|&t| t == form), "{systems}, {n}: {form} {at:?}");
        }
        tree.check((8 * MB, 0), (0, 0), (0, 0));
    }
}

/// The same for sums on their way up; one leaf that is late delays the sum by as much.
#[test]
fn a_reduction_takes_its_closed_form() {
    for (systems, fanout) in [(1, 4), (4, 4), (5, 4), (16, 4), (64, 4), (192, 4), (16, 2), (27, 3)] {
        let levels = u64::from(depth(systems, fanout));
        let form = |n: u64| n * 1000 * US + (levels - 1) * 1000 * US + levels * 5 * US;
        let mut tree = Tree::new(&cluster(systems, fanout), systems as usize);
        let mut ready = vec![0; systems as usize];
        for n in 1..=8 {
            assert_eq!(tree.reduce(Leaf::Wafers, &mut ready.clone(), MB), form(n), "{systems}");
        }
        tree.check((0, 8 * MB), (0, 0), (0, 0));
        let mut tree = Tree::new(&cluster(systems, fanout), systems as usize);
        ready[systems as usize / 2] = 77 * US;
        assert_eq!(tree.reduce(Leaf::Wafers, &mut ready.clone(), MB), form(1) + 77 * US);
    }
}

/// What a wafer gets alone takes its link, and nobody else's.
#[test]
fn what_is_for_one_wafer_delays_no_other() {
    let mut tree = Tree::new(&cluster(5, 4), 5);
    assert_eq!(tree.feed(3, 0, 2 * MB), 2000 * US + 5 * US);
    let at = sent(&mut tree);
    // Two levels of 1 ms; the link to wafer 3 is taken until 2 ms.
    let (free, taken) = (2000 * US + 10 * US, 3000 * US + 5 * US);
    assert_eq!(at, [free, free, free, taken, free]);
}
