//! The matrix product behind `cpu::linear`: how it is cut into tasks, and the register tiles.
//!
//! Both operands run along k, so an output element is one vector accumulator that walks k in order and
//! is folded once at the end. That order is the same for every tile shape; hence a row's result does
//! not depend on how many rows stand beside it. Only the weights are streamed from memory:
//!
//! - few rows (m ≤ 6): tiles hold all rows, k is walked in one go at the speed of memory;
//! - more rows: blocks of `NB` weight rows by `KC` of k stay in the caches while all rows pass over
//!   them; accumulators rest in scratch memory, unfolded, between the pieces of k.

#![allow(clippy::needless_range_loop)] // register tiles read best by index

use std::ops::Range;

use rayon::prelude::*;

use super::level::Level;
use super::scratch::{Shared, with_scratch};
use super::simd::{Kernel, Simd};
use crate::format::{MAX_STEP, Plain};

/// Activation rows of the largest tile.
const MAX_COLUMNS: usize = 6;
/// Weight rows of a cache block.
const NB: usize = 32;
/// k of a cache block: six rows of activations (12 KiB) and four of weights fit in 32 KiB of L1.
const KC: usize = 512;
/// Activation rows of a cache block: with `KC` 192 KiB, and as much for the accumulators.
const MB: usize = 48;
/// Rows packed at once; bounds the packed copy of a long prompt.
const PACKED_ROWS: usize = 480;
/// Bytes of weights in one task of the streaming path.
const STREAM_BYTES: usize = 256 * 1024;
/// Multiply-adds below which a task is not worth handing to another thread.
const SERIAL_WORK: usize = 32 * 1024;

/// One product: `y[m, n] = x · Wᵀ + bias` with x already packed.
#[derive(Clone, Copy)]
struct Product<'a, W> {
    /// Packed activations, rows of `kp`.
    x: &'a [f32],
    kp: usize,
    w: &'a [W],
    k: usize,
    n: usize,
    bias: Option<&'a [f32]>,
    y: Shared<f32>,
}

/// Runs the product at a vector level.
pub(super) fn linear<W: Plain>(
    level: Level,
    x: &[f32],
    k: usize,
    w: &[W],
    n: usize,
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let kp = k.next_multiple_of(2 * level.lanes());
    for (x, y) in x.chunks(PACKED_ROWS * k).zip(y.chunks_mut(PACKED_ROWS * n)) {
        let m = x.len() / k;
        with_scratch(m * kp, |packed| {
            pack::<W>(level.lanes(), x, k, packed, kp);
            let y = Shared::new(y);
            multiply(
                level,
                Product {
                    x: packed,
                    kp,
                    w,
                    k,
                    n,
                    bias,
                    y,
                },
                m,
            );
        });
    }
}

/// Copies rows of x into whole steps of two vectors, zero-padded, in the order W's vectors come in.
fn pack<W: Plain>(lanes: usize, x: &[f32], k: usize, packed: &mut [f32], kp: usize) {
    let row = |(from, to): (&[f32], &mut [f32])| {
        for (from, to) in from.chunks(2 * lanes).zip(to.chunks_mut(2 * lanes)) {
            if from.len() < 2 * lanes {
                to.fill(0.0);
            }
            if W::EVEN_ODD {
                let (even, odd) = to.split_at_mut(lanes);
                for (pair, (even, odd)) in from.chunks(2).zip(even.iter_mut().zip(odd)) {
                    *even = pair[0];
                    *odd = pair.get(1).copied().unwrap_or(0.0);
                }
            } else {
                to[..from.len()].copy_from_slice(from);
            }
        }
    };
    if x.len() < SERIAL_WORK {
        x.chunks(k).zip(packed.chunks_mut(kp)).for_each(row);
    } else {
        x.par_chunks(k).zip(packed.par_chunks_mut(kp)).for_each(row);
    }
}

