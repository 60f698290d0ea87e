//! Seed-OSS (`SeedOssForCausalLM`): Llama's block with biases on q, k and v and a query width of its own.
//!
//! Source: the checkpoint's config.json and tensor names (`model.layers.N.…`), transformers `models/seed_oss`.

use candle_core::{Result, Tensor};
use seed_kernels::cpu::AttentionShape;
use serde_json::Value;

use super::attention::{Context, SelfAttention};
use super::config::{count, flag, layers, number, possible};
use super::reader::Reader;
use super::{Batch, Model};
use crate::cache::storage::KvStorage;
use crate::ops::embedding::Embedding;
use crate::ops::linear::{Linear, Source, several};
use crate::ops::norm::RmsNorm;
use crate::ops::rope::Rope;
use crate::parallel::Rank;
use crate::weights::{Checkpoint, Expected, Keeping, Shard, WeightError};

/// Geometry as config.json states it. Query width is `heads * head_dim` and need not equal `hidden`.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedOssConfig {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width of the feed-forward layer.
    pub intermediate: usize,
    /// Rows of embedding and head, padding included.
    pub vocabulary: usize,
    /// Longest context the checkpoint was made for.
    pub max_positions: usize,
    /// Epsilon of the norms.
    pub norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Biases on q, k and v.
    pub attention_bias: bool,
    /// Bias on the output projection.
    pub attention_out_bias: bool,
    /// Biases in the feed-forward layer.
    pub mlp_bias: bool,
    /// The head is the embedding.
    pub tied: bool,
}

impl SeedOssConfig {
    /// Reads the keys of config.json; the error is the end of a sentence that starts with the file's name.
    pub fn parse(value: &Value) -> std::result::Result<Self, String> {
        let rope = value
            .get("rope_parameters")
            .or_else(|| value.get("rope_scaling"))
            .unwrap_or(&Value::Null);
        let kind = rope.get("rope_type").or_else(|| rope.get("type"));
        if let Some(kind) = kind.and_then(Value::as_str).filter(|k| *k != "default") {
            return Err(format!(
                "asks for RoPE scaling {kind:?}, which Seed-OSS does not have"
            ));
        }
        match value.get("hidden_act").and_then(Value::as_str) {
            Some("silu") => {}
            other => return Err(format!("hidden_act is {other:?}; silu is supported")),
        }
        let config = Self {
            hidden: count(value, "hidden_size")?,
            layers: layers(value)?,
            heads: count(value, "num_attention_heads")?,
            kv_heads: count(value, "num_key_value_heads")?,
            head_dim: count(value, "head_dim")?,
            intermediate: count(value, "intermediate_size")?,
            vocabulary: count(value, "vocab_size")?,
            max_positions: count(value, "max_position_embeddings")?,
            norm_eps: number(value, "rms_norm_eps")?,
            rope_theta: number(value, "rope_theta")
                .or_else(|e| number(rope, "rope_theta").map_err(|_| e))?,
            attention_bias: flag(value, "attention_bias")?,
            attention_out_bias: flag(value, "attention_out_bias")?,
            mlp_bias: flag(value, "mlp_bias")?,
            tied: flag(value, "tie_word_embeddings")?,
        };
        if !config.heads.is_multiple_of(config.kv_heads) {
            return Err(format!(
                "num_attention_heads {} must be a multiple of num_key_value_heads {}",
                config.heads, config.kv_heads
            ));
        }
        if !config.head_dim.is_multiple_of(2) {
            return Err(format!(
                "head_dim {} must be even for RoPE",
                config.head_dim
            ));
        }
        let (heads, hidden) = (config.heads, config.hidden);
        possible(&[
            (
                "num_attention_heads * head_dim * hidden_size",
                &[heads, config.head_dim, hidden],
            ),
            ("vocab_size * hidden_size", &[config.vocabulary, hidden]),
            (
                "intermediate_size * hidden_size",
                &[config.intermediate, hidden],
            ),
        ])?;
        Ok(config)
    }

    /// The tensors this geometry needs, with their shapes.
    pub fn expected(&self) -> Expected {
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let (h, i) = (self.hidden, self.intermediate);
        let mut expected = Expected::default();
        expected.tensor("model.embed_tokens.weight", &[self.vocabulary, h]);
        expected.tensor("model.norm.weight", &[h]);
        for layer in 0..self.layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            expected.tensor(name("input_layernorm.weight"), &[h]);
            expected.tensor(name("post_attention_layernorm.weight"), &[h]);
            let linears = [
                ("self_attn.q_proj", q, h, self.attention_bias),
                ("self_attn.k_proj", kv, h, self.attention_bias),
                ("self_attn.v_proj", kv, h, self.attention_bias),
                ("self_attn.o_proj", h, q, self.attention_out_bias),
                ("mlp.gate_proj", i, h, self.mlp_bias),
                ("mlp.up_proj", i, h, self.mlp_bias),
                ("mlp.down_proj", h, i, self.mlp_bias),
            ];
            for (part, outputs, inputs, bias) in linears {
                expected.tensor(name(&format!("{part}.weight")), &[outputs, inputs]);
                if bias {
                    expected.tensor(name(&format!("{part}.bias")), &[outputs]);
                }
            }
        }
        if self.tied {
            expected.ignore_suffix("lm_head.weight");
        } else {
            expected.tensor("lm_head.weight", &[self.vocabulary, h]);
        }
        expected.ignore_suffix(".rotary_emb.inv_freq");
        expected
    }
}

