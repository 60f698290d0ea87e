//! One row of logits with the work it is for: choosing a sequence's next token, or scoring a token of a prompt.

use super::live::Live;
use crate::sampling::{Next, TokenLogprob, prompt_logprobs};

/// Why a sequence fails whose logits are no numbers.
pub(super) const NON_FINITE: &str = "the model produced non-finite logits for this request";

/// Whose logits a row of the step's output holds.
pub(super) enum Want {
    /// So many rows in a row: the last known token's, and one for each guessed token.
    Sample {
        entry: usize,
        rows: usize,
    },
    Score {
        id: u64,
        position: usize,
    },
}

impl Want {
    /// Rows of logits it takes.
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Sample { rows, .. } => *rows,
            Self::Score { .. } => 1,
        }
    }
}

/// Rows being worked on, in order, for one sequence.
pub(super) struct Row<'a> {
    /// One or more rows of `width` logits.
    pub(super) logits: &'a mut [f32],
    pub(super) width: usize,
    /// Logits with a token behind them; the rest of a row is padding.
    pub(super) real: usize,
    pub(super) work: Work,
}

pub(super) enum Work {
    Sample {
        entry: usize,
        live: Box<Live>,
        /// What was guessed; row n + 1 counts only if row n says guess n.
        guesses: Vec<u32>,
        next: Result<Vec<Next>, String>,
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
            Work::Sample {
                live,
                guesses,
                next,
                ..
            } => {
                let mut said = Vec::with_capacity(1 + guesses.len());
                for (n, row) in self.logits.chunks_exact_mut(self.width).enumerate() {
                    match live.generation.next(&mut row[..self.real]) {
                        Ok(one) => said.push(one),
                        Err(error) => {
                            *next = Err(error.to_string());
                            return;
                        }
                    }
                    let last = &said[n];
                    if last.finish.is_some() || guesses.get(n) != Some(&last.token) {
                        break;
                    }
                }
                *next = Ok(said);
            }
            Work::Score {
                token, top, score, ..
            } => {
                *score = Some(prompt_logprobs(&self.logits[..self.real], *token, *top));
            }
        }
    }
}
