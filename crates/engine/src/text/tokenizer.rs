//! The tokenizer of a checkpoint with the rule that caller text never becomes a control token. Called by the loader,
//! which hands it to the addon and to the engine's loop.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::cut::long_runs;
use super::file::{added_tokens, hide_control_tokens, vocabulary};
use super::inner::tokenizer_of;
use super::vocabulary::Vocabulary;

/// Why text cannot be turned into tokens, or a tokenizer cannot be read: one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TextError(String);

impl TextError {
    pub(super) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

/// What the caller knows beyond tokenizer.json.
#[derive(Clone, Debug, Default)]
pub struct TokenizerOptions {
    /// Strings of added tokens that are control tokens whatever the file says.
    pub control: Vec<String>,
}

/// A stretch of a prompt: text, or exactly one control token by its string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// Whether `text` names a control token.
    pub control: bool,
}

/// Text to token ids and back.
///
/// Control tokens are the added tokens marked `special`, those that look like a marker of the families (`<seed:…>`,
/// `</seed:…>`, `<|…|>`: some checkpoints carry the Seed markers with `special: false`, vLLM PR #47741), and those
/// named in the options. The inner tokenizer does not know them at all, so no text can produce one; where they count,
/// the text is cut at them here. `lstrip`, `rstrip` and `single_word` of control tokens are not honoured: no model of
/// the families sets them.
pub struct Tokenizer {
    plain: tokenizers::Tokenizer,
    /// By string.
    control: HashMap<String, u32>,
    control_list: Vec<(String, u32)>,
    /// Lengths of control strings in bytes, longest first, by first byte.
    lengths: BTreeMap<u8, Vec<usize>>,
    vocabulary: Arc<Vocabulary>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocabulary", &self.vocabulary.len())
            .field("control", &self.control_list)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`; the error names the file.
    pub fn from_file(path: impl AsRef<Path>, options: TokenizerOptions) -> Result<Self, TextError> {
        let path = path.as_ref();
        let json = std::fs::read(path)
            .map_err(|e| TextError::new(format!("{}: cannot be read: {e}", path.display())))?;
        Self::from_bytes(&json, options)
            .map_err(|e| TextError::new(format!("{}: {e}", path.display())))
    }

    /// Reads the content of a `tokenizer.json`.
    pub fn from_bytes(
        json: impl AsRef<[u8]>,
        options: TokenizerOptions,
    ) -> Result<Self, TextError> {
        let file = serde_json::from_slice(json.as_ref())
            .map_err(|e| TextError::new(format!("is no valid JSON: {e}")))?;
        Self::from_value(file, options)
    }

    /// Reads the content of a `tokenizer.json` that is JSON already.
    pub fn from_value(mut file: Value, options: TokenizerOptions) -> Result<Self, TextError> {
        let added = added_tokens(&file, &options)?;
        let vocabulary = vocabulary(&file, &added)?;
        hide_control_tokens(&mut file, &added)?;
        let plain = tokenizer_of(file)
            .map_err(|e| TextError::new(format!("is no usable tokenizer: {e}")))?;
        let mut control_list: Vec<(String, u32)> = added
            .into_iter()
            .filter(|a| a.control)
            .map(|a| (a.content, a.id))
            .collect();
        control_list.sort_by_key(|(_, id)| *id);
        let mut lengths: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
        for (content, _) in &control_list {
            let of_byte = lengths.entry(content.as_bytes()[0]).or_default();
            of_byte.push(content.len());
            of_byte.sort_unstable_by(|a, b| b.cmp(a));
            of_byte.dedup();
        }
        Ok(Self {
            plain,
            control: control_list.iter().cloned().collect(),
            control_list,
            lengths,
            vocabulary: Arc::new(vocabulary),
        })
    }

    /// Caller text: never yields a control token; ordinary added tokens still match.
    pub fn encode_text(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        for piece in long_runs(text) {
            self.encode_run(piece, &mut ids);
        }
        ids
    }

    /// Text in which control tokens count, as the template's own text and raw prompts have them. Adds nothing of its
    /// own: no bos.
    pub fn encode_prompt(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut rest = text;
        while let Some((at, length, id)) = self.first_control(rest) {
            ids.extend(self.encode_text(&rest[..at]));
            ids.push(id);
            rest = &rest[at + length..];
        }
        ids.extend(self.encode_text(rest));
        ids
    }

    /// A rendered prompt: control pieces become their token, neighbouring text pieces are encoded as one text.
    /// Fails when a control piece is not exactly the string of a control token.
    pub fn encode_pieces(&self, pieces: &[Piece]) -> Result<Vec<u32>, TextError> {
        let mut ids = Vec::new();
        let mut text = String::new();
        for piece in pieces {
            if !piece.control {
                text.push_str(&piece.text);
                continue;
            }
            let id = self.control.get(&piece.text).ok_or_else(|| {
                TextError::new(format!(
                    "the template wrote {:?} as a control token, but this model's tokenizer has no such token",
                    piece.text
                ))
            })?;
            ids.extend(self.encode_text(&text));
            text.clear();
            ids.push(*id);
        }
        ids.extend(self.encode_text(&text));
        Ok(ids)
    }

    /// Id of the token with this string: a control token, an ordinary added token or an entry of the vocabulary as the
    /// file spells it.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.control
            .get(token)
            .copied()
            .or_else(|| self.plain.token_to_id(token))
    }

    /// Control tokens with their ids, ascending by id.
    pub fn control_tokens(&self) -> &[(String, u32)] {
        &self.control_list
    }

    /// Bytes of every id.
    pub fn vocabulary(&self) -> Arc<Vocabulary> {
        Arc::clone(&self.vocabulary)
    }

    /// Text of the tokens; what is no UTF-8 becomes U+FFFD, ids without a token are skipped.
    pub fn decode(&self, ids: &[u32], skip_control: bool) -> String {
        let mut bytes = Vec::new();
        for &id in ids {
            if !(skip_control && self.vocabulary.is_control(id)) {
                bytes.extend_from_slice(self.vocabulary.bytes(id));
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Encodes text without overlong runs. The regular expression may still give up on a pathological text: such text
    /// is halved until it does not.
    fn encode_run(&self, text: &str, ids: &mut Vec<u32>) {
        if text.is_empty() {
            return;
        }
        if let Ok(encoding) = self.plain.encode_fast(text, false) {
            ids.extend_from_slice(encoding.get_ids());
            return;
        }
        let middle = (text.len() / 2..text.len())
            .find(|&at| text.is_char_boundary(at))
            .filter(|&at| at > 0);
        if let Some(middle) = middle {
            self.encode_run(&text[..middle], ids);
            self.encode_run(&text[middle..], ids);
        }
    }

    /// The first control token in the text, the longest if several begin there: where, how many bytes, which id.
    fn first_control(&self, text: &str) -> Option<(usize, usize, u32)> {
        let bytes = text.as_bytes();
        for (at, byte) in bytes.iter().enumerate() {
            for &length in self.lengths.get(byte).map_or(&[][..], Vec::as_slice) {
                let found = text
                    .get(at..at + length)
                    .and_then(|candidate| self.control.get(candidate));
                if let Some(&id) = found {
                    return Some((at, length, id));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
