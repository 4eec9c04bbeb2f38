//! The operations of the f64 implementation, forward and backward, each by its definition.
//!
//! Activations are matrices: rows are tokens, sequence after sequence; columns are features.
//!
//! **Invariant.** A backward function takes the forward function's own inputs (or, for softmax, its
//! output) and the gradient of its output, and recomputes whatever else it needs.
//! **Not here.** Names and parameters; see [`super`].

// `ndarray::s!` expands to `allow(unsafe_code)`, which the workspace forbids: slices go by axis.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use ndarray::{Array1, Array2, Array4, ArrayView1, ArrayView2, Axis, Slice};

use super::erf::erfc;
use crate::shape::design::{Design, Rotary, alibi_slope};

/// A row shifted to mean 0, if the norm centres, and scaled to mean square 1, and the scale.
fn normalised(design: &Design, row: ArrayView1<'_, f64>) -> (Array1<f64>, f64) {
    let mean = if design.norm.centres() { row.mean().unwrap_or(0.0) } else { 0.0 };
    let centred = row.mapv(|value| value - mean);
    let variance = centred.mapv(|value| value * value).mean().unwrap_or(0.0);
    let scale = 1.0 / (variance + design.epsilon.value()).sqrt();
    (centred * scale, scale)
}

pub(super) fn norm(design: &Design, x: &Array2<f64>, gain: ArrayView1<'_, f64>) -> Array2<f64> {
    let mut y = x.clone();
    for mut row in y.outer_iter_mut() {
        let (unit, _) = normalised(design, row.view());
        row.assign(&(unit * gain));
    }
    y
}

/// Gradients with respect to input, gain and bias.
pub(super) fn norm_backward(
    design: &Design,
    x: &Array2<f64>,
    gain: ArrayView1<'_, f64>,
    dy: &Array2<f64>,
) -> (Array2<f64>, Array1<f64>, Array1<f64>) {
    let mut dx = Array2::zeros(x.dim());
    let mut d_gain = Array1::zeros(x.ncols());
    for (n, row) in x.outer_iter().enumerate() {
        let (unit, scale) = normalised(design, row);
        d_gain += &(&unit * &dy.row(n));
        let g = &dy.row(n) * &gain;
        let mean = if design.norm.centres() { g.mean().unwrap_or(0.0) } else { 0.0 };
        let along = (&g * &unit).mean().unwrap_or(0.0);
        dx.row_mut(n).assign(&((g - mean - unit * along) * scale));
    }
    (dx, d_gain, dy.sum_axis(Axis(0)))
}

/// `x / (1 + e^−x)`.
pub(super) fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// `σ(x) · (1 + x · (1 − σ(x)))`.
pub(super) fn silu_derivative(x: f64) -> f64 {
    let sigmoid = 1.0 / (1.0 + (-x).exp());
    sigmoid * (1.0 + x * (1.0 - sigmoid))
}

/// The argument of the hyperbolic tangent in [`gelu_tanh`].
fn bent(x: f64) -> f64 {
    (2.0 / PI).sqrt() * (x + 0.044_715 * x.powi(3))
}

/// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`.
pub(super) fn gelu_tanh(x: f64) -> f64 {
    0.5 * x * (1.0 + bent(x).tanh())
}

pub(super) fn gelu_tanh_derivative(x: f64) -> f64 {
    let t = bent(x).tanh();
    let slope = (2.0 / PI).sqrt() * (1.0 + 3.0 * 0.044_715 * x * x);
    0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope
}

/// `x·Φ(x)` with the exact normal distribution function.
pub(super) fn gelu(x: f64) -> f64 {
    x * 0.5 * erfc(-x * FRAC_1_SQRT_2)
}

