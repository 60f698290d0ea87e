//! Reads a model's tensors by their checkpoint names, each split over ranks as its linear is declared.

use crate::ops::linear::Linear;
use crate::ops::norm::RmsNorm;
use crate::parallel::Rank;
use crate::weights::{Checkpoint, Keeping, Matrix, Purpose, Shard, WeightError};

/// A checkpoint with how it is to be read.
pub(super) struct Reader<'a> {
    pub(super) checkpoint: &'a Checkpoint<'a>,
    pub(super) keeping: Keeping,
    pub(super) rank: Rank,
    pub(super) eps: f32,
}

impl Reader<'_> {
    pub(super) fn matrix(&self, name: &str, shard: Shard) -> Result<Matrix, WeightError> {
        let matrix = self.checkpoint.source.matrix(name, shard)?;
        Ok(self.keeping.keep(matrix, Purpose::Exact))
    }

    /// A linear of a matrix, kept as its purpose lets it be.
    pub(super) fn product(
        &self,
        matrix: Matrix,
        bias: Option<Vec<f32>>,
        purpose: Purpose,
    ) -> Linear {
        let linear = Linear::new(self.keeping.keep(matrix, purpose), bias);
        match self.keeping.rounds {
            true => linear.rounded(),
            false => linear,
        }
    }

    pub(super) fn norm(&self, name: &str) -> Result<RmsNorm, WeightError> {
        let weight = self.checkpoint.source.vector(name, Shard::Whole)?;
        Ok(RmsNorm::new(weight, self.eps))
    }

    /// The linear that makes logits.
    pub(super) fn head(&self, name: &str) -> Result<Linear, WeightError> {
        let matrix = self.checkpoint.source.matrix(name, Shard::Whole)?;
        Ok(self.product(matrix, None, Purpose::Head))
    }

    /// A linear that is never rounded.
    pub(super) fn exact(&self, name: &str) -> Result<Linear, WeightError> {
        let weight = self.matrix(&format!("{name}.weight"), Shard::Whole)?;
        let bias = self
            .checkpoint
            .source
            .vector(&format!("{name}.bias"), Shard::Whole)?;
        Ok(Linear::new(weight, Some(bias)))
    }

    /// A linear; its bias follows the outputs, so a row-parallel one is whole (and added on rank 0 alone).
    pub(super) fn linear(
        &self,
        name: &str,
        shard: Shard,
        bias: bool,
    ) -> Result<Linear, WeightError> {
        let source = self.checkpoint.source;
        let weight = source.matrix(&format!("{name}.weight"), shard)?;
        let bias_shard = match shard {
            Shard::Columns { .. } => Shard::Whole,
            other => other,
        };
        let bias = bias && !(matches!(shard, Shard::Columns { .. }) && self.rank.rank > 0);
        let bias = match bias {
            true => Some(source.vector(&format!("{name}.bias"), bias_shard)?),
            false => None,
        };
        Ok(self.product(weight, bias, Purpose::Product))
    }
}
