//! Plans one step: a row for each decoding sequence, then forced tokens, then chunks of prompts, under one token budget.

use super::sequence::{Stage, Work};
use super::{Scheduler, SequenceId};

/// What to forward in one pass. It must be given to `commit`, whatever became of it.
#[derive(Debug)]
#[must_use = "sequences in a planned step wait until it is committed"]
pub struct Step {
    /// Sequences with their rows, decoding ones first; each sequence at most once.
    pub entries: Vec<StepEntry>,
    /// Sequences that gave their pages back and wait again.
    pub preempted: Vec<SequenceId>,
}

/// One sequence's consecutive rows in the flat batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepEntry {
    /// Whose.
    pub id: SequenceId,
    /// Tokens to forward, at least one.
    pub tokens: Vec<u32>,
    /// Position of `tokens[0]`.
    pub start: usize,
    /// Positions known after the step, `start + tokens.len()`.
    pub context: usize,
    /// A page table per layer group, indexed by `position / page_size`; `u32::MAX` behind a window.
    pub page_tables: Vec<Vec<u32>>,
    /// Rows of the prompt among them, computed for the first time or again.
    pub prompt_rows: usize,
    /// The rows from the last known token on decide what comes next: one, and one more for each drafted token.
    pub samples: bool,
    /// Guessed tokens at the end of `tokens`.
    pub drafted: usize,
    /// First row of this entry whose logits are wanted as prompt logits; so are all after it, to the prompt's end.
    pub logits_from: Option<usize>,
    /// Prompt tokens found in the prefix cache; only on a sequence's first entry.
    pub cached_tokens: usize,
}

impl StepEntry {
    /// The guessed tokens.
    pub fn guesses(&self) -> &[u32] {
        &self.tokens[self.tokens.len() - self.drafted..]
    }
}

/// Rows of one sequence in a step being planned.
#[derive(Clone, Copy, Debug)]
struct Rows {
    id: SequenceId,
    start: usize,
    end: usize,
}

/// A step being planned.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) rows_left: usize,
    rows: Vec<Rows>,
    preempted: Vec<SequenceId>,
    /// Someone found no page.
    pub(super) stalled: bool,
}

impl Draft {
    /// Drops what was planned for a sequence.
    pub(super) fn take_back(&mut self, id: SequenceId) {
        if let Some(index) = self.rows.iter().position(|r| r.id == id) {
            let rows = self.rows.remove(index);
            self.rows_left += rows.end - rows.start;
        }
        self.preempted.push(id);
    }
}

impl Scheduler {
    /// The next step; empty when nobody can run, which without a step still out means nobody is there.
    pub fn plan(&mut self) -> Step {
        let mut draft = Draft {
            rows_left: self.config.max_batched_tokens,
            rows: Vec::new(),
            preempted: Vec::new(),
            stalled: false,
        };
        for id in self.plannable(Work::Token) {
            self.find_rows(id, &mut draft);
        }
        // Forced tokens leave a row to prompts, which might wait for ever behind them.
        let left = usize::from(!self.plannable(Work::Prompt).is_empty()).min(draft.rows_left);
        draft.rows_left -= left;
        for id in self.plannable(Work::Forced) {
            self.find_rows(id, &mut draft);
        }
        draft.rows_left += left;
        let mut spare = 0;
        if !draft.rows.is_empty() {
            spare = draft.rows_left.saturating_sub(self.prompt_rows);
            draft.rows_left -= spare;
        }
        for id in self.plannable(Work::Prompt) {
            self.find_rows(id, &mut draft);
        }
        if draft.preempted.is_empty() && !draft.stalled {
            self.admit(&mut draft);
        }
        // Last, so that a guess never costs anybody a row.
        draft.rows_left += spare;
        self.add_guesses(&mut draft);
        Step {
            entries: draft.rows.iter().filter_map(|r| self.send(r)).collect(),
            preempted: draft.preempted,
        }
    }

