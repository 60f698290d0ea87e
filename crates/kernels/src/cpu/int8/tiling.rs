//! Makes tiles of a matrix as checkpoints have it. `Tiled::of` calls it, once at load.

use rayon::prelude::*;

use super::layout::{HALVES, Layout, NIBBLES, OCTETS, PAIRS};
use super::{BLOCK, ROWS, RowFormat};
use crate::format::{BlockFormat, Weights, scale_and_least};

/// The layout for a matrix `[n, k]` and its bytes; rows beyond n are zero.
pub(super) fn tile(weights: Weights<'_>, n: usize, k: usize) -> Option<(Layout, Vec<u8>)> {
    match weights {
        Weights::Mxfp4 { blocks, scales } => {
            let row = |row: usize| (&blocks[row * (k / 2)..], &scales[row * (k / BLOCK)..]);
            let bytes = fill(Layout::Mxfp4, n, k, row, |(codes, scales), b, r, out| {
                mxfp4(block_of(codes, b), scales[b], r, out);
            })?;
            Some((Layout::Mxfp4, bytes))
        }
        Weights::Blocks { format, bytes } => {
            let size = format.row_bytes(k);
            tile_rows(RowFormat::Blocks(format), n, k, |row| {
                &bytes[row * size..][..size]
            })
        }
        Weights::F32(_) | Weights::F16(_) | Weights::Bf16(_) => None,
    }
}

/// The same of rows in GGML's blocks, wherever each lies.
pub(super) fn tile_rows<'a>(
    format: RowFormat,
    n: usize,
    k: usize,
    row: impl Fn(usize) -> &'a [u8] + Sync,
) -> Option<(Layout, Vec<u8>)> {
    let layout = match format {
        RowFormat::Mxfp4 => Layout::Mxfp4,
        RowFormat::Blocks(format) => Layout::of(format)?,
    };
    let bytes = match format {
        RowFormat::Mxfp4 => fill(layout, n, k, row, each(ggml_mxfp4)),
        RowFormat::Blocks(BlockFormat::Q8_0) => fill(layout, n, k, row, each(q8_0)),
        RowFormat::Blocks(BlockFormat::Q5_0) => fill(layout, n, k, row, each(q5_0)),
        RowFormat::Blocks(BlockFormat::Q4_0) => fill(layout, n, k, row, each(q4_0)),
        RowFormat::Blocks(BlockFormat::Q4_K) => fill(layout, n, k, row, each(q4_k)),
        RowFormat::Blocks(BlockFormat::Q6_K) => fill(layout, n, k, row, each(q6_k)),
        RowFormat::Blocks(BlockFormat::Q4_1 | BlockFormat::Q5_1 | BlockFormat::Q5_K) => None,
    };
    Some((layout, bytes?))
}

/// Takes block `b` of a row of blocks that have `IN` bytes and puts it into those of a tile that have `OUT`.
fn each<const IN: usize, const OUT: usize>(
    put: impl Fn(&[u8; IN], usize, &mut [u8; OUT]) + Sync,
) -> impl Fn(&&[u8], usize, usize, &mut [u8; OUT]) + Sync {
    move |row, b, r, out| put(block_of(row, b), r, out)
}

/// Block `b` of a row.
#[inline(always)]
fn block_of<const BYTES: usize>(row: &[u8], b: usize) -> &[u8; BYTES] {
    match row[BYTES * b..].first_chunk() {
        Some(block) => block,
        None => panic!("tiles: a row ends within its block {b}"),
    }
}

/// Sixteen rows at a time, block by block: `put(row, block, r, out)` writes what row r of a tile has there.
fn fill<R, const OUT: usize>(
    layout: Layout,
    n: usize,
    k: usize,
    row: impl Fn(usize) -> R + Sync,
    put: impl Fn(&R, usize, usize, &mut [u8; OUT]) + Sync,
) -> Option<Vec<u8>> {
    if n == 0 || k == 0 || !k.is_multiple_of(layout.columns()) {
        return None;
    }
    debug_assert_eq!(OUT, layout.block_bytes());
    let size = layout.tile_bytes(k);
    let mut bytes = vec![0u8; n.div_ceil(ROWS) * size];
    let tiles = bytes.par_chunks_mut(size).enumerate();
    tiles.for_each(|(t, tile)| {
        let rows = t * ROWS..n.min((t + 1) * ROWS);
        let rows: Vec<R> = rows.map(&row).collect();
        let (blocks, _) = tile.as_chunks_mut::<OUT>();
        for (b, out) in blocks.iter_mut().enumerate() {
            for (r, row) in rows.iter().take(ROWS).enumerate() {
                put(row, b, r, out);
            }
        }
    });
    Some(bytes)
}

/// Four octets from `at` on, the first lowest.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Puts the four columns of a step, which a row has side by side.
#[inline(always)]
fn put(codes: &mut [u8], r: usize, step: usize, word: u32) {
    codes[64 * step + 4 * (r % ROWS)..][..4].copy_from_slice(&word.to_le_bytes());
}

