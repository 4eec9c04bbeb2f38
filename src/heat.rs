//! Where the PEs of the mesh spend their cycles and what their links carry, by cells of
//! neighbouring PEs.
//!
//! **Invariant.** Sums of integers: the order in which programs are added does not matter.
//! **Not here.** Pictures (`render`).

use sim_core::coord::{Dir, Grid, Region};
use sim_core::report::PeCounters;

/// Most columns of cells.
const COLUMNS: u32 = 150;
/// Most rows of cells.
const ROWS: u32 = 200;
/// Counters of a cell: compute, wait, back-pressure, wavelets by port.
const COUNTERS: usize = 8;

/// Sums over cells of neighbouring PEs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heat {
    /// The mesh.
    pub mesh: Grid,
    /// Columns and rows of PEs in a cell; the last ones may have fewer.
    pub cell: Grid,
    /// Columns and rows of cells.
    pub cells: Grid,
    /// Cycles that the sums cover.
    pub cycles: u64,
    /// PEs of each cell that run an image, row by row.
    used: Vec<u32>,
    sums: Vec<[u64; COUNTERS]>,
}

/// What can be shown of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Share of PE-cycles that issue, set up or dispatch an instruction.
    Compute,
    /// Share that waits for a wavelet or a microthread.
    Wait,
    /// Share that waits for room.
    BackPressure,
    /// Share with nothing to do.
    Idle,
    /// Wavelets per cycle that leave a router by a port.
    Load(Dir),
}

impl Layer {
    /// All of them.
    pub const ALL: [Layer; 9] = [
        Layer::Compute,
        Layer::Wait,
        Layer::BackPressure,
        Layer::Idle,
        Layer::Load(Dir::North),
        Layer::Load(Dir::East),
        Layer::Load(Dir::South),
        Layer::Load(Dir::West),
        Layer::Load(Dir::Ramp),
    ];

    /// A name for files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Layer::Compute => "compute",
            Layer::Wait => "wait",
            Layer::BackPressure => "back-pressure",
            Layer::Idle => "idle",
            Layer::Load(Dir::North) => "link-north",
            Layer::Load(Dir::East) => "link-east",
            Layer::Load(Dir::South) => "link-south",
            Layer::Load(Dir::West) => "link-west",
            Layer::Load(Dir::Ramp) => "ramp",
        }
    }

    /// What it is, for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Layer::Compute => "compute, share of cycles",
            Layer::Wait => "wait, share of cycles",
            Layer::BackPressure => "back-pressure, share of cycles",
            Layer::Idle => "idle, share of cycles",
            Layer::Load(Dir::North) => "links to the north, share of their capacity",
            Layer::Load(Dir::East) => "links to the east, share of their capacity",
            Layer::Load(Dir::South) => "links to the south, share of their capacity",
            Layer::Load(Dir::West) => "links to the west, share of their capacity",
            Layer::Load(Dir::Ramp) => "ramps down, share of their capacity",
        }
    }
}

impl Heat {
    /// Nothing yet.
    #[must_use]
    pub fn new(mesh: Grid) -> Heat {
        let cell = Grid { width: mesh.width.div_ceil(COLUMNS).max(1), height: mesh.height.div_ceil(ROWS).max(1) };
        let cells = Grid { width: mesh.width.div_ceil(cell.width), height: mesh.height.div_ceil(cell.height) };
        let n = cells.pes() as usize;
        Heat { mesh, cell, cells, cycles: 0, used: vec![0; n], sums: vec![[0; COUNTERS]; n] }
    }

    /// One execution of a program on `grid`, which starts at the mesh's first PE.
    #[must_use]
    pub fn of(mesh: Grid, grid: Grid, pes: &[PeCounters], cycles: u64) -> Heat {
        let mut heat = Heat::new(mesh);
        heat.cycles = cycles;
        let (wide, columns) = (heat.cell.width as usize, heat.cells.width as usize);
        for (y, row) in pes.chunks(grid.width.max(1) as usize).enumerate() {
            let first = y / heat.cell.height as usize * columns;
            for (sum, pes) in heat.sums[first..].iter_mut().zip(row.chunks(wide)) {
                for pe in pes {
                    let c = pe.cycles;
                    let [n, e, s, w, ramp] = pe.sent;
                    let counted = [c.compute, c.wait, c.back_pressure, n, e, s, w, ramp];
                    sum.iter_mut().zip(counted).for_each(|(sum, n)| *sum += n);
                }
            }
        }
        heat
    }

    /// Adds `weight` executions of what another one covers, on the same mesh.
    pub fn add(&mut self, other: &Heat, weight: u64) {
        self.cycles += other.cycles * weight;
        for (sum, one) in self.sums.iter_mut().zip(&other.sums) {
            sum.iter_mut().zip(one).for_each(|(sum, n)| *sum += n * weight);
        }
    }

    /// Notes that the PEs of these regions run an image.
    pub fn mark(&mut self, regions: &[Region]) {
        let width = self.mesh.width as usize;
        let mut pes = vec![false; self.mesh.pes() as usize];
        for region in regions {
            for at in region.iter().filter(|at| self.mesh.contains(*at)) {
                pes[at.y as usize * width + at.x as usize] = true;
            }
        }
        self.used.fill(0);
        for (i, _) in pes.iter().enumerate().filter(|(_, used)| **used) {
            let (x, y) = ((i % width) as u32, (i / width) as u32);
            self.used[(y / self.cell.height * self.cells.width + x / self.cell.width) as usize] += 1;
        }
    }

