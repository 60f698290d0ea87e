//! Stop strings against an oracle that sees the whole text.

use super::super::random::Random;
use super::*;

/// Where a byte-by-byte reader finds a stop: the end of the match and the string.
fn oracle<'a>(text: &[u8], stops: &'a [String]) -> Option<(usize, &'a str)> {
    (1..=text.len()).find_map(|end| {
        let ending = stops.iter().filter(|s| text[..end].ends_with(s.as_bytes()));
        ending.max_by_key(|s| s.len()).map(|s| (end, s.as_str()))
    })
}

/// Bytes at the end of the text that may be the beginning of a stop string.
fn begun(text: &[u8], stops: &[String]) -> usize {
    (1..=text.len())
        .rev()
        .find(|&n| {
            let tail = &text[text.len() - n..];
            stops
                .iter()
                .any(|s| s.len() > n && s.as_bytes().starts_with(tail))
        })
        .unwrap_or(0)
}

fn pick(random: &mut Random, alphabet: &[&str], longest: u64) -> String {
    let length = 1 + random.next() % longest;
    (0..length)
        .map(|_| alphabet[(random.next() % alphabet.len() as u64) as usize])
        .collect()
}

fn split(random: &mut Random, text: &[u8]) -> Vec<Vec<u8>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let size = (1 + random.next() % 4).min(rest.len() as u64) as usize;
        tokens.push(rest[..size].to_vec());
        rest = &rest[size..];
    }
    tokens
}

#[test]
fn any_splitting_shows_what_the_whole_text_would() {
    let mut random = Random::new(Some(11));
    let mut matched = 0;
    for round in 0..4000 {
        let text = pick(&mut random, &["a", "b", "é", "a"], 24).into_bytes();
        let stops: Vec<String> = (0..1 + random.next() % 3)
            .map(|_| pick(&mut random, &["a", "b", "é"], 6))
            .collect();
        let include = round % 2 == 0;
        let expected = oracle(&text, &stops);
        let mut machine = Stops::new(&stops, include);
        let (mut shown, mut fed, mut found) = (Vec::new(), Vec::new(), None);
        let tokens = split(&mut random, &text);
        let mut released = 0;
        for (index, token) in tokens.iter().enumerate() {
            fed.extend_from_slice(token);
            let (out, hit) = machine.push(index, Text::Answer(token), true);
            for (index, visible) in out {
                assert_eq!(index, released, "in order, each once");
                released += 1;
                shown.extend_from_slice(&tokens[index][..visible]);
            }
            if let Some(hit) = hit {
                found = Some((fed.len(), hit.text));
                break;
            }
            // Held back is exactly every token that reaches into a begun stop string.
            let certain = fed.len() - begun(&fed, &stops);
            let mut end = 0;
            let free = tokens[..=index].iter().take_while(|t| {
                end += t.len();
                end <= certain
            });
            assert_eq!(released, free.count(), "{stops:?} in {fed:?}");
        }
        shown.extend(machine.flush().iter().flat_map(|(i, v)| &tokens[*i][..*v]));
        match expected {
            None => assert_eq!((shown, found), (text, None)),
            Some((end, stop)) => {
                matched += 1;
                let cut = if include { end } else { end - stop.len() };
                assert_eq!(shown, &text[..cut], "{stops:?}");
                let (last, name) = found.expect("a match");
                assert_eq!(name, stop);
                assert!(last >= end && last < end + 4, "no token after the match's");
            }
        }
    }
    assert!(matched > 1000, "{matched}");
}

#[test]
fn a_string_completed_too_early_does_not_count_but_may_go_on() {
    let mut machine = Stops::new(&["aba".to_string()], false);
    assert_eq!(machine.push(0, Text::Answer(b"aba"), false), (vec![], None));
    let (out, hit) = machine.push(1, Text::Answer(b"ba"), true);
    assert_eq!(out, [(0, 2), (1, 0)]);
    assert!(hit.is_some());
}

#[test]
fn text_does_not_continue_across_thought_and_control_tokens() {
    let stops = ["ab".to_string(), "<end>".to_string(), "n".to_string()];
    let mut machine = Stops::new(&stops, false);
    assert_eq!(machine.push(0, Text::Answer(b"a"), true).0, []);
    assert_eq!(
        machine.push(1, Text::Apart(b"b"), true),
        (vec![(0, 1), (1, 1)], None)
    );
    machine.push(2, Text::Answer(b"a"), true);
    // Neither the "n" in a control token's name nor its neighbours count; its whole name does.
    let (out, hit) = machine.push(3, Text::Control(b"<next>"), true);
    assert_eq!((out, hit), (vec![(2, 1), (3, 6)], None));
    let (out, hit) = machine.push(4, Text::Control(b"<end>"), true);
    assert_eq!(out, [(4, 0)]);
    assert_eq!(hit.map(|h| h.text).as_deref(), Some("<end>"));
}

#[test]
fn without_stop_strings_nothing_is_held() {
    let mut machine = Stops::new(&[], false);
    assert_eq!(
        machine.push(0, Text::Answer(b"x"), true),
        (vec![(0, 1)], None)
    );
    assert!(machine.flush().is_empty());
}
