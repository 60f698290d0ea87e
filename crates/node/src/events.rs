//! Plain objects to JavaScript: what the callback receives and what the getters answer.

use std::sync::Arc;

use napi::bindgen_prelude::{External, Uint32Array};
use napi_derive::napi;
use seed_engine::engine::{Counters, ModelFacts, Prospect, STEP_SIZES};
use seed_engine::request::{End, Ending, Output, RefusalKind, RefusalReason};
use seed_engine::sampling::{Finish, Grammar, Released, TokenLogprob};

/// A candidate token.
#[napi(object)]
pub struct TopObject {
    pub id: u32,
    pub logprob: f64,
}

/// Log-probability of a token.
#[napi(object)]
pub struct LogprobObject {
    pub chosen: f64,
    pub rank: u32,
    pub top: Vec<TopObject>,
}

/// Log-probability of a prompt token.
#[napi(object)]
pub struct PromptTokenObject {
    pub id: u32,
    pub logprob: Option<LogprobObject>,
}

/// How a sequence ended: `stop`, `length`, `abort`, `error`, or a refusal `invalid`, `too_long`, `busy`, `unavailable`.
#[napi(object)]
pub struct EndObject {
    pub reason: String,
    pub stop_string: Option<String>,
    pub stop_token: Option<u32>,
    pub error: Option<String>,
    pub generated: u32,
    pub reasoning: u32,
    pub timing: Option<TimingObject>,
}

/// Where a sequence's time went, in seconds, and how often it gave way.
#[napi(object)]
pub struct TimingObject {
    pub queued: f64,
    pub prefill: f64,
    pub decode: f64,
    pub preemptions: u32,
}

/// What one step brought for one sequence.
#[napi(object)]
pub struct StepObject {
    pub id: f64,
    pub tokens: Vec<u32>,
    pub visible: Vec<u32>,
    pub logprobs: Option<Vec<LogprobObject>>,
    pub cached_tokens: Option<u32>,
    pub prompt_logprobs: Option<Vec<PromptTokenObject>>,
    pub end: Option<EndObject>,
}

/// What the callback receives: `progress`, `loaded`, `failed`, `steps`, `encoded` or `compiled`.
#[napi(object, object_from_js = false)]
pub struct EngineEvent {
    pub kind: String,
    pub phase: Option<String>,
    pub done: Option<f64>,
    pub error: Option<String>,
    pub steps: Option<Vec<StepObject>>,
    pub ticket: Option<f64>,
    pub tokens: Option<Uint32Array>,
    /// What kind of refusal `error` is: `invalid`, `too_long`, `busy` or `unavailable`.
    pub refusal: Option<String>,
    pub constraint: Option<External<Arc<Grammar>>>,
    /// Size of the constraint.
    pub bytes: Option<f64>,
}

impl EngineEvent {
    fn of(kind: &str) -> Self {
        Self {
            kind: kind.into(),
            phase: None,
            done: None,
            error: None,
            steps: None,
            ticket: None,
            tokens: None,
            refusal: None,
            constraint: None,
            bytes: None,
        }
    }

    pub(crate) fn progress(phase: &str, done: f32) -> Self {
        Self {
            phase: Some(phase.into()),
            done: Some(f64::from(done)),
            ..Self::of("progress")
        }
    }

    pub(crate) fn loaded() -> Self {
        Self::of("loaded")
    }

    pub(crate) fn failed(reason: String) -> Self {
        Self {
            error: Some(reason),
            ..Self::of("failed")
        }
    }

    pub(crate) fn steps(outputs: Vec<Output>) -> Self {
        Self {
            steps: Some(outputs.into_iter().map(step).collect()),
            ..Self::of("steps")
        }
    }

