//! One attention task: a few rows of one KV head over their pages, segment by segment.
//! `attention.rs` cuts the tasks; `block.rs`
//! holds the vector arithmetic.

use std::ops::Range;

use super::attention::{AttentionShape, Span};
use super::block::Block;
use super::kv::KvElement;
use super::level::Level;
use super::pairs::Pairs;
use super::scalar::{Softmax, dot};
use super::scratch::{Shared, with_scratch};
use super::simd::{Kernel, Simd};
use super::soften::PAD;

/// A batch's attention: what all tasks share.
pub(super) struct Attend<'a, E> {
    pub q: &'a [f32],
    pub keys: &'a [E],
    pub values: &'a [E],
    pub shape: &'a AttentionShape,
    pub sinks: Option<&'a [f32]>,
    pub out: Shared<f32>,
}

/// A task: all query heads of one KV head for some rows of a span, over some segments.
#[derive(Clone)]
pub(super) struct Rows<'a> {
    pub span: &'a Span<'a>,
    pub kv_head: usize,
    pub rows: Range<usize>,
    pub segments: Range<usize>,
}

/// How a task's queries look at a block of the cache.
pub(super) trait Visit<E> {
    /// Whether it needs products of pairs of bf16.
    const PAIRS: bool;

    /// Takes the task's queries.
    ///
    /// # Safety
    /// As [`Visit::visit`].
    unsafe fn begin<S: Simd>(&mut self, job: &Attend<'_, E>, rows: &Rows<'_>);

    /// Lets all queries see `positions` of one block.
    ///
    /// # Safety
    /// The spans were checked, the buffers have their sizes, the CPU has `S`'s features.
    unsafe fn visit<S: Simd>(
        &mut self,
        job: &Attend<'_, E>,
        rows: &Rows<'_>,
        positions: Range<usize>,
        states: &mut States<'_>,
    );
}

impl Rows<'_> {
    fn queries(&self, shape: &AttentionShape) -> usize {
        self.rows.len() * shape.group()
    }

    /// f32 of the softmax state of these queries: an output, a maximum and a total each.
    pub(super) fn state_len(&self, shape: &AttentionShape) -> usize {
        self.queries(shape) * (shape.head_dim.next_multiple_of(PAD) + 2)
    }

    /// Start in q and out of query `i`: rows outside, heads of the group inside.
    pub(super) fn offset(&self, shape: &AttentionShape, i: usize) -> usize {
        let row = self.span.first_row + self.rows.start + i / shape.group();
        (row * shape.heads + self.head(shape, i)) * shape.head_dim
    }

    fn head(&self, shape: &AttentionShape, i: usize) -> usize {
        self.kv_head * shape.group() + i % shape.group()
    }

    /// Positions that query `i` sees.
    pub(super) fn seen(&self, shape: &AttentionShape, i: usize) -> Range<usize> {
        let position = self.span.position(self.rows.start + i / shape.group());
        shape.first_seen(position)..position + 1
    }
}

/// Softmax states `[queries]`: outputs `[queries, width]`, then maxima, then totals.
pub(super) struct States<'a> {
    pub out: &'a mut [f32],
    pub max: &'a mut [f32],
    pub total: &'a mut [f32],
    pub width: usize,
}

impl<'a> States<'a> {
    fn new(memory: &'a mut [f32], queries: usize, width: usize) -> Self {
        let (out, rest) = memory.split_at_mut(queries * width);
        let (max, total) = rest.split_at_mut(queries);
        Self {
            out,
            max,
            total: &mut total[..queries],
            width,
        }
    }

    /// Nothing seen.
    fn clear(&mut self) {
        self.out.fill(0.0);
        self.max.fill(f32::NEG_INFINITY);
        self.total.fill(0.0);
    }

    /// Nothing seen but the sinks.
    fn start<E>(&mut self, job: &Attend<'_, E>, rows: &Rows<'_>) {
        self.clear();
        if let Some(sinks) = job.sinks {
            self.total.fill(1.0);
            for (i, max) in self.max.iter_mut().enumerate() {
                *max = sinks[rows.head(job.shape, i)];
            }
        }
    }

