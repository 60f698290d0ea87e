//! Prefetching beside arithmetic: `block.rs` asks for the pages that it will read next.

use super::simd::Simd;

/// What will be read next, asked for line by line while there is arithmetic to do: pages lie scattered,
/// so the hardware cannot guess them.
pub(super) struct Ahead {
    /// Wanted at once.
    near: *const u8,
    /// Wanted a little later.
    far: *const u8,
    at: usize,
    bytes: usize,
    /// Lines of each in a step.
    lines: usize,
}

impl Ahead {
    /// `len` elements from each of two places, spread over about so many steps.
    pub(super) fn new<E>(near: *const E, far: *const E, len: usize, steps: usize) -> Self {
        let bytes = len * size_of::<E>();
        let lines = bytes.div_ceil(64 * steps.max(1));
        Self {
            near: near.cast(),
            far: far.cast(),
            at: 0,
            bytes,
            lines,
        }
    }

    /// Asks for the next lines of both.
    ///
    /// # Safety
    /// The CPU has `S`'s features.
    #[inline(always)]
    pub(super) unsafe fn step<S: Simd>(&mut self) {
        for _ in 0..self.lines {
            if self.at < self.bytes {
                // SAFETY: any address may be prefetched.
                unsafe {
                    S::prefetch(self.near.wrapping_add(self.at));
                    S::prefetch_far(self.far.wrapping_add(self.at));
                }
                self.at += 64;
            }
        }
    }
}