    pub(crate) fn encoded(ticket: f64, outcome: Result<Vec<u32>, String>) -> Self {
        let (tokens, error) = match outcome {
            Ok(tokens) => (Some(Uint32Array::new(tokens)), None),
            Err(reason) => (None, Some(reason)),
        };
        Self {
            ticket: Some(ticket),
            tokens,
            refusal: error
                .as_ref()
                .map(|_| refusal(&RefusalKind::Invalid).into()),
            error,
            ..Self::of("encoded")
        }
    }

    pub(crate) fn compiled(ticket: f64, outcome: Result<Arc<Grammar>, RefusalReason>) -> Self {
        let event = Self {
            ticket: Some(ticket),
            ..Self::of("compiled")
        };
        match outcome {
            Ok(grammar) => Self {
                bytes: Some(grammar.bytes() as f64),
                constraint: Some(External::new(grammar)),
                ..event
            },
            Err(reason) => Self {
                refusal: Some(refusal(&reason.kind).into()),
                error: Some(reason.message),
                ..event
            },
        }
    }
}

fn step(output: Output) -> StepObject {
    let wants = output.tokens.iter().any(|t| t.logprob.is_some());
    StepObject {
        id: output.id as f64,
        visible: output.tokens.iter().map(|t| t.visible as u32).collect(),
        logprobs: wants.then(|| output.tokens.iter().map(token_logprob).collect()),
        tokens: output.tokens.iter().map(|t| t.id).collect(),
        cached_tokens: output.cached_tokens.map(|n| n as u32),
        prompt_logprobs: output.prompt_logprobs.map(|scores| {
            scores
                .into_iter()
                .map(|s| PromptTokenObject {
                    id: s.id,
                    logprob: s.logprob.as_ref().map(logprob),
                })
                .collect()
        }),
        end: output.end.map(end),
    }
}

fn token_logprob(token: &Released) -> LogprobObject {
    match &token.logprob {
        Some(value) => logprob(value),
        None => LogprobObject {
            chosen: -9999.0,
            rank: 0,
            top: Vec::new(),
        },
    }
}

fn logprob(value: &TokenLogprob) -> LogprobObject {
    LogprobObject {
        chosen: f64::from(value.chosen),
        rank: value.rank,
        top: value
            .top
            .iter()
            .map(|&(id, logprob)| TopObject {
                id,
                logprob: f64::from(logprob),
            })
            .collect(),
    }
}

fn refusal(kind: &RefusalKind) -> &'static str {
    match kind {
        RefusalKind::Invalid => "invalid",
        RefusalKind::TooLong => "too_long",
        RefusalKind::Busy => "busy",
        RefusalKind::Unavailable => "unavailable",
    }
}

fn end(ending: Ending) -> EndObject {
    let (mut stop_string, mut stop_token, mut error) = (None, None, None);
    let reason = match ending.end {
        End::Finished(Finish::Eos(_) | Finish::Complete) => "stop",
        End::Finished(Finish::StopToken(id)) => {
            stop_token = Some(id);
            "stop"
        }
        End::Finished(Finish::StopString(text)) => {
            stop_string = Some(text);
            "stop"
        }
        End::Finished(Finish::Length) => "length",
        End::Cancelled => "abort",
        End::Failed(reason) => {
            error = Some(reason);
            "error"
        }
        End::Refused(reason) => {
            error = Some(reason.message);
            refusal(&reason.kind)
        }
    };
    EndObject {
        reason: reason.into(),
        stop_string,
        stop_token,
        error,
        generated: ending.generated,
        reasoning: ending.reasoning,
        timing: ending.timing.map(|t| TimingObject {
            queued: t.queued,
            prefill: t.prefill,
            decode: t.decode,
            preemptions: t.preemptions,
        }),
    }
}

/// Facts about a loaded model.
#[napi(object)]
pub struct ModelFactsObject {
    pub architecture: String,
    pub vocabulary: u32,
    pub real_vocabulary: u32,
    pub eos: Vec<u32>,
    pub parameters: f64,
    pub weight_bytes: f64,
    pub kv_cache_bytes: f64,
    pub workspace_bytes: f64,
    pub kv_tokens: f64,
    pub max_model_len: u32,
    pub max_sequences: u32,
    pub page_size: u32,
}

