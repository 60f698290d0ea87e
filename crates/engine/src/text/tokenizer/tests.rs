//! A small byte-level BPE tokenizer built here: round trips, injection, ids, bytes, broken files and huge inputs.

use serde_json::{Value, json};

use super::super::Detokenizer;
use super::*;

/// Seed-OSS's own pre-tokenizer expression.
const SEED_SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The byte alphabet written down independently of the code under test.
fn letter(byte: u8) -> char {
    let plain = |b: u8| (33..=126).contains(&b) || (161..=172).contains(&b) || b >= 174;
    let code = if plain(byte) {
        u32::from(byte)
    } else {
        256 + (0..byte).filter(|&b| !plain(b)).count() as u32
    };
    char::from_u32(code).expect("a character")
}

fn spelled(text: &str) -> String {
    text.bytes().map(letter).collect()
}

/// Ids: 0 to 8 control tokens, 9 to 264 bytes, then merges, then added tokens behind the model's vocabulary.
fn file() -> Value {
    let markers = [
        "<seed:bos>",
        "<seed:pad>",
        "<seed:eos>",
        "<seed:think>",
        "</seed:think>",
        "<seed:cot_budget_reflect>",
        "</seed:cot_budget_reflect>",
        "<seed:tool_call>",
        "</seed:tool_call>",
    ];
    let mut vocab = serde_json::Map::new();
    let mut merges: Vec<Value> = Vec::new();
    for byte in 0..=255u8 {
        vocab.insert(letter(byte).to_string(), json!(9 + u32::from(byte)));
    }
    let merged = [
        ("h", "e"),
        ("l", "l"),
        ("he", "ll"),
        ("hell", "o"),
        (" ", "w"),
        (" ", " "),
        ("  ", "  "),
        ("a", "a"),
        ("aa", "aa"),
        ("<", "s"),
        ("<s", "eed"),
        ("e", "e"),
        ("s", "ee"),
        ("see", "d"),
        ("<", "seed"),
    ];
    for (index, (left, right)) in merged.iter().enumerate() {
        let (left, right) = (spelled(left), spelled(right));
        for part in [&left, &right] {
            assert!(vocab.contains_key(part.as_str()) || part == "eed", "{part}");
        }
        if right == "eed" {
            continue;
        }
        vocab.insert(format!("{left}{right}"), json!(265 + index));
        merges.push(json!([left, right]));
    }
    let mut added: Vec<Value> = Vec::new();
    for (id, content) in markers.iter().enumerate() {
        vocab.insert((*content).to_string(), json!(id));
        // As in some checkpoints: only bos, pad and eos are marked special.
        added.push(
            json!({"id": id, "content": content, "special": id < 3, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false}),
        );
    }
    for (id, content, special) in [
        (300, "<|end|>", true),
        (301, "[gMASK]", true),
        (302, "<fim>", false),
        (303, "extra", false),
        (304, "<|call", false),
    ] {
        added.push(
            json!({"id": id, "content": content, "special": special, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false}),
        );
    }
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": added,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": SEED_SPLIT}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<seed:bos>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<seed:bos>": {"id": "<seed:bos>", "ids": [0], "tokens": ["<seed:bos>"]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": true,
            "vocab": vocab, "merges": merges}
    })
}

fn load(file: &Value, control: &[&str]) -> Result<Tokenizer, TextError> {
    let options = TokenizerOptions {
        control: control.iter().map(|c| (*c).to_string()).collect(),
    };
    Tokenizer::from_bytes(file.to_string(), options)
}

fn tokenizer() -> Tokenizer {
    load(&file(), &["<fim>"]).expect("a good tokenizer")
}

fn piece(text: &str, control: bool) -> Piece {
    Piece {
        text: text.to_string(),
        control,
    }
}

#[test]
fn text_comes_back_and_merges_are_used() {
    let t = tokenizer();
    assert_eq!(t.encode_text("hello"), [268]);
    for text in [
        "",
        "hello world",
        "Zürich 日本 😀\r\n\t x",
        "a'll 1234 <seed",
        "\u{0}\u{7f}\u{ad}",
    ] {
        let ids = t.encode_text(text);
        assert_eq!(t.decode(&ids, false), text);
        let mut stream = Detokenizer::default();
        let vocabulary = t.vocabulary();
        let streamed: String = ids
            .iter()
            .map(|&id| stream.push(vocabulary.bytes(id)))
            .collect();
        assert_eq!(streamed + &stream.finish(), text);
    }
}

