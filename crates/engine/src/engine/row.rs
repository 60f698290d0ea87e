//! One row of logits with the work it is for: choosing a sequence's next token, or scoring a token of a prompt.

use super::live::Live;
use crate::sampling::{Next, TokenLogprob, prompt_logprobs};

/// Why a sequence fails whose logits are no numbers.
pub(super) const NON_FINITE: &str = "the model produced non-finite logits for this request";

/// Whose logits a row of the step's output holds.
pub(super) enum Want {
    Sample { entry: usize },
    Score { id: u64, position: usize },
}

/// A row being worked on.
pub(super) struct Row<'a> {
    pub(super) logits: &'a mut [f32],
    pub(super) work: Work,
}

pub(super) enum Work {
    Sample {
        entry: usize,
        live: Box<Live>,
        next: Option<Result<Next, String>>,
    },
    Score {
        id: u64,
        position: usize,
        token: u32,
        top: u32,
        score: Option<TokenLogprob>,
    },
}

impl Row<'_> {
    /// Samples or scores; called for many rows at once.
    pub(super) fn work(&mut self) {
        match &mut self.work {
            Work::Sample { live, next, .. } => {
                *next = Some(live.generation.next(self.logits).map_err(|e| e.to_string()));
            }
            Work::Score {
                token, top, score, ..
            } => {
                *score = Some(prompt_logprobs(self.logits, *token, *top));
            }
        }
    }
}
