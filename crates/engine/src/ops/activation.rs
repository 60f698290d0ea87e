//! Gated activations of the feed-forward layers.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use seed_kernels::cpu;

use super::f32s;

struct SiluMul;

/// `silu(gate) * up`, both `[tokens, intermediate]` (Shazeer 2020, SwiGLU).
pub fn silu_mul(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.apply_op2_no_bwd(up, &SiluMul)
}

impl CustomOp2 for SiluMul {
    fn name(&self) -> &'static str {
        "silu_mul"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let gate = f32s(gate, gate_layout, "silu_mul")?;
        let up = f32s(up, up_layout, "silu_mul")?;
        let mut out = vec![0f32; gate.len()];
        cpu::silu_mul(gate, up, &mut out);
        Ok((CpuStorage::F32(out), gate_layout.shape().clone()))
    }
}
