//! What both ways of attending a block share: the softmax of a row of scores, and which columns a query sees. `block.rs` and
//! `pairs.rs` call it.

use std::ops::Range;

use super::attend::States;
use super::simd::{Simd, exp};

/// Vectors and padded rows are multiples of this many f32.
pub(super) const PAD: usize = 16;

/// Turns a row of scores, a multiple of `PAD`, into weights under query i's new maximum and shrinks its output to it.
///
/// # Safety
/// The CPU has `S`'s features.
#[inline(always)]
pub(super) unsafe fn soften<S: Simd>(
    scores: &mut [f32],
    i: usize,
    seen: Range<usize>,
    states: &mut States<'_>,
) {
    let width = states.width;
    // The vectors that hold `seen`; what else they hold weighs nothing.
    let from = seen.start / PAD * PAD;
    let to = seen.end.next_multiple_of(PAD);
    scores[from..seen.start].fill(f32::NEG_INFINITY);
    scores[seen.end..to].fill(f32::NEG_INFINITY);
    // SAFETY: columns are a multiple of PAD, which is a multiple of the lanes.
    unsafe {
        let old = states.max[i];
        let mut top = S::splat(old);
        for at in (from..to).step_by(S::LANES) {
            top = top.max(S::load(scores.as_ptr().add(at)));
        }
        let top = top.max_lane();
        let mut total = S::zero();
        for at in (from..to).step_by(S::LANES) {
            let p = scores.as_mut_ptr().add(at);
            let weight = exp(S::load(p).sub(S::splat(top)));
            weight.store(p);
            total = total.add(weight);
        }
        let total = total.sum();
        if top == old {
            states.total[i] += total;
            return;
        }
        let shrink = (old - top).exp();
        states.max[i] = top;
        states.total[i] = states.total[i] * shrink + total;
        let out = states.out[i * width..][..width].as_mut_ptr();
        for d in (0..width).step_by(S::LANES) {
            S::load(out.add(d)).mul(S::splat(shrink)).store(out.add(d));
        }
    }
}

/// The part of `positions` that lies in `seen`, counted from `origin`.
pub(super) fn clip(seen: Range<usize>, origin: usize, positions: &Range<usize>) -> Range<usize> {
    let start = seen.start.max(positions.start);
    start - origin..seen.end.min(positions.end).max(start) - origin
}
