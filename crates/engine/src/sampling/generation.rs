//! Everything one sequence needs to turn rows of logits into tokens and to know when it ends. Called by the engine's
//! loop, once a step for each sequence that samples.

use std::sync::Arc;

use super::budget::{Thought, ThoughtSpec, Wish};
use super::logprobs::{TokenLogprob, prompt_logprobs};
use super::params::{ParamError, SamplingParams};
use super::penalties::Seen;
use super::random::Random;
use super::sampler::{maximum, sample};
use super::stop::{Stops, Text};
use crate::text::Vocabulary;

/// Why generation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model's own end token.
    Eos(u32),
    /// One of the request's stop tokens.
    StopToken(u32),
    /// A stop string of the request.
    StopString(String),
    /// `max_tokens` reached.
    Length,
}

/// A token the caller may have.
#[derive(Clone, Debug, PartialEq)]
pub struct Released {
    /// The token.
    pub id: u32,
    /// How many of its bytes belong to the answer: all, none for an end token, some when a stop string begins inside.
    pub visible: usize,
    /// Its log-probability, if asked for.
    pub logprob: Option<TokenLogprob>,
}

/// What a step brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Next {
    /// The token that goes into the cache and counts in usage.
    pub token: u32,
    /// Tokens that became certain, in order; empty while a stop string may have begun.
    pub released: Vec<Released>,
    /// Set when this was the last token; then nothing is held back any more.
    pub finish: Option<Finish>,
}

/// Why no token could be chosen: fails this request alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// NaN or +inf among the logits, or nothing but -inf.
    #[error("the model produced non-finite logits for this request")]
    NonFinite,
    /// No token is left to choose from.
    #[error(
        "every token is banned at this step: allowed_token_ids, logit_bias, bad_words and min_tokens together leave none"
    )]
    AllBanned,
}

/// One sequence's sampling state.
#[derive(Clone, Debug)]
pub struct Generation {
    params: SamplingParams,
    vocabulary: Arc<Vocabulary>,
    random: Random,
    seen: Seen,
    thought: Option<Thought>,
    stops: Stops<Chosen>,
    generated: u32,
    /// The raw row `[vocabulary]`, kept only when log-probabilities are wanted.
    raw: Vec<f32>,
}

#[derive(Clone, Debug)]
struct Chosen {
    id: u32,
    logprob: Option<TokenLogprob>,
}

impl Generation {
    /// Checks the parameters against the vocabulary and starts before the first token. `prompt` is what penalties and
    /// an open thought look at; its tokens never count.
    pub fn new(
        params: SamplingParams,
        thought: Option<ThoughtSpec>,
        vocabulary: Arc<Vocabulary>,
        prompt: &[u32],
    ) -> Result<Self, ParamError> {
        params.validate(vocabulary.len())?;
        let foreign = thought
            .as_ref()
            .and_then(|spec| spec.ids().find(|&id| id as usize >= vocabulary.len()));
        if let Some(id) = foreign {
            return Err(ParamError(format!(
                "the thought's markers hold token id {id}, but the vocabulary ends at {}",
                vocabulary.len()
            )));
        }
        Ok(Self {
            random: Random::new(params.seed),
            seen: Seen::new(&params, prompt),
            thought: thought.map(|spec| Thought::new(spec, prompt)),
            stops: Stops::new(&params.stop_strings, params.include_stop),
            vocabulary,
            params,
            generated: 0,
            raw: Vec::new(),
        })
    }

