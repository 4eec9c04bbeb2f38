//! The tables of a band of rows: what is constant about its PEs, and their state.
//!
//! The mesh is cut into bands of rows, each with tables of its own that one thread writes at a time.
//! A table has an entry per PE, per path, per FIFO or per port; others refer to it by number.
//!
//! **Not here.** How they are made from a program (`build`), and what changes them (`band`).

use super::fifo::Fifos;
use super::lowered::LoweredImage;
use super::state::{Ce, Micro, Path, Port, Registers, Router};
use super::switched::SwitchedColor;
use sim_core::coord::{Grid, PeCoord, PeIdx};
use std::ops::Range;
use std::sync::Arc;

/// Constant and initial tables of a band of rows. Agents are numbered: the router and the compute
/// element of each PE, then ports.
#[derive(Debug)]
pub(crate) struct Tables {
    /// Size of the whole mesh.
    pub(crate) grid: Grid,
    /// Index of its first PE in the mesh.
    pub(crate) first: u32,
    pub(crate) images: Arc<[LoweredImage]>,
    pub(crate) fifos: Fifos,
    pub(crate) ces: Vec<Ce>,
    pub(crate) registers: Vec<Registers>,
    /// Microthreads of all compute elements.
    pub(crate) micro: Vec<Micro>,
    pub(crate) routers: Vec<Router>,
    pub(crate) paths: Vec<Path>,
    /// Where wavelets go of paths with more than two output ports, by the others.
    pub(super) further: Vec<[u32; 3]>,
    /// Colors in routers that switches, control wavelets or filters act on.
    pub(crate) switched_colors: Vec<SwitchedColor>,
    /// Ports of edge streams at its PEs, sorted by PE.
    pub(crate) ports: Vec<Port>,
    /// First port of each row, and one more.
    pub(super) port_rows: Vec<u32>,
}

impl Tables {
    pub(super) fn new(grid: Grid, rows: Range<u32>, images: &Arc<[LoweredImage]>) -> Tables {
        let n = (rows.len() as u32 * grid.width) as usize;
        Tables {
            grid,
            first: rows.start * grid.width,
            images: Arc::clone(images),
            fifos: Fifos::default(),
            ces: vec![Ce::none(); n],
            registers: vec![Registers::default(); n],
            micro: Vec::new(),
            routers: vec![Router::default(); n],
            paths: Vec::new(),
            further: Vec::new(),
            switched_colors: Vec::new(),
            ports: Vec::new(),
            port_rows: Vec::new(),
        }
    }

    /// Number of PEs of the band.
    pub(crate) fn pes(&self) -> u32 {
        self.ces.len() as u32
    }

    /// Where a PE of the band is.
    pub(crate) fn coord(&self, pe: u32) -> PeCoord {
        self.grid.coord(PeIdx(self.first + pe))
    }

    /// The number in the band of a PE of the mesh.
    pub(super) fn local(&self, pe: u32) -> Option<u32> {
        pe.checked_sub(self.first).filter(|&pe| pe < self.pes())
    }

    /// The microthreads of a PE.
    pub(crate) fn micro_of(&self, ce: &Ce) -> &[Micro] {
        let threads = self.images.get(usize::from(ce.image)).map_or(0, |image| image.threads);
        &self.micro[ce.own(threads)]
    }

    /// The ports of PEs that are next to each other, in some rows.
    #[inline]
    pub(crate) fn ports_of(&self, rows: Range<u32>, pes: Range<u32>) -> Range<u32> {
        let (first, last) = (self.port_rows[rows.start as usize], self.port_rows[rows.end as usize]);
        let all = &self.ports[first as usize..last as usize];
        if all.is_empty() {
            return first..first;
        }
        let before = |pe: u32| first + all.partition_point(|p| p.pe < pe) as u32;
        before(pes.start)..before(pes.end)
    }

    /// Where a path leads by the output port of an ordinal.
    #[inline]
    pub(crate) fn target(&self, path: &Path, ordinal: usize) -> u32 {
        match path.to.get(ordinal) {
            Some(to) => *to,
            None => self.further[path.further as usize][ordinal - path.to.len()],
        }
    }
}
