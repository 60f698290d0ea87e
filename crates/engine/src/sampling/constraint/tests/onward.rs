//! Several calls in one reply: generation goes on after a call's end only where the model itself begins another.

use super::*;
use crate::sampling::GoesOn;

/// A call, and others after it; END ends the model's turn.
const CALLS: &str = r#"start: call (<|start|> "assistant" call)*
call: <|message|> ("true" | "null") <|end|>"#;
const ONE: &str = "<|message|>true<|end|>";

fn params() -> SamplingParams {
    SamplingParams {
        eos_ids: vec![EOS, END],
        goes_on: Some(GoesOn {
            after: END,
            until: MESSAGE,
        }),
        ..greedy(100)
    }
}

fn ends() -> Setup {
    let tokenizer = tokenizer();
    let compiler = Compiler::start(Arc::clone(&tokenizer), vec![EOS, END]).unwrap();
    Setup {
        tokenizer,
        compiler,
    }
}

/// A model that writes these texts one after the other, whatever the grammar says; then always the last one.
fn write(s: &Setup, params: SamplingParams, texts: &str) -> (String, Option<Finish>) {
    let script = s.ids(texts);
    let mut generation = s.generation(CALLS, params, None);
    let (mut ids, mut finish) = (Vec::new(), None);
    while finish.is_none() && ids.len() < 50 {
        assert!(generation.ready(soon()));
        let wanted = script[ids.len().min(script.len() - 1)];
        let mut next = generation.next(&mut s.row(&[wanted])).unwrap();
        assert!(generation.ready(soon()));
        generation.extend(&mut next);
        ids.extend(next.tokens);
        finish = next.finish;
    }
    (s.tokenizer.decode(&ids, false), finish)
}

#[test]
fn another_call_follows_where_the_model_begins_one() {
    let s = ends();
    let two = "<|message|>true<|end|><|start|>assistant<|message|>null<|end|>";
    let (text, finish) = write(&s, params(), &format!("{two}<eos>"));
    assert_eq!(text, format!("{two}<eos>"));
    assert_eq!(finish, Some(Finish::Eos(EOS)));
}

#[test]
fn what_the_grammar_does_not_admit_ends_the_reply() {
    let s = ends();
    for (written, kept) in [
        (format!("{ONE}null"), ONE.to_string()),
        (format!("{ONE}<think>"), ONE.to_string()),
        // The header of a tool's own message, which nobody but a tool may write.
        (format!("{ONE}<|start|>null"), format!("{ONE}<|start|>")),
        (
            format!("{ONE}<|start|>assistant<|end|>"),
            format!("{ONE}<|start|>assistant"),
        ),
    ] {
        let (text, finish) = write(&s, params(), &written);
        assert_eq!((text, finish), (kept, Some(Finish::Complete)), "{written}");
    }
}

#[test]
fn the_end_of_a_call_twice_in_a_row_ends_the_reply() {
    let s = ends();
    let (text, finish) = write(&s, params(), &format!("{ONE}<|end|>"));
    assert_eq!(text, format!("{ONE}<|end|>"));
    assert_eq!(finish, Some(Finish::Eos(END)));
}

#[test]
fn the_content_of_the_next_call_is_held_again() {
    let s = ends();
    let written = format!("{ONE}<|start|>assistant<|message|>name");
    let (text, _) = write(&s, params(), &written);
    let second = text.strip_prefix("<|message|>true<|end|><|start|>assistant<|message|>");
    assert!(
        second.is_some_and(|rest| rest.starts_with("true") || rest.starts_with("null")),
        "{text}"
    );
}

#[test]
fn unless_asked_for_the_first_call_is_the_last() {
    let s = ends();
    let plain = SamplingParams {
        goes_on: None,
        ..params()
    };
    let (text, finish) = write(&s, plain, &format!("{ONE}<|start|>assistant{ONE}"));
    assert_eq!((text.as_str(), finish), (ONE, Some(Finish::Eos(END))));
}
