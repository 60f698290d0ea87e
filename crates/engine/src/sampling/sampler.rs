//! One draw from a row of logits: greedy, or temperature, min_p, top_k, top_p in this order. Called by `Generation`.
//!
//! The order is vLLM's (`vllm/v1/sample/sampler.py`, steps 7b to 7e): each filter sees what the one before left,
//! renormalised. Ties break towards the lower id, so the choice depends on the row and the seed alone.

use super::best::{best, better};
use super::params::SamplingParams;
use super::random::Random;

/// Below this, temperature means greedy (vLLM's `_SAMPLING_EPS`).
const GREEDY: f32 = 1e-5;

/// Logits whose weights are summed before the running total is touched: a draw computes weights again only in one.
const BLOCK: usize = 256;

/// Bins of the histogram that finds the border of the nucleus: 1/32 each down to e^-88, where weights end.
const BINS: usize = 88 * 32;

/// The largest logit; `None` when a logit is NaN or +inf, or all are -inf.
pub(super) fn maximum(logits: &[f32]) -> Option<f32> {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let mut finite = true;
    let chunks = logits.chunks_exact(16);
    for &logit in chunks.remainder() {
        finite &= logit < f32::INFINITY;
        lanes[0] = lanes[0].max(logit);
    }
    for chunk in chunks {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            // False for NaN too.
            finite &= logit < f32::INFINITY;
            *lane = if logit > *lane { logit } else { *lane };
        }
    }
    let max = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
    (finite && max > f32::NEG_INFINITY).then_some(max)
}

/// e^x for x ≤ 0 within 2e-7 of its value, without branches so that loops over it become vector code; 0 below -87.
pub(super) fn exponential(x: f32) -> f32 {
    // Adding and subtracting 1.5 · 2^23 rounds to the nearest integer, whose low bits then stand in the mantissa.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x.max(-88.0) * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, so that the remainder keeps its low bits (Cody and Waite).
    let r = x.max(-88.0) - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let mut p = 1.987_569_2e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let fraction = p * r * r + r + 1.0;
    let scale = f32::from_bits((shifted.to_bits().wrapping_add(127)) << 23);
    if x < -87.0 { 0.0 } else { fraction * scale }
}

/// Σ f(logit), in sixteen lanes so that the loop becomes vector code.
pub(super) fn sum(logits: &[f32], f: impl Fn(f32) -> f32) -> f64 {
    let mut lanes = [0.0f32; 16];
    let chunks = logits.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().map(|&l| f(l)).sum();
    for chunk in chunks {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane += f(logit);
        }
    }
    f64::from(rest) + lanes.into_iter().map(f64::from).sum::<f64>()
}

fn position(logits: &[f32], logit: f32) -> Option<u32> {
    logits.iter().position(|&l| l == logit).map(|id| id as u32)
}

/// Draws a token id from logits `[vocabulary]`; `None` when every token is banned.
pub(super) fn sample(logits: &[f32], params: &SamplingParams, random: &mut Random) -> Option<u32> {
    let max = maximum(logits)?;
    if params.temperature < GREEDY {
        return position(logits, max);
    }
    let draw = Draw {
        max,
        scale: 1.0 / params.temperature,
        floor: if params.min_p > 0.0 {
            max + params.temperature * params.min_p.ln()
        } else {
            f32::NEG_INFINITY
        },
    };
    let width = logits.len();
    let top_k = params.top_k.map_or(width, |k| (k as usize).min(width));
    if top_k == width && params.top_p >= 1.0 {
        return draw
            .over_row(logits, random)
            .or_else(|| position(logits, max));
    }
    let top_p = f64::from(params.top_p);
    if top_k == width {
        return draw.over_nucleus(logits, top_p, random);
    }
    let mut candidates = draw.weigh(best(logits, top_k, draw.floor));
    let mut total = candidates.iter().map(|c| c.weight).sum();
    if top_p < 1.0 {
        total = nucleus(&mut candidates, top_p * total);
    }
    candidates.sort_unstable_by_key(|c| c.id);
    let mut target = random.unit() * total;
    for candidate in &candidates {
        target -= candidate.weight;
        if target < 0.0 {
            return Some(candidate.id);
        }
    }
    candidates.last().map(|c| c.id)
}

/// A token that may still be drawn.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    id: u32,
    logit: f32,
    /// Proportional to the probability; 1 for the most probable token.
    weight: f64,
}

struct Draw {
    max: f32,
    /// 1 / temperature.
    scale: f32,
    /// Lowest logit that min_p lets pass.
    floor: f32,
}

