//! The tensors behind the pages: one key and one value tensor per layer slot, allocated once at load.
//!
//! Groups of layers share the pool: a page belongs to one group at a time and holds its positions for all layers of
//! that group, so the n-th layer of every group uses the same tensor.

use candle_core::{DType, Device, Result, Tensor};
use half::bf16;

/// Where a layer keeps its keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSlot {
    /// Which page table it reads.
    pub group: usize,
    /// Which tensors it uses.
    pub slot: usize,
}

/// Geometry of the cache.
#[derive(Clone, Copy, Debug)]
pub struct KvShape {
    /// Pages in the pool.
    pub pages: usize,
    /// Key/value heads on this rank.
    pub kv_heads: usize,
    /// Positions in a page.
    pub page_size: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Layers of the largest group.
    pub slots: usize,
    /// Element type, f32 or bf16.
    pub dtype: DType,
}

impl KvShape {
    /// Bytes of one page over all slots, keys and values.
    pub fn page_bytes(&self) -> usize {
        2 * self.slots * self.kv_heads * self.page_size * self.head_dim * self.dtype.size_in_bytes()
    }
}

/// Keys and values of all pages.
pub struct KvStorage {
    keys: Vec<Tensor>,
    values: Vec<Tensor>,
}

impl KvStorage {
    /// Allocates the pool, zeroed: `[pages, kv_heads, page_size, head_dim]` per slot.
    pub fn new(shape: &KvShape, device: &Device) -> Result<Self> {
        let dims = (shape.pages, shape.kv_heads, shape.page_size, shape.head_dim);
        let zeros = || (0..shape.slots).map(|_| zeros(dims, shape.dtype, device));
        Ok(Self {
            keys: zeros().collect::<Result<_>>()?,
            values: zeros().collect::<Result<_>>()?,
        })
    }

    /// The key and value tensors of a slot.
    pub fn slot(&self, slot: usize) -> (&Tensor, &Tensor) {
        (&self.keys[slot], &self.values[slot])
    }
}

/// Zeros that take no memory before they are written: a pool sized for the busiest hour costs an idle server nothing.
/// (`Tensor::zeros` writes each element of a 16-bit type.)
fn zeros(dims: (usize, usize, usize, usize), dtype: DType, device: &Device) -> Result<Tensor> {
    let elements = dims.0 * dims.1 * dims.2 * dims.3;
    match dtype {
        DType::BF16 => Tensor::from_vec(bytemuck::zeroed_vec::<bf16>(elements), dims, device),
        DType::F32 => Tensor::from_vec(bytemuck::zeroed_vec::<f32>(elements), dims, device),
        other => Tensor::zeros(dims, other, device),
    }
}
