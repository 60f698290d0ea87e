//! MXFP4 (OCP Microscaling 1.0): blocks of 32 four-bit codes with one power-of-two scale, as gpt-oss stores experts.
//!
//! A block is 16 bytes, byte j holding element 2j in its low and 2j + 1 in its high half; the scale byte s means
//! 2^(s − 127). `cpu/packed.rs` reads rows through [`decode`].

/// Elements of a block.
pub(crate) const BLOCK: usize = 32;

/// Values of the sixteen codes: a sign, two bits of exponent, one of mantissa.
const VALUES: [f32; 16] = [
    0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0,
];

/// Both values of every byte, low half first.
const PAIRS: [[f32; 2]; 256] = {
    let mut pairs = [[0.0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [VALUES[byte & 15], VALUES[byte >> 4]];
        byte += 1;
    }
    pairs
};

/// 2^(scale − 127); 255 is NaN by the specification, 0 the smallest power, a subnormal of f32.
#[inline]
fn power(scale: u8) -> f32 {
    match scale {
        255 => f32::NAN,
        0 => f32::from_bits(1 << 22),
        scale => f32::from_bits(u32::from(scale) << 23),
    }
}

/// Widens whole blocks: `out[32 * scales]` from `blocks[16 * scales]`.
pub(crate) fn decode(blocks: &[u8], scales: &[u8], out: &mut [f32]) {
    let rows = blocks.chunks_exact(BLOCK / 2).zip(scales);
    for ((block, &scale), out) in rows.zip(out.chunks_exact_mut(BLOCK)) {
        let scale = power(scale);
        for (&byte, out) in block.iter().zip(out.chunks_exact_mut(2)) {
            let [low, high] = PAIRS[usize::from(byte)];
            out[0] = low * scale;
            out[1] = high * scale;
        }
    }
}

/// The nearest codes that were found for whole blocks of values, and their scales.
pub fn encode_mxfp4(values: &[f32]) -> (Vec<u8>, Vec<u8>) {
    let mut blocks = Vec::with_capacity(values.len() / 2);
    let mut scales = Vec::with_capacity(values.len() / BLOCK);
    for values in values.chunks_exact(BLOCK) {
        let most = values.iter().fold(0f32, |most, v| most.max(v.abs()));
        // The specification's exponent puts the largest value between 4 and 8; where it would be cut at 6, one more may lose less.
        let exponent = i32::from((most.to_bits() >> 23) as u8) - 2;
        let fits = [exponent, exponent + 1].map(|e| {
            let scale = e.clamp(0, 254) as u8;
            let unit = power(scale);
            let codes: Vec<u8> = values.iter().map(|v| nearest(v / unit)).collect();
            let off = |(code, v): (&u8, &f32)| (VALUES[usize::from(*code)] * unit - v).powi(2);
            let lost: f32 = codes.iter().zip(values).map(off).sum();
            (lost, scale, codes)
        });
        let [first, second] = fits;
        let (_, scale, codes) = if second.0 < first.0 { second } else { first };
        scales.push(scale);
        blocks.extend(codes.chunks_exact(2).map(|pair| pair[0] | pair[1] << 4));
    }
    (blocks, scales)
}

/// The code whose value is nearest; the even one of two that are as near.
fn nearest(value: f32) -> u8 {
    let size = value.abs();
    let code = match size {
        s if s <= 0.25 => 0,
        s if s < 0.75 => 1,
        s if s <= 1.25 => 2,
        s if s < 1.75 => 3,
        s if s <= 2.5 => 4,
        s if s < 3.5 => 5,
        s if s <= 5.0 => 6,
        _ => 7,
    };
    if value < 0.0 && code > 0 {
        code | 8
    } else {
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_codes_can_say_is_kept_and_the_rest_is_near() {
        let exact: Vec<f32> = (0..64).map(|i| VALUES[i % 16] * 0.25).collect();
        let (blocks, scales) = encode_mxfp4(&exact);
        let mut back = vec![0f32; 64];
        decode(&blocks, &scales, &mut back);
        assert_eq!(back, exact);
        let some: Vec<f32> = (0..32)
            .map(|i| ((i * 37 % 64) as f32 - 31.0) * 0.01)
            .collect();
        let (blocks, scales) = encode_mxfp4(&some);
        let mut back = vec![0f32; 32];
        decode(&blocks, &scales, &mut back);
        // Half of the widest gap, from 4 to 6 units of 1/16.
        for (a, b) in back.iter().zip(&some) {
            assert!((a - b).abs() <= 1.0 / 16.0, "{a} for {b}");
        }
        let (_, scales) = encode_mxfp4(&[0.0; 32]);
        assert_eq!(scales, [0]);
    }

    #[test]
    fn codes_and_scales_of_the_specification() {
        let mut block = [0u8; 16];
        block[0] = 0x71;
        block[15] = 0xf8;
        let mut out = [0f32; 32];
        decode(&block, &[128], &mut out);
        assert_eq!((out[0], out[1]), (1.0, 12.0));
        assert_eq!((out[30], out[31]), (0.0, -12.0));
        assert!(out[30].is_sign_negative());
        decode(&block, &[0], &mut out);
        assert_eq!(out[1], 6.0 * 2f32.powi(-127));
        decode(&block, &[255], &mut out);
        assert!(out[1].is_nan());
    }
}
