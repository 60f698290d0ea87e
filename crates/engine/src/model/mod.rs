//! Models: each sees a flat batch and the KV cache, never a request.

mod attention;
mod batch;
mod config;
mod gpt_oss;
mod gpt_oss_config;
mod original_config;
mod reader;
mod released;
mod seed_oss;

pub use batch::{Batch, BatchSequence};
pub(crate) use config::read_json;
pub use config::{ConfigError, Geometry, ModelConfig};
pub use gpt_oss::GptOss;
pub use gpt_oss_config::GptOssConfig;
pub use original_config::is_original;
pub use released::{released, released_names};
pub use seed_oss::{SeedOss, SeedOssConfig};

use candle_core::{Result, Tensor};

use crate::cache::storage::KvStorage;

/// What the engine asks of any architecture.
pub trait Model: Send + Sync {
    /// Runs the batch, writing keys and values of all its rows; returns the final-normed hidden states of the rows
    /// in `batch.logit_rows`, `[rows, hidden]`.
    fn forward(&self, batch: &Batch, cache: &KvStorage) -> Result<Tensor>;

    /// Logits of hidden states: `[rows, hidden]` → `[rows, vocab]`, padded vocabulary rows included.
    fn logits(&self, hidden: &Tensor) -> Result<Tensor>;
}
