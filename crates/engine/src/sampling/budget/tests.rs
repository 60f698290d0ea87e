//! The counting rule and the forced closing, token by token.

use super::*;
use crate::text::VocabularyEntry as Entry;

const START: u32 = 1;
const END: u32 = 2;
const REFLECT: u32 = 3;
const REFLECT_END: u32 = 4;
const CALL: u32 = 5;
const CALL_END: u32 = 6;
const WORD: u32 = 7;
const EMOJI: u32 = 8;
const TAIL: u32 = 9;

fn vocabulary() -> Vocabulary {
    let texts: [&[u8]; 10] = [
        b"<e>",
        b"<t>",
        b"</t>",
        b"<r>",
        b"</r>",
        b"<c>",
        b"</c>",
        b"w",
        b"\xF0\x9F",
        b"\x98",
    ];
    let entry = |(id, bytes): (usize, &&[u8])| {
        Some(Entry {
            bytes: bytes.to_vec(),
            control: id < 7,
        })
    };
    Vocabulary::from_entries(texts.iter().enumerate().map(entry).collect())
}

fn spec(budget: Option<u32>, open: bool) -> ThoughtSpec {
    ThoughtSpec {
        start: vec![START],
        end: END,
        reflect_start: Some(REFLECT),
        reflect_end: Some(REFLECT_END),
        call_start: Some(CALL),
        call_end: Some(CALL_END),
        open_in_prompt: open,
        budget,
        closing: vec![REFLECT, WORD, REFLECT_END, END],
        closing_in_reflection: vec![REFLECT_END, END],
        forbid_second: true,
        ..ThoughtSpec::default()
    }
}

/// Plays a model that wants to say `wanted`, then words for ever; returns what came out in `steps` steps.
fn play(thought: &mut Thought, wanted: &[u32], steps: usize) -> Vec<u32> {
    let vocabulary = vocabulary();
    let mut wanted = wanted.iter();
    (0..steps)
        .map(|_| {
            let wish = thought.wish();
            let id = wish
                .force
                .unwrap_or_else(|| wanted.next().copied().unwrap_or(WORD));
            thought.observe(id, &vocabulary);
            id
        })
        .collect()
}

#[test]
fn counts_strictly_between_the_markers_and_not_the_prompt() {
    let mut thought = Thought::new(spec(None, false), &[START, WORD]);
    play(
        &mut thought,
        &[WORD, START, WORD, REFLECT, REFLECT_END, END, WORD],
        7,
    );
    assert_eq!(thought.count(), 3);
    let mut open = Thought::new(spec(None, true), &[START, WORD, WORD]);
    play(&mut open, &[WORD, END, WORD], 3);
    assert_eq!(open.count(), 1);
}

#[test]
fn a_used_up_budget_forces_the_closing_and_then_an_answer() {
    let mut thought = Thought::new(spec(Some(2), false), &[]);
    let said = play(&mut thought, &[START, WORD, WORD, WORD], 7);
    assert_eq!(said, [START, WORD, WORD, REFLECT, WORD, REFLECT_END, END]);
    assert_eq!(thought.count(), 5);
    let first = thought.wish();
    assert!(first.ban_ends && first.ban == Some(START) && first.force.is_none());
    thought.observe(WORD, &vocabulary());
    let second = thought.wish();
    assert!(
        !second.ban_ends && second.ban == Some(START),
        "only the one next token"
    );
}

#[test]
fn a_thought_closed_by_itself_bans_a_second_but_no_end() {
    let mut thought = Thought::new(spec(Some(64), false), &[]);
    play(&mut thought, &[START, WORD, END], 3);
    assert_eq!(
        thought.wish(),
        Wish {
            force: None,
            ban: Some(START),
            ban_ends: false
        }
    );
    let mut free = Thought::new(spec(None, false), &[]);
    play(&mut free, &[START, WORD, END], 3);
    assert_eq!(free.wish(), Wish::default());
}

