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

#[cfg(test)]
mod tests {
    use super::*;

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