/// Cuts the product into tasks and runs them.
fn multiply<W: Plain>(level: Level, product: Product<'_, W>, m: usize) {
    let (n, k) = (product.n, product.k);
    let streaming = m <= MAX_COLUMNS;
    let rows_each = if streaming {
        let balanced = n.div_ceil(8 * rayon::current_num_threads());
        (STREAM_BYTES / (k * size_of::<W>()))
            .clamp(1, balanced)
            .next_multiple_of(8)
    } else {
        NB
    };
    let columns_each = if streaming { m } else { MB };
    let row_blocks = n.div_ceil(rows_each);
    let blocks = row_blocks * m.div_ceil(columns_each);
    let task = |block: usize| {
        let rows = block % row_blocks * rows_each;
        let columns = block / row_blocks * columns_each;
        let rows = rows..n.min(rows + rows_each);
        let columns = columns..m.min(columns + columns_each);
        let kc = if streaming { product.kp } else { KC };
        let slots = if kc < product.kp {
            rows.len() * columns.len()
        } else {
            0
        };
        with_scratch(slots * level.lanes(), |rest| {
            let rest = rest.as_mut_ptr();
            // SAFETY: blocks are within the product's shapes, their outputs are disjoint, and `rest`
            // has a vector for each output where k is cut.
            unsafe {
                level.run(Block {
                    product,
                    rows,
                    columns,
                    kc,
                    rest,
                })
            }
        });
    };
    if n * k * m < SERIAL_WORK {
        (0..blocks).for_each(task);
    } else {
        (0..blocks).into_par_iter().with_max_len(1).for_each(task);
    }
}

/// One task: weight rows × activation rows, over all of k in pieces of `kc` (a multiple of a step).
struct Block<'a, W> {
    product: Product<'a, W>,
    rows: Range<usize>,
    columns: Range<usize>,
    kc: usize,
    /// Accumulators at rest between pieces of k, one vector an output.
    rest: *mut f32,
}

impl<W: Plain> Kernel for Block<'_, W> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the maker of the block. 32 registers hold 4 × 6 accumulators, 16 hold 2 × 6.
        unsafe {
            if S::LANES == 16 {
                self.walk::<S, 4>()
            } else {
                self.walk::<S, 2>()
            }
        }
    }
}

