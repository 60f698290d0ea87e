//! The tensors behind the pages: one key and one value tensor per layer slot, allocated once at load.
//!
//! Groups of layers share the pool: a page belongs to one group at a time and holds its positions for all layers of
//! that group, so the n-th layer of every group uses the same tensor.

use candle_core::{Device, Result, Tensor};
use half::bf16;
use seed_kernels::cpu::{KvBlock, KvElement};

/// What the cache is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvDType {
    /// Single precision.
    F32,
    /// bfloat16.
    Bf16,
    /// Signed bytes in blocks of 32 along a head, each with a scale ([`KvBlock`]).
    Q8,
}

impl KvDType {
    /// Elements of a head that cannot be parted.
    pub fn block(self) -> usize {
        match self {
            Self::F32 | Self::Bf16 => 1,
            Self::Q8 => KvBlock::HOLDS,
        }
    }

    /// Bytes of so many elements of a head, whole blocks.
    fn bytes(self, elements: usize) -> usize {
        match self {
            Self::F32 => 4 * elements,
            Self::Bf16 => 2 * elements,
            Self::Q8 => elements / KvBlock::HOLDS * size_of::<KvBlock>(),
        }
    }
}

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
    /// Element type; `head_dim` is whole blocks of it.
    pub dtype: KvDType,
}

impl KvShape {
    /// Bytes of one page over all slots, keys and values.
    pub fn page_bytes(&self) -> usize {
        2 * self.slots * self.kv_heads * self.page_size * self.dtype.bytes(self.head_dim)
    }
}

/// Keys and values of all pages.
pub struct KvStorage {
    keys: Vec<Tensor>,
    values: Vec<Tensor>,
}

impl KvStorage {
    /// Allocates the pool, zeroed: `[pages, kv_heads, page_size, head_dim]` per slot, with blocks their bytes in place of the
    /// last.
    pub fn new(shape: &KvShape, device: &Device) -> Result<Self> {
        let last = match shape.dtype {
            KvDType::F32 | KvDType::Bf16 => shape.head_dim,
            KvDType::Q8 => shape.dtype.bytes(shape.head_dim),
        };
        let dims = (shape.pages, shape.kv_heads, shape.page_size, last);
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
fn zeros(dims: (usize, usize, usize, usize), dtype: KvDType, device: &Device) -> Result<Tensor> {
    let elements = dims.0 * dims.1 * dims.2 * dims.3;
    match dtype {
        KvDType::Bf16 => Tensor::from_vec(bytemuck::zeroed_vec::<bf16>(elements), dims, device),
        KvDType::F32 => Tensor::from_vec(bytemuck::zeroed_vec::<f32>(elements), dims, device),
        KvDType::Q8 => Tensor::from_vec(bytemuck::zeroed_vec::<u8>(elements), dims, device),
    }
}
