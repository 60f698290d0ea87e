//! Reads `model.safetensors.index.json`, which says what shard holds which tensor. `SafetensorsFolder` asks.

use std::collections::BTreeMap;
use std::path::Path;

use super::WeightError;

/// File by tensor; each a plain file name in the same folder.
pub(super) fn read_index(path: &Path) -> Result<BTreeMap<String, String>, WeightError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = std::fs::read(path).map_err(|e| WeightError::new(path, e.to_string()))?;
    let index: Index = serde_json::from_slice(&text)
        .map_err(|e| WeightError::new(path, format!("is no valid weight index: {e}")))?;
    for file in index.weight_map.values() {
        let plain = !file.is_empty()
            && !file.contains(['/', '\\', '\0'])
            && file.as_str() != ".."
            && file.ends_with(".safetensors");
        if !plain {
            return Err(WeightError::new(
                path,
                format!(
                    "names the shard {file:?}; shards must be plain .safetensors file names in the same folder"
                ),
            ));
        }
    }
    if index.weight_map.is_empty() {
        return Err(WeightError::new(path, "lists no tensors"));
    }
    Ok(index.weight_map)
}
