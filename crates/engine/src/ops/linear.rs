//! Linear layers whose weights keep their checkpoint format, each declared column-, row- or not split.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use seed_kernels::cpu;

use super::f32s;
use crate::weights::Matrix;

/// `y = x · Wᵀ + b` with `W [out, in]`.
#[derive(Clone)]
pub struct Linear {
    weight: Matrix,
    bias: Option<Vec<f32>>,
}

impl Linear {
    /// A linear from its matrix and, where the checkpoint has one, its bias `[out]`.
    pub fn new(weight: Matrix, bias: Option<Vec<f32>>) -> Self {
        Self { weight, bias }
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.weight.rows()
    }

    /// Bytes of weights read in one use.
    pub fn byte_len(&self) -> usize {
        self.weight.byte_len()
    }

    /// `x [tokens, in]` → `[tokens, out]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.apply_op1_no_bwd(self)
    }
}

impl CustomOp1 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = f32s(storage, layout, "linear")?;
        let (tokens, inputs) = layout.shape().dims2()?;
        let outputs = self.weight.rows();
        let mut y = vec![0f32; tokens * outputs];
        cpu::linear(
            x,
            tokens,
            inputs,
            self.weight.weights(),
            outputs,
            self.bias.as_deref(),
            &mut y,
        );
        Ok((CpuStorage::F32(y), Shape::from((tokens, outputs))))
    }
}
