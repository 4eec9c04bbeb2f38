//! Where the PEs of the mesh spend their cycles and what their links carry, by cells of
//! neighbouring PEs.
//!
//! **Invariant.** Sums of integers: the order in which programs are added does not matter.
//! **Not here.** Pictures and pages (`report`).

mod bytes;

pub use bytes::packed;

use sim_core::coord::{Color, Dir, Grid, Region};
use sim_core::report::CellCounters;
use std::collections::BTreeMap;

/// Most columns of cells.
const COLUMNS: u32 = 150;
/// Most rows of cells.
const ROWS: u32 = 200;
/// Counters of a cell.
const COUNTERS: usize = CellCounters::COUNTERS;

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
    /// Wavelets by color and port: of every cell, where there are any at all.
    colors: BTreeMap<(Color, Dir), Vec<u64>>,
}

/// What can be shown of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
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
    /// Wavelets of one color.
    Color(Color, Dir),
    /// Wavelets of one color over the link that has most of them.
    Busiest(Color),
}

impl Quantity {
    /// All that are not of a single color.
    pub const ALL: [Quantity; 9] = [
        Quantity::Compute,
        Quantity::Wait,
        Quantity::BackPressure,
        Quantity::Idle,
        Quantity::Load(Dir::North),
        Quantity::Load(Dir::East),
        Quantity::Load(Dir::South),
        Quantity::Load(Dir::West),
        Quantity::Load(Dir::Ramp),
    ];

    /// A name for files.
    #[must_use]
    pub fn name(self) -> String {
        let port = |dir: Dir| if dir == Dir::Ramp { "ramp".to_owned() } else { format!("link-{}", dir.name()) };
        match self {
            Quantity::Compute => "compute".to_owned(),
            Quantity::Wait => "wait".to_owned(),
            Quantity::BackPressure => "back-pressure".to_owned(),
            Quantity::Idle => "idle".to_owned(),
            Quantity::Load(dir) => port(dir),
            Quantity::Color(color, dir) => format!("{}-{color}", port(dir)),
            Quantity::Busiest(color) => format!("link-{color}"),
        }
    }

    /// What it is, for people.
    #[must_use]
    pub fn title(self) -> String {
        let ports = |dir: Dir| match dir {
            Dir::Ramp => "ramps down".to_owned(),
            link => format!("links to the {}", link.name()),
        };
        match self {
            Quantity::Compute => "compute, share of cycles".to_owned(),
            Quantity::Wait => "wait, share of cycles".to_owned(),
            Quantity::BackPressure => "back-pressure, share of cycles".to_owned(),
            Quantity::Idle => "idle, share of cycles".to_owned(),
            Quantity::Load(dir) => format!("{}, share of their capacity", ports(dir)),
            Quantity::Color(color, dir) => format!("color {color} on {}, share of their capacity", ports(dir)),
            Quantity::Busiest(color) => format!("color {color} on the link that it uses most, share of its capacity"),
        }
    }

    /// Whether it is of links or ramps, not of PEs.
    #[must_use]
    pub fn is_load(self) -> bool {
        matches!(self, Quantity::Load(_) | Quantity::Color(..) | Quantity::Busiest(_))
    }
}

impl Heat {
    /// Nothing yet.
    #[must_use]
    pub fn new(mesh: Grid) -> Heat {
        let cell = Grid { width: mesh.width.div_ceil(COLUMNS).max(1), height: mesh.height.div_ceil(ROWS).max(1) };
        let cells = Grid { width: mesh.width.div_ceil(cell.width), height: mesh.height.div_ceil(cell.height) };
        let n = cells.pes() as usize;
        Heat { mesh, cell, cells, cycles: 0, used: vec![0; n], sums: vec![[0; COUNTERS]; n], colors: BTreeMap::new() }
    }

    /// One execution of a program, counted by cells of this size; its grid starts at the mesh's
    /// first PE.
    #[must_use]
    pub fn of(mesh: Grid, counted: &CellCounters, cycles: u64) -> Heat {
        let mut heat = Heat::new(mesh);
        heat.cycles = cycles;
        let (from, to) = (counted.cells.width as usize, heat.cells.width as usize);
        let place = |i: usize| i / from * to + i % from;
        for (i, sums) in counted.sums.iter().enumerate() {
            heat.sums[place(i)] = *sums;
        }
        for (port, counted) in counted.colors() {
            let mut plane = vec![0; heat.sums.len()];
            counted.iter().enumerate().for_each(|(i, n)| plane[place(i)] = *n);
            heat.colors.insert(port, plane);
        }
        heat
    }

    /// Adds `weight` executions of what another one covers, on the same mesh.
    pub fn add(&mut self, other: &Heat, weight: u64) {
        self.cycles += other.cycles * weight;
        for (sum, one) in self.sums.iter_mut().zip(&other.sums) {
            sum.iter_mut().zip(one).for_each(|(sum, n)| *sum += n * weight);
        }
        for (port, plane) in &other.colors {
            let sums = self.colors.entry(*port).or_insert_with(|| vec![0; plane.len()]);
            sums.iter_mut().zip(plane).for_each(|(sum, n)| *sum += n * weight);
        }
    }

