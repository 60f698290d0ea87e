//! A request as its client sees it: what it must get, and where its next row must be.

use seed_engine::scheduler::{StepEntry, Submission};

use crate::mix;

/// A request as its client sees it.
#[derive(Debug)]
pub struct Client {
    pub tokens: Vec<u32>,
    /// Fingerprint of salt and tokens up to each position.
    pub prints: Vec<u64>,
    pub prompt: usize,
    pub limit: usize,
    /// Ends itself after that many tokens.
    pub wanted: usize,
    pub rank: (i32, u64),
    pub tenant: u64,
    pub reuse_prefix: bool,
    pub prompt_logits: bool,
    /// Prompt rows whose logits arrived.
    pub scored: usize,
    /// Where its next row must be; unknown while waiting.
    pub next_row: Option<usize>,
    pub started: bool,
    pub in_flight: bool,
    /// What was guessed of it before the last plan.
    pub guess: Vec<u32>,
    /// Tokens that the last step brought.
    pub fresh: usize,
}

impl Client {
    pub fn new(submission: &Submission, arrival: u64, wanted: usize) -> Self {
        let mut client = Self {
            tokens: Vec::new(),
            prints: Vec::new(),
            prompt: submission.prompt.len(),
            limit: submission.prompt.len() + submission.max_tokens.max(1),
            wanted,
            rank: (submission.priority, arrival),
            tenant: submission.tenant,
            reuse_prefix: submission.reuse_prefix,
            prompt_logits: submission.prompt_logits,
            scored: 0,
            next_row: None,
            started: false,
            in_flight: false,
            guess: Vec::new(),
            fresh: 0,
        };
        // The salt stands before the first token.
        client.prints.push(mix(submission.salt.len() as u64 + 1));
        submission.prompt.iter().for_each(|&t| client.push(t));
        client.prints.remove(0);
        client
    }

    /// Fingerprint after one more token.
    pub fn print_after(before: u64, token: u32) -> u64 {
        mix(before ^ (u64::from(token) << 7))
    }

    /// Fingerprints of an entry's rows, guesses included.
    pub fn prints_of(&self, entry: &StepEntry) -> Vec<u64> {
        let known = entry.context - entry.drafted;
        let mut prints = self.prints[..known].to_vec();
        for &token in &entry.tokens[entry.tokens.len() - entry.drafted..] {
            prints.push(Self::print_after(prints[prints.len() - 1], token));
        }
        prints
    }

    pub fn push(&mut self, token: u32) {
        let before = self.prints.last();
        let print = before.map_or(mix(1), |&before| Self::print_after(before, token));
        self.prints.push(print);
        self.tokens.push(token);
    }

    pub fn is_decoding(&self) -> bool {
        self.next_row
            .is_some_and(|row| row + 1 == self.tokens.len())
    }

    /// What goes first in a step: 0 for one row, 1 for a few forced tokens, 2 for the rest.
    pub fn turn(&self) -> usize {
        match self.next_row.map(|row| self.tokens.len() - row) {
            Some(1) => 0,
            Some(rows) if rows <= self.fresh.min(32) => 1,
            _ => 2,
        }
    }

    /// Tokens a prefix hit may skip.
    pub fn skippable(&self) -> usize {
        match (self.prompt_logits, self.reuse_prefix) {
            (true, _) if self.scored < self.prompt => self.scored,
            (false, false) => 0,
            _ => self.tokens.len() - 1,
        }
    }

    /// Goes into a step; the entry must say what is true of this request.
    pub fn enter(&mut self, entry: &StepEntry) {
        self.next_row = Some(entry.start);
        self.in_flight = true;
        let known = entry.context - entry.drafted;
        let (own, guesses) = entry.tokens.split_at(known - entry.start);
        assert_eq!(own, &self.tokens[entry.start..known]);
        assert_eq!(guesses, &self.guess[..entry.drafted]);
        assert!(entry.drafted == 0 || known == self.tokens.len());
        assert!(entry.context < self.limit || entry.drafted == 0);
        assert_eq!(entry.samples, known == self.tokens.len());
        assert_eq!(
            entry.cached_tokens,
            if self.started { 0 } else { entry.start }
        );
        let wanted = self.scored.max(entry.start)..self.prompt.min(known);
        let from = (self.prompt_logits && !wanted.is_empty()).then(|| wanted.start - entry.start);
        assert_eq!(entry.logits_from, from);
    }
}
