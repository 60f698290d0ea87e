//! Everything that changes single logits before the draw: allowed ids, bans, bad words, bias and penalties. Called by
//! `Generation` once a step.

use std::collections::HashMap;

use super::params::{BAN, SamplingParams};

/// The tokens of one sequence so far, as the penalties need them.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    active: bool,
    /// Times in the output, by token of prompt or output.
    counts: HashMap<u32, u32>,
    /// Output so far, kept only for bad words.
    output: Vec<u32>,
    keep_output: bool,
}

impl Seen {
    pub(super) fn new(params: &SamplingParams, prompt: &[u32]) -> Self {
        let repetition = params.repetition_penalty != 1.0;
        let active =
            repetition || params.presence_penalty != 0.0 || params.frequency_penalty != 0.0;
        let mut counts = HashMap::new();
        if repetition {
            counts.extend(prompt.iter().map(|&id| (id, 0)));
        }
        Self {
            active,
            counts,
            output: Vec::new(),
            keep_output: params.bad_words.iter().any(|w| w.len() > 1),
        }
    }

    pub(super) fn push(&mut self, id: u32) {
        if self.active {
            *self.counts.entry(id).or_default() += 1;
        }
        if self.keep_output {
            self.output.push(id);
        }
    }

    /// Changes the logits `[vocabulary]` by everything but `extra_bans`' reasons: those are the caller's.
    pub(super) fn apply(
        &self,
        params: &SamplingParams,
        extra_bans: impl Iterator<Item = u32>,
        logits: &mut [f32],
    ) {
        if let Some(allowed) = &params.allowed_token_ids {
            keep_only(allowed, logits);
        }
        for id in extra_bans {
            ban(logits, id);
        }
        for word in &params.bad_words {
            if let Some((&last, before)) = word.split_last()
                && self.output.ends_with(before)
            {
                ban(logits, last);
            }
        }
        for &(id, bias) in &params.logit_bias {
            match logits.get_mut(id as usize) {
                Some(logit) if bias <= BAN => *logit = f32::NEG_INFINITY,
                Some(logit) => *logit += bias,
                None => {}
            }
        }
        if self.active {
            self.penalise(params, logits);
        }
    }

    /// vLLM's `apply_penalties`: repetition over prompt and output; frequency and presence over the output alone.
    fn penalise(&self, params: &SamplingParams, logits: &mut [f32]) {
        for (&id, &count) in &self.counts {
            let Some(logit) = logits.get_mut(id as usize) else {
                continue;
            };
            let repeated = if *logit > 0.0 {
                *logit / params.repetition_penalty
            } else {
                *logit * params.repetition_penalty
            };
            let presence = if count > 0 {
                params.presence_penalty
            } else {
                0.0
            };
            // A tiny penalty must not overflow into +inf, where probabilities end.
            *logit = (repeated - params.frequency_penalty * count as f32 - presence).min(f32::MAX);
        }
    }
}

fn ban(logits: &mut [f32], id: u32) {
    if let Some(logit) = logits.get_mut(id as usize) {
        *logit = f32::NEG_INFINITY;
    }
}

fn keep_only(allowed: &[u32], logits: &mut [f32]) {
    let kept: Vec<(u32, f32)> = allowed
        .iter()
        .filter_map(|&id| Some((id, *logits.get(id as usize)?)))
        .collect();
    logits.fill(f32::NEG_INFINITY);
    for (id, logit) in kept {
        logits[id as usize] = logit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(params: &SamplingParams, prompt: &[u32], output: &[u32], bans: &[u32]) -> Vec<f32> {
        let mut seen = Seen::new(params, prompt);
        for &id in output {
            seen.push(id);
        }
        let mut logits = vec![2.0, -2.0, 1.0, 0.5, 3.0];
        seen.apply(params, bans.iter().copied(), &mut logits);
        logits
    }

    const NONE: f32 = f32::NEG_INFINITY;

    #[test]
    fn penalties_touch_seen_tokens_only() {
        let p = SamplingParams {
            repetition_penalty: 2.0,
            ..Default::default()
        };
        assert_eq!(applied(&p, &[0, 1], &[4], &[]), [1.0, -4.0, 1.0, 0.5, 1.5]);
        let p = SamplingParams {
            presence_penalty: 0.5,
            frequency_penalty: 0.25,
            ..Default::default()
        };
        // The prompt does not count for these two.
        assert_eq!(
            applied(&p, &[0, 1], &[4, 4, 2], &[]),
            [2.0, -2.0, 0.25, 0.5, 2.0]
        );
        let tiny = SamplingParams {
            repetition_penalty: 1e-44,
            ..Default::default()
        };
        assert!(applied(&tiny, &[0], &[], &[])[0].is_finite());
    }

    #[test]
    fn bias_bans_and_allowed_ids() {
        let p = SamplingParams {
            logit_bias: vec![(0, -100.0), (2, 5.0)],
            allowed_token_ids: Some(vec![0, 2, 3]),
            ..Default::default()
        };
        assert_eq!(applied(&p, &[], &[], &[3]), [NONE, NONE, 6.0, NONE, NONE]);
    }

    #[test]
    fn bad_words_ban_only_their_last_token_after_the_others() {
        let p = SamplingParams {
            bad_words: vec![vec![4], vec![1, 2, 3]],
            ..Default::default()
        };
        assert_eq!(applied(&p, &[1, 2], &[], &[]), [2.0, -2.0, 1.0, 0.5, NONE]);
        assert_eq!(
            applied(&p, &[], &[0, 1, 2], &[]),
            [2.0, -2.0, 1.0, NONE, NONE]
        );
        assert_eq!(
            applied(&p, &[], &[1, 2, 0], &[]),
            [2.0, -2.0, 1.0, 0.5, NONE]
        );
    }
}
