//! Guesses what a sequence says next from what it has said or read before: prompt lookup. The engine's loop asks before
//! each step and tells how much of the guess came true.
//!
//! A guess costs rows in a step that reads all weights anyway, and changes nothing in the answer: each row is sampled as
//! if it were alone, and the first token that differs ends the run (Leviathan et al. 2023, with a point-mass draft).
//! Source of the idea: apoorvumang/prompt-lookup-decoding; vLLM's `ngram` speculator.

use std::collections::HashMap;

/// Tokens that must agree for what followed them to be a guess.
const NGRAM: usize = 3;
/// Longest guess.
pub(super) const LONGEST: usize = 12;
const FIRST: usize = 4;
/// Steps without a guess after one that was wrong from its first token, doubled each time up to the second bound.
const REST: u32 = 2;
const LONGEST_REST: u32 = 64;

/// One sequence's tokens with where each n-gram was last seen.
#[derive(Debug)]
pub(super) struct Lookup {
    tokens: Vec<u32>,
    /// Position after the last occurrence of an n-gram, but never of the one that ends the sequence.
    after: HashMap<[u32; NGRAM], u32>,
    length: usize,
    rest: u32,
    resting: u32,
}

impl Lookup {
    /// Starts with the prompt.
    pub(super) fn new(prompt: &[u32]) -> Self {
        let mut lookup = Self {
            tokens: Vec::with_capacity(prompt.len()),
            after: HashMap::new(),
            length: FIRST,
            rest: REST,
            resting: 0,
        };
        lookup.extend(prompt);
        lookup
    }

    /// Takes in what was read or said.
    pub(super) fn extend(&mut self, tokens: &[u32]) {
        for &token in tokens {
            // The n-gram before this token has a successor now.
            if let Some(last) = self.tokens.last_chunk::<NGRAM>() {
                self.after.insert(*last, self.tokens.len() as u32);
            }
            self.tokens.push(token);
        }
    }

    /// Up to `most` tokens that followed the last n-gram before; nothing where it is new or guesses went wrong lately.
    pub(super) fn guess(&mut self, most: usize) -> &[u32] {
        if self.resting > 0 {
            self.resting -= 1;
            return &[];
        }
        let last = self.tokens.last_chunk::<NGRAM>();
        let Some(&start) = last.and_then(|ngram| self.after.get(ngram)) else {
            return &[];
        };
        let start = start as usize;
        let length = self.length.min(most).min(self.tokens.len() - start);
        &self.tokens[start..start + length]
    }

    /// Learns from a guess of so many tokens of which the first `right` came true.
    pub(super) fn learn(&mut self, guessed: usize, right: usize) {
        if guessed == 0 {
            return;
        }
        if right == 0 {
            self.length = FIRST;
            self.resting = self.rest;
            self.rest = (self.rest * 2).min(LONGEST_REST);
            return;
        }
        self.rest = REST;
        self.length = if right == guessed {
            (self.length + FIRST).min(LONGEST)
        } else {
            right + 1
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_before_is_the_guess() {
        let mut lookup = Lookup::new(&[1, 2, 3, 4, 5, 6, 7, 9, 1, 2, 3]);
        assert_eq!(lookup.guess(9), [4, 5, 6, 7]);
        assert_eq!(lookup.guess(2), [4, 5]);
        lookup.extend(&[8]);
        assert_eq!(lookup.guess(9), [0; 0], "2 3 8 is new");
        lookup.extend(&[1, 2, 3]);
        assert_eq!(lookup.guess(9), [8, 1, 2, 3], "the last occurrence counts");
    }

    #[test]
    fn a_repeated_token_is_guessed_to_go_on() {
        let mut lookup = Lookup::new(&[5, 5, 5, 5]);
        assert_eq!(lookup.guess(9), [5]);
        assert_eq!(Lookup::new(&[5, 5, 5]).guess(9), [0; 0]);
        assert_eq!(Lookup::new(&[]).guess(9), [0; 0]);
    }

    #[test]
    fn guesses_grow_when_right_and_rest_when_wrong() {
        let mut lookup = Lookup::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 1, 2, 3]);
        assert_eq!(lookup.guess(99).len(), 4);
        lookup.learn(4, 4);
        assert_eq!(lookup.guess(99).len(), 8);
        lookup.learn(8, 2);
        assert_eq!(lookup.guess(99).len(), 3);
        for rest in [2, 4, 8] {
            lookup.learn(3, 0);
            for _ in 0..rest {
                assert_eq!(lookup.guess(99).len(), 0);
            }
            assert_eq!(lookup.guess(99).len(), 4);
        }
        lookup.learn(4, 4);
        lookup.learn(8, 0);
        assert_eq!(lookup.resting, REST, "success forgives");
    }
}
