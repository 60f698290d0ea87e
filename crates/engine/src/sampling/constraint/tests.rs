//! Grammars over a small byte-level vocabulary: what is offered, what a generation makes of it, and hostile input.

mod hostile;
mod onward;

use std::collections::BTreeSet;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::request::{RefusalKind, RefusalReason};
use crate::sampling::{Finish, Generation, SampleError, SamplingParams, ThoughtSpec};
use crate::text::{Tokenizer, TokenizerOptions};
use std::sync::Arc;

const CONTROL: [&str; 6] = [
    "<eos>",
    "<|start|>",
    "<|message|>",
    "<|end|>",
    "<think>",
    "</think>",
];
const EOS: u32 = 0;
const START: u32 = 1;
const MESSAGE: u32 = 2;
const END: u32 = 3;
const THINK: u32 = 4;
const THINK_END: u32 = 5;
/// First of the 256 single bytes.
const BYTES: u32 = 6;
/// Tokens made by merges, after the bytes; the first of them is a hole in the vocabulary.
const WORDS: [&str; 5] = ["assistant", "true", "null", "name", "\":"];
const TEXT: &str = "TEXT: /(.|\\n)*/";

fn letters() -> Vec<char> {
    let printable = |b: &u32| matches!(b, 33..=126 | 161..=172 | 174..=255);
    let mut shifted = 255;
    (0..256u32)
        .map(|b| {
            if !printable(&b) {
                shifted += 1;
            }
            char::from_u32(if printable(&b) { b } else { shifted }).unwrap()
        })
        .collect()
}

fn tokenizer() -> Arc<Tokenizer> {
    let mut vocab = serde_json::Map::new();
    for (byte, letter) in letters().iter().enumerate() {
        vocab.insert(letter.to_string(), json!(BYTES as usize + byte));
    }
    let mut merges = Vec::new();
    let mut next = BYTES + 257;
    for word in WORDS {
        for end in 1..word.len() {
            let merged = &word[..=end];
            if !vocab.contains_key(merged) {
                vocab.insert(merged.to_string(), json!(next));
                next += 1;
                merges.push(json!([&word[..end], &word[end..=end]]));
            }
        }
    }
    let added = CONTROL.iter().enumerate().map(|(id, text)| {
        json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    });
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": null, "pre_tokenizer": level, "post_processor": null, "decoder": level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                  "ignore_merges": false, "vocab": vocab, "merges": merges}
    });
    Arc::new(Tokenizer::from_bytes(file.to_string(), TokenizerOptions::default()).unwrap())
}

struct Setup {
    tokenizer: Arc<Tokenizer>,
    compiler: Compiler,
}

fn setup() -> Setup {
    let tokenizer = tokenizer();
    let compiler = Compiler::start(Arc::clone(&tokenizer), vec![EOS]).unwrap();
    Setup {
        tokenizer,
        compiler,
    }
}

