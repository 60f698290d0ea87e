//! Paged attention: shapes, checks, the writing of the cache, and how the reading is cut into tasks.
//! `attend.rs` runs one task.
//!
//! # Order of reduction
//! Positions are cut into blocks of about `BLOCK` (whole pages), and blocks into segments of about
//! `SEGMENT`, all counted from position 0. A query softmaxes block by block inside a segment and merges
//! segments in order. This
//! order depends on the query's position only, so neither the chunks a prompt came in nor the way
//! segments were handed to threads change a bit.

use std::ops::Range;

use rayon::prelude::*;

use super::attend::{Attend, Rows, finish_rows, scalar_rows};
use super::elementwise::rotate_rows;
use super::kv::KvElement;
use super::level::Level;
use super::scratch::{Shared, with_scratch};

/// Positions of a block, whose scores are softmaxed at once.
const BLOCK: usize = 128;
/// Positions of a segment, the least that is handed to a thread of its own.
const SEGMENT: usize = 512;
/// Queries (rows × heads of one KV head) that share the widened pages of one task.
const QUERIES: usize = 128;
/// Elements below which the cache is written by the calling thread alone.
const SERIAL_WRITE: usize = 64 * 1024;

/// What all rows of an attention layer share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Positions of a page.
    pub page_size: usize,
    /// Factor on the scores.
    pub scale: f32,
    /// Keys a query sees, its own included; `None` for all.
    pub window: Option<usize>,
    /// With a cache of bf16 or eight bits queries and weights may be rounded to bf16, where that is faster.
    pub rounds: bool,
}

impl AttentionShape {
    /// Query heads for each KV head.
    pub(super) fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// First position that the query at `position` sees.
    pub(super) fn first_seen(&self, position: usize) -> usize {
        self.window
            .map_or(0, |window| (position + 1).saturating_sub(window))
    }

    /// Positions of a block: whole pages.
    pub(super) fn block(&self) -> usize {
        (BLOCK / self.page_size).max(1) * self.page_size
    }

    /// Positions of a segment: whole blocks.
    pub(super) fn segment(&self) -> usize {
        (SEGMENT / self.block()).max(1) * self.block()
    }

    fn check(&self) {
        let Self {
            heads,
            kv_heads,
            head_dim,
            page_size,
            window,
            ..
        } = *self;
        assert!(
            kv_heads > 0 && heads > 0 && heads.is_multiple_of(kv_heads),
            "attention: {heads} heads cannot share {kv_heads} KV heads evenly"
        );
        assert!(
            head_dim > 0 && page_size > 0,
            "attention: head_dim and page_size must not be 0"
        );
        assert!(
            window != Some(0),
            "attention: a window must see at least the query's own position"
        );
    }
}

/// A run of consecutive rows of one sequence: rows `first_row..first_row + len`, of which the last sits
/// at position `context - 1`.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// First row in the batch.
    pub first_row: usize,
    /// Number of rows.
    pub len: usize,
    /// Positions known, these rows included.
    pub context: usize,
    /// Page of positions `p * page_size ..`; entries behind the window may be `u32::MAX`.
    pub page_table: &'a [u32],
}

impl Span<'_> {
    /// Position of row `row` of the span.
    pub(super) fn position(&self, row: usize) -> usize {
        self.context - self.len + row
    }
}

