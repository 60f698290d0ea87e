//! Decides who runs next, in which pages: pure bookkeeping, no tensors, no clock, no threads. The engine loop owns it.
//!
//! # The life of a sequence
//!
//! ```text
//!          submit                  admitted                     ended, failed
//! caller ─────────▶  waiting  ─────────────▶  running  ─────────────────────────▶  gone
//!   │  refused          │    ◀─────────────      │                                  ▲
//!   ▼                   │      preempted         │ cancelled while a step is out    │
//! (never accepted)      │                        ▼                                  │
//!                       │                     leaving  ─────────────────────────────┤
//!                       │                              that step is committed       │
//!                       └───────────────────────────────────────────────────────────┘
//!                                             cancelled
//! ```
//!
//! * **Waiting** (`queue.rs`): it holds no page. Lower priority values go first, then preempted sequences, then the
//!   tenants take turns, and each tenant's own sequences go in order of arrival. Nobody overtakes the head.
//! * **Admitted** (`admission.rs`) when pages for all its tokens can be had beside what the running ones still need.
//!   It starts behind the longest prefix whose pages are known, and forwards at least one token itself.
//! * **Running** (`step.rs`): each `plan` gives every decoding sequence its row first, then forced tokens theirs, and the
//!   rest of the token budget to prompts in order of rank. Pages are taken as rows need them, fewer rows where pages are short; what lies behind
//!   a window is given back at `commit`.
//! * **Preempted**: when a row finds no page, the lowest-ranked running sequence below it (highest priority value, then
//!   latest arrival) gives all its pages back and waits again, at the front. Its tokens are computed again later,
//!   generated ones included, so its text does not change. The best-ranked sequence can always take a row, and a
//!   sequence that would not fit alone is refused at `submit`: every plan makes progress.
//! * **Gone** exactly once. Full pages it computed stay findable until the space is needed.
//!
//! # Steps that overlap
//!
//! A sequence in a planned step is neither planned again nor preempted until that step is committed, and its pages are
//! not given to others before. So `plan` may be called again before `commit`: it then serves the other sequences.
//! Every planned step must be committed, with no outcomes if its forward pass failed.

mod admission;
mod commit;
mod queue;
mod sequence;
mod step;

use std::collections::{BTreeSet, HashMap};

use thiserror::Error;

pub use crate::cache::group::LayerGroup;
use crate::cache::pages::PagePool;
use queue::{Place, Queue};
use sequence::{Rank, Sequence, Stage, Work};
pub use step::{Step, StepEntry};

/// Names a sequence; chosen by the caller, unique among those not gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub u64);

/// Bounds and geometry.
#[derive(Clone, Debug)]
pub struct SchedulerConfig {
    /// Positions in a page.
    pub page_size: usize,
    /// Pages in the pool, shared by all groups.
    pub pages: usize,
    /// Layers by what they see; at least one group.
    pub groups: Vec<LayerGroup>,
    /// Sequences running at once; more than `max_batched_tokens` have no effect.
    pub max_sequences: usize,
    /// Rows in one step.
    pub max_batched_tokens: usize,
    /// Positions a sequence may have.
    pub max_model_len: usize,
    /// Sequences that may wait.
    pub max_queued_requests: usize,
    /// Tokens that may wait; a longer prompt is still taken when nothing waits.
    pub max_queued_tokens: usize,
    /// Keep full pages findable for later sequences with the same prefix.
    pub prefix_cache: bool,
    /// Root of the hash chain, random per process.
    pub seed: [u8; 32],
}

/// A configuration no scheduler can work with.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what} must be {least} or more")]
pub struct ConfigError {
    what: &'static str,
    least: usize,
}

/// A sequence to be generated.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Its name.
    pub id: SequenceId,
    /// Prompt tokens, at least one.
    pub prompt: Vec<u32>,
    /// Most tokens generated. The caller ends the sequence; one that reaches the bound is ended in any case.
    pub max_tokens: usize,
    /// Sequences share a prefix only under equal salts.
    pub salt: Vec<u8>,
    /// Lower goes first.
    pub priority: i32,
    /// Tenants of one priority take turns.
    pub tenant: u64,
    /// Start behind a known prefix; otherwise every prompt token is forwarded.
    pub reuse_prefix: bool,
    /// The logits of every prompt row are wanted; rows not yet delivered are never skipped.
    pub prompt_logits: bool,
}

