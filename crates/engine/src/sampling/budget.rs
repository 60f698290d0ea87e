//! The thinking budget of one sequence: counts the thought's tokens, closes it when the budget is used up, and keeps it
//! closed. Called by `Generation` before and after each token. The rules are numbers 4 to 10 of the Seed-OSS notes on
//! the budget; vLLM and llama.cpp each miss some of them (forced into tool calls, thinking again, broken characters).

use crate::text::{Utf8Tail, Vocabulary};

/// Tokens a used-up thought may still take to finish a character.
pub const UTF8_WAIT: u32 = 3;

/// Tokens a used-up thought may still take to finish a tool call it has begun to write down.
pub const CALL_WAIT: u32 = 512;

/// How a model marks its thought, and how much of it the request allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThoughtSpec {
    /// Any of these tokens opens a thought; usually one.
    pub start: Vec<u32>,
    /// Closes it.
    pub end: u32,
    /// Opens a reflection inside the thought.
    pub reflect_start: Option<u32>,
    /// Closes a reflection.
    pub reflect_end: Option<u32>,
    /// Opens a tool call, in the thought a mention of one.
    pub call_start: Option<u32>,
    /// Closes a tool call.
    pub call_end: Option<u32>,
    /// The prompt ends inside a thought.
    pub open_in_prompt: bool,
    /// Tokens the thought may have; `None` = unlimited, 0 = no thought at all.
    pub budget: Option<u32>,
    /// Forced when the budget is used up. `end` is added if it does not end with it.
    pub closing: Vec<u32>,
    /// Forced instead while a reflection is open; empty = the same as `closing`.
    pub closing_in_reflection: Vec<u32>,
    /// Under a budget, a closed thought is not opened again.
    pub forbid_second: bool,
}

impl ThoughtSpec {
    /// Every token id it names.
    pub(super) fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        let single = [
            self.reflect_start,
            self.reflect_end,
            self.call_start,
            self.call_end,
        ];
        self.start
            .iter()
            .chain(&self.closing)
            .chain(&self.closing_in_reflection)
            .copied()
            .chain([self.end])
            .chain(single.into_iter().flatten())
    }
}

/// What the budget wants of the next token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// This token and no other.
    pub(super) force: Option<u32>,
    /// No token that opens a thought.
    pub(super) ban_start: bool,
    /// No token that ends generation: an answer has to follow.
    pub(super) ban_ends: bool,
}

/// Where the sequence stands.
#[derive(Clone, Debug)]
pub(super) struct Thought {
    spec: ThoughtSpec,
    open: bool,
    ended: bool,
    count: u32,
    in_reflection: bool,
    in_call: bool,
    character: Utf8Tail,
    waited_for_call: u32,
    waited_for_character: u32,
    /// Tokens of the closing still to come, last first.
    closing: Vec<u32>,
    forced: bool,
    just_forced: bool,
}

impl Thought {
    pub(super) fn new(mut spec: ThoughtSpec, prompt: &[u32]) -> Self {
        if spec.closing_in_reflection.is_empty() {
            spec.closing_in_reflection = spec.closing.clone();
        }
        for closing in [&mut spec.closing, &mut spec.closing_in_reflection] {
            if closing.last() != Some(&spec.end) {
                closing.push(spec.end);
            }
        }
        let mut thought = Self {
            open: spec.open_in_prompt,
            spec,
            ended: false,
            count: 0,
            in_reflection: false,
            in_call: false,
            character: Utf8Tail::default(),
            waited_for_call: 0,
            waited_for_character: 0,
            closing: Vec::new(),
            forced: false,
            just_forced: false,
        };
        if thought.open {
            // The prompt's own part of the thought does not count, but it may have left a block open.
            let start = prompt
                .iter()
                .rposition(|id| thought.spec.start.contains(id));
            for &id in start.map_or(&[][..], |at| &prompt[at + 1..]) {
                thought.follow_blocks(id);
            }
        }
        thought
    }

    /// Whether the next token belongs to the thought.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Tokens strictly between start and end, of all thoughts.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Whether this token would open a thought now.
    pub(super) fn opens(&self, id: u32) -> bool {
        !self.open && self.spec.start.contains(&id)
    }

    /// Tokens that open a thought.
    pub(super) fn starts(&self) -> &[u32] {
        &self.spec.start
    }

    /// What must hold for the next token. Call it once a token: waiting is counted here.
    pub(super) fn wish(&mut self) -> Wish {
        let Some(budget) = self.spec.budget else {
            return Wish::default();
        };
        if !self.open {
            return Wish {
                force: None,
                ban_start: budget == 0 || (self.ended && self.spec.forbid_second),
                ban_ends: self.just_forced,
            };
        }
        if self.closing.is_empty() && self.count >= budget && !self.waits() {
            self.closing = if self.in_reflection {
                self.spec.closing_in_reflection.clone()
            } else {
                self.spec.closing.clone()
            };
            self.closing.reverse();
            self.forced = true;
        }
        Wish {
            force: self.closing.pop(),
            ..Wish::default()
        }
    }

    /// The grammar refuses the closing: the bare end of the thought remains, which also drops the closing's rest.
    pub(super) fn skip_closing(&mut self) -> Option<u32> {
        self.closing.clear();
        self.open.then_some(self.spec.end)
    }

    /// The grammar does not let the thought end here: the budget cannot be kept.
    pub(super) fn give_up(&mut self) {
        self.spec.budget = None;
        self.forced = false;
    }

    /// Whether a used-up thought must go on for one more token.
    fn waits(&mut self) -> bool {
        if self.in_call && self.waited_for_call < CALL_WAIT {
            self.waited_for_call += 1;
            return true;
        }
        if self.character.is_open() && self.waited_for_character < UTF8_WAIT {
            self.waited_for_character += 1;
            return true;
        }
        false
    }

    /// Takes the token that was chosen, unless it ended generation.
    pub(super) fn observe(&mut self, id: u32, vocabulary: &Vocabulary) {
        self.just_forced = false;
        if !self.open {
            if self.opens(id) {
                self.open = true;
                self.in_reflection = false;
                self.in_call = false;
                self.character = Utf8Tail::default();
            }
            return;
        }
        if id == self.spec.end {
            self.open = false;
            self.ended = true;
            self.just_forced = std::mem::take(&mut self.forced);
            self.closing.clear();
            return;
        }
        self.count += 1;
        self.follow_blocks(id);
        self.character.feed(vocabulary.bytes(id));
    }

    fn follow_blocks(&mut self, id: u32) {
        let id = Some(id);
        if id == self.spec.reflect_start {
            self.in_reflection = true;
        } else if id == self.spec.reflect_end {
            self.in_reflection = false;
        } else if id == self.spec.call_start {
            self.in_call = true;
        } else if id == self.spec.call_end {
            self.in_call = false;
        }
    }
}

#[cfg(test)]
mod tests;
