//! GGML's blocks of 256 elements ("K-quants"): parts with small scales of their own under one or two of half precision.
//! Layouts as in ggml-common.h.

use half::f16;

use super::legacy::half_at;

/// Elements of a block.
const BLOCK: usize = 256;
/// Elements that share a scale and a minimum in Q4_K and Q5_K.
const PART: usize = 32;
/// Elements that share a scale in Q6_K.
const FINE: usize = 16;

/// Six-bit scale and minimum of part `j` of eight, out of twelve bytes.
#[inline]
pub(crate) fn scale_and_least(packed: &[u8], j: usize) -> (u8, u8) {
    if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (
            packed[j + 4] & 15 | (packed[j - 4] >> 6) << 4,
            packed[j + 4] >> 4 | (packed[j] >> 6) << 4,
        )
    }
}

/// Widens codes whose parts have scales and minima: `code(part, element of the part)`.
fn parts(block: &[u8], out: &mut [f32], code: impl Fn(usize, usize) -> u8) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    for (j, out) in out.chunks_exact_mut(PART).enumerate() {
        let (s, m) = scale_and_least(&block[4..16], j);
        let (s, m) = (scale * f32::from(s), least * f32::from(m));
        for (l, out) in out.iter_mut().enumerate() {
            *out = s * f32::from(code(j, l)) - m;
        }
    }
}

/// The four-bit code of element `l` of part `j`: parts 2n and 2n + 1 share 32 bytes.
#[inline]
fn nibble(codes: &[u8], j: usize, l: usize) -> u8 {
    let byte = codes[j / 2 * PART + l];
    if j.is_multiple_of(2) {
        byte & 15
    } else {
        byte >> 4
    }
}

pub(super) fn q4_k(block: &[u8], out: &mut [f32]) {
    parts(block, out, |j, l| nibble(&block[16..], j, l));
}

pub(super) fn q5_k(block: &[u8], out: &mut [f32]) {
    let (high, codes) = (&block[16..48], &block[48..]);
    parts(block, out, |j, l| {
        nibble(codes, j, l) | (high[l] >> j & 1) << 4
    });
}

pub(super) fn q6_k(block: &[u8], out: &mut [f32]) {
    let scale = half_at(block, 208);
    for (n, out) in out.chunks_exact_mut(128).enumerate() {
        let (low, high) = (&block[64 * n..], &block[128 + 32 * n..]);
        let scales = &block[192 + 8 * n..];
        for (quarter, out) in out.chunks_exact_mut(32).enumerate() {
            for (l, out) in out.iter_mut().enumerate() {
                let byte = low[l + quarter % 2 * 32];
                let four = if quarter < 2 { byte & 15 } else { byte >> 4 };
                let code = four | (high[l] >> (2 * quarter) & 3) << 4;
                let part = f32::from(scales[2 * quarter + l / FINE] as i8);
                *out = scale * part * (f32::from(code) - 32.0);
            }
        }
    }
}

/// Scale s and minimum m ≥ 0 with which codes 0..=15 come nearest to the values as `s * code - m`.
fn affine(values: &[f32]) -> (f32, f32) {
    let least = values.iter().fold(0f32, |least, &v| least.min(v));
    let most = values.iter().fold(least, |most, &v| most.max(v));
    if most == least {
        return (0.0, -least);
    }
    let error = |s: f32, m: f32| -> f32 {
        let inverse = if s > 0.0 { 1.0 / s } else { 0.0 };
        let off = |v: f32| s * ((v + m) * inverse).round().clamp(0.0, 15.0) - m - v;
        values.iter().map(|&v| off(v) * off(v)).sum()
    };
    let start = ((most - least) / 15.0, -least);
    let mut best = (error(start.0, start.1), start);
    // Codes of a slightly other scale, then the scale and minimum that fit those codes best (least squares).
    for step in -8..=8 {
        let inverse = (15.0 + 0.1 * step as f32) / (most - least);
        let codes = values
            .iter()
            .map(|&v| ((v - least) * inverse).round().clamp(0.0, 15.0));
        let (mut sum, mut square, mut cross, mut total) = (0f32, 0f32, 0f32, 0f32);
        for (code, &v) in codes.zip(values) {
            sum += code;
            square += code * code;
            cross += code * v;
            total += v;
        }
        let count = values.len() as f32;
        let denominator = count * square - sum * sum;
        if denominator <= 0.0 {
            continue;
        }
        let mut s = (count * cross - sum * total) / denominator;
        let mut m = -(total - s * sum) / count;
        if m < 0.0 {
            m = 0.0;
            s = cross / square;
        }
        let off = error(s, m);
        if s > 0.0 && off < best.0 {
            best = (off, (s, m));
        }
    }
    best.1
}

