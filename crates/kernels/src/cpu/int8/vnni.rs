//! AVX-512 VNNI: sixteen rows in a vector, and products of octets in one instruction.

use std::arch::x86_64::*;
use std::ops::Range;

use super::ROWS;
use super::activations::Activations;
use super::layout::Layout;
use super::vector::Vector;
use super::wide;

struct Vnni;

/// [`wide::tiles`] with VNNI.
///
/// # Safety
/// The CPU has the features; `weights` are tiles of the layout with the activations' columns.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn tiles<const T: usize>(
    layout: Layout,
    weights: [&[u8]; T],
    x: &Activations<'_>,
    columns: Range<usize>,
    put: impl Fn(usize, usize, &[f32; ROWS]),
) {
    // SAFETY: the caller's promise.
    unsafe { wide::tiles::<Vnni, T>(layout, weights, x, columns, put) }
}

/// Sixteen octets.
#[inline(always)]
unsafe fn sixteen(p: *const u8) -> __m128i {
    // SAFETY: the caller lets us read sixteen bytes.
    unsafe { _mm_loadu_si128(p.cast()) }
}

impl Vector for Vnni {
    const LANES: usize = 16;
    const OFFSET_OCTETS: bool = true;
    type Integers = __m512i;
    type Floats = __m512;

    #[inline(always)]
    unsafe fn load(p: *const u8) -> __m512i {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_loadu_si512(p.cast()) }
    }

    #[inline(always)]
    unsafe fn splat(value: i32) -> __m512i {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    unsafe fn and(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_and_si512(a, b) }
    }

    #[inline(always)]
    unsafe fn or(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_or_si512(a, b) }
    }

    // Its own immediates are unsigned, which a generic constant cannot become; the compiler makes them of these.
    #[inline(always)]
    unsafe fn right<const BITS: i32>(a: __m512i) -> __m512i {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_srl_epi16(a, _mm_cvtsi32_si128(BITS)) }
    }

    #[inline(always)]
    unsafe fn left<const BITS: i32>(a: __m512i) -> __m512i {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_sll_epi16(a, _mm_cvtsi32_si128(BITS)) }
    }

    #[inline(always)]
    unsafe fn lookup(table: &[u8; 16], codes: __m512i) -> __m512i {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_shuffle_epi8(_mm512_broadcast_i32x4(sixteen(table.as_ptr())), codes) }
    }

    #[inline(always)]
    unsafe fn dot(total: __m512i, codes: __m512i, x: __m512i) -> __m512i {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_dpbusd_epi32(total, codes, x) }
    }

    #[inline(always)]
    unsafe fn dot_octets(total: __m512i, codes: __m512i, x: __m512i) -> __m512i {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_dpbusd_epi32(total, codes, x) }
    }

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn splat_float(value: f32) -> __m512 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn halves(p: *const u8) -> __m512 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
    }

    #[inline(always)]
    unsafe fn unsigned(p: *const u8) -> __m512 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(sixteen(p))) }
    }

    #[inline(always)]
    unsafe fn signed(p: *const u8) -> __m512 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(sixteen(p))) }
    }

    #[inline(always)]
    unsafe fn powers(p: *const u8) -> __m512 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_cvtepu8_epi32(sixteen(p)))) }
    }

    #[inline(always)]
    unsafe fn as_floats(a: __m512i) -> __m512 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_castsi512_ps(a) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn mul_sub(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn store(p: *mut f32, a: __m512) {
        // SAFETY: the contract of `Vector`.
        unsafe { _mm512_storeu_ps(p, a) }
    }
}
