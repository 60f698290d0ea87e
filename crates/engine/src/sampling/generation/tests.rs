//! A whole generation fed with scripted or random logits.

use super::*;
use crate::text::VocabularyEntry as Entry;

const EOS: u32 = 0;
const START: u32 = 1;
const END: u32 = 2;
const REFLECT: u32 = 3;
const REFLECT_END: u32 = 4;
const CALL: u32 = 5;
const CALL_END: u32 = 6;
const A: u32 = 7;
const B: u32 = 8;
const AB: u32 = 9;
const HOLE: u32 = 10;
const FORCED: u32 = 11;
const FORCED_IN_REFLECTION: u32 = 12;
const HALF: u32 = 13;
/// Rows of the head: the vocabulary ends at 15.
const ROWS: usize = 20;

fn vocabulary() -> Arc<Vocabulary> {
    let texts: [&[u8]; 15] = [
        b"<e>", b"<t>", b"</t>", b"<r>", b"</r>", b"<c>", b"</c>", b"a", b"b", b"ab", b"", b"f",
        b"g", b"\xC3", b"\xBC",
    ];
    let entry = |(id, bytes): (usize, &&[u8])| {
        (id as u32 != HOLE).then(|| Entry {
            bytes: bytes.to_vec(),
            control: id < 7,
        })
    };
    Arc::new(Vocabulary::from_entries(
        texts.iter().enumerate().map(entry).collect(),
    ))
}

fn greedy() -> SamplingParams {
    SamplingParams {
        temperature: 0.0,
        max_tokens: 100,
        eos_ids: vec![EOS],
        ..Default::default()
    }
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
        closing: vec![FORCED, REFLECT, A, REFLECT_END, END],
        closing_in_reflection: vec![FORCED_IN_REFLECTION, REFLECT_END, END],
        forbid_second: true,
        ..ThoughtSpec::default()
    }
}

fn start(params: SamplingParams, thought: Option<ThoughtSpec>) -> Generation {
    Generation::new(params, thought, None, vocabulary(), &[START]).expect("valid parameters")
}

/// A row that wants `id` most, then `second`.
fn want(id: u32, second: u32) -> Vec<f32> {
    let mut row = vec![0.0; ROWS];
    row[second as usize] = 5.0;
    row[id as usize] = 9.0;
    row
}

/// Runs a model that wants these tokens; gives the tokens, what is shown of each, and the end.
fn run(generation: &mut Generation, wanted: &[u32]) -> (Vec<u32>, String, Option<Finish>) {
    let vocabulary = vocabulary();
    let (mut tokens, mut shown) = (Vec::new(), Vec::new());
    for &id in wanted {
        let next = generation.next(&mut want(id, A)).expect("a token");
        tokens.push(next.tokens[0]);
        for released in &next.released {
            shown.extend_from_slice(&vocabulary.bytes(released.id)[..released.visible]);
        }
        if next.finish.is_some() {
            assert!(generation.finish_early().is_empty(), "nothing is left held");
            return (tokens, String::from_utf8(shown).expect("text"), next.finish);
        }
    }
    (tokens, String::from_utf8(shown).expect("text"), None)
}

#[test]
fn ends_by_eos_stop_token_stop_string_and_length() {
    let (tokens, shown, end) = run(&mut start(greedy(), None), &[A, B, EOS, A]);
    assert_eq!(
        (tokens, shown.as_str(), end),
        (vec![A, B, EOS], "ab", Some(Finish::Eos(EOS)))
    );

    let params = SamplingParams {
        stop_token_ids: vec![B],
        ..greedy()
    };
    let (_, shown, end) = run(&mut start(params.clone(), None), &[A, B]);
    assert_eq!((shown.as_str(), end), ("a", Some(Finish::StopToken(B))));
    let included = SamplingParams {
        include_stop: true,
        ..params
    };
    assert_eq!(run(&mut start(included, None), &[A, B]).1, "ab");

    let params = SamplingParams {
        stop_strings: vec!["ba".into()],
        ..greedy()
    };
    let (tokens, shown, end) = run(&mut start(params.clone(), None), &[A, AB, AB, A]);
    assert_eq!((tokens.len(), shown.as_str()), (3, "aa"));
    assert_eq!(end, Some(Finish::StopString("ba".into())));
    // Held back at the end of the budget of tokens: released whole.
    let short = SamplingParams {
        max_tokens: 2,
        ..params
    };
    let (_, shown, end) = run(&mut start(short, None), &[A, AB]);
    assert_eq!((shown.as_str(), end), ("aab", Some(Finish::Length)));
}