impl<W: Plain> Block<'_, W> {
    #[inline(always)]
    unsafe fn walk<S: Simd, const R: usize>(&self) {
        let width = self.columns.len();
        let tiles = width.div_ceil(MAX_COLUMNS);
        for from in (0..self.product.kp).step_by(self.kc) {
            for t in 0..tiles {
                // As even as can be: 16 rows are 6 + 5 + 5.
                let (first, last) = (t * width / tiles, (t + 1) * width / tiles);
                let columns = self.columns.start + first..self.columns.start + last;
                // SAFETY: all within the block.
                unsafe {
                    match columns.len() {
                        1 if R == 4 => self.strip::<S, 8, 1>(columns, from),
                        1 => self.strip::<S, R, 1>(columns, from),
                        2 if R == 4 => self.strip::<S, 8, 2>(columns, from),
                        2 => self.strip::<S, R, 2>(columns, from),
                        3 => self.strip::<S, R, 3>(columns, from),
                        4 => self.strip::<S, R, 4>(columns, from),
                        5 => self.strip::<S, R, 5>(columns, from),
                        _ => self.strip::<S, R, 6>(columns, from),
                    }
                }
            }
        }
    }

    /// `C` activation rows over all weight rows of the block, for one piece of k.
    #[inline(always)]
    unsafe fn strip<S: Simd, const R: usize, const C: usize>(
        &self,
        columns: Range<usize>,
        from: usize,
    ) {
        let column = columns.start;
        let mut row = self.rows.start;
        // SAFETY: tiles stay within the block.
        unsafe {
            while row + R <= self.rows.end {
                self.tile::<S, R, C>(row, column, from);
                row += R;
            }
            while row < self.rows.end {
                self.tile::<S, 1, C>(row, column, from);
                row += 1;
            }
        }
    }

    /// The register tile: `R` weight rows × `C` activation rows.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const C: usize>(
        &self,
        row: usize,
        column: usize,
        from: usize,
    ) {
        let Product { x, kp, w, k, .. } = self.product;
        let to = kp.min(from + self.kc);
        let step = 2 * S::LANES;
        let slot = (row - self.rows.start) * self.columns.len() + column - self.columns.start;
        // SAFETY: rows `row..row + R` of w have k elements, rows `column..column + C` of x have kp,
        // `rest` has a vector for each output unless the tile sees all of k; a whole step is read
        // from w only where it ends within k.
        unsafe {
            let mut acc = [[S::zero(); C]; R];
            let rest = self.rest.wrapping_add(slot * S::LANES);
            let stride = self.columns.len() * S::LANES;
            if from > 0 {
                for (r, acc) in acc.iter_mut().enumerate() {
                    for (c, acc) in acc.iter_mut().enumerate() {
                        *acc = S::load(rest.add(r * stride + c * S::LANES));
                    }
                }
            }
            let w = w.as_ptr().add(row * k);
            let x = x.as_ptr().add(column * kp);
            let ahead = self.ahead::<R>(from);
            // The first pass over a piece of weights fetches what comes after; later ones find it.
            let fetches = column == self.columns.start;
            let mut at = from;
            while at + step <= to.min(k) {
                if fetches {
                    for r in 0..R {
                        S::prefetch_far(w.wrapping_add(r * k + at + ahead).cast());
                    }
                }
                acc = multiply_step::<S, W, R, C>(acc, w.add(at), k, x.add(at), kp);
                at += step;
            }
            if at < to {
                let mut tail = [[W::ZERO; MAX_STEP]; R];
                for (r, tail) in tail.iter_mut().enumerate() {
                    std::ptr::copy_nonoverlapping(w.add(r * k + at), tail.as_mut_ptr(), k - at);
                }
                let tail = tail.as_ptr().cast::<W>();
                acc = multiply_step::<S, W, R, C>(acc, tail, MAX_STEP, x.add(at), kp);
            }
            if to == kp {
                self.finish(row, column, acc);
            } else {
                for (r, acc) in acc.iter().enumerate() {
                    for (c, acc) in acc.iter().enumerate() {
                        acc.store(rest.add(r * stride + c * S::LANES));
                    }
                }
            }
        }
    }

    /// How far ahead, in elements, weights are asked for: what the next tile reads (the streaming path)
    /// or the next piece of k. Asking for more of the same row only hinders the hardware, which sees
    /// that by itself; a tile ahead into L2 gained 15 % at m = 1 and 60 % at m = 4.
    #[inline(always)]
    fn ahead<const R: usize>(&self, from: usize) -> usize {
        let Product { kp, k, .. } = self.product;
        if self.kc >= kp {
            R * k
        } else if from + self.kc < kp {
            self.kc
        } else {
            (self.rows.len() * k).saturating_sub(from)
        }
    }

    /// Folds the accumulators into y.
    #[inline(always)]
    unsafe fn finish<S: Simd, const R: usize, const C: usize>(
        &self,
        row: usize,
        column: usize,
        acc: [[S; C]; R],
    ) {
        let Product { n, bias, y, .. } = self.product;
        for c in 0..C {
            let mut sums = [0f32; R];
            // SAFETY: no memory but `sums` is touched; groups of four are whole when R is a multiple.
            unsafe {
                if R.is_multiple_of(4) {
                    for r in (0..R).step_by(4) {
                        let four = [acc[r][c], acc[r + 1][c], acc[r + 2][c], acc[r + 3][c]];
                        sums[r..r + 4].copy_from_slice(&S::sum4(four));
                    }
                } else {
                    for r in 0..R {
                        sums[r] = acc[r][c].sum();
                    }
                }
            }
            for (r, sum) in sums.into_iter().enumerate() {
                let value = if let Some(bias) = bias {
                    sum + bias[row + r]
                } else {
                    sum
                };
                // SAFETY: the block's outputs are its own.
                unsafe { *y.start().add((column + c) * n + row + r) = value }
            }
        }
    }
}

/// One step of two vectors along k for a whole tile.
///
/// # Safety
/// `w` reads a step in each of `R` rows of stride `k`, `x` in each of `C` rows of stride `kp`.
#[inline(always)]
unsafe fn multiply_step<S: Simd, W: Plain, const R: usize, const C: usize>(
    mut acc: [[S; C]; R],
    w: *const W,
    k: usize,
    x: *const f32,
    kp: usize,
) -> [[S; C]; R] {
    // SAFETY: the caller's promise.
    unsafe {
        for half in 0..2 {
            let mut weights = [S::zero(); R];
            for (r, weight) in weights.iter_mut().enumerate() {
                let p = w.add(r * k);
                *weight = if half == 0 {
                    W::first::<S>(p)
                } else {
                    W::second::<S>(p)
                };
            }
            for c in 0..C {
                let x = S::load(x.add(c * kp + half * S::LANES));
                for r in 0..R {
                    acc[r][c] = weights[r].fma(x, acc[r][c]);
                }
            }
        }
    }
    acc
}
