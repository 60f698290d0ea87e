//! gpt-oss's geometry as config.json states it, and the tensors that follow from it.

use serde_json::Value;

use super::config::{count, flag, layers, number, possible};
use crate::cache::storage::LayerSlot;
use crate::ops::rope::Yarn;
use crate::weights::Expected;

/// Slope of the gate's sigmoid where config.json does not say (`swiglu_alpha` came later).
const ALPHA: f64 = 1.702;

/// Geometry as config.json states it.
#[derive(Clone, Debug, PartialEq)]
pub struct GptOssConfig {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of an expert.
    pub intermediate: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Experts in a layer.
    pub experts: usize,
    /// Experts a token uses.
    pub chosen: usize,
    /// Rows of embedding and head.
    pub vocabulary: usize,
    /// Longest context, tokens.
    pub max_positions: usize,
    /// Positions a sliding layer sees, the query included.
    pub window: usize,
    /// Which layers slide, one entry a layer.
    pub slides: Vec<bool>,
    /// Epsilon of the norms.
    pub norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How positions are stretched.
    pub yarn: Yarn,
    /// Gates are cut above this, ups on both sides.
    pub limit: f64,
    /// Slope inside the gate's sigmoid.
    pub alpha: f64,
    /// Expert weights are packed MXFP4 blocks; else dequantised and transposed.
    pub packed: bool,
}

impl GptOssConfig {
    /// Reads the keys of config.json; the error is the end of a sentence that starts with the file's name.
    pub fn parse(value: &Value) -> std::result::Result<Self, String> {
        let layers = layers(value)?;
        let rope = value
            .get("rope_scaling")
            .filter(|v| !v.is_null())
            .or_else(|| value.get("rope_parameters"))
            .ok_or("has no rope_scaling")?;
        if !flag(value, "attention_bias")? {
            return Err("attention_bias is false; gpt-oss has biases".into());
        }
        if value.get("tie_word_embeddings").and_then(Value::as_bool) == Some(true) {
            return Err("tie_word_embeddings is true; gpt-oss has a head of its own".into());
        }
        let config = Self {
            hidden: count(value, "hidden_size")?,
            intermediate: count(value, "intermediate_size")?,
            heads: count(value, "num_attention_heads")?,
            kv_heads: count(value, "num_key_value_heads")?,
            head_dim: count(value, "head_dim")?,
            experts: count(value, "num_local_experts")?,
            chosen: count(value, "num_experts_per_tok")?,
            vocabulary: count(value, "vocab_size")?,
            max_positions: count(value, "max_position_embeddings")?,
            window: count(value, "sliding_window")?,
            slides: slides(value, layers)?,
            norm_eps: number(value, "rms_norm_eps")?,
            rope_theta: number(value, "rope_theta")
                .or_else(|e| number(rope, "rope_theta").map_err(|_| e))?,
            yarn: yarn(rope)?,
            limit: number(value, "swiglu_limit")?,
            alpha: value
                .get("swiglu_alpha")
                .and_then(Value::as_f64)
                .unwrap_or(ALPHA),
            packed: is_packed(value)?,
        };
        if !config.heads.is_multiple_of(config.kv_heads) || !config.head_dim.is_multiple_of(2) {
            return Err(format!(
                "num_attention_heads {} must be a multiple of num_key_value_heads {}, and head_dim {} even",
                config.heads, config.kv_heads, config.head_dim
            ));
        }
        if config.chosen > config.experts {
            return Err(format!(
                "num_experts_per_tok {} exceeds num_local_experts {}",
                config.chosen, config.experts
            ));
        }
        let (heads, hidden, experts) = (config.heads, config.hidden, config.experts);
        possible(&[
            (
                "num_attention_heads * head_dim * hidden_size",
                &[heads, config.head_dim, hidden],
            ),
            ("vocab_size * hidden_size", &[config.vocabulary, hidden]),
            (
                "num_local_experts * intermediate_size * hidden_size",
                &[experts, 2, config.intermediate, hidden],
            ),
        ])?;
        if config.packed
            && !(config.hidden.is_multiple_of(32) && config.intermediate.is_multiple_of(32))
        {
            return Err(
                "hidden_size and intermediate_size must be multiples of 32 for MXFP4".into(),
            );
        }
        Ok(config)
    }

