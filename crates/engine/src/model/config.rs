//! Reads `config.json` and decides which architecture it describes; nothing is filled in from defaults.

use std::path::Path;

use serde_json::Value;

use super::SeedOssConfig;

/// Why a config cannot be used: one sentence that names the file.
pub type ConfigError = crate::weights::WeightError;

/// The architectures this engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// `SeedOssForCausalLM`.
    SeedOss,
}

/// A config of one of the architectures.
#[derive(Clone, Debug)]
pub enum ModelConfig {
    /// ByteDance Seed-OSS.
    SeedOss(SeedOssConfig),
}

impl ModelConfig {
    /// Reads `config.json` of a model folder.
    pub fn read(folder: &Path) -> Result<Self, ConfigError> {
        let path = folder.join("config.json");
        let text = std::fs::read(&path)
            .map_err(|e| ConfigError::new(&path, format!("cannot be read: {e}")))?;
        let value: Value = serde_json::from_slice(&text)
            .map_err(|e| ConfigError::new(&path, format!("is no valid JSON: {e}")))?;
        match architecture(&value) {
            Some(Architecture::SeedOss) => SeedOssConfig::parse(&value)
                .map(Self::SeedOss)
                .map_err(|reason| ConfigError::new(&path, reason)),
            None => Err(ConfigError::new(
                &path,
                format!(
                    "describes the architecture {}; SeedOssForCausalLM is supported",
                    value.get("architectures").unwrap_or(&Value::Null)
                ),
            )),
        }
    }

    /// Which architecture it is.
    pub fn architecture(&self) -> Architecture {
        match self {
            Self::SeedOss(_) => Architecture::SeedOss,
        }
    }
}

fn architecture(value: &Value) -> Option<Architecture> {
    let names = value.get("architectures")?.as_array()?;
    match names.first()?.as_str()? {
        "SeedOssForCausalLM" => Some(Architecture::SeedOss),
        _ => None,
    }
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
