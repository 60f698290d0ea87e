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

    /// The same on slices: `x [tokens, in]`, `y [tokens, out]`.
    pub(crate) fn multiply(&self, x: &[f32], tokens: usize, y: &mut [f32]) {
        let (outputs, inputs) = (self.weight.rows(), self.weight.cols());
        let bias = self.bias.as_deref();
        cpu::linear(x, tokens, inputs, self.weight.weights(), outputs, bias, y);
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
        let (tokens, _) = layout.shape().dims2()?;
        let outputs = self.weight.rows();
        let mut y = vec![0f32; tokens * outputs];
        self.multiply(x, tokens, &mut y);
        Ok((CpuStorage::F32(y), Shape::from((tokens, outputs))))
    }
}