    /// PEs of a cell that run an image.
    #[must_use]
    pub fn used(&self, column: u32, row: u32) -> u32 {
        self.used[(row * self.cells.width + column) as usize]
    }

    /// From 0 to 1; None where no PE runs an image, or a link carries nothing. PEs without an
    /// image do not dilute the shares of cycles.
    #[must_use]
    pub fn share(&self, layer: Layer, column: u32, row: u32) -> Option<f64> {
        let at = (row * self.cells.width + column) as usize;
        let sum = &self.sums[at];
        let all = u64::from(self.used[at]) * self.cycles;
        let part = match layer {
            Layer::Compute => sum[0],
            Layer::Wait => sum[1],
            Layer::BackPressure => sum[2],
            Layer::Idle => all.saturating_sub(sum[0] + sum[1] + sum[2]),
            Layer::Load(dir) => {
                let size = |whole: u32, cell: u32, i: u32| u64::from(cell.min(whole - i * cell));
                let pes =
                    size(self.mesh.width, self.cell.width, column) * size(self.mesh.height, self.cell.height, row);
                let sent = sum[3 + dir as usize];
                return (sent > 0).then(|| sent as f64 / (pes * self.cycles.max(1)) as f64);
            }
        };
        (all > 0).then(|| part as f64 / all as f64)
    }

    /// Shares of all cells, row by row.
    #[must_use]
    pub fn shares(&self, layer: Layer) -> Vec<Option<f64>> {
        let of = |i: u32| self.share(layer, i % self.cells.width, i / self.cells.width);
        (0..self.cells.pes() as u32).map(of).collect()
    }

    /// As bytes, for the cache: every counter's difference from the cell above.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.sums.len() * COUNTERS);
        varint(self.cycles, &mut out);
        let columns = self.cells.width as usize;
        for i in 0..self.sums.len() {
            let above = i.checked_sub(columns).map_or([0; COUNTERS], |i| self.sums[i]);
            for (n, above) in self.sums[i].iter().zip(above) {
                let difference = n.wrapping_sub(above).cast_signed();
                varint(((difference << 1) ^ (difference >> 63)).cast_unsigned(), &mut out);
            }
        }
        out
    }

    /// The inverse; None if the bytes are not those of a mesh of this size.
    #[must_use]
    pub fn from_bytes(mesh: Grid, mut bytes: &[u8]) -> Option<Heat> {
        let mut heat = Heat::new(mesh);
        heat.cycles = unvarint(&mut bytes)?;
        let columns = heat.cells.width as usize;
        for i in 0..heat.sums.len() {
            let above = i.checked_sub(columns).map_or([0; COUNTERS], |i| heat.sums[i]);
            for (n, above) in heat.sums[i].iter_mut().zip(above) {
                let zigzag = unvarint(&mut bytes)?;
                *n = above.wrapping_add((zigzag >> 1) ^ (zigzag & 1).wrapping_neg());
            }
        }
        bytes.is_empty().then_some(heat)
    }
}

/// Seven bits per byte, the lowest first.
fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn unvarint(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::report::PeCycles;

    fn pe(compute: u64, east: u64) -> PeCounters {
        let cycles = PeCycles { compute, wait: 1, back_pressure: 2, idle: 7 - compute };
        PeCounters { cycles, sent: [0, east, 0, 0, 3], ..PeCounters::default() }
    }

    /// 300 columns in cells of two; a program on three PEs, run twice, and one on none.
    fn heat() -> Heat {
        let mesh = Grid { width: 300, height: 1 };
        let one = Heat::of(mesh, Grid { width: 3, height: 1 }, &[pe(5, 10), pe(7, 0), pe(4, 5)], 10);
        let mut heat = Heat::new(mesh);
        heat.add(&one, 2);
        heat.add(&Heat::of(mesh, Grid { width: 300, height: 1 }, &[PeCounters::default(); 300], 4), 1);
        heat.mark(&[Region::rect(0, 0, 3, 1)]);
        heat
    }

    #[test]
    fn unused_pes_do_not_dilute_a_cell() {
        let heat = heat();
        assert_eq!((heat.cells.width, heat.cells.height, heat.cycles), (150, 1, 24));
        assert_eq!([0, 1, 2].map(|c| heat.used(c, 0)), [2, 1, 0]);
        let compute = |c| heat.share(Layer::Compute, c, 0);
        assert_eq!([0, 1, 2].map(compute), [Some(24.0 / 48.0), Some(8.0 / 24.0), None]);
        assert_eq!(heat.share(Layer::Idle, 1, 0), Some((24.0 - 8.0 - 2.0 - 4.0) / 24.0));
        let east = |c| heat.share(Layer::Load(Dir::East), c, 0);
        assert_eq!([0, 1, 2].map(east), [Some(20.0 / 48.0), Some(10.0 / 48.0), None]);
        assert_eq!(heat.share(Layer::Load(Dir::North), 0, 0), None);
    }

    #[test]
    fn bytes_are_those_of_one_heat_only() {
        let mut heat = heat();
        let bytes = heat.to_bytes();
        heat.mark(&[]);
        assert_eq!(Heat::from_bytes(heat.mesh, &bytes), Some(heat.clone()));
        for cut in [0, 1, bytes.len() - 1] {
            assert_eq!(Heat::from_bytes(heat.mesh, &bytes[..cut]), None);
        }
        assert_eq!(Heat::from_bytes(heat.mesh, &[&bytes[..], &[0]].concat()), None);
        assert_eq!(Heat::from_bytes(heat.mesh, &[0xff; 64]), None);
    }
}
