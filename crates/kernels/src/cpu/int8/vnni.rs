//! The products with AVX-512 VNNI: one vector holds a step of all sixteen rows of a tile.

use std::arch::x86_64::*;
use std::ops::Range;

use super::activations::{Activations, Row};
use super::layout::{HALVES, Layout, MXFP4_CODES, NIBBLES, PAIRS};
use super::{BLOCK, ROWS};

/// Sums of sixteen rows for each column; `put` gets them.
///
/// # Safety
/// The CPU has the features; `weights` is a tile of the layout with the activations' columns.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
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
                4..8 => group::<4>(layout, weights, x, column, &put),
                _ => group::<8>(layout, weights, x, column, &put),
            }
        };
    }
}

/// `C` columns at once.
#[inline(always)]
unsafe fn group<const C: usize>(
    layout: Layout,
    weights: &[u8],
    x: &Activations<'_>,
    column: usize,
    put: &impl Fn(usize, &[f32; ROWS]),
) -> usize {
    let rows: [Row<'_>; C] = std::array::from_fn(|c| x.row(column + c));
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [_mm512_setzero_ps(); C];
        let blocks = weights.chunks_exact(layout.block_bytes()).enumerate();
        match layout {
            Layout::Mxfp4 => {
                let table = _mm512_broadcast_i32x4(_mm_loadu_si128(MXFP4_CODES.as_ptr().cast()));
                for (b, block) in blocks {
                    let p = block.as_ptr();
                    let exponents = _mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()));
                    let scale = _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponents));
                    let mut totals = starts(&rows, b);
                    nibbles(p.add(ROWS), &rows, b * BLOCK, &mut totals, |codes| {
                        _mm512_shuffle_epi8(table, codes)
                    });
                    add(&mut sums, totals, scale, &rows, b);
                }
            }
            Layout::Q4 => {
                for (b, block) in blocks {
                    let p = block.as_ptr();
                    let mut totals = starts(&rows, b);
                    nibbles(p.add(HALVES), &rows, b * BLOCK, &mut totals, |codes| codes);
                    add(&mut sums, totals, halves(p), &rows, b);
                }
            }
            Layout::Q8 => {
                for (b, block) in blocks {
                    let p = block.as_ptr();
                    let mut totals = starts(&rows, b);
                    for step in 0..8 {
                        let codes = _mm512_loadu_si512(p.add(HALVES + 64 * step).cast());
                        dot(&mut totals, codes, &rows, b * BLOCK + 4 * step);
                    }
                    add(&mut sums, totals, halves(p), &rows, b);
                }
            }
            Layout::Q4K => {
                for (b, block) in blocks {
                    q4k(block.as_ptr(), &rows, b, &mut sums);
                }
            }
            Layout::Q6K => {
                for (b, block) in blocks {
                    q6k(block.as_ptr(), &rows, b, &mut sums);
                }
            }
        }
        for (c, sums) in sums.into_iter().enumerate() {
            let mut out = [0f32; ROWS];
            _mm512_storeu_ps(out.as_mut_ptr(), sums);
            put(column + c, &out);
        }
    }
    C
}

/// Sixteen half-precision numbers.
#[inline(always)]
unsafe fn halves(p: *const u8) -> __m512 {
    // SAFETY: the caller lets us read 32 bytes.
    unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
}

