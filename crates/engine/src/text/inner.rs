//! The `tokenizers` library's tokenizer of a `tokenizer.json`. Vocabulary and merges, nearly all of the file, are handed to
//! it as they are: read as JSON they take it several times as long.

use serde_json::{Value, json};
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{AddedToken, Tokenizer};

/// Takes the content of a file apart; the error is the end of a sentence.
pub(super) fn tokenizer_of(mut file: Value) -> Result<Tokenizer, String> {
    let model = file.get_mut("model").ok_or("has no model")?;
    let vocab = std::mem::replace(&mut model["vocab"], json!({}));
    let merges = std::mem::replace(&mut model["merges"], json!([]));
    let added = match file.get_mut("added_tokens") {
        Some(list) => std::mem::replace(list, json!([])),
        None => json!([]),
    };
    let rest = serde_json::to_vec(&file).map_err(|e| e.to_string())?;
    let mut tokenizer = Tokenizer::from_bytes(rest).map_err(|e| e.to_string())?;
    let ModelWrapper::BPE(bare) = tokenizer.get_model() else {
        return Err("its model is no BPE".into());
    };
    let filled = filled(bare, vocab, merges)?;
    tokenizer.with_model(filled);
    // Those that the vocabulary has keep their ids.
    let added: Vec<AddedToken> = serde_json::from_value(added).map_err(|e| e.to_string())?;
    tokenizer.add_tokens(added).map_err(|e| e.to_string())?;
    Ok(tokenizer)
}

/// A model with the settings of `bare`.
fn filled(bare: &BPE, vocab: Value, merges: Value) -> Result<BPE, String> {
    let (Value::Object(vocab), Value::Array(merges)) = (vocab, merges) else {
        return Err("its vocab is no object, or its merges are no list".into());
    };
    let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
    let vocab = vocab.into_iter().map(|(token, value)| match id(&value) {
        Some(id) => Ok((token, id)),
        None => Err(format!("its token {token:?} has the id {value}")),
    });
    let vocab = vocab.collect::<Result<Vocab, String>>()?;
    let longest = vocab.keys().map(String::len).max().unwrap_or(0);
    let prefix = bare.continuing_subword_prefix.as_deref();
    let prefix = prefix.map_or(0, str::len);
    let merges = merges.into_iter().map(|merge| {
        let (left, right) = pair_of(merge)?;
        // The library takes this on trust.
        let fits = right.len() >= prefix && left.len() + right.len() - prefix <= longest;
        match fits {
            true => Ok((left, right)),
            false => Err(format!("its merge of {left:?} and {right:?} is no token")),
        }
    });
    let mut builder = BPE::builder()
        .vocab_and_merges(vocab, merges.collect::<Result<Vec<_>, String>>()?)
        .fuse_unk(bare.fuse_unk)
        .byte_fallback(bare.byte_fallback)
        .ignore_merges(bare.ignore_merges);
    if let Some(dropout) = bare.dropout {
        builder = builder.dropout(dropout);
    }
    if let Some(token) = &bare.unk_token {
        builder = builder.unk_token(token.clone());
    }
    if let Some(prefix) = &bare.continuing_subword_prefix {
        builder = builder.continuing_subword_prefix(prefix.clone());
    }
    if let Some(suffix) = &bare.end_of_word_suffix {
        builder = builder.end_of_word_suffix(suffix.clone());
    }
    builder.build().map_err(|e| e.to_string())
}

/// A merge as `["a", "b"]`, or `"a b"` as older files have it.
fn pair_of(merge: Value) -> Result<(String, String), String> {
    match merge {
        Value::Array(mut pair) => {
            let right = pair.pop();
            match (pair.pop(), right, pair.is_empty()) {
                (Some(Value::String(left)), Some(Value::String(right)), true) => Ok((left, right)),
                _ => Err("one of its merges is no pair".into()),
            }
        }
        Value::String(text) => match text.split_once(' ') {
            Some((left, right)) if !right.contains(' ') => Ok((left.into(), right.into())),
            _ => Err(format!("its merge {text:?} is no pair")),
        },
        other => Err(format!("its merge {other} is no pair")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(merges: &Value) -> Value {
        json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
            "added_tokens": [
                {"id": 6, "content": "ab c", "special": false, "normalized": false, "single_word": false,
                    "lstrip": false, "rstrip": false},
                {"id": 9, "content": "##", "special": false, "normalized": false, "single_word": false,
                    "lstrip": false, "rstrip": false},
            ],
            "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
            "model": {"type": "BPE", "dropout": null, "unk_token": "?", "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": false, "ignore_merges": false,
                "vocab": {"?": 0, "a": 1, "b": 2, "c": 3, "ab": 4, "abc": 5, "ab c": 6, "##": 9, "cc": 7},
                "merges": merges},
        })
    }

    #[test]
    fn reads_what_the_library_reads() {
        for merges in [json!([["a", "b"], ["ab", "c"]]), json!(["a b", "ab c"])] {
            let ours = tokenizer_of(file(&merges)).unwrap();
            let theirs = Tokenizer::from_bytes(file(&merges).to_string()).unwrap();
            for text in ["abc cab", "xxyab c##a", "cc ??", "a b c ab##abc x"] {
                let ids = |tokenizer: &Tokenizer| tokenizer.encode(text, false).unwrap();
                assert_eq!(ids(&ours).get_ids(), ids(&theirs).get_ids(), "{text}");
            }
            assert_eq!(ours.get_vocab(true), theirs.get_vocab(true));
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        for (merges, sentence) in [
            (json!([["a"]]), "one of its merges is no pair"),
            (json!(["a b c"]), "its merge \"a b c\" is no pair"),
            (json!([7]), "its merge 7 is no pair"),
            (json!([["abc", "abcabc"]]), "is no token"),
            (json!([["c", "x"]]), "x"),
            (json!({}), "its merges are no list"),
        ] {
            let why = tokenizer_of(file(&merges)).err().unwrap();
            assert!(why.contains(sentence), "{why}");
        }
    }
}
