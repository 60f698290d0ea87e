//! Mixture of experts (gpt-oss): a router picks experts for each token, each runs a clamped SwiGLU layer.
//!
//! Rows are sorted by expert, so an expert's weights are read once a step, and all experts of a layer are one product. A
//! token's experts are added in the order
//! of their numbers, whoever else shares the batch, so its result does not depend on the others.

use std::cell::Cell;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use seed_kernels::cpu::Input;

use super::f32s;
use super::linear::Linear;

/// Values below which adding up is not worth handing to another thread.
const SERIAL: usize = 16 * 1024;

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

    /// The best `chosen` logits of each token, softmax over those.
    fn route(&self, x: &[f32], tokens: usize) -> Routes {
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
                rows[expert].push((token as u32, (logits[expert] - best).exp() / sum));
            }
        }
        Routes::new(rows, tokens, self.chosen)
    }

    /// The experts' layers on the rows that chose them: `[slots, hidden]`.
    fn experts(&self, x: &[f32], routes: &Routes, hidden: usize) -> Vec<f32> {
        let groups = |linears| routes.groups(linears);
        let slots = routes.order.len();
        let outputs = self.gate_up[0].outputs();
        let mut narrow = vec![0f32; slots * hidden];
        with_wide(slots * outputs, |wide| {
            let (x, order) = (Input::Rows(x), Some(&routes.order[..]));
            Linear::multiply_grouped(&groups(&self.gate_up), x, order, wide);
            let down = groups(&self.down);
            Linear::multiply_grouped(&down, self.activated(wide), None, &mut narrow);
        });
        narrow
    }

    /// Gates and ups in pairs as the next linear takes them.
    fn activated<'a>(&self, pairs: &'a [f32]) -> Input<'a> {
        Input::Clamped {
            pairs,
            alpha: self.alpha,
            limit: self.limit,
        }
    }
}

/// Calls `work` with so many f32 of whatever values, in memory that this thread keeps: fresh memory of this size is given
/// back to the system after each layer, and zeroed by it for the next, which took a quarter of a prefill.
fn with_wide(len: usize, work: impl FnOnce(&mut [f32])) {
    thread_local! {
        static WIDE: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    }
    let mut wide = WIDE.take();
    if wide.len() < len {
        wide.resize(len, 0.0);
    }
    work(&mut wide[..len]);
    WIDE.set(wide);
}

/// Which rows go to which experts. A slot is a row of one expert; slots are sorted by expert, then by token.
struct Routes {
    /// Of each expert how many rows it has.
    rows: Vec<usize>,
    /// Of each slot its token.
    order: Vec<u32>,
    /// Of each token its slots with their weights `[tokens, chosen]`, experts in order.
    slots: Vec<(usize, f32)>,
    chosen: usize,
}

impl Routes {
    /// From the tokens of each expert with their weights.
    fn new(experts: Vec<Vec<(u32, f32)>>, tokens: usize, chosen: usize) -> Self {
        let mut order = Vec::with_capacity(tokens * chosen);
        let mut slots = vec![(0, 0.0); tokens * chosen];
        let mut filled = vec![0; tokens];
        for &(token, weight) in experts.iter().flatten() {
            let at = token as usize;
            slots[at * chosen + filled[at]] = (order.len(), weight);
            filled[at] += 1;
            order.push(token);
        }
        Self {
            rows: experts.iter().map(Vec::len).collect(),
            order,
            slots,
            chosen,
        }
    }

    /// The experts that have rows, with how many.
    fn groups<'a>(&self, linears: &'a [Linear]) -> Vec<(&'a Linear, usize)> {
        let all = linears.iter().zip(self.rows.iter().copied());
        all.filter(|&(_, rows)| rows > 0).collect()
    }

    /// The weighted sum of each token's slots.
    fn combine(&self, narrow: &[f32], hidden: usize, out: &mut [f32]) {
        let tokens = out
            .par_chunks_mut(hidden)
            .zip(self.slots.par_chunks(self.chosen));
        tokens
            .with_min_len(SERIAL.div_ceil(hidden))
            .for_each(|(out, slots)| {
                for &(slot, weight) in slots {
                    let row = &narrow[slot * hidden..][..hidden];
                    for (out, v) in out.iter_mut().zip(row) {
                        *out += v * weight;
                    }
                }
            });
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
        if tokens > 0 {
            let routes = self.route(x, tokens);
            routes.combine(&self.experts(x, &routes, hidden), hidden, &mut out);
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}
