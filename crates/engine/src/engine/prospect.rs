//! What a model would need and what there would be room for, before anything is loaded: from headers, or from a config
//! alone. The addon asks when a plan is shown.

use super::files::tensors_of;
use super::load::{LoadError, LoadOptions, demand};
use crate::memory::{self, MemoryPlan};
use crate::weights::{StorageDType, WeightSource};

/// What a model needs, all in bytes unless named otherwise.
#[derive(Clone, Debug)]
pub struct Prospect {
    /// Name as in config.json.
    pub architecture: &'static str,
    /// Number of weights.
    pub parameters: u64,
    /// Longest context the checkpoint was made for, in tokens.
    pub trained_context: usize,
    /// Weights in memory.
    pub weights: u64,
    /// Of these, weights packed as MXFP4.
    pub packed: u64,
    /// Activations and logits of the largest step.
    pub workspace: u64,
    /// KV cache of one sequence of the longest context.
    pub whole_context: u64,
    /// The least memory with which a short context can be served.
    pub least: u64,
    /// What there is to plan with.
    pub available: u64,
    /// What would be used, or the sentence that says what does not fit.
    pub plan: Result<MemoryPlan, String>,
}

/// Plans a model that `path` of the options names: a folder, of which config.json is enough, a GGUF file, or the name
/// of a released model.
pub fn prospect(options: &LoadOptions) -> Result<Prospect, LoadError> {
    let (config, source) = tensors_of(&options.path)?;
    let geometry = config.geometry();
    let (_, demand) = demand(options, &geometry, source.as_ref())?;
    let available = options.memory.unwrap_or_else(memory::available);
    Ok(Prospect {
        architecture: geometry.architecture,
        parameters: config.expected().parameters(),
        trained_context: demand.trained_context,
        weights: demand.weights,
        packed: packed(source.as_ref()),
        workspace: demand.workspace,
        whole_context: demand.cache_of(demand.trained_context, 1),
        least: demand.least(),
        available,
        plan: memory::plan(&demand, available),
    })
}

/// Bytes of MXFP4 codes and scales.
fn packed(source: &dyn WeightSource) -> u64 {
    let infos = source
        .names()
        .into_iter()
        .filter_map(|name| source.info(name));
    infos
        .map(|info| {
            let elements = info.shape.iter().map(|&n| n as u64).product::<u64>();
            match info.dtype.as_str() {
                "U8" => elements,
                "MXFP4" => StorageDType::Mxfp4.bytes(elements as usize) as u64,
                _ => 0,
            }
        })
        .sum()
}
