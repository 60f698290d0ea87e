//! From hidden rows to tokens and scores: logits in blocks, each sequence's rows worked on in parallel. Part of a turn.

use std::collections::HashMap;

use candle_core::Tensor;
use rayon::prelude::*;

use super::row::{NON_FINITE, Row, Want, Work};
use super::turn::Turn;
use crate::request::Output;
use crate::sampling::Next;
use crate::scheduler::{Outcome, Step};

/// Rows whose logits are held at once: bounds memory at large vocabularies.
pub(crate) const LOGIT_ROWS: usize = 64;

impl Turn {
    /// Turns wanted rows into tokens and scores, then reports every entry of the step.
    pub(super) fn sample(
        &mut self,
        step: &Step,
        hidden: &Tensor,
        wants: Vec<Want>,
        out: &mut Vec<Output>,
    ) -> Vec<Outcome> {
        let mut sampled: HashMap<usize, Result<Vec<Next>, String>> = HashMap::new();
        let mut failed: Vec<(u64, String)> = Vec::new();
        let mut wants = self.ready(step, wants).into_iter().peekable();
        let mut row = 0;
        while wants.peek().is_some() {
            let mut count = 0;
            let mut block = Vec::new();
            while let Some(want) = wants.next_if(|w| count == 0 || count + w.rows() <= LOGIT_ROWS) {
                count += want.rows();
                block.push(want);
            }
            let mut logits = match self.logits(hidden, row, count) {
                Ok(logits) => logits,
                Err(error) => {
                    failed.extend(
                        step.entries
                            .iter()
                            .map(|e| (e.id.0, format!("computing logits failed: {error}"))),
                    );
                    break;
                }
            };
            row += count;
            let mut rows = self.rows(step, block, &mut logits);
            self.pool
                .install(|| rows.par_iter_mut().for_each(Row::work));
            // Backwards: a sequence that samples is taken out of the table, and its own scores come before that row.
            for done in rows.into_iter().rev() {
                match done.work {
                    Work::Sample {
                        entry, live, next, ..
                    } => {
                        self.live.insert(live.id, *live);
                        sampled.insert(entry, next);
                    }
                    Work::Score {
                        id,
                        position,
                        score,
                        ..
                    } => match (score, self.live.get_mut(&id)) {
                        (Some(score), Some(live)) if score.chosen.is_finite() => {
                            live.keep_score(position, score);
                        }
                        (_, Some(_)) => failed.push((id, NON_FINITE.into())),
                        (_, None) => {}
                    },
                }
            }
        }
        for (id, reason) in failed {
            self.fail(id, reason, out);
        }
        self.extend(step, &mut sampled);
        self.report(step, sampled, out)
    }

    fn logits(&self, hidden: &Tensor, row: usize, count: usize) -> candle_core::Result<Vec<f32>> {
        let parts = &self.parts;
        self.pool.install(|| {
            let block = hidden.narrow(0, row, count)?.contiguous()?;
            parts.model.logits(&block)?.flatten_all()?.to_vec1::<f32>()
        })
    }

    /// Pairs each row of logits with its sequence's state, taken out of the table while the row is worked on.
    fn rows<'a>(&mut self, step: &Step, block: Vec<Want>, logits: &'a mut [f32]) -> Vec<Row<'a>> {
        let width = self.parts.vocabulary;
        let real = self.parts.tokenizer.vocabulary().len().min(width);
        let mut rows = Vec::with_capacity(block.len());
        let mut rest = logits;
        for want in block {
            let (logits, after) = rest.split_at_mut(want.rows() * width);
            rest = after;
            let work = match want {
                Want::Late { .. } => continue,
                Want::Sample { entry, .. } => match self.live.remove(&step.entries[entry].id.0) {
                    Some(live) => Work::Sample {
                        entry,
                        live: Box::new(live),
                        guesses: step.entries[entry].guesses().to_vec(),
                        next: Ok(Vec::new()),
                    },
                    None => continue,
                },
                Want::Score { id, position } => {
                    match self.live.get(&id).and_then(|l| l.scored(position)) {
                        Some((token, top)) => Work::Score {
                            id,
                            position,
                            token,
                            top,
                            score: None,
                        },
                        None => continue,
                    }
                }
            };
            rows.push(Row {
                logits,
                width,
                real,
                work,
            });
        }
        rows
    }
}
