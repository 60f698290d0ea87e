//! One accepted sequence as the engine thread keeps it, from submission to its single end.

use std::time::Instant;

use super::lookup::Lookup;
use crate::request::{End, Ending, Output, PromptLogprob, Timing};
use crate::sampling::{Generation, Released};

/// When a sequence reached what.
#[derive(Debug)]
struct Milestones {
    submitted: Instant,
    scheduled: Option<Instant>,
    first: Option<Instant>,
    last: Option<Instant>,
    preemptions: u32,
}

impl Milestones {
    fn timing(&self) -> Timing {
        let between = |from: Option<Instant>, to: Option<Instant>| {
            from.zip(to).map_or(0.0, |(from, to)| {
                to.saturating_duration_since(from).as_secs_f64()
            })
        };
        Timing {
            queued: between(Some(self.submitted), self.scheduled),
            prefill: between(self.scheduled, self.first),
            decode: between(self.first, self.last),
            preemptions: self.preemptions,
        }
    }
}

/// State of a live sequence.
pub(crate) struct Live {
    pub(crate) id: u64,
    pub(crate) generation: Generation,
    /// Wants prompt scores and nothing generated (`max_tokens` 0).
    pub(crate) score_only: bool,
    /// Candidates per prompt token, and the scores so far; position 0 has none.
    prompt_top: Option<u32>,
    prompt_scores: Vec<PromptLogprob>,
    prompt: Vec<u32>,
    started: bool,
    /// Guesses what comes next, where that is wanted.
    lookup: Option<Lookup>,
    milestones: Milestones,
}

impl Live {
    pub(crate) fn new(
        id: u64,
        submitted: Instant,
        generation: Generation,
        score_only: bool,
        prompt: &[u32],
        prompt_top: Option<u32>,
        speculates: bool,
    ) -> Self {
        let keep = prompt_top.is_some();
        Self {
            id,
            generation,
            score_only,
            prompt_top,
            prompt_scores: if keep {
                prompt
                    .iter()
                    .map(|&id| PromptLogprob { id, logprob: None })
                    .collect()
            } else {
                Vec::new()
            },
            prompt: if keep { prompt.to_vec() } else { Vec::new() },
            started: false,
            lookup: (speculates && !score_only).then(|| Lookup::new(prompt)),
            milestones: Milestones {
                submitted,
                scheduled: None,
                first: None,
                last: None,
                preemptions: 0,
            },
        }
    }

    /// It is in a step that starts now.
    pub(crate) fn scheduled(&mut self, now: Instant) {
        self.milestones.scheduled.get_or_insert(now);
    }

    /// It gave its pages back.
    pub(crate) fn preempted(&mut self) {
        self.milestones.preemptions += 1;
    }

    /// Up to `most` tokens that may come next.
    pub(crate) fn guess(&mut self, most: usize) -> &[u32] {
        self.lookup.as_mut().map_or(&[], |l| l.guess(most))
    }

    /// Takes in what was said, and learns how much of it was guessed: the tokens that were guessed right.
    pub(crate) fn said(&mut self, tokens: &[u32], guesses: &[u32]) -> usize {
        if !tokens.is_empty() {
            let now = Instant::now();
            self.milestones.first.get_or_insert(now);
            self.milestones.last = Some(now);
        }
        let right = tokens.iter().zip(guesses).take_while(|(t, g)| t == g);
        let right = right.count();
        if let Some(lookup) = &mut self.lookup {
            lookup.learn(guesses.len(), right);
            lookup.extend(tokens);
        }
        right
    }

    /// The prompt token that the logits at `position` predict, with the candidates wanted.
    pub(crate) fn scored(&self, position: usize) -> Option<(u32, u32)> {
        Some((*self.prompt.get(position + 1)?, self.prompt_top?))
    }

    /// Keeps the score of the token after `position`.
    pub(crate) fn keep_score(&mut self, position: usize, score: crate::sampling::TokenLogprob) {
        if let Some(slot) = self.prompt_scores.get_mut(position + 1) {
            slot.logprob = Some(score);
        }
    }

    /// An output with what goes out once: cached tokens on the first step, prompt scores when the prompt is done.
    pub(crate) fn output(
        &mut self,
        tokens: Vec<Released>,
        cached: usize,
        prompt_done: bool,
    ) -> Output {
        let first = !std::mem::replace(&mut self.started, true);
        let scores = prompt_done && self.prompt_top.take().is_some();
        Output {
            id: self.id,
            tokens,
            cached_tokens: first.then_some(cached),
            prompt_logprobs: scores.then(|| std::mem::take(&mut self.prompt_scores)),
            end: None,
        }
    }

    /// The end with its counts.
    pub(crate) fn ending(&self, end: End) -> Ending {
        Ending {
            end,
            generated: if self.score_only {
                0
            } else {
                self.generation.generated()
            },
            reasoning: self.generation.reasoning_tokens(),
            timing: Some(self.milestones.timing()),
        }
    }
}
