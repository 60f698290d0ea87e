//! Reads a model's tensors by their checkpoint names, each split over ranks as its linear is declared.

use crate::ops::linear::Linear;
use crate::ops::norm::RmsNorm;
use crate::parallel::Rank;
use crate::weights::{Checkpoint, Matrix, Shard, StorageDType, WeightError};

/// A checkpoint with how it is to be read.
pub(super) struct Reader<'a> {
    pub(super) checkpoint: &'a Checkpoint<'a>,
    pub(super) dtype: Option<StorageDType>,
    pub(super) rank: Rank,
    pub(super) eps: f32,
}

impl Reader<'_> {
    pub(super) fn matrix(&self, name: &str, shard: Shard) -> Result<Matrix, WeightError> {
        let matrix = self.checkpoint.source.matrix(name, shard)?;
        Ok(match self.dtype {
            Some(dtype) => matrix.converted(dtype),
            None => matrix,
        })
    }

    pub(super) fn norm(&self, name: &str) -> Result<RmsNorm, WeightError> {
        let weight = self.checkpoint.source.vector(name, Shard::Whole)?;
        Ok(RmsNorm::new(weight, self.eps))
    }

    /// A linear; its bias follows the outputs, so a row-parallel one is whole (and added on rank 0 alone).
    pub(super) fn linear(
        &self,
        name: &str,
        shard: Shard,
        bias: bool,
    ) -> Result<Linear, WeightError> {
        let weight = self.matrix(&format!("{name}.weight"), shard)?;
        let bias_shard = match shard {
            Shard::Columns { .. } => Shard::Whole,
            other => other,
        };
        let bias = bias && !(matches!(shard, Shard::Columns { .. }) && self.rank.rank > 0);
        let bias = match bias {
            true => Some(
                self.checkpoint
                    .source
                    .vector(&format!("{name}.bias"), bias_shard)?,
            ),
            false => None,
        };
        Ok(Linear::new(weight, bias))
    }
}