    /// Takes in a later segment's maxima, totals and outputs.
    fn merge(&mut self, max: &[f32], total: &[f32], out: &[f32]) {
        for i in 0..self.max.len() {
            if total[i] == 0.0 {
                continue; // the query sees nothing of that segment
            }
            let top = self.max[i].max(max[i]);
            let (ours, theirs) = ((self.max[i] - top).exp(), (max[i] - top).exp());
            self.max[i] = top;
            self.total[i] = self.total[i] * ours + total[i] * theirs;
            let range = i * self.width..(i + 1) * self.width;
            for (a, b) in self.out[range.clone()].iter_mut().zip(&out[range]) {
                *a = *a * ours + b * theirs;
            }
        }
    }

    /// Divides by the totals and writes the rows out.
    ///
    /// # Safety
    /// No other task writes these queries.
    unsafe fn finish<E>(&self, job: &Attend<'_, E>, rows: &Rows<'_>) {
        for (i, total) in self.total.iter().enumerate() {
            let offset = rows.offset(job.shape, i);
            let from = &self.out[i * self.width..][..job.shape.head_dim];
            for (d, value) in from.iter().enumerate() {
                // SAFETY: the span was checked against the batch; the query is this task's own.
                unsafe { *job.out.start().add(offset + d) = value / total }
            }
        }
    }
}

/// Merges the states of all segments of a unit that was cut in pieces, and writes its rows.
///
/// # Safety
/// As [`Attend::whole`].
pub(super) unsafe fn finish_rows<E>(job: &Attend<'_, E>, rows: &Rows<'_>, segments: &[f32]) {
    let queries = rows.queries(job.shape);
    let width = job.shape.head_dim.next_multiple_of(PAD);
    with_scratch(rows.state_len(job.shape), |memory| {
        let mut states = States::new(memory, queries, width);
        states.start(job, rows);
        for segment in segments.chunks_exact(rows.state_len(job.shape)) {
            let (out, rest) = segment.split_at(queries * width);
            states.merge(&rest[..queries], &rest[queries..], out);
        }
        // SAFETY: the caller's promise.
        unsafe { states.finish(job, rows) }
    });
}

/// Reads all keys one by one: the twin of the vector path.
///
/// # Safety
/// As [`Attend::whole`].
pub(super) unsafe fn scalar_rows<E: KvElement>(job: &Attend<'_, E>, rows: &Rows<'_>) {
    let shape = job.shape;
    let (mut key, mut value) = (vec![0f32; shape.head_dim], vec![0f32; shape.head_dim]);
    for i in 0..rows.queries(shape) {
        let offset = rows.offset(shape, i);
        let q = &job.q[offset..][..shape.head_dim];
        // SAFETY: the span was checked against the batch; the query is this task's own.
        let out =
            unsafe { std::slice::from_raw_parts_mut(job.out.start().add(offset), shape.head_dim) };
        out.fill(0.0);
        let sink = job.sinks.map(|sinks| sinks[rows.head(shape, i)]);
        let mut state = Softmax {
            max: sink.unwrap_or(f32::NEG_INFINITY),
            total: if sink.is_some() { 1.0 } else { 0.0 },
            out,
        };
        for position in rows.seen(shape, i) {
            let (at, held) = (job.slot(rows, position), job.held());
            E::widen(&job.keys[at..][..held], &mut key);
            E::widen(&job.values[at..][..held], &mut value);
            state.see(dot(q, &key) * shape.scale, &value);
        }
        state.finish();
    }
}

