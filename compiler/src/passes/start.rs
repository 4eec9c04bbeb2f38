//! Layers start: wherever kernels of a layer follow those of another one, its weights begin to
//! stream. Forward that is once per layer, backward once more.

use crate::kernels::layer_start::LayerStart;
use crate::schedule::Tile;
use std::sync::Arc;

/// Puts a delay in front of every layer.
pub(crate) fn starts(tiles: Vec<Tile>) -> Vec<Tile> {
    let mut before = None;
    let mut out = Vec::with_capacity(tiles.len());
    for tile in tiles {
        if tile.layer.is_some() && tile.layer != before {
            out.push(Tile { kernel: Arc::new(LayerStart), ..tile.clone() });
        }
        before = tile.layer;
        out.push(tile);
    }
    out
}
