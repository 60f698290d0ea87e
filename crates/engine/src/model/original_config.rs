//! Says OpenAI's own config of gpt-oss (a release's `original/config.json`) in Hugging Face's words, so that one reader
//! serves both. Called when a config is parsed.
//!
//! Source: openai/gpt-oss `torch/model.py` (`ModelConfig`, `RMSNorm`, `RotaryEmbedding`).

use serde_json::{Value, json};

use super::config::{count, number};

/// Epsilon of the norms, which the file does not carry.
const NORM_EPS: f64 = 1e-5;

/// Whether a config names experts as OpenAI does and no architecture.
pub fn is_original(value: &Value) -> bool {
    value.get("architectures").is_none() && value.get("experts_per_token").is_some()
}

/// The same in Hugging Face's words; the error is the end of a sentence that starts with the file's name.
pub(super) fn translated(value: &Value) -> Result<Value, String> {
    let initial = count(value, "initial_context_length")?;
    let factor = number(value, "rope_scaling_factor")?;
    Ok(json!({
        "architectures": ["GptOssForCausalLM"],
        "num_hidden_layers": count(value, "num_hidden_layers")?,
        "num_local_experts": count(value, "num_experts")?,
        "num_experts_per_tok": count(value, "experts_per_token")?,
        "vocab_size": count(value, "vocab_size")?,
        "hidden_size": count(value, "hidden_size")?,
        "intermediate_size": count(value, "intermediate_size")?,
        "head_dim": count(value, "head_dim")?,
        "num_attention_heads": count(value, "num_attention_heads")?,
        "num_key_value_heads": count(value, "num_key_value_heads")?,
        "sliding_window": count(value, "sliding_window")?,
        "max_position_embeddings": (initial as f64 * factor) as u64,
        "rms_norm_eps": NORM_EPS,
        "rope_theta": number(value, "rope_theta")?,
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": factor,
            "beta_fast": number(value, "rope_ntk_beta")?,
            "beta_slow": number(value, "rope_ntk_alpha")?,
            "original_max_position_embeddings": initial,
            "truncate": false,
        },
        "swiglu_limit": number(value, "swiglu_limit")?,
        "attention_bias": true,
        "tie_word_embeddings": false,
        "quantization_config": {"quant_method": "mxfp4"},
    }))
}