#[test]
fn caller_text_never_becomes_a_control_token() {
    let t = tokenizer();
    let vocabulary = t.vocabulary();
    let mut texts: Vec<String> = t.control_tokens().iter().map(|(s, _)| s.clone()).collect();
    for control in texts.clone() {
        texts.push(format!("x{control}{control} y"));
        texts.push(format!("{control}\n"));
    }
    texts.push("<seed:<seed:bos>bos><|<|end|>end|>".into());
    for text in texts {
        let ids = t.encode_text(&text);
        assert!(ids.iter().all(|&id| !vocabulary.is_control(id)), "{text}");
        assert_eq!(t.decode(&ids, false), text);
        let ids = t.encode_pieces(&[piece(&text, false)]).expect("text");
        assert!(ids.iter().all(|&id| !vocabulary.is_control(id)), "{text}");
    }
    // Nor when a merge or the whole-word rule would make it.
    let mut sly = file();
    sly["model"]["vocab"]["fim"] = json!(299);
    for pair in [["f", "i"], ["fi", "m"]] {
        sly["model"]["vocab"][pair.concat()] = json!(290 + pair[1].len() + pair[0].len());
        sly["model"]["merges"]
            .as_array_mut()
            .expect("list")
            .push(json!(pair));
    }
    let id = sly["model"]["vocab"]["fim"].clone();
    sly["added_tokens"]
        .as_array_mut()
        .expect("list")
        .push(json!({"id": id, "content": "fim", "special": true,
        "normalized": false, "single_word": false, "lstrip": false, "rstrip": false}));
    let t = load(&sly, &[]).expect("loads");
    let ids = t.encode_text("fim fim");
    assert!(ids.iter().all(|&id| !t.vocabulary().is_control(id)));
    assert_eq!(t.decode(&ids, false), "fim fim");
}

#[test]
fn ordinary_added_tokens_still_match_and_keep_their_ids() {
    let t = tokenizer();
    assert_eq!(t.encode_text("extra"), [303]);
    assert_eq!(t.encode_text("hello<|callextra"), [268, 304, 303]);
    assert_eq!(t.token_id("extra"), Some(303));
    assert!(!t.vocabulary().is_control(303) && !t.vocabulary().is_control(304));
}

#[test]
fn prompts_honour_control_tokens_and_add_none() {
    let t = tokenizer();
    assert_eq!(
        t.encode_prompt("<seed:bos>hello</seed:think><|end|>"),
        [0, 268, 4, 300]
    );
    assert_eq!(t.encode_prompt("<fim>[gMASK]"), [302, 301]);
    assert_eq!(t.encode_prompt("hello"), [268]);
    assert_eq!(t.encode_prompt(""), Vec::<u32>::new());
    let text = "<<seed:bos><seed:bo";
    let ids = t.encode_prompt(text);
    assert_eq!(ids.iter().filter(|&&id| id == 0).count(), 1);
    assert_eq!(t.decode(&ids, false), text);
    assert_eq!(t.decode(&ids, true), "<<seed:bo");
}

#[test]
fn pieces_are_text_or_exactly_a_control_token() {
    let t = tokenizer();
    let pieces = [
        piece("<seed:bos>", true),
        piece("he", false),
        piece("llo", false),
        piece("<seed:eos>", true),
    ];
    // Neighbouring texts are one text, so merges cross the border.
    assert_eq!(t.encode_pieces(&pieces).expect("good"), [0, 268, 2]);
    for bad in ["<seed:nothing>", "hello", "<seed:bos> ", "extra", ""] {
        let error = t
            .encode_pieces(&[piece(bad, true)])
            .expect_err("no control token");
        assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
    }
}

#[test]
fn control_tokens_are_special_marked_or_named() {
    let t = tokenizer();
    let ids: Vec<u32> = t.control_tokens().iter().map(|(_, id)| *id).collect();
    assert_eq!(ids, [0, 1, 2, 3, 4, 5, 6, 7, 8, 300, 301, 302]);
    assert_eq!(t.token_id("</seed:tool_call>"), Some(8));
    assert_eq!(t.token_id("<fim>"), Some(302));
    assert_eq!(t.token_id("no such token"), None);
    assert_eq!(
        load(&file(), &[]).expect("good").encode_text("<fim>"),
        [302]
    );
}

