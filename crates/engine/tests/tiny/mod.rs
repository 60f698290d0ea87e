//! A byte-level tokenizer for tests and benchmarks that need a whole model folder.

use serde_json::json;

/// tokenizer.json of a byte-level vocabulary without merges: three control tokens, then bytes at id `byte + 3`.
pub fn tokenizer() -> serde_json::Value {
    let printable = (33u32..=126)
        .chain(161..=172)
        .chain(174..=255)
        .collect::<Vec<_>>();
    let mut shifted = 256;
    let mut vocab = serde_json::Map::new();
    for byte in 0..256u32 {
        let code = if printable.contains(&byte) {
            byte
        } else {
            shifted += 1;
            shifted - 1
        };
        let letter = char::from_u32(code).unwrap_or('?').to_string();
        vocab.insert(letter, json!(byte + 3));
    }
    let special = |id: u32, text: &str| {
        json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0, "<seed:bos>"), special(1, "<seed:pad>"), special(2, "<seed:eos>")],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                  "vocab": vocab, "merges": []}
    })
}
