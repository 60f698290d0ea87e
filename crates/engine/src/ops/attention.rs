//! Paged attention: writes a batch's keys and values into their pages and lets its queries read them.

use candle_core::{CpuStorage, CustomOp3, InplaceOp2, Layout, Result, Shape, Tensor, bail};
use half::bf16;
use seed_kernels::cpu::{self, Angles, AttentionShape, KvBlock, Span};

use super::rope::Rotation;
use super::{f32s, f32s_mut};

/// One sequence's consecutive rows of the flat batch, as one layer group sees them.
#[derive(Clone, Debug)]
pub struct SpanTable {
    /// First row in the batch.
    pub first_row: usize,
    /// Number of rows.
    pub len: usize,
    /// Positions known after this batch: the last row sits at `context - 1`.
    pub context: usize,
    /// Page of positions `p * page_size ..`; `u32::MAX` behind a window.
    pub page_table: Vec<u32>,
}

/// Attention of one layer over one batch.
pub struct PagedAttention<'a> {
    /// Heads, sizes, scale and window.
    pub shape: &'a AttentionShape,
    /// Who sits where.
    pub spans: &'a [SpanTable],
    /// Learned softmax sinks `[heads]` (gpt-oss).
    pub sinks: Option<&'a [f32]>,
}

impl PagedAttention<'_> {
    /// Stores `rows [tokens, kv_heads, head_dim]`, rotated where that is asked for, in `cache [pages, kv_heads, page_size, head_dim]`, or the bytes of its blocks.
    pub fn write(&self, cache: &Tensor, rows: &Tensor, rotation: Option<&Rotation>) -> Result<()> {
        let angles = rotation.map(Rotation::angles);
        cache.inplace_op2(rows, &Write(self, angles))
    }

    /// `q [tokens, heads, head_dim]` → the same shape.
    pub fn read(&self, q: &Tensor, keys: &Tensor, values: &Tensor) -> Result<Tensor> {
        q.apply_op3_no_bwd(keys, values, &Read(self))
    }

    fn spans(&self) -> Vec<Span<'_>> {
        self.spans
            .iter()
            .map(|s| Span {
                first_row: s.first_row,
                len: s.len,
                context: s.context,
                page_table: &s.page_table,
            })
            .collect()
    }
}

struct Write<'a>(&'a PagedAttention<'a>, Option<Angles<'a>>);

impl InplaceOp2 for Write<'_> {
    fn name(&self) -> &'static str {
        "write_kv"
    }

    fn cpu_fwd(
        &self,
        cache: &mut CpuStorage,
        cache_layout: &Layout,
        rows: &CpuStorage,
        rows_layout: &Layout,
    ) -> Result<()> {
        let rows = f32s(rows, rows_layout, "write_kv")?;
        let spans = self.0.spans();
        match cache {
            CpuStorage::BF16(cache) if cache_layout.is_contiguous() => {
                cpu::write_kv(cache.as_mut_slice(), rows, self.1, self.0.shape, &spans)
            }
            CpuStorage::F32(_) => {
                let cache = f32s_mut(cache, cache_layout, "write_kv")?;
                cpu::write_kv(cache, rows, self.1, self.0.shape, &spans)
            }
            CpuStorage::U8(cache) if cache_layout.is_contiguous() => {
                let (blocks, _) = cache.as_chunks_mut();
                cpu::write_kv::<KvBlock>(blocks, rows, self.1, self.0.shape, &spans)
            }
            _ => bail!("write_kv: the cache must be contiguous f32, bf16 or blocks"),
        }
        Ok(())
    }
}

struct Read<'a>(&'a PagedAttention<'a>);

impl CustomOp3 for Read<'_> {
    fn name(&self) -> &'static str {
        "paged_attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        keys: &CpuStorage,
        _: &Layout,
        values: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let q = f32s(q, q_layout, "paged_attention")?;
        let spans = self.0.spans();
        let mut out = vec![0f32; q.len()];
        let (shape, sinks) = (self.0.shape, self.0.sinks);
        match (keys, values) {
            (CpuStorage::F32(k), CpuStorage::F32(v)) => {
                cpu::paged_attention::<f32>(q, k, v, shape, &spans, sinks, &mut out)
            }
            (CpuStorage::BF16(k), CpuStorage::BF16(v)) => {
                cpu::paged_attention::<bf16>(q, k, v, shape, &spans, sinks, &mut out)
            }
            (CpuStorage::U8(k), CpuStorage::U8(v)) => {
                let ((k, _), (v, _)) = (k.as_chunks(), v.as_chunks());
                cpu::paged_attention::<KvBlock>(q, k, v, shape, &spans, sinks, &mut out)
            }
            _ => bail!("paged_attention: keys and values must both be f32, bf16 or blocks"),
        }
        Ok((CpuStorage::F32(out), q_layout.shape().clone()))
    }
}
