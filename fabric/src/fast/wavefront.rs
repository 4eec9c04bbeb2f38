//! The wavefront scheduler: which row of tiles a thread runs next.
//!
//! If all threads waited for each other after every diagonal of tiles (`tiles`), the slowest thread
//! would set the pace. So a thread claims any row of tiles whose turn has come, runs it, and claims
//! the next one; it waits only while others run what all remaining rows depend on. A thread that is
//! faster does more, and one that comes late finds what is left. Each thread prefers rows near its
//! home, so that the state of a band stays in the cache of one core where possible.
//!
//! **Invariant.** The turn of a row of tiles in a block comes when the row above it has done this
//! block and the row below it has done the block before. So no two neighbouring rows of tiles ever
//! run at the same time.
//! **Not here.** What a row of tiles is, and why this order is enough (`tiles`).

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Progress of all rows of tiles through some blocks.
#[derive(Debug)]
pub(super) struct WavefrontScheduler {
    blocks: u32,
    threads: usize,
    board: Mutex<Board>,
    changed: Condvar,
}

#[derive(Debug)]
struct Board {
    /// For each row of tiles, its first block that is not done.
    next: Vec<u32>,
    /// Rows of tiles that a thread is running.
    taken: Vec<bool>,
    /// A thread panicked while it ran a row of tiles: the rest will never be done.
    broken: bool,
}

/// A row of tiles that a thread runs; dropping the claim says that it is done.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    scheduler: &'a WavefrontScheduler,
    pub(super) tile_row: usize,
    pub(super) block: u32,
}

impl WavefrontScheduler {
    pub(super) fn new(tile_rows: usize, blocks: u32, threads: usize) -> WavefrontScheduler {
        assert!(threads > 0 && blocks > 0, "somebody has to do something");
        let board = Board { next: vec![0; tile_rows], taken: vec![false; tile_rows], broken: false };
        WavefrontScheduler { blocks, threads, board: Mutex::new(board), changed: Condvar::new() }
    }

    /// The next row of tiles for a thread, given by the thread's number, once there is one; None when
    /// all is done.
    pub(super) fn claim(&self, thread: usize) -> Option<Claim<'_>> {
        let mut board = self.board();
        loop {
            if board.broken || board.next.iter().all(|&next| next == self.blocks) {
                return None;
            }
            // In halves of rows, so that the middle of a row has a number.
            let home = (2 * thread + 1) * board.next.len() / self.threads;
            let tile_rows = (0..board.next.len()).filter(|&tile_row| board.has_turn(tile_row, self.blocks));
            if let Some(tile_row) = tile_rows.min_by_key(|&tile_row| (2 * tile_row + 1).abs_diff(home)) {
                assert!(!board.beside(tile_row), "two threads would write to the band between two rows of tiles");
                board.taken[tile_row] = true;
                return Some(Claim { scheduler: self, tile_row, block: board.next[tile_row] });
            }
            board = self.changed.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether all blocks of all rows of tiles are done.
    pub(super) fn is_done(&self) -> bool {
        self.board().next.iter().all(|&next| next == self.blocks)
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Board {
    /// Whether a thread is running a row next to this one.
    fn beside(&self, tile_row: usize) -> bool {
        let above = tile_row.checked_sub(1).is_some_and(|above| self.taken[above]);
        above || self.taken.get(tile_row + 1) == Some(&true)
    }

    fn has_turn(&self, tile_row: usize, blocks: u32) -> bool {
        let block = self.next[tile_row];
        let above = tile_row.checked_sub(1).is_none_or(|above| self.next[above] > block);
        let below = self.next.get(tile_row + 1).is_none_or(|&below| below >= block);
        block < blocks && !self.taken[tile_row] && above && below
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut board = self.scheduler.board();
        board.taken[self.tile_row] = false;
        board.next[self.tile_row] += 1;
        board.broken |= std::thread::panicking();
        self.scheduler.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Several hands, which take and give back rows of tiles in an order that depends on `seed`.
    fn history(tile_rows: usize, blocks: u32, hands: usize, mut seed: u64) -> Vec<(usize, u32)> {
        let scheduler = WavefrontScheduler::new(tile_rows, blocks, hands);
        let (mut held, mut done): (Vec<Claim<'_>>, Vec<_>) = (Vec::new(), Vec::new());
        while done.len() + held.len() < tile_rows * blocks as usize {
            // A generator of Knuth's: who gives back, and whether another one takes before.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let hand = (seed >> 33) as usize;
            let turn = |board: &Board| (0..tile_rows).any(|tile_row| board.has_turn(tile_row, blocks));
            if held.len() < hands && turn(&scheduler.board()) && (held.is_empty() || !hand.is_multiple_of(3)) {
                let claim = scheduler.claim(hand % hands).expect("there is a turn");
                assert!(held.iter().all(|other| other.tile_row.abs_diff(claim.tile_row) > 1), "neighbours at once");
                held.push(claim);
            } else {
                let claim = held.swap_remove(hand % held.len());
                done.push((claim.tile_row, claim.block));
            }
        }
        done.extend(held.drain(..).map(|claim| (claim.tile_row, claim.block)));
        assert!(scheduler.claim(0).is_none(), "all is done");
        done
    }

    #[test]
    fn what_a_slab_depends_on_is_done_before() {
        for seed in 0..200 {
            let (tile_rows, blocks, hands) = (2 + seed as usize % 7, 1 + seed as u32 % 5, 1 + seed as usize % 4);
            let done = history(tile_rows, blocks, hands, seed);
            let at = |tile_row, block| done.iter().position(|&d| d == (tile_row, block)).expect("each once");
            assert_eq!(done.len(), tile_rows * blocks as usize);
            for (tile_row, block) in (0..tile_rows).flat_map(|tile_row| (0..blocks).map(move |block| (tile_row, block)))
            {
                assert!(tile_row == 0 || at(tile_row - 1, block) < at(tile_row, block));
                assert!(block == 0 || tile_row + 1 == tile_rows || at(tile_row + 1, block - 1) < at(tile_row, block));
                assert!(block == 0 || at(tile_row, block - 1) < at(tile_row, block));
            }
        }
    }

    #[test]
    fn a_panic_ends_the_wait_of_others() {
        let scheduler = WavefrontScheduler::new(2, 1, 2);
        let claim = scheduler.claim(0).expect("the first row of tiles");
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| scheduler.claim(1).is_none());
            let panics = scope.spawn(|| {
                let _claim = claim;
                panic!("as a row of tiles might");
            });
            assert!(panics.join().is_err());
            assert!(waits.join().expect("no panic"), "it waits for what will never be done");
        });
    }
}
