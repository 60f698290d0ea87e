//! GGML's blocks of 32 elements: one scale, with or without a minimum. Layouts as in ggml-common.h; a byte of four-bit
//! codes holds element j in its low half and j + 16 in its high half.

use half::f16;

/// The half-precision number at the start of some bytes.
#[inline]
pub(super) fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

pub(super) fn q8_0(block: &[u8], out: &mut [f32]) {
    let scale = half_at(block, 0);
    for (&code, out) in block[2..].iter().zip(out) {
        *out = scale * f32::from(code as i8);
    }
}

/// Writes `value(low code)` to the first half and `value(high code)` to the second.
fn halves(codes: &[u8], out: &mut [f32], value: impl Fn(u8, usize) -> f32) {
    let (first, second) = out.split_at_mut(16);
    for (j, &byte) in codes.iter().enumerate() {
        first[j] = value(byte & 15, j);
        second[j] = value(byte >> 4, j + 16);
    }
}

pub(super) fn q4_0(block: &[u8], out: &mut [f32]) {
    let scale = half_at(block, 0);
    halves(&block[2..], out, |code, _| scale * (f32::from(code) - 8.0));
}

pub(super) fn q4_1(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    halves(&block[4..], out, |code, _| scale * f32::from(code) + least);
}

/// The fifth bits of 32 elements.
fn fifths(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

pub(super) fn q5_0(block: &[u8], out: &mut [f32]) {
    let (scale, high) = (half_at(block, 0), fifths(&block[2..]));
    halves(&block[6..], out, |code, j| {
        let code = code | ((high >> j) as u8 & 1) << 4;
        scale * (f32::from(code) - 16.0)
    });
}

pub(super) fn q5_1(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    let high = fifths(&block[4..]);
    halves(&block[8..], out, |code, j| {
        let code = code | ((high >> j) as u8 & 1) << 4;
        scale * f32::from(code) + least
    });
}

/// A scale as the block keeps it, with what to multiply values by.
fn scaled(scale: f32, out: &mut Vec<u8>) -> f32 {
    let kept = f16::from_f32(scale);
    out.extend_from_slice(&kept.to_le_bytes());
    let kept = kept.to_f32();
    if kept == 0.0 { 0.0 } else { 1.0 / kept }
}

pub(super) fn to_q8_0(values: &[f32], out: &mut Vec<u8>) {
    let largest = values.iter().fold(0f32, |most, v| most.max(v.abs()));
    let inverse = scaled(largest / 127.0, out);
    out.extend(
        values
            .iter()
            .map(|v| (v * inverse).round().clamp(-127.0, 127.0) as i8 as u8),
    );
}

pub(super) fn to_q4_0(values: &[f32], out: &mut Vec<u8>) {
    // The farthest value gets the code -8, so that all sixteen are used.
    let farthest = values
        .iter()
        .fold(0f32, |far, &v| if v.abs() > far.abs() { v } else { far });
    let inverse = scaled(farthest / -8.0, out);
    let code = |v: f32| (v * inverse + 8.0).round().clamp(0.0, 15.0) as u8;
    let (first, second) = values.split_at(16);
    out.extend(
        first
            .iter()
            .zip(second)
            .map(|(&a, &b)| code(a) | code(b) << 4),
    );
}
