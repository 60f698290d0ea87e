//! A weight matrix in tiles, made once at load or mapped from where an earlier load kept it. The engine's linears hold it, the
//! kernels beside this file read it.

use std::sync::Arc;

use super::layout::Layout;
use super::tiling;
use crate::format::{BlockFormat, Weights};

/// A weight matrix `[n, k]` in tiles.
pub struct Tiled {
    pub(super) layout: Layout,
    bytes: TileBytes,
    pub(super) n: usize,
    pub(super) k: usize,
}

/// How GGML has the rows of a quantised matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// MXFP4 in blocks of 17 bytes: the exponent, then codes, byte j holding elements j and j + 16.
    Mxfp4,
    /// Blocks of another kind.
    Blocks(BlockFormat),
}

/// Bytes that live as long as someone needs them: owned, or a part of a mapped file.
pub type TileBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

impl std::fmt::Debug for Tiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tiled({:?} [{}, {}])", self.layout, self.n, self.k)
    }
}

impl Tiled {
    /// Lays out a matrix; `None` for formats and widths that have no tiles.
    pub fn of(weights: Weights<'_>, n: usize, k: usize) -> Option<Self> {
        let (layout, bytes) = tiling::tile(weights, n, k)?;
        Some(Self {
            layout,
            bytes: Arc::new(bytes),
            n,
            k,
        })
    }

    /// Lays out a matrix `[n, k]` of whose rows each lies in one piece, wherever that is. The row must be as long as its
    /// format says.
    pub fn of_rows<'a>(
        format: RowFormat,
        n: usize,
        k: usize,
        row: impl Fn(usize) -> &'a [u8] + Sync,
    ) -> Option<Self> {
        let (layout, bytes) = tiling::tile_rows(format, n, k, row)?;
        Some(Self {
            layout,
            bytes: Arc::new(bytes),
            n,
            k,
        })
    }

    /// What [`Tiled::layout`] and [`Tiled::as_bytes`] said of a matrix `[n, k]`, anew; `None` where they do not fit together.
    pub fn again(layout: &str, bytes: TileBytes, n: usize, k: usize) -> Option<Self> {
        let layout = Layout::named(layout)?;
        let size = layout.size(n, k)?;
        let fits = n > 0 && k > 0 && bytes.as_ref().as_ref().len() == size;
        fits.then_some(Self {
            layout,
            bytes,
            n,
            k,
        })
    }

    /// Name of how the bytes lie. A new way gets a new name.
    pub fn layout(&self) -> &'static str {
        self.layout.name()
    }

    /// The tiles, one after another.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_ref().as_ref()
    }

    /// Rows (outputs).
    pub fn rows(&self) -> usize {
        self.n
    }

    /// Columns (inputs).
    pub fn cols(&self) -> usize {
        self.k
    }

    pub(super) fn tile(&self, tile: usize) -> &[u8] {
        let size = self.layout.tile_bytes(self.k);
        &self.as_bytes()[tile * size..][..size]
    }
}

/// Bytes that a matrix `[n, k]` of these blocks takes in tiles; `None` where it has none.
pub fn tiled_bytes(format: BlockFormat, n: usize, k: usize) -> Option<usize> {
    Layout::of(format)?.size(n, k)
}
