//! Matrices whose rows lie apart in mapped files, or in blocks that only tiles are made of. `gguf` finds them, `matrix.rs`
//! holds them.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use memmap2::Mmap;
use seed_kernels::cpu::{RowFormat, Tiled};

use super::pages::release;
use super::{Matrix, StorageDType};

/// Row i lies in part `i % parts`, as its row `i / parts`: one part for all of them, or gates and ups in turns.
pub(super) struct Apart {
    parts: Vec<(Arc<Mmap>, Range<usize>)>,
    row_bytes: usize,
    rows: usize,
    cols: usize,
    dtype: StorageDType,
    gathered: OnceLock<Matrix>,
}

impl Apart {
    /// `None` where the parts are not the rows of a matrix `[rows, cols]`.
    pub(super) fn new(
        parts: Vec<(Arc<Mmap>, Range<usize>)>,
        dtype: StorageDType,
        rows: usize,
        cols: usize,
    ) -> Option<Self> {
        let row_bytes = dtype.bytes(cols);
        let each = rows.checked_div(parts.len())?.checked_mul(row_bytes)?;
        let fits = |(map, range): &(Arc<Mmap>, Range<usize>)| {
            range.len() == each && range.end <= map.len()
        };
        (rows.is_multiple_of(parts.len()) && parts.iter().all(fits)).then_some(Self {
            parts,
            row_bytes,
            rows,
            cols,
            dtype,
            gathered: OnceLock::new(),
        })
    }

    fn row(&self, row: usize) -> &[u8] {
        let (map, range) = &self.parts[row % self.parts.len()];
        &map[range.start + row / self.parts.len() * self.row_bytes..][..self.row_bytes]
    }

    /// Tiles of the rows where they lie.
    pub(super) fn tiled(&self) -> Option<Tiled> {
        let format = match self.dtype {
            StorageDType::Mxfp4 => RowFormat::Mxfp4,
            StorageDType::Blocks(format) => RowFormat::Blocks(format),
            StorageDType::F32 | StorageDType::F16 | StorageDType::Bf16 => return None,
        };
        Tiled::of_rows(format, self.rows, self.cols, |row| self.row(row))
    }

    /// The rows one after another, copied when first asked for; the parts' pages are given back.
    pub(super) fn gathered(&self) -> &Matrix {
        self.gathered.get_or_init(|| {
            let rows = (0..self.rows).map(|row| self.row(row));
            let matrix = owned(rows, self.dtype, self.rows, self.cols);
            self.release();
            matrix
        })
    }

    /// Gives the pages of the files back.
    pub(super) fn release(&self) {
        for (map, range) in &self.parts {
            release(map, range);
        }
    }
}

/// A matrix from copies of rows in ggml's layout.
pub(super) fn owned<'a>(
    rows: impl Iterator<Item = &'a [u8]>,
    dtype: StorageDType,
    count: usize,
    cols: usize,
) -> Matrix {
    if dtype == StorageDType::Mxfp4 {
        let (blocks, scales) = split_mxfp4(rows, count, cols);
        return Matrix::packed(blocks, scales, count, cols);
    }
    let mut bytes = Vec::with_capacity(dtype.bytes(count * cols));
    rows.for_each(|row| bytes.extend_from_slice(row));
    Matrix::copied(&bytes, dtype, count, cols)
}

/// Rows of ggml's MXFP4 blocks (a scale, then byte j holding elements j and j + 16) as the checkpoint has them: codes apart
/// from scales, byte j holding elements 2j and 2j + 1.
fn split_mxfp4<'a>(
    rows: impl Iterator<Item = &'a [u8]>,
    count: usize,
    cols: usize,
) -> (Vec<u8>, Vec<u8>) {
    let blocks = count * cols / 32;
    let (mut codes, mut scales) = (vec![0; 16 * blocks], vec![0; blocks]);
    let mut places = codes.chunks_exact_mut(16).zip(&mut scales);
    for row in rows {
        for (block, (codes, scale)) in row.chunks_exact(17).zip(&mut places) {
            *scale = block[0];
            let (low, high) = codes.split_at_mut(8);
            for (j, pair) in block[1..].chunks_exact(2).enumerate() {
                low[j] = pair[0] & 15 | pair[1] << 4;
                high[j] = pair[0] >> 4 | pair[1] & 0xF0;
            }
        }
    }
    (codes, scales)
}