impl From<&ModelFacts> for ModelFactsObject {
    fn from(facts: &ModelFacts) -> Self {
        Self {
            architecture: facts.architecture.into(),
            vocabulary: facts.vocabulary as u32,
            real_vocabulary: facts.real_vocabulary as u32,
            eos: facts.eos.clone(),
            parameters: facts.parameters as f64,
            weight_bytes: facts.plan.weights as f64,
            kv_cache_bytes: facts.plan.kv_cache as f64,
            workspace_bytes: facts.plan.workspace as f64,
            kv_tokens: (facts.plan.pages * facts.page_size) as f64,
            max_model_len: facts.plan.max_model_len as u32,
            max_sequences: facts.max_sequences as u32,
            page_size: facts.page_size as u32,
        }
    }
}

/// Counters of the engine.
#[napi(object)]
pub struct StatsObject {
    pub running: u32,
    pub waiting: u32,
    pub waiting_tokens: f64,
    pub pages_total: u32,
    pub pages_used: u32,
    pub pages_cached: u32,
    pub prefix_queries: f64,
    pub prefix_hits: f64,
    pub preemptions: f64,
    pub prompt_tokens: f64,
    pub generated_tokens: f64,
    pub steps: f64,
    /// Steps by their rows: at most as many as the bound of the same index in `step_bounds`, last those with more.
    pub step_sizes: Vec<f64>,
    pub step_bounds: Vec<u32>,
    pub step_rows: f64,
    pub guesses: f64,
    pub guessed_tokens: f64,
    /// Guessed tokens that came true, by their position in the guess.
    pub right_guesses: Vec<f64>,
    pub beat_age: f64,
    pub dead: Option<String>,
}

impl StatsObject {
    pub(crate) fn new(counters: &Counters, beat_age: f64) -> Self {
        let s = &counters.scheduler;
        Self {
            running: s.running as u32,
            waiting: s.waiting as u32,
            waiting_tokens: s.waiting_tokens as f64,
            pages_total: s.pages_total as u32,
            pages_used: s.pages_used as u32,
            pages_cached: s.pages_cached as u32,
            prefix_queries: s.prefix_queries as f64,
            prefix_hits: s.prefix_hits as f64,
            preemptions: s.preemptions as f64,
            prompt_tokens: counters.prompt_tokens as f64,
            generated_tokens: counters.generated_tokens as f64,
            steps: counters.steps as f64,
            step_sizes: floats(&counters.step_sizes.buckets),
            step_bounds: STEP_SIZES.map(|bound| bound as u32).to_vec(),
            step_rows: counters.step_sizes.rows as f64,
            guesses: counters.guesses.made as f64,
            guessed_tokens: counters.guesses.tokens as f64,
            right_guesses: floats(&counters.guesses.right),
            beat_age,
            dead: counters.dead.clone(),
        }
    }
}

/// A plan with its grounds.
pub(crate) fn prospect_json(found: &Prospect) -> serde_json::Value {
    let plan = found.plan.as_ref().ok().map(|plan| {
        serde_json::json!({
            "weights": plan.weights,
            "kvCache": plan.kv_cache,
            "workspace": plan.workspace,
            "maxModelLen": plan.max_model_len,
        })
    });
    serde_json::json!({
        "architecture": found.architecture,
        "parameters": found.parameters,
        "trainedContext": found.trained_context,
        "weights": found.weights,
        "packed": found.packed,
        "workspace": found.workspace,
        "wholeContext": found.whole_context,
        "least": found.least,
        "available": found.available,
        "plan": plan,
        "why": found.plan.as_ref().err(),
    })
}

fn floats(counts: &[u64]) -> Vec<f64> {
    counts.iter().map(|&count| count as f64).collect()
}
