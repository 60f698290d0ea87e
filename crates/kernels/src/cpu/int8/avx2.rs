//! The products with AVX2: the two halves of a tile one after the other, eight rows in a vector.

use std::arch::x86_64::*;
use std::ops::Range;

use super::activations::{Activations, Row};
use super::layout::{HALVES, Layout, MXFP4_CODES, NIBBLES, PAIRS};
use super::{BLOCK, ROWS};

/// Rows of a vector.
const LANES: usize = 8;

/// Sums of sixteen rows for each column; `put` gets them.
///
/// # Safety
/// The CPU has the features; `weights` is a tile of the layout with the activations' columns.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn tile(
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
            match columns.end - column {
                1 => group::<1>(layout, weights, x, column, &put),
                2 | 3 => group::<2>(layout, weights, x, column, &put),
                _ => group::<4>(layout, weights, x, column, &put),
            }
        };
    }
}

#[inline(always)]
unsafe fn group<const C: usize>(
    layout: Layout,
    weights: &[u8],
    x: &Activations<'_>,
    column: usize,
    put: &impl Fn(usize, &[f32; ROWS]),
) -> usize {
    let rows: [Row<'_>; C] = std::array::from_fn(|c| x.row(column + c));
    let mut out = [[0f32; ROWS]; C];
    for half in 0..2 {
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [_mm256_setzero_ps(); C];
            for (b, block) in weights.chunks_exact(layout.block_bytes()).enumerate() {
                // The half's bytes of each vector of 64.
                let p = block.as_ptr();
                match layout {
                    Layout::Mxfp4 => {
                        let table = _mm_loadu_si128(MXFP4_CODES.as_ptr().cast());
                        let table = _mm256_broadcastsi128_si256(table);
                        let exponents = _mm_loadl_epi64(p.add(half * LANES).cast());
                        let scale = _mm256_slli_epi32::<23>(_mm256_cvtepu8_epi32(exponents));
                        let mut totals = starts(&rows, b);
                        let codes = p.add(ROWS + 32 * half);
                        nibbles(codes, &rows, b * BLOCK, &mut totals, |codes| {
                            _mm256_shuffle_epi8(table, codes)
                        });
                        add(&mut sums, totals, _mm256_castsi256_ps(scale), &rows, b);
                    }
                    Layout::Q4 => {
                        let mut totals = starts(&rows, b);
                        let codes = p.add(HALVES + 32 * half);
                        nibbles(codes, &rows, b * BLOCK, &mut totals, |codes| codes);
                        add(&mut sums, totals, halves(p, half), &rows, b);
                    }
                    Layout::Q8 => {
                        let mut totals = [_mm256_setzero_si256(); C];
                        for step in 0..8 {
                            let codes = p.add(HALVES + 64 * step + 32 * half);
                            let codes = _mm256_loadu_si256(codes.cast());
                            dot_signed(&mut totals, codes, &rows, b * BLOCK + 4 * step);
                        }
                        add(&mut sums, totals, halves(p, half), &rows, b);
                    }
                    Layout::Q4K => q4k(p, half, &rows, b, &mut sums),
                    Layout::Q6K => q6k(p, half, &rows, b, &mut sums),
                }
            }
            for (c, sums) in sums.into_iter().enumerate() {
                _mm256_storeu_ps(out[c].as_mut_ptr().add(half * LANES), sums);
            }
        }
    }
    for (c, out) in out.iter().enumerate() {
        put(column + c, out);
    }
    C
}

/// Eight of sixteen half-precision numbers.
#[inline(always)]
unsafe fn halves(p: *const u8, half: usize) -> __m256 {
    // SAFETY: the caller lets us read 32 bytes.
    unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.add(16 * half).cast())) }
}

