//! The products of a tile with whatever vectors the CPU has: one vector holds a step of some or all of its sixteen rows.
//!
//! Loops are plain and nothing is a closure: what a compiler does not inline here has no instruction set.

#![allow(
    clippy::needless_range_loop,
    reason = "iterators are calls to functions without the instruction set"
)]

use std::ops::Range;

use super::activations::{Activations, Row};
use super::layout::{HALVES, Layout, MXFP4_CODES, NIBBLES, PAIRS};
use super::vector::Vector;
use super::{BLOCK, ROWS, ZERO};

/// Sums of the sixteen rows of each of `T` tiles for each column; `put` gets the tile, the column and them.
///
/// # Safety
/// The CPU has the vectors, which the caller enables; `weights` are tiles of the layout with the activations' columns.
#[inline(always)]
pub(super) unsafe fn tiles<V: Vector, const T: usize>(
    layout: Layout,
    weights: [&[u8]; T],
    x: &Activations<'_>,
    columns: Range<usize>,
    put: impl Fn(usize, usize, &[f32; ROWS]),
) {
    let mut column = columns.start;
    while column < columns.end {
        // SAFETY: the caller's promise.
        column += unsafe {
            match columns.end - column {
                1 => group::<V, T, 1>(layout, weights, x, column, &put),
                2 => group::<V, T, 2>(layout, weights, x, column, &put),
                3 => group::<V, T, 3>(layout, weights, x, column, &put),
                // Seven and eight are not six and a rest.
                left if T > 1 && left != 7 && left != 8 && left > 5 => {
                    group::<V, T, 6>(layout, weights, x, column, &put)
                }
                left if T == 1 && left > 7 => group::<V, T, 8>(layout, weights, x, column, &put),
                _ => group::<V, T, 4>(layout, weights, x, column, &put),
            }
        };
    }
}

/// `C` columns at once.
#[inline(always)]
unsafe fn group<V: Vector, const T: usize, const C: usize>(
    layout: Layout,
    weights: [&[u8]; T],
    x: &Activations<'_>,
    column: usize,
    put: &impl Fn(usize, usize, &[f32; ROWS]),
) -> usize {
    let mut out = [[[0f32; ROWS]; C]; T];
    for first in (0..ROWS).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut part = Part::<V, T, C> {
                first,
                x: std::array::from_fn(|c| x.row(column + c)),
                sums: [[V::zero(); C]; T],
            };
            let size = layout.block_bytes();
            let blocks = weights[0].len() / size;
            let mut p = [std::ptr::null(); T];
            for t in 0..T {
                p[t] = weights[t].as_ptr();
            }
            // A loop for each layout, so that what one keeps in registers is not in another's way.
            match layout {
                Layout::Mxfp4 => {
                    for b in 0..blocks {
                        part.mxfp4(on::<T>(p, b * size), b);
                    }
                }
                Layout::Q4 => {
                    for b in 0..blocks {
                        part.q4(on::<T>(p, b * size), b);
                    }
                }
                Layout::Q8 => {
                    for b in 0..blocks {
                        part.q8(on::<T>(p, b * size), b);
                    }
                }
                Layout::Q4K => {
                    for b in 0..blocks {
                        part.q4k(on::<T>(p, b * size), b);
                    }
                }
                Layout::Q6K => {
                    for b in 0..blocks {
                        part.q6k(on::<T>(p, b * size), b);
                    }
                }
            }
            for t in 0..T {
                for c in 0..C {
                    V::store(out[t][c].as_mut_ptr().add(first), part.sums[t][c]);
                }
            }
        }
    }
    for (t, out) in out.iter().enumerate() {
        for (c, out) in out.iter().enumerate() {
            put(t, column + c, out);
        }
    }
    C
}

/// The pointers, so many bytes further.
///
/// # Safety
/// There are as many bytes behind each.
#[inline(always)]
unsafe fn on<const T: usize>(p: [*const u8; T], bytes: usize) -> [*const u8; T] {
    let mut further = p;
    for t in 0..T {
        // SAFETY: the caller's promise.
        further[t] = unsafe { p[t].add(bytes) };
    }
    further
}

