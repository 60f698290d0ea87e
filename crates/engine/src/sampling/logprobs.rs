//! Log-probabilities as the API reports them: of the model's own distribution, before temperature, bias, penalties and
//! bans. Called by `Generation` for generated tokens and by the engine's loop for prompt tokens.

use super::best::{best, better};
use super::sampler::{exponential, maximum, sum};

/// The lowest log-probability ever reported (OpenAI's floor).
pub const LOGPROB_FLOOR: f32 = -9999.0;

/// Log-probability of a token and of its best rivals.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// Natural logarithm of the token's probability, at least `LOGPROB_FLOOR`.
    pub chosen: f32,
    /// 1 for the most probable token; equals share the better rank.
    pub rank: u32,
    /// The most probable tokens, or those that were named, best first, with their log-probabilities.
    pub top: Vec<(u32, f32)>,
}

/// Scores `token` under a row of raw logits and lists the `n` best tokens.
///
/// `logits` must end where the real vocabulary ends: padded rows would take part in the sum. NaN in the row makes
/// `chosen` NaN.
pub fn prompt_logprobs(logits: &[f32], token: u32, n: u32) -> TokenLogprob {
    scored(logits, token, best(logits, n as usize, f32::NEG_INFINITY))
}

/// The same, listing `token` and those `named` instead of the best; all ids lie within the row.
pub(super) fn named_logprobs(logits: &[f32], token: u32, named: &[u32]) -> TokenLogprob {
    let mut ids = named.to_vec();
    ids.push(token);
    ids.sort_unstable();
    ids.dedup();
    let logit = |id: u32| logits.get(id as usize).map(|&logit| (id, logit));
    scored(logits, token, ids.into_iter().filter_map(logit).collect())
}

/// `token` and its rivals with their logits, as log-probabilities.
fn scored(logits: &[f32], token: u32, mut top: Vec<(u32, f32)>) -> TokenLogprob {
    let total = log_sum(logits);
    let score = |logit: f32| {
        let score = logit - total;
        // `max` would hide a NaN.
        if score < LOGPROB_FLOOR {
            LOGPROB_FLOOR
        } else {
            score
        }
    };
    let own = logits
        .get(token as usize)
        .copied()
        .unwrap_or(f32::NEG_INFINITY);
    top.sort_unstable_by(better);
    TokenLogprob {
        chosen: score(own),
        rank: 1 + logits.iter().filter(|&&l| l > own).count() as u32,
        top: top
            .into_iter()
            .map(|(id, logit)| (id, score(logit)))
            .collect(),
    }
}

/// ln Σ exp(logit), around the largest logit.
fn log_sum(logits: &[f32]) -> f32 {
    let Some(max) = maximum(logits) else {
        return f32::NAN;
    };
    let total: f64 = logits
        .chunks(256)
        .map(|block| sum(block, |logit| exponential(logit - max)))
        .sum();
    (f64::from(max) + total.ln()) as f32
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn equals_a_log_softmax_in_double() {
        let mut random = Random::new(Some(5));
        let logits: Vec<f32> = (0..5000)
            .map(|_| (random.unit() * 40.0 - 20.0) as f32)
            .collect();
        let max = logits.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = logits.iter().map(|&l| f64::from(l - max).exp()).sum();
        let exact = |id: u32| f64::from(logits[id as usize] - max) - sum.ln();
        for id in [0, 17, 4999] {
            let score = prompt_logprobs(&logits, id, 20);
            assert!((f64::from(score.chosen) - exact(id)).abs() < 2e-5);
            assert_eq!(score.top.len(), 20);
            assert!(score.top.windows(2).all(|w| w[0].1 >= w[1].1));
            for (id, logprob) in &score.top {
                assert!((f64::from(*logprob) - exact(*id)).abs() < 2e-5);
            }
            let better = logits.iter().filter(|&&l| l > logits[id as usize]).count();
            assert_eq!(score.rank as usize, better + 1);
        }
    }

    #[test]
    fn named_tokens_come_with_the_chosen_one_however_unlikely() {
        let logits = [0.0, 5.0, -9.0, f32::NEG_INFINITY, 1.0];
        let score = named_logprobs(&logits, 4, &[3, 2, 2, 0]);
        let ids: Vec<u32> = score.top.iter().map(|t| t.0).collect();
        assert_eq!((ids, score.rank), (vec![4, 0, 2, 3], 2));
        let all = prompt_logprobs(&logits, 4, 5);
        assert_eq!(score.chosen, all.chosen);
        assert_eq!(score.top[..3], [all.top[1], all.top[2], all.top[3]]);
        assert_eq!(score.top[3].1, LOGPROB_FLOOR);
        assert_eq!(named_logprobs(&logits, 0, &[0]).top.len(), 1);
    }

    #[test]
    fn floor_ties_and_the_whole_vocabulary() {
        let logits = [1.0, f32::NEG_INFINITY, 1.0];
        let score = prompt_logprobs(&logits, 1, 9);
        assert_eq!((score.chosen, score.rank), (LOGPROB_FLOOR, 3));
        assert_eq!(score.top.iter().map(|t| t.0).collect::<Vec<_>>(), [0, 2]);
        assert!((score.top[0].1 - 0.5f32.ln()).abs() < 1e-6);
        assert_eq!(prompt_logprobs(&logits, 2, 0).rank, 1);
        assert_eq!(prompt_logprobs(&[3e5, -3e5], 1, 0).chosen, LOGPROB_FLOOR);
        assert!(prompt_logprobs(&[f32::NAN, 0.0], 1, 0).chosen.is_nan());
        assert!(prompt_logprobs(&[f32::NEG_INFINITY], 0, 0).chosen.is_nan());
    }
}
