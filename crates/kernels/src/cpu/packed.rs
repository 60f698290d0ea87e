//! The matrix product for weights stored in blocks: rows are widened a tile at a time and multiplied as f32.
//! `cpu::linear` calls it. Every output keeps the order of the f32 product, so rows stay independent of their company.

use rayon::prelude::*;

use super::level::Level;
use super::scratch::{Shared, with_scratch};
use crate::format::{BlockFormat, mxfp4};

/// Weight rows widened at once.
const TILE: usize = 16;

/// A matrix `[n, k]` in blocks.
pub(super) trait Rows: Copy + Sync {
    /// Widens `count` rows of `k` elements from row `first` on.
    fn widen(self, first: usize, count: usize, k: usize, wide: &mut [f32]);
}

/// An MXFP4 matrix.
#[derive(Clone, Copy)]
pub(super) struct Mxfp4<'a> {
    pub blocks: &'a [u8],
    pub scales: &'a [u8],
}

impl Rows for Mxfp4<'_> {
    fn widen(self, first: usize, count: usize, k: usize, wide: &mut [f32]) {
        let (codes, scales) = (k / 2, k / mxfp4::BLOCK);
        mxfp4::decode(
            &self.blocks[first * codes..][..count * codes],
            &self.scales[first * scales..][..count * scales],
            wide,
        );
    }
}

/// A matrix of GGML's blocks.
#[derive(Clone, Copy)]
pub(super) struct Blocks<'a> {
    pub format: BlockFormat,
    pub bytes: &'a [u8],
}

impl Rows for Blocks<'_> {
    fn widen(self, first: usize, count: usize, k: usize, wide: &mut [f32]) {
        let row = self.format.row_bytes(k);
        self.format
            .decode(&self.bytes[first * row..][..count * row], wide);
    }
}

/// `y[m, n] = x[m, k] · Wᵀ (+ bias)`; shapes are checked by the caller.
pub(super) fn linear(
    level: Level,
    x: &[f32],
    k: usize,
    w: impl Rows,
    n: usize,
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let m = x.len() / k;
    let shared = Shared::new(y);
    (0..n.div_ceil(TILE)).into_par_iter().for_each(|tile| {
        let (first, count) = (tile * TILE, TILE.min(n - tile * TILE));
        with_scratch(count * k + m * count, |scratch| {
            let (wide, part) = scratch.split_at_mut(count * k);
            w.widen(first, count, k, wide);
            let bias = bias.map(|bias| &bias[first..first + count]);
            super::linear_of(level, x, k, wide, count, bias, part);
            for (i, row) in part.chunks_exact(count).enumerate() {
                for (j, &value) in row.iter().enumerate() {
                    // SAFETY: i < m and first + j < n, and each task has its own columns of y.
                    unsafe { *shared.start().add(i * n + first + j) = value }
                }
            }
        });
    });
}