struct Layer {
    input_norm: RmsNorm,
    attention: SelfAttention,
    post_attention_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// Rows that go through a feed-forward layer at once: it is several times as wide as all else, and weights come from memory
/// fast enough for so many.
pub(super) const FEED_ROWS: usize = 128;

/// The model with its weights, on one rank.
pub struct SeedOss {
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Linear,
    rope: Rope,
    attention: AttentionShape,
}

impl SeedOss {
    /// Reads all weights; `progress` gets 0..1, and its error ends the reading.
    pub fn load(
        config: &SeedOssConfig,
        checkpoint: &Checkpoint<'_>,
        keeping: Keeping,
        page_size: usize,
        rank: Rank,
        progress: &mut dyn FnMut(f32) -> std::result::Result<(), WeightError>,
    ) -> std::result::Result<Self, WeightError> {
        let reader = Reader {
            checkpoint,
            keeping,
            rank,
            eps: config.norm_eps as f32,
        };
        let table = reader.matrix("model.embed_tokens.weight", Shard::Whole)?;
        let head = reader.head(config.tied)?;
        let mut layers = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            layers.push(Layer::read(&reader, config, layer)?);
            progress((layer + 1) as f32 / config.layers as f32)?;
        }
        Ok(Self {
            embedding: Embedding::new(table),
            norm: reader.norm("model.norm.weight")?,
            head,
            layers,
            rope: Rope::plain(config.rope_theta, config.head_dim),
            attention: AttentionShape {
                heads: config.heads / rank.world,
                kv_heads: config.kv_heads / rank.world,
                head_dim: config.head_dim,
                page_size,
                scale: (config.head_dim as f32).powf(-0.5),
                window: None,
                rounds: keeping.rounds,
            },
        })
    }

    /// x += down(silu(gate(x)) * up(x)), of the normed x.
    fn feed_forward(&self, layer: &Layer, x: &Tensor) -> Result<Tensor> {
        let norm = &layer.post_attention_norm;
        let rows = x.dim(0)?;
        let mut parts = Vec::with_capacity(rows.div_ceil(FEED_ROWS));
        for first in (0..rows).step_by(FEED_ROWS) {
            let part = x.narrow(0, first, FEED_ROWS.min(rows - first))?;
            let [gate, up] = several(&Source::Normed(&part, norm), [&layer.gate, &layer.up])?;
            let [down] = several(&Source::Gated(&gate, &up), [&layer.down])?;
            parts.push(down);
        }
        x + Tensor::cat(&parts, 0)?
    }
}

impl Model for SeedOss {
    fn forward(&self, batch: &Batch, cache: &KvStorage) -> Result<Tensor> {
        let mut x = self.embedding.forward(&batch.tokens)?;
        let rotation = self.rope.rotation(&batch.positions);
        let spans = batch.spans(0);
        for (slot, layer) in self.layers.iter().enumerate() {
            let context = Context {
                shape: &self.attention,
                rotation: &rotation,
                spans: &spans,
                cache: cache.slot(slot),
            };
            let mixed = layer.attention.forward(&x, &layer.input_norm, &context)?;
            x = (x + mixed)?;
            x = self.feed_forward(layer, &x)?;
        }
        let rows = Tensor::from_slice(&batch.logit_rows, batch.logit_rows.len(), x.device())?;
        self.norm.forward(&x.index_select(&rows, 0)?)
    }

    fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        self.head.forward(hidden)
    }
}

impl Layer {
    fn read(
        reader: &Reader<'_>,
        config: &SeedOssConfig,
        layer: usize,
    ) -> std::result::Result<Layer, WeightError> {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let (column, row) = (reader.rank.column_parallel(), reader.rank.row_parallel());
        let (qkv, out, mlp) = (
            config.attention_bias,
            config.attention_out_bias,
            config.mlp_bias,
        );
        Ok(Layer {
            input_norm: reader.norm(&name("input_layernorm.weight"))?,
            attention: SelfAttention::read(reader, &name("self_attn"), (qkv, out), false)?,
            post_attention_norm: reader.norm(&name("post_attention_layernorm.weight"))?,
            gate: reader.linear(&name("mlp.gate_proj"), column, mlp)?,
            up: reader.linear(&name("mlp.up_proj"), column, mlp)?,
            down: reader.linear(&name("mlp.down_proj"), row, mlp)?,
        })
    }
}
