//! Attention of a task's queries with one block of pages: score, soften, gather. `attend.rs` calls it.
//!
//! Pages are widened to f32 one at a time and stay in L1 while all queries of the task use them.

#![allow(clippy::needless_range_loop)] // register tiles read best by index

use std::ops::Range;

use super::ahead::Ahead;
use super::attend::{Attend, Rows, States, Visit};
use super::attention::AttentionShape;
use super::kv::KvElement;
use super::simd::Simd;
use super::soften::{PAD, clip, soften};

/// The queries and the block of keys they look at.
pub(super) struct Block<'a> {
    /// Scaled queries `[queries, width]`.
    q: &'a mut [f32],
    /// One widened page of keys or values `[page_size, width]`.
    page: &'a mut [f32],
    /// Scores, then weights, of the block `[queries, columns]`.
    scores: &'a mut [f32],
    width: usize,
    columns: usize,
}

impl<'a> Block<'a> {
    /// f32 of the queries, of a page and of the scores: tiles of four keys may run over the end of a page. Every part starts
    /// on a line of its own.
    fn sizes(shape: &AttentionShape, queries: usize) -> [usize; 3] {
        let width = shape.head_dim.next_multiple_of(PAD);
        let page = shape.page_size.next_multiple_of(4) * width;
        let columns = shape.block().next_multiple_of(PAD) + PAD;
        [
            queries * width,
            page.next_multiple_of(PAD),
            queries * columns,
        ]
    }

    /// f32 of memory for so many queries.
    pub(super) fn len(shape: &AttentionShape, queries: usize) -> usize {
        Self::sizes(shape, queries).iter().sum()
    }

    pub(super) fn new(memory: &'a mut [f32], shape: &AttentionShape, queries: usize) -> Self {
        let sizes = Self::sizes(shape, queries);
        let (q, memory) = memory.split_at_mut(sizes[0]);
        let (page, scores) = memory.split_at_mut(sizes[1]);
        Self {
            q,
            page,
            scores: &mut scores[..sizes[2]],
            width: shape.head_dim.next_multiple_of(PAD),
            columns: sizes[2] / queries,
        }
    }
}

impl<E: KvElement> Visit<E> for Block<'_> {
    const PAIRS: bool = false;

    /// Copies the task's queries, scaled, into rows of `width`.
    #[inline(always)]
    unsafe fn begin<S: Simd>(&mut self, job: &Attend<'_, E>, rows: &Rows<'_>) {
        let head_dim = job.shape.head_dim;
        for (i, to) in self.q.chunks_exact_mut(self.width).enumerate() {
            let from = &job.q[rows.offset(job.shape, i)..][..head_dim];
            to[head_dim..].fill(0.0);
            for (to, from) in to.iter_mut().zip(from) {
                *to = from * job.shape.scale;
            }
        }
    }

    #[inline(always)]
    unsafe fn visit<S: Simd>(
        &mut self,
        job: &Attend<'_, E>,
        rows: &Rows<'_>,
        positions: Range<usize>,
        states: &mut States<'_>,
    ) {
        let page_size = job.shape.page_size;
        let origin = positions.start / job.shape.block() * job.shape.block();
        let queries = states.max.len();
        let end_of_page = |at: usize| positions.end.min((at / page_size + 1) * page_size);
        let mut at = positions.start;
        while at < positions.end {
            // SAFETY: the caller's promise; one page at a time.
            unsafe { self.score_page::<S, E>(job, rows, at..end_of_page(at), queries, origin) }
            at = end_of_page(at);
        }
        for i in 0..queries {
            let seen = clip(rows.seen(job.shape, i), origin, &positions);
            if !seen.is_empty() {
                let scores = &mut self.scores[i * self.columns..][..self.columns];
                // SAFETY: the caller's promise.
                unsafe { soften::<S>(scores, i, seen, states) }
            }
        }
        let mut at = positions.start;
        while at < positions.end {
            // SAFETY: as above.
            unsafe { self.gather_page::<S, E>(job, rows, at..end_of_page(at), origin, states) }
            at = end_of_page(at);
        }
    }
}