/// The rows of tiles that are in a vector each, with their sums for `C` columns.
///
/// Its functions take block `b` of each tile at its `p`, which has the layout of their name.
struct Part<'a, V: Vector, const T: usize, const C: usize> {
    /// First of the rows.
    first: usize,
    x: [Row<'a>; C],
    sums: [[V::Floats; C]; T],
}

impl<V: Vector, const T: usize, const C: usize> Part<'_, V, T, C> {
    #[inline(always)]
    unsafe fn mxfp4(&mut self, p: [*const u8; T], b: usize) {
        // SAFETY: the caller lets us read a block of each, and its columns.
        unsafe {
            let mut totals = self.starts(b);
            self.nibbles::<true>(on(p, ROWS), b * BLOCK, &mut totals);
            let mut scales = [V::zero(); T];
            for t in 0..T {
                scales[t] = V::powers(p[t].add(self.first));
            }
            self.add(totals, scales, b);
        }
    }

    #[inline(always)]
    unsafe fn q4(&mut self, p: [*const u8; T], b: usize) {
        // SAFETY: as above.
        unsafe {
            let mut totals = self.starts(b);
            self.nibbles::<false>(on(p, HALVES), b * BLOCK, &mut totals);
            self.add(totals, self.halves(p), b);
        }
    }

    #[inline(always)]
    unsafe fn q8(&mut self, p: [*const u8; T], b: usize) {
        // SAFETY: as above.
        unsafe {
            let mut totals = if V::OFFSET_OCTETS {
                self.starts(b)
            } else {
                [[V::splat(ZERO); C]; T]
            };
            for step in 0..8 {
                let codes = self.codes(p, HALVES + 64 * step);
                for c in 0..C {
                    let x = four::<V>(&self.x[c], b * BLOCK + 4 * step);
                    for t in 0..T {
                        totals[t][c] = V::dot_octets(totals[t][c], codes[t], x);
                    }
                }
            }
            self.add(totals, self.halves(p), b);
        }
    }

    #[inline(always)]
    unsafe fn q4k(&mut self, p: [*const u8; T], b: usize) {
        // SAFETY: as above.
        unsafe {
            let (scale, least) = (self.halves(p), self.halves(on(p, HALVES)));
            let scales = on(p, 2 * HALVES);
            let codes = on(scales, 16 * ROWS);
            for part in 0..8 {
                let at = 8 * b + part;
                let mut totals = [[V::splat(ZERO); C]; T];
                self.nibbles::<false>(on(codes, part * NIBBLES), at * BLOCK, &mut totals);
                let (mut scale, mut least) = (scale, least);
                for t in 0..T {
                    let own = scales[t].add(part * ROWS + self.first);
                    scale[t] = V::mul(scale[t], V::unsigned(own));
                    least[t] = V::mul(least[t], V::unsigned(own.add(8 * ROWS)));
                }
                self.add(totals, scale, at);
                for c in 0..C {
                    let weighted = V::splat_float(*self.x[c].sums.get_unchecked(at));
                    for t in 0..T {
                        self.sums[t][c] = V::mul_sub(least[t], weighted, self.sums[t][c]);
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn q6k(&mut self, p: [*const u8; T], b: usize) {
        // SAFETY: as above.
        unsafe {
            let scale = self.halves(p);
            let scales = on(p, HALVES);
            let (low_bits, high_bits) = (V::splat(0x0f0f_0f0f), V::splat(0x3030_3030));
            for part in 0..16 {
                let at = 16 * b + part;
                let codes = on(scales, 16 * ROWS + part / 2 * (NIBBLES + PAIRS));
                let pairs = self.codes(codes, NIBBLES + part % 2 * 64);
                let mut totals = self.starts(at);
                for step in 0..4 {
                    let mut whole = self.codes(codes, 64 * step);
                    for t in 0..T {
                        let low = if part % 2 == 0 {
                            whole[t]
                        } else {
                            V::right::<4>(whole[t])
                        };
                        // The step's two bits, moved to bits 4 and 5.
                        let high = match step {
                            0 => V::left::<4>(pairs[t]),
                            1 => V::left::<2>(pairs[t]),
                            2 => pairs[t],
                            _ => V::right::<2>(pairs[t]),
                        };
                        whole[t] = V::or(V::and(low, low_bits), V::and(high, high_bits));
                    }
                    self.dot(&mut totals, whole, at * 16 + 4 * step);
                }
                let mut scale = scale;
                for t in 0..T {
                    let own = V::signed(scales[t].add(part * ROWS + self.first));
                    scale[t] = V::mul(scale[t], own);
                }
                self.add(totals, scale, at / 2);
            }
        }
    }

    /// The half-precision numbers of the rows, of all that are at `p`.
    #[inline(always)]
    unsafe fn halves(&self, p: [*const u8; T]) -> [V::Floats; T] {
        // SAFETY: the caller lets us read those of a tile.
        unsafe {
            let mut halves = [V::zero(); T];
            for t in 0..T {
                halves[t] = V::halves(p[t].add(2 * self.first));
            }
            halves
        }
    }

    /// The codes of a step, so many bytes further.
    #[inline(always)]
    unsafe fn codes(&self, p: [*const u8; T], bytes: usize) -> [V::Integers; T] {
        // SAFETY: the caller lets us read them.
        unsafe {
            let mut codes = [V::splat(0); T];
            for t in 0..T {
                codes[t] = V::load(p[t].add(bytes + 4 * self.first));
            }
            codes
        }
    }

    #[inline(always)]
    unsafe fn starts(&self, at: usize) -> [[V::Integers; C]; T] {
        // SAFETY: `at` is one of the row's blocks.
        unsafe {
            let mut starts = [V::splat(0); C];
            for c in 0..C {
                starts[c] = V::splat(*self.x[c].starts.get_unchecked(at));
            }
            [starts; T]
        }
    }

    /// Adds the products of four columns from `at` on.
    #[inline(always)]
    unsafe fn dot(&self, totals: &mut [[V::Integers; C]; T], codes: [V::Integers; T], at: usize) {
        for c in 0..C {
            // SAFETY: the caller's promise.
            unsafe {
                let x = four::<V>(&self.x[c], at);
                for t in 0..T {
                    totals[t][c] = V::dot(totals[t][c], codes[t], x);
                }
            }
        }
    }

    /// Adds the products of a block of four-bit codes, which stand for MXFP4's values or themselves.
    #[inline(always)]
    unsafe fn nibbles<const MXFP4: bool>(
        &self,
        p: [*const u8; T],
        at: usize,
        totals: &mut [[V::Integers; C]; T],
    ) {
        // SAFETY: the caller lets us read 256 bytes, and the block's columns.
        unsafe {
            let mask = V::splat(0x0f0f_0f0f);
            for step in 0..4 {
                let mut low = self.codes(p, 64 * step);
                let mut high = low;
                for t in 0..T {
                    high[t] = V::and(V::right::<4>(low[t]), mask);
                    low[t] = V::and(low[t], mask);
                    if MXFP4 {
                        low[t] = V::lookup(&MXFP4_CODES, low[t]);
                        high[t] = V::lookup(&MXFP4_CODES, high[t]);
                    }
                }
                self.dot(totals, low, at + 4 * step);
                self.dot(totals, high, at + 16 + 4 * step);
            }
        }
    }

    /// `sums += totals · scale · scale of the activations`; see [`ZERO`].
    #[inline(always)]
    unsafe fn add(&mut self, totals: [[V::Integers; C]; T], scales: [V::Floats; T], at: usize) {
        // SAFETY: `at` is one of the row's blocks.
        unsafe {
            let mut zeros = scales;
            for t in 0..T {
                zeros[t] = V::mul(scales[t], V::splat_float(-f32::from_bits(ZERO as u32)));
            }
            for c in 0..C {
                let own = V::splat_float(*self.x[c].scales.get_unchecked(at));
                for t in 0..T {
                    let scaled = V::mul_add(V::as_floats(totals[t][c]), scales[t], zeros[t]);
                    self.sums[t][c] = V::mul_add(scaled, own, self.sums[t][c]);
                }
            }
        }
    }
}

/// Four codes of the activations in each lane.
#[inline(always)]
unsafe fn four<V: Vector>(x: &Row<'_>, at: usize) -> V::Integers {
    // SAFETY: four codes from `at` on are the row's.
    unsafe { V::splat(x.codes.as_ptr().add(at).cast::<i32>().read_unaligned()) }
}
