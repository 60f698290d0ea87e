//! One row of logits with the work it is for: choosing a sequence's next token, or scoring a token of a prompt.

use std::time::{Duration, Instant};

use super::live::Live;
use crate::sampling::{Next, TokenLogprob, prompt_logprobs};

/// Why a sequence fails whose logits are no numbers.
pub(super) const NON_FINITE: &str = "the model produced non-finite logits for this request";

/// How long the row of a right guess waits for the grammar; without it the token is sampled in the next step.
const GUESSED: Duration = Duration::from_millis(2);

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
    /// Rows of a sequence whose grammar is not ready: they are computed again in the next step.
    Late {
        rows: usize,
    },
}

impl Want {
    /// Rows of logits it takes.
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Sample { rows, .. } | Self::Late { rows } => *rows,
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
                let mut said: Vec<Next> = Vec::with_capacity(1 + guesses.len());
                let mut tokens = 0;
                while let Some(row) = self.logits.chunks_exact_mut(self.width).nth(tokens) {
                    let one = match live.generation.next(&mut row[..self.real]) {
                        Ok(one) => one,
                        Err(error) => {
                            *next = Err(error.to_string());
                            return;
                        }
                    };
                    let right = guesses.get(tokens..tokens + one.tokens.len());
                    let goes_on = one.finish.is_none() && right == Some(&one.tokens);
                    tokens += one.tokens.len();
                    said.push(one);
                    if !goes_on || !live.generation.ready(Instant::now() + GUESSED) {
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