#[test]
fn nothing_ends_before_min_tokens() {
    let params = SamplingParams {
        min_tokens: 3,
        stop_token_ids: vec![B],
        stop_strings: vec!["ab".into()],
        ..greedy()
    };
    let (tokens, shown, end) = run(&mut start(params.clone(), None), &[EOS, B, EOS, EOS]);
    assert_eq!((tokens, shown.as_str()), (vec![A, A, A, EOS], "aaa"));
    assert_eq!(end, Some(Finish::Eos(EOS)));
    let (tokens, shown, end) = run(&mut start(params, None), &[AB, A, AB]);
    assert_eq!((tokens.len(), shown.as_str()), (3, "aba"));
    assert_eq!(end, Some(Finish::StopString("ab".into())));
}

#[test]
fn ignore_eos_goes_on_without_showing_it() {
    let params = SamplingParams {
        ignore_eos: true,
        stop_token_ids: vec![B],
        ..greedy()
    };
    let (tokens, shown, end) = run(&mut start(params, None), &[A, EOS, A, B]);
    assert_eq!((tokens, shown.as_str()), (vec![A, EOS, A, B], "aa"));
    assert_eq!(end, Some(Finish::StopToken(B)));
}

#[test]
fn stop_strings_count_in_the_answer_only() {
    let params = SamplingParams {
        stop_strings: vec!["ab".into()],
        ..greedy()
    };
    let wanted = [AB, A, END, B, AB];
    let (tokens, shown, _) = run(&mut start(params.clone(), Some(spec(None, true))), &wanted);
    assert_eq!((tokens.len(), shown.as_str()), (5, "aba</t>b"));
    assert_eq!(run(&mut start(params, None), &wanted).0, [AB]);
}

#[test]
fn padding_and_holes_are_never_sampled() {
    let params = SamplingParams {
        temperature: 5.0,
        seed: Some(4),
        max_tokens: u32::MAX,
        ignore_eos: true,
        logprobs: Some(30),
        ..greedy()
    };
    let mut generation = start(params, None);
    for _ in 0..2000 {
        let mut row = vec![0.0; ROWS];
        row[HOLE as usize] = 30.0;
        row[15..].fill(f32::NAN);
        let next = generation.next(&mut row).expect("a token");
        assert!(next.tokens[0] < 15 && next.tokens[0] != HOLE);
        let score = next.released[0].logprob.clone().expect("asked for");
        assert!(
            (score.chosen + 14f32.ln()).abs() < 1e-5,
            "padding takes no part"
        );
        assert_eq!(score.top.len(), 14);
    }
}

#[test]
fn logprobs_are_of_the_raw_distribution() {
    let params = SamplingParams {
        logit_bias: vec![(A, -100.0), (B, 50.0)],
        repetition_penalty: 3.0,
        logprobs: Some(2),
        ..greedy()
    };
    let mut generation = start(params, None);
    let next = generation.next(&mut want(A, START)).expect("a token");
    assert_eq!(next.tokens[0], B);
    let score = next.released[0].logprob.clone().expect("asked for");
    let sum = 9f64.exp() + 5f64.exp() + 12.0;
    assert!((f64::from(score.chosen) + sum.ln()).abs() < 1e-5);
    assert_eq!(score.rank, 3);
    assert_eq!(
        score.top.iter().map(|t| t.0).collect::<Vec<_>>(),
        [A, START]
    );
    // A forced token has its own, unlikely one.
    let params = SamplingParams {
        logprobs: Some(0),
        ..greedy()
    };
    let mut generation = start(params, Some(spec(Some(0), true)));
    let next = generation.next(&mut want(A, B)).expect("a token");
    assert_eq!(next.tokens[0], FORCED);
    assert!(
        (f64::from(next.released[0].logprob.as_ref().expect("asked").chosen) + sum.ln()).abs()
            < 1e-5
    );
}

#[test]
fn broken_logits_and_nothing_left_are_errors() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut row = want(A, B);
        row[3] = bad;
        assert_eq!(
            start(greedy(), None).next(&mut row),
            Err(SampleError::NonFinite)
        );
    }
    let mut nothing = vec![f32::NEG_INFINITY; ROWS];
    assert_eq!(
        start(greedy(), None).next(&mut nothing),
        Err(SampleError::NonFinite)
    );
    let mut holes = vec![f32::NEG_INFINITY; ROWS];
    holes[B as usize] = 0.0;
    assert_eq!(
        start(greedy(), None).next(&mut holes).map(|n| n.tokens[0]),
        Ok(B)
    );
    let params = SamplingParams {
        allowed_token_ids: Some(vec![EOS]),
        min_tokens: 1,
        ..greedy()
    };
    assert_eq!(
        start(params, None).next(&mut want(A, B)),
        Err(SampleError::AllBanned)
    );
}

