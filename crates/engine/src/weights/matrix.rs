//! A weight matrix that keeps the bytes of its checkpoint format: mapped from the file or owned after conversion.

use std::ops::Range;
use std::sync::Arc;

use half::{bf16, f16};
use memmap2::Mmap;
use rayon::prelude::*;
use seed_kernels::cpu::{BlockFormat, Tiled, Weights, encode_mxfp4};

use super::apart::Apart;
use super::pages::release;

/// Element type in which a matrix is kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageDType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16, the type both families are released in.
    Bf16,
    /// OCP MXFP4: blocks of 32 four-bit codes along the columns with one power-of-two scale each.
    Mxfp4,
    /// One of GGML's block formats, scales and codes together.
    Blocks(BlockFormat),
}

impl StorageDType {
    /// Bytes of so many elements; whole blocks where the format has them.
    pub fn bytes(self, elements: usize) -> usize {
        match self {
            Self::F32 => elements * 4,
            Self::F16 | Self::Bf16 => elements * 2,
            Self::Mxfp4 => elements / 32 * 17,
            Self::Blocks(format) => format.row_bytes(elements),
        }
    }

    /// Elements that cannot be parted.
    pub fn block(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Mxfp4 => 32,
            Self::Blocks(format) => format.elements(),
        }
    }

    /// The block format of this name.
    pub fn blocks(name: &str) -> Option<Self> {
        let mut all = BlockFormat::ALL.into_iter();
        all.find(|format| format.name() == name).map(Self::Blocks)
    }

    /// Alignment the elements need in memory.
    fn alignment(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Mxfp4 | Self::Blocks(_) => 1,
        }
    }
}

#[derive(Clone)]
enum Bytes {
    Mapped(Arc<Mmap>, Range<usize>),
    Apart(Arc<Apart>),
    F32(Arc<[f32]>),
    F16(Arc<[f16]>),
    Bf16(Arc<[bf16]>),
    Mxfp4 {
        map: Arc<Mmap>,
        blocks: Range<usize>,
        scales: Range<usize>,
        scale_map: Arc<Mmap>,
    },
    Packed {
        blocks: Arc<[u8]>,
        scales: Arc<[u8]>,
    },
    Blocks(BlockFormat, Arc<[u8]>),
}

/// A row-major matrix `[rows, cols]`. Cloning shares the bytes.
#[derive(Clone)]
pub struct Matrix {
    bytes: Bytes,
    dtype: StorageDType,
    rows: usize,
    cols: usize,
}

impl Matrix {
    /// A view of a mapped file. The range must be aligned for `dtype` and span `rows * cols` elements.
    pub(crate) fn mapped(
        map: Arc<Mmap>,
        range: Range<usize>,
        dtype: StorageDType,
        rows: usize,
        cols: usize,
    ) -> Option<Self> {
        let bytes = map.get(range.clone())?;
        let aligned = (bytes.as_ptr() as usize).is_multiple_of(dtype.alignment());
        (aligned && bytes.len() == dtype.bytes(rows * cols)).then_some(Self {
            bytes: Bytes::Mapped(map, range),
            dtype,
            rows,
            cols,
        })
    }

    /// An owned copy decoded from little-endian bytes of `dtype`.
    pub(crate) fn copied(bytes: &[u8], dtype: StorageDType, rows: usize, cols: usize) -> Self {
        let bytes = match dtype {
            StorageDType::F32 => Bytes::F32(
                bytes
                    .chunks_exact(4)
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect(),
            ),
            StorageDType::F16 => Bytes::F16(
                bytes
                    .chunks_exact(2)
                    .map(|b| f16::from_le_bytes([b[0], b[1]]))
                    .collect(),
            ),
            StorageDType::Bf16 | StorageDType::Mxfp4 => Bytes::Bf16(
                bytes
                    .chunks_exact(2)
                    .map(|b| bf16::from_le_bytes([b[0], b[1]]))
                    .collect(),
            ),
            StorageDType::Blocks(format) => Bytes::Blocks(format, bytes.into()),
        };
        Self {
            bytes,
            dtype,
            rows,
            cols,
        }
    }