/// Why a submission was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The bound on waiting requests is reached.
    #[error("{waiting} requests are waiting already; try again later")]
    QueueFull {
        /// Requests waiting.
        waiting: usize,
    },
    /// The bound on waiting tokens is reached.
    #[error(
        "{waiting} prompt tokens are waiting already, and at most {limit} may; try again later"
    )]
    TokensFull {
        /// Tokens waiting.
        waiting: usize,
        /// The bound.
        limit: usize,
    },
    /// Prompt and answer exceed the context.
    #[error(
        "the prompt has {prompt} tokens and {max_tokens} more may be generated, but the context holds {limit} tokens"
    )]
    TooLong {
        /// Prompt tokens.
        prompt: usize,
        /// Tokens asked for.
        max_tokens: usize,
        /// Length of the context.
        limit: usize,
    },
    /// The whole cache is too small for it.
    #[error(
        "the request needs up to {needed} pages of KV cache, but there are {pages}; ask for fewer tokens"
    )]
    NeverFits {
        /// Pages needed alone.
        needed: usize,
        /// Pages in the pool.
        pages: usize,
    },
    /// Nothing to start from.
    #[error("the prompt is empty; at least one token is needed")]
    Empty,
    /// The name is taken.
    #[error("a request with this id is still live")]
    DuplicateId,
}

/// What a step brought for one of its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whose.
    pub id: SequenceId,
    /// Tokens to go on with: one where the entry samples, several where some are forced or guesses came true, none for
    /// a part of a prompt.
    pub tokens: Vec<u32>,
    /// Nothing more is wanted.
    pub ended: bool,
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sequences running.
    pub running: usize,
    /// Sequences waiting, preempted ones included.
    pub waiting: usize,
    /// Their tokens.
    pub waiting_tokens: usize,
    /// Pages in the pool.
    pub pages_total: usize,
    /// Pages held by sequences.
    pub pages_used: usize,
    /// Pages with nothing in them that could be found.
    pub pages_free: usize,
    /// Pages held by nobody but findable by a prefix.
    pub pages_cached: usize,
    /// Tokens looked up in the prefix cache.
    pub prefix_queries: u64,
    /// Of these, tokens found.
    pub prefix_hits: u64,
    /// Preemptions so far.
    pub preemptions: u64,
}

/// The scheduler: who waits, who runs, who holds which pages.
#[derive(Debug)]
pub struct Scheduler {
    config: SchedulerConfig,
    /// Prompt rows in a step that decodes too.
    prompt_rows: usize,
    pool: PagePool,
    sequences: HashMap<SequenceId, Sequence>,
    queue: Queue,
    /// Best rank first.
    running: BTreeSet<(Rank, SequenceId)>,
    arrivals: u64,
    prefix_queries: u64,
    prefix_hits: u64,
    preemptions: u64,
}

impl Scheduler {
    /// An idle scheduler.
    pub fn new(config: SchedulerConfig) -> Result<Self, ConfigError> {
        let windows = config.groups.iter().filter_map(|g| g.window);
        for (what, value) in [
            ("the page size", config.page_size),
            ("the number of pages", config.pages),
            ("the number of layer groups", config.groups.len()),
            ("a window", windows.min().unwrap_or(1)),
            ("the number of running sequences", config.max_sequences),
            ("the number of batched tokens", config.max_batched_tokens),
            ("the context length", config.max_model_len),
        ] {
            if value == 0 {
                return Err(ConfigError { what, least: 1 });
            }
        }
        Ok(Self {
            pool: PagePool::new(config.pages),
            prompt_rows: usize::MAX,
            config,
            sequences: HashMap::new(),
            queue: Queue::default(),
            running: BTreeSet::new(),
            arrivals: 0,
            prefix_queries: 0,
            prefix_hits: 0,
            preemptions: 0,
        })
    }

    /// Accepts a sequence into the queue, or says why not.
    pub fn submit(&mut self, submission: Submission) -> Result<(), Refusal> {
        self.check(&submission)?;
        self.arrivals += 1;
        let id = submission.id;
        let sequence = Sequence::new(submission, self.arrivals, &self.config);
        self.queue.push(sequence.place(), sequence.known());
        self.sequences.insert(id, sequence);
        Ok(())
    }

