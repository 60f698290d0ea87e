//! The configs of the released models, by name, so that what they need is known before anything is downloaded. The
//! loader asks when it plans.

use serde_json::Value;

use super::ConfigError;

const CONFIGS: [(&str, &str); 3] = [
    ("gpt-oss-20b", include_str!("released/gpt-oss-20b.json")),
    ("gpt-oss-120b", include_str!("released/gpt-oss-120b.json")),
    (
        "Seed-OSS-36B-Instruct",
        include_str!("released/Seed-OSS-36B-Instruct.json"),
    ),
];

/// Names of the models that are known without their files.
pub fn released_names() -> impl Iterator<Item = &'static str> {
    CONFIGS.iter().map(|(name, _)| *name)
}

/// What the config.json of a released model says, by its name in any case; none for another name.
pub fn released(name: &str) -> Option<Result<Value, ConfigError>> {
    let (name, text) = CONFIGS.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
    let parsed = serde_json::from_str(text);
    Some(parsed.map_err(|e| ConfigError::new(*name, format!("is no valid JSON: {e}"))))
}
