//! AVX-512 vectors (f, bw, vl, dq) for the kernels of this room; chosen by `level.rs` at run time.

use std::arch::x86_64::*;

use super::simd::{Kernel, Simd};

/// Sixteen f32.
#[derive(Clone, Copy)]
pub struct Vector<const PAIRS: bool>(__m512);

/// As every CPU of the level has them.
pub type Avx512 = Vector<false>;
/// With products of pairs of bf16 (AVX512-BF16).
pub type Avx512Bf16 = Vector<true>;

impl<const PAIRS: bool> Vector<PAIRS> {
    /// Four vectors folded to a quarter each, lane i + lane i + 8, then i + i + 4, side by side.
    #[inline(always)]
    unsafe fn quarters([a, b, c, d]: [Self; 4]) -> __m512 {
        // SAFETY: the contract of `Simd`.
        unsafe {
            let ab = _mm512_add_ps(
                _mm512_shuffle_f32x4::<0x44>(a.0, b.0),
                _mm512_shuffle_f32x4::<0xee>(a.0, b.0),
            );
            let cd = _mm512_add_ps(
                _mm512_shuffle_f32x4::<0x44>(c.0, d.0),
                _mm512_shuffle_f32x4::<0xee>(c.0, d.0),
            );
            _mm512_add_ps(
                _mm512_shuffle_f32x4::<0x88>(ab, cd),
                _mm512_shuffle_f32x4::<0xdd>(ab, cd),
            )
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
unsafe fn enter<K: Kernel>(kernel: K) {
    // SAFETY: this function's features are those of Avx512; the rest is the caller's promise.
    unsafe { kernel.run::<Avx512>() }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma,f16c")]
unsafe fn enter_bf16<K: Kernel>(kernel: K) {
    // SAFETY: as above, with the feature of Avx512Bf16.
    unsafe { kernel.run::<Avx512Bf16>() }
}

/// True where this CPU can run [`Avx512`].
pub(crate) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && super::avx2::available()
}

// SAFETY of every block below: the features are on by the contract of `Simd`, and pointers are the
// caller's promise.
impl<const PAIRS: bool> Simd for Vector<PAIRS> {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn enter<K: Kernel>(kernel: K) {
        // SAFETY: the contract of `Simd`.
        unsafe {
            match PAIRS {
                true => enter_bf16(kernel),
                false => enter(kernel),
            }
        }
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm512_setzero_ps()) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm512_set1_ps(value)) }
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm512_loadu_ps(p)) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the contract of `Simd`.
        unsafe { _mm512_storeu_ps(p, self.0) }
    }

    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm512_cvtph_ps(_mm256_loadu_si256(p.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()));
            Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide)))
        }
    }

    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe {
            let wide = _mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast()));
            Self(_mm512_cvtepi32_ps(wide))
        }
    }

    #[inline(always)]
    unsafe fn load_bf16_even(p: *const u16) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe {
            let pairs = _mm512_loadu_si512(p.cast());
            Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs)))
        }
    }

    #[inline(always)]
    unsafe fn load_bf16_odd(p: *const u16) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe {
            let pairs = _mm512_loadu_si512(p.cast());
            let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            Self(_mm512_castsi512_ps(_mm512_and_si512(pairs, upper)))
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
        unsafe { Self(_mm512_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm512_sub_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm512_mul_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm512_div_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm512_fmadd_ps(self.0, a.0, b.0)) }
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm512_max_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe { Self(_mm512_min_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe {
            Self(_mm512_roundscale_ps::<
                { _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC },
            >(self.0))
        }
    }

    #[inline(always)]
    unsafe fn pow2(self) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe {
            let biased = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127));
            Self(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased)))
        }
    }

    #[inline(always)]
    unsafe fn zero_where_below(self, x: Self, bound: f32) -> Self {
        // SAFETY: the contract of `Simd`.
        unsafe {
            // "Not less than" holds for NaN too.
            let keep = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x.0, _mm512_set1_ps(bound));
            Self(_mm512_maskz_mov_ps(keep, self.0))
        }
    }

    #[inline(always)]
    unsafe fn add_pairs(self, w: Self, x: Self) -> Self {
        // SAFETY: the contract of `Simd`; the three vectors are as long.
        unsafe {
            let pairs = |v: Self| std::mem::transmute::<__m512, __m512bh>(v.0);
            Self(_mm512_dpbf16_ps(self.0, pairs(w), pairs(x)))
        }
    }

    #[inline(always)]
    unsafe fn narrow(low: Self, high: Self) -> Self {
        // SAFETY: the contract of `Simd`; the vectors are as long.
        unsafe {
            Self(std::mem::transmute::<__m512bh, __m512>(
                _mm512_cvtne2ps_pbh(high.0, low.0),
            ))
        }
    }

    #[inline(always)]
    unsafe fn transpose(rows: [Self; 16]) -> [Self; 16] {
        let mut out = rows;
        // SAFETY: the contract of `Simd`.
        unsafe {
            // Of each four rows the columns 4 l + k in quarter l of vector k. No closures: they would be compiled
            // without this file's features.
            let mut fours = [[rows[0].0; 4]; 4];
            for (n, four) in fours.iter_mut().enumerate() {
                let (a, b) = (rows[4 * n].0, rows[4 * n + 1].0);
                let (c, d) = (rows[4 * n + 2].0, rows[4 * n + 3].0);
                let ab = _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
                let cd = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
                four[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
                four[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
                let ab = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
                let cd = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
                four[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
                four[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
            }
            for k in 0..4 {
                let (a, b, c, d) = (fours[0][k], fours[1][k], fours[2][k], fours[3][k]);
                let even = (
                    _mm512_shuffle_f32x4::<0x88>(a, b),
                    _mm512_shuffle_f32x4::<0x88>(c, d),
                );
                let odd = (
                    _mm512_shuffle_f32x4::<0xdd>(a, b),
                    _mm512_shuffle_f32x4::<0xdd>(c, d),
                );
                out[k] = Self(_mm512_shuffle_f32x4::<0x88>(even.0, even.1));
                out[4 + k] = Self(_mm512_shuffle_f32x4::<0x88>(odd.0, odd.1));
                out[8 + k] = Self(_mm512_shuffle_f32x4::<0xdd>(even.0, even.1));
                out[12 + k] = Self(_mm512_shuffle_f32x4::<0xdd>(odd.0, odd.1));
            }
        }
        out
    }

    #[inline(always)]
    unsafe fn interleave(first: Self, second: Self) -> [Self; 2] {
        /// Element i of the first vector, then of the second, from `from` on.
        const fn order(from: u16) -> [u16; 32] {
            let mut order = [0; 32];
            let mut i = 0;
            while i < 16 {
                order[2 * i] = from + i as u16;
                order[2 * i + 1] = 32 + from + i as u16;
                i += 1;
            }
            order
        }
        const ORDERS: [[u16; 32]; 2] = [order(0), order(16)];
        // SAFETY: the contract of `Simd`; an order is as long as a vector.
        unsafe {
            let (a, b) = (_mm512_castps_si512(first.0), _mm512_castps_si512(second.0));
            let low = _mm512_loadu_si512(ORDERS[0].as_ptr().cast());
            let high = _mm512_loadu_si512(ORDERS[1].as_ptr().cast());
            [
                Self(_mm512_castsi512_ps(_mm512_permutex2var_epi16(a, low, b))),
                Self(_mm512_castsi512_ps(_mm512_permutex2var_epi16(a, high, b))),
            ]
        }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: the contract of `Simd`.
        unsafe {
            let lower = _mm512_castps512_ps256(self.0);
            let upper = _mm512_extractf32x8_ps::<1>(self.0);
            super::avx2::sum8(_mm256_add_ps(lower, upper))
        }
    }

    #[inline(always)]
    unsafe fn sum4(vectors: [Self; 4]) -> [f32; 4] {
        // SAFETY: the contract of `Simd`.
        unsafe {
            let quarters = Self::quarters(vectors);
            // i + i + 2 and i + i + 1 inside quarters.
            let pairs = _mm512_add_ps(quarters, _mm512_permute_ps::<0b01_00_11_10>(quarters));
            let sums = _mm512_add_ps(pairs, _mm512_permute_ps::<0b10_11_00_01>(pairs));
            let gathered = _mm512_maskz_compress_ps(0x1111, sums);
            let mut out = [0f32; 4];
            _mm_storeu_ps(out.as_mut_ptr(), _mm512_castps512_ps128(gathered));
            out
        }
    }

    #[inline(always)]
    unsafe fn sum16(vectors: [[Self; 4]; 4]) -> [[f32; 4]; 4] {
        let [a, b, c, d] = vectors;
        // SAFETY: the contract of `Simd`.
        unsafe {
            let (a, b) = (Self::quarters(a), Self::quarters(b));
            let (c, d) = (Self::quarters(c), Self::quarters(d));
            // i + i + 2, two lanes of each; then i + i + 1: quarter n has sum n of a, b, c and d.
            let ab = _mm512_add_ps(
                _mm512_shuffle_ps::<0x44>(a, b),
                _mm512_shuffle_ps::<0xee>(a, b),
            );
            let cd = _mm512_add_ps(
                _mm512_shuffle_ps::<0x44>(c, d),
                _mm512_shuffle_ps::<0xee>(c, d),
            );
            let sums = _mm512_add_ps(
                _mm512_shuffle_ps::<0x88>(ab, cd),
                _mm512_shuffle_ps::<0xdd>(ab, cd),
            );
            let turned = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let mut out = [[0f32; 4]; 4];
            _mm512_storeu_ps(out.as_mut_ptr().cast(), _mm512_permutexvar_ps(turned, sums));
            out
        }
    }

    #[inline(always)]
    unsafe fn max_lane(self) -> f32 {
        // SAFETY: the contract of `Simd`.
        unsafe { _mm512_reduce_max_ps(self.0) }
    }
}