/// `Φ(x) + x·φ(x)`.
pub(super) fn gelu_derivative(x: f64) -> f64 {
    0.5 * erfc(-x * FRAC_1_SQRT_2) + x * (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// Mean over all rows of `-log softmax(row)[target]`, and its gradient.
pub(super) fn cross_entropy(logits: ArrayView2<'_, f64>, targets: &[usize]) -> (f64, Array2<f64>) {
    let rows = f64::from(u32::try_from(targets.len()).expect("an oracle's batch is small"));
    let mut loss = 0.0;
    let mut gradient = Array2::zeros(logits.dim());
    for (n, row) in logits.outer_iter().enumerate() {
        let max = row.fold(f64::NEG_INFINITY, |max, value| max.max(*value));
        let powers = row.mapv(|value| (value - max).exp());
        let sum = powers.sum();
        loss += (sum.ln() + max - row[targets[n]]) / rows;
        let mut out = gradient.row_mut(n);
        out.assign(&(powers / (sum * rows)));
        out[targets[n]] -= 1.0 / rows;
    }
    (loss, gradient)
}

/// How rows divide into sequences and columns into heads.
pub(super) struct Heads {
    pub(super) batch: usize,
    pub(super) seq: usize,
    pub(super) heads: usize,
    /// Heads of keys and values.
    pub(super) kv_heads: usize,
    /// Whether a query sees only its own key and those before it.
    pub(super) causal: bool,
    /// What scores are multiplied by.
    pub(super) scale: f64,
}

impl Heads {
    /// The rows of sequence `b` and the columns of head `h` of queries: `[seq, d_head]`.
    fn block<'a>(&self, x: &'a Array2<f64>, b: usize, h: usize) -> ArrayView2<'a, f64> {
        let (rows, columns) = self.ranges(x.ncols() / self.heads, b, h);
        x.view().slice_axis_move(Axis(0), rows).slice_axis_move(Axis(1), columns)
    }

    /// The keys or values that an attention head looks at.
    fn kv_block<'a>(&self, x: &'a Array2<f64>, b: usize, h: usize) -> ArrayView2<'a, f64> {
        let (rows, columns) = self.ranges(x.ncols() / self.kv_heads, b, h * self.kv_heads / self.heads);
        x.view().slice_axis_move(Axis(0), rows).slice_axis_move(Axis(1), columns)
    }

    fn set_block(&self, x: &mut Array2<f64>, b: usize, h: usize, block: &Array2<f64>) {
        let (rows, columns) = self.ranges(x.ncols() / self.heads, b, h);
        x.slice_axis_mut(Axis(0), rows).slice_axis_mut(Axis(1), columns).assign(block);
    }

    /// Adds to the block of keys or values that the head looks at.
    fn add_kv_block(&self, x: &mut Array2<f64>, b: usize, h: usize, block: &Array2<f64>) {
        let (rows, columns) = self.ranges(x.ncols() / self.kv_heads, b, h * self.kv_heads / self.heads);
        let mut sum = x.slice_axis_mut(Axis(0), rows);
        let mut sum = sum.slice_axis_mut(Axis(1), columns);
        sum += block;
    }

    fn ranges(&self, d_head: usize, b: usize, h: usize) -> (Slice, Slice) {
        ((b * self.seq..(b + 1) * self.seq).into(), (h * d_head..(h + 1) * d_head).into())
    }

    /// The features of every head turned by their tokens' positions, or back.
    pub(super) fn rotated(&self, x: &Array2<f64>, heads: usize, rotary: Rotary, back: bool) -> Array2<f64> {
        let d_head = x.ncols() / heads;
        let mut out = x.clone();
        for row in 0..x.nrows() {
            let position = f64::from(u32::try_from(row % self.seq).expect("positions are 32-bit"));
            for (h, i) in (0..heads).flat_map(|h| (0..rotary.dims / 2).map(move |i| (h, i))) {
                let angle = position * rotary.frequency(i);
                let (sin, cos) = if back { (-angle).sin_cos() } else { angle.sin_cos() };
                let (a, b) = rotary.pair(i);
                let (a, b) = (h * d_head + a as usize, h * d_head + b as usize);
                out[[row, a]] = x[[row, a]] * cos - x[[row, b]] * sin;
                out[[row, b]] = x[[row, b]] * cos + x[[row, a]] * sin;
            }
        }
        out
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let heads = self.heads;
        (0..self.batch).flat_map(move |b| (0..heads).map(move |h| (b, h)))
    }

    fn square(&self) -> Array4<f64> {
        Array4::zeros((self.batch, self.heads, self.seq, self.seq))
    }

    /// Takes every head's slope times the distance of query and key from its scores.
    pub(super) fn add_slopes(&self, scores: &mut Array4<f64>) {
        let narrow = |n: usize| u32::try_from(n).expect("sizes are 32-bit");
        for ((_, h, query, key), score) in scores.indexed_iter_mut() {
            if !self.causal || key <= query {
                let distance = f64::from(narrow(query.abs_diff(key)));
                *score -= alibi_slope(narrow(h), narrow(self.heads)) * distance;
            }
        }
    }

    /// Zero where the column (key) comes after the row (query), if that is not seen.
    fn masked(&self, mut square: Array2<f64>) -> Array2<f64> {
        for ((query, key), value) in square.indexed_iter_mut() {
            if self.causal && key > query {
                *value = 0.0;
            }
        }
        square
    }

    /// Scaled scores; 0 where the query does not see the key.
    pub(super) fn scores(&self, q: &Array2<f64>, k: &Array2<f64>) -> Array4<f64> {
        let mut scores = self.square();
        for (b, h) in self.pairs() {
            let product = self.block(q, b, h).dot(&self.kv_block(k, b, h).t()) * self.scale;
            set_square(&mut scores, b, h, &self.masked(product));
        }
        scores
    }

    /// Gradients with respect to queries and keys.
    pub(super) fn scores_backward(
        &self,
        q: &Array2<f64>,
        k: &Array2<f64>,
        d_scores: &Array4<f64>,
    ) -> (Array2<f64>, Array2<f64>) {
        let (mut d_q, mut d_k) = (Array2::zeros(q.dim()), Array2::zeros(k.dim()));
        for (b, h) in self.pairs() {
            let d = square(d_scores, b, h).to_owned() * self.scale;
            self.set_block(&mut d_q, b, h, &d.dot(&self.kv_block(k, b, h)));
            self.add_kv_block(&mut d_k, b, h, &d.t().dot(&self.block(q, b, h)));
        }
        (d_q, d_k)
    }

    /// Softmax of each query over the keys that it sees.
    pub(super) fn softmax(&self, scores: &Array4<f64>) -> Array4<f64> {
        let mut probabilities = self.square();
        for (b, h) in self.pairs() {
            for query in 0..self.seq {
                let row = square(scores, b, h);
                let seen = if self.causal { query + 1 } else { self.seq };
                let row = row.row(query).slice_axis_move(Axis(0), Slice::from(..seen));
                let max = row.fold(f64::NEG_INFINITY, |max, value| max.max(*value));
                let powers = row.mapv(|value| (value - max).exp());
                let sum = powers.sum();
                for (key, power) in powers.into_iter().enumerate() {
                    probabilities[[b, h, query, key]] = power / sum;
                }
            }
        }
        probabilities
    }

    /// Gradient with respect to the scores; 0 where the mask is, as the probabilities are.
    pub(super) fn softmax_backward(&self, softmax: &Array4<f64>, dy: &Array4<f64>) -> Array4<f64> {
        let along = (softmax * dy).sum_axis(Axis(3)).insert_axis(Axis(3));
        softmax * &(dy - &along)
    }

    /// Probabilities times values, heads side by side.
    pub(super) fn weighted_values(&self, softmax: &Array4<f64>, v: &Array2<f64>) -> Array2<f64> {
        let mut out = Array2::zeros((v.nrows(), v.ncols() / self.kv_heads * self.heads));
        for (b, h) in self.pairs() {
            let mix = square(softmax, b, h).dot(&self.kv_block(v, b, h));
            self.set_block(&mut out, b, h, &mix);
        }
        out
    }

    /// Gradients with respect to probabilities (0 under the mask) and values.
    pub(super) fn weighted_values_backward(
        &self,
        softmax: &Array4<f64>,
        v: &Array2<f64>,
        dy: &Array2<f64>,
    ) -> (Array4<f64>, Array2<f64>) {
        let (mut d_softmax, mut d_v) = (self.square(), Array2::zeros(v.dim()));
        for (b, h) in self.pairs() {
            let block = self.block(dy, b, h);
            let product = block.dot(&self.kv_block(v, b, h).t());
            set_square(&mut d_softmax, b, h, &self.masked(product));
            self.add_kv_block(&mut d_v, b, h, &square(softmax, b, h).t().dot(&block));
        }
        (d_softmax, d_v)
    }
}

