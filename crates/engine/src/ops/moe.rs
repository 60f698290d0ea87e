//! Mixture of experts (gpt-oss): a router picks experts for each token, each runs a clamped SwiGLU layer.
//!
//! Rows are gathered by expert, so an expert's weights are read once a step. A token's experts are added in the order
//! of their numbers, whoever else shares the batch, so its result does not depend on the others.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use seed_kernels::cpu;

use super::f32s;
use super::linear::Linear;

/// The experts of one layer with their router.
pub struct MixtureOfExperts {
    /// `[experts, hidden]` with bias.
    pub router: Linear,
    /// One `[2 * intermediate, hidden]` per expert: rows 2i are gates, rows 2i + 1 ups.
    pub gate_up: Vec<Linear>,
    /// One `[hidden, intermediate]` per expert.
    pub down: Vec<Linear>,
    /// Experts a token uses.
    pub chosen: usize,
    /// Gates are cut above this, ups on both sides.
    pub limit: f32,
    /// Slope inside the gate's sigmoid.
    pub alpha: f32,
}

impl MixtureOfExperts {
    /// `x [tokens, hidden]` → the same shape.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.apply_op1_no_bwd(self)
    }

    /// For each expert the tokens that chose it, with their weights: the best `chosen` logits, softmax over those.
    fn route(&self, x: &[f32], tokens: usize) -> Vec<Vec<(usize, f32)>> {
        let experts = self.gate_up.len();
        let mut logits = vec![0f32; tokens * experts];
        self.router.multiply(x, tokens, &mut logits);
        let mut rows = vec![Vec::new(); experts];
        for (token, logits) in logits.chunks_exact(experts).enumerate() {
            let mut order: Vec<usize> = (0..experts).collect();
            order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
            order.truncate(self.chosen);
            let best = logits[order[0]];
            let sum: f32 = order.iter().map(|&e| (logits[e] - best).exp()).sum();
            for expert in order {
                rows[expert].push((token, (logits[expert] - best).exp() / sum));
            }
        }
        rows
    }

    /// `(up + 1) * gate * sigmoid(alpha * gate)`, gate cut above the limit, up on both sides.
    fn activate(&self, gate_up: &[f32]) -> Vec<f32> {
        gate_up
            .chunks_exact(2)
            .map(|pair| {
                let gate = pair[0].min(self.limit);
                let up = pair[1].clamp(-self.limit, self.limit);
                (up + 1.0) * gate / (1.0 + (-self.alpha * gate).exp())
            })
            .collect()
    }
}

impl CustomOp1 for MixtureOfExperts {
    fn name(&self) -> &'static str {
        "moe"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = f32s(storage, layout, "moe")?;
        let (tokens, hidden) = layout.shape().dims2()?;
        let mut out = vec![0f32; tokens * hidden];
        for (expert, rows) in self.route(x, tokens).into_iter().enumerate() {
            if rows.is_empty() {
                continue;
            }
            let gathered: Vec<f32> = rows
                .iter()
                .flat_map(|&(token, _)| &x[token * hidden..(token + 1) * hidden])
                .copied()
                .collect();
            let (gate_up, down) = (&self.gate_up[expert], &self.down[expert]);
            let mut wide = vec![0f32; rows.len() * gate_up.outputs()];
            gate_up.multiply(&gathered, rows.len(), &mut wide);
            let activated = self.activate(&wide);
            let mut narrow = vec![0f32; rows.len() * hidden];
            down.multiply(&activated, rows.len(), &mut narrow);
            for (&(token, weight), row) in rows.iter().zip(narrow.chunks_exact(hidden)) {
                let out = &mut out[token * hidden..(token + 1) * hidden];
                let scaled: Vec<f32> = row.iter().map(|v| v * weight).collect();
                cpu::add(out, &scaled);
            }
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}
