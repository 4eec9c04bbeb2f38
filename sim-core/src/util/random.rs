//! A small random generator with a fixed sequence: SplitMix64.
//!
//! Tests on random programs, random start values and `--verify-fold` must do the same for a seed on
//! every platform and with every version of a library; so the generator is written down here. It is
//! that of Steele, Lea and Flood (OOPSLA 2014), as in Vigna's `splitmix64.c`.
//!
//! ```
//! use sim_core::util::random::SplitMix64;
//! let mut random = SplitMix64::new(7);
//! assert!((1..=6).contains(&random.range(1, 6)));
//! ```
//!
//! **Invariant.** The sequence of a seed never changes: results that people keep depend on it.

/// The generator; its state is one number, the seed at first.
#[derive(Debug, Clone)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// A generator from a seed; every seed is a good one.
    #[must_use]
    pub const fn new(seed: u64) -> SplitMix64 {
        SplitMix64(seed)
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    /// A number below `n`, which is not zero. For `n` far below 2⁶⁴, as any `u32` is, all numbers are
    /// as good as equally likely.
    pub fn below(&mut self, n: u32) -> u32 {
        assert!(n > 0, "there is no number below zero");
        (self.bits() % u64::from(n)) as u32
    }

    /// A number in `from..=to`, which is not empty.
    pub fn range(&mut self, from: u32, to: u32) -> u32 {
        assert!(from <= to, "there is no number from {from} to {to}");
        from + (self.bits() % (u64::from(to - from) + 1)) as u32
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// A number in [-1, 1), in steps of 2⁻³¹, all equally likely.
    pub fn symmetric(&mut self) -> f64 {
        (self.bits() >> 32) as f64 / f64::from(1_u32 << 31) - 1.0
    }
}

/// By how much the state moves: 2⁶⁴ divided by the golden ratio, made odd.
pub const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// The generator's mixing function: a bijection in which every bit of the result depends on every bit
/// of `x`. For hashes whose input is a number.
#[must_use]
#[inline]
pub const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_sequence() {
        // First outputs of splitmix64.c for seed 1234567.
        let mut random = SplitMix64::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.bits()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn numbers_are_in_their_ranges() {
        let mut random = SplitMix64::new(1);
        for _ in 0..1000 {
            assert!(random.below(3) < 3 && (5..=9).contains(&random.range(5, 9)));
            assert!((-1.0..1.0).contains(&random.symmetric()));
        }
        assert!((0..=u32::MAX).contains(&random.range(0, u32::MAX)), "the whole range does not overflow");
    }
}
