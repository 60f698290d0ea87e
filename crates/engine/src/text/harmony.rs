//! The o200k_harmony vocabulary, which travels with the engine for checkpoints that come without a tokenizer: OpenAI's
//! own layout of gpt-oss. The loader asks.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::byte_level::{O200K_SPLIT, added_token, letters, tokenizer_json};
use super::tokenizer::{TextError, Tokenizer, TokenizerOptions};
use super::vocabulary::{Entry, Vocabulary};

/// Tokens by rank, each as its length and its bytes, in a zlib stream; tools/vocabulary.mjs writes it.
const PACKED: &[u8] = include_bytes!("o200k.bin");

/// Control tokens; the first has the id after the last rank, and those without a name are reserved.
const FIRST_CONTROL: usize = 199_998;
const CONTROL: [&str; 21] = [
    "<|startoftext|>",
    "<|endoftext|>",
    "",
    "",
    "<|return|>",
    "<|constrain|>",
    "",
    "<|channel|>",
    "<|start|>",
    "<|end|>",
    "<|message|>",
    "",
    "",
    "",
    "<|call|>",
    "",
    "",
    "",
    "",
    "",
    "<|endofprompt|>",
];

/// The tokenizer of a gpt-oss whose checkpoint brings none.
pub fn o200k_harmony(options: TokenizerOptions) -> Result<Tokenizer, TextError> {
    let bytes = unpacked()?;
    Tokenizer::from_value(as_json(&tokens(&bytes)?), options)
}

/// Its bytes alone, for reading token ids where no model is: much quicker than the tokenizer.
pub fn o200k_harmony_vocabulary() -> Result<Vocabulary, TextError> {
    let bytes = unpacked()?;
    let tokens = tokens(&bytes)?;
    let plain = tokens.into_iter().map(|token| (token.to_vec(), false));
    let control = control_tokens().map(|(_, name)| (name.into_bytes(), true));
    let entries = plain
        .chain(control)
        .map(|(bytes, control)| Some(Entry { bytes, control }));
    Ok(Vocabulary::from_entries(entries.collect()))
}

fn broken(why: &str) -> TextError {
    TextError::new(format!("the bundled vocabulary {why}"))
}

fn unpacked() -> Result<Vec<u8>, TextError> {
    miniz_oxide::inflate::decompress_to_vec_zlib(PACKED)
        .map_err(|e| broken(&format!("cannot be unpacked: {e}")))
}

/// Control tokens by id.
fn control_tokens() -> impl Iterator<Item = (usize, String)> {
    let named = |(name, id): (&&str, usize)| match name.is_empty() {
        true => (id, format!("<|reserved_{id}|>")),
        false => (id, (*name).into()),
    };
    CONTROL.iter().zip(FIRST_CONTROL..).map(named)
}

fn tokens(mut packed: &[u8]) -> Result<Vec<&[u8]>, TextError> {
    let mut tokens = Vec::with_capacity(FIRST_CONTROL);
    while let Some((&length, rest)) = packed.split_first() {
        let (token, rest) = rest
            .split_at_checked(usize::from(length))
            .ok_or_else(|| broken("ends inside a token"))?;
        tokens.push(token);
        packed = rest;
    }
    match tokens.len() {
        FIRST_CONTROL => Ok(tokens),
        other => Err(broken(&format!("has {other} tokens"))),
    }
}

fn as_json(tokens: &[&[u8]]) -> Value {
    let letters = letters();
    let spelled: Vec<String> = tokens
        .iter()
        .map(|token| token.iter().map(|&b| letters[usize::from(b)]).collect())
        .collect();
    let ids = spelled.iter().cloned().zip((0usize..).map(Value::from));
    let vocab: Map<String, Value> = ids.collect();
    let added = control_tokens().map(|(id, name)| added_token(id, &name, true));
    let merges = merges(tokens, &spelled);
    tokenizer_json(O200K_SPLIT, vocab, merges, added.collect())
}

/// Ranks as merges: whatever two tokens make a third are joined, the least third first, as tiktoken does.
fn merges(tokens: &[&[u8]], spelled: &[String]) -> Value {
    let ranks: HashMap<&[u8], usize> = tokens.iter().copied().zip(0..).collect();
    let mut merges = Vec::new();
    for token in tokens {
        let halves = |at| {
            let (left, right) = token.split_at(at);
            ranks.get(left).copied().zip(ranks.get(right).copied())
        };
        let mut pairs: Vec<(usize, usize)> = (1..token.len()).filter_map(halves).collect();
        pairs.sort_unstable();
        let joined = |&(left, right): &(usize, usize)| {
            Value::from([&spelled[left][..], &spelled[right][..]].join(" "))
        };
        merges.extend(pairs.iter().map(joined));
    }
    Value::Array(merges)
}
