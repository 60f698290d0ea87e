//! The matrix product behind `cpu::linear`: how it is cut into tasks, and the register tiles.
//!
//! Both operands run along k, so an output element is one vector accumulator that walks k in order and
//! is folded once at the end. That order is the same for every tile shape; hence a row's result does
//! not depend on how many rows stand beside it.
//!
//! A tile holds up to six rows of activations against four (two with AVX2) or eight rows of weights for
//! all of k. A task holds its weight rows in L2 while `COLUMNS` rows of activations pass over them.
//! Cutting k as well, to keep tiles in L1, was measured and lost: what is saved in loads from L2 goes
//! into putting accumulators aside.

#![allow(clippy::needless_range_loop)] // register tiles read best by index

use std::marker::PhantomData;
use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::level::Level;
use super::scratch::{Shared, with_scratch};
use super::simd::{Kernel, Simd};
use crate::format::{MAX_STEP, Plain};

/// Activation rows of the largest tile.
const TILE_COLUMNS: usize = 6;
/// Activation rows of a task.
const COLUMNS: usize = 48;
/// Rows packed at once; bounds the packed copy of a long prompt.
const PACKED_ROWS: usize = 480;
/// Bytes of weights in one task, which stay in L2.
const TASK_BYTES: usize = 256 * 1024;
/// Multiply-adds below which a task is not worth handing to another thread.
const SERIAL_WORK: usize = 32 * 1024;

/// What is multiplied, and how activations are packed for it.
pub(super) trait Arithmetic: Copy + Send + Sync {
    /// Element type of the weights.
    type W: Plain;
    /// Whether steps need products of pairs of bf16.
    const PAIRS: bool;
    /// Weights whose activations one packed f32 holds.
    const HELD: usize;

    /// Packs a step of activations, fewer at the end of a row; `to` is one step.
    fn pack(from: &[f32], to: &mut [f32]);

    /// One step of two vectors along k for a whole tile.
    ///
    /// # Safety
    /// `w` reads a step in each of `R` rows of stride `k`, `x` in each of `C` rows of stride `kp`.
    unsafe fn step<S: Simd, const R: usize, const C: usize>(
        acc: [[S; C]; R],
        w: *const Self::W,
        k: usize,
        x: *const f32,
        kp: usize,
    ) -> [[S; C]; R];
}

/// Weights widened to f32, f32 activations.
#[derive(Clone, Copy)]
pub(super) struct Wide<W>(PhantomData<W>);

/// Weights and activations in bf16, two products an f32 lane, added to it one after the other.
#[derive(Clone, Copy)]
pub(super) struct Pairs;

impl<W: Plain> Arithmetic for Wide<W> {
    type W = W;
    const PAIRS: bool = false;
    const HELD: usize = 1;

    fn pack(from: &[f32], to: &mut [f32]) {
        if from.len() < to.len() {
            to.fill(0.0);
        }
        if W::EVEN_ODD {
            let (even, odd) = to.split_at_mut(to.len() / 2);
            for (pair, (even, odd)) in from.chunks(2).zip(even.iter_mut().zip(odd)) {
                *even = pair[0];
                *odd = pair.get(1).copied().unwrap_or(0.0);
            }
        } else {
            to[..from.len()].copy_from_slice(from);
        }
    }

    #[inline(always)]
    unsafe fn step<S: Simd, const R: usize, const C: usize>(
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
}

impl Arithmetic for Pairs {
    type W = bf16;
    const PAIRS: bool = true;
    const HELD: usize = 2;

    fn pack(from: &[f32], to: &mut [f32]) {
        if from.len() < 2 * to.len() {
            to.fill(0.0);
        }
        let bits = |value: f32| u32::from(bf16::from_f32(value).to_bits());
        for (pair, to) in from.chunks(2).zip(to) {
            let odd = pair.get(1).map_or(0, |&odd| bits(odd));
            *to = f32::from_bits(bits(pair[0]) | odd << 16);
        }
    }

    #[inline(always)]
    unsafe fn step<S: Simd, const R: usize, const C: usize>(
        mut acc: [[S; C]; R],
        w: *const bf16,
        k: usize,
        x: *const f32,
        kp: usize,
    ) -> [[S; C]; R] {
        // SAFETY: the caller's promise; a pair of bf16 is as long as an f32.
        unsafe {
            let mut weights = [S::zero(); R];
            for (r, weight) in weights.iter_mut().enumerate() {
                *weight = S::load(w.add(r * k).cast());
            }
            for c in 0..C {
                let x = S::load(x.add(c * kp));
                for r in 0..R {
                    acc[r][c] = acc[r][c].add_pairs(weights[r], x);
                }
            }
        }
        acc
    }
}

/// One product: `y[m, n] = x · Wᵀ + bias` with x already packed.
#[derive(Clone, Copy)]
struct Product<'a, A: Arithmetic> {
    /// Packed activations, rows of `kp`.
    x: &'a [f32],
    kp: usize,
    w: &'a [A::W],
    k: usize,
    n: usize,
    bias: Option<&'a [f32]>,
    y: Shared<f32>,
}

