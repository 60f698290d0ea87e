//! What a `tokenizer.json` says: its added tokens, the bytes of every id, and the same file without its control tokens.
//! Called by the tokenizer while it loads.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::byte_level::letters;
use super::tokenizer::{TextError, TokenizerOptions};
use super::vocabulary::{Entry, Vocabulary};

/// An added token as the file has it.
pub(super) struct Added {
    pub(super) id: u32,
    pub(super) content: String,
    pub(super) control: bool,
}

/// Whether an added token's text is a control marker of the families.
fn looks_like_control(content: &str) -> bool {
    let inner = |prefix: &str, suffix: &str| {
        content
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_suffix(suffix))
            .is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace))
    };
    inner("<seed:", ">") || inner("</seed:", ">") || inner("<|", "|>")
}

pub(super) fn added_tokens(
    file: &Value,
    options: &TokenizerOptions,
) -> Result<Vec<Added>, TextError> {
    let list = match file.get("added_tokens") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(TextError::new("its added_tokens are no list")),
    };
    let mut added = Vec::with_capacity(list.len());
    for token in list {
        let id = token.get("id").and_then(Value::as_u64);
        let content = token.get("content").and_then(Value::as_str);
        let (Some(id), Some(content)) = (id.and_then(|id| u32::try_from(id).ok()), content) else {
            return Err(TextError::new(format!(
                "has an added token without id or content: {token}"
            )));
        };
        if content.is_empty() {
            continue;
        }
        let special = token
            .get("special")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        added.push(Added {
            id,
            content: content.to_string(),
            control: special
                || looks_like_control(content)
                || options.control.iter().any(|c| c == content),
        });
    }
    Ok(added)
}

fn model_vocabulary(file: &Value) -> Result<&Map<String, Value>, TextError> {
    let model = file
        .get("model")
        .ok_or_else(|| TextError::new("has no model"))?;
    match model.get("type").and_then(Value::as_str) {
        None | Some("BPE") => {}
        Some(other) => {
            return Err(TextError::new(format!(
                "is a {other} tokenizer, but Seed-OSS and gpt-oss use BPE"
            )));
        }
    }
    model
        .get("vocab")
        .and_then(Value::as_object)
        .ok_or_else(|| TextError::new("has no model.vocab"))
}

/// Bytes and flags of every id. A token's id comes from the file, for added tokens too.
pub(super) fn vocabulary(file: &Value, added: &[Added]) -> Result<Vocabulary, TextError> {
    let vocab = model_vocabulary(file)?;
    let byte_level = ["decoder", "pre_tokenizer"]
        .iter()
        .any(|key| file.get(key).is_some_and(mentions_byte_level));
    let alphabet = byte_alphabet();
    let mut tokens: Vec<(u32, Entry)> = Vec::with_capacity(vocab.len() + added.len());
    for (token, id) in vocab {
        let id = id
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| TextError::new(format!("gives token {token:?} the id {id}")))?;
        let bytes = if byte_level {
            byte_level_bytes(token, &alphabet)
        } else {
            fallback_bytes(token)
        };
        tokens.push((
            id,
            Entry {
                bytes,
                control: false,
            },
        ));
    }
    tokens.extend(added.iter().map(|a| {
        let bytes = a.content.as_bytes().to_vec();
        (
            a.id,
            Entry {
                bytes,
                control: a.control,
            },
        )
    }));
    let len = tokens
        .iter()
        .map(|(id, _)| *id as usize + 1)
        .max()
        .unwrap_or(0);
    // A stray huge id would ask for as much memory: no real vocabulary is mostly holes.
    if len > 16 * tokens.len() + 65_536 {
        return Err(TextError::new(format!(
            "has {} tokens but ids up to {}",
            tokens.len(),
            len - 1
        )));
    }
    let mut entries = vec![None; len];
    for (id, entry) in tokens {
        entries[id as usize] = Some(entry);
    }
    Ok(Vocabulary::from_entries(entries))
}

/// Rewrites the file so that control tokens do not exist for the inner tokenizer and ordinary added tokens keep their
/// ids: these are numbered by the library from the size of the vocabulary on, unless the model knows them.
pub(super) fn hide_control_tokens(file: &mut Value, added: &[Added]) -> Result<(), TextError> {
    let control: HashSet<&str> = added
        .iter()
        .filter(|a| a.control)
        .map(|a| a.content.as_str())
        .collect();
    if let Some(Value::Array(list)) = file.get_mut("added_tokens") {
        list.retain(|t| {
            t.get("content")
                .and_then(Value::as_str)
                .is_some_and(|content| !content.is_empty() && !control.contains(content))
        });
    }
    // A post-processor only adds special tokens, which the template does here; it may name hidden ones.
    file["post_processor"] = Value::Null;
    file["truncation"] = Value::Null;
    file["padding"] = Value::Null;
    let model = file
        .get_mut("model")
        .ok_or_else(|| TextError::new("has no model"))?;
    if let Some(Value::Object(vocab)) = model.get_mut("vocab") {
        for token in added {
            if token.control {
                vocab.remove(&token.content);
            } else {
                vocab.insert(token.content.clone(), token.id.into());
            }
        }
    }
    if let Some(Value::Array(merges)) = model.get_mut("merges") {
        let mut joined = String::new();
        merges.retain(|merge| !touches(merge, &control, &mut joined));
    }
    let unknown = model.get("unk_token").and_then(Value::as_str);
    if unknown.is_some_and(|token| control.contains(token)) {
        model["unk_token"] = Value::Null;
    }
    Ok(())
}

/// Whether a merge, `["a", "b"]` or `"a b"`, reads or makes such a token.
fn touches(merge: &Value, control: &HashSet<&str>, joined: &mut String) -> bool {
    let (left, right) = match merge {
        Value::Array(pair) => match (pair.first(), pair.get(1)) {
            (Some(Value::String(left)), Some(Value::String(right))) => (&left[..], &right[..]),
            _ => return false,
        },
        Value::String(text) => match text.split_once(' ') {
            Some(pair) => pair,
            None => return false,
        },
        _ => return false,
    };
    joined.clear();
    joined.push_str(left);
    joined.push_str(right);
    control.contains(left) || control.contains(right) || control.contains(joined.as_str())
}

/// Whether a decoder or pre-tokenizer is, or holds, a `ByteLevel`.
fn mentions_byte_level(value: &Value) -> bool {
    match value {
        Value::Object(map) => {
            map.get("type").and_then(Value::as_str) == Some("ByteLevel")
                || map.values().any(mentions_byte_level)
        }
        Value::Array(list) => list.iter().any(mentions_byte_level),
        _ => false,
    }
}

fn byte_alphabet() -> HashMap<char, u8> {
    letters().into_iter().zip(0..=255).collect()
}

/// Bytes of a byte-level token; a token with a character outside the alphabet is literal text.
fn byte_level_bytes(token: &str, alphabet: &HashMap<char, u8>) -> Vec<u8> {
    token
        .chars()
        .map(|c| alphabet.get(&c).copied())
        .collect::<Option<Vec<u8>>>()
        .unwrap_or_else(|| token.as_bytes().to_vec())
}

/// Bytes of a token of a tokenizer with byte fallback: `<0xNN>` is one byte, `▁` a space.
fn fallback_bytes(token: &str) -> Vec<u8> {
    let hex = token
        .strip_prefix("<0x")
        .and_then(|rest| rest.strip_suffix('>'))
        .filter(|hex| hex.len() == 2);
    match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
        Some(byte) => vec![byte],
        None => token.replace('\u{2581}', " ").into_bytes(),
    }
}
