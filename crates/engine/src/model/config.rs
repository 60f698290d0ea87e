//! Reads `config.json` and decides which architecture it describes; nothing is filled in from defaults.

use std::path::Path;

use serde_json::Value;

use super::original_config::{is_original, translated};
use super::{GptOss, GptOssConfig, Model, SeedOss, SeedOssConfig};
use crate::parallel::Rank;
use crate::weights::{Checkpoint, Expected, Keeping, WeightError};

/// Why a config cannot be used: one sentence that names the file.
pub type ConfigError = crate::weights::WeightError;

/// A config of one of the architectures.
#[derive(Clone, Debug)]
pub enum ModelConfig {
    /// ByteDance Seed-OSS.
    SeedOss(SeedOssConfig),
    /// OpenAI gpt-oss.
    GptOss(GptOssConfig),
}

impl ModelConfig {
    /// Reads `config.json` of a model folder.
    pub fn read(folder: &Path) -> Result<Self, ConfigError> {
        let path = folder.join("config.json");
        Self::parse(&read_json(&path)?, &path)
    }

    /// Takes what a config.json says; `path` is the file to blame.
    pub fn parse(value: &Value, path: &Path) -> Result<Self, ConfigError> {
        let error = |reason| ConfigError::new(path, reason);
        if is_original(value) {
            let value = translated(value).map_err(error)?;
            return GptOssConfig::parse(&value).map(Self::GptOss).map_err(error);
        }
        let names = value.get("architectures").unwrap_or(&Value::Null);
        let parsed = match names.get(0).and_then(Value::as_str) {
            Some("SeedOssForCausalLM") => SeedOssConfig::parse(value).map(Self::SeedOss),
            Some("GptOssForCausalLM") => GptOssConfig::parse(value).map(Self::GptOss),
            _ => Err(format!(
                "describes the architecture {names}; SeedOssForCausalLM and GptOssForCausalLM are supported"
            )),
        };
        parsed.map_err(error)
    }

    /// The tensors this geometry needs, with their shapes.
    pub fn expected(&self) -> Expected {
        match self {
            Self::SeedOss(config) => config.expected(),
            Self::GptOss(config) => config.expected(),
        }
    }

    /// What memory and cache are planned from.
    pub fn geometry(&self) -> Geometry {
        match self {
            Self::SeedOss(c) => Geometry {
                architecture: "SeedOssForCausalLM",
                vocabulary: c.vocabulary,
                max_positions: c.max_positions,
                kv_heads: c.kv_heads,
                head_dim: c.head_dim,
                windows: vec![None],
                slots: c.layers,
                row_floats: 5 * c.hidden + 2 * c.heads * c.head_dim,
                fixed_floats: super::seed_oss::FEED_ROWS * 3 * c.intermediate,
            },
            Self::GptOss(c) => Geometry {
                architecture: "GptOssForCausalLM",
                vocabulary: c.vocabulary,
                max_positions: c.max_positions,
                kv_heads: c.kv_heads,
                head_dim: c.head_dim,
                windows: c.windows(),
                slots: c.layout().iter().map(|l| l.slot + 1).max().unwrap_or(0),
                row_floats: 6 * c.hidden
                    + 2 * c.heads * c.head_dim
                    + c.chosen * (2 * c.hidden + 3 * c.intermediate),
                fixed_floats: 0,
            },
        }
    }

    /// Reads all weights; see the models' own `load`.
    pub fn load(
        &self,
        checkpoint: &Checkpoint<'_>,
        keeping: impl Into<Keeping>,
        page_size: usize,
        progress: &mut dyn FnMut(f32) -> Result<(), WeightError>,
    ) -> Result<Box<dyn Model>, WeightError> {
        let keeping = keeping.into();
        Ok(match self {
            Self::SeedOss(config) => {
                let rank = Rank::SOLO;
                Box::new(SeedOss::load(
                    config, checkpoint, keeping, page_size, rank, progress,
                )?)
            }
            Self::GptOss(config) => Box::new(GptOss::load(
                config, checkpoint, keeping, page_size, progress,
            )?),
        })
    }
}

/// What memory and cache are planned from, whatever the architecture.
#[derive(Clone, Debug)]
pub struct Geometry {
    /// Name as in config.json.
    pub architecture: &'static str,
    /// Rows of embedding and head.
    pub vocabulary: usize,
    /// Longest context, tokens.
    pub max_positions: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Window of each layer group.
    pub windows: Vec<Option<usize>>,
    /// Layers of the largest group.
    pub slots: usize,
    /// f32 values in flight for one row of a step, roughly.
    pub row_floats: usize,
    /// f32 values in flight for a step of any size.
    pub fixed_floats: usize,
}

/// The JSON of a file; the error is one sentence that names it.
pub(crate) fn read_json(path: &Path) -> Result<Value, ConfigError> {
    let text =
        std::fs::read(path).map_err(|e| ConfigError::new(path, format!("cannot be read: {e}")))?;
    serde_json::from_slice(&text)
        .map_err(|e| ConfigError::new(path, format!("is no valid JSON: {e}")))
}

/// A positive integer of the config, or the sentence that says it is missing.
pub(super) fn count(value: &Value, key: &str) -> Result<usize, String> {
    value
        .get(key)
        .and_then(Value::as_u64)
        .filter(|&n| n > 0 && n <= u32::MAX as u64)
        .map(|n| n as usize)
        .ok_or_else(|| format!("{key} must be a positive whole number"))
}

/// Number of layers; a stray huge one would ask for as much memory.
pub(super) fn layers(value: &Value) -> Result<usize, String> {
    let layers = count(value, "num_hidden_layers")?;
    match layers > 4096 {
        true => Err(format!("num_hidden_layers {layers} is impossibly large")),
        false => Ok(layers),
    }
}

/// Refuses products of which the weights could never be held, and no arithmetic could either.
pub(super) fn possible(products: &[(&str, &[usize])]) -> Result<(), String> {
    for (name, factors) in products {
        let product = factors
            .iter()
            .try_fold(1usize, |all, &one| all.checked_mul(one));
        if product.is_none_or(|n| n > 1 << 40) {
            return Err(format!("{name} is impossibly large"));
        }
    }
    Ok(())
}

/// A finite positive number of the config.
pub(super) fn number(value: &Value, key: &str) -> Result<f64, String> {
    value
        .get(key)
        .and_then(Value::as_f64)
        .filter(|n| n.is_finite() && *n > 0.0)
        .ok_or_else(|| format!("{key} must be a positive number"))
}

/// A flag of the config that must be written down.
pub(super) fn flag(value: &Value, key: &str) -> Result<bool, String> {
    value
        .get(key)
        .and_then(Value::as_bool)
        .ok_or_else(|| format!("{key} must be true or false"))
}
