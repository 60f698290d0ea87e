//! Stop strings across token borders, and the tokens held back while one may have begun. Called by `Generation` with
//! every token that is not an end.

use std::collections::VecDeque;
use std::ops::Range;

/// A token on its way out.
#[derive(Clone, Debug)]
struct Held<T> {
    token: T,
    /// Its bytes' place in the text of the answer so far.
    span: Range<usize>,
    /// Bytes shown, when all of them may be: those of a control token lie outside the text.
    visible: usize,
}

/// One stop string as a Knuth-Morris-Pratt automaton over bytes.
#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    /// Length of the longest proper prefix that is also a suffix of the first i + 1 bytes.
    borders: Vec<usize>,
    /// Bytes matched so far.
    state: usize,
}

impl Pattern {
    fn new(text: String) -> Self {
        let bytes = text.as_bytes();
        let mut borders = vec![0; bytes.len()];
        let mut length = 0;
        for i in 1..bytes.len() {
            while length > 0 && bytes[i] != bytes[length] {
                length = borders[length - 1];
            }
            length += usize::from(bytes[i] == bytes[length]);
            borders[i] = length;
        }
        Self {
            text,
            borders,
            state: 0,
        }
    }

    /// Takes a byte; true when the text now ends with the pattern.
    fn feed(&mut self, byte: u8) -> bool {
        let bytes = self.text.as_bytes();
        if self.state == bytes.len() {
            self.state = self.borders[self.state - 1];
        }
        while self.state > 0 && bytes[self.state] != byte {
            self.state = self.borders[self.state - 1];
        }
        self.state += usize::from(bytes[self.state] == byte);
        self.state == bytes.len()
    }
}

/// What a token shows the matcher.
#[derive(Clone, Copy, Debug)]
pub(super) enum Text<'a> {
    /// Bytes of the answer.
    Answer(&'a [u8]),
    /// Bytes that are shown but end any stop string begun: part of the thought.
    Apart(&'a [u8]),
    /// A control token: like `Apart`, but it ends the answer when a stop string is exactly its text.
    Control(&'a [u8]),
}

/// A stop string was completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) text: String,
}

/// Matches stop strings and holds tokens of type `T` back.
///
/// The match is the one that would be found reading the answer byte by byte: the first to end, the longest of several
/// ending together. So it does not depend on how the text is split into tokens.
#[derive(Clone, Debug)]
pub(super) struct Stops<T> {
    patterns: Vec<Pattern>,
    include: bool,
    held: VecDeque<Held<T>>,
    /// Bytes of the answer so far.
    length: usize,
}

impl<T> Stops<T> {
    pub(super) fn new(strings: &[String], include: bool) -> Self {
        let strings = strings.iter().filter(|s| !s.is_empty());
        Self {
            patterns: strings.cloned().map(Pattern::new).collect(),
            include,
            held: VecDeque::new(),
            length: 0,
        }
    }

    /// Takes a token and releases, with their visible bytes, those that cannot belong to a stop string. With `armed`
    /// false (below min_tokens) completed strings do not count.
    pub(super) fn push(
        &mut self,
        token: T,
        text: Text<'_>,
        armed: bool,
    ) -> (Vec<(T, usize)>, Option<Match>) {
        let start = self.length;
        let (bytes, visible) = match text {
            Text::Answer(bytes) => (bytes, bytes.len()),
            Text::Apart(bytes) | Text::Control(bytes) => (&[][..], bytes.len()),
        };
        self.length += bytes.len();
        self.held.push_back(Held {
            token,
            span: start..self.length,
            visible,
        });
        if let Text::Control(name) = text
            && armed
            && let Some(pattern) = self.patterns.iter().find(|p| p.text.as_bytes() == name)
        {
            let text = pattern.text.clone();
            return (self.cut_control(), Some(Match { text }));
        }
        if !matches!(text, Text::Answer(_)) {
            self.reset();
        }
        for (at, &byte) in bytes.iter().enumerate() {
            let mut longest: Option<&str> = None;
            for pattern in &mut self.patterns {
                if pattern.feed(byte) && longest.is_none_or(|l| l.len() < pattern.text.len()) {
                    longest = Some(&pattern.text);
                }
            }
            if let Some(text) = longest.filter(|_| armed) {
                let text = text.to_string();
                let end = start + at + 1;
                let cut = if self.include { end } else { end - text.len() };
                return (self.cut(cut), Some(Match { text }));
            }
        }
        (self.release(), None)
    }

    /// Releases all that is held, whole.
    pub(super) fn flush(&mut self) -> Vec<(T, usize)> {
        self.reset();
        self.held.drain(..).map(|h| (h.token, h.visible)).collect()
    }

    fn reset(&mut self) {
        for pattern in &mut self.patterns {
            pattern.state = 0;
        }
    }

    /// Releases tokens that end before the longest begun stop string.
    fn release(&mut self) -> Vec<(T, usize)> {
        // A completed string that did not count may go on as its own border.
        let begun = self.patterns.iter().map(|p| match p.state {
            state if state == p.text.len() => p.borders[state - 1],
            state => state,
        });
        let certain = self.length - begun.max().unwrap_or(0);
        let count = self
            .held
            .iter()
            .take_while(|h| h.span.end <= certain)
            .count();
        self.held
            .drain(..count)
            .map(|h| (h.token, h.visible))
            .collect()
    }

    /// Releases all, showing the answer up to `cut`.
    fn cut(&mut self, cut: usize) -> Vec<(T, usize)> {
        let shown = |h: &Held<T>| match h.span.is_empty() {
            true => h.visible,
            false => cut.clamp(h.span.start, h.span.end) - h.span.start,
        };
        self.held
            .drain(..)
            .map(|h| {
                let shown = shown(&h);
                (h.token, shown)
            })
            .collect()
    }

    /// Releases all; the last, a control token, shows only if the stop belongs to the answer.
    fn cut_control(&mut self) -> Vec<(T, usize)> {
        if let Some(last) = self.held.back_mut()
            && !self.include
        {
            last.visible = 0;
        }
        self.flush()
    }
}

#[cfg(test)]
mod tests;
