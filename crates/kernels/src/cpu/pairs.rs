//! Attention of a task's queries with one block of a cache of bf16 or eight bits, in products of pairs of bf16. `attend.rs` calls it where the
//! CPU has them and the caller lets queries and weights be rounded; `block.rs` is its f32 brother.
//!
//! Keys are laid out so that a lane is a key, values so that a lane is an element: no sum runs over lanes. A score adds
//! its pairs of elements in order, an output its pairs of positions; what a query does not see weighs zero.

#![allow(clippy::needless_range_loop)] // register tiles read best by index

use std::ops::Range;

use super::attend::{Attend, Rows, States, Visit};
use super::attention::AttentionShape;
use super::cached::{CHUNK, Cached, LANES};
use super::kv::KvElement;
use super::simd::Simd;
use super::soften::{clip, soften};

/// The queries and the block they look at. A pair is two bf16 in the place of an f32.
pub(super) struct Pairs<'a> {
    /// Scaled queries `[queries, wide / 2]`, pairs of elements.
    q: &'a mut [f32],
    /// `[columns / 16, wide / 2, 16]`, pairs of elements of sixteen keys.
    keys: &'a mut [f32],
    /// `[columns / 2, wide]`, pairs of positions.
    values: &'a mut [f32],
    /// Scores, then weights `[queries, columns]`.
    scores: &'a mut [f32],
    /// Weights `[queries, columns / 2]`, pairs of positions.
    weights: &'a mut [f32],
    /// Columns of the block that each query sees.
    seen: Vec<Range<usize>>,
    wide: usize,
    columns: usize,
}

impl<'a> Pairs<'a> {
    fn sizes(shape: &AttentionShape, queries: usize) -> [usize; 5] {
        let wide = shape.head_dim.next_multiple_of(CHUNK);
        let columns = shape.block().next_multiple_of(CHUNK);
        [
            queries * wide / 2,
            columns * wide / 2,
            columns / 2 * wide,
            queries * columns,
            queries * columns / 2,
        ]
    }

    /// f32 of memory for so many queries.
    pub(super) fn len(shape: &AttentionShape, queries: usize) -> usize {
        Self::sizes(shape, queries).iter().sum()
    }

    pub(super) fn new(memory: &'a mut [f32], shape: &AttentionShape, queries: usize) -> Self {
        let sizes = Self::sizes(shape, queries);
        let (q, memory) = memory.split_at_mut(sizes[0]);
        let (keys, memory) = memory.split_at_mut(sizes[1]);
        let (values, memory) = memory.split_at_mut(sizes[2]);
        let (scores, weights) = memory.split_at_mut(sizes[3]);
        Self {
            q,
            keys,
            values,
            scores,
            weights: &mut weights[..sizes[4]],
            seen: vec![0..0; queries],
            wide: shape.head_dim.next_multiple_of(CHUNK),
            columns: shape.block().next_multiple_of(CHUNK),
        }
    }
}

/// A vector, zero where the part is shorter.
///
/// # Safety
/// The CPU has `S`'s features.
#[inline(always)]
unsafe fn load<S: Simd>(part: &[f32]) -> S {
    // SAFETY: parts are read where they are no whole vectors.
    unsafe {
        match part.len() {
            LANES => S::load(part.as_ptr()),
            len => S::load_part(part.as_ptr(), len),
        }
    }
}