    /// Colors and ports that carry anything, by color, with the wavelets of the whole mesh.
    pub fn colors(&self) -> impl Iterator<Item = (Color, Dir, u64)> {
        self.colors.iter().map(|(&(color, dir), plane)| (color, dir, plane.iter().sum()))
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
    pub fn share(&self, layer: Quantity, column: u32, row: u32) -> Option<f64> {
        let at = (row * self.cells.width + column) as usize;
        let sum = &self.sums[at];
        let all = u64::from(self.used[at]) * self.cycles;
        let part = match layer {
            Quantity::Compute => sum[0],
            Quantity::Wait => sum[1],
            Quantity::BackPressure => sum[2],
            Quantity::Idle => all.saturating_sub(sum[0] + sum[1] + sum[2]),
            Quantity::Load(dir) => return self.load(sum[3 + dir as usize], column, row),
            Quantity::Color(color, dir) => return self.load(self.sent(color, dir, at), column, row),
            Quantity::Busiest(color) => {
                let most = Dir::LINKS.into_iter().map(|dir| self.sent(color, dir, at)).max();
                return self.load(most.unwrap_or(0), column, row);
            }
        };
        (all > 0).then(|| part as f64 / all as f64)
    }

    /// Wavelets of a color that left the routers of a cell by a port.
    fn sent(&self, color: Color, dir: Dir, at: usize) -> u64 {
        self.colors.get(&(color, dir)).map_or(0, |plane| plane[at])
    }

    /// Wavelets of a cell as a share of what its links in one direction can carry.
    fn load(&self, sent: u64, column: u32, row: u32) -> Option<f64> {
        let size = |whole: u32, cell: u32, i: u32| u64::from(cell.min(whole - i * cell));
        let pes = size(self.mesh.width, self.cell.width, column) * size(self.mesh.height, self.cell.height, row);
        (sent > 0).then(|| sent as f64 / (pes * self.cycles.max(1)) as f64)
    }

    /// Shares of all cells, row by row.
    #[must_use]
    pub fn shares(&self, layer: Quantity) -> Vec<Option<f64>> {
        let of = |i: u32| self.share(layer, i % self.cells.width, i / self.cells.width);
        (0..self.cells.pes() as u32).map(of).collect()
    }
}

/// All colors and ports, in order.
fn colors_and_ports() -> impl Iterator<Item = (Color, Dir)> {
    (0..Color::MAX).filter_map(Color::new).flat_map(|color| Dir::ALL.into_iter().map(move |dir| (color, dir)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::report::{ColorCounters, ColorSent, PeCounters, PeCycles};

    fn pe(compute: u64, east: u64) -> PeCounters {
        let cycles = PeCycles { compute, wait: 1, back_pressure: 2, idle: 7 - compute };
        PeCounters { cycles, sent: [0, east, 0, 0, 3], ..PeCounters::default() }
    }

    /// Every PE sends its wavelets to the east on c2, and to the ramp on c1.
    fn colors(pes: &[PeCounters]) -> ColorCounters {
        let one = |n: u8, port: usize, pe: &PeCounters| {
            let mut sent = [0; 5];
            sent[port] = pe.sent[port];
            ColorSent { color: Color::new(n).unwrap(), sent }
        };
        ColorCounters::collect(pes.iter().map(|pe| vec![one(2, 1, pe), one(1, 4, pe)]))
    }

    /// 300 columns in cells of two; a program on three PEs, run twice, and one on none.
    fn heat() -> Heat {
        let mesh = Grid { width: 300, height: 1 };
        let pes = [pe(5, 10), pe(7, 0), pe(4, 5)];
        let of = |grid, pes: &[PeCounters], cycles| {
            Heat::of(mesh, &CellCounters::of(grid, Heat::new(mesh).cell, pes, &colors(pes)), cycles)
        };
        let one = of(Grid { width: 3, height: 1 }, &pes, 10);
        let mut heat = Heat::new(mesh);
        heat.add(&one, 2);
        let none = [PeCounters::default(); 300];
        heat.add(&of(mesh, &none, 4), 1);
        heat.mark(&[Region::rect(0, 0, 3, 1)]);
        heat
    }

    #[test]
    fn unused_pes_do_not_dilute_a_cell() {
        let heat = heat();
        assert_eq!((heat.cells.width, heat.cells.height, heat.cycles), (150, 1, 24));
        assert_eq!([0, 1, 2].map(|c| heat.used(c, 0)), [2, 1, 0]);
        let compute = |c| heat.share(Quantity::Compute, c, 0);
        assert_eq!([0, 1, 2].map(compute), [Some(24.0 / 48.0), Some(8.0 / 24.0), None]);
        assert_eq!(heat.share(Quantity::Idle, 1, 0), Some((24.0 - 8.0 - 2.0 - 4.0) / 24.0));
        let east = |c| heat.share(Quantity::Load(Dir::East), c, 0);
        assert_eq!([0, 1, 2].map(east), [Some(20.0 / 48.0), Some(10.0 / 48.0), None]);
        assert_eq!(heat.share(Quantity::Load(Dir::North), 0, 0), None);
    }

    #[test]
    fn links_are_those_of_their_colors() {
        let heat = heat();
        let [c1, c2] = [1, 2].map(|n| Color::new(n).unwrap());
        assert_eq!(heat.colors().collect::<Vec<_>>(), [(c1, Dir::Ramp, 18), (c2, Dir::East, 30)]);
        for cell in 0..3 {
            let share = |layer| heat.share(layer, cell, 0);
            assert_eq!(share(Quantity::Color(c2, Dir::East)), share(Quantity::Load(Dir::East)));
            assert_eq!(share(Quantity::Busiest(c2)), share(Quantity::Load(Dir::East)));
            assert_eq!(share(Quantity::Color(c1, Dir::Ramp)), share(Quantity::Load(Dir::Ramp)));
            assert_eq!(
                (share(Quantity::Busiest(c1)), share(Quantity::Color(c1, Dir::East))),
                (None, None),
                "a ramp is no link"
            );
        }
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
