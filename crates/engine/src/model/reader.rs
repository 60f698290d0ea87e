//! Reads a model's tensors by their checkpoint names, each split over ranks as its linear is declared.

use crate::ops::linear::Linear;
use crate::ops::norm::RmsNorm;
use crate::parallel::Rank;
use crate::weights::{Checkpoint, Keeping, Matrix, Shard, WeightError};

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
        Ok(self.keeping.keep(name, matrix))
    }

    /// A linear of the matrix of this name, kept as its name lets it be.
    pub(super) fn product(&self, name: &str, matrix: Matrix, bias: Option<Vec<f32>>) -> Linear {
        let linear = Linear::new(self.keeping.keep(name, matrix), bias);
        match self.keeping.rounds {
            true => linear.rounded(),
            false => linear,
        }
    }

    pub(super) fn norm(&self, name: &str) -> Result<RmsNorm, WeightError> {
        let weight = self.checkpoint.source.vector(name, Shard::Whole)?;
        Ok(RmsNorm::new(weight, self.eps))
    }

    /// The linear that makes logits, of the embedding's own matrix where they are tied.
    pub(super) fn head(&self, tied: bool) -> Result<Linear, WeightError> {
        let (name, source) = ("lm_head.weight", self.checkpoint.source);
        let read = if tied {
            "model.embed_tokens.weight"
        } else {
            name
        };
        Ok(self.product(name, source.matrix(read, Shard::Whole)?, None))
    }

    /// A linear; its bias follows the outputs, so a row-parallel one is whole (and added on rank 0 alone).
    pub(super) fn linear(
        &self,
        name: &str,
        shard: Shard,
        bias: bool,
    ) -> Result<Linear, WeightError> {
        let source = self.checkpoint.source;
        let stored = format!("{name}.weight");
        let weight = source.matrix(&stored, shard)?;
        let bias_shard = match shard {
            Shard::Columns { .. } => Shard::Whole,
            other => other,
        };
        let bias = bias && !(matches!(shard, Shard::Columns { .. }) && self.rank.rank > 0);
        let bias = match bias {
            true => Some(source.vector(&format!("{name}.bias"), bias_shard)?),
            false => None,
        };
        Ok(self.product(&stored, weight, bias))
    }
}
