//! Root-mean-square normalisation (Zhang & Sennrich 2019), variance in f32.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use seed_kernels::cpu;

use super::f32s;

/// `x / sqrt(mean(x²) + eps) * weight`.
#[derive(Clone)]
pub struct RmsNorm {
    weight: Vec<f32>,
    eps: f32,
}

impl RmsNorm {
    /// A norm with its gain `[hidden]`.
    pub fn new(weight: Vec<f32>, eps: f32) -> Self {
        Self { weight, eps }
    }

    /// The same of `x [tokens, hidden]`, for a kernel that makes the rows it needs.
    pub(super) fn input<'a>(&'a self, x: &'a [f32]) -> cpu::Input<'a> {
        cpu::Input::Normed {
            x,
            weight: &self.weight,
            eps: self.eps,
        }
    }

    /// `x [tokens, hidden]` → same shape.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.apply_op1_no_bwd(self)
    }
}

impl CustomOp1 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = f32s(storage, layout, "rms_norm")?;
        let mut out = vec![0f32; x.len()];
        cpu::rms_norm(x, &self.weight, self.eps, &mut out);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}
