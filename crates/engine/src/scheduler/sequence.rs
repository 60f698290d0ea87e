//! What the scheduler keeps of one sequence, from submission until it is gone.

use super::{Place, SchedulerConfig, SequenceId, Submission};
use crate::cache::prefix::PrefixChain;
use crate::cache::tables::PageTables;

/// Who goes before whom among the running: lower is better. Priority, then arrival.
pub(super) type Rank = (i32, u64);

/// Forced tokens that go before prompts: so few rows cost hardly more than one.
const FORCED_ROWS: usize = 32;

/// Where a sequence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// In the queue, without pages.
    Waiting,
    /// May be planned.
    Running,
    /// Ended while a step with it is out; its pages stay until that step is committed.
    Leaving,
}

/// What the rows are that a running sequence wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// All but the last token is computed: one row in every step.
    Token,
    /// Some tokens came at once, and their rows belong into one step as if it were one token.
    Forced,
    /// A prompt, a recompute, or forced tokens so many that they are paced like a prompt.
    Prompt,
}

/// One sequence.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) id: SequenceId,
    pub(super) stage: Stage,
    pub(super) rank: Rank,
    tenant: u64,
    /// Prompt and generated tokens.
    pub(super) tokens: Vec<u32>,
    pub(super) prompt: usize,
    /// Most tokens it may ever have.
    pub(super) limit: usize,
    /// Tokens whose keys and values are in its pages.
    pub(super) computed: usize,
    /// `computed` after the step that is out with it.
    pub(super) flight: Option<usize>,
    /// Tokens that the last step brought: several where some were forced.
    pub(super) fresh: usize,
    /// Guesses of what comes after the known tokens; forwarded with them where there is room.
    pub(super) draft: Vec<u32>,
    /// Was preempted, so it waits in front.
    pub(super) returned: bool,
    pub(super) tables: PageTables,
    pub(super) chain: PrefixChain,
    reuse_prefix: bool,
    prompt_logits: bool,
    /// Prompt rows whose logits were delivered.
    pub(super) scored: usize,
    /// Tokens found in the prefix cache at the first admission.
    pub(super) cached: usize,
    /// The first step with it is committed.
    pub(super) started: bool,
}

impl Sequence {
    pub(super) fn new(submission: Submission, arrival: u64, config: &SchedulerConfig) -> Self {
        let prompt = submission.prompt.len();
        Self {
            id: submission.id,
            stage: Stage::Waiting,
            rank: (submission.priority, arrival),
            tenant: submission.tenant,
            prompt,
            limit: prompt.saturating_add(submission.max_tokens.max(1)),
            tokens: submission.prompt,
            computed: 0,
            flight: None,
            fresh: 0,
            draft: Vec::new(),
            returned: false,
            tables: PageTables::new(config.groups.len()),
            chain: PrefixChain::new(&config.seed, &submission.salt),
            reuse_prefix: submission.reuse_prefix,
            prompt_logits: submission.prompt_logits,
            scored: 0,
            cached: 0,
            started: false,
        }
    }

    /// Tokens known so far.
    pub(super) fn known(&self) -> usize {
        self.tokens.len()
    }

    /// What its next rows are.
    pub(super) fn work(&self) -> Work {
        match self.known() - self.computed {
            1 => Work::Token,
            rows if rows <= self.fresh.min(FORCED_ROWS) => Work::Forced,
            _ => Work::Prompt,
        }
    }

    /// Where it waits.
    pub(super) fn place(&self) -> Place {
        Place {
            id: self.id,
            priority: self.rank.0,
            arrival: self.rank.1,
            tenant: self.tenant,
            returned: self.returned,
        }
    }

    /// Tokens that may be skipped by a prefix hit: never the last one, nor rows whose logits are still wanted.
    pub(super) fn skippable(&self) -> usize {
        match (self.prompt_logits, self.reuse_prefix) {
            (true, _) if self.scored < self.prompt => self.scored,
            (true, _) | (_, true) => self.known() - 1,
            (false, false) => 0,
        }
    }

    /// The first of the rows `start .. end` whose logits are wanted beside the sampled one, relative to `start`.
    pub(super) fn logits_from(&self, start: usize, end: usize) -> Option<usize> {
        let from = start.max(self.scored);
        (self.prompt_logits && from < end.min(self.prompt)).then(|| from - start)
    }
}
