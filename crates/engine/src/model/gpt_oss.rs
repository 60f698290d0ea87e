//! gpt-oss (`GptOssForCausalLM`): attention with sinks, every other layer over a sliding window, then a mixture of
//! experts whose weights are MXFP4 blocks.
//!
//! Source: openai/gpt-oss `torch/model.py`, the checkpoint's config.json and tensor names, transformers `gpt_oss`.

use candle_core::{Result, Tensor};
use seed_kernels::cpu::AttentionShape;

use super::attention::{Context, SelfAttention};
use super::gpt_oss_config::GptOssConfig;
use super::reader::Reader;
use super::{Batch, Model};
use crate::cache::storage::{KvStorage, LayerSlot};
use crate::ops::embedding::Embedding;
use crate::ops::linear::Linear;
use crate::ops::moe::MixtureOfExperts;
use crate::ops::norm::RmsNorm;
use crate::ops::rope::Rope;
use crate::parallel::Rank;
use crate::weights::{Checkpoint, Keeping, Shard, WeightError};

struct Layer {
    input_norm: RmsNorm,
    attention: SelfAttention,
    slides: bool,
    post_attention_norm: RmsNorm,
    moe: MixtureOfExperts,
}

impl Layer {
    fn read(
        reader: &Reader<'_>,
        config: &GptOssConfig,
        layer: usize,
    ) -> std::result::Result<Self, WeightError> {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let experts = |part| {
            let stem = name(&format!("mlp.experts.{part}"));
            reader.experts(&stem, config.experts, config.packed)
        };
        Ok(Self {
            input_norm: reader.norm(&name("input_layernorm.weight"))?,
            attention: SelfAttention::read(reader, &name("self_attn"), (true, true), true)?,
            slides: config.slides[layer],
            post_attention_norm: reader.norm(&name("post_attention_layernorm.weight"))?,
            moe: MixtureOfExperts {
                router: reader.linear(&name("mlp.router"), Shard::Whole, true)?,
                gate_up: experts("gate_up_proj")?,
                down: experts("down_proj")?,
                chosen: config.chosen,
                limit: config.limit as f32,
                alpha: config.alpha as f32,
            },
        })
    }
}

/// The model with its weights.
pub struct GptOss {
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Linear,
    rope: Rope,
    full: AttentionShape,
    sliding: AttentionShape,
    layout: Vec<LayerSlot>,
}

impl GptOss {
    /// Reads all weights; `progress` gets 0..1, and its error ends the reading.
    pub fn load(
        config: &GptOssConfig,
        checkpoint: &Checkpoint<'_>,
        keeping: Keeping,
        page_size: usize,
        progress: &mut dyn FnMut(f32) -> std::result::Result<(), WeightError>,
    ) -> std::result::Result<Self, WeightError> {
        let reader = Reader {
            checkpoint,
            keeping,
            rank: Rank::SOLO,
            eps: config.norm_eps as f32,
        };
        let table = reader.matrix("model.embed_tokens.weight", Shard::Whole)?;
        let head = reader.head(false)?;
        let count = config.slides.len();
        let mut layers = Vec::with_capacity(count);
        for layer in 0..count {
            layers.push(Layer::read(&reader, config, layer)?);
            progress((layer + 1) as f32 / count as f32)?;
        }
        let shape = |window| AttentionShape {
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            page_size,
            scale: (config.head_dim as f32).powf(-0.5),
            window,
            rounds: keeping.rounds,
        };
        Ok(Self {
            embedding: Embedding::new(table),
            norm: reader.norm("model.norm.weight")?,
            head,
            layers,
            rope: Rope::yarn(config.rope_theta, config.head_dim, &config.yarn),
            full: shape(None),
            sliding: shape(Some(config.window)),
            layout: config.layout(),
        })
    }
}

impl Model for GptOss {
    fn forward(&self, batch: &Batch, cache: &KvStorage) -> Result<Tensor> {
        let mut x = self.embedding.forward(&batch.tokens)?;
        let rotation = self.rope.rotation(&batch.positions);
        let spans = [batch.spans(0), batch.spans(1)];
        for (layer, slot) in self.layers.iter().zip(&self.layout) {
            let context = Context {
                shape: if layer.slides {
                    &self.sliding
                } else {
                    &self.full
                },
                rotation: &rotation,
                spans: &spans[slot.group],
                cache: cache.slot(slot.slot),
            };
            let mixed = layer.attention.forward(&x, &layer.input_norm, &context)?;
            x = (x + mixed)?;
            let normed = layer.post_attention_norm.forward(&x)?;
            x = (x + layer.moe.forward(&normed)?)?;
        }
        let rows = Tensor::from_slice(&batch.logit_rows, batch.logit_rows.len(), x.device())?;
        self.norm.forward(&x.index_select(&rows, 0)?)
    }

    fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        self.head.forward(hidden)
    }
}
