//! Ranks of a tensor-parallel group. Only `Solo` runs today; models ask it for their part of every weight.

use crate::weights::Shard;

/// This process's place in a tensor-parallel group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Index, from 0.
    pub rank: usize,
    /// Number of ranks.
    pub world: usize,
}

impl Rank {
    /// One rank that holds everything.
    pub const SOLO: Self = Self { rank: 0, world: 1 };

    /// Part of a linear whose outputs are split.
    pub fn column_parallel(self) -> Shard {
        match self.world {
            1 => Shard::Whole,
            world => Shard::Rows {
                rank: self.rank,
                world,
            },
        }
    }

    /// Part of a linear whose inputs are split.
    pub fn row_parallel(self) -> Shard {
        match self.world {
            1 => Shard::Whole,
            world => Shard::Columns {
                rank: self.rank,
                world,
            },
        }
    }
}