#[test]
fn an_open_reflection_is_closed_first() {
    let mut thought = Thought::new(spec(Some(2), false), &[]);
    let said = play(&mut thought, &[START, WORD, REFLECT], 5);
    assert_eq!(said[3..], [REFLECT_END, END]);
    // Also one that the prompt opened.
    let mut thought = Thought::new(spec(Some(1), true), &[WORD, START, REFLECT]);
    assert_eq!(play(&mut thought, &[], 3), [WORD, REFLECT_END, END]);
    // But not one of an earlier turn.
    let mut thought = Thought::new(spec(Some(1), true), &[REFLECT, START]);
    assert_eq!(play(&mut thought, &[], 2), [WORD, REFLECT]);
}

#[test]
fn never_forced_inside_a_call_unless_it_does_not_end() {
    let mut thought = Thought::new(spec(Some(2), false), &[]);
    let said = play(&mut thought, &[START, CALL, WORD, WORD, WORD, CALL_END], 7);
    assert_eq!(said, [START, CALL, WORD, WORD, WORD, CALL_END, REFLECT]);
    let mut thought = Thought::new(spec(Some(2), false), &[]);
    let said = play(&mut thought, &[START, CALL], 3 + CALL_WAIT as usize + 1);
    assert_eq!(
        said.iter().position(|&id| id == REFLECT),
        Some(3 + CALL_WAIT as usize)
    );
}

#[test]
fn an_incomplete_character_is_finished_first() {
    let mut thought = Thought::new(spec(Some(1), true), &[]);
    assert_eq!(
        play(&mut thought, &[EMOJI, TAIL, TAIL], 4),
        [EMOJI, TAIL, TAIL, REFLECT]
    );
    // A model that never finishes it gets three tokens.
    let mut thought = Thought::new(spec(Some(1), true), &[]);
    assert_eq!(
        play(&mut thought, &[EMOJI, EMOJI, EMOJI, EMOJI, EMOJI], 5),
        [EMOJI, EMOJI, EMOJI, EMOJI, REFLECT]
    );
}

#[test]
fn budget_nought_bans_the_start_and_closes_what_the_prompt_left_open() {
    let mut thought = Thought::new(spec(Some(0), false), &[]);
    assert_eq!(thought.wish().ban, Some(START));
    let mut open = Thought::new(spec(Some(0), true), &[START, REFLECT]);
    assert_eq!(play(&mut open, &[], 2), [REFLECT_END, END]);
    assert_eq!(open.wish().ban, Some(START));
}

#[test]
fn a_closing_always_ends_the_thought() {
    let mut hard = spec(Some(1), true);
    hard.closing = Vec::new();
    hard.closing_in_reflection = Vec::new();
    let mut thought = Thought::new(hard, &[]);
    assert_eq!(play(&mut thought, &[], 3), [WORD, END, WORD]);
    assert_eq!(thought.count(), 1);
    assert!(!thought.is_open());
}

/// Harmony's tokens: start, channel, message and end of a message, and words.
const H: [u32; 4] = [0, 1, 2, 3];
const ASSISTANT: u32 = 7;
const ANALYSIS: u32 = 9;
const FINAL: u32 = 8;

fn harmony(budget: Option<u32>) -> ThoughtSpec {
    let [start, channel, message, end] = H;
    ThoughtSpec {
        start: vec![start, ASSISTANT, channel, ANALYSIS, message],
        choice: 3,
        end,
        budget,
        closing: vec![end],
        after_closing: vec![start, ASSISTANT, channel, FINAL, message],
        messages: Some(Messages {
            content: message,
            ends: vec![start, channel, end],
        }),
        ..ThoughtSpec::default()
    }
}

