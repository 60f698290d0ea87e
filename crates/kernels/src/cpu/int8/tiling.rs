//! Makes tiles of a matrix as checkpoints have it. `Tiled::of` calls it, once at load.

use rayon::prelude::*;

use super::layout::{HALVES, Layout, NIBBLES, PAIRS};
use super::{BLOCK, ROWS};
use crate::format::{BlockFormat, Weights, scale_and_least};

/// The layout for a matrix `[n, k]` and its bytes; rows beyond n are zero.
pub(super) fn tile(weights: Weights<'_>, n: usize, k: usize) -> Option<(Layout, Vec<u8>)> {
    let layout = match weights {
        Weights::Mxfp4 { .. } => Layout::Mxfp4,
        Weights::Blocks { format, .. } => Layout::of(format)?,
        Weights::F32(_) | Weights::F16(_) | Weights::Bf16(_) => return None,
    };
    if n == 0 || k == 0 || !k.is_multiple_of(layout.columns()) {
        return None;
    }
    let size = layout.tile_bytes(k);
    let mut bytes = vec![0u8; n.div_ceil(ROWS) * size];
    bytes
        .par_chunks_mut(size)
        .enumerate()
        .for_each(|(t, tile)| {
            for r in 0..ROWS.min(n - t * ROWS) {
                let row = t * ROWS + r;
                let blocks = tile.chunks_exact_mut(layout.block_bytes());
                for (b, out) in blocks.enumerate() {
                    match weights {
                        Weights::Mxfp4 { blocks, scales } => {
                            let at = row * (k / BLOCK) + b;
                            mxfp4(&blocks[16 * at..][..16], scales[at], r, out);
                        }
                        Weights::Blocks { format, bytes } => {
                            let at = (row * (k / layout.columns()) + b) * format.bytes();
                            ggml(format, &bytes[at..][..format.bytes()], r, out);
                        }
                        _ => {}
                    }
                }
            }
        });
    Some((layout, bytes))
}

/// Four octets from `at` on, the first lowest.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Puts the four columns of a step, which a row has side by side.
fn put(codes: &mut [u8], r: usize, step: usize, word: u32) {
    codes[64 * step + 4 * r..][..4].copy_from_slice(&word.to_le_bytes());
}

/// The low four bits of each octet.
const FOUR: u32 = 0x0f0f_0f0f;
/// The low two.
const TWO: u32 = 0x0303_0303;

/// Puts a block of four-bit codes: of step s, columns 4s to 4s + 3, `low`, and of step s + 4 `high`, an octet a code.
fn put_nibbles(codes: &mut [u8], r: usize, words: impl Fn(usize) -> (u32, u32)) {
    for step in 0..4 {
        let (low, high) = words(step);
        put(codes, r, step, low | high << 4);
    }
}

/// The four codes of two octets, one an octet.
fn spread(pair: &[u8]) -> u32 {
    let (first, second) = (u32::from(pair[0]), u32::from(pair[1]));
    let apart = |octet: u32| octet & 15 | (octet & 0xf0) << 4;
    apart(first) | apart(second) << 16
}

fn mxfp4(codes: &[u8], exponent: u8, r: usize, out: &mut [u8]) {
    // 2^(e − 128) as the exponent of an f32, since codes are doubled; what would be subnormal is zero, 255 stays infinite.
    out[r] = match exponent {
        255 => 255,
        exponent => exponent.saturating_sub(1),
    };
    put_nibbles(&mut out[ROWS..], r, |step| {
        (spread(&codes[2 * step..]), spread(&codes[8 + 2 * step..]))
    });
}

fn ggml(format: BlockFormat, block: &[u8], r: usize, out: &mut [u8]) {
    let put_half = |out: &mut [u8], half: &[u8]| out[2 * r..2 * r + 2].copy_from_slice(&half[..2]);
    match format {
        BlockFormat::Q8_0 => {
            put_half(out, block);
            for step in 0..8 {
                let codes = word(block, 2 + 4 * step) ^ 0x8080_8080;
                put(&mut out[HALVES..], r, step, codes);
            }
        }
        BlockFormat::Q5_0 => {
            put_half(out, block);
            let high = word(block, 2);
            for step in 0..8 {
                let four = word(block, 6 + 4 * (step % 4)) >> (step / 4 * 4) & FOUR;
                let bit = |column: usize| (high >> (4 * step + column) & 1) << (8 * column + 4);
                let five = four | bit(0) | bit(1) | bit(2) | bit(3);
                put(&mut out[HALVES..], r, step, five + 0x7070_7070);
            }
        }
        BlockFormat::Q4_0 => {
            put_half(out, block);
            put_nibbles(&mut out[HALVES..], r, |step| {
                let both = word(block, 2 + 4 * step);
                (both & FOUR, both >> 4 & FOUR)
            });
        }
        BlockFormat::Q4_K => {
            put_half(out, block);
            put_half(&mut out[HALVES..], &block[2..]);
            let (scales, codes) = out[2 * HALVES..].split_at_mut(16 * ROWS);
            for part in 0..8 {
                let (scale, least) = scale_and_least(&block[4..16], part);
                scales[part * ROWS + r] = scale;
                scales[(8 + part) * ROWS + r] = least;
                let at = 16 + part / 2 * BLOCK;
                let four = |column: usize| word(block, at + column) >> (part % 2 * 4) & FOUR;
                put_nibbles(&mut codes[part * NIBBLES..], r, |step| {
                    (four(4 * step), four(16 + 4 * step))
                });
            }
        }
        BlockFormat::Q6_K => {
            put_half(out, &block[208..]);
            let (scales, codes) = out[HALVES..].split_at_mut(16 * ROWS);
            for (part, scale) in block[192..208].iter().enumerate() {
                scales[part * ROWS + r] = *scale;
            }
            for part in 0..8 {
                let (n, quarter) = (part / 4, part % 4);
                let codes = &mut codes[part * (NIBBLES + PAIRS)..];
                let four = |column: usize| {
                    word(block, 64 * n + quarter % 2 * BLOCK + column) >> (quarter / 2 * 4) & FOUR
                };
                let two = |step: usize| {
                    let pairs = word(block, 128 + BLOCK * n + 4 * step);
                    (pairs >> (2 * quarter) & TWO) << (2 * (step % 4))
                };
                put_nibbles(codes, r, |step| (four(4 * step), four(16 + 4 * step)));
                for half in 0..2 {
                    let pairs = (4 * half..4 * half + 4).fold(0, |all, step| all | two(step));
                    put(&mut codes[NIBBLES..], r, half, pairs);
                }
            }
        }
        BlockFormat::Q4_1 | BlockFormat::Q5_1 | BlockFormat::Q5_K => {}
    }
}
