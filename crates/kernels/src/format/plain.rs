//! Elements stored one by one: f32, f16 and bf16, and how a vector of them becomes f32.
//!
//! Kernels read elements in steps of two vectors. bf16 is widened by one shift (even elements) and one
//! mask (odd elements) of the same 32-bit lanes, without a shuffle; so a step of bf16 comes as
//! evens-then-odds and the activations are packed in the same order.

use half::{bf16, f16};

use crate::cpu::simd::Simd;

/// Elements of the longest step: two vectors of 16 lanes.
pub(crate) const MAX_STEP: usize = 32;

/// A scalar element type of weights.
pub trait Plain: Copy + Send + Sync + 'static {
    /// Whether a step's vectors are its even and odd elements rather than its two halves.
    const EVEN_ODD: bool;
    /// The element 0.
    const ZERO: Self;

    /// Exact value in f32.
    fn widen(self) -> f32;

    /// First vector of the step at `p`.
    ///
    /// # Safety
    /// `p` reads `2 * S::LANES` elements; the CPU has `S`'s features.
    unsafe fn first<S: Simd>(p: *const Self) -> S;

    /// Second vector of the step at `p`.
    ///
    /// # Safety
    /// As [`Plain::first`].
    unsafe fn second<S: Simd>(p: *const Self) -> S;
}

impl Plain for f32 {
    const EVEN_ODD: bool = false;
    const ZERO: Self = 0.0;

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    unsafe fn first<S: Simd>(p: *const Self) -> S {
        // SAFETY: the caller's promise covers the first S::LANES elements.
        unsafe { S::load(p) }
    }

    #[inline(always)]
    unsafe fn second<S: Simd>(p: *const Self) -> S {
        // SAFETY: the caller's promise covers 2 * S::LANES elements.
        unsafe { S::load(p.add(S::LANES)) }
    }
}

impl Plain for f16 {
    const EVEN_ODD: bool = false;
    const ZERO: Self = f16::ZERO;

    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }

    #[inline(always)]
    unsafe fn first<S: Simd>(p: *const Self) -> S {
        // SAFETY: the caller's promise; f16 is a transparent u16.
        unsafe { S::load_f16(p.cast()) }
    }

    #[inline(always)]
    unsafe fn second<S: Simd>(p: *const Self) -> S {
        // SAFETY: the caller's promise covers 2 * S::LANES elements.
        unsafe { S::load_f16(p.add(S::LANES).cast()) }
    }
}

impl Plain for bf16 {
    const EVEN_ODD: bool = true;
    const ZERO: Self = bf16::ZERO;

    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }

    #[inline(always)]
    unsafe fn first<S: Simd>(p: *const Self) -> S {
        // SAFETY: the caller's promise covers S::LANES pairs; bf16 is a transparent u16.
        unsafe { S::load_bf16_even(p.cast()) }
    }

    #[inline(always)]
    unsafe fn second<S: Simd>(p: *const Self) -> S {
        // SAFETY: as in `first`.
        unsafe { S::load_bf16_odd(p.cast()) }
    }
}