/// Runs the product at a vector level.
pub(super) fn linear<A: Arithmetic>(
    level: Level,
    x: &[f32],
    k: usize,
    w: &[A::W],
    n: usize,
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let kp = k.next_multiple_of(2 * level.lanes()) / A::HELD;
    for (x, y) in x.chunks(PACKED_ROWS * k).zip(y.chunks_mut(PACKED_ROWS * n)) {
        let m = x.len() / k;
        with_scratch(m * kp, |packed| {
            pack::<A>(level.lanes(), x, k, packed, kp);
            let y = Shared::new(y);
            multiply(
                level,
                Product::<A> {
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

/// Copies rows of x into whole steps of two vectors, zero-padded, as the arithmetic wants them.
fn pack<A: Arithmetic>(lanes: usize, x: &[f32], k: usize, packed: &mut [f32], kp: usize) {
    let step = 2 * lanes;
    let row = |(from, to): (&[f32], &mut [f32])| {
        let steps = from.chunks(step).zip(to.chunks_mut(step / A::HELD));
        steps.for_each(|(from, to)| A::pack(from, to));
    };
    if x.len() < SERIAL_WORK {
        x.chunks(k).zip(packed.chunks_mut(kp)).for_each(row);
    } else {
        x.par_chunks(k).zip(packed.par_chunks_mut(kp)).for_each(row);
    }
}

/// Cuts the product into tasks and runs them.
fn multiply<A: Arithmetic>(level: Level, product: Product<'_, A>, m: usize) {
    let (n, k) = (product.n, product.k);
    let balanced = n.div_ceil(8 * rayon::current_num_threads());
    let rows_each = (TASK_BYTES / (k * size_of::<A::W>()))
        .clamp(1, balanced)
        .next_multiple_of(8);
    let row_blocks = n.div_ceil(rows_each);
    let blocks = row_blocks * m.div_ceil(COLUMNS);
    let task = |block: usize| {
        let row = block % row_blocks * rows_each;
        let column = block / row_blocks * COLUMNS;
        let rows = row..n.min(row + rows_each);
        let columns = column..m.min(column + COLUMNS);
        // SAFETY: blocks are within the product's shapes and their outputs are disjoint.
        unsafe {
            level.run(Block {
                product,
                rows,
                columns,
            })
        }
    };
    if n * k * m < SERIAL_WORK {
        (0..blocks).for_each(task);
    } else {
        (0..blocks).into_par_iter().with_max_len(1).for_each(task);
    }
}

/// One task: weight rows × activation rows.
struct Block<'a, A: Arithmetic> {
    product: Product<'a, A>,
    rows: Range<usize>,
    columns: Range<usize>,
}

impl<A: Arithmetic> Kernel for Block<'_, A> {
    const PAIRS: bool = A::PAIRS;

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

impl<A: Arithmetic> Block<'_, A> {
    #[inline(always)]
    unsafe fn walk<S: Simd, const R: usize>(&self) {
        let width = self.columns.len();
        let tiles = width.div_ceil(TILE_COLUMNS);
        for t in 0..tiles {
            // As even as can be: 16 rows are 6 + 5 + 5.
            let (first, last) = (t * width / tiles, (t + 1) * width / tiles);
            let columns = self.columns.start + first..self.columns.start + last;
            // SAFETY: all within the block.
            unsafe {
                match columns.len() {
                    1 => self.strip::<S, 8, 1>(columns),
                    2 if R == 4 => self.strip::<S, 8, 2>(columns),
                    2 => self.strip::<S, 4, 2>(columns),
                    3 => self.strip::<S, R, 3>(columns),
                    4 => self.strip::<S, R, 4>(columns),
                    5 => self.strip::<S, R, 5>(columns),
                    _ => self.strip::<S, R, 6>(columns),
                }
            }
        }
    }

    /// `C` activation rows over all weight rows of the block.
    #[inline(always)]
    unsafe fn strip<S: Simd, const R: usize, const C: usize>(&self, columns: Range<usize>) {
        let mut row = self.rows.start;
        // SAFETY: tiles stay within the block.
        unsafe {
            while row + R <= self.rows.end {
                self.tile::<S, R, C>(row, columns.start);
                row += R;
            }
            while row < self.rows.end {
                self.tile::<S, 1, C>(row, columns.start);
                row += 1;
            }
        }
    }

    /// The register tile: `R` weight rows × `C` activation rows over all of k.
    ///
    /// The block's first tile of a weight row asks for what the next tile reads, into L2: the hardware
    /// sees each row's own continuation by itself, but cannot guess the next rows. That gained 15 % at
    /// m = 1 and 60 % at m = 4; asking ahead in the same row lost.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const C: usize>(&self, row: usize, column: usize) {
        let Product { x, kp, w, k, .. } = self.product;
        let step = 2 * S::LANES;
        let fetches = column == self.columns.start;
        // SAFETY: rows `row..row + R` of w have k elements, rows `column..column + C` of x have kp; a
        // whole step is read from w only where it ends within k.
        unsafe {
            let mut acc = [[S::zero(); C]; R];
            let w = w.as_ptr().add(row * k);
            let x = x.as_ptr().add(column * kp);
            let mut at = 0;
            while at + step <= k {
                if fetches {
                    for r in 0..R {
                        S::prefetch_far(w.wrapping_add((R + r) * k + at).cast());
                    }
                }
                acc = A::step::<S, R, C>(acc, w.add(at), k, x.add(at / A::HELD), kp);
                at += step;
            }
            if at < k {
                let mut tail = [[A::W::ZERO; MAX_STEP]; R];
                for (r, tail) in tail.iter_mut().enumerate() {
                    std::ptr::copy_nonoverlapping(w.add(r * k + at), tail.as_mut_ptr(), k - at);
                }
                let tail = tail.as_ptr().cast::<A::W>();
                acc = A::step::<S, R, C>(acc, tail, MAX_STEP, x.add(at / A::HELD), kp);
            }
            self.finish(row, column, acc);
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
