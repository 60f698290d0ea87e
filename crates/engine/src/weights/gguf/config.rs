//! Says a GGUF's metadata in the words of config.json and tokenizer.json, so that one reader serves both kinds of
//! checkpoint. Called when a GGUF file is opened.
//!
//! Sources: llama.cpp `conversion/gpt_oss.py`, `conversion/olmo.py` (Seed-OSS), `gguf-py/gguf/constants.py`.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::header::Metadata;
use crate::text::byte_level::{O200K_SPLIT, added_token, tokenizer_json};
use crate::weights::WeightError;

/// Split of Seed-Coder and Seed-OSS (`tokenizer.ggml.pre` = `seed-coder`), from their tokenizer.json.
const SEED_SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Slope and bound of gpt-oss's SwiGLU, which the format does not carry.
const SWIGLU_LIMIT: f64 = 7.0;

/// `token_type` of ggml: control tokens, and others that are matched whole.
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;
const UNUSED: u64 = 5;

/// Metadata with the file that is to blame.
pub(super) struct Facts<'a> {
    pub(super) file: &'a Path,
    pub(super) metadata: &'a Metadata,
    /// Whether a tensor of this name is there.
    pub(super) holds: &'a dyn Fn(&str) -> bool,
}

impl Facts<'_> {
    fn error(&self, reason: impl Into<String>) -> WeightError {
        WeightError::new(self.file, reason)
    }

    fn get(&self, key: &str) -> Result<&Value, WeightError> {
        self.metadata
            .get(key)
            .ok_or_else(|| self.error(format!("has no metadata key {key}")))
    }

    fn list(&self, key: &str) -> Result<&Vec<Value>, WeightError> {
        self.get(key)?
            .as_array()
            .ok_or_else(|| self.error(format!("has metadata key {key}, which is no list")))
    }

    /// The architecture's name in the file.
    pub(super) fn architecture(&self) -> Result<&str, WeightError> {
        let named = self.get("general.architecture")?;
        match named.as_str() {
            Some(known @ ("seed_oss" | "gpt-oss")) => Ok(known),
            _ => Err(self.error(format!(
                "holds a model of architecture {named}; seed_oss and gpt-oss are supported"
            ))),
        }
    }

    /// The config as config.json would say it.
    pub(super) fn config(&self) -> Result<Value, WeightError> {
        let architecture = self.architecture()?;
        let key = |name: &str| self.get(&format!("{architecture}.{name}"));
        let mut config = Map::new();
        for (name, from) in [
            ("num_hidden_layers", "block_count"),
            ("hidden_size", "embedding_length"),
            ("num_attention_heads", "attention.head_count"),
            ("num_key_value_heads", "attention.head_count_kv"),
            ("head_dim", "attention.key_length"),
            ("max_position_embeddings", "context_length"),
            ("rms_norm_eps", "attention.layer_norm_rms_epsilon"),
            ("rope_theta", "rope.freq_base"),
        ] {
            config.insert(name.into(), key(from)?.clone());
        }
        let tokens = self.list("tokenizer.ggml.tokens")?.len();
        config.insert("vocab_size".into(), tokens.into());
        let tied = !(self.holds)("output.weight");
        config.insert("tie_word_embeddings".into(), tied.into());
        if let Some(eos) = self.metadata.get("tokenizer.ggml.eos_token_id") {
            config.insert("eos_token_id".into(), eos.clone());
        }
        let own = if architecture == "seed_oss" {
            let bias = |name: &str| (self.holds)(&format!("blk.0.{name}.bias"));
            json!({
                "architectures": ["SeedOssForCausalLM"],
                "hidden_act": "silu",
                "intermediate_size": key("feed_forward_length")?,
                "attention_bias": bias("attn_q"),
                "attention_out_bias": bias("attn_output"),
                "mlp_bias": bias("ffn_up"),
            })
        } else {
            json!({
                "architectures": ["GptOssForCausalLM"],
                "intermediate_size": key("expert_feed_forward_length")?,
                "num_local_experts": key("expert_count")?,
                "num_experts_per_tok": key("expert_used_count")?,
                "sliding_window": key("attention.sliding_window")?,
                "attention_bias": true,
                "swiglu_limit": SWIGLU_LIMIT,
                "rope_scaling": {
                    "rope_type": key("rope.scaling.type")?,
                    "factor": key("rope.scaling.factor")?,
                    "original_max_position_embeddings": key("rope.scaling.original_context_length")?,
                    // The format leaves these three out: they are the model's, and its tables are not rounded.
                    "beta_fast": 32.0,
                    "beta_slow": 1.0,
                    "truncate": false,
                },
            })
        };
        if let Value::Object(own) = own {
            config.extend(own);
        }
        Ok(Value::Object(config))
    }

    /// The tokenizer as tokenizer.json would say it.
    pub(super) fn tokenizer(&self) -> Result<Value, WeightError> {
        let model = self.get("tokenizer.ggml.model")?;
        if model.as_str() != Some("gpt2") {
            return Err(self.error(format!(
                "holds a tokenizer of kind {model}; both families have byte-level BPE (gpt2)"
            )));
        }
        let split = match self.get("tokenizer.ggml.pre")?.as_str() {
            Some("seed-coder") => SEED_SPLIT,
            Some("gpt-4o") => O200K_SPLIT,
            _ => {
                return Err(self.error(format!(
                    "names the pre-tokenizer {}; seed-coder and gpt-4o are supported",
                    self.get("tokenizer.ggml.pre")?
                )));
            }
        };
        let tokens = self.list("tokenizer.ggml.tokens")?;
        let types = self.list("tokenizer.ggml.token_type")?;
        if types.len() != tokens.len() {
            return Err(self.error(format!(
                "has {} tokens but {} token types",
                tokens.len(),
                types.len()
            )));
        }
        let mut vocab = Map::new();
        let mut added = Vec::new();
        for (id, (token, kind)) in tokens.iter().zip(types).enumerate() {
            let Some(text) = token.as_str() else {
                return Err(self.error(format!("has token {id} that is no text")));
            };
            match kind.as_u64() {
                Some(UNUSED) => {}
                Some(kind @ (CONTROL | USER_DEFINED)) => {
                    added.push(added_token(id, text, kind == CONTROL));
                }
                _ => {
                    if vocab.insert(text.into(), id.into()).is_some() {
                        return Err(self.error(format!("has token {text:?} twice")));
                    }
                }
            }
        }
        let merges = self.list("tokenizer.ggml.merges")?.clone();
        Ok(tokenizer_json(split, vocab, merges.into(), added))
    }

    /// What tokenizer_config.json would say of the template and the tokens plain text leaves out.
    pub(super) fn tokenizer_config(&self) -> Result<Value, WeightError> {
        let tokens = self.list("tokenizer.ggml.tokens")?;
        let mut config = Map::new();
        for (name, key) in [
            ("bos_token", "tokenizer.ggml.bos_token_id"),
            ("eos_token", "tokenizer.ggml.eos_token_id"),
            ("pad_token", "tokenizer.ggml.padding_token_id"),
        ] {
            let id = self.metadata.get(key).and_then(Value::as_u64);
            if let Some(token) = id.and_then(|id| tokens.get(id as usize)) {
                config.insert(name.into(), token.clone());
            }
        }
        if let Some(template) = self.metadata.get("tokenizer.chat_template") {
            config.insert("chat_template".into(), template.clone());
        }
        Ok(Value::Object(config))
    }

    /// What generation_config.json would say of sampling.
    pub(super) fn generation_config(&self) -> Value {
        let mut config = Map::new();
        for (name, key) in [
            ("temperature", "general.sampling.temp"),
            ("top_p", "general.sampling.top_p"),
            ("top_k", "general.sampling.top_k"),
            ("min_p", "general.sampling.min_p"),
            ("repetition_penalty", "general.sampling.penalty_repeat"),
        ] {
            if let Some(value) = self.metadata.get(key) {
                config.insert(name.into(), value.clone());
            }
        }
        Value::Object(config)
    }
}
