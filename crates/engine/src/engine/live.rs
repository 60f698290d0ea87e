//! One accepted sequence as the engine thread keeps it, from submission to its single end.

use super::lookup::Lookup;
use crate::request::{End, Ending, Output, PromptLogprob};
use crate::sampling::{Generation, Released};

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
}

impl Live {
    pub(crate) fn new(
        id: u64,
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
        }
    }

    /// Up to `most` tokens that may come next.
    pub(crate) fn guess(&mut self, most: usize) -> &[u32] {
        self.lookup.as_mut().map_or(&[], |l| l.guess(most))
    }

    /// Takes in what was said, and learns how much of it was guessed.
    pub(crate) fn said(&mut self, tokens: &[u32], guesses: &[u32]) {
        if let Some(lookup) = &mut self.lookup {
            let right = tokens.iter().zip(guesses).take_while(|(t, g)| t == g);
            lookup.learn(guesses.len(), right.count());
            lookup.extend(tokens);
        }
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
        }
    }
}