impl Block<'_> {
    /// Scores of all queries with the keys at `positions` of one page.
    #[inline(always)]
    unsafe fn score_page<S: Simd, E: KvElement>(
        &mut self,
        job: &Attend<'_, E>,
        rows: &Rows<'_>,
        positions: Range<usize>,
        queries: usize,
        origin: usize,
    ) {
        let shape = job.shape;
        let page = positions.start / shape.page_size * shape.page_size;
        let cached = job.slot(rows, positions.start);
        let len = positions.len() * job.held();
        let next = page + shape.page_size;
        let following = if next < rows.seen(shape, queries - 1).end {
            job.slot(rows, next)
        } else {
            cached
        };
        let mut ahead = Ahead::new(
            job.keys.as_ptr().wrapping_add(following),
            job.values.as_ptr().wrapping_add(cached),
            len,
            queries * positions.len() / 16,
        );
        let start = (positions.start - page) * self.width;
        // SAFETY: the positions lie in one page, inside the cache and the page buffer.
        unsafe {
            let keys = &job.keys[cached..][..len];
            widen::<S, E>(keys, shape.head_dim, self.width, &mut self.page[start..]);
        }
        let mut i = 0;
        while i < queries {
            let tile = [4, 2, 1]
                .into_iter()
                .find(|tile| i + tile <= queries)
                .unwrap_or(1);
            let seen = rows.seen(shape, i).start..rows.seen(shape, i + tile - 1).end;
            let seen = clip(seen, page, &positions);
            if !seen.is_empty() {
                // SAFETY: queries and keys are inside the buffers.
                unsafe {
                    match tile {
                        4 => self.score::<S, 4>(i, seen, page - origin, &mut ahead),
                        2 => self.score::<S, 2>(i, seen, page - origin, &mut ahead),
                        _ => self.score::<S, 1>(i, seen, page - origin, &mut ahead),
                    }
                }
            }
            i += tile;
        }
    }

    /// Scores of `Q` queries from `i` on with the keys `seen` of the page whose first column is given.
    #[inline(always)]
    unsafe fn score<S: Simd, const Q: usize>(
        &mut self,
        i: usize,
        seen: Range<usize>,
        column: usize,
        ahead: &mut Ahead,
    ) {
        let (width, columns) = (self.width, self.columns);
        let q = self.q[i * width..][..Q * width].as_ptr();
        let scores = self.scores[i * columns..][..Q * columns].as_mut_ptr();
        // Whole tiles of four; what they compute outside `seen` is overwritten by `soften`.
        for key in (seen.start / 4 * 4..seen.end).step_by(4) {
            // SAFETY: rows of `width`, a multiple of the lanes; the page has whole tiles of keys and
            // a row of scores has room for a tile that ends past the block.
            unsafe {
                ahead.step::<S>();
                let k = self.page.as_ptr().add(key * width);
                let mut acc = [[S::zero(); 4]; Q];
                let mut d = 0;
                while d < width {
                    let mut keys = [S::zero(); 4];
                    for n in 0..4 {
                        keys[n] = S::load(k.add(n * width + d));
                    }
                    for j in 0..Q {
                        let q = S::load(q.add(j * width + d));
                        for n in 0..4 {
                            acc[j][n] = q.fma(keys[n], acc[j][n]);
                        }
                    }
                    d += S::LANES;
                }
                let to = scores.add(column + key);
                if Q == 4 {
                    let sums = S::sum16([acc[0], acc[1 % Q], acc[2 % Q], acc[3 % Q]]);
                    for j in 0..Q {
                        std::ptr::copy_nonoverlapping(sums[j].as_ptr(), to.add(j * columns), 4);
                    }
                } else {
                    for j in 0..Q {
                        let sums = S::sum4(acc[j]);
                        std::ptr::copy_nonoverlapping(sums.as_ptr(), to.add(j * columns), 4);
                    }
                }
            }
        }
    }

    /// Adds the weighted values at `positions` of one page to all outputs.
    #[inline(always)]
    unsafe fn gather_page<S: Simd, E: KvElement>(
        &mut self,
        job: &Attend<'_, E>,
        rows: &Rows<'_>,
        positions: Range<usize>,
        origin: usize,
        states: &mut States<'_>,
    ) {
        let shape = job.shape;
        let page = positions.start / shape.page_size * shape.page_size;
        let cached = job.slot(rows, positions.start);
        let start = (positions.start - page) * self.width;
        // SAFETY: the positions lie in one page, inside the cache and the page buffer.
        unsafe {
            let values = &job.values[cached..][..positions.len() * job.held()];
            widen::<S, E>(values, shape.head_dim, self.width, &mut self.page[start..]);
        }
        let queries = states.max.len();
        let next = page + shape.page_size;
        let end = rows
            .seen(shape, queries - 1)
            .end
            .min(origin + shape.block());
        let following = if next < end {
            job.slot(rows, next)
        } else {
            cached
        };
        let following = job.values.as_ptr().wrapping_add(following);
        let len = positions.len() * job.held();
        let mut ahead = Ahead::new(following, following, len, queries / 2);
        let mut i = 0;
        while i < queries {
            let seen = clip(rows.seen(shape, i), page, &positions);
            // SAFETY: any address may be prefetched.
            unsafe { ahead.step::<S>() }
            // Two queries that see the same values share their loads.
            let pair = i + 1 < queries && clip(rows.seen(shape, i + 1), page, &positions) == seen;
            if !seen.is_empty() {
                // SAFETY: queries and values are inside the buffers.
                unsafe {
                    if pair {
                        self.gather::<S, 2>(i, seen, page - origin, states.out);
                    } else {
                        self.gather::<S, 1>(i, seen, page - origin, states.out);
                    }
                }
            }
            i += if pair { 2 } else { 1 };
        }
    }

    /// `out += Σ weight · value` for `Q` queries, value by value in order.
    #[inline(always)]
    unsafe fn gather<S: Simd, const Q: usize>(
        &self,
        i: usize,
        seen: Range<usize>,
        column: usize,
        out: &mut [f32],
    ) {
        let mut d = 0;
        while d < self.width {
            // SAFETY: d is a multiple of the lanes below the width.
            unsafe {
                if d + 4 * S::LANES <= self.width {
                    self.gather_columns::<S, Q, 4>(i, seen.clone(), column, d, out);
                    d += 4 * S::LANES;
                } else {
                    self.gather_columns::<S, Q, 1>(i, seen.clone(), column, d, out);
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
        column: usize,
        d: usize,
        out: &mut [f32],
    ) {
        let (width, columns) = (self.width, self.columns);
        let out = out[i * width..][..Q * width].as_mut_ptr();
        let weights = self.scores[i * columns..][..Q * columns]
            .as_ptr()
            .wrapping_add(column);
        // SAFETY: V vectors from d on lie within the width; seen within the page.
        unsafe {
            let mut acc = [[S::zero(); V]; Q];
            for j in 0..Q {
                for v in 0..V {
                    acc[j][v] = S::load(out.add(j * width + d + v * S::LANES));
                }
            }
            for key in seen {
                let value = self.page.as_ptr().add(key * width + d);
                let mut values = [S::zero(); V];
                for v in 0..V {
                    values[v] = S::load(value.add(v * S::LANES));
                }
                for j in 0..Q {
                    let weight = S::splat(*weights.add(j * columns + key));
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

/// Widens rows of `head_dim` into rows of `width`, zero-padded.
///
/// # Safety
/// `to` has a row of `width` for each row of `from`; the CPU has `S`'s features.
#[inline(always)]
unsafe fn widen<S: Simd, E: KvElement>(from: &[E], head_dim: usize, width: usize, to: &mut [f32]) {
    let held = head_dim / E::HOLDS;
    for (from, to) in from.chunks_exact(held).zip(to.chunks_exact_mut(width)) {
        let mut d = 0;
        while d + S::LANES <= head_dim {
            // SAFETY: a whole vector lies within both rows.
            unsafe { E::vector::<S>(from.as_ptr(), d).store(to.as_mut_ptr().add(d)) }
            d += S::LANES;
        }
        if d < width {
            // Blocks are whole vectors.
            if d < head_dim {
                E::widen(&from[d / E::HOLDS..], &mut to[d..head_dim]);
            }
            to[head_dim..].fill(0.0);
        }
    }
}
