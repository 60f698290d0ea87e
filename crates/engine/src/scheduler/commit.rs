//! Takes a step's outcomes in: what is computed now, which pages are full, who has ended.

use std::collections::HashMap;

use super::sequence::Stage;
use super::{Outcome, Scheduler, SequenceId, Step};

impl Scheduler {
    /// Ends a step begun by `plan`.
    ///
    /// An entry without an outcome counts as not computed and is planned again; so is the last row of a sampling entry
    /// whose outcome has no token and no end. Tokens count only where the entry sampled. Outcomes of sequences that
    /// were cancelled or failed since the plan are ignored, and their pages become available now.
    pub fn commit(&mut self, step: Step, outcomes: &[Outcome]) {
        let outcomes: HashMap<_, _> = outcomes.iter().map(|o| (o.id, o)).collect();
        for entry in &step.entries {
            let Some(sequence) = self.sequences.get_mut(&entry.id) else {
                continue;
            };
            let Some(end) = sequence.flight.take() else {
                continue;
            };
            if sequence.stage == Stage::Leaving {
                self.forget(entry.id);
            } else if let Some(outcome) = outcomes.get(&entry.id) {
                self.advance(entry.id, end, outcome);
            }
        }
    }

    /// The rows up to `end` are computed.
    fn advance(&mut self, id: SequenceId, end: usize, outcome: &Outcome) {
        let page_size = self.config.page_size;
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return;
        };
        let known = sequence.known();
        let sampled = end >= known;
        let again = sampled && outcome.tokens.is_empty() && !outcome.ended;
        // Rows of guesses count as far as the guesses came true; the row of the last token is always still to come.
        let guesses = std::mem::take(&mut sequence.draft);
        let right = guesses.iter().zip(&outcome.tokens);
        let right = right.take_while(|(guess, token)| guess == token).count();
        let right = right.min(outcome.tokens.len().saturating_sub(1));
        sequence.computed = end.min(known + right) - usize::from(again);
        sequence.scored = sequence.scored.max(sequence.computed.min(sequence.prompt));
        sequence.started = true;
        if sampled {
            sequence.tokens.extend_from_slice(&outcome.tokens);
            sequence.fresh = outcome.tokens.len();
            sequence.tokens.truncate(sequence.limit);
        }
        let computed = sequence.computed;
        if self.config.prefix_cache {
            sequence.chain.extend(&sequence.tokens, page_size);
            sequence
                .tables
                .label(&mut self.pool, &sequence.chain, computed, page_size);
        }
        if outcome.ended || sequence.known() == sequence.limit {
            self.forget(id);
        } else {
            let groups = &self.config.groups;
            sequence
                .tables
                .release_behind(&mut self.pool, groups, computed, page_size);
        }
    }
}