#[inline(always)]
unsafe fn starts<const C: usize>(x: &[Row<'_>; C], at: usize) -> [__m256i; C] {
    // SAFETY: `at` is one of the row's blocks.
    std::array::from_fn(|c| unsafe { _mm256_set1_epi32(*x[c].starts.get_unchecked(at)) })
}

#[inline(always)]
unsafe fn four(x: &Row<'_>, at: usize) -> __m256i {
    // SAFETY: four codes from `at` on are the row's.
    unsafe { _mm256_set1_epi32(x.codes.as_ptr().add(at).cast::<i32>().read_unaligned()) }
}

/// Adds the products of four columns from `at` on; codes are at most 63, so that pairs of products fit in 16 bits.
#[inline(always)]
unsafe fn dot<const C: usize>(
    totals: &mut [__m256i; C],
    codes: __m256i,
    x: &[Row<'_>; C],
    at: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let ones = _mm256_set1_epi16(1);
        for (total, x) in totals.iter_mut().zip(x) {
            let pairs = _mm256_maddubs_epi16(codes, four(x, at));
            *total = _mm256_add_epi32(*total, _mm256_madd_epi16(pairs, ones));
        }
    }
}

/// The same for codes around 128, as signed numbers: their sizes with the activations' signs turned.
#[inline(always)]
unsafe fn dot_signed<const C: usize>(
    totals: &mut [__m256i; C],
    codes: __m256i,
    x: &[Row<'_>; C],
    at: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let ones = _mm256_set1_epi16(1);
        let signed = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
        let sizes = _mm256_abs_epi8(signed);
        for (total, x) in totals.iter_mut().zip(x) {
            let pairs = _mm256_maddubs_epi16(sizes, _mm256_sign_epi8(four(x, at), signed));
            *total = _mm256_add_epi32(*total, _mm256_madd_epi16(pairs, ones));
        }
    }
}

#[inline(always)]
unsafe fn nibbles<const C: usize>(
    p: *const u8,
    x: &[Row<'_>; C],
    at: usize,
    totals: &mut [__m256i; C],
    code: impl Fn(__m256i) -> __m256i,
) {
    // SAFETY: the caller lets us read half of the block's codes, and its columns.
    unsafe {
        let mask = _mm256_set1_epi8(15);
        for step in 0..4 {
            let both = _mm256_loadu_si256(p.add(64 * step).cast());
            let low = code(_mm256_and_si256(both, mask));
            dot(totals, low, x, at + 4 * step);
            let high = code(_mm256_and_si256(_mm256_srli_epi16::<4>(both), mask));
            dot(totals, high, x, at + 16 + 4 * step);
        }
    }
}

#[inline(always)]
unsafe fn add<const C: usize>(
    sums: &mut [__m256; C],
    totals: [__m256i; C],
    scale: __m256,
    x: &[Row<'_>; C],
    at: usize,
) {
    for (c, sum) in sums.iter_mut().enumerate() {
        // SAFETY: `at` is one of the row's blocks.
        unsafe {
            let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(totals[c]), scale);
            let own = _mm256_set1_ps(*x[c].scales.get_unchecked(at));
            *sum = _mm256_fmadd_ps(scaled, own, *sum);
        }
    }
}

#[inline(always)]
unsafe fn q4k<const C: usize>(
    p: *const u8,
    half: usize,
    x: &[Row<'_>; C],
    b: usize,
    sums: &mut [__m256; C],
) {
    // SAFETY: the caller lets us read a block of the layout, and its columns.
    unsafe {
        let (scale, least) = (halves(p, half), halves(p.add(HALVES), half));
        let scales = p.add(2 * HALVES);
        let codes = scales.add(16 * ROWS + 32 * half);
        let widened = |at: usize| {
            let bytes = _mm_loadl_epi64(scales.add(at * ROWS + half * LANES).cast());
            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))
        };
        for part in 0..8 {
            let at = 8 * b + part;
            let mut totals = [_mm256_setzero_si256(); C];
            nibbles(
                codes.add(part * NIBBLES),
                x,
                at * BLOCK,
                &mut totals,
                |codes| codes,
            );
            add(sums, totals, _mm256_mul_ps(scale, widened(part)), x, at);
            let least = _mm256_mul_ps(least, widened(8 + part));
            for (sum, x) in sums.iter_mut().zip(x) {
                let weighted = _mm256_set1_ps(*x.sums.get_unchecked(at));
                *sum = _mm256_fnmadd_ps(least, weighted, *sum);
            }
        }
    }
}

#[inline(always)]
unsafe fn q6k<const C: usize>(
    p: *const u8,
    half: usize,
    x: &[Row<'_>; C],
    b: usize,
    sums: &mut [__m256; C],
) {
    // SAFETY: the caller lets us read a block of the layout, and its columns.
    unsafe {
        let scale = halves(p, half);
        let scales = p.add(HALVES);
        let (low_bits, high_bits) = (_mm256_set1_epi8(15), _mm256_set1_epi8(48));
        for part in 0..16 {
            let at = 16 * b + part;
            let codes = scales.add(16 * ROWS + part / 2 * (NIBBLES + PAIRS) + 32 * half);
            let pairs = _mm256_loadu_si256(codes.add(NIBBLES + part % 2 * 64).cast());
            let mut totals = starts(x, at);
            for step in 0..4 {
                let both = _mm256_loadu_si256(codes.add(64 * step).cast());
                let low = if part % 2 == 0 {
                    both
                } else {
                    _mm256_srli_epi16::<4>(both)
                };
                let high = match step {
                    0 => _mm256_slli_epi16::<4>(pairs),
                    1 => _mm256_slli_epi16::<2>(pairs),
                    2 => pairs,
                    _ => _mm256_srli_epi16::<2>(pairs),
                };
                let whole = _mm256_or_si256(
                    _mm256_and_si256(low, low_bits),
                    _mm256_and_si256(high, high_bits),
                );
                dot(&mut totals, whole, x, at * 16 + 4 * step);
            }
            let bytes = _mm_loadl_epi64(scales.add(part * ROWS + half * LANES).cast());
            let own = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
            add(sums, totals, _mm256_mul_ps(scale, own), x, at / 2);
        }
    }
}
