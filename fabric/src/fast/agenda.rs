//! Which slab a thread does next.
//!
//! A thread claims a slab whose turn it is, does it, and claims the next one; it waits only while
//! others do those that its own depend on. So a thread that is faster does more, and one that comes
//! late, since it had other work, finds what is left. Each prefers the slabs near its home, so that
//! the state of a band stays with the cache of one core where it can.
//!
//! **Invariant.** A slab's turn in a block is when the slab above it has done this block and the one
//! below it the block before. So no two slabs that are next to each other are ever done at once.
//! **Not here.** What a slab is, and why this order is enough (`tiles`).

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// All slabs of some blocks.
#[derive(Debug)]
pub(super) struct Agenda {
    blocks: u32,
    threads: usize,
    board: Mutex<Board>,
    changed: Condvar,
}

#[derive(Debug)]
struct Board {
    /// For each slab, its first block that is not done.
    next: Vec<u32>,
    /// Slabs that a thread is doing.
    taken: Vec<bool>,
    /// A thread panicked while it did a slab: the rest will never be done.
    broken: bool,
}

/// A slab that a thread does; what ends with it is done.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    agenda: &'a Agenda,
    pub(super) slab: usize,
    pub(super) block: u32,
}

impl Agenda {
    pub(super) fn new(slabs: usize, blocks: u32, threads: usize) -> Agenda {
        let board = Board { next: vec![0; slabs], taken: vec![false; slabs], broken: false };
        Agenda { blocks, threads, board: Mutex::new(board), changed: Condvar::new() }
    }

    /// The next slab for a thread, by its number, once there is one; None when all is done.
    pub(super) fn claim(&self, thread: usize) -> Option<Claim<'_>> {
        let mut board = self.board();
        loop {
            if board.broken || board.next.iter().all(|&next| next == self.blocks) {
                return None;
            }
            // In halves of slabs.
            let home = (2 * thread + 1) * board.next.len() / self.threads;
            let slabs = (0..board.next.len()).filter(|&slab| board.has_turn(slab, self.blocks));
            if let Some(slab) = slabs.min_by_key(|&slab| (2 * slab + 1).abs_diff(home)) {
                board.taken[slab] = true;
                return Some(Claim { agenda: self, slab, block: board.next[slab] });
            }
            board = self.changed.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Board {
    fn has_turn(&self, slab: usize, blocks: u32) -> bool {
        let block = self.next[slab];
        let above = slab.checked_sub(1).is_none_or(|above| self.next[above] > block);
        let below = self.next.get(slab + 1).is_none_or(|&below| below >= block);
        block < blocks && !self.taken[slab] && above && below
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut board = self.agenda.board();
        board.taken[self.slab] = false;
        board.next[self.slab] += 1;
        board.broken |= std::thread::panicking();
        self.agenda.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Several hands, which take and give back slabs in an order that depends on `seed`.
    fn history(slabs: usize, blocks: u32, hands: usize, mut seed: u64) -> Vec<(usize, u32)> {
        let agenda = Agenda::new(slabs, blocks, hands);
        let (mut held, mut done): (Vec<Claim<'_>>, Vec<_>) = (Vec::new(), Vec::new());
        while done.len() + held.len() < slabs * blocks as usize {
            // A generator of Knuth's: who gives back, and whether another one takes before.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let hand = (seed >> 33) as usize;
            let turn = |board: &Board| (0..slabs).any(|slab| board.has_turn(slab, blocks));
            if held.len() < hands && turn(&agenda.board()) && (held.is_empty() || !hand.is_multiple_of(3)) {
                let claim = agenda.claim(hand % hands).expect("there is a turn");
                assert!(held.iter().all(|other| other.slab.abs_diff(claim.slab) > 1), "neighbours at once");
                held.push(claim);
            } else {
                let claim = held.swap_remove(hand % held.len());
                done.push((claim.slab, claim.block));
            }
        }
        done.extend(held.drain(..).map(|claim| (claim.slab, claim.block)));
        assert!(agenda.claim(0).is_none(), "all is done");
        done
    }

    #[test]
    fn what_a_slab_depends_on_is_done_before() {
        for seed in 0..200 {
            let (slabs, blocks, hands) = (2 + seed as usize % 7, 1 + seed as u32 % 5, 1 + seed as usize % 4);
            let done = history(slabs, blocks, hands, seed);
            let at = |slab, block| done.iter().position(|&d| d == (slab, block)).expect("each once");
            assert_eq!(done.len(), slabs * blocks as usize);
            for (slab, block) in (0..slabs).flat_map(|slab| (0..blocks).map(move |block| (slab, block))) {
                assert!(slab == 0 || at(slab - 1, block) < at(slab, block));
                assert!(block == 0 || slab + 1 == slabs || at(slab + 1, block - 1) < at(slab, block));
                assert!(block == 0 || at(slab, block - 1) < at(slab, block));
            }
        }
    }

    #[test]
    fn a_panic_ends_the_wait_of_others() {
        let agenda = Agenda::new(2, 1, 2);
        let claim = agenda.claim(0).expect("the first slab");
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| agenda.claim(1).is_none());
            let panics = scope.spawn(|| {
                let _claim = claim;
                panic!("as a slab might");
            });
            assert!(panics.join().is_err());
            assert!(waits.join().expect("no panic"), "it waits for what will never be done");
        });
    }
}