#[test]
fn the_same_seed_draws_the_same_and_another_does_not() {
    let draw = |seed| {
        let params = SamplingParams {
            temperature: 2.0,
            seed: Some(seed),
            ignore_eos: true,
            ..greedy()
        };
        let mut generation = start(params, None);
        (0..50)
            .map(|_| generation.next(&mut [0.5; ROWS]).expect("a token").tokens[0])
            .collect::<Vec<_>>()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn parameters_are_checked_against_the_real_vocabulary() {
    let params = SamplingParams {
        logit_bias: vec![(15, 1.0)],
        ..greedy()
    };
    assert!(Generation::new(params, None, None, vocabulary(), &[]).is_err());
    let mut foreign = spec(Some(1), false);
    foreign.closing.push(15);
    let error =
        Generation::new(greedy(), Some(foreign), None, vocabulary(), &[]).expect_err("foreign id");
    assert!(error.to_string().contains("token id 15"), "{error}");
}

/// Random tokens; markers that a model writes in its thought come now and then, forced ones never by themselves.
fn noise(random: &mut Random, calls: bool) -> Vec<f32> {
    let mut row: Vec<f32> = (0..ROWS).map(|_| (random.unit() * 6.0) as f32).collect();
    row[FORCED as usize] = f32::NEG_INFINITY;
    row[FORCED_IN_REFLECTION as usize] = f32::NEG_INFINITY;
    row[END as usize] -= if calls { 4.0 } else { 9.0 };
    row[EOS as usize] -= 4.0;
    if !calls {
        row[CALL as usize] = f32::NEG_INFINITY;
        row[HALF as usize] = f32::NEG_INFINITY;
    } else {
        row[CALL_END as usize] -= 3.0;
    }
    row
}

/// Follows the output with the rules written down a second time.
fn check_budget(budget: u32, open: bool, calls: bool, seed: u64) -> bool {
    let params = SamplingParams {
        temperature: 1.0,
        seed: Some(seed),
        max_tokens: 3000,
        ..greedy()
    };
    let mut generation = start(params, Some(spec(Some(budget), open)));
    let mut random = Random::new(Some(seed ^ 0xABCD));
    let (mut open, mut closed, mut count, mut in_call, mut late) = (open, 0, 0u32, false, 0u32);
    let (mut forcing, mut forced) = (false, false);
    loop {
        let next = generation
            .next(&mut noise(&mut random, calls))
            .expect("a token");
        let id = next.tokens[0];
        let after_forced = std::mem::take(&mut forced);
        assert!(
            !(after_forced && id == EOS),
            "an answer follows a forced end"
        );
        if open && id == END {
            open = false;
            closed += 1;
            forced = forcing;
        } else if open && id != EOS {
            if id == FORCED || id == FORCED_IN_REFLECTION {
                forcing = true;
                assert!(count >= budget, "not before the budget is used up");
                assert!(!in_call || late >= 512, "not inside a call");
            }
            late += u32::from(count >= budget && !forcing);
            count += 1;
            in_call = id == CALL || (in_call && id != CALL_END);
        } else if id == START {
            assert!(closed == 0 && budget > 0, "no second thought");
            open = true;
        }
        if next.finish.is_some() {
            break;
        }
    }
    assert_eq!(generation.reasoning_tokens(), count);
    let waiting = if calls { 512 + 3 } else { 0 };
    assert!(count <= budget + 4 + waiting, "{count} for {budget}");
    forcing
}

#[test]
fn a_budget_holds_whatever_the_model_says() {
    for budget in [0, 1, 2, 64, 512] {
        let mut forced = 0;
        for seed in 0..60 {
            let open = seed % 2 == 0 && budget > 0;
            forced += u32::from(check_budget(budget, open, seed % 3 == 0, seed));
        }
        assert!(
            forced > 0 || budget == 0,
            "budget {budget} was never used up"
        );
    }
}

#[test]
fn stop_strings_are_looked_for_in_messages_and_not_in_their_headers() {
    // START begins a header, END begins the content.
    let spec = ThoughtSpec {
        start: vec![REFLECT],
        end: REFLECT_END,
        messages: Some(super::super::budget::Messages {
            content: END,
            ends: vec![START],
        }),
        ..ThoughtSpec::default()
    };
    let params = SamplingParams {
        stop_strings: vec!["ab".into()],
        ..greedy()
    };
    let (tokens, shown, end) = run(
        &mut start(params, Some(spec)),
        &[A, B, END, A, START, B, AB, END, B, A, B],
    );
    assert_eq!(tokens, [A, B, END, A, START, B, AB, END, B, A, B]);
    assert_eq!(shown, "ab</t>a<t>bab</t>b");
    assert_eq!(end, Some(Finish::StopString("ab".into())));
}
