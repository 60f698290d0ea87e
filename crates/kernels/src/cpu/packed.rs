//! The matrix product for weights stored in blocks: rows are widened a tile at a time and multiplied as f32.
//! `cpu::linear` calls it. Every output keeps the order of the f32 product, so rows stay independent of their company.

use rayon::prelude::*;

use super::level::Level;
use super::scratch::{Shared, with_scratch};
use crate::format::mxfp4;

/// Weight rows widened at once.
const TILE: usize = 16;

/// An MXFP4 matrix `[n, k]`.
#[derive(Clone, Copy)]
pub(super) struct Mxfp4<'a> {
    pub blocks: &'a [u8],
    pub scales: &'a [u8],
}

/// `y[m, n] = x[m, k] · Wᵀ (+ bias)`; shapes are checked by the caller.
pub(super) fn linear(
    level: Level,
    x: &[f32],
    k: usize,
    w: Mxfp4<'_>,
    n: usize,
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let m = x.len() / k;
    let shared = Shared::new(y);
    let (row_blocks, row_scales) = (k / 2, k / mxfp4::BLOCK);
    (0..n.div_ceil(TILE)).into_par_iter().for_each(|tile| {
        let (first, count) = (tile * TILE, TILE.min(n - tile * TILE));
        with_scratch(count * k + m * count, |scratch| {
            let (wide, part) = scratch.split_at_mut(count * k);
            let blocks = &w.blocks[first * row_blocks..(first + count) * row_blocks];
            let scales = &w.scales[first * row_scales..(first + count) * row_scales];
            mxfp4::decode(blocks, scales, wide);
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