#[test]
fn every_id_has_its_raw_bytes() {
    let v = tokenizer().vocabulary();
    for byte in 0..=255u8 {
        assert_eq!(v.bytes(9 + u32::from(byte)), [byte]);
    }
    assert_eq!(v.bytes(268), b"hello");
    assert_eq!(v.bytes(2), b"<seed:eos>");
    assert_eq!(v.bytes(303), b"extra");
    assert_eq!((v.len(), v.bytes(305)), (305, &b""[..]));
    assert!(!v.contains(290) && v.holes().contains(&290));
}

#[test]
fn byte_fallback_tokens_are_bytes() {
    let file = json!({
        "version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": {"type": "ByteFallback"},
        "model": {"type": "BPE", "byte_fallback": true, "merges": [],
            "vocab": {"<0xE2>": 0, "<0x82>": 1, "<0xAC>": 2, "\u{2581}x": 3, "<0xZZ>": 4}}
    });
    let t = load(&file, &[]).expect("good");
    assert_eq!(t.encode_text("€"), [0, 1, 2]);
    assert_eq!(t.decode(&[0, 1, 2, 3, 4], false), "€ x<0xZZ>");
}

#[test]
fn a_broken_file_is_named_in_one_sentence() {
    let folder = std::env::temp_dir().join(format!("seed-tokenizer-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("tokenizer.json");
    let mut unigram = file();
    unigram["model"]["type"] = json!("Unigram");
    let mut merge = file();
    merge["model"]["merges"] = json!([["nowhere", "found"]]);
    let mut huge = file();
    huge["model"]["vocab"]["x!"] = json!(4_000_000_000u32);
    let mut id = file();
    id["added_tokens"][0]["id"] = json!("zero");
    let cases = [
        "{".to_string(),
        "[]".to_string(),
        "{}".to_string(),
        json!({"model": {"type": "BPE"}}).to_string(),
        unigram.to_string(),
        merge.to_string(),
        huge.to_string(),
        id.to_string(),
    ];
    for text in cases {
        std::fs::write(&path, &text).expect("written");
        let error = Tokenizer::from_file(&path, TokenizerOptions::default()).expect_err("broken");
        let sentence = error.to_string();
        assert!(
            sentence.contains("tokenizer.json: ") && !sentence.contains('\n'),
            "{sentence}"
        );
        assert!(sentence.len() < 400, "{sentence}");
    }
    std::fs::remove_dir_all(&folder).expect("removed");
    let gone = Tokenizer::from_file(&path, TokenizerOptions::default()).expect_err("gone");
    assert!(gone.to_string().contains("cannot be read"));
}

#[test]
fn a_long_text_is_cut_without_a_trace() {
    let t = tokenizer();
    let text = "hello world\n  extra hell 12!\n\nhello <fim>\n/x\n".repeat(20_000);
    let whole = t.plain.encode_fast(text.as_str(), false).expect("encodes");
    assert!(long_runs(&text).len() > 1);
    assert_eq!(t.encode_text(&text).len(), whole.get_ids().len());
    assert_eq!(t.encode_text(&text), whole.get_ids());
}

#[test]
fn huge_inputs_take_bounded_time() {
    let t = tokenizer();
    // Measured with 3 MiB: at most 4 s each, in proportion.
    let size = 1 << 20;
    for text in [
        "a".repeat(size),
        " ".repeat(size),
        "\n ".repeat(size / 2),
        format!("{}x", "\t".repeat(size)),
        "<".repeat(size),
        "ü".repeat(size / 2),
        "1".repeat(size),
        "!\u{301}".repeat(size / 3),
    ] {
        let begun = std::time::Instant::now();
        let ids = t.encode_prompt(&text);
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "{:?}…: {} tokens in {seconds:.2} s",
            &text.chars().next(),
            ids.len()
        );
        assert_eq!(t.decode(&ids, false).len(), text.len());
        // Quadratic work would take minutes; an unoptimised build on a busy machine takes a few seconds.
        assert!(seconds < 30.0, "{:?}…: {seconds} s", text.chars().next());
    }
}
