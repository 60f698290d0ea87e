//! Attention of a task's queries with one page: widen, score, soften, gather. `attend.rs` calls it.

#![allow(clippy::needless_range_loop)] // register tiles read best by index

use std::ops::Range;

use super::attend::{Attend, Rows, States};
use super::attention::KvElement;
use super::simd::{Simd, exp};

/// Vectors and padded rows are multiples of this many f32.
pub(super) const PAD: usize = 16;

/// The queries and the page they look at.
pub(super) struct Page<'a> {
    pub q: &'a [f32],
    pub keys: &'a mut [f32],
    pub values: &'a mut [f32],
    pub scores: &'a mut [f32],
    pub width: usize,
    pub columns: usize,
}

impl Page<'_> {
    /// Lets all queries see the positions of one page.
    #[inline(always)]
    pub unsafe fn visit<S: Simd, E: KvElement>(
        &mut self,
        job: &Attend<'_, E>,
        rows: &Rows<'_>,
        positions: Range<usize>,
        states: &mut States<'_>,
    ) {
        let shape = job.shape;
        let origin = positions.start / shape.page_size * shape.page_size;
        let slots = positions.start - origin..positions.end - origin;
        let cache = job.slot(rows, positions.start);
        let len = slots.len() * shape.head_dim;
        let start = slots.start * self.width;
        // SAFETY: the page's slots are inside the cache and the page buffers.
        unsafe {
            widen::<S, E>(
                &job.keys[cache..][..len],
                shape.head_dim,
                self.width,
                &mut self.keys[start..],
            );
            widen::<S, E>(
                &job.values[cache..][..len],
                shape.head_dim,
                self.width,
                &mut self.values[start..],
            );
        }
        let queries = states.max.len();
        let mut i = 0;
        while i < queries {
            let seen = clip(rows.seen(shape, i), origin, &slots);
            if seen.is_empty() {
                i += 1;
                continue;
            }
            // Two queries that see the same slots share the loads of keys and values.
            let pair = i + 1 < queries && clip(rows.seen(shape, i + 1), origin, &slots) == seen;
            // SAFETY: queries and slots are inside the buffers.
            unsafe {
                if pair {
                    self.attend::<S, 2>(i, seen, states);
                } else {
                    self.attend::<S, 1>(i, seen, states);
                }
            }
            i += if pair { 2 } else { 1 };
        }
    }

    /// `Q` queries from `i` on, all seeing `seen`.
    #[inline(always)]
    unsafe fn attend<S: Simd, const Q: usize>(
        &mut self,
        i: usize,
        seen: Range<usize>,
        states: &mut States<'_>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            self.score::<S, Q>(i, seen.clone());
            let mut shrink = [S::zero(); Q];
            for j in 0..Q {
                shrink[j] = self.soften::<S>(i + j, seen.clone(), states);
            }
            self.gather::<S, Q>(i, seen, shrink, states.out);
        }
    }

    /// Scores of `Q` queries with the keys of `seen`; the other columns become -inf.
    #[inline(always)]
    unsafe fn score<S: Simd, const Q: usize>(&mut self, i: usize, seen: Range<usize>) {
        let (width, columns) = (self.width, self.columns);
        for j in 0..Q {
            let scores = &mut self.scores[(i + j) * columns..][..columns];
            scores[..seen.start].fill(f32::NEG_INFINITY);
            scores[seen.end..].fill(f32::NEG_INFINITY);
        }
        let q = self.q[i * width..][..Q * width].as_ptr();
        let mut key = seen.start;
        while key < seen.end {
            let count = (seen.end - key).min(4);
            // SAFETY: rows of `width`, a multiple of the lanes; past the last key it is read again.
            unsafe {
                let k = self.keys.as_ptr().add(key * width);
                let last = count - 1;
                let mut acc = [[S::zero(); 4]; Q];
                for d in (0..width).step_by(S::LANES) {
                    let k = [
                        S::load(k.add(d)),
                        S::load(k.add(1.min(last) * width + d)),
                        S::load(k.add(2.min(last) * width + d)),
                        S::load(k.add(last * width + d)),
                    ];
                    for j in 0..Q {
                        let q = S::load(q.add(j * width + d));
                        for n in 0..4 {
                            acc[j][n] = q.fma(k[n], acc[j][n]);
                        }
                    }
                }
                for j in 0..Q {
                    let sums = S::sum4(acc[j]);
                    self.scores[(i + j) * columns + key..][..count].copy_from_slice(&sums[..count]);
                }
            }
            key += count;
        }
    }

    /// Turns a query's scores into weights under its new maximum; returns what its output shrinks by.
    #[inline(always)]
    unsafe fn soften<S: Simd>(
        &mut self,
        i: usize,
        seen: Range<usize>,
        states: &mut States<'_>,
    ) -> S {
        let scores = &mut self.scores[i * self.columns..][..self.columns];
        // The vectors that hold `seen`; all else weighs nothing and is not read again.
        let from = seen.start / PAD * PAD;
        let to = seen.end.next_multiple_of(PAD);
        // SAFETY: columns are a multiple of PAD, which is a multiple of the lanes.
        unsafe {
            let mut top = S::splat(states.max[i]);
            for at in (from..to).step_by(S::LANES) {
                top = top.max(S::load(scores.as_ptr().add(at)));
            }
            let top = top.max_lane();
            let shrink = exp(S::splat(states.max[i] - top));
            let mut total = S::zero();
            for at in (from..to).step_by(S::LANES) {
                let p = scores.as_mut_ptr().add(at);
                let weight = exp(S::load(p).sub(S::splat(top)));
                weight.store(p);
                total = total.add(weight);
            }
            let mut first = [0f32; PAD];
            shrink.store(first.as_mut_ptr());
            states.max[i] = top;
            states.total[i] = states.total[i] * first[0] + total.sum();
            shrink
        }
    }

    /// `out = out · shrink + Σ weight · value` for `Q` queries, value by value in order.
    #[inline(always)]
    unsafe fn gather<S: Simd, const Q: usize>(
        &self,
        i: usize,
        seen: Range<usize>,
        shrink: [S; Q],
        out: &mut [f32],
    ) {
        let mut d = 0;
        while d < self.width {
            // SAFETY: d is a multiple of the lanes below the width.
            unsafe {
                if d + 4 * S::LANES <= self.width {
                    self.gather_columns::<S, Q, 4>(i, seen.clone(), d, shrink, out);
                    d += 4 * S::LANES;
                } else {
                    self.gather_columns::<S, Q, 1>(i, seen.clone(), d, shrink, out);
                    d += S::LANES;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn gather_columns<S: Simd, const Q: usize, const V: usize>(
        &self,
        i: usize,
        seen: Range<usize>,
        d: usize,
        shrink: [S; Q],
        out: &mut [f32],
    ) {
        let (width, columns) = (self.width, self.columns);
        let out = out[i * width..][..Q * width].as_mut_ptr();
        // SAFETY: V vectors from d on lie within the width; seen within the page.
        unsafe {
            let mut acc = [[S::zero(); V]; Q];
            for j in 0..Q {
                for v in 0..V {
                    acc[j][v] = S::load(out.add(j * width + d + v * S::LANES)).mul(shrink[j]);
                }
            }
            for key in seen {
                let value = self.values.as_ptr().add(key * width + d);
                let mut values = [S::zero(); V];
                for v in 0..V {
                    values[v] = S::load(value.add(v * S::LANES));
                }
                for j in 0..Q {
                    let weight = S::splat(*self.scores.as_ptr().add((i + j) * columns + key));
                    for v in 0..V {
                        acc[j][v] = weight.fma(values[v], acc[j][v]);
                    }
                }
            }
            for j in 0..Q {
                for v in 0..V {
                    acc[j][v].store(out.add(j * width + d + v * S::LANES));
                }
            }
        }
    }
}

/// Slots of the page at `origin` that lie both in `seen` and in `slots`.
fn clip(seen: Range<usize>, origin: usize, slots: &Range<usize>) -> Range<usize> {
    seen.start.saturating_sub(origin).max(slots.start)
        ..seen.end.saturating_sub(origin).min(slots.end)
}

/// Widens rows of `head_dim` into rows of `width`, zero-padded.
///
/// # Safety
/// `to` has a row of `width` for each row of `from`.
#[inline(always)]
unsafe fn widen<S: Simd, E: KvElement>(from: &[E], head_dim: usize, width: usize, to: &mut [f32]) {
    for (from, to) in from.chunks_exact(head_dim).zip(to.chunks_exact_mut(width)) {
        let mut d = 0;
        while d + S::LANES <= head_dim {
            // SAFETY: a whole vector lies within both rows.
            unsafe { E::in_order::<S>(from.as_ptr().add(d)).store(to.as_mut_ptr().add(d)) }
            d += S::LANES;
        }
        while d < head_dim {
            to[d] = from[d].widen();
            d += 1;
        }
        to[head_dim..].fill(0.0);
    }
}
