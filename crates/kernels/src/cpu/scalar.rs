//! The readable twin of every kernel: what runs where there are no vectors, and what tests compare with.

use crate::format::Plain;

/// Dot product: sixteen partial sums along k, added up in order, so that compilers may vectorise it.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    for (a, b) in a.chunks(16).zip(b.chunks(16)) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

/// Outputs of one weight row for all rows of x: `y[i * n] = x[i] · w + bias`.
pub(super) fn linear_row<W: Plain>(
    x: &[f32],
    w: &[W],
    bias: f32,
    widened: &mut Vec<f32>,
    mut store: impl FnMut(usize, f32),
) {
    widened.clear();
    widened.extend(w.iter().map(|w| w.widen()));
    for (i, x) in x.chunks_exact(w.len()).enumerate() {
        store(i, dot(x, widened) + bias);
    }
}

/// One row of RMSNorm.
pub(super) fn rms_norm_row(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let scale = 1.0 / (dot(x, x) / x.len() as f32 + eps).sqrt();
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * scale * weight;
    }
}

/// `out = gate / (1 + e^-gate) * up`.
pub(super) fn silu_mul(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
        *out = gate / (1.0 + (-gate).exp()) * up;
    }
}

/// Gate and up + 1 of a pair: the gate cut above, the up on both sides; NaN passes.
#[inline(always)]
pub(super) fn clamped(pair: &[f32], limit: f32) -> (f32, f32) {
    let gate = if pair[0] > limit { limit } else { pair[0] };
    (gate, pair[1].clamp(-limit, limit) + 1.0)
}

/// `out = gate / (1 + e^(-alpha · gate)) * up`.
pub(super) fn clamped_swiglu(x: &[f32], alpha: f32, limit: f32, out: &mut [f32]) {
    for (out, pair) in out.iter_mut().zip(x.chunks_exact(2)) {
        let (gate, up) = clamped(pair, limit);
        *out = gate / (1.0 + (-alpha * gate).exp()) * up;
    }
}

/// Rotates the halves of one head.
pub(super) fn rope_head(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (first, second) = x.split_at_mut(cos.len());
    for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}

/// Softmax state of one query over the keys seen so far (Milakov & Gimelshein 2018).
pub(super) struct Softmax<'a> {
    /// Largest score.
    pub max: f32,
    /// Σ e^(score - max).
    pub total: f32,
    /// Σ e^(score - max) · value.
    pub out: &'a mut [f32],
}

impl Softmax<'_> {
    /// Takes in one key with its value.
    pub fn see(&mut self, score: f32, value: &[f32]) {
        if score > self.max || score.is_nan() {
            let shrink = (self.max - score).exp();
            self.total *= shrink;
            self.out.iter_mut().for_each(|out| *out *= shrink);
            self.max = score;
        }
        let weight = (score - self.max).exp();
        self.total += weight;
        for (out, value) in self.out.iter_mut().zip(value) {
            *out += weight * value;
        }
    }

    /// Divides by the total.
    pub fn finish(self) {
        self.out.iter_mut().for_each(|out| *out /= self.total);
    }
}