/// The `[query, key]` square of sequence `b` and head `h`.
fn square(x: &Array4<f64>, b: usize, h: usize) -> ArrayView2<'_, f64> {
    x.view().index_axis_move(Axis(0), b).index_axis_move(Axis(0), h)
}

fn set_square(x: &mut Array4<f64>, b: usize, h: usize, square: &Array2<f64>) {
    x.index_axis_mut(Axis(0), b).index_axis_mut(Axis(0), h).assign(square);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_has_its_known_values() {
        assert_eq!(gelu(0.0), 0.0);
        assert!((gelu(1.0) - 0.841_344_746_068_542_9).abs() < 1e-15);
        assert!((gelu(-1.0) + 0.158_655_253_931_457_05).abs() < 1e-15);
        assert_eq!(gelu(40.0), 40.0);
        assert!((gelu_derivative(0.0) - 0.5).abs() < 1e-16);
    }

    #[test]
    fn activations_and_derivatives_agree() {
        for x in [-6.0, -1.3, 0.0, 0.7, 5.0] {
            let slope = |f: fn(f64) -> f64| (f(x + 1e-6) - f(x - 1e-6)) / 2e-6;
            assert!((slope(silu) - silu_derivative(x)).abs() < 1e-9);
            assert!((slope(gelu_tanh) - gelu_tanh_derivative(x)).abs() < 1e-9);
            assert!((gelu_tanh(x) - gelu(x)).abs() < 1e-3);
        }
        assert!((silu(1.0) - 0.731_058_578_630_004_9).abs() < 1e-15);
    }

    #[test]
    fn cross_entropy_of_equal_logits_is_the_logarithm_of_their_number() {
        let (loss, gradient) = cross_entropy(Array2::zeros((3, 8)).view(), &[0, 5, 7]);
        assert!((loss - 8.0_f64.ln()).abs() < 1e-15);
        assert!((gradient[[0, 0]] - (0.125 - 1.0) / 3.0).abs() < 1e-15);
        assert!(gradient.sum().abs() < 1e-15);
    }

    #[test]
    fn normalised_rows_have_mean_zero_and_variance_one() {
        let x = ndarray::array![[1.0, 2.0, 3.0, 10.0]];
        let y = norm(&Design::GPT2, &x, Array1::ones(4).view());
        assert!(y.sum().abs() < 1e-14);
        assert!((y.mapv(|value| value * value).sum() / 4.0 - 1.0).abs() < 1e-5);
    }
}
