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
use super::{BLOCK, ROWS, ZERO};

/// What the kernel asks of an instruction set; a lane is a row, with four octets, one integer or one float.
///
/// # Safety
/// Of every function: the CPU has the instruction set, and pointers lead to as many bytes as their vector has.
pub(super) trait Vector {
    /// Rows of a vector.
    const LANES: usize;
    /// Most columns at once.
    const COLUMNS: usize;
    /// Whether [`Self::dot_octets`] takes octets as they are, so that their offset must be taken away at the start.
    const OFFSET_OCTETS: bool;
    type Integers: Copy;
    type Floats: Copy;

    unsafe fn load(p: *const u8) -> Self::Integers;
    /// The same number in each lane.
    unsafe fn splat(value: i32) -> Self::Integers;
    unsafe fn and(a: Self::Integers, b: Self::Integers) -> Self::Integers;
    unsafe fn or(a: Self::Integers, b: Self::Integers) -> Self::Integers;
    /// Shifts of pairs of octets; the bits that come from a neighbour are masked by the caller.
    unsafe fn right<const BITS: i32>(a: Self::Integers) -> Self::Integers;
    unsafe fn left<const BITS: i32>(a: Self::Integers) -> Self::Integers;
    /// Octet `codes[i]` of sixteen, for each i.
    unsafe fn lookup(table: &[u8; 16], codes: Self::Integers) -> Self::Integers;
    /// Adds four products a lane; codes are at most 63.
    unsafe fn dot(
        total: Self::Integers,
        codes: Self::Integers,
        x: Self::Integers,
    ) -> Self::Integers;
    /// The same for octets around 128.
    unsafe fn dot_octets(
        total: Self::Integers,
        codes: Self::Integers,
        x: Self::Integers,
    ) -> Self::Integers;