    /// Rows in parts of mapped files, row i in part `i % parts`; MXFP4 as GGML has it. `None` where the parts have other
    /// sizes.
    pub(crate) fn apart(
        parts: Vec<(Arc<Mmap>, Range<usize>)>,
        dtype: StorageDType,
        rows: usize,
        cols: usize,
    ) -> Option<Self> {
        Some(Self {
            bytes: Bytes::Apart(Arc::new(Apart::new(parts, dtype, rows, cols)?)),
            dtype,
            rows,
            cols,
        })
    }

    /// Packed MXFP4 blocks `[rows, cols / 32, 16]` and scales `[rows, cols / 32]`, each a part of a mapped file.
    pub(crate) fn mxfp4(
        blocks: (Arc<Mmap>, Range<usize>),
        scales: (Arc<Mmap>, Range<usize>),
        rows: usize,
        cols: usize,
    ) -> Option<Self> {
        let whole = cols.is_multiple_of(32)
            && blocks.1.len() == rows * cols / 2
            && scales.1.len() == rows * cols / 32;
        whole.then_some(Self {
            bytes: Bytes::Mxfp4 {
                map: blocks.0,
                blocks: blocks.1,
                scales: scales.1,
                scale_map: scales.0,
            },
            dtype: StorageDType::Mxfp4,
            rows,
            cols,
        })
    }

    /// Owned MXFP4 blocks `[rows, cols / 32, 16]` and scales `[rows, cols / 32]`.
    pub(crate) fn packed(blocks: Vec<u8>, scales: Vec<u8>, rows: usize, cols: usize) -> Self {
        Self {
            bytes: Bytes::Packed {
                blocks: blocks.into(),
                scales: scales.into(),
            },
            dtype: StorageDType::Mxfp4,
            rows,
            cols,
        }
    }

    /// Rows (outputs of a linear).
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns (inputs of a linear).
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Element type in memory.
    pub fn dtype(&self) -> StorageDType {
        self.dtype
    }

    /// Its tiles, where its format has any.
    pub(crate) fn tiled(&self) -> Option<Tiled> {
        match &self.bytes {
            Bytes::Apart(apart) => apart.tiled(),
            _ => Tiled::of(self.weights(), self.rows, self.cols),
        }
    }

    /// The same with its rows one after another, so that [`Matrix::weights`] has nothing to do.
    pub(crate) fn gathered(self) -> Self {
        match &self.bytes {
            Bytes::Apart(apart) => apart.gathered().clone(),
            _ => self,
        }
    }

