//! The one trait through which models read tensors, whatever file format holds them.

use std::path::PathBuf;

use crate::weights::Matrix;

/// What a header says of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Element type as the file names it.
    pub dtype: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The file that holds it.
    pub file: PathBuf,
}

/// Which part of a matrix one rank of a tensor-parallel group reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shard {
    /// Every rank holds all of it.
    Whole,
    /// Rows `rank * rows / world ..`: column-parallel linears, whose outputs are split.
    Rows {
        /// Index of this rank.
        rank: usize,
        /// Number of ranks.
        world: usize,
    },
    /// Columns `rank * cols / world ..`: row-parallel linears, whose inputs are split.
    Columns {
        /// Index of this rank.
        rank: usize,
        /// Number of ranks.
        world: usize,
    },
}

/// Why weights could not be used: one sentence that names the file.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", file.display())]
pub struct WeightError {
    /// The file at fault.
    pub file: PathBuf,
    /// What is wrong and what to do.
    pub reason: String,
}

impl WeightError {
    /// An error about `file`.
    pub fn new(file: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            reason: reason.into(),
        }
    }
}

/// Tensors by name, in the checkpoint's own naming.
pub trait WeightSource: Send + Sync {
    /// Header of a tensor, or none where the checkpoint lacks it.
    fn info(&self, name: &str) -> Option<&TensorInfo>;
    /// All names, sorted.
    fn names(&self) -> Vec<&str>;
    /// Reads a two-dimensional tensor, or one rank's part of it, keeping its bytes where they lie.
    fn matrix(&self, name: &str, shard: Shard) -> Result<Matrix, WeightError>;
    /// Reads a one-dimensional tensor as f32, or one rank's part (`Shard::Rows`).
    fn vector(&self, name: &str, shard: Shard) -> Result<Vec<f32>, WeightError>;
    /// Reads `[experts, inputs, outputs]` as one matrix `[outputs, inputs]` per expert (dequantised checkpoints).
    fn experts(&self, name: &str) -> Result<Vec<Matrix>, WeightError>;
    /// Reads `{name}_blocks` and `{name}_scales` as one packed MXFP4 matrix `[outputs, inputs]` per expert.
    fn packed_experts(&self, name: &str) -> Result<Vec<Matrix>, WeightError>;
    /// Bytes of all tensors together.
    fn total_bytes(&self) -> u64;
    /// A file to blame when something is missing altogether.
    fn origin(&self) -> PathBuf;
}

/// Start and length of this rank's part of `len` units.
pub(crate) fn part(len: usize, rank: usize, world: usize) -> Option<(usize, usize)> {
    (world > 0 && rank < world && len.is_multiple_of(world))
        .then(|| (rank * (len / world), len / world))
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn parts_cover_everything_once() {
        assert_eq!(part(12, 0, 1), Some((0, 12)));
        assert_eq!(part(12, 2, 3), Some((8, 4)));
        assert_eq!(part(12, 0, 5), None);
        assert_eq!(part(12, 3, 3), None);
    }
}
