//! The thinking budget of one sequence: counts the thought's tokens, closes it when the budget is used up, and keeps it
//! closed. Called by `Generation` before and after each token. The rules are numbers 4 to 10 of the Seed-OSS notes on
//! the budget; vLLM and llama.cpp each miss some of them (forced into tool calls, thinking again, broken characters).
//!
//! A thought is what stands between two markers (Seed-OSS: one token each), or the content of a message with a certain
//! header (harmony: `<|start|>assistant<|channel|>analysis<|message|>` to `<|end|>`).

use crate::text::{Utf8Tail, Vocabulary};

/// Tokens a used-up thought may still take to finish a character.
pub const UTF8_WAIT: u32 = 3;

/// Tokens a used-up thought may still take to finish a tool call it has begun to write down.
pub const CALL_WAIT: u32 = 512;

/// How a model marks its thought, and how much of it the request allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThoughtSpec {
    /// These tokens in a row open a thought.
    pub start: Vec<u32>,
    /// Where in `start` the model decides to think: this token is banned after those before it when it may not.
    pub choice: usize,
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
    /// Forced after a closing that was forced; with a budget of 0 also where the prompt ends inside it.
    pub after_closing: Vec<u32>,
    /// Under a budget, a closed thought is not opened again.
    pub forbid_second: bool,
    /// Where the answer stands in what is generated; `None` = all but the thought.
    pub messages: Option<Messages>,
}

/// Messages with headers, as harmony has them: only what they hold is answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// Ends a header: what follows is content.
    pub content: u32,
    /// Any of these ends the content, or begins the next header where the model forgot to end it.
    pub ends: Vec<u32>,
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
            .chain(&self.after_closing)
            .chain(self.messages.iter().flat_map(|m| &m.ends))
            .copied()
            .chain([self.end])
            .chain(self.messages.iter().map(|m| m.content))
            .chain(single.into_iter().flatten())
    }
}

/// What the budget wants of the next token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// This token and no other.
    pub(super) force: Option<u32>,
    /// Not this token, which would open a thought.
    pub(super) ban: Option<u32>,
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
    /// The last tokens, as far as they may begin `start`.
    recent: Vec<u32>,
    /// Inside the content of a message.
    in_content: bool,
    /// Tokens still to be forced, last first.
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
            recent: Vec::new(),
            in_content: true,
            closing: Vec::new(),
            forced: false,
            just_forced: false,
        };
        for &id in &prompt[prompt.len().saturating_sub(thought.spec.start.len())..] {
            thought.remember(id);
        }
        if let Some(messages) = &thought.spec.messages {
            let marks = |id: &&u32| **id == messages.content || messages.ends.contains(id);
            thought.in_content = prompt.iter().rev().find(marks) == Some(&messages.content);
        }
        if thought.open {
            // The prompt's own part of the thought does not count, but it may have left a block open.
            let start = &thought.spec.start;
            let mut windows = prompt.windows(start.len().max(1));
            let at = windows.rposition(|window| window == start);
            let own = at.map_or(&[][..], |at| &prompt[at + start.len()..]);
            own.iter().for_each(|&id| thought.follow_blocks(id));
        } else if thought.spec.budget == Some(0) {
            let after = &thought.spec.after_closing;
            let begun = (1..=after.len()).rfind(|&n| prompt.ends_with(&after[..n]));
            thought.closing = begun.map_or_else(Vec::new, |n| after[n..].to_vec());
            thought.closing.reverse();
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

    /// Whether the next token, if it is text, belongs to the answer: neither to a thought nor to a header.
    pub(super) fn is_answer(&self) -> bool {
        !self.open && (self.spec.messages.is_none() || self.in_content)
    }

    /// What must hold for the next token. Call it once a token: waiting is counted here.
    pub(super) fn wish(&mut self) -> Wish {
        let Some(budget) = self.spec.budget else {
            return Wish::default();
        };
        if self.open && self.closing.is_empty() && self.count >= budget && !self.waits() {
            self.closing = if self.in_reflection {
                self.spec.closing_in_reflection.clone()
            } else {
                self.spec.closing.clone()
            };
            self.closing.reverse();
            self.forced = true;
        }
        if let Some(&id) = self.closing.last() {
            return Wish {
                force: Some(id),
                ..Wish::default()
            };
        }
        if self.open {
            return Wish::default();
        }
        let enough = self.count >= budget || (self.ended && self.spec.forbid_second);
        let (before, choice) = self.spec.start.split_at(self.spec.choice);
        Wish {
            force: None,
            ban: (enough && self.recent.ends_with(before))
                .then(|| choice.first().copied())
                .flatten(),
            ban_ends: self.just_forced,
        }
    }

    /// The grammar refuses what would be forced: of a closing the bare end of the thought remains.
    pub(super) fn skip_closing(&mut self) -> Option<u32> {
        self.closing.clear();
        self.open.then_some(self.spec.end)
    }

    /// The grammar does not let the thought end here: the budget cannot be kept.
    pub(super) fn give_up(&mut self) {
        if self.open {
            self.spec.budget = None;
            self.forced = false;
        }
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
        self.remember(id);
        let as_forced = self.closing.last() == Some(&id);
        if as_forced {
            self.closing.pop();
        } else {
            self.closing.clear();
        }
        let breaks = match &self.spec.messages {
            Some(messages) if id == messages.content => {
                self.in_content = true;
                false
            }
            Some(messages) => messages.ends.contains(&id),
            None => false,
        };
        self.in_content &= !breaks;
        if self.open {
            if id == self.spec.end || breaks {
                self.close();
            } else {
                self.count += 1;
                self.follow_blocks(id);
                self.character.feed(vocabulary.bytes(id));
            }
        } else if !self.recent.is_empty() && self.recent == self.spec.start {
            self.open = true;
            self.in_reflection = false;
            self.in_call = false;
            self.character = Utf8Tail::default();
        } else {
            self.just_forced = as_forced && self.closing.is_empty();
        }
    }

    fn close(&mut self) {
        self.open = false;
        self.ended = true;
        self.closing.clear();
        if std::mem::take(&mut self.forced) {
            self.closing.extend(self.spec.after_closing.iter().rev());
            self.just_forced = self.closing.is_empty();
        }
    }

    /// Keeps as many tokens as `start` has.
    fn remember(&mut self, id: u32) {
        self.recent.push(id);
        if self.recent.len() > self.spec.start.len() {
            self.recent.remove(0);
        }
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
