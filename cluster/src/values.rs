//! What SwarmX and MemoryX compute: sums of gradients, and updates of the parameters by AdamW.
//!
//! **Invariant.** 32-bit numbers, added in one order: that of the children of a node, and that of
//! the micro-batches. So the same gradients give the same parameters, to the bit.
//! **Not here.** When it happens (`run`), and where gradients come from.

/// Sums gradients of all wafers as the tree does: every node adds its children from first to last.
///
/// # Panics
/// If there is no wafer, or they differ in length.
#[must_use]
pub fn reduce(wafers: &[Vec<f32>], fanout: usize) -> Vec<f32> {
    let mut level: Vec<Vec<f32>> = wafers.to_vec();
    while level.len() > 1 {
        level = level.chunks(fanout.max(2)).map(sum).collect();
    }
    level.swap_remove(0)
}

fn sum(children: &[Vec<f32>]) -> Vec<f32> {
    let mut all = children[0].clone();
    for child in &children[1..] {
        assert_eq!(child.len(), all.len(), "wafers give gradients of the same parameters");
        all.iter_mut().zip(child).for_each(|(sum, g)| *sum += g);
    }
    all
}

/// AdamW (Loshchilov and Hutter 2019) with gradients clipped by their norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of their squares.
    pub beta2: f32,
    /// Added to the root of the latter.
    pub eps: f32,
    /// Decay of the parameters, times the learning rate.
    pub weight_decay: f32,
    /// Longest vector of all gradients; longer ones are shortened.
    pub clip: Option<f32>,
}

/// The settings of Cerebras-GPT (arXiv 2304.03208, section 2.3), up to 2.7B; the larger ones have an
/// epsilon of 1e-9.
pub const CEREBRAS_GPT: AdamW = AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, clip: Some(1.0) };

/// Parameters in MemoryX, with what the optimizer keeps of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Master {
    /// The parameters, 32-bit.
    pub weights: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
    steps: i32,
}

impl Master {
    /// Parameters before the first step.
    #[must_use]
    pub fn new(weights: Vec<f32>) -> Master {
        let zeros = vec![0.0; weights.len()];
        Master { mean: zeros.clone(), square: zeros, weights, steps: 0 }
    }

    /// One update by the gradients of a step, at a learning rate.
    ///
    /// # Panics
    /// If there are not as many gradients as parameters.
    pub fn update(&mut self, how: &AdamW, rate: f32, gradients: &[f32]) {
        assert_eq!(gradients.len(), self.weights.len(), "a gradient for every parameter");
        // A norm of millions of squares needs more than 32 bits, as a host has them.
        let norm = gradients.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt();
        let scale = how.clip.map_or(1.0, |most| (f64::from(most) / norm.max(f64::from(most))) as f32);
        self.steps += 1;
        let unbiased = [how.beta1, how.beta2].map(|beta| 1.0 - beta.powi(self.steps));
        for (i, &g) in gradients.iter().enumerate() {
            let g = g * scale;
            self.mean[i] = how.beta1 * self.mean[i] + (1.0 - how.beta1) * g;
            self.square[i] = how.beta2 * self.square[i] + (1.0 - how.beta2) * g * g;
            let (mean, square) = (self.mean[i] / unbiased[0], self.square[i] / unbiased[1]);
            self.weights[i] -= rate * (mean / (square.sqrt() + how.eps) + how.weight_decay * self.weights[i]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: AdamW = AdamW { weight_decay: 0.0, clip: None, ..CEREBRAS_GPT };

    /// With a constant gradient both means are that gradient, so each step is as long as the rate.
    #[test]
    fn a_constant_gradient_moves_by_the_rate() {
        let mut master = Master::new(vec![1.0, 1.0]);
        for step in 1..=10 {
            master.update(&PLAIN, 0.01, &[3.0, -0.002]);
            let moved = 0.01 * step as f32;
            assert!(
                (master.weights[0] - (1.0 - moved)).abs() < 1e-5 && (master.weights[1] - (1.0 + moved)).abs() < 1e-5
            );
        }
    }

    /// Without gradients the parameters decay, whatever they are: decoupled from the means.
    #[test]
    fn parameters_decay_without_gradients() {
        let mut master = Master::new(vec![2.0]);
        master.update(&CEREBRAS_GPT, 0.5, &[0.0]);
        assert_eq!(master.weights, [2.0 - 0.5 * 0.1 * 2.0]);
    }

    /// A vector of length 5 is shortened to 1, one of length 0.5 is not; so the second step of the
    /// first one is that of a gradient five times smaller.
    #[test]
    fn long_gradients_are_shortened() {
        let clipped = AdamW { weight_decay: 0.0, ..CEREBRAS_GPT };
        let two = |how: &AdamW, first: [f32; 2], second: [f32; 2]| {
            let mut master = Master::new(vec![0.0, 0.0]);
            master.update(how, 0.1, &first);
            master.update(how, 0.1, &second);
            master.weights
        };
        assert_eq!(two(&clipped, [3.0, 4.0], [0.3, 0.4]), two(&PLAIN, [0.6, 0.8], [0.3, 0.4]));
        assert_ne!(two(&clipped, [3.0, 4.0], [0.3, 0.4]), two(&PLAIN, [3.0, 4.0], [0.3, 0.4]));
    }

    #[test]
    fn a_tree_adds_what_all_wafers_give() {
        for (wafers, fanout) in [(1, 4), (4, 4), (5, 4), (16, 2), (7, 3)] {
            let gradients: Vec<Vec<f32>> = (0..wafers).map(|w| vec![w as f32, 1.0]).collect();
            let all = (wafers * (wafers - 1) / 2) as f32;
            assert_eq!(reduce(&gradients, fanout), [all, wafers as f32]);
        }
        // In order: what is too small beside a large number is lost or kept as the tree has it.
        let tiny = 1.0 / 16_777_216.0;
        let of = |all: [f32; 4], fanout| reduce(&all.map(|x| vec![x]), fanout)[0];
        assert_eq!((of([1.0, tiny, tiny, tiny], 4), of([1.0, tiny, tiny, tiny], 2)), (1.0, 1.0 + 2.0 * tiny));
    }
}
