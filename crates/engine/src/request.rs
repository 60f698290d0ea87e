//! A request that is valid by type, and what the engine answers to it.

use std::sync::Arc;

use crate::sampling::{Finish, Grammar, Released, SamplingParams, ThoughtSpec, TokenLogprob};
use crate::scheduler::Refusal;

/// One sequence to generate.
#[derive(Clone, Debug)]
pub struct Request {
    /// Chosen by the caller, unique among live requests.
    pub id: u64,
    /// Prompt token ids.
    pub prompt: Vec<u32>,
    /// How tokens are chosen and when it stops. The model's own end tokens are added by the engine.
    pub params: SamplingParams,
    /// How the thought is counted and bounded.
    pub thought: Option<ThoughtSpec>,
    /// What the whole generation must follow; compiled by the same engine.
    pub constraint: Option<Arc<Grammar>>,
    /// Keeps prefixes of different callers apart; empty shares.
    pub cache_salt: Vec<u8>,
    /// Lower goes first.
    pub priority: i32,
    /// Fairness key.
    pub tenant: u64,
    /// Log-probabilities of the prompt's tokens, with this many best candidates each.
    pub prompt_logprobs: Option<u32>,
}

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The caller's mistake.
    Invalid,
    /// The prompt does not fit the context.
    TooLong,
    /// Queue bounds reached; try again later.
    Busy,
    /// Closing or dead.
    Unavailable,
}

/// A refusal with its sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalReason {
    /// What kind of mistake.
    pub kind: RefusalKind,
    /// What was wrong and what to do.
    pub message: String,
}

impl From<Refusal> for RefusalReason {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::QueueFull { .. } | Refusal::TokensFull { .. } => RefusalKind::Busy,
            Refusal::TooLong { .. } | Refusal::NeverFits { .. } => RefusalKind::TooLong,
            _ => RefusalKind::Invalid,
        };
        Self {
            kind,
            message: refusal.to_string(),
        }
    }
}

/// How a sequence ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// Generation ended by itself.
    Finished(Finish),
    /// The caller left.
    Cancelled,
    /// Something broke for this sequence; the sentence says what.
    Failed(String),
    /// Never accepted.
    Refused(RefusalReason),
}

/// Log-probability of one prompt token; the first token has none.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptLogprob {
    /// The token.
    pub id: u32,
    /// Its log-probability given the tokens before.
    pub logprob: Option<TokenLogprob>,
}

/// What one step brought for one sequence. The first output of an accepted request may hold no tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// The request's id.
    pub id: u64,
    /// Tokens released to the caller.
    pub tokens: Vec<Released>,
    /// Prompt tokens found in the prefix cache; on the first scheduled step.
    pub cached_tokens: Option<usize>,
    /// All prompt log-probabilities, once the prompt is computed.
    pub prompt_logprobs: Option<Vec<PromptLogprob>>,
    /// Set on the last output.
    pub end: Option<Ending>,
}

/// The end with its counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// How.
    pub end: End,
    /// Tokens generated, the stop token included.
    pub generated: u32,
    /// Of these, tokens of the thought.
    pub reasoning: u32,
    /// Where its time went; absent where it was never accepted.
    pub timing: Option<Timing>,
}

/// Where the time of a sequence went, in seconds, and how often it gave way. What it did not reach took none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// From submission to its first step.
    pub queued: f64,
    /// From its first step to its first token.
    pub prefill: f64,
    /// From its first token to its last.
    pub decode: f64,
    /// Times it was preempted.
    pub preemptions: u32,
}
