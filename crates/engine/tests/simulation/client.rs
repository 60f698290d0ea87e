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
        };
        // The salt stands before the first token.
        client.prints.push(mix(submission.salt.len() as u64 + 1));
        submission.prompt.iter().for_each(|&t| client.push(t));
        client.prints.remove(0);
        client
    }

    pub fn push(&mut self, token: u32) {
        let print = mix(self
            .prints
            .last()
            .map_or(1, |p| p ^ (u64::from(token) << 7)));
        self.prints.push(print);
        self.tokens.push(token);
    }

    pub fn is_decoding(&self) -> bool {
        self.next_row
            .is_some_and(|row| row + 1 == self.tokens.len())
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
        assert_eq!(entry.tokens, self.tokens[entry.start..entry.context]);
        assert_eq!(entry.samples, entry.context == self.tokens.len());
        assert_eq!(
            entry.cached_tokens,
            if self.started { 0 } else { entry.start }
        );
        let wanted = self.scored.max(entry.start)..self.prompt.min(entry.context);
        let from = (self.prompt_logits && !wanted.is_empty()).then(|| wanted.start - entry.start);
        assert_eq!(entry.logits_from, from);
    }
}
