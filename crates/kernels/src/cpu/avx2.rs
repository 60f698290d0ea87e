//! AVX2 vectors (with FMA and F16C) for the kernels of this room; chosen by `level.rs` at run time.

use std::arch::x86_64::*;

use super::simd::{Kernel, Simd};

/// Eight f32.
#[derive(Clone, Copy)]
pub struct Avx2(__m256);

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn enter<K: Kernel>(kernel: K) {
    // SAFETY: this function's features are those of Avx2; the rest is the caller's promise.
    unsafe { kernel.run::<Avx2>() }
}

/// True where this CPU can run [`Avx2`].
pub(crate) fn available() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

/// Sum of eight lanes by folding halves: i + i+4, i + i+2, i + i+1.
///
/// # Safety
/// The CPU has AVX.
#[inline(always)]
pub(super) unsafe fn sum8(v: __m256) -> f32 {
    // SAFETY: the caller's promise.
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }
}

impl Simd for Avx2 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn enter<K: Kernel>(kernel: K) {
        // SAFETY: the contract of `Simd`.
        unsafe { enter(kernel) }
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm256_setzero_ps()) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm256_set1_ps(value)) }
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm256_loadu_ps(p)) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the contract of `Simd`.
        unsafe { _mm256_storeu_ps(p, self.0) }
    }

    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm256_cvtph_ps(_mm_loadu_si128(p.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
            Self(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide)))
        }
    }

    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe {
            let wide = _mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast()));
            Self(_mm256_cvtepi32_ps(wide))
        }
    }

    #[inline(always)]
    unsafe fn load_bf16_even(p: *const u16) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe {
            let pairs = _mm256_loadu_si256(p.cast());
            Self(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs)))
        }
    }

    #[inline(always)]
    unsafe fn load_bf16_odd(p: *const u16) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe {
            let pairs = _mm256_loadu_si256(p.cast());
            let upper = _mm256_set1_epi32(0xffff_0000_u32 as i32);
            Self(_mm256_castsi256_ps(_mm256_and_si256(pairs, upper)))
        }
    }

    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        // SAFETY: a prefetch of any address is harmless.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }

    #[inline(always)]
    unsafe fn prefetch_far(p: *const u8) {
        // SAFETY: a prefetch of any address is harmless.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm256_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm256_sub_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm256_mul_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm256_div_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm256_fmadd_ps(self.0, a.0, b.0)) }
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm256_max_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm256_min_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe {
            Self(_mm256_round_ps::<
                { _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC },
            >(self.0))
        }
    }

    #[inline(always)]
    unsafe fn pow2(self) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe {
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(self.0), _mm256_set1_epi32(127));
            Self(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased)))
        }
    }

    #[inline(always)]
    unsafe fn zero_where_below(self, x: Self, bound: f32) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe {
            // "Not less than" holds for NaN too.
            let keep = _mm256_cmp_ps::<_CMP_NLT_UQ>(x.0, _mm256_set1_ps(bound));
            Self(_mm256_and_ps(keep, self.0))
        }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: the contract of `Simd`.
        unsafe { sum8(self.0) }
    }

    #[inline(always)]
    unsafe fn sum4(vectors: [Self; 4]) -> [f32; 4] {
        let [a, b, c, d] = vectors;
        // SAFETY: the contract of `Simd`.
        unsafe {
            // Halves of a and b side by side, likewise c and d: lane i + lane i + 4.
            let ab = _mm256_add_ps(
                _mm256_permute2f128_ps::<0x20>(a.0, b.0),
                _mm256_permute2f128_ps::<0x31>(a.0, b.0),
            );
            let cd = _mm256_add_ps(
                _mm256_permute2f128_ps::<0x20>(c.0, d.0),
                _mm256_permute2f128_ps::<0x31>(c.0, d.0),
            );
            // i + i + 2, leaving [a a c c | b b d d]; then i + i + 1.
            let pairs = _mm256_add_ps(
                _mm256_shuffle_ps::<0x44>(ab, cd),
                _mm256_shuffle_ps::<0xee>(ab, cd),
            );
            let sums = _mm256_add_ps(pairs, _mm256_permute_ps::<0b10_11_00_01>(pairs));
            let mut out = [0f32; 8];
            _mm256_storeu_ps(out.as_mut_ptr(), sums);
            [out[0], out[4], out[2], out[6]]
        }
    }

    #[inline(always)]
    unsafe fn max_lane(self) -> f32 {
        // SAFETY: the contract of `Simd`.
        unsafe {
            let four = _mm_max_ps(
                _mm256_castps256_ps128(self.0),
                _mm256_extractf128_ps::<1>(self.0),
            );
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }
}
