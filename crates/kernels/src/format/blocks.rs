//! GGML's block formats: rows cut into blocks that keep their scales beside their codes. `Weights::Blocks` holds rows of
//! them, and `cpu/packed.rs` reads them; the engine quantises with [`BlockFormat::encode`].

use super::{legacy, superblock};

/// How a block is laid out, by the name that GGML gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types)] // the names are GGML's
pub enum BlockFormat {
    /// 32 signed bytes and a scale.
    Q8_0,
    /// 32 four-bit codes around 8 and a scale.
    Q4_0,
    /// 32 four-bit codes, a scale and a minimum.
    Q4_1,
    /// 32 five-bit codes around 16 and a scale.
    Q5_0,
    /// 32 five-bit codes, a scale and a minimum.
    Q5_1,
    /// 256 four-bit codes in eight parts, each with a six-bit scale and minimum.
    Q4_K,
    /// 256 five-bit codes in eight parts, each with a six-bit scale and minimum.
    Q5_K,
    /// 256 six-bit codes around 32 in sixteen parts, each with an eight-bit scale.
    Q6_K,
}

impl BlockFormat {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
    ];

    /// Elements of a block.
    pub fn elements(self) -> usize {
        match self {
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 => 32,
            Self::Q4_K | Self::Q5_K | Self::Q6_K => 256,
        }
    }

    /// Bytes of a block.
    pub fn bytes(self) -> usize {
        match self {
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
        }
    }

    /// Bytes of a row of so many elements, which are whole blocks.
    pub fn row_bytes(self, elements: usize) -> usize {
        elements / self.elements() * self.bytes()
    }

    /// GGML's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q4_K => "Q4_K",
            Self::Q5_K => "Q5_K",
            Self::Q6_K => "Q6_K",
        }
    }

    /// Widens whole blocks into as many elements as `out` has.
    pub fn decode(self, blocks: &[u8], out: &mut [f32]) {
        let pairs = blocks
            .chunks_exact(self.bytes())
            .zip(out.chunks_exact_mut(self.elements()));
        let one: fn(&[u8], &mut [f32]) = match self {
            Self::Q8_0 => legacy::q8_0,
            Self::Q4_0 => legacy::q4_0,
            Self::Q4_1 => legacy::q4_1,
            Self::Q5_0 => legacy::q5_0,
            Self::Q5_1 => legacy::q5_1,
            Self::Q4_K => superblock::q4_k,
            Self::Q5_K => superblock::q5_k,
            Self::Q6_K => superblock::q6_k,
        };
        pairs.for_each(|(block, out)| one(block, out));
    }

    /// The nearest blocks that were found for whole blocks of values; `None` for formats that are only read.
    pub fn encode(self, values: &[f32]) -> Option<Vec<u8>> {
        let one: fn(&[f32], &mut Vec<u8>) = match self {
            Self::Q8_0 => legacy::to_q8_0,
            Self::Q4_0 => legacy::to_q4_0,
            Self::Q4_K => superblock::to_q4_k,
            Self::Q6_K => superblock::to_q6_k,
            Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q5_K => return None,
        };
        let mut blocks = Vec::with_capacity(self.row_bytes(values.len()));
        for values in values.chunks_exact(self.elements()) {
            one(values, &mut blocks);
        }
        Some(blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of random bytes with what the `gguf` package of llama.cpp makes of them (tools/golden/blocks.py).
    fn golden(format: BlockFormat) -> (Vec<u8>, Vec<f32>) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden-blocks");
        let name = format.name().to_lowercase();
        let blocks = std::fs::read(format!("{folder}/{name}.blocks")).unwrap();
        let values = std::fs::read(format!("{folder}/{name}.f32")).unwrap();
        let values = values.chunks_exact(4);
        let values = values.map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        (blocks, values.collect())
    }

    #[test]
    fn blocks_decode_as_gguf_says() {
        for format in BlockFormat::ALL {
            let (blocks, values) = golden(format);
            assert!(values.len() >= 4 * format.elements());
            assert_eq!(format.row_bytes(values.len()), blocks.len());
            let mut out = vec![0f32; values.len()];
            format.decode(&blocks, &mut out);
            for (i, (a, b)) in out.iter().zip(&values).enumerate() {
                let close = (a - b).abs() <= 1e-6 * b.abs().max(1e-3);
                assert!(close, "{}: element {i} is {a}, not {b}", format.name());
            }
        }
    }

    /// Values as weights have them: mostly small, a few large.
    fn weights(count: usize) -> Vec<f32> {
        let mut state = 7u32;
        let mut uniform = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..count)
            .map(|_| (0..6).map(|_| uniform()).sum::<f32>() * 0.05)
            .collect()
    }

    /// Root of the mean squared error over that of the values.
    fn loss(format: BlockFormat, values: &[f32]) -> f64 {
        let blocks = format.encode(values).unwrap();
        assert_eq!(blocks.len(), format.row_bytes(values.len()));
        let mut back = vec![0f32; values.len()];
        format.decode(&blocks, &mut back);
        let square = |values: &mut dyn Iterator<Item = f32>| -> f64 {
            values.map(|v| f64::from(v) * f64::from(v)).sum()
        };
        let error = square(&mut back.iter().zip(values).map(|(a, b)| a - b));
        (error / square(&mut values.iter().copied())).sqrt()
    }

    #[test]
    fn encoding_loses_no_more_than_its_bits_must() {
        let values = weights(64 * 256);
        // What they lose on these values, rounded up.
        for (format, most) in [
            (BlockFormat::Q8_0, 0.007),
            (BlockFormat::Q6_K, 0.022),
            (BlockFormat::Q4_K, 0.078),
            (BlockFormat::Q4_0, 0.105),
        ] {
            let lost = loss(format, &values);
            assert!(lost < most, "{} loses {lost}", format.name());
        }
    }

    #[test]
    fn zeros_and_extremes_are_kept() {
        for format in BlockFormat::ALL {
            let zeros = vec![0f32; 512];
            let Some(blocks) = format.encode(&zeros) else {
                continue;
            };
            let mut back = vec![1f32; 512];
            format.decode(&blocks, &mut back);
            assert_eq!(back, zeros, "{}", format.name());
            let mut one = zeros.clone();
            one[100] = -3.0;
            one[300] = 2.0;
            let mut back = vec![1f32; 512];
            format.decode(&format.encode(&one).unwrap(), &mut back);
            assert!((back[100] + 3.0).abs() < 0.05, "{}", format.name());
            assert!((back[300] - 2.0).abs() < 0.05, "{}", format.name());
            assert_eq!(back[0], 0.0);
        }
    }
}
