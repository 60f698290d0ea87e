//! Self-attention as both families have it: projections, rotation, paged cache, output. `seed_oss.rs` and `gpt_oss.rs`
//! give it the shape of their layer.

use candle_core::{Result, Tensor};
use seed_kernels::cpu::AttentionShape;

use super::reader::Reader;
use crate::ops::attention::{PagedAttention, SpanTable};
use crate::ops::linear::{Linear, Source, several};
use crate::ops::norm::RmsNorm;
use crate::ops::rope::Rotation;
use crate::weights::WeightError;

/// The tensors `self_attn.*` of one layer.
pub(super) struct SelfAttention {
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    /// Learned softmax sinks `[heads]`, where the family has them.
    sinks: Option<Vec<f32>>,
}

/// What a layer's rows attend to.
pub(super) struct Context<'a> {
    pub(super) shape: &'a AttentionShape,
    pub(super) rotation: &'a Rotation,
    pub(super) spans: &'a [SpanTable],
    /// Keys and values of the layer's slot.
    pub(super) cache: (&'a Tensor, &'a Tensor),
}

impl SelfAttention {
    /// Reads `{stem}.q_proj` and its siblings, and `{stem}.sinks` if there are any.
    pub(super) fn read(
        reader: &Reader<'_>,
        stem: &str,
        (qkv_bias, out_bias): (bool, bool),
        sinks: bool,
    ) -> std::result::Result<Self, WeightError> {
        let (column, row) = (reader.rank.column_parallel(), reader.rank.row_parallel());
        let sinks = match sinks {
            true => Some(
                reader
                    .checkpoint
                    .source
                    .vector(&format!("{stem}.sinks"), column)?,
            ),
            false => None,
        };
        Ok(Self {
            q: reader.linear(&format!("{stem}.q_proj"), column, qkv_bias)?,
            k: reader.linear(&format!("{stem}.k_proj"), column, qkv_bias)?,
            v: reader.linear(&format!("{stem}.v_proj"), column, qkv_bias)?,
            o: reader.linear(&format!("{stem}.o_proj"), row, out_bias)?,
            sinks,
        })
    }

    /// `o(attention(rope(q), rope(k), v))` of x under the layer's norm, `[tokens, hidden]`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        norm: &RmsNorm,
        context: &Context<'_>,
    ) -> Result<Tensor> {
        let tokens = x.dim(0)?;
        let shape = context.shape;
        // 1. Projections, [tokens, heads, head_dim].
        let [q, k, v] = several(&Source::Normed(x, norm), [&self.q, &self.k, &self.v])?;
        let q = q.reshape((tokens, shape.heads, shape.head_dim))?;
        let kv = (tokens, shape.kv_heads, shape.head_dim);
        let (k, v) = (k.reshape(kv)?, v.reshape(kv)?);
        // 2. Positions; the keys' are put in as they are stored.
        context.rotation.apply(&q)?;
        // 3. Cache, then attention over all pages of each sequence.
        let attention = PagedAttention {
            shape,
            spans: context.spans,
            sinks: self.sinks.as_deref(),
        };
        let (keys, values) = context.cache;
        attention.write(keys, &k, Some(context.rotation))?;
        attention.write(values, &v, None)?;
        let mixed = attention.read(&q, keys, values)?;
        // 4. Back to the width of the residual stream.
        let width = shape.heads * shape.head_dim;
        self.o.forward(&mixed.reshape((tokens, width))?)
    }
}
