//! Byte-level BPE as GPT-2 began it: its alphabet, and a `tokenizer.json` put together from a vocabulary. `file.rs`
//! reads with the alphabet; GGUF files and the bundled vocabulary become such a JSON.

use serde_json::{Map, Value, json};

/// Split of o200k, from gpt-oss's tokenizer.json.
pub(crate) const O200K_SPLIT: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// GPT-2's alphabet, which spells each byte as a printable character (openai/gpt-2, encoder.py `bytes_to_unicode`).
pub(super) fn letters() -> [char; 256] {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut shifted = (256u32..).filter_map(char::from_u32);
    std::array::from_fn(|byte| {
        let byte = byte as u8;
        match printable(byte) {
            true => char::from(byte),
            false => shifted.next().unwrap_or_default(),
        }
    })
}

/// An entry of `added_tokens`.
pub(crate) fn added_token(id: usize, content: &str, special: bool) -> Value {
    json!({
        "id": id, "content": content, "special": special, "normalized": false,
        "single_word": false, "lstrip": false, "rstrip": false,
    })
}

/// The content of a tokenizer.json: `vocab` maps tokens as the alphabet spells them to ids, `split` cuts text to words.
pub(crate) fn tokenizer_json(
    split: &str,
    vocab: Map<String, Value>,
    merges: Value,
    added: Vec<Value>,
) -> Value {
    let mut file = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        ]},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": true,
            "vocab": null, "merges": null,
        },
    });
    // Moved in: the macro would copy all of them.
    file["added_tokens"] = added.into();
    file["model"]["vocab"] = vocab.into();
    file["model"]["merges"] = merges;
    file
}