    /// The elements as kernels take them; rows that lie apart are copied together first.
    pub fn weights(&self) -> Weights<'_> {
        match &self.bytes {
            Bytes::Apart(apart) => apart.gathered().weights(),
            Bytes::Mapped(map, range) => {
                let bytes = &map[range.clone()];
                match self.dtype {
                    StorageDType::F32 => Weights::F32(bytemuck::cast_slice(bytes)),
                    StorageDType::F16 => Weights::F16(bytemuck::cast_slice(bytes)),
                    StorageDType::Bf16 | StorageDType::Mxfp4 => {
                        Weights::Bf16(bytemuck::cast_slice(bytes))
                    }
                    StorageDType::Blocks(format) => Weights::Blocks { format, bytes },
                }
            }
            Bytes::F32(v) => Weights::F32(v),
            Bytes::F16(v) => Weights::F16(v),
            Bytes::Bf16(v) => Weights::Bf16(v),
            Bytes::Mxfp4 {
                map,
                blocks,
                scales,
                scale_map,
            } => Weights::Mxfp4 {
                blocks: &map[blocks.clone()],
                scales: &scale_map[scales.clone()],
            },
            Bytes::Packed { blocks, scales } => Weights::Mxfp4 { blocks, scales },
            Bytes::Blocks(format, bytes) => Weights::Blocks {
                format: *format,
                bytes,
            },
        }
    }

    /// A row of plain elements as f32; nothing of blocks.
    fn wide_row(&self, row: usize) -> Vec<f32> {
        let part = row * self.cols..(row + 1) * self.cols;
        match self.weights() {
            Weights::F32(v) => v[part].to_vec(),
            Weights::F16(v) => v[part].iter().map(|x| x.to_f32()).collect(),
            Weights::Bf16(v) => v[part].iter().map(|x| x.to_f32()).collect(),
            Weights::Mxfp4 { .. } | Weights::Blocks { .. } => Vec::new(),
        }
    }

    /// A plain matrix rounded to blocks, whose rows are whole ones; blocks stay as they are, so do formats that are only
    /// read.
    pub fn quantised(self, dtype: StorageDType) -> Self {
        let (rows, cols) = (self.rows, self.cols);
        if cols == 0 || !cols.is_multiple_of(dtype.block()) || self.dtype.block() > 1 {
            return self;
        }
        let quantised = match dtype {
            StorageDType::Mxfp4 => {
                let (mut blocks, mut scales) =
                    (vec![0; rows * cols / 2], vec![0; rows * cols / 32]);
                let parts = blocks
                    .par_chunks_mut(cols / 2)
                    .zip(scales.par_chunks_mut(cols / 32));
                parts.enumerate().for_each(|(row, (blocks, scales))| {
                    let (codes, powers) = encode_mxfp4(&self.wide_row(row));
                    blocks.copy_from_slice(&codes);
                    scales.copy_from_slice(&powers);
                });
                Self::packed(blocks, scales, rows, cols)
            }
            StorageDType::Blocks(format) => {
                let mut bytes = vec![0; rows * format.row_bytes(cols)];
                let parts = bytes.par_chunks_mut(format.row_bytes(cols)).enumerate();
                let all = parts.map(|(row, out)| {
                    out.copy_from_slice(&format.encode(&self.wide_row(row))?);
                    Some(())
                });
                if all.collect::<Option<()>>().is_none() {
                    return self;
                }
                Self {
                    bytes: Bytes::Blocks(format, bytes.into()),
                    dtype,
                    rows,
                    cols,
                }
            }
            _ => return self,
        };
        self.release();
        quantised
    }

    /// Gives the pages of a mapped matrix back, which will not be read again.
    pub(crate) fn release(&self) {
        match &self.bytes {
            Bytes::Mapped(map, range) => release(map, range),
            Bytes::Apart(apart) => apart.release(),
            Bytes::Mxfp4 {
                map,
                blocks,
                scales,
                scale_map,
            } => {
                release(map, blocks);
                release(scale_map, scales);
            }
            _ => {}
        }
    }

    /// The same values in another element type; rounds to nearest even where it narrows. Packed blocks stay as they are.
    pub fn converted(self, dtype: StorageDType) -> Self {
        if self.dtype == dtype || self.dtype.block() > 1 || dtype.block() > 1 {
            return self;
        }
        let wide = (0..self.rows).flat_map(|row| self.wide_row(row));
        let bytes = match dtype {
            StorageDType::F32 => Bytes::F32(wide.collect()),
            StorageDType::F16 => Bytes::F16(wide.map(f16::from_f32).collect()),
            StorageDType::Bf16 | StorageDType::Mxfp4 | StorageDType::Blocks(_) => {
                Bytes::Bf16(wide.map(bf16::from_f32).collect())
            }
        };
        Self {
            bytes,
            dtype,
            rows: self.rows,
            cols: self.cols,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversion_keeps_representable_values() {
        let values = [1.0f32, -2.5, 0.0, 1024.0];
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let matrix = Matrix::copied(&bytes, StorageDType::F32, 2, 2);
        for dtype in [StorageDType::Bf16, StorageDType::F16, StorageDType::F32] {
            let back = matrix.clone().converted(dtype).converted(StorageDType::F32);
            match back.weights() {
                Weights::F32(v) => assert_eq!(v, values),
                _ => panic!("not f32"),
            }
        }
    }
}