    fn check(&self, submission: &Submission) -> Result<(), Refusal> {
        let (prompt, max_tokens) = (submission.prompt.len(), submission.max_tokens.max(1));
        if prompt == 0 {
            return Err(Refusal::Empty);
        }
        if self.sequences.contains_key(&submission.id) {
            return Err(Refusal::DuplicateId);
        }
        // The last token generated is never forwarded, so it takes no position.
        let positions = prompt.saturating_add(max_tokens - 1);
        let limit = self.config.max_model_len;
        if positions > limit {
            return Err(Refusal::TooLong {
                prompt,
                max_tokens,
                limit,
            });
        }
        let (needed, pages) = (self.most_pages(positions), self.pool.total());
        if needed > pages {
            return Err(Refusal::NeverFits { needed, pages });
        }
        let waiting = self.queue.len();
        if waiting >= self.config.max_queued_requests {
            return Err(Refusal::QueueFull { waiting });
        }
        let (tokens, limit) = (self.queue.tokens(), self.config.max_queued_tokens);
        if tokens > 0 && tokens.saturating_add(prompt) > limit {
            return Err(Refusal::TokensFull {
                waiting: tokens,
                limit,
            });
        }
        Ok(())
    }

    /// The most pages one sequence holds while `positions` are computed, if need be row by row.
    fn most_pages(&self, positions: usize) -> usize {
        let groups = self.config.groups.iter();
        groups
            .map(|g| g.most_pages(positions, self.config.page_size))
            .sum()
    }

    /// Ends a sequence at any stage, also while a step with it is out; false if it was gone already.
    pub fn cancel(&mut self, id: SequenceId) -> bool {
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return false;
        };
        match sequence.stage {
            Stage::Waiting => self.queue.remove(sequence.place(), sequence.known()),
            Stage::Running => {
                self.running.remove(&(sequence.rank, id));
                if sequence.flight.is_some() {
                    sequence.stage = Stage::Leaving;
                    return true;
                }
            }
            Stage::Leaving => return false,
        }
        self.forget(id);
        true
    }

    /// Ends a sequence because something broke for it; the same as `cancel` to the scheduler.
    pub fn fail(&mut self, id: SequenceId) {
        self.cancel(id);
    }

    /// The one exit: gives the pages back and drops the sequence.
    fn forget(&mut self, id: SequenceId) {
        if let Some(mut sequence) = self.sequences.remove(&id) {
            self.running.remove(&(sequence.rank, id));
            sequence.tables.release_all(&mut self.pool);
        }
    }

    /// True when no sequence is left, in whatever stage.
    pub fn is_idle(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Guesses what a running sequence says next. The next step forwards the guess too where there is room, and its
    /// outcome tells by its tokens how much of it came true. A guess for anybody else is dropped.
    pub fn guess(&mut self, id: SequenceId, tokens: Vec<u32>) {
        if let Some(sequence) = self.sequences.get_mut(&id)
            && sequence.stage == Stage::Running
            && sequence.flight.is_none()
            && sequence.work() != Work::Prompt
        {
            sequence.draft = tokens;
            // The last allowed token needs no row of its own.
            let most = sequence.limit - sequence.known();
            sequence.draft.truncate(most.saturating_sub(1));
        }
    }

    /// Bounds the prompt rows of steps that also decode, so that prompts do not hold up the next tokens of others;
    /// at least one row is planned whatever the bound.
    pub fn bound_prompts(&mut self, rows: usize) {
        self.prompt_rows = rows.max(1);
    }

    /// The figures now.
    pub fn stats(&self) -> Stats {
        Stats {
            running: self.running.len(),
            waiting: self.queue.len(),
            waiting_tokens: self.queue.tokens(),
            pages_total: self.pool.total(),
            pages_used: self.pool.held(),
            pages_free: self.pool.available() - self.pool.evictable(),
            pages_cached: self.pool.evictable(),
            prefix_queries: self.prefix_queries,
            prefix_hits: self.prefix_hits,
            preemptions: self.preemptions,
        }
    }

    /// The pool, for the simulation's audit.
    #[doc(hidden)]
    pub fn pool(&self) -> &PagePool {
        &self.pool
    }

    /// Every sequence's page tables, for the simulation's audit.
    #[doc(hidden)]
    pub fn page_tables(&self) -> impl Iterator<Item = (SequenceId, &[Vec<u32>])> {
        self.sequences
            .iter()
            .map(|(&id, s)| (id, s.tables.tables()))
    }

    /// Makes every n-th taking of a page fail, for tests of what happens then.
    #[doc(hidden)]
    pub fn fail_every(&mut self, n: Option<u64>) {
        self.pool.fail_every(n);
    }
}

#[cfg(test)]
mod tests;