#[test]
fn a_thought_may_be_the_content_of_a_message() {
    let [start, channel, message, end] = H;
    let prompt = [message, WORD, end, start, ASSISTANT];
    let thinks = [channel, ANALYSIS, message, WORD, WORD, end];
    let mut thought = Thought::new(harmony(None), &prompt);
    assert!(!thought.is_answer());
    play(&mut thought, &thinks[..4], 4);
    assert!(thought.is_open() && thought.count() == 1);
    play(&mut thought, &thinks[4..], 2);
    assert!(!thought.is_open() && thought.count() == 2);
    // A header is no answer, and a message to a tool no thought, whatever its channel.
    play(
        &mut thought,
        &[start, ASSISTANT, WORD, channel, ANALYSIS],
        5,
    );
    assert!(!thought.is_answer());
    play(&mut thought, &[message], 1);
    assert!(thought.is_answer() && !thought.is_open());
    // A next message ends a thought whose end was forgotten.
    let mut thought = Thought::new(harmony(None), &prompt);
    play(
        &mut thought,
        &[
            channel, ANALYSIS, message, WORD, channel, FINAL, message, WORD,
        ],
        8,
    );
    assert!(thought.is_answer() && thought.count() == 1);
    // The thought that the prompt began.
    let open = ThoughtSpec {
        open_in_prompt: true,
        ..harmony(None)
    };
    let mut thought = Thought::new(open, &[start, ASSISTANT, channel, ANALYSIS, message, WORD]);
    play(&mut thought, &[WORD, end], 2);
    assert_eq!(thought.count(), 1);
}

#[test]
fn a_used_up_budget_goes_on_with_the_header_of_the_answer() {
    let [start, channel, message, end] = H;
    let prompt = [start, ASSISTANT];
    let mut thought = Thought::new(harmony(Some(2)), &prompt);
    let said = play(
        &mut thought,
        &[channel, ANALYSIS, message, WORD, WORD, WORD],
        11,
    );
    assert_eq!(said[5..], [end, start, ASSISTANT, channel, FINAL, message]);
    assert_eq!((thought.count(), thought.is_answer()), (2, true));
    assert!(thought.wish().ban_ends, "an answer has to follow");
    // No second thought; the header's other words may come.
    play(&mut thought, &[WORD, end, start, ASSISTANT], 4);
    assert_eq!(thought.wish(), Wish::default());
    play(&mut thought, &[channel], 1);
    assert_eq!(thought.wish().ban, Some(ANALYSIS));

    // Several thoughts share the budget.
    let mut thought = Thought::new(harmony(Some(3)), &prompt);
    let one = [channel, ANALYSIS, message, WORD, end, start, ASSISTANT];
    play(&mut thought, &one, 7);
    let said = play(
        &mut thought,
        &[channel, ANALYSIS, message, WORD, WORD, WORD],
        6,
    );
    assert_eq!(said[3..], [WORD, WORD, end]);
}

#[test]
fn budget_nought_starts_with_the_header_of_the_answer() {
    let [start, channel, message, _] = H;
    let mut thought = Thought::new(harmony(Some(0)), &[WORD, start, ASSISTANT]);
    assert_eq!(play(&mut thought, &[], 4), [channel, FINAL, message, WORD]);
    // Where the choice is left to the model, it is only kept from thinking.
    let free = ThoughtSpec {
        after_closing: vec![start, ASSISTANT, channel],
        ..harmony(Some(0))
    };
    let mut thought = Thought::new(free, &[start, ASSISTANT]);
    assert_eq!(thought.wish().force, Some(channel));
    thought.observe(channel, &vocabulary());
    assert_eq!(thought.wish().ban, Some(ANALYSIS));
}

#[test]
fn tokens_that_a_grammar_forces_count_as_those_of_the_closing() {
    let [start, channel, message, end] = H;
    let mut thought = Thought::new(harmony(Some(1)), &[start, ASSISTANT]);
    play(&mut thought, &[channel, ANALYSIS, message, WORD], 4);
    assert_eq!(thought.wish().force, Some(end));
    for id in [end, start, ASSISTANT] {
        thought.observe(id, &vocabulary());
    }
    assert_eq!(thought.wish().force, Some(channel));
    // The grammar wants another header: the rest is dropped, not forced later.
    thought.observe(channel, &vocabulary());
    thought.observe(WORD, &vocabulary());
    assert_eq!(thought.wish(), Wish::default());
    assert_eq!(thought.skip_closing(), None);
}