    /// Windows of the layer groups: full attention first, where there is any.
    pub fn windows(&self) -> Vec<Option<usize>> {
        let mut windows = Vec::new();
        if self.slides.contains(&false) {
            windows.push(None);
        }
        if self.slides.contains(&true) {
            windows.push(Some(self.window));
        }
        windows
    }

    /// Group and slot of each layer.
    pub fn layout(&self) -> Vec<LayerSlot> {
        let sliding = usize::from(self.slides.contains(&false));
        let mut next = [0, 0];
        let slot = |&slides: &bool| {
            let group = if slides { sliding } else { 0 };
            next[group] += 1;
            LayerSlot {
                group,
                slot: next[group] - 1,
            }
        };
        self.slides.iter().map(slot).collect()
    }

    /// The tensors this geometry needs, with their shapes.
    pub fn expected(&self) -> Expected {
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let (h, i, e) = (self.hidden, self.intermediate, self.experts);
        let mut expected = Expected::default();
        expected.tensor("model.embed_tokens.weight", &[self.vocabulary, h]);
        expected.tensor("model.norm.weight", &[h]);
        expected.tensor("lm_head.weight", &[self.vocabulary, h]);
        for layer in 0..self.slides.len() {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            expected.tensor(name("input_layernorm.weight"), &[h]);
            expected.tensor(name("post_attention_layernorm.weight"), &[h]);
            expected.tensor(name("self_attn.sinks"), &[self.heads]);
            for (part, outputs, inputs) in [("q", q, h), ("k", kv, h), ("v", kv, h), ("o", h, q)] {
                expected.tensor(
                    name(&format!("self_attn.{part}_proj.weight")),
                    &[outputs, inputs],
                );
                expected.tensor(name(&format!("self_attn.{part}_proj.bias")), &[outputs]);
            }
            expected.tensor(name("mlp.router.weight"), &[e, h]);
            expected.tensor(name("mlp.router.bias"), &[e]);
            for (part, outputs, inputs) in [("gate_up_proj", 2 * i, h), ("down_proj", h, i)] {
                let stem = name(&format!("mlp.experts.{part}"));
                expected.tensor(format!("{stem}_bias"), &[e, outputs]);
                if self.packed {
                    expected.packed(format!("{stem}_blocks"), &[e, outputs, inputs / 32, 16]);
                    expected.packed(format!("{stem}_scales"), &[e, outputs, inputs / 32]);
                } else {
                    expected.tensor(stem, &[e, inputs, outputs]);
                }
            }
        }
        expected
    }
}

/// `layer_types`, or every even layer sliding where an old config has none.
fn slides(value: &Value, layers: usize) -> std::result::Result<Vec<bool>, String> {
    let Some(types) = value.get("layer_types").and_then(Value::as_array) else {
        return Ok((0..layers).map(|layer| layer % 2 == 0).collect());
    };
    if types.len() != layers {
        return Err(format!(
            "layer_types has {} entries for {layers} layers",
            types.len()
        ));
    }
    let slides = |kind: &Value| match kind.as_str() {
        Some("sliding_attention") => Ok(true),
        Some("full_attention") => Ok(false),
        _ => Err(format!(
            "layer_types holds {kind}; sliding_attention and full_attention are known"
        )),
    };
    types.iter().map(slides).collect()
}

fn yarn(rope: &Value) -> std::result::Result<Yarn, String> {
    let kind = rope.get("rope_type").or_else(|| rope.get("type"));
    if kind.and_then(Value::as_str) != Some("yarn") {
        return Err(format!("asks for RoPE scaling {kind:?}; gpt-oss has yarn"));
    }
    Ok(Yarn {
        factor: number(rope, "factor")?,
        beta_fast: number(rope, "beta_fast")?,
        beta_slow: number(rope, "beta_slow")?,
        original_positions: count(rope, "original_max_position_embeddings")?,
        truncate: rope
            .get("truncate")
            .and_then(Value::as_bool)
            .unwrap_or(true),
    })
}

fn is_packed(value: &Value) -> std::result::Result<bool, String> {
    match value.get("quantization_config").filter(|v| !v.is_null()) {
        None => Ok(false),
        Some(quantised) => match quantised.get("quant_method").and_then(Value::as_str) {
            Some("mxfp4") => Ok(true),
            other => Err(format!(
                "quantization_config asks for {other:?}; mxfp4 is supported"
            )),
        },
    }
}
