//! Rotary position embedding, half-rotation (NeoX) form: x₁' = x₁c − x₂s, x₂' = x₂c + x₁s.

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor};
use seed_kernels::cpu;

use super::f32s_mut;

/// Inverse frequencies of one model, shared by its layers.
#[derive(Clone)]
pub struct Rope {
    inverse_frequencies: Vec<f32>,
    /// Multiplies cos and sin (YaRN's concentration; 1 without scaling).
    magnitude: f32,
}

/// cos and sin of one batch, `[tokens, head_dim / 2]` each.
pub struct Rotation {
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rope {
    /// Plain RoPE: `theta^(-2i / head_dim)`, computed in f32 as the reference does.
    pub fn plain(theta: f64, head_dim: usize) -> Self {
        let inverse_frequencies = (0..head_dim / 2)
            .map(|i| 1.0 / (theta as f32).powf((2 * i) as f32 / head_dim as f32))
            .collect();
        Self {
            inverse_frequencies,
            magnitude: 1.0,
        }
    }

    /// Angles for the batch's positions.
    pub fn rotation(&self, positions: &[u32]) -> Rotation {
        let half = self.inverse_frequencies.len();
        let mut cos = Vec::with_capacity(positions.len() * half);
        let mut sin = Vec::with_capacity(positions.len() * half);
        for &position in positions {
            for &inverse in &self.inverse_frequencies {
                let (s, c) = (position as f32 * inverse).sin_cos();
                cos.push(c * self.magnitude);
                sin.push(s * self.magnitude);
            }
        }
        Rotation { cos, sin }
    }
}

impl Rotation {
    /// Rotates `x [tokens, heads, head_dim]` in place. `x` must own its storage.
    pub fn apply(&self, x: &Tensor) -> Result<()> {
        x.inplace_op1(self)
    }
}

impl InplaceOp1 for Rotation {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (tokens, heads, head_dim) = layout.shape().dims3()?;
        let x = f32s_mut(storage, layout, "rope")?;
        cpu::rope(x, tokens, heads, head_dim, &self.cos, &self.sin);
        Ok(())
    }
}
