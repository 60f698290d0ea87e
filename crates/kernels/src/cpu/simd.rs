//! The vector vocabulary the fast kernels are written in; `avx2.rs` and `avx512.rs` implement it.
//!
//! Kernels are generic over [`Simd`] and `#[inline(always)]`, so that they are compiled inside the one
//! `#[target_feature]` function of their instruction set ([`Simd::enter`]) and use it without RUSTFLAGS.

use crate::format::MAX_STEP;

/// A piece of work compiled once for every instruction set.
pub(crate) trait Kernel {
    /// Whether it adds products of pairs of bf16, which not every CPU of a level can.
    const PAIRS: bool = false;

    /// Runs with the vectors of `S`.
    ///
    /// # Safety
    /// The CPU has `S`'s features, and whatever the kernel's constructor promises holds.
    unsafe fn run<S: Simd>(self);
}

/// One vector of f32. All functions need the CPU features of their implementor.
///
/// Sums and maxima over lanes fold the upper half onto the lower half until one lane is left; every
/// implementation of a sum keeps that tree, so that tiles of any shape give the same bits.
#[allow(clippy::missing_safety_doc)] // said once above
pub trait Simd: Copy {
    /// Lanes of a vector; at most 16.
    const LANES: usize;

    /// Runs a kernel with this instruction set enabled.
    #[allow(private_bounds)]
    unsafe fn enter<K: Kernel>(kernel: K);

    unsafe fn zero() -> Self;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(p: *const f32) -> Self;
    unsafe fn store(self, p: *mut f32);
    /// `LANES` half-precision elements.
    unsafe fn load_f16(p: *const u16) -> Self;
    /// `LANES` bf16 elements in order.
    unsafe fn load_bf16(p: *const u16) -> Self;
    /// Elements 0, 2, 4, … of `2 * LANES` bf16.
    unsafe fn load_bf16_even(p: *const u16) -> Self;
    /// Elements 1, 3, 5, … of `2 * LANES` bf16.
    unsafe fn load_bf16_odd(p: *const u16) -> Self;
    /// `LANES` signed bytes.
    unsafe fn load_i8(p: *const i8) -> Self;
    /// Asks for the line at `p`, which may be any address.
    unsafe fn prefetch(p: *const u8);
    /// Asks for the line at `p`, but not into the smallest cache.
    unsafe fn prefetch_far(p: *const u8);

    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// `self * a + b`, rounded once.
    unsafe fn fma(self, a: Self, b: Self) -> Self;
    /// The larger; `other` where either is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// The smaller; `other` where either is NaN.
    unsafe fn min(self, other: Self) -> Self;
    /// Nearest integer, ties to even.
    unsafe fn round(self) -> Self;
    /// 2 to the power of `self`, which holds integers in -126..=127.
    unsafe fn pow2(self) -> Self;
    /// `self` where `x >= bound` or `x` is NaN, else 0.
    unsafe fn zero_where_below(self, x: Self, bound: f32) -> Self;

    /// `self` plus the products of each lane's two bf16: `w` and `x` are pairs, the even elements in the lower halves.
    /// This and the next three are only for kernels of [`Kernel::PAIRS`].
    unsafe fn add_pairs(self, _w: Self, _x: Self) -> Self {
        unreachable!("this level has no pairs")
    }
    /// Rounded to bf16, ties to even: the elements of `low`, then those of `high`, two in a lane.
    unsafe fn narrow(_low: Self, _high: Self) -> Self {
        unreachable!("this level has no pairs")
    }
    /// Lane i of vector j becomes lane j of vector i.
    unsafe fn transpose(_rows: [Self; 16]) -> [Self; 16] {
        unreachable!("this level has no pairs")
    }
    /// Of two vectors of bf16 the first elements side by side, the second ones, and so on: two vectors.
    unsafe fn interleave(_first: Self, _second: Self) -> [Self; 2] {
        unreachable!("this level has no pairs")
    }

    /// Sum over lanes.
    unsafe fn sum(self) -> f32;
    /// Four sums over lanes at once, each with the tree of [`Simd::sum`].
    unsafe fn sum4(vectors: [Self; 4]) -> [f32; 4];
    /// Sixteen sums over lanes at once, each with the tree of [`Simd::sum`].
    #[inline(always)]
    unsafe fn sum16(vectors: [[Self; 4]; 4]) -> [[f32; 4]; 4] {
        let [a, b, c, d] = vectors;
        // SAFETY: no memory is touched.
        unsafe { [Self::sum4(a), Self::sum4(b), Self::sum4(c), Self::sum4(d)] }
    }
    /// Largest lane.
    unsafe fn max_lane(self) -> f32;

    /// The first `len < LANES` elements, the rest 0.
    #[inline(always)]
    unsafe fn load_part(p: *const f32, len: usize) -> Self {
        let mut buffer = [0f32; MAX_STEP];
        // SAFETY: the caller lets us read `len` elements, fewer than the buffer has.
        unsafe {
            std::ptr::copy_nonoverlapping(p, buffer.as_mut_ptr(), len);
            Self::load(buffer.as_ptr())
        }
    }

    /// Writes the first `len < LANES` elements.
    #[inline(always)]
    unsafe fn store_part(self, p: *mut f32, len: usize) {
        let mut buffer = [0f32; MAX_STEP];
        // SAFETY: the caller lets us write `len` elements, fewer than the buffer has.
        unsafe {
            self.store(buffer.as_mut_ptr());
            std::ptr::copy_nonoverlapping(buffer.as_ptr(), p, len);
        }
    }
}

/// e^x within 2 ulp; exactly 0 below -87.3 (so for -inf), capped near 2.4e38 above 88.4, NaN for NaN.
///
/// Cephes' `expf`: x = n ln 2 + r, a polynomial in r, the exponent set by hand.
///
/// # Safety
/// The CPU has `S`'s features.
#[inline(always)]
pub(crate) unsafe fn exp<S: Simd>(x: S) -> S {
    const LOWEST: f32 = -87.33654;
    // SAFETY: the caller's promise; no memory is touched.
    unsafe {
        // min and max give their second operand for NaN, so x comes second and NaN passes through.
        let clamped = S::splat(LOWEST).max(S::splat(88.37626).min(x));
        let n = clamped.mul(S::splat(std::f32::consts::LOG2_E)).round();
        let r = n.fma(S::splat(-0.693_359_4), clamped);
        let r = n.fma(S::splat(2.121_944_4e-4), r);
        let mut poly = S::splat(1.987_569_1e-4);
        for coefficient in [
            1.398_199_9e-3,
            8.333_452e-3,
            4.166_579_6e-2,
            1.666_666_5e-1,
            0.5,
        ] {
            poly = poly.fma(r, S::splat(coefficient));
        }
        let value = poly.fma(r.mul(r), r.add(S::splat(1.0)));
        value.mul(n.pow2()).zero_where_below(x, LOWEST)
    }
}