/// Puts a row's half-precision number.
#[inline(always)]
fn put_half(out: &mut [u8], r: usize, half: &[u8]) {
    out[2 * (r % ROWS)..][..2].copy_from_slice(&half[..2]);
}

/// The low four bits of each octet.
const FOUR: u32 = 0x0f0f_0f0f;
/// The low two.
const TWO: u32 = 0x0303_0303;

/// Puts a block of four-bit codes: of step s, columns 4s to 4s + 3, `low`, and of step s + 4 `high`, an octet a code.
#[inline(always)]
fn put_nibbles(codes: &mut [u8], r: usize, words: impl Fn(usize) -> (u32, u32)) {
    for step in 0..4 {
        let (low, high) = words(step);
        put(codes, r, step, low | high << 4);
    }
}

/// Puts codes of which byte j holds column j and column j + 16, as tiles have them too.
#[inline(always)]
fn put_paired(codes: &mut [u8], r: usize, pairs: &[u8]) {
    for step in 0..4 {
        put(codes, r, step, word(pairs, 4 * step));
    }
}

/// The four codes of two octets, one an octet.
#[inline(always)]
fn spread(pair: &[u8]) -> u32 {
    let (first, second) = (u32::from(pair[0]), u32::from(pair[1]));
    let apart = |octet: u32| octet & 15 | (octet & 0xf0) << 4;
    apart(first) | apart(second) << 16
}

/// 2^(e − 128) as the exponent of an f32, since codes are doubled; what would be subnormal is zero, 255 stays infinite.
#[inline(always)]
fn doubled(exponent: u8) -> u8 {
    match exponent {
        255 => 255,
        exponent => exponent.saturating_sub(1),
    }
}

#[inline(always)]
fn mxfp4(codes: &[u8; 16], exponent: u8, r: usize, out: &mut [u8; ROWS + NIBBLES]) {
    out[r % ROWS] = doubled(exponent);
    put_nibbles(&mut out[ROWS..], r, |step| {
        (spread(&codes[2 * step..]), spread(&codes[8 + 2 * step..]))
    });
}

#[inline(always)]
fn ggml_mxfp4(block: &[u8; 17], r: usize, out: &mut [u8; ROWS + NIBBLES]) {
    out[r % ROWS] = doubled(block[0]);
    put_paired(&mut out[ROWS..], r, &block[1..]);
}

#[inline(always)]
fn q4_0(block: &[u8; 18], r: usize, out: &mut [u8; HALVES + NIBBLES]) {
    put_half(out, r, block);
    put_paired(&mut out[HALVES..], r, &block[2..]);
}

#[inline(always)]
fn q8_0(block: &[u8; 34], r: usize, out: &mut [u8; HALVES + OCTETS]) {
    put_half(out, r, block);
    for step in 0..8 {
        let codes = word(block, 2 + 4 * step) ^ 0x8080_8080;
        put(&mut out[HALVES..], r, step, codes);
    }
}

#[inline(always)]
fn q5_0(block: &[u8; 22], r: usize, out: &mut [u8; HALVES + OCTETS]) {
    put_half(out, r, block);
    let high = word(block, 2);
    for step in 0..8 {
        let four = word(block, 6 + 4 * (step % 4)) >> (step / 4 * 4) & FOUR;
        let bit = |column: usize| (high >> (4 * step + column) & 1) << (8 * column + 4);
        let five = four | bit(0) | bit(1) | bit(2) | bit(3);
        put(&mut out[HALVES..], r, step, five + 0x7070_7070);
    }
}

#[inline(always)]
fn q4_k(block: &[u8; 144], r: usize, out: &mut [u8; Layout::Q4K.block_bytes()]) {
    put_half(out, r, block);
    put_half(&mut out[HALVES..], r, &block[2..]);
    let (scales, codes) = out[2 * HALVES..].split_at_mut(16 * ROWS);
    for part in 0..8 {
        let (scale, least) = scale_and_least(&block[4..16], part);
        scales[part * ROWS + r % ROWS] = scale;
        scales[(8 + part) * ROWS + r % ROWS] = least;
        let at = 16 + part / 2 * BLOCK;
        let four = |column: usize| word(block, at + column) >> (part % 2 * 4) & FOUR;
        put_nibbles(&mut codes[part * NIBBLES..], r, |step| {
            (four(4 * step), four(16 + 4 * step))
        });
    }
}

#[inline(always)]
fn q6_k(block: &[u8; 210], r: usize, out: &mut [u8; Layout::Q6K.block_bytes()]) {
    put_half(out, r, &block[208..]);
    let (scales, codes) = out[HALVES..].split_at_mut(16 * ROWS);
    for (part, scale) in block[192..208].iter().enumerate() {
        scales[part * ROWS + r % ROWS] = *scale;
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
