//! The products in plain Rust: what the vector kernels must equal bit by bit, and what machines without them run.

use std::ops::Range;

use half::f16;

use super::activations::{Activations, Row};
use super::layout::{HALVES, Layout, MXFP4_CODES, NIBBLES, PAIRS};
use super::{BLOCK, ROWS, ZERO};

/// Sums of sixteen rows for each column; `put` gets them.
pub(super) fn tile(
    layout: Layout,
    weights: &[u8],
    x: &Activations<'_>,
    columns: Range<usize>,
    put: impl Fn(usize, &[f32; ROWS]),
) {
    for column in columns {
        let x = x.row(column);
        let mut sums = [0f32; ROWS];
        for (r, sum) in sums.iter_mut().enumerate() {
            for (b, block) in weights.chunks_exact(layout.block_bytes()).enumerate() {
                *sum = match layout {
                    Layout::Q4K => q4k(block, r, x, b, *sum),
                    Layout::Q6K => q6k(block, r, x, b, *sum),
                    _ => plain(layout, block, r, x, b, *sum),
                };
            }
        }
        put(column, &sums);
    }
}

fn half_of(block: &[u8], r: usize) -> f32 {
    f16::from_le_bytes([block[2 * r], block[2 * r + 1]]).to_f32()
}

fn nibble(codes: &[u8], r: usize, column: usize) -> u8 {
    let byte = codes[column / 4 % 4 * 64 + 4 * r + column % 4];
    if column < 16 { byte & 15 } else { byte >> 4 }
}

fn dot(start: i32, x: &[i8], code: impl Fn(usize) -> u8) -> i32 {
    let products = x.iter().enumerate();
    start
        + products
            .map(|(j, &q)| i32::from(code(j)) * i32::from(q))
            .sum::<i32>()
}

/// `total · scale` of a total that counts from [`ZERO`].
fn scaled(total: i32, scale: f32) -> f32 {
    let zero = scale * -f32::from_bits(ZERO as u32);
    f32::from_bits(total as u32).mul_add(scale, zero)
}

fn plain(layout: Layout, block: &[u8], r: usize, x: Row<'_>, b: usize, sum: f32) -> f32 {
    let codes = &x.codes[b * BLOCK..][..BLOCK];
    let start = x.starts[b];
    let (scale, total) = match layout {
        Layout::Mxfp4 => (
            f32::from_bits(u32::from(block[r]) << 23),
            dot(start, codes, |j| {
                MXFP4_CODES[usize::from(nibble(&block[ROWS..], r, j))]
            }),
        ),
        Layout::Q4 => (
            half_of(block, r),
            dot(start, codes, |j| nibble(&block[HALVES..], r, j)),
        ),
        _ => (
            half_of(block, r),
            dot(start, codes, |j| block[HALVES + j / 4 * 64 + 4 * r + j % 4]),
        ),
    };
    scaled(total, scale).mul_add(x.scales[b], sum)
}

fn q4k(block: &[u8], r: usize, x: Row<'_>, b: usize, mut sum: f32) -> f32 {
    let (scale, least) = (half_of(block, r), half_of(&block[HALVES..], r));
    let (scales, codes) = block[2 * HALVES..].split_at(16 * ROWS);
    for part in 0..8 {
        let at = 8 * b + part;
        let codes = &codes[part * NIBBLES..][..NIBBLES];
        let total = dot(ZERO, &x.codes[at * BLOCK..][..BLOCK], |j| {
            nibble(codes, r, j)
        });
        let scale = scale * f32::from(scales[part * ROWS + r]);
        let least = least * f32::from(scales[(8 + part) * ROWS + r]);
        sum = scaled(total, scale).mul_add(x.scales[at], sum);
        sum = (-least).mul_add(x.sums[at], sum);
    }
    sum
}

fn q6k(block: &[u8], r: usize, x: Row<'_>, b: usize, mut sum: f32) -> f32 {
    let scale = half_of(block, r);
    let (scales, codes) = block[HALVES..].split_at(16 * ROWS);
    for half in 0..16 {
        let at = 16 * b + half;
        let codes = &codes[half / 2 * (NIBBLES + PAIRS)..][..NIBBLES + PAIRS];
        let total = dot(x.starts[at], &x.codes[at * 16..][..16], |j| {
            let column = half % 2 * 16 + j;
            let (step, j) = (column / 4, column % 4);
            let two = codes[NIBBLES + step / 4 * 64 + 4 * r + j] >> (2 * (step % 4)) & 3;
            nibble(codes, r, column) | two << 4
        });
        let scale = scale * f32::from(scales[half * ROWS + r] as i8);
        sum = scaled(total, scale).mul_add(x.scales[at / 2], sum);
    }
    sum
}
