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

/// YaRN's parameters, as `rope_scaling` in config.json names them.
#[derive(Clone, Debug, PartialEq)]
pub struct Yarn {
    /// How many times longer the context became.
    pub factor: f64,
    /// Rotations above which a frequency stays as it is.
    pub beta_fast: f64,
    /// Rotations below which a frequency is stretched in full.
    pub beta_slow: f64,
    /// Context before stretching, tokens.
    pub original_positions: usize,
    /// Round the ramp's bounds.
    pub truncate: bool,
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

    /// YaRN (Peng et al. 2023) as gpt-oss uses it: the ramp's bounds are rounded only where `truncate` says so, and
    /// cos and sin carry the concentration `0.1 ln(factor) + 1`.
    pub fn yarn(theta: f64, head_dim: usize, scaling: &Yarn) -> Self {
        let dim = head_dim as f64;
        let bound = |rotations: f64| {
            let wavelengths =
                scaling.original_positions as f64 / (rotations * std::f64::consts::TAU);
            dim * wavelengths.ln() / (2.0 * theta.ln())
        };
        let (mut low, mut high) = (bound(scaling.beta_fast), bound(scaling.beta_slow));
        if scaling.truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, mut high) = (low.max(0.0), high.min(dim - 1.0));
        if low == high {
            high += 0.001;
        }
        let inverse_frequencies = (0..head_dim / 2)
            .map(|i| {
                let plain = theta.powf(-2.0 * i as f64 / dim);
                let ramp = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                (plain / scaling.factor * ramp + plain * (1.0 - ramp)) as f32
            })
            .collect();
        Self {
            inverse_frequencies,
            magnitude: (0.1 * scaling.factor.ln() + 1.0) as f32,
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
    /// The angles, for a kernel that rotates on its way.
    pub(super) fn angles(&self) -> cpu::Angles<'_> {
        cpu::Angles {
            cos: &self.cos,
            sin: &self.sin,
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Bounds and concentration of the released gpt-oss checkpoints (openai/gpt-oss, torch/model.py).
    #[test]
    fn yarn_of_the_released_checkpoints() {
        let scaling = Yarn {
            factor: 32.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            original_positions: 4096,
            truncate: false,
        };
        let rope = Rope::yarn(150_000.0, 64, &scaling);
        assert!((rope.magnitude - 1.346_573_6).abs() < 1e-6);
        let plain = |i: i32| 150_000f64.powf(-2.0 * f64::from(i) / 64.0);
        let close = |i: usize, want: f64| {
            let have = f64::from(rope.inverse_frequencies[i]);
            assert!((have / want - 1.0).abs() < 1e-6, "{i}: {have} {want}");
        };
        close(8, plain(8));
        close(18, plain(18) / 32.0);
        let ramp = (9.0 - 8.092_779_115_512_402) / (17.398_024_501_588_56 - 8.092_779_115_512_402);
        close(9, plain(9) / 32.0 * ramp + plain(9) * (1.0 - ramp));
    }
}