impl<E: KvElement> Attend<'_, E> {
    /// How many of the cache's elements a row is of.
    pub(super) fn held(&self) -> usize {
        self.shape.head_dim / E::HOLDS
    }

    /// Start in the cache of `position`'s key and value.
    pub(super) fn slot(&self, rows: &Rows<'_>, position: usize) -> usize {
        let AttentionShape {
            kv_heads,
            page_size,
            ..
        } = *self.shape;
        let page = rows.span.page_table[position / page_size] as usize;
        ((page * kv_heads + rows.kv_head) * page_size + position % page_size) * self.held()
    }

    /// Runs all segments of a unit and writes its rows.
    ///
    /// # Safety
    /// The spans were checked against batch and cache, no other task writes these rows, and the level
    /// has vectors.
    pub(super) unsafe fn whole(&self, level: Level, rows: &Rows<'_>) {
        // SAFETY: the caller's promise.
        unsafe { self.start(level, rows, None) }
    }

    /// Runs some segments of a unit and leaves the state of each at `states`.
    ///
    /// # Safety
    /// As [`Attend::whole`]; `states` has `state_len` f32 a segment, this task's own.
    pub(super) unsafe fn piece(&self, level: Level, rows: &Rows<'_>, states: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { self.start(level, rows, Some(states)) }
    }

    unsafe fn start(&self, level: Level, rows: &Rows<'_>, kept: Option<*mut f32>) {
        let shape = self.shape;
        let width = shape.head_dim.next_multiple_of(PAD);
        let queries = rows.queries(shape);
        let pairs = shape.rounds && E::PAIRS && level.has_pairs();
        let own = match pairs {
            true => Pairs::len(shape, queries),
            false => Block::len(shape, queries),
        };
        // Every part starts on a line of its own.
        let own = own.next_multiple_of(PAD);
        let state = rows.state_len(shape).next_multiple_of(PAD);
        with_scratch(own + 2 * state, |memory| {
            let (own, memory) = memory.split_at_mut(own);
            let (segment, all) = memory.split_at_mut(state);
            let segment = States::new(segment, queries, width);
            let all = States::new(all, queries, width);
            // SAFETY: the caller's promise.
            unsafe {
                if pairs {
                    level.run(Task {
                        job: self,
                        rows,
                        block: Pairs::new(own, shape, queries),
                        segment,
                        all,
                        kept,
                    })
                } else {
                    level.run(Task {
                        job: self,
                        rows,
                        block: Block::new(own, shape, queries),
                        segment,
                        all,
                        kept,
                    })
                }
            }
        });
    }
}

/// A task with its memory, ready for vectors.
struct Task<'a, 'b, E, B> {
    job: &'a Attend<'a, E>,
    rows: &'a Rows<'a>,
    block: B,
    /// States within the segment and over all segments.
    segment: States<'b>,
    all: States<'b>,
    /// Where the state of each segment is left, if another pass merges them.
    kept: Option<*mut f32>,
}

impl<E: KvElement, B: Visit<E>> Kernel for Task<'_, '_, E, B> {
    const PAIRS: bool = B::PAIRS;

    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        let (job, rows, shape) = (self.job, self.rows, self.job.shape);
        self.all.start(job, rows);
        // SAFETY: the caller's promise.
        unsafe { self.block.begin::<S>(job, rows) }
        let last = rows.queries(shape) - 1;
        for number in rows.segments.clone() {
            self.segment.clear();
            let end = ((number + 1) * shape.segment()).min(rows.seen(shape, last).end);
            let mut at = (number * shape.segment()).max(rows.seen(shape, 0).start);
            while at < end {
                let stop = end.min((at / shape.block() + 1) * shape.block());
                // SAFETY: positions at..stop lie in one block that some query of the task sees.
                unsafe {
                    self.block
                        .visit::<S>(job, rows, at..stop, &mut self.segment)
                }
                at = stop;
            }
            let Some(kept) = self.kept else {
                self.all
                    .merge(self.segment.max, self.segment.total, self.segment.out);
                continue;
            };
            let len = rows.state_len(shape);
            let nth = number - rows.segments.start;
            // SAFETY: the caller gave a state a segment.
            let kept = unsafe { std::slice::from_raw_parts_mut(kept.add(nth * len), len) };
            let kept = States::new(kept, last + 1, self.segment.width);
            kept.out.copy_from_slice(self.segment.out);
            kept.max.copy_from_slice(self.segment.max);
            kept.total.copy_from_slice(self.segment.total);
        }
        if self.kept.is_none() {
            // SAFETY: the caller's promise.
            unsafe { self.all.finish(job, rows) }
        }
    }
}
