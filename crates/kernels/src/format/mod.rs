//! Element formats of checkpoints; `cpu`'s kernels read weights through it.
//!
//! Plain element types live here. Block formats get a file each beside `plain.rs`.

mod blocks;
mod legacy;
pub(crate) mod mxfp4;
mod plain;
mod superblock;

pub use blocks::BlockFormat;
pub use mxfp4::encode_mxfp4;
pub(crate) use plain::{MAX_STEP, Plain};
pub(crate) use superblock::scale_and_least;

use half::{bf16, f16};

/// A read-only row-major weight matrix `[n, k]` in its checkpoint format.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// IEEE single precision.
    F32(&'a [f32]),
    /// IEEE half precision.
    F16(&'a [f16]),
    /// bfloat16.
    Bf16(&'a [bf16]),
    /// MXFP4: `blocks` `[n, k / 32, 16]` of two codes a byte (low half first), `scales` `[n, k / 32]`.
    Mxfp4 {
        /// The codes.
        blocks: &'a [u8],
        /// A power of two for each block, biased by 127.
        scales: &'a [u8],
    },
    /// Rows of GGML's blocks, `[n, k / elements of a block]`.
    Blocks {
        /// How they are laid out.
        format: BlockFormat,
        /// The blocks.
        bytes: &'a [u8],
    },
}

impl Weights<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(w) => w.len(),
            Self::F16(w) => w.len(),
            Self::Bf16(w) => w.len(),
            Self::Mxfp4 { blocks, .. } => 2 * blocks.len(),
            Self::Blocks { format, bytes } => bytes.len() / format.bytes() * format.elements(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