    /// Chooses the next token from logits `[rows of the head]`, which are scratch afterwards. Rows from the end of the
    /// vocabulary on are padding and take no part. An error fails the request; the state is then of no further use.
    pub fn next(&mut self, logits: &mut [f32]) -> Result<Next, SampleError> {
        let width = logits.len().min(self.vocabulary.len());
        let logits = &mut logits[..width];
        for &hole in self.vocabulary.holes() {
            if let Some(logit) = logits.get_mut(hole as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        maximum(logits).ok_or(SampleError::NonFinite)?;
        if self.params.logprobs.is_some() {
            self.raw.clear();
            self.raw.extend_from_slice(logits);
        }
        let wish = self.thought.as_mut().map(Thought::wish).unwrap_or_default();
        let id = match wish.force {
            Some(id) => id,
            None => self.choose(logits, wish)?,
        };
        let logprob = self
            .params
            .logprobs
            .map(|n| prompt_logprobs(&self.raw, id, n));
        Ok(self.accept(Chosen { id, logprob }))
    }

    /// Tokens of the thought so far.
    pub fn reasoning_tokens(&self) -> u32 {
        self.thought.as_ref().map_or(0, Thought::count)
    }

    /// Tokens generated so far, the end token included.
    pub fn generated(&self) -> u32 {
        self.generated
    }

    /// Releases what is held back when generation ends from outside; nothing more comes after it.
    pub fn finish_early(&mut self) -> Vec<Released> {
        released(self.stops.flush())
    }

    fn choose(&mut self, logits: &mut [f32], wish: Wish) -> Result<u32, SampleError> {
        let starts = match (&self.thought, wish.ban_start) {
            (Some(thought), true) => thought.starts(),
            _ => &[],
        };
        let ends = if wish.ban_ends || self.generated < self.params.min_tokens {
            [&self.params.eos_ids[..], &self.params.stop_token_ids[..]]
        } else {
            [&[][..], &[][..]]
        };
        let bans = starts.iter().chain(ends.into_iter().flatten()).copied();
        self.seen.apply(&self.params, bans, logits);
        sample(logits, &self.params, &mut self.random).ok_or(SampleError::AllBanned)
    }

    /// Counts the token, follows the thought, and decides what may be shown and whether this was the end.
    fn accept(&mut self, chosen: Chosen) -> Next {
        let id = chosen.id;
        self.generated += 1;
        self.seen.push(id);
        let in_thought = self.thought.as_ref().is_some_and(Thought::is_open);
        let armed = self.generated >= self.params.min_tokens;
        let end = self.end_token(id).filter(|_| armed);
        if end.is_none()
            && let Some(thought) = &mut self.thought
        {
            thought.observe(id, &self.vocabulary);
        }
        let vocabulary = Arc::clone(&self.vocabulary);
        let bytes = vocabulary.bytes(id);
        let is_eos = self.params.eos_ids.contains(&id);
        let text = match (&end, in_thought) {
            (Some(Finish::StopToken(_)), _) if self.shows_stop(id) => Text::Apart(bytes),
            (Some(_), _) => Text::Apart(&[]),
            (None, _) if is_eos => Text::Apart(&[]),
            (None, true) => Text::Apart(bytes),
            (None, false) if vocabulary.is_control(id) => Text::Control(bytes),
            (None, false) => Text::Answer(bytes),
        };
        let (mut out, stop) = self.stops.push(chosen, text, armed);
        let length = || (self.generated >= self.params.max_tokens).then_some(Finish::Length);
        let finish = end
            .or(stop.map(|m| Finish::StopString(m.text)))
            .or_else(length);
        if finish.is_some() {
            out.extend(self.stops.flush());
        }
        Next {
            token: id,
            released: released(out),
            finish,
        }
    }

    fn end_token(&self, id: u32) -> Option<Finish> {
        if self.params.stop_token_ids.contains(&id) {
            Some(Finish::StopToken(id))
        } else if self.params.eos_ids.contains(&id) && !self.params.ignore_eos {
            Some(Finish::Eos(id))
        } else {
            None
        }
    }

    /// Whether a stop token's text is wanted in the answer (vLLM's include_stop_str_in_output); never an end token's.
    fn shows_stop(&self, id: u32) -> bool {
        self.params.include_stop
            && !self.vocabulary.is_control(id)
            && !self.params.eos_ids.contains(&id)
    }
}

fn released(tokens: Vec<(Chosen, usize)>) -> Vec<Released> {
    tokens
        .into_iter()
        .map(|(chosen, visible)| Released {
            id: chosen.id,
            visible,
            logprob: chosen.logprob,
        })
        .collect()
}

#[cfg(test)]
mod tests;