// Vectors are never made in closures: those would be compiled without the instruction set's features.
impl<E: KvElement> Visit<E> for Pairs<'_> {
    const PAIRS: bool = true;

    #[inline(always)]
    unsafe fn begin<S: Simd>(&mut self, job: &Attend<'_, E>, rows: &Rows<'_>) {
        assert!(E::PAIRS, "attention: the cache is not multiplied as bf16");
        let head_dim = job.shape.head_dim;
        for (i, to) in self.q.chunks_exact_mut(self.wide / 2).enumerate() {
            let from = &job.q[rows.offset(job.shape, i)..][..head_dim];
            for (from, to) in from.chunks(CHUNK).zip(to.chunks_exact_mut(LANES)) {
                let (low, high) = from.split_at(from.len().min(LANES));
                // SAFETY: parts are read where they are no whole vectors.
                unsafe {
                    let scale = S::splat(job.shape.scale);
                    let (low, high) = (load::<S>(low).mul(scale), load::<S>(high).mul(scale));
                    S::narrow(low, high).store(to.as_mut_ptr());
                }
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
        let shape = job.shape;
        let (block, queries) = (shape.block(), states.max.len());
        let origin = positions.start / block * block;
        let group = shape.group();
        for (row, seen) in self.seen.chunks_mut(group).enumerate() {
            seen.fill(clip(rows.seen(shape, row * group), origin, &positions));
        }
        let last = rows.seen(shape, queries - 1).end;
        let cached = |cache, origin, positions| Cached {
            rows,
            job,
            cache,
            origin,
            positions,
        };
        let (keys, values) = (
            cached(job.keys, origin, positions.clone()),
            cached(job.values, origin, positions.clone()),
        );
        let next = origin + block;
        let following = cached(job.keys, next, next..last.min(next + block).max(next));
        let all = positions.start - origin..positions.end - origin;
        // SAFETY: the caller's promise; columns are those of the block, queries those of the task.
        unsafe {
            self.lay_keys::<S, E>(&keys, &values, all.clone());
            let mut i = 0;
            while i < queries {
                let mut tile = 8;
                while i + tile > queries {
                    tile /= 2;
                }
                let (mut start, mut end) = (usize::MAX, 0);
                for seen in &self.seen[i..i + tile] {
                    if !seen.is_empty() {
                        (start, end) = (start.min(seen.start), end.max(seen.end));
                    }
                }
                if start < end {
                    let groups = start / LANES..end.div_ceil(LANES);
                    match tile {
                        8 => self.score::<S, 8>(i, groups),
                        4 => self.score::<S, 4>(i, groups),
                        2 => self.score::<S, 2>(i, groups),
                        _ => self.score::<S, 1>(i, groups),
                    }
                }
                i += tile;
            }
            for i in 0..queries {
                let seen = self.seen[i].clone();
                if !seen.is_empty() {
                    self.weigh::<S>(i, seen, states);
                }
            }
            self.lay_values::<S, E>(&following, &values, all);
            let mut i = 0;
            while i < queries {
                let own = self.seen[i].clone();
                let mut tile = 4;
                while i + tile > queries || self.seen[i + tile - 1] != own {
                    tile /= 2;
                }
                if !own.is_empty() {
                    let pairs = own.start / 2..own.end.div_ceil(2);
                    match tile {
                        4 => self.gather::<S, 4>(i, pairs, states),
                        2 => self.gather::<S, 2>(i, pairs, states),
                        _ => self.gather::<S, 1>(i, pairs, states),
                    }
                }
                i += tile;
            }
        }
    }
}

impl Pairs<'_> {
    /// Lays the keys of some columns out, and asks for their values.
    #[inline(always)]
    unsafe fn lay_keys<S: Simd, E: KvElement>(
        &mut self,
        keys: &Cached<'_, E>,
        values: &Cached<'_, E>,
        columns: Range<usize>,
    ) {
        for group in columns.start / LANES..columns.end.div_ceil(LANES) {
            let rows = keys.rows::<LANES>(group * LANES);
            let to = &mut self.keys[group * LANES * self.wide / 2..][..LANES * self.wide / 2];
            for (chunk, to) in to.chunks_exact_mut(LANES * LANES).enumerate() {
                // SAFETY: the caller's promise; `to` is sixteen vectors.
                unsafe {
                    let mut chunks = [S::zero(); LANES];
                    for (row, vector) in rows.iter().zip(&mut chunks) {
                        *vector = Cached::chunk::<S>(*row, chunk * CHUNK);
                    }
                    for (n, vector) in S::transpose(chunks).into_iter().enumerate() {
                        vector.store(to.as_mut_ptr().add(n * LANES));
                    }
                }
            }
            // SAFETY: the caller's promise.
            unsafe { values.ask::<S, LANES>(group * LANES) }
        }
    }

    /// Scores of `Q` queries from `i` on with some groups of keys.
    #[inline(always)]
    unsafe fn score<S: Simd, const Q: usize>(&mut self, i: usize, groups: Range<usize>) {
        let mut group = groups.start;
        // SAFETY: the caller's promise.
        unsafe {
            while group + 2 <= groups.end {
                self.score_groups::<S, Q, 2>(i, group);
                group += 2;
            }
            if group < groups.end {
                self.score_groups::<S, Q, 1>(i, group);
            }
        }
    }

    #[inline(always)]
    unsafe fn score_groups<S: Simd, const Q: usize, const G: usize>(
        &mut self,
        i: usize,
        group: usize,
    ) {
        let half = self.wide / 2;
        let q = self.q[i * half..][..Q * half].as_ptr();
        let keys = self.keys[group * half * LANES..][..G * half * LANES].as_ptr();
        let scores = self.scores[i * self.columns..][..Q * self.columns].as_mut_ptr();
        // SAFETY: G groups of `half` vectors, Q rows of `half` pairs; each group's scores are a vector of a row.
        unsafe {
            let mut acc = [[S::zero(); G]; Q];
            for d in 0..half {
                let mut key = [S::zero(); G];
                for g in 0..G {
                    key[g] = S::load(keys.add((g * half + d) * LANES));
                }
                for j in 0..Q {
                    let q = S::splat(*q.add(j * half + d));
                    for g in 0..G {
                        acc[j][g] = acc[j][g].add_pairs(key[g], q);
                    }
                }
            }
            for j in 0..Q {
                for g in 0..G {
                    acc[j][g].store(scores.add(j * self.columns + (group + g) * LANES));
                }
            }
        }
    }

    /// Turns a query's scores into weights, and those into pairs.
    #[inline(always)]
    unsafe fn weigh<S: Simd>(&mut self, i: usize, seen: Range<usize>, states: &mut States<'_>) {
        let scores = &mut self.scores[i * self.columns..][..self.columns];
        let weights = &mut self.weights[i * self.columns / 2..][..self.columns / 2];
        let chunks = seen.start / CHUNK..seen.end.div_ceil(CHUNK);
        // SAFETY: whole chunks of a row.
        unsafe {
            soften::<S>(scores, i, seen.clone(), states);
            scores[chunks.start * CHUNK..seen.start].fill(0.0);
            scores[seen.end..chunks.end * CHUNK].fill(0.0);
            for chunk in chunks {
                let from = scores.as_ptr().add(chunk * CHUNK);
                S::narrow(S::load(from), S::load(from.add(LANES)))
                    .store(weights.as_mut_ptr().add(chunk * LANES));
            }
        }
    }

    /// Lays the values of some columns out, and asks for the keys of the next block.
    #[inline(always)]
    unsafe fn lay_values<S: Simd, E: KvElement>(
        &mut self,
        following: &Cached<'_, E>,
        values: &Cached<'_, E>,
        columns: Range<usize>,
    ) {
        for group in columns.start / LANES..columns.end.div_ceil(LANES) {
            let rows = values.rows::<LANES>(group * LANES);
            let to = &mut self.values[group * LANES / 2 * self.wide..][..LANES / 2 * self.wide];
            for (pair, to) in rows.chunks_exact(2).zip(to.chunks_exact_mut(self.wide)) {
                for (chunk, to) in to.chunks_exact_mut(CHUNK).enumerate() {
                    // SAFETY: the caller's promise; `to` is two vectors.
                    unsafe {
                        let first = Cached::chunk::<S>(pair[0], chunk * CHUNK);
                        let second = Cached::chunk::<S>(pair[1], chunk * CHUNK);
                        let [low, high] = S::interleave(first, second);
                        low.store(to.as_mut_ptr());
                        high.store(to.as_mut_ptr().add(LANES));
                    }
                }
            }
            // SAFETY: the caller's promise.
            unsafe { following.ask::<S, LANES>(group * LANES) }
        }
    }

    /// `out += Σ weight · value` for `Q` queries from `i` on, pair by pair in order.
    #[inline(always)]
    unsafe fn gather<S: Simd, const Q: usize>(
        &self,
        i: usize,
        pairs: Range<usize>,
        states: &mut States<'_>,
    ) {
        let width = states.width;
        let out = &mut states.out[i * width..][..Q * width];
        let mut d = 0;
        while d < width {
            // SAFETY: d is a multiple of the lanes below the width.
            unsafe {
                if d + 4 * LANES <= width {
                    self.gather_columns::<S, Q, 4>(i, pairs.clone(), d, out);
                    d += 4 * LANES;
                } else {
                    self.gather_columns::<S, Q, 1>(i, pairs.clone(), d, out);
                    d += LANES;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn gather_columns<S: Simd, const Q: usize, const V: usize>(
        &self,
        i: usize,
        pairs: Range<usize>,
        d: usize,
        out: &mut [f32],
    ) {
        let (wide, columns) = (self.wide, self.columns / 2);
        let width = out.len() / Q;
        let out = out.as_mut_ptr();
        let weights = self.weights[i * columns..][..Q * columns].as_ptr();
        let values = self.values[..pairs.end * wide].as_ptr();
        // SAFETY: V vectors from d on lie within the width, pairs within the block.
        unsafe {
            let mut acc = [[S::zero(); V]; Q];
            for j in 0..Q {
                for v in 0..V {
                    acc[j][v] = S::load(out.add(j * width + d + v * LANES));
                }
            }
            for pair in pairs {
                let mut value = [S::zero(); V];
                for v in 0..V {
                    value[v] = S::load(values.add(pair * wide + d + v * LANES));
                }
                for j in 0..Q {
                    let weight = S::splat(*weights.add(j * columns + pair));
                    for v in 0..V {
                        acc[j][v] = acc[j][v].add_pairs(value[v], weight);
                    }
                }
            }
            for j in 0..Q {
                for v in 0..V {
                    acc[j][v].store(out.add(j * width + d + v * LANES));
                }
            }
        }
    }
}