impl Setup {
    fn compile(&self, lark: &str) -> Result<Arc<Grammar>, RefusalReason> {
        let (sender, answer) = channel();
        let reply = Box::new(move |outcome| sender.send(outcome).unwrap());
        self.compiler.compile(lark, reply);
        answer.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    fn ids(&self, text: &str) -> Vec<u32> {
        self.tokenizer.encode_prompt(text)
    }

    fn generation(
        &self,
        lark: &str,
        params: SamplingParams,
        thought: Option<ThoughtSpec>,
    ) -> Generation {
        let grammar = self.compile(lark).unwrap();
        Generation::new(
            params,
            thought,
            Some(grammar),
            self.tokenizer.vocabulary(),
            &[],
        )
        .unwrap()
    }

    /// A row that wants these ids, the first most.
    fn row(&self, wanted: &[u32]) -> Vec<f32> {
        let mut row = vec![0.0; self.tokenizer.vocabulary().len() + 7];
        row.fill(-1.0);
        for (rank, &id) in wanted.iter().enumerate().rev() {
            row[id as usize] = 9.0 - rank as f32;
        }
        row
    }

    /// Runs a model that always wants these ids. Also gives the rows of logits used.
    fn run(&self, generation: &mut Generation, wanted: &[u32]) -> (String, usize, Option<Finish>) {
        let (mut ids, mut rows) = (Vec::new(), 0);
        let mut finish = None;
        while finish.is_none() && rows < 200 {
            assert!(generation.ready(soon()));
            let mut next = generation.next(&mut self.row(wanted)).unwrap();
            rows += 1;
            assert!(generation.ready(soon()));
            generation.extend(&mut next);
            ids.extend(next.tokens);
            finish = next.finish;
        }
        (self.tokenizer.decode(&ids, false), rows, finish)
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn greedy(max_tokens: u32) -> SamplingParams {
    SamplingParams {
        temperature: 0.0,
        max_tokens,
        eos_ids: vec![EOS],
        ..Default::default()
    }
}

fn allowed(offer: &Offer) -> BTreeSet<u32> {
    match offer {
        Offer::Mask(mask) => mask.to_list().into_iter().collect(),
        other => panic!("no mask: {other:?}"),
    }
}

#[test]
fn text_admits_text_and_never_a_control_token_or_a_hole() {
    let s = setup();
    let grammar = s.compile(&format!("start: TEXT <|end|>\n{TEXT}")).unwrap();
    let ids = allowed(&grammar.first());
    assert!(ids.contains(&END));
    for control in [EOS, START, MESSAGE, THINK, THINK_END] {
        assert!(!ids.contains(&control), "{control}");
    }
    let hole = BYTES + 256;
    assert!(!s.tokenizer.vocabulary().contains(hole) && !ids.contains(&hole));
    assert!(ids.contains(&(BYTES + u32::from(b'a'))));
    assert!(!ids.contains(&(BYTES + 0xFF)), "no text holds this byte");
    let last = s.tokenizer.vocabulary().len() as u32;
    assert!(ids.iter().all(|&id| id < last));
}

#[test]
fn an_envelope_is_forced_in_the_models_own_splitting() {
    let s = setup();
    let lark = format!("start: <|start|> \"assistant\" <|message|> TEXT <|end|>\n{TEXT}");
    let Offer::Forced(run) = s.compile(&lark).unwrap().first() else {
        panic!("not forced");
    };
    assert_eq!(run.to_vec(), s.ids("<|start|>assistant<|message|>"));
    assert_eq!(run.len(), 3);
}

/// An envelope around an object with two members; the model decides one token of each.
const CALL: &str = r#"start: <|start|> "assistant" <|message|> args <|end|>
args: %json {"type": "object", "properties": {"name": {"enum": [true, null]}, "names": {"enum": [1, 2]}},
  "required": ["name", "names"], "additionalProperties": false, "x-guidance": {"whitespace_flexible": false}}"#;
const ANSWER: &str = "<|start|>assistant<|message|>{\"name\":null,\"names\":2}<|end|>";

#[test]
fn forced_tokens_take_no_rows_and_change_nothing() {
    let s = setup();
    let wanted = [s.ids("null"), s.ids("2")].concat();
    assert_eq!(wanted.len(), 2);
    let (text, rows, finish) = s.run(&mut s.generation(CALL, greedy(100), None), &wanted);
    assert_eq!((text.as_str(), finish), (ANSWER, Some(Finish::Complete)));
    let tokens = s.ids(ANSWER).len();
    assert!(
        rows <= 4 && rows < tokens / 3,
        "{rows} rows for {tokens} tokens"
    );

    // With log-probabilities each token has a row of its own, and the same text comes out.
    let params = SamplingParams {
        logprobs: Some(1),
        ..greedy(100)
    };
    let mut slow = s.generation(CALL, params, None);
    let mut scores = Vec::new();
    loop {
        assert!(slow.ready(soon()));
        let mut next = slow.next(&mut s.row(&wanted)).unwrap();
        assert!(slow.ready(soon()));
        slow.extend(&mut next);
        scores.extend(next.released);
        if next.finish.is_some() {
            break;
        }
    }
    assert_eq!(scores.len(), tokens);
    assert!(scores.iter().all(|r| r.logprob.is_some()));
    let ids: Vec<u32> = scores.iter().map(|r| r.id).collect();
    assert_eq!(s.tokenizer.decode(&ids, false), ANSWER);
    // The row wants `null` most, wherever it is asked.
    let best = scores[0].logprob.as_ref().unwrap();
    assert_eq!((best.top[0].0, best.rank > 1), (wanted[0], true));
}

#[test]
fn forced_tokens_honour_max_tokens_stop_strings_and_bans() {
    let s = setup();
    for max in 1..s.ids(ANSWER).len() as u32 {
        let mut short = s.generation(CALL, greedy(max), None);
        let (text, _, finish) = s.run(&mut short, &s.ids("null2"));
        assert_eq!(finish, Some(Finish::Length));
        assert_eq!(short.generated(), max);
        assert!(ANSWER.starts_with(&text));
    }
    let stop = SamplingParams {
        stop_strings: vec!["\"names".into()],
        ..greedy(100)
    };
    let (text, _, finish) = s.run(&mut s.generation(CALL, stop, None), &s.ids("null2"));
    assert_eq!(finish, Some(Finish::StopString("\"names".into())));
    assert!(text.contains("null,") && !text.contains(":2"), "{text}");
    let banned = SamplingParams {
        logit_bias: vec![(s.ids("assistant")[0], -100.0)],
        ..greedy(100)
    };
    let mut generation = s.generation(CALL, banned, None);
    assert_eq!(generation.next(&mut s.row(&[])).unwrap().tokens, [START]);
    assert!(generation.ready(soon()));
    assert_eq!(
        generation.next(&mut s.row(&[])),
        Err(SampleError::ConstraintBanned)
    );
}

#[test]
fn ends_where_the_grammar_ends_with_and_without_an_end_token() {
    let s = setup();
    let (text, _, finish) = s.run(
        &mut s.generation(r#"start: "null" | "name""#, greedy(9), None),
        &s.ids("null"),
    );
    assert_eq!((text.as_str(), finish), ("null", Some(Finish::Complete)));

    // More may follow, so the model says when it ends.
    let many = r#"start: "null"+"#;
    let wanted = [EOS, s.ids("null")[0]];
    let (text, _, finish) = s.run(&mut s.generation(many, greedy(9), None), &wanted);
    assert_eq!(
        (text.as_str(), finish),
        ("null<eos>", Some(Finish::Eos(EOS)))
    );

    // min_tokens hold the end back where the grammar has something else to offer, and yield where it has not.
    let long = SamplingParams {
        min_tokens: 4,
        ..greedy(9)
    };
    let (text, _, finish) = s.run(&mut s.generation(many, long.clone(), None), &wanted);
    assert_eq!(
        (text.as_str(), finish),
        ("nullnullnullnull<eos>", Some(Finish::Eos(EOS)))
    );
    let once = r#"start: ("null" | "true") <[0]>?"#;
    let (text, _, finish) = s.run(&mut s.generation(once, long, None), &wanted);
    assert_eq!(
        (text.as_str(), finish),
        ("null<eos>", Some(Finish::Complete))
    );
}

#[test]
fn the_budget_closes_a_thought_inside_a_grammar() {
    let s = setup();
    let spec = |closing: &str| ThoughtSpec {
        start: vec![THINK],
        end: THINK_END,
        open_in_prompt: true,
        budget: Some(3),
        closing: s.ids(closing),
        forbid_second: true,
        ..Default::default()
    };
    let lark = format!("start: TEXT </think> \"true\"\n{TEXT}");
    let a = s.ids("a")[0];
    let (text, _, finish) = s.run(
        &mut s.generation(&lark, greedy(50), Some(spec("bcd"))),
        &[a],
    );
    assert_eq!(
        (text.as_str(), finish),
        ("aaabcd</think>true", Some(Finish::Complete))
    );
    // A closing that the grammar refuses gives way to the bare end.
    let strict = "start: A </think> \"true\"\nA: /a*/";
    let (text, _, _) = s.run(
        &mut s.generation(strict, greedy(50), Some(spec("bcd"))),
        &[a],
    );
    assert_eq!(text, "aaa</think>true");
    // Where the thought cannot end yet, the grammar goes first.
    let later = "start: A </think> \"true\"\nA: /a{9}/";
    let (text, _, _) = s.run(
        &mut s.generation(later, greedy(50), Some(spec("bcd"))),
        &[a],
    );
    assert_eq!(text, "aaaaaaaaa</think>true");
}

#[test]
fn any_draw_follows_the_grammar() {
    let s = setup();
    let lark = r#"start: %json {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3}, "b": {"type": "string", "maxLength": 5}}, "required": ["a", "b"], "additionalProperties": false, "x-guidance": {"whitespace_flexible": false}}"#;
    for seed in 0..20 {
        let params = SamplingParams {
            temperature: 1.0,
            seed: Some(seed),
            ..greedy(200)
        };
        let mut generation = s.generation(lark, params, None);
        let (text, _, finish) = s.run(&mut generation, &[]);
        let text = text.trim_end_matches("<eos>");
        assert!(
            matches!(finish, Some(Finish::Complete | Finish::Eos(_))),
            "{text}"
        );
        let value: serde_json::Value = serde_json::from_str(text).expect(text);
        assert!(value["a"].is_array() && value["b"].is_string());
    }
}

#[test]
fn equal_grammars_are_compiled_once() {
    let s = setup();
    let (sender, answers) = channel();
    for _ in 0..8 {
        let sender = sender.clone();
        let reply = Box::new(move |outcome: Result<Arc<Grammar>, RefusalReason>| {
            sender.send(outcome.unwrap()).unwrap();
        });
        s.compiler.compile(CALL, reply);
    }
    let first = answers.recv().unwrap();
    for _ in 1..8 {
        assert!(Arc::ptr_eq(&first, &answers.recv().unwrap()));
    }
    assert!(Arc::ptr_eq(&first, &s.compile(CALL).unwrap()));
    assert!(s.compiler.made(&first) && !setup().compiler.made(&first));
    assert!(first.bytes() > 1_000);
}

#[test]
fn wrong_grammars_are_refused_in_one_sentence() {
    let s = setup();
    let long = format!("start: {}", "\"x\" ".repeat(100_000));
    for (lark, part) in [
        ("start: (", "Expected token"),
        ("start: foo", "unknown name"),
        ("start: <|nope|>", "unknown special token: \"<|nope|>\""),
        (
            "start: %json {\"not\": {}}",
            "Unimplemented keys: [\"not\"]",
        ),
        (
            "start: %json {\"minimum\": 5, \"maximum\": 3, \"type\": \"integer\"}",
            "Unsatisfiable",
        ),
        ("start: A\nA: /a/ & /b/", "nothing can match it"),
        ("start: <[262]>", "token id 262"),
        ("start: <[99999]>", "range"),
        ("start: start", ""),
        ("", ""),
        (&long, ""),
    ] {
        let Err(refusal) = s.compile(lark) else {
            assert!(part.is_empty(), "{lark:.50}");
            continue;
        };
        assert_eq!(refusal.kind, RefusalKind::Invalid);
        assert!(
            refusal.message.contains(part),
            "{lark:.50}: {}",
            refusal.message
        );
        assert!(refusal.message.len() < 1024 && !refusal.message.contains('\n'));
        assert!(
            !refusal.message.contains("<|start|>"),
            "{}",
            refusal.message
        );
    }
}
