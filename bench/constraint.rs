//! What a grammar costs per token, with gpt-oss's number of tokens in the vocabulary.
//!
//! `npm run bench:constraint` makes a random model (about 0.5 GB) with 201,088 tokens in a temporary folder. Then it
//! takes turns: sequences without a grammar, under a JSON schema with a mask for every token, and under the same schema
//! with forced tokens. Prints medians of the turns and one line of JSON.

#[path = "random_model.rs"]
mod random_model;
#[path = "../crates/engine/tests/tiny/mod.rs"]
mod tiny;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use random_model::{Shape, median};
use seed_engine::engine::Engine;
use seed_engine::request::Output;
use seed_engine::sampling::Grammar;
use serde_json::{Map, Value, json};

const SHAPE: Shape = Shape {
    hidden: 512,
    layers: 4,
    heads: 8,
    kv_heads: 2,
    head_dim: 64,
    intermediate: 1536,
    vocabulary: 201_088,
};
const TURNS: usize = 9;
const TOKENS: u32 = 96;
const CROWD: usize = 8;

/// Items of a shop: strings, numbers, enumerations, a list and an object in each.
const SCHEMA: &str = r#"{"type": "object", "properties": {"items": {"type": "array", "minItems": 200, "items": {
  "type": "object", "properties": {
    "identifier": {"type": "integer", "minimum": 0, "maximum": 99999},
    "description": {"type": "string", "maxLength": 40},
    "category": {"enum": ["household", "electronics", "groceries", "clothing"]},
    "available": {"type": "boolean"},
    "dimensions": {"type": "object", "properties": {"width": {"type": "integer", "minimum": 0, "maximum": 500},
      "height": {"type": "integer", "minimum": 0, "maximum": 500}}, "required": ["width", "height"],
      "additionalProperties": false},
    "tags": {"type": "array", "items": {"type": "string", "maxLength": 12}, "maxItems": 3}},
  "required": ["identifier", "description", "category", "available", "dimensions", "tags"],
  "additionalProperties": false}}}, "required": ["items"], "additionalProperties": false,
  "x-guidance": {"whitespace_flexible": false}}"#;

