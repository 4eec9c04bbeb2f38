//! Buffers that a layer's backward pass needs of the forward pass: off the wafer and back, or
//! computed again.
//!
//! **Not here.** The way over the edge (`kernels::ferry`).

use super::access;
use crate::geometry::Geometry;
use crate::kernel::{Access, Act, Cargo, Chunks, Kernel, Need, Way};
use crate::kernels::ferry::Ferry;
use crate::schedule::{Pass, Tile};
use sim_core::arch::ArchSpec;
use sim_core::coord::Span;
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

/// Brings all waiting buffers off the wafer and back, but for the last `stay`: beside matrix products
/// as far as these have time for it, and for the rest in kernels of their own.
pub(super) fn offload(tiles: &mut Vec<Tile>, g: &Geometry, arch: &ArchSpec, (stay, early): (u32, bool)) {
    let mut waiting = waiting(tiles, g);
    waiting.truncate(waiting.len().saturating_sub(stay as usize));
    let mut alone: Vec<(usize, Tile)> = Vec::new();
    for w in &waiting {
        let act = whole(&w.need, g);
        let ferry = |rows, way| -> Arc<dyn Kernel> { Arc::new(Ferry(Cargo { act: act.clone(), rows, way })) };
        let layers = [w.last, w.next].map(|i| tiles[i].layer);
        let places = leaving(tiles, g, w);
        let (rest, end) = carry(tiles, g, arch, &act, Way::Out, &places);
        if let Some(rows) = rest {
            let kernel = ferry(rows, Way::Out);
            alone.push((end.max(w.last) + 1, Tile { kernel, pass: Pass::Forward, layer: layers[0] }));
        }
        let places = returning(tiles, w, early);
        let (rest, end) = carry(tiles, g, arch, &act, Way::In { begins: true }, &places);
        if let Some(rows) = rest {
            let kernel = ferry(rows, Way::In { begins: end == 0 });
            alone.push((w.next, Tile { kernel, pass: Pass::Recompute, layer: layers[1] }));
        }
    }
    // Of those at one place, the ones that leave come first: they make room.
    alone.sort_by_key(|(place, tile)| (*place, tile.pass));
    let mut alone = alone.into_iter().peekable();
    let mut out = Vec::with_capacity(tiles.len() + 2 * waiting.len());
    for (i, tile) in std::mem::take(tiles).into_iter().enumerate() {
        while let Some((_, ferry)) = alone.next_if(|(place, _)| *place == i) {
            out.push(ferry);
        }
        out.push(tile);
    }
    *tiles = out;
}

/// The whole buffer.
fn whole(need: &Need, g: &Geometry) -> Act {
    let act = Act::whole(g, need.name.clone(), crate::geometry::Features::Hidden);
    Act { dtype: need.dtype, all_slots: need.len / g.tokens, slots: need.len / g.tokens, ..act }
}

/// Where a buffer may leave: from behind the kernel that makes it on, as long as its layer lasts and
/// nothing else is made in its place.
fn leaving(tiles: &[Tile], g: &Geometry, w: &Waiting) -> Vec<usize> {
    let writes = |t: &Tile| access(&t.kernel, g, &w.need.name).1;
    let made = tiles[..=w.last].iter().rposition(writes).map_or(0, |i| i + 1);
    let layer = tiles[w.last].layer;
    let stays = |t: &&Tile| t.pass == Pass::Forward && !writes(t) && (t.layer == layer);
    let begin = made + tiles[made..].iter().take_while(|t| t.layer != layer).count();
    (begin..begin + tiles[begin..].iter().take_while(stays).count()).collect()
}

/// Where it may come back, the last place first: in the layer that is worked on before, behind its
/// attention, in which memory is short, or `early`.
fn returning(tiles: &[Tile], w: &Waiting, early: bool) -> Vec<usize> {
    let attention = |t: &Tile| !early && t.kernel.in_chunks(Chunks::ONE).is_some();
    let layer = tiles[w.next].layer.map(|layer| layer + 1);
    let before = |t: &&Tile| t.pass != Pass::Forward && t.layer == layer && !attention(t);
    (w.next - tiles[..w.next].iter().rev().take_while(before).count()..w.next).rev().collect()
}

/// Lets products at the given places carry a buffer. Gives the rows that are left, and the last place
/// that carries some, or 0.
fn carry(
    tiles: &mut [Tile],
    g: &Geometry,
    arch: &ArchSpec,
    act: &Act,
    way: Way,
    places: &[usize],
) -> (Option<Span>, usize) {
    let mut rows = Span::run(0, g.used_rows());
    let mut carriers: Vec<(usize, Span)> = Vec::new();
    for &place in places {
        let cargo = Cargo { act: act.clone(), rows, way };
        if let Some((_, done)) = tiles[place].kernel.carrying(g, arch, &cargo) {
            carriers.push((place, Span { count: done, ..rows }));
            rows = Span::run(rows.start + done, rows.count - done);
        }
        if rows.count == 0 {
            break;
        }
    }
    let first = carriers.iter().map(|c| c.0).min();
    for &(place, rows) in &carriers {
        let way = if way == Way::Out { way } else { Way::In { begins: Some(place) == first } };
        let cargo = Cargo { act: act.clone(), rows, way };
        if let Some((kernel, _)) = tiles[place].kernel.carrying(g, arch, &cargo) {
            tiles[place].kernel = kernel;
        }
    }
    ((rows.count > 0).then_some(rows), carriers.iter().map(|c| c.0).max().unwrap_or(0))
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