    unsafe fn zero() -> Self::Floats;
    unsafe fn splat_float(value: f32) -> Self::Floats;
    /// Half-precision numbers.
    unsafe fn halves(p: *const u8) -> Self::Floats;
    unsafe fn unsigned(p: *const u8) -> Self::Floats;
    unsafe fn signed(p: *const u8) -> Self::Floats;
    /// Powers of two of exponents, as MXFP4 has them.
    unsafe fn powers(p: *const u8) -> Self::Floats;
    /// The same bits.
    unsafe fn as_floats(a: Self::Integers) -> Self::Floats;
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a · b + c`, rounded once.
    unsafe fn mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// `c − a · b`, rounded once.
    unsafe fn mul_sub(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    unsafe fn store(p: *mut f32, a: Self::Floats);
}

/// Sums of sixteen rows for each column; `put` gets them.
///
/// # Safety
/// The CPU has the vectors, which the caller enables; `weights` is a tile of the layout with the activations' columns.
#[inline(always)]
pub(super) unsafe fn tile<V: Vector>(
    layout: Layout,
    weights: &[u8],
    x: &Activations<'_>,
    columns: Range<usize>,
    put: impl Fn(usize, &[f32; ROWS]),
) {
    let mut column = columns.start;
    while column < columns.end {
        // SAFETY: the caller's promise.
        column += unsafe {
            match (columns.end - column).min(V::COLUMNS) {
                1 => group::<V, 1>(layout, weights, x, column, &put),
                2 | 3 => group::<V, 2>(layout, weights, x, column, &put),
                4..8 => group::<V, 4>(layout, weights, x, column, &put),
                _ => group::<V, 8>(layout, weights, x, column, &put),
            }
        };
    }
}

/// `C` columns at once.
#[inline(always)]
unsafe fn group<V: Vector, const C: usize>(
    layout: Layout,
    weights: &[u8],
    x: &Activations<'_>,
    column: usize,
    put: &impl Fn(usize, &[f32; ROWS]),
) -> usize {
    let mut out = [[0f32; ROWS]; C];
    for first in (0..ROWS).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut part = Part::<V, C> {
                first,
                x: std::array::from_fn(|c| x.row(column + c)),
                sums: [V::zero(); C],
            };
            let size = layout.block_bytes();
            let blocks = weights.len() / size;
            let p = weights.as_ptr();
            // A loop for each layout, so that what one keeps in registers is not in another's way.
            match layout {
                Layout::Mxfp4 => {
                    for b in 0..blocks {
                        part.mxfp4(p.add(b * size), b);
                    }
                }
                Layout::Q4 => {
                    for b in 0..blocks {
                        part.q4(p.add(b * size), b);
                    }
                }
                Layout::Q8 => {
                    for b in 0..blocks {
                        part.q8(p.add(b * size), b);
                    }
                }
                Layout::Q4K => {
                    for b in 0..blocks {
                        part.q4k(p.add(b * size), b);
                    }
                }
                Layout::Q6K => {
                    for b in 0..blocks {
                        part.q6k(p.add(b * size), b);
                    }
                }
            }
            for c in 0..C {
                V::store(out[c].as_mut_ptr().add(first), part.sums[c]);
            }
        }
    }
    for (c, out) in out.iter().enumerate() {
        put(column + c, out);
    }
    C
}

/// The rows of a tile that are in a vector, with their sums for `C` columns.
///
/// Its functions take block `b` at `p`, which has the layout of their name.
struct Part<'a, V: Vector, const C: usize> {
    /// First of the rows.
    first: usize,
    x: [Row<'a>; C],
    sums: [V::Floats; C],
}

impl<V: Vector, const C: usize> Part<'_, V, C> {
    #[inline(always)]
    unsafe fn mxfp4(&mut self, p: *const u8, b: usize) {
        // SAFETY: the caller lets us read a block, and its columns.
        unsafe {
            let mut totals = self.starts(b);
            self.nibbles::<true>(p.add(ROWS), b * BLOCK, &mut totals);
            self.add(totals, V::powers(p.add(self.first)), b);
        }
    }

    #[inline(always)]
    unsafe fn q4(&mut self, p: *const u8, b: usize) {
        // SAFETY: as above.
        unsafe {
            let mut totals = self.starts(b);
            self.nibbles::<false>(p.add(HALVES), b * BLOCK, &mut totals);
            self.add(totals, self.halves(p), b);
        }
    }

    #[inline(always)]
    unsafe fn q8(&mut self, p: *const u8, b: usize) {
        // SAFETY: as above.
        unsafe {
            let mut totals = if V::OFFSET_OCTETS {
                self.starts(b)
            } else {
                [V::splat(ZERO); C]
            };
            for step in 0..8 {
                let codes = V::load(p.add(HALVES + 64 * step + 4 * self.first));
                for c in 0..C {
                    let x = four::<V>(&self.x[c], b * BLOCK + 4 * step);
                    totals[c] = V::dot_octets(totals[c], codes, x);
                }
            }
            self.add(totals, self.halves(p), b);
        }
    }

    #[inline(always)]
    unsafe fn q4k(&mut self, p: *const u8, b: usize) {
        // SAFETY: as above.
        unsafe {
            let (scale, least) = (self.halves(p), self.halves(p.add(HALVES)));
            let scales = p.add(2 * HALVES);
            let codes = scales.add(16 * ROWS);
            for part in 0..8 {
                let at = 8 * b + part;
                let mut totals = [V::splat(ZERO); C];
                let codes = codes.add(part * NIBBLES);
                self.nibbles::<false>(codes, at * BLOCK, &mut totals);
                let own = V::unsigned(scales.add(part * ROWS + self.first));
                self.add(totals, V::mul(scale, own), at);
                let own = V::unsigned(scales.add((8 + part) * ROWS + self.first));
                let least = V::mul(least, own);
                for c in 0..C {
                    let weighted = V::splat_float(*self.x[c].sums.get_unchecked(at));
                    self.sums[c] = V::mul_sub(least, weighted, self.sums[c]);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn q6k(&mut self, p: *const u8, b: usize) {
        // SAFETY: as above.
        unsafe {
            let scale = self.halves(p);
            let scales = p.add(HALVES);
            let (low_bits, high_bits) = (V::splat(0x0f0f_0f0f), V::splat(0x3030_3030));
            for part in 0..16 {
                let at = 16 * b + part;
                let codes = scales.add(16 * ROWS + part / 2 * (NIBBLES + PAIRS) + 4 * self.first);
                let pairs = V::load(codes.add(NIBBLES + part % 2 * 64));
                let mut totals = self.starts(at);
                for step in 0..4 {
                    let both = V::load(codes.add(64 * step));
                    let low = if part % 2 == 0 {
                        both
                    } else {
                        V::right::<4>(both)
                    };
                    // The step's two bits, moved to bits 4 and 5.
                    let high = match step {
                        0 => V::left::<4>(pairs),
                        1 => V::left::<2>(pairs),
                        2 => pairs,
                        _ => V::right::<2>(pairs),
                    };
                    let whole = V::or(V::and(low, low_bits), V::and(high, high_bits));
                    self.dot(&mut totals, whole, at * 16 + 4 * step);
                }
                let own = V::signed(scales.add(part * ROWS + self.first));
                self.add(totals, V::mul(scale, own), at / 2);
            }
        }
    }

    /// The half-precision numbers of the rows, of all that are at `p`.
    #[inline(always)]
    unsafe fn halves(&self, p: *const u8) -> V::Floats {
        // SAFETY: the caller lets us read those of a tile.
        unsafe { V::halves(p.add(2 * self.first)) }
    }

    #[inline(always)]
    unsafe fn starts(&self, at: usize) -> [V::Integers; C] {
        // SAFETY: `at` is one of the row's blocks.
        unsafe {
            let mut starts = [V::splat(0); C];
            for c in 0..C {
                starts[c] = V::splat(*self.x[c].starts.get_unchecked(at));
            }
            starts
        }
    }

    /// Adds the products of four columns from `at` on.
    #[inline(always)]
    unsafe fn dot(&self, totals: &mut [V::Integers; C], codes: V::Integers, at: usize) {
        for c in 0..C {
            // SAFETY: the caller's promise.
            unsafe { totals[c] = V::dot(totals[c], codes, four::<V>(&self.x[c], at)) };
        }
    }

    /// Adds the products of a block of four-bit codes, which stand for MXFP4's values or themselves.
    #[inline(always)]
    unsafe fn nibbles<const MXFP4: bool>(
        &self,
        p: *const u8,
        at: usize,
        totals: &mut [V::Integers; C],
    ) {
        // SAFETY: the caller lets us read 256 bytes, and the block's columns.
        unsafe {
            let mask = V::splat(0x0f0f_0f0f);
            for step in 0..4 {
                let both = V::load(p.add(64 * step + 4 * self.first));
                let (mut low, mut high) = (V::and(both, mask), V::and(V::right::<4>(both), mask));
                if MXFP4 {
                    low = V::lookup(&MXFP4_CODES, low);
                    high = V::lookup(&MXFP4_CODES, high);
                }
                self.dot(totals, low, at + 4 * step);
                self.dot(totals, high, at + 16 + 4 * step);
            }
        }
    }

    /// `sums += totals · scale · scale of the activations`; see [`ZERO`].
    #[inline(always)]
    unsafe fn add(&mut self, totals: [V::Integers; C], scale: V::Floats, at: usize) {
        // SAFETY: `at` is one of the row's blocks.
        unsafe {
            let zero = V::mul(scale, V::splat_float(-f32::from_bits(ZERO as u32)));
            for c in 0..C {
                let own = V::splat_float(*self.x[c].scales.get_unchecked(at));
                let scaled = V::mul_add(V::as_floats(totals[c]), scale, zero);
                self.sums[c] = V::mul_add(scaled, own, self.sums[c]);
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
