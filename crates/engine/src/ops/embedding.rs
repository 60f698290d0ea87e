//! Token embedding: rows of a matrix, widened to f32.

use candle_core::{Device, Result, Tensor};
use seed_kernels::cpu;

use crate::weights::Matrix;

/// The table `[vocab, hidden]`.
#[derive(Clone)]
pub struct Embedding {
    table: Matrix,
}

impl Embedding {
    /// An embedding over a table.
    pub fn new(table: Matrix) -> Self {
        Self { table }
    }

    /// `ids [tokens]`, each below the number of rows → `[tokens, hidden]`.
    pub fn forward(&self, ids: &[u32]) -> Result<Tensor> {
        let hidden = self.table.cols();
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.table.rows()) {
            candle_core::bail!(
                "token id {id} is outside the embedding of {} rows",
                self.table.rows()
            )
        }
        let mut out = vec![0f32; ids.len() * hidden];
        cpu::embed(self.table.weights(), hidden, ids, &mut out);
        Tensor::from_vec(out, (ids.len(), hidden), &Device::Cpu)
    }
}
