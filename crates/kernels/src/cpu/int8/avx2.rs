//! AVX2: eight rows in a vector, so that a tile is gone through twice.

use std::arch::x86_64::*;
use std::ops::Range;

use super::ROWS;
use super::activations::Activations;
use super::layout::Layout;
use super::vector::Vector;
use super::wide;

struct Avx2;

/// [`wide::tiles`] with AVX2.
///
/// # Safety
/// The CPU has the features; `weights` is a tile of the layout with the activations' columns.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn tiles(
    layout: Layout,
    weights: [&[u8]; 1],
    x: &Activations<'_>,
    columns: Range<usize>,
    put: impl Fn(usize, usize, &[f32; ROWS]),
) {
    // SAFETY: the caller's promise.
    unsafe { wide::tiles::<Avx2, 1>(layout, weights, x, columns, put) }
}

/// Eight octets as integers.
#[inline(always)]
unsafe fn eight(p: *const u8) -> __m128i {
    // SAFETY: the caller lets us read eight bytes.
    unsafe { _mm_loadl_epi64(p.cast()) }
}

impl Vector for Avx2 {
    const LANES: usize = 8;
    const OFFSET_OCTETS: bool = false;
    type Integers = __m256i;
    type Floats = __m256;

    #[inline(always)]
    unsafe fn load(p: *const u8) -> __m256i {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }

    #[inline(always)]
    unsafe fn splat(value: i32) -> __m256i {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm256_set1_epi32(value) }
    }

    #[inline(always)]
    unsafe fn and(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm256_and_si256(a, b) }
    }

    #[inline(always)]
    unsafe fn or(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm256_or_si256(a, b) }
    }

    #[inline(always)]
    unsafe fn right<const BITS: i32>(a: __m256i) -> __m256i {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm256_srli_epi16::<BITS>(a) }
    }

    #[inline(always)]
    unsafe fn left<const BITS: i32>(a: __m256i) -> __m256i {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm256_slli_epi16::<BITS>(a) }
    }

    #[inline(always)]
    unsafe fn lookup(table: &[u8; 16], codes: __m256i) -> __m256i {
        // SAFETY: the contract of `Vector`.
        unsafe {
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
            _mm256_shuffle_epi8(table, codes)
        }
    }

    // Pairs of products fit in 16 bits, codes being at most 63.
    #[inline(always)]
    unsafe fn dot(total: __m256i, codes: __m256i, x: __m256i) -> __m256i {
        // SAFETY: the contract of `Vector`.
        unsafe {
            let pairs = _mm256_maddubs_epi16(codes, x);
            _mm256_add_epi32(total, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    // As signed numbers: their sizes with the activations' signs turned.
    #[inline(always)]
    unsafe fn dot_octets(total: __m256i, codes: __m256i, x: __m256i) -> __m256i {
        // SAFETY: the contract of `Vector`.
        unsafe {
            let signed = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(signed), _mm256_sign_epi8(x, signed));
            _mm256_add_epi32(total, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn splat_float(value: f32) -> __m256 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn halves(p: *const u8) -> __m256 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
    }

    #[inline(always)]
    unsafe fn unsigned(p: *const u8) -> __m256 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(eight(p))) }
    }

    #[inline(always)]
    unsafe fn signed(p: *const u8) -> __m256 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight(p))) }
    }

    #[inline(always)]
    unsafe fn powers(p: *const u8) -> __m256 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_cvtepu8_epi32(eight(p)))) }
    }

    #[inline(always)]
    unsafe fn as_floats(a: __m256i) -> __m256 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm256_castsi256_ps(a) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn mul_sub(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm256_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn store(p: *mut f32, a: __m256) {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm256_storeu_ps(p, a) }
    }
}