    /// The entry for rows that are decided; from here to `commit` the sequence is in flight.
    fn send(&mut self, rows: &Rows) -> Option<StepEntry> {
        let sequence = self.sequences.get_mut(&rows.id)?;
        sequence.flight = Some(rows.end);
        let known = sequence.known();
        let drafted = rows.end.saturating_sub(known);
        sequence.draft.truncate(drafted);
        let mut tokens = sequence.tokens[rows.start..rows.end - drafted].to_vec();
        tokens.extend_from_slice(&sequence.draft);
        Some(StepEntry {
            id: rows.id,
            tokens,
            start: rows.start,
            context: rows.end,
            page_tables: sequence.tables.tables().to_vec(),
            prompt_rows: rows.end.min(sequence.prompt).saturating_sub(rows.start),
            samples: rows.end >= known,
            drafted,
            logits_from: sequence.logits_from(rows.start, rows.end),
            cached_tokens: if sequence.started { 0 } else { sequence.cached },
        })
    }

    /// Lengthens decoding rows by their drafts, as far as budget and free pages go: nobody is preempted for a guess.
    fn add_guesses(&mut self, draft: &mut Draft) {
        for rows in &mut draft.rows {
            let Some(sequence) = self.sequences.get_mut(&rows.id) else {
                continue;
            };
            let wanted = sequence.draft.len().min(draft.rows_left);
            if wanted == 0 || rows.end != sequence.known() {
                continue;
            }
            let page_size = self.config.page_size;
            let end = sequence
                .tables
                .grow(&mut self.pool, rows.end + wanted, page_size);
            draft.rows_left -= end - rows.end;
            rows.end = end;
        }
    }

    /// Sequences whose next token the next step will make.
    pub fn decoding(&self) -> usize {
        self.plannable(Work::Token).len()
    }

    /// Running sequences that want rows of this kind, best rank first.
    fn plannable(&self, work: Work) -> Vec<SequenceId> {
        let running = self.running.iter().map(|&(_, id)| id);
        running
            .filter(|id| {
                let sequence = self.sequences.get(id);
                sequence.is_some_and(|s| s.flight.is_none() && s.work() == work)
            })
            .collect()
    }

    /// Gives a running sequence rows, at the expense of lower-ranked ones where pages are short.
    fn find_rows(&mut self, id: SequenceId, draft: &mut Draft) {
        while !self.give_rows(id, draft) {
            match self.lowest_below(id) {
                Some(victim) => self.preempt(victim, draft),
                None => {
                    draft.stalled = true;
                    return;
                }
            }
        }
    }

    /// Gives a running sequence as many rows as budget and pages allow; false if a page was missing for the first.
    pub(super) fn give_rows(&mut self, id: SequenceId, draft: &mut Draft) -> bool {
        // It may have been preempted since the plan began.
        let Some(sequence) = self
            .sequences
            .get_mut(&id)
            .filter(|s| s.stage == Stage::Running)
        else {
            return true;
        };
        let start = sequence.computed;
        let wanted = (sequence.known() - start).min(draft.rows_left);
        if wanted == 0 {
            return true;
        }
        let page_size = self.config.page_size;
        let end = sequence
            .tables
            .grow(&mut self.pool, start + wanted, page_size);
        if end <= start {
            return false;
        }
        draft.rows_left -= end - start;
        draft.rows.push(Rows { id, start, end });
        true
    }

    /// The lowest-ranked sequence below this one that holds pages and is not in a step that is out.
    fn lowest_below(&self, id: SequenceId) -> Option<SequenceId> {
        let rank = self.sequences.get(&id)?.rank;
        let below = self.running.iter().rev().take_while(|(r, _)| *r > rank);
        below.map(|&(_, id)| id).find(|id| {
            let sequence = self.sequences.get(id);
            sequence.is_some_and(|s| s.flight.is_none() && s.tables.held() > 0)
        })
    }
}