impl Draw {
    fn weight(&self, logit: f32) -> f32 {
        let weight = exponential((logit - self.max) * self.scale);
        if logit >= self.floor { weight } else { 0.0 }
    }

    fn block(&self, block: &[f32]) -> f64 {
        sum(block, |logit| self.weight(logit))
    }

    /// Draws among all tokens that min_p lets pass.
    fn over_row(&self, logits: &[f32], random: &mut Random) -> Option<u32> {
        let sums: Vec<f64> = logits.chunks(BLOCK).map(|b| self.block(b)).collect();
        let mut target = random.unit() * sums.iter().sum::<f64>();
        let mut last = None;
        for (index, (sum, block)) in sums.iter().zip(logits.chunks(BLOCK)).enumerate() {
            if target >= *sum && index + 1 < sums.len() {
                target -= sum;
                continue;
            }
            for (at, &logit) in block.iter().enumerate() {
                let weight = f64::from(self.weight(logit));
                if weight > 0.0 {
                    last = Some((index * BLOCK + at) as u32);
                    target -= weight;
                    if target < 0.0 {
                        return last;
                    }
                }
            }
            // Rounding may leave a rest: it goes to the last token with weight, or to the next block's first.
        }
        last
    }

    fn weigh(&self, tokens: Vec<(u32, f32)>) -> Vec<Candidate> {
        tokens
            .into_iter()
            .map(|(id, logit)| Candidate {
                id,
                logit,
                weight: f64::from(self.weight(logit)),
            })
            .collect()
    }

    /// Draws among the fewest best tokens that hold `top_p` of the mass, without sorting or copying the row: a
    /// histogram of weights by distance from the best logit shows in which bin the border lies, so only that bin's
    /// tokens are ranked.
    fn over_nucleus(&self, logits: &[f32], top_p: f64, random: &mut Random) -> Option<u32> {
        let mut bins = vec![0.0f64; BINS];
        let mut weights = [0.0f32; BLOCK];
        for block in logits.chunks(BLOCK) {
            for (weight, &logit) in weights.iter_mut().zip(block) {
                *weight = self.weight(logit);
            }
            for (&weight, &logit) in weights.iter().zip(block) {
                bins[self.bin(logit)] += f64::from(weight);
            }
        }
        let target = top_p * bins.iter().sum::<f64>();
        let (mut mass, mut bin) = (0.0, 0);
        while bin + 1 < BINS && mass + bins[bin] < target {
            mass += bins[bin];
            bin += 1;
        }
        let tokens = (0u32..).zip(logits.iter().copied());
        let in_bin = |l: f32| l >= self.floor && self.bin(l) == bin;
        let mut border = self.weigh(tokens.filter(|(_, l)| in_bin(*l)).collect());
        mass += nucleus(&mut border, target - mass);
        let last = border.last()?;
        self.walk(logits, (last.id, last.logit), random.unit() * mass)
    }

    /// Bin of a logit: bins of 1/32 in units of the exponent, the last for all that weighs nothing.
    fn bin(&self, logit: f32) -> usize {
        (((self.max - logit) * self.scale * 32.0) as usize).min(BINS - 1)
    }

    /// The token at which the weights of the row's tokens not worse than `border`, in order of ids, pass `target`.
    fn walk(&self, logits: &[f32], border: (u32, f32), mut target: f64) -> Option<u32> {
        for (id, &logit) in (0u32..).zip(logits) {
            if logit > border.1 || (logit == border.1 && id <= border.0) {
                target -= f64::from(self.weight(logit));
                if target < 0.0 {
                    return Some(id);
                }
            }
        }
        // Rounding left a rest.
        Some(border.0)
    }
}

/// Keeps the fewest best candidates that weigh `target`, at least one, and returns their weight; the worst of them comes
/// last. Halves the candidates towards the border instead of sorting them.
fn nucleus(candidates: &mut Vec<Candidate>, target: f64) -> f64 {
    let by_rank = |a: &Candidate, b: &Candidate| better(&(a.id, a.logit), &(b.id, b.logit));
    let weight = |part: &[Candidate]| part.iter().map(|c| c.weight).sum::<f64>();
    // The best `low` weigh `mass`, which is too little; the best `high` are enough.
    let (mut low, mut high, mut mass) = (0, candidates.len(), 0.0);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        candidates[low..high].select_nth_unstable_by(middle - low, by_rank);
        let half = weight(&candidates[low..middle]);
        if mass + half >= target {
            high = middle;
        } else {
            mass += half;
            low = middle;
        }
    }
    candidates.truncate(high);
    mass + weight(&candidates[low..])
}

#[cfg(test)]
mod tests;
