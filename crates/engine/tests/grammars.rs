//! The whole engine under grammars: crowds equal solo runs, answers are valid, forced tokens take no steps.

mod server;

use std::collections::HashMap;

use seed_engine::engine::LoadOptions;
use seed_engine::request::{End, Request};
use seed_engine::sampling::Finish;
use server::*;

/// Objects with much that is forced and some that is free.
const GRAMMAR: &str = r#"start: "call:" args <seed:pad>
args: %json {"type": "object", "properties": {"destination": {"enum": ["Amsterdam", "Antananarivo", "Oslo"]},
  "note": {"type": "string", "maxLength": 12}, "passengers": {"type": "array", "items": {"type": "boolean"},
  "minItems": 1, "maxItems": 4}}, "required": ["destination", "note", "passengers"], "additionalProperties": false,
  "x-guidance": {"whitespace_flexible": false}}"#;

fn under_grammar(server: &Server, id: u64) -> Request {
    let mut request = request(id, prompt(id), 120);
    request.constraint = (!id.is_multiple_of(4)).then(|| server.constraint(GRAMMAR));
    if id.is_multiple_of(3) {
        request.params.temperature = 1.0;
        request.params.seed = Some(id);
    }
    // One token at a time, as long as log-probabilities are wanted.
    request.params.logprobs = (id % 8 == 1).then_some(0);
    request
}

#[test]
fn a_crowd_under_grammars_equals_solo_runs_and_every_answer_is_valid() {
    let path = folder("grammars");
    let mut solo_options = options(path.clone());
    solo_options.prefix_cache = false;
    let solo = Server::start(&solo_options);
    let mut alone = HashMap::new();
    for id in 1..=24 {
        solo.submit(under_grammar(&solo, id));
        alone.extend(solo.collect(1, |_| {}));
    }
    let alone_steps = solo.engine.counters().steps;
    let generated: usize = alone.values().map(|a| a.tokens.len()).sum();
    let mut crowd_options = options(path);
    crowd_options.kv_cache = Some(2 * 3 * 2 * 8 * 32 * 2 * 90);
    let crowd = Server::start(&crowd_options);
    for id in 1..=24 {
        crowd.submit(under_grammar(&crowd, id));
    }
    let together = crowd.collect(24, |_| {});
    for id in 1..=24 {
        let answer = &together[&id];
        assert_eq!(answer.tokens, alone[&id].tokens, "request {id}");
        assert_eq!(answer.ends[0].generated as usize, answer.tokens.len());
        if id.is_multiple_of(4) {
            assert_eq!(answer.ends[0].end, End::Finished(Finish::Length));
            continue;
        }
        assert_eq!(answer.ends[0].end, End::Finished(Finish::Complete));
        let text = crowd.engine.tokenizer().decode(&answer.tokens, true);
        let json = text.strip_prefix("call:").unwrap();
        let value: serde_json::Value = serde_json::from_str(json).expect(json);
        assert!(value["note"].as_str().unwrap().chars().count() <= 12);
    }
    assert!(crowd.engine.counters().scheduler.preemptions > 0);
    assert_eq!(crowd.engine.counters().generated_tokens as usize, generated);
    // Six requests run without a grammar, three take each token by itself; the rest skip what is forced.
    assert!(
        (alone_steps as usize) < generated * 9 / 10,
        "{alone_steps} of {generated}"
    );
    crowd.nothing_is_in_use();
}

#[test]
fn guesses_change_nothing_under_a_grammar() {
    let path = folder("guessed-grammars");
    let mut answers = Vec::new();
    for prompt_lookup in [false, true] {
        let server = Server::start(&LoadOptions {
            prompt_lookup,
            ..options(path.clone())
        });
        let lark = r#"start: ("ab" | "abc" | "true false ")+"#;
        let mut asked = request(1, prompt(3), 150);
        asked.constraint = Some(server.constraint(lark));
        server.submit(asked);
        let answer = server.collect(1, |_| {}).remove(&1).unwrap();
        assert_eq!(answer.tokens.len(), 150);
        answers.push(answer.tokens);
    }
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn a_sequence_that_leaves_while_its_grammar_works_frees_everything() {
    let server = Server::start(&options(folder("leaving-grammars")));
    for id in 1..=16 {
        server.submit(under_grammar(&server, id));
    }
    for id in 1..=16 {
        server.engine.cancel(id);
    }
    server.collect(16, |_| {});
    server.nothing_is_in_use();
}

/// Each token of this grammar costs more than the one before, until it costs too much.
const SLOW: &str = r#"start: "x" t
t: t t t t t t | t t t "a" t t | "b" t t "c" t | t u | u t | "a" | "b" | "c" | "d"
u: t | u u | "a" | "b""#;

#[test]
fn a_slow_grammar_fails_its_own_sequence_and_changes_no_other() {
    let server = Server::start(&options(folder("slow-grammars")));
    let mut alone = HashMap::new();
    for id in 1..=3 {
        server.submit(under_grammar(&server, id));
        alone.extend(server.collect(1, |_| {}));
    }
    let mut slow = request(9, prompt(9), 200);
    slow.constraint = Some(server.constraint(SLOW));
    server.submit(slow);
    for id in 1..=3 {
        server.submit(under_grammar(&server, id));
    }
    let mut order = Vec::new();
    let together = server.collect(4, |output| {
        if output.end.is_some() {
            order.push(output.id);
        }
    });
    for id in 1..=3 {
        assert_eq!(together[&id].tokens, alone[&id].tokens, "request {id}");
    }
    assert_eq!(order.last(), Some(&9), "nobody waited for the slow one");
    let End::Failed(reason) = &together[&9].ends[0].end else {
        panic!("{:?}", together[&9].ends);
    };
    assert!(reason.contains("longer than 250 ms"), "{reason}");
    server.nothing_is_in_use();
}