/// The bytes' letters of the tiny tokenizer, and merges of letters into 200,829 further tokens as a BPE makes them.
fn tokenizer() -> Value {
    let mut file = tiny::tokenizer();
    let mut vocab: Map<String, Value> = file["model"]["vocab"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let mut merges = Vec::new();
    let mut known: HashSet<String> = vocab.keys().cloned().collect();
    let mut add = |left: &str, right: &str, vocab: &mut Map<String, Value>| {
        let word = format!("{left}{right}");
        if known.insert(word.clone()) {
            vocab.insert(word.clone(), json!(vocab.len() + 3));
            merges.push(json!([left, right]));
        }
        word
    };
    let letters: Vec<String> = ('a'..='z').map(String::from).collect();
    // A blank, as byte-level vocabularies write it.
    let blank = "\u{120}".to_string();
    let mut words = letters.clone();
    for (left, right) in [
        ("{", "\""),
        ("\"", ":"),
        ("\"", ","),
        ("\":", "\""),
        ("\",", "\""),
        ("}", ","),
        (":", "{"),
    ] {
        add(left, right, &mut vocab);
    }
    for word in [
        "items",
        "identifier",
        "description",
        "category",
        "available",
        "dimensions",
        "width",
        "height",
        "tags",
        "household",
        "electronics",
        "groceries",
        "clothing",
        "true",
        "false",
    ] {
        let mut whole = word[..1].to_string();
        for at in 1..word.len() {
            whole = add(&whole, &word[at..=at], &mut vocab);
        }
    }
    for a in 0..10 {
        for b in 0..10 {
            let two = add(&a.to_string(), &b.to_string(), &mut vocab);
            for c in 0..10 {
                add(&two, &c.to_string(), &mut vocab);
            }
        }
    }
    let mut seed = 7u64;
    while vocab.len() + 3 < SHAPE.vocabulary {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let pick = (seed >> 33) as usize;
        let left = match pick % 5 {
            0 => blank.clone(),
            _ => words[pick % words.len()].clone(),
        };
        let word = add(&left, &letters[(seed >> 7) as usize % 26], &mut vocab);
        if word.chars().count() < 12 {
            words.push(word);
        }
    }
    file["model"]["vocab"] = Value::Object(vocab);
    file["model"]["merges"] = Value::Array(merges);
    file
}

/// Compiles, and says how many milliseconds it took.
fn compile(engine: &Engine, lark: &str) -> (Arc<Grammar>, f64) {
    let start = Instant::now();
    let (sender, answer) = channel();
    engine.compile_constraint(
        lark,
        Box::new(move |outcome| {
            let _ = sender.send(outcome);
        }),
    );
    match answer.recv() {
        Ok(Ok(grammar)) => (grammar, start.elapsed().as_secs_f64() * 1e3),
        other => panic!("the schema does not compile: {other:?}"),
    }
}

struct Run {
    /// Between the first and the last output.
    ms_per_token: f64,
    tokens_per_step: f64,
}

fn run(
    engine: &Engine,
    outputs: &Receiver<Vec<Output>>,
    grammar: Option<&Arc<Grammar>>,
    count: usize,
    ids: &mut u64,
) -> Run {
    for _ in 0..count {
        *ids += 1;
        let mut request = random_model::request(*ids, TOKENS);
        request.params.temperature = 1.0;
        request.params.seed = Some(*ids);
        request.constraint = grammar.cloned();
        engine
            .submit(request)
            .unwrap_or_else(|e| panic!("refused: {}", e.message));
    }
    let (mut ended, mut tokens, mut steps) = (0, 0, 0);
    let mut start = None;
    while ended < count {
        let Ok(step) = outputs.recv() else { break };
        let said: usize = step.iter().map(|output| output.tokens.len()).sum();
        ended += step.iter().filter(|output| output.end.is_some()).count();
        if start.is_some() {
            tokens += said;
            steps += 1;
        } else if said > 0 {
            start = Some(Instant::now());
        }
    }
    let seconds = start.map_or(0.0, |start| start.elapsed().as_secs_f64());
    Run {
        ms_per_token: seconds * 1e3 / tokens as f64,
        tokens_per_step: tokens as f64 / f64::from(steps) / count as f64,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join("seed-bench-constraint-1");
    random_model::make(&folder, &SHAPE, &tokenizer())?;
    let (engine, outputs) = random_model::open(&folder, CROWD)?;
    let (forced, compile_ms) = compile(&engine, &format!("start: %json {SCHEMA}"));
    let (_, again_ms) = compile(&engine, &format!("start: %json {SCHEMA}"));
    let masked = format!("%llguidance {{\"no_forcing\": true}}\nstart: %json {SCHEMA}");
    let (masked, masked_ms) = compile(&engine, &masked);
    let mut ids = 0;
    let mut report = json!({
        "bench": "constraint", "vocabulary": SHAPE.vocabulary, "turns": TURNS,
        "compile_ms": masked_ms, "first_compile_ms": compile_ms, "cached_compile_ms": again_ms,
        "grammar_kb": forced.bytes() >> 10
    });
    for count in [1, CROWD] {
        let (mut free_ms, mut masked_ratio, mut forced_ratio, mut per_step) =
            (vec![], vec![], vec![], vec![]);
        for turn in 0..TURNS {
            let free = run(&engine, &outputs, None, count, &mut ids);
            let with_masks = run(&engine, &outputs, Some(&masked), count, &mut ids);
            let with_forcing = run(&engine, &outputs, Some(&forced), count, &mut ids);
            println!(
                "{count} sequences, turn {}: free {:.3} ms per token, a mask each {:.3}, with forced tokens {:.3}",
                turn + 1,
                free.ms_per_token,
                with_masks.ms_per_token,
                with_forcing.ms_per_token
            );
            free_ms.push(free.ms_per_token);
            masked_ratio.push(with_masks.ms_per_token / free.ms_per_token);
            forced_ratio.push(with_forcing.ms_per_token / free.ms_per_token);
            per_step.push(with_forcing.tokens_per_step);
        }
        let name = |what: &str| {
            if count == 1 {
                what.to_string()
            } else {
                format!("crowd_{what}")
            }
        };
        report[name("free_ms_per_token")] = json!(median(&mut free_ms));
        report[name("masked_over_free")] = json!(median(&mut masked_ratio));
        report[name("forced_over_free")] = json!(median(&mut forced_ratio));
        report[name("tokens_per_step")] = json!(median(&mut per_step));
    }
    println!("{report}");
    engine.close();
    Ok(())
}
