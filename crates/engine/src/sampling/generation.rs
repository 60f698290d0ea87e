//! Everything one sequence needs to turn rows of logits into tokens and to know when it ends. Called by the engine's
//! loop, once a step for each sequence that samples.

use std::sync::Arc;

use llguidance::toktrie::SimpleVob;

use super::budget::{Thought, ThoughtSpec, Wish};
use super::constraint::{Grammar, Guide, Offer};
use super::logprobs::{TokenLogprob, named_logprobs, prompt_logprobs};
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
    /// The grammar has come to its end.
    Complete,
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Next {
    /// The tokens that go into the cache and count in usage: one, several where a grammar forces them, none where it
    /// has come to its end.
    pub tokens: Vec<u32>,
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
    /// The grammar admits tokens, but what else the request asks for bans them.
    #[error(
        "no token is left at this step: those that the response format or tool schema admits are banned by allowed_token_ids, logit_bias or bad_words"
    )]
    ConstraintBanned,
    /// The grammar cannot be followed any further.
    #[error("the response format or tool schema cannot be followed: {0}")]
    Constraint(String),
}

/// One sequence's sampling state.
#[derive(Debug)]
pub struct Generation {
    params: SamplingParams,
    vocabulary: Arc<Vocabulary>,
    random: Random,
    seen: Seen,
    thought: Option<Thought>,
    guide: Option<Guide>,
    stops: Stops<Chosen>,
    generated: u32,
    /// Whether it goes on after an end by the model's own wish.
    onward: bool,
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
    /// an open thought look at; its tokens never count. `grammar` is what the whole generation must follow.
    pub fn new(
        params: SamplingParams,
        thought: Option<ThoughtSpec>,
        grammar: Option<Arc<Grammar>>,
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
            guide: grammar.map(Guide::new),
            stops: Stops::new(&params.stop_strings, params.include_stop),
            vocabulary,
            params,
            generated: 0,
            onward: false,
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
        let offer = self.guide.as_ref().map(Guide::offer).transpose();
        let id = match offer.map_err(SampleError::Constraint)? {
            Some(Offer::Complete) => return Ok(self.complete()),
            Some(_) if self.onward => match self.own_choice(logits)? {
                Some(id) => id,
                None => return Ok(self.complete()),
            },
            Some(Offer::Forced(_)) => self.forced(logits)?,
            Some(Offer::Mask(mask)) => {
                let wish = self.admitted_wish();
                keep(&mask, logits);
                self.wished(logits, wish)?
            }
            None => {
                let wish = self.wish();
                self.wished(logits, wish)?
            }
        };
        let logprob = self
            .params
            .logprobs
            .map(|n| match &self.params.logprob_token_ids[..] {
                [] => prompt_logprobs(&self.raw, id, n),
                named => named_logprobs(&self.raw, id, named),
            });
        let mut next = Next::default();
        self.accept(Chosen { id, logprob }, &mut next);
        self.follow(&mut next);
        Ok(next)
    }

    fn wish(&mut self) -> Wish {
        self.thought.as_mut().map(Thought::wish).unwrap_or_default()
    }

    /// What the thinking budget wants, as far as the grammar admits it: the closing as it was asked for, else the bare
    /// end of the thought, else nothing.
    fn admitted_wish(&mut self) -> Wish {
        let wish = self.wish();
        let (Some(id), Some(guide), Some(thought)) = (wish.force, &self.guide, &mut self.thought)
        else {
            return wish;
        };
        if guide.admits(id) {
            return wish;
        }
        let force = thought.skip_closing().filter(|&end| guide.admits(end));
        if force.is_none() {
            thought.give_up();
        }
        Wish { force, ..wish }
    }

    fn wished(&mut self, logits: &mut [f32], wish: Wish) -> Result<u32, SampleError> {
        match wish.force {
            Some(id) => Ok(id),
            None => self.choose(logits, wish),
        }
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
        let ends = if wish.ban_ends || self.generated < self.params.min_tokens {
            [&self.params.eos_ids[..], &self.params.stop_token_ids[..]]
        } else if self.guide.is_some() && self.params.ignore_eos {
            // A grammar is over with its end token, so one that shall not count must not come.
            [&self.params.eos_ids[..], &[]]
        } else {
            [&[][..], &[]]
        };
        let bans = ends.into_iter().flatten().copied().chain(wish.ban);
        let unmasked: Vec<(u32, f32)> = match self.guide {
            Some(_) => ends
                .into_iter()
                .flatten()
                .filter_map(|&id| Some((id, *logits.get(id as usize)?)))
                .collect(),
            None => Vec::new(),
        };
        self.seen.apply(&self.params, bans, logits);
        if let Some(id) = sample(logits, &self.params, &mut self.random) {
            return Ok(id);
        }
        if self.guide.is_none() {
            return Err(SampleError::AllBanned);
        }
        // Where the grammar lets only an end come, the answer is whole: min_tokens cannot make it longer.
        for (id, logit) in unmasked {
            logits[id as usize] = logit;
        }
        self.seen.apply(&self.params, std::iter::empty(), logits);
        sample(logits, &self.params, &mut self.random).ok_or(SampleError::ConstraintBanned)
    }

    /// Counts the token, follows thought and grammar, and decides what may be shown and whether this was the end.
    fn accept(&mut self, chosen: Chosen, next: &mut Next) {
        let id = chosen.id;
        self.generated += 1;
        self.seen.push(id);
        let in_thought = self.thought.as_ref().is_some_and(Thought::is_open);
        let in_answer = self.thought.as_ref().is_none_or(Thought::is_answer);
        let armed = self.generated >= self.params.min_tokens;
        let goes_on = self.goes_on_after(id);
        let end = self.end_token(id).filter(|_| armed && !goes_on);
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
            (None, false) if in_answer => Text::Answer(bytes),
            (None, false) => Text::Apart(bytes),
        };
        let (mut out, stop) = self.stops.push(chosen, text, armed);
        let length = || (self.generated >= self.params.max_tokens).then_some(Finish::Length);
        let finish = end
            .or(stop.map(|m| Finish::StopString(m.text)))
            .or_else(length);
        if finish.is_some() {
            out.extend(self.stops.flush());
        } else if let Some(guide) = &mut self.guide {
            guide.take(id);
        }
        next.tokens.push(id);
        next.released.extend(released(out));
        next.finish = finish;
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

/// Bans what the mask does not hold. `logits` may be shorter or longer than the mask, whose rest bans.
fn keep(mask: &SimpleVob, logits: &mut [f32]) {
    let mut words = mask.as_slice().iter();
    for chunk in logits.chunks_mut(32) {
        match words.next().copied().unwrap_or(0) {
            0 => chunk.fill(f32::NEG_INFINITY),
            u32::MAX => {}
            word => {
                for (bit, logit) in chunk.iter_mut().enumerate() {
                    if word & (1 << bit) == 0 {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
        }
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

mod guided;
mod onward;
#[cfg(test)]
mod tests;
