//! How the blocks of a tile lie in memory. `tiling.rs` writes them, the kernels read them.

use super::{BLOCK, ROWS};
use crate::format::BlockFormat;

/// Bytes of the codes of a block of a tile, by the bits of a code.
pub(super) const NIBBLES: usize = ROWS * BLOCK / 2;
pub(super) const OCTETS: usize = ROWS * BLOCK;
/// Bytes of the upper two bits of six-bit codes.
pub(super) const PAIRS: usize = ROWS * BLOCK / 4;
/// Bytes of one half-precision number a row.
pub(super) const HALVES: usize = 2 * ROWS;

/// Kinds of tiles. Codes of four bits lie in four vectors of 64 bytes, steps 0–3 in the low halves, 4–7 in the high ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A block: 16 exponents of f32 scales, four-bit codes of MXFP4.
    Mxfp4,
    /// A block: 16 halves, four-bit codes around 8.
    Q4,
    /// A block: 16 halves, eight-bit codes around 128.
    Q8,
    /// Eight blocks: 16 halves, 16 halves of minima; `[8, 16]` scales, `[8, 16]` minima; four-bit codes.
    Q4K,
    /// Eight blocks: 16 halves; `[16, 16]` signed scales, one for each 16 columns; for each block four-bit low parts, then
    /// two-bit high parts (two vectors of 64 bytes, steps 0–3 and 4–7 from the low bits up); codes around 32.
    Q6K,
}

/// Values of MXFP4's codes, doubled, plus 12.
pub(super) const MXFP4_CODES: [u8; 16] =
    [12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0];

impl Layout {
    /// That of a block format; formats with a minimum a block of 32, and five-bit superblocks, have none.
    pub(super) fn of(format: BlockFormat) -> Option<Self> {
        match format {
            // Five-bit codes are octets here: exact, and rarely many.
            BlockFormat::Q8_0 | BlockFormat::Q5_0 => Some(Self::Q8),
            BlockFormat::Q4_0 => Some(Self::Q4),
            BlockFormat::Q4_K => Some(Self::Q4K),
            BlockFormat::Q6_K => Some(Self::Q6K),
            BlockFormat::Q4_1 | BlockFormat::Q5_1 | BlockFormat::Q5_K => None,
        }
    }

    /// How files name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mxfp4 => "mxfp4",
            Self::Q4 => "q4",
            Self::Q8 => "q8",
            Self::Q4K => "q4_k",
            Self::Q6K => "q6_k",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        let mut all = [Self::Mxfp4, Self::Q4, Self::Q8, Self::Q4K, Self::Q6K].into_iter();
        all.find(|layout| layout.name() == name)
    }

    /// Bytes of a matrix `[n, k]`; nothing where k is no whole blocks or the number is none.
    pub(super) fn size(self, n: usize, k: usize) -> Option<usize> {
        let whole = k.is_multiple_of(self.columns());
        let tile = (k / self.columns()).checked_mul(self.block_bytes())?;
        n.div_ceil(ROWS).checked_mul(tile).filter(|_| whole)
    }

    /// Columns that belong together.
    pub(super) fn columns(self) -> usize {
        match self {
            Self::Mxfp4 | Self::Q4 | Self::Q8 => BLOCK,
            Self::Q4K | Self::Q6K => 8 * BLOCK,
        }
    }

    /// Bytes of those columns in a tile.
    pub(super) const fn block_bytes(self) -> usize {
        match self {
            Self::Mxfp4 => ROWS + NIBBLES,
            Self::Q4 => HALVES + NIBBLES,
            Self::Q8 => HALVES + OCTETS,
            Self::Q4K => 2 * HALVES + 16 * ROWS + 8 * NIBBLES,
            Self::Q6K => HALVES + 16 * ROWS + 8 * (NIBBLES + PAIRS),
        }
    }

    /// Bytes of a tile of `k` columns.
    pub(super) fn tile_bytes(self, k: usize) -> usize {
        k / self.columns() * self.block_bytes()
    }

    /// What is taken from every code; nothing where blocks have minima.
    pub(super) fn offset(self) -> i32 {
        match self {
            Self::Mxfp4 => 12,
            Self::Q4 => 8,
            Self::Q8 => 128,
            Self::Q4K => 0,
            Self::Q6K => 32,
        }
    }
}
