//! The rows of a block of the paged cache, one by one, as `pairs.rs` lays them out.

use std::ops::Range;

use super::attend::{Attend, Rows};
use super::kv::KvElement;
use super::simd::Simd;

/// Lanes of a vector, keys of a group, pairs of a chunk of a row.
pub(super) const LANES: usize = 16;
/// Elements of a chunk.
pub(super) const CHUNK: usize = 2 * LANES;

/// A block in the cache, row by row.
pub(super) struct Cached<'a, E> {
    pub rows: &'a Rows<'a>,
    pub job: &'a Attend<'a, E>,
    pub cache: &'a [E],
    pub origin: usize,
    /// What is looked at of it, and its like in the next block.
    pub positions: Range<usize>,
}

impl<E: KvElement> Cached<'_, E> {
    /// The rows of `N` columns, and nothing where the block is not looked at. One division a page, not a row.
    #[inline(always)]
    pub fn rows<const N: usize>(&self, column: usize) -> [Option<&[E]>; N] {
        let mut rows = [None; N];
        let (held, page_size) = (self.job.held(), self.job.shape.page_size);
        let first = self.origin + column;
        let mut position = first.max(self.positions.start);
        let end = (first + N).min(self.positions.end);
        while position < end {
            let mut start = self.job.slot(self.rows, position);
            let stop = end.min((position / page_size + 1) * page_size);
            while position < stop {
                rows[position - first] = Some(&self.cache[start..][..held]);
                start += held;
                position += 1;
            }
        }
        rows
    }

    /// Sixteen pairs of a row from element `from` on, zero where it has none.
    ///
    /// # Safety
    /// The CPU has `S`'s features and adds pairs.
    #[inline(always)]
    pub unsafe fn chunk<S: Simd>(row: Option<&[E]>, from: usize) -> S {
        // SAFETY: a chunk is read from the row only where it has one, and else from the buffer.
        unsafe {
            match row {
                None => S::zero(),
                Some(row) if from + CHUNK <= row.len() * E::HOLDS => E::pairs(row.as_ptr(), from),
                // Blocks are whole chunks.
                Some(row) => {
                    let mut part = [E::ZERO; CHUNK];
                    part[..row.len() - from].copy_from_slice(&row[from..]);
                    E::pairs(part.as_ptr(), 0)
                }
            }
        }
    }

    /// Asks for rows that will be read soon.
    ///
    /// # Safety
    /// The CPU has `S`'s features.
    #[inline(always)]
    pub unsafe fn ask<S: Simd, const N: usize>(&self, column: usize) {
        for row in self.rows::<N>(column).into_iter().flatten() {
            for at in (0..size_of_val(row)).step_by(64) {
                // SAFETY: any address may be prefetched.
                unsafe { S::prefetch_far(row.as_ptr().cast::<u8>().wrapping_add(at)) }
            }
        }
    }
}