#[inline(always)]
unsafe fn starts<const C: usize>(x: &[Row<'_>; C], at: usize) -> [__m512i; C] {
    // SAFETY: `at` is one of the row's blocks.
    std::array::from_fn(|c| unsafe { _mm512_set1_epi32(*x[c].starts.get_unchecked(at)) })
}

/// Adds the products of four columns from `at` on.
#[inline(always)]
unsafe fn dot<const C: usize>(
    totals: &mut [__m512i; C],
    codes: __m512i,
    x: &[Row<'_>; C],
    at: usize,
) {
    for (total, x) in totals.iter_mut().zip(x) {
        // SAFETY: four codes from `at` on are the row's.
        unsafe {
            let four = x.codes.as_ptr().add(at).cast::<i32>().read_unaligned();
            *total = _mm512_dpbusd_epi32(*total, codes, _mm512_set1_epi32(four));
        }
    }
}

/// Adds the products of a block of four-bit codes, each made what it stands for by `code`.
#[inline(always)]
unsafe fn nibbles<const C: usize>(
    p: *const u8,
    x: &[Row<'_>; C],
    at: usize,
    totals: &mut [__m512i; C],
    code: impl Fn(__m512i) -> __m512i,
) {
    // SAFETY: the caller lets us read 256 bytes, and the block's columns.
    unsafe {
        let mask = _mm512_set1_epi8(15);
        for step in 0..4 {
            let both = _mm512_loadu_si512(p.add(64 * step).cast());
            let low = code(_mm512_and_si512(both, mask));
            dot(totals, low, x, at + 4 * step);
            let high = code(_mm512_and_si512(_mm512_srli_epi16::<4>(both), mask));
            dot(totals, high, x, at + 16 + 4 * step);
        }
    }
}

/// `sums += totals · scale · scale of the activations`.
#[inline(always)]
unsafe fn add<const C: usize>(
    sums: &mut [__m512; C],
    totals: [__m512i; C],
    scale: __m512,
    x: &[Row<'_>; C],
    at: usize,
) {
    for (c, sum) in sums.iter_mut().enumerate() {
        // SAFETY: `at` is one of the row's blocks.
        unsafe {
            let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(totals[c]), scale);
            let own = _mm512_set1_ps(*x[c].scales.get_unchecked(at));
            *sum = _mm512_fmadd_ps(scaled, own, *sum);
        }
    }
}

#[inline(always)]
unsafe fn q4k<const C: usize>(p: *const u8, x: &[Row<'_>; C], b: usize, sums: &mut [__m512; C]) {
    // SAFETY: the caller lets us read a block of the layout, and its columns.
    unsafe {
        let (scale, least) = (halves(p), halves(p.add(HALVES)));
        let scales = p.add(2 * HALVES);
        let codes = scales.add(16 * ROWS);
        let widened = |at: usize| {
            let bytes = _mm_loadu_si128(scales.add(at * ROWS).cast());
            _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))
        };
        for part in 0..8 {
            let at = 8 * b + part;
            let mut totals = [_mm512_setzero_si512(); C];
            nibbles(
                codes.add(part * NIBBLES),
                x,
                at * BLOCK,
                &mut totals,
                |codes| codes,
            );
            add(sums, totals, _mm512_mul_ps(scale, widened(part)), x, at);
            let least = _mm512_mul_ps(least, widened(8 + part));
            for (sum, x) in sums.iter_mut().zip(x) {
                let weighted = _mm512_set1_ps(*x.sums.get_unchecked(at));
                *sum = _mm512_fnmadd_ps(least, weighted, *sum);
            }
        }
    }
}

#[inline(always)]
unsafe fn q6k<const C: usize>(p: *const u8, x: &[Row<'_>; C], b: usize, sums: &mut [__m512; C]) {
    // SAFETY: the caller lets us read a block of the layout, and its columns.
    unsafe {
        let scale = halves(p);
        let scales = p.add(HALVES);
        let (four, two) = (_mm512_set1_epi8(15), _mm512_set1_epi8(48));
        for half in 0..16 {
            let at = 16 * b + half;
            let codes = scales.add(16 * ROWS + half / 2 * (NIBBLES + PAIRS));
            let pairs = _mm512_loadu_si512(codes.add(NIBBLES + half % 2 * 64).cast());
            let mut totals = starts(x, at);
            for step in 0..4 {
                let both = _mm512_loadu_si512(codes.add(64 * step).cast());
                let low = if half % 2 == 0 {
                    both
                } else {
                    _mm512_srli_epi16::<4>(both)
                };
                // The step's two bits, moved to bits 4 and 5.
                let high = match step {
                    0 => _mm512_slli_epi16::<4>(pairs),
                    1 => _mm512_slli_epi16::<2>(pairs),
                    2 => pairs,
                    _ => _mm512_srli_epi16::<2>(pairs),
                };
                let whole =
                    _mm512_or_si512(_mm512_and_si512(low, four), _mm512_and_si512(high, two));
                dot(&mut totals, whole, x, at * 16 + 4 * step);
            }
            let bytes = _mm_loadu_si128(scales.add(half * ROWS).cast());
            let part = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
            add(sums, totals, _mm512_mul_ps(scale, part), x, at / 2);
        }
    }
}