/// Checks spans against the cache and the batch, and that no two share a row.
fn check_spans(
    shape: &AttentionShape,
    spans: &[Span<'_>],
    tokens: usize,
    pages: usize,
    reads: bool,
) {
    let mut rows: Vec<Range<usize>> = Vec::with_capacity(spans.len());
    for span in spans.iter().filter(|span| span.len > 0) {
        let Span {
            first_row,
            len,
            context,
            page_table,
        } = *span;
        assert!(
            first_row + len <= tokens,
            "attention: a span ends past the batch of {tokens} rows"
        );
        assert!(
            len <= context,
            "attention: a span of {len} rows has a context of only {context}"
        );
        let first = if reads {
            shape.first_seen(context - len)
        } else {
            context - len
        };
        let needed = first / shape.page_size..context.div_ceil(shape.page_size);
        assert!(
            needed.end <= page_table.len(),
            "attention: a context of {context} needs more pages"
        );
        for &page in &page_table[needed] {
            assert!(
                (page as usize) < pages,
                "attention: page {page} is outside the cache of {pages}"
            );
        }
        rows.push(first_row..first_row + len);
    }
    rows.sort_by_key(|rows| rows.start);
    assert!(
        rows.windows(2).all(|w| w[0].end <= w[1].start),
        "attention: two spans share a row"
    );
}

/// How many of the cache's elements a page is of.
fn page_elements<E: KvElement>(shape: &AttentionShape) -> usize {
    assert!(
        shape.head_dim.is_multiple_of(E::HOLDS),
        "attention: heads of {} are no whole blocks of {}",
        shape.head_dim,
        E::HOLDS
    );
    shape.kv_heads * shape.page_size * shape.head_dim / E::HOLDS
}

/// How far rows are rotated: cosines and sines `[tokens, head_dim / 2]`, see [`rope`](super::rope).
#[derive(Clone, Copy)]
pub struct Angles<'a> {
    /// Cosines.
    pub cos: &'a [f32],
    /// Sines.
    pub sin: &'a [f32],
}

