//! Reads a model's tensors by their checkpoint names, each split over ranks as its linear is declared.

use std::sync::Arc;

use rayon::prelude::*;
use seed_kernels::cpu::Tiled;

use crate::ops::linear::Linear;
use crate::ops::norm::RmsNorm;
use crate::parallel::Rank;
use crate::weights::{Checkpoint, Keeping, Matrix, Shard, Tiles, WeightError};

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

    /// A linear of the matrix of this name, kept as its name lets it be; `matrix` is read where it does not lie in tiles.
    fn product(
        &self,
        name: &str,
        bias: Option<Vec<f32>>,
        matrix: impl FnOnce() -> Result<Matrix, WeightError>,
    ) -> Result<Linear, WeightError> {
        if let Some(tiles) = self.found(name) {
            return Ok(Linear::tiled(tiles, bias));
        }
        let linear = self.made(name, matrix()?, bias);
        self.remember(name, &linear);
        Ok(linear)
    }

    /// The tiles that an earlier load kept of this matrix. Those of a rank are not kept.
    fn found(&self, name: &str) -> Option<Arc<Tiled>> {
        self.shelf()?.find(name).map(Arc::new)
    }

    /// Lets later loads find its tiles.
    fn remember(&self, name: &str, linear: &Linear) {
        if let (Some(shelf), Some(tiles)) = (self.shelf(), linear.tiles()) {
            shelf.add(name, tiles);
        }
    }

    fn made(&self, name: &str, matrix: Matrix, bias: Option<Vec<f32>>) -> Linear {
        let matrix = self.keeping.keep(name, matrix);
        if !self.keeping.rounds_for(name) {
            return Linear::new(matrix.gathered(), bias);
        }
        let Some(tiles) = matrix.tiled() else {
            return Linear::new(matrix.gathered(), bias).rounded();
        };
        matrix.release();
        Linear::tiled(Arc::new(tiles), bias)
    }

    fn shelf(&self) -> Option<&Tiles> {
        self.checkpoint.tiles.filter(|_| self.rank.world == 1)
    }

    /// One linear an expert, with biases; packed blocks stay packed.
    pub(super) fn experts(
        &self,
        stem: &str,
        count: usize,
        packed: bool,
    ) -> Result<Vec<Linear>, WeightError> {
        let source = self.checkpoint.source;
        let name = |expert: usize| format!("{stem}.{expert}");
        let biases = source.vector(&format!("{stem}_bias"), Shard::Whole)?;
        let width = biases.len() / count;
        let mut biases = biases.chunks_exact(width).map(|bias| Some(bias.to_vec()));
        let mut bias = || biases.next().flatten();
        let found: Option<Vec<Arc<Tiled>>> = (0..count).map(|e| self.found(&name(e))).collect();
        if let Some(found) = found {
            let linears = found.into_iter().map(|tiles| Linear::tiled(tiles, bias()));
            return Ok(linears.collect());
        }
        let matrices = match packed {
            true => source.packed_experts(stem)?,
            false => source.experts(stem)?,
        };
        let read: Vec<_> = matrices
            .into_iter()
            .map(|matrix| (matrix, bias()))
            .collect();
        let made = read.into_par_iter().enumerate();
        let linears: Vec<Linear> = made
            .map(|(expert, (matrix, bias))| self.made(&name(expert), matrix, bias))
            .collect();
        for (expert, linear) in linears.iter().enumerate() {
            self.remember(&name(expert), linear);
        }
        Ok(linears)
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
        self.product(name, None, || source.matrix(read, Shard::Whole))
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
        let bias_shard = match shard {
            Shard::Columns { .. } => Shard::Whole,
            other => other,
        };
        let bias = bias && !(matches!(shard, Shard::Columns { .. }) && self.rank.rank > 0);
        let bias = match bias {
            true => Some(source.vector(&format!("{name}.bias"), bias_shard)?),
            false => None,
        };
        self.product(&stored, bias, || source.matrix(&stored, shard))
    }
}