/// Codes 0..=63 for numbers that are not negative, with the half-precision number they multiply.
fn six_bits(numbers: &[f32]) -> (f16, Vec<u8>) {
    let most = numbers.iter().fold(0f32, |most, &v| most.max(v));
    let unit = f16::from_f32(most / 63.0);
    let inverse = if unit > f16::ZERO {
        1.0 / unit.to_f32()
    } else {
        0.0
    };
    let codes = numbers
        .iter()
        .map(|v| (v * inverse).round().clamp(0.0, 63.0) as u8);
    (unit, codes.collect())
}

pub(super) fn to_q4_k(values: &[f32], out: &mut Vec<u8>) {
    let fits: Vec<(f32, f32)> = values.chunks_exact(PART).map(affine).collect();
    let (scale, scales) = six_bits(&fits.iter().map(|f| f.0).collect::<Vec<_>>());
    let (least, leasts) = six_bits(&fits.iter().map(|f| f.1).collect::<Vec<_>>());
    let mut packed = [0u8; 12];
    for j in 0..8 {
        if j < 4 {
            packed[j] |= scales[j];
            packed[j + 4] |= leasts[j];
        } else {
            packed[j + 4] = scales[j] & 15 | leasts[j] << 4;
            packed[j - 4] |= scales[j] >> 4 << 6;
            packed[j] |= leasts[j] >> 4 << 6;
        }
    }
    let mut codes = [0u8; BLOCK / 2];
    for (j, values) in values.chunks_exact(PART).enumerate() {
        let s = scale.to_f32() * f32::from(scales[j]);
        let m = least.to_f32() * f32::from(leasts[j]);
        let inverse = if s > 0.0 { 1.0 / s } else { 0.0 };
        for (l, v) in values.iter().enumerate() {
            let code = ((v + m) * inverse).round().clamp(0.0, 15.0) as u8;
            codes[j / 2 * PART + l] |= code << (j % 2 * 4);
        }
    }
    out.extend_from_slice(&scale.to_le_bytes());
    out.extend_from_slice(&least.to_le_bytes());
    out.extend_from_slice(&packed);
    out.extend_from_slice(&codes);
}

/// The scale with which codes -32..=31 come nearest to the values.
fn symmetric(values: &[f32]) -> f32 {
    let farthest = values
        .iter()
        .fold(0f32, |far, &v| if v.abs() > far.abs() { v } else { far });
    if farthest == 0.0 {
        return 0.0;
    }
    let mut best = (f32::INFINITY, 0.0);
    for step in -9..=9 {
        let inverse = -(32.0 + 0.1 * step as f32) / farthest;
        let (mut cross, mut square) = (0f32, 0f32);
        for &v in values {
            let code = (v * inverse).round().clamp(-32.0, 31.0);
            cross += code * v;
            square += code * code;
        }
        if square == 0.0 {
            continue;
        }
        let scale = cross / square;
        let off: f32 = values
            .iter()
            .map(|&v| {
                let off = scale * (v / scale).round().clamp(-32.0, 31.0) - v;
                off * off
            })
            .sum();
        if off < best.0 {
            best = (off, scale);
        }
    }
    best.1
}

pub(super) fn to_q6_k(values: &[f32], out: &mut Vec<u8>) {
    let fits: Vec<f32> = values.chunks_exact(FINE).map(symmetric).collect();
    let farthest = fits
        .iter()
        .fold(0f32, |far, &v| if v.abs() > far.abs() { v } else { far });
    let unit = f16::from_f32(farthest / -128.0);
    let inverse = if unit.to_f32() != 0.0 {
        1.0 / unit.to_f32()
    } else {
        0.0
    };
    let scales: Vec<i8> = fits
        .iter()
        .map(|v| (v * inverse).round().clamp(-128.0, 127.0) as i8)
        .collect();
    let (mut low, mut high) = ([0u8; BLOCK / 2], [0u8; BLOCK / 4]);
    for (at, v) in values.iter().enumerate() {
        let scale = unit.to_f32() * f32::from(scales[at / FINE]);
        let code = if scale == 0.0 {
            0.0
        } else {
            (v / scale).round()
        };
        let code = (code.clamp(-32.0, 31.0) + 32.0) as u8;
        let (n, quarter, l) = (at / 128, at % 128 / 32, at % 32);
        let byte = &mut low[64 * n + quarter % 2 * 32 + l];
        *byte |= if quarter < 2 {
            code & 15
        } else {
            (code & 15) << 4
        };
        high[32 * n + l] |= (code >> 4) << (2 * quarter);
    }
    out.extend_from_slice(&low);
    out.extend_from_slice(&high);
    out.extend(scales.iter().map(|&s| s as u8));
    out.extend_from_slice(&unit.to_le_bytes());
}
