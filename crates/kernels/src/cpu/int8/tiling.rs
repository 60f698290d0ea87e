//! Makes tiles of a matrix as checkpoints have it. `Tiled::of` calls it, once at load.

use rayon::prelude::*;

use super::layout::{HALVES, Layout, NIBBLES, OCTETS, PAIRS};
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

/// Where the code of a row and column lies among those of four bits: byte, and whether in its high half.
fn nibble(r: usize, column: usize) -> (usize, bool) {
    let (step, j) = (column / 4, column % 4);
    (step % 4 * 64 + 4 * r + j, step >= 4)
}

fn put_nibble(codes: &mut [u8], r: usize, column: usize, code: u8) {
    let (at, high) = nibble(r, column);
    codes[at] |= if high { code << 4 } else { code };
}

fn mxfp4(codes: &[u8], exponent: u8, r: usize, out: &mut [u8]) {
    // 2^(e − 128) as the exponent of an f32, since codes are doubled; what would be subnormal is zero, 255 stays infinite.
    out[r] = match exponent {
        255 => 255,
        exponent => exponent.saturating_sub(1),
    };
    for (j, byte) in codes.iter().enumerate() {
        put_nibble(&mut out[ROWS..], r, 2 * j, byte & 15);
        put_nibble(&mut out[ROWS..], r, 2 * j + 1, byte >> 4);
    }
}

fn ggml(format: BlockFormat, block: &[u8], r: usize, out: &mut [u8]) {
    let put_half = |out: &mut [u8], half: &[u8]| out[2 * r..2 * r + 2].copy_from_slice(&half[..2]);
    match format {
        BlockFormat::Q8_0 => {
            put_half(out, block);
            for (column, code) in block[2..].iter().enumerate() {
                put_octet(&mut out[HALVES..], r, column, code ^ 0x80);
            }
        }
        BlockFormat::Q5_0 => {
            put_half(out, block);
            let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
            for column in 0..BLOCK {
                let byte = block[6 + column % 16];
                let four = if column < 16 { byte & 15 } else { byte >> 4 };
                let code = four | ((high >> column) as u8 & 1) << 4;
                put_octet(&mut out[HALVES..], r, column, 128 - 16 + code);
            }
        }
        BlockFormat::Q4_0 => {
            put_half(out, block);
            for (j, byte) in block[2..].iter().enumerate() {
                put_nibble(&mut out[HALVES..], r, j, byte & 15);
                put_nibble(&mut out[HALVES..], r, j + 16, byte >> 4);
            }
        }
        BlockFormat::Q4_K => {
            put_half(out, block);
            put_half(&mut out[HALVES..], &block[2..]);
            let (scales, codes) = out[2 * HALVES..].split_at_mut(16 * ROWS);
            for part in 0..8 {
                let (scale, least) = scale_and_least(&block[4..16], part);
                scales[part * ROWS + r] = scale;
                scales[(8 + part) * ROWS + r] = least;
                let codes = &mut codes[part * NIBBLES..][..NIBBLES];
                for column in 0..BLOCK {
                    let byte = block[16 + part / 2 * BLOCK + column];
                    let code = if part % 2 == 0 { byte & 15 } else { byte >> 4 };
                    put_nibble(codes, r, column, code);
                }
            }
        }
        BlockFormat::Q6_K => {
            put_half(out, &block[208..]);
            let (scales, codes) = out[HALVES..].split_at_mut(16 * ROWS);
            for (part, scale) in block[192..208].iter().enumerate() {
                scales[part * ROWS + r] = *scale;
            }
            for at in 0..8 * BLOCK {
                let (n, quarter, l) = (at / 128, at % 128 / 32, at % 32);
                let byte = block[64 * n + quarter % 2 * 32 + l];
                let four = if quarter < 2 { byte & 15 } else { byte >> 4 };
                let two = block[128 + 32 * n + l] >> (2 * quarter) & 3;
                let codes = &mut codes[at / BLOCK * (NIBBLES + PAIRS)..];
                let column = at % BLOCK;
                put_nibble(codes, r, column, four);
                let (step, j) = (column / 4, column % 4);
                codes[NIBBLES + step / 4 * 64 + 4 * r + j] |= two << (2 * (step % 4));
            }
        }
        BlockFormat::Q4_1 | BlockFormat::Q5_1 | BlockFormat::Q5_K => {}
    }
}

fn put_octet(codes: &mut [u8], r: usize, column: usize, code: u8) {
    debug_assert!(codes.len() >= OCTETS);
    codes[column / 4 * 64 + 4 * r + column % 4] = code;
}
