//! Buffers that a layer's backward pass needs of the forward pass: off the wafer and back, or
//! computed again.
//!
//! **Not here.** The way over the edge (`kernels::ferry`).

use super::access;
use crate::geometry::Geometry;
use crate::kernel::{Access, Act, Kernel, Need};
use crate::kernels::ferry::{Load, Save};
use crate::schedule::{Pass, Tile};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A buffer that waits from the forward to the backward pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    need: Need,
    /// Its last use before, and its first use after.
    last: usize,
    next: usize,
}

/// The first kernel of a layer's backward pass, if there is one.
fn turning_point(tiles: &[Tile]) -> usize {
    tiles.iter().position(|t| t.layer.is_some() && t.pass != Pass::Forward).unwrap_or(tiles.len())
}

/// The waiting buffers in the order in which they are made.
pub(super) fn waiting(tiles: &[Tile], g: &Geometry) -> Vec<Waiting> {
    let turn = turning_point(tiles);
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for tile in tiles[..turn].iter().filter(|t| t.layer.is_some()) {
        for need in tile.kernel.needs(g).into_iter().filter(|n| n.access != Access::Scratch) {
            if !seen.insert(need.name.clone()) {
                continue;
            }
            let uses = |t: &Tile| access(&t.kernel, g, &need.name) != (false, false);
            let forward = |t: &Tile| t.pass == Pass::Forward && t.layer.is_some();
            let last = tiles[..turn].iter().rposition(|t| forward(t) && uses(t));
            let head = last.map(|l| l + 1..turn).is_some_and(|r| tiles[r].iter().any(uses));
            let next = tiles[turn..].iter().position(uses).map(|i| i + turn);
            if let (Some(last), Some(next), false) = (last, next, head)
                && access(&tiles[next].kernel, g, &need.name).0
            {
                out.push(Waiting { need, last, next });
            }
        }
    }
    out.sort_by_key(|w| std::cmp::Reverse(w.next));
    out
}

/// Brings all waiting buffers off the wafer and back, but for the last `stay`.
pub(super) fn offload(tiles: &mut Vec<Tile>, g: &Geometry, stay: u32) {
    let mut waiting = waiting(tiles, g);
    waiting.truncate(waiting.len().saturating_sub(stay as usize));
    let act = |need: &Need| {
        let whole = Act::whole(g, &need.name, crate::geometry::Features::Hidden);
        Act { dtype: need.dtype, all_slots: need.len / g.tokens, slots: need.len / g.tokens, ..whole }
    };
    let mut out = Vec::with_capacity(tiles.len() + 2 * waiting.len());
    for (i, tile) in std::mem::take(tiles).into_iter().enumerate() {
        for w in waiting.iter().filter(|w| w.next == i) {
            let kernel: Arc<dyn Kernel> = Arc::new(Load { act: act(&w.need) });
            out.push(Tile { kernel, pass: Pass::Recompute, layer: tile.layer });
        }
        let layer = tile.layer;
        out.push(tile);
        for w in waiting.iter().filter(|w| w.last == i) {
            let kernel: Arc<dyn Kernel> = Arc::new(Save { act: act(&w.need) });
            out.push(Tile { kernel, pass: Pass::Forward, layer });
        }
    }
    *tiles = out;
}

/// Keeps the inputs of every `block`-th layer only, and computes those of the others again before
/// the block's backward pass.
pub(super) fn recompute(tiles: &mut Vec<Tile>, block: u32) {
    let forward = |t: &&Tile| t.pass == Pass::Forward && t.layer.is_some();
    let by_layer: Vec<Tile> = tiles.iter().filter(forward).cloned().collect();
    let layers = by_layer.iter().filter_map(|t| t.layer).max().map_or(0, |l| l + 1);
    let turn = turning_point(tiles);
    let mut out = Vec::new();
    let mut begun = BTreeSet::new();
    for (i, tile) in std::mem::take(tiles).into_iter().enumerate() {
        if let Some(layer) = tile.layer.filter(|_| i >= turn) {
            let first = layer / block * block;
            // The last block's inputs are still there.
            if begun.insert(first) && first + block < layers {
                let again = by_layer.iter().filter(|t| t.layer.is_some_and(|l| (first..layer).contains(&l)));
                out.extend(again.map(|t| Tile { pass: Pass::Recompute, ..t.clone() }));
            }
        }
        out.push(tile);
    }
    *tiles = out;
}

/// Bytes of what waits, per PE.
pub(super) fn waiting_bytes(tiles: &[Tile], g: &Geometry) -> Vec<u64> {
    let bytes = |w: &Waiting| u64::from(w.need.len) * u64::from(w.need.dtype.bytes());
    waiting(tiles, g).iter().map(bytes).collect()
}