/// Writes `rows [tokens, kv_heads, head_dim]` of each span, rotated where there are angles, at its positions of
/// `cache [pages, kv_heads, page_size, head_dim / E::HOLDS]`.
pub fn write_kv<E: KvElement>(
    cache: &mut [E],
    rows: &[f32],
    angles: Option<Angles<'_>>,
    shape: &AttentionShape,
    spans: &[Span<'_>],
) {
    shape.check();
    let AttentionShape {
        kv_heads,
        head_dim,
        page_size,
        ..
    } = *shape;
    let tokens = rows.len() / (kv_heads * head_dim);
    check_spans(
        shape,
        spans,
        tokens,
        cache.len() / page_elements::<E>(shape),
        false,
    );
    let (half, held) = (head_dim / 2, head_dim / E::HOLDS);
    assert!(
        angles.is_none_or(|a| head_dim == 2 * half
            && a.cos.len() == tokens * half
            && a.sin.len() == tokens * half),
        "write_kv: angles must be [tokens, head_dim / 2] = [{tokens}, {half}]"
    );
    let level = Level::current();
    let cache = Shared::new(cache);
    let write = |head: usize| {
        for span in spans {
            for row in 0..span.len {
                let position = span.position(row);
                let page = span.page_table[position / page_size] as usize;
                let to = ((page * kv_heads + head) * page_size + position % page_size) * held;
                let from = ((span.first_row + row) * kv_heads + head) * head_dim;
                // SAFETY: the page is inside the cache, and tasks write different heads, so the
                // slice is this task's alone even where spans share pages.
                let to = unsafe { std::slice::from_raw_parts_mut(cache.start().add(to), held) };
                let values = &rows[from..][..head_dim];
                let Some(Angles { cos, sin }) = angles else {
                    E::put(values, to);
                    continue;
                };
                let at = (span.first_row + row) * half;
                let (cos, sin) = (&cos[at..][..half], &sin[at..][..half]);
                with_scratch(head_dim, |rotated| {
                    rotated.copy_from_slice(values);
                    rotate_rows(level, rotated, 1, half, cos, sin);
                    E::put(rotated, to);
                });
            }
        }
    };
    if rows.len() < SERIAL_WRITE {
        (0..kv_heads).for_each(write);
    } else {
        (0..kv_heads).into_par_iter().for_each(write);
    }
}

/// Flash attention (Dao 2023) over pages, with grouped query heads (Ainslie et al. 2023), an optional
/// learned sink for each head (one more column of the softmax, without a value) and a window.
///
/// `q`, `out` `[tokens, heads, head_dim]`; `keys`, `values` `[pages, kv_heads, page_size, head_dim / E::HOLDS]`.
/// Rows of no span keep their `out`. Slots that no query sees are never read.
pub fn paged_attention<E: KvElement>(
    q: &[f32],
    keys: &[E],
    values: &[E],
    shape: &AttentionShape,
    spans: &[Span<'_>],
    sinks: Option<&[f32]>,
    out: &mut [f32],
) {
    paged_attention_at(Level::current(), q, keys, values, shape, spans, sinks, out);
}

#[allow(clippy::too_many_arguments)] // the public seven and the level, for tests
pub(super) fn paged_attention_at<E: KvElement>(
    level: Level,
    q: &[f32],
    keys: &[E],
    values: &[E],
    shape: &AttentionShape,
    spans: &[Span<'_>],
    sinks: Option<&[f32]>,
    out: &mut [f32],
) {
    shape.check();
    assert_eq!(
        q.len(),
        out.len(),
        "attention: out must have the shape of q"
    );
    assert_eq!(
        keys.len(),
        values.len(),
        "attention: keys and values must have one shape"
    );
    assert!(
        sinks.is_none_or(|s| s.len() == shape.heads),
        "attention: sinks must be [heads]"
    );
    let tokens = q.len() / (shape.heads * shape.head_dim);
    check_spans(
        shape,
        spans,
        tokens,
        keys.len() / page_elements::<E>(shape),
        true,
    );
    let job = Attend {
        q,
        keys,
        values,
        shape,
        sinks,
        out: Shared::new(out),
    };
    let units = units(shape, spans);
    if level == Level::Scalar {
        // SAFETY: spans are checked and no two units share an output.
        units
            .par_iter()
            .with_max_len(1)
            .for_each(|rows| unsafe { scalar_rows(&job, rows) });
        return;
    }
    let share =
        units.iter().map(|u| u.segments.len()).sum::<usize>() / (4 * rayon::current_num_threads());
    let (split, whole): (Vec<_>, Vec<_>) = units
        .into_iter()
        .partition(|unit| unit.segments.len() > share.max(1));
    whole.par_iter().with_max_len(1).for_each(|rows| {
        // SAFETY: spans are checked, no two units share an output, and the level has vectors.
        unsafe { job.whole(level, rows) }
    });
    if !split.is_empty() {
        attend_split(level, &job, &split, share.max(1));
    }
}

/// Cuts spans into units of work: a KV head, a few rows, all segments they see.
fn units<'a>(shape: &AttentionShape, spans: &'a [Span<'a>]) -> Vec<Rows<'a>> {
    let rows_each = (QUERIES / shape.group()).max(1);
    let segment = shape.segment();
    let mut units = Vec::new();
    for span in spans {
        for first in (0..span.len).step_by(rows_each) {
            let rows = first..span.len.min(first + rows_each);
            let seen = shape.first_seen(span.position(first))..span.position(rows.end);
            let segments = seen.start / segment..seen.end.div_ceil(segment);
            for kv_head in 0..shape.kv_heads {
                units.push(Rows {
                    span,
                    kv_head,
                    rows: rows.clone(),
                    segments: segments.clone(),
                });
            }
        }
    }
    units
}

/// Units too long for one thread: pieces of `share` segments leave each segment's state in memory, and
/// a second pass merges them in order.
fn attend_split<E: KvElement>(level: Level, job: &Attend<'_, E>, units: &[Rows<'_>], share: usize) {
    let mut pieces = Vec::new();
    let mut starts = Vec::with_capacity(units.len());
    let mut size = 0;
    for unit in units {
        let state = unit.state_len(job.shape);
        starts.push(size);
        for first in unit.segments.clone().step_by(share) {
            let segments = first..unit.segments.end.min(first + share);
            let at = size + (first - unit.segments.start) * state;
            pieces.push((
                Rows {
                    segments,
                    ..unit.clone()
                },
                at,
            ));
        }
        size += unit.segments.len() * state;
    }
    let mut states = vec![0f32; size];
    let shared = Shared::new(&mut states);
    pieces.par_iter().with_max_len(1).for_each(|(rows, at)| {
        // SAFETY: as in `whole`; each piece has its own stretch of states.
        unsafe { job.piece(level, rows, shared.start().add(*at)) }
    });
    units
        .par_iter()
        .zip(starts)
        .with_max_len(1)
        .for_each(|(unit, start)| {
            let states = &states[start..start + unit.segments.len() * unit.state_len(job.shape)];
            // SAFETY: no two units share an output.
            unsafe { finish_rows(job, unit, states) }
        });
}
