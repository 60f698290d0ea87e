//! Input that would abort the process, hang it or eat its memory: each is refused or bounded.

use super::*;

/// A grammar of one schema.
fn json_of(schema: &serde_json::Value) -> String {
    format!("start: %json {schema}")
}

fn chain(links: usize, link: &dyn Fn(serde_json::Value) -> serde_json::Value) -> String {
    let defs: serde_json::Map<_, _> = (0..=links)
        .map(|i| {
            let next = json!({"$ref": format!("#/$defs/d{}", i + 1)});
            let end = json!({"type": "null"});
            (format!("d{i}"), if i == links { end } else { link(next) })
        })
        .collect();
    json_of(&json!({"$ref": "#/$defs/d0", "$defs": defs}))
}

fn properties(n: usize, required: bool) -> serde_json::Value {
    let names: Vec<String> = (0..n).map(|i| format!("p{i}")).collect();
    let all: serde_json::Map<_, _> = names
        .iter()
        .map(|name| (name.clone(), json!({"type": "boolean"})))
        .collect();
    let needed = if required { names } else { Vec::new() };
    json!({"type": "object", "properties": all, "required": needed, "additionalProperties": false})
}

fn choices(n: usize) -> serde_json::Value {
    let one =
        |i: usize| json!({"type": "object", "properties": {"k": {"const": i}}, "required": ["k"]});
    json!({"anyOf": (0..n).map(one).collect::<Vec<_>>()})
}

/// Each is answered in time; `Some` says which part of a refusal must be there.
#[test]
fn the_table_of_hostile_grammars() {
    let s = setup();
    let plain = |next: serde_json::Value| next;
    let through = |next: serde_json::Value| json!({"type": "object", "properties": {"a": next}, "required": ["a"]});
    let all = |next: serde_json::Value| json!({"allOf": [next]});
    let words = |n: usize| json!({"enum": (0..n).map(|i| format!("word{i}")).collect::<Vec<_>>()});
    let multiples = |n: u32| json!({"allOf": (0..n).map(|i| json!({"type": "integer", "multipleOf": 9_973 - 2 * i})).collect::<Vec<_>>()});
    let nested = |n: usize| {
        (0..n).fold(
            json!({"type": "null"}),
            |inner, _| json!({"type": "array", "items": inner}),
        )
    };
    let binary = json!({"allOf": (0..20).map(|i| json!({"anyOf": [{"required": [format!("a{i}")]}, {"required": [format!("b{i}")]}]})).collect::<Vec<_>>()});
    let cases: Vec<(&str, String, Option<&str>)> = vec![
        ("60 links", chain(60, &plain), None),
        ("60 links through properties", chain(60, &through), None),
        ("60 links through allOf", chain(60, &all), None),
        ("400 links", chain(400, &plain), Some("$ref")),
        (
            "400 links through properties",
            chain(400, &through),
            Some("$ref"),
        ),
        ("400 links through allOf", chain(400, &all), Some("$ref")),
        ("3000 links through allOf", chain(3_000, &all), Some("$ref")),
        ("20000 links", chain(20_000, &plain), Some("256 kB")),
        (
            "multipleOf 999983",
            json_of(&json!({"type": "integer", "multipleOf": 999_983})),
            Some("multipleOf"),
        ),
        (
            "multipleOf 10000",
            json_of(&json!({"type": "integer", "multipleOf": 10_000})),
            None,
        ),
        ("multipleOf 2", json_of(&multiples(2)), Some("multipleOf")),
        ("multipleOf 8", json_of(&multiples(8)), Some("multipleOf")),
        (
            "(a{1000}){1000}",
            json_of(&json!({"type": "string", "pattern": "^(a{1000}){1000}$"})),
            Some("pattern"),
        ),
        (
            "maxLength",
            json_of(&json!({"type": "string", "maxLength": 100_000})),
            Some("maxLength"),
        ),
        ("1000 required", json_of(&properties(1_000, true)), None),
        ("400 optional", json_of(&properties(400, false)), None),
        (
            "401 optional",
            json_of(&properties(401, false)),
            Some("not required"),
        ),
        ("10000 words", json_of(&words(10_000)), None),
        ("10001 words", json_of(&words(10_001)), Some("enum")),
        ("500 choices", json_of(&choices(500)), None),
        ("3000 choices", json_of(&choices(3_000)), Some("")),
        ("20 binary anyOf", json_of(&binary), Some("")),
        ("60 arrays", json_of(&nested(60)), None),
        ("200 arrays", json_of(&nested(200)), Some("")),
        ("to itself", json_of(&json!({"$ref": "#"})), Some("")),
        (
            "items",
            json_of(&json!({"type": "array", "minItems": 100_000, "maxItems": 1_000_000})),
            None,
        ),
        (
            "parentheses in a pattern",
            json_of(
                &json!({"type": "string", "pattern": format!("{}a{}", "(".repeat(300), ")".repeat(300))}),
            ),
            Some(""),
        ),
        (
            "parentheses in Lark",
            format!("start: {}\"a\"{}", "(".repeat(50_000), ")".repeat(50_000)),
            Some(""),
        ),
        (
            "brackets in Lark",
            format!("start: {}\"a\"{}", "[".repeat(50_000), "]".repeat(50_000)),
            Some(""),
        ),
        (
            "nested Lark",
            format!(
                "start: {}\"a\"{}",
                "%lark { start: ".repeat(3_000),
                "}".repeat(3_000)
            ),
            Some(""),
        ),
        (
            "repeated Lark",
            "start: (((\"a\"~9000)~9000)~9000)~9000".into(),
            Some(""),
        ),
        (
            "long chain of rules",
            (0..20_000)
                .map(|i| format!("r{i}: r{}\n", i + 1))
                .collect::<String>()
                + "r20000: \"a\"\nstart: r0",
            Some(""),
        ),
        (
            "long chain of terminals",
            (0..20_000)
                .map(|i| format!("R{i}: R{}\n", i + 1))
                .collect::<String>()
                + "R20000: \"a\"\nstart: R0",
            Some(""),
        ),
        (
            "many terminals",
            (0..3_000)
                .map(|i| format!("A{i}: /[a-z]*{i}x/\n"))
                .collect::<String>()
                + "start: "
                + &(0..3_000)
                    .map(|i| format!("A{i}"))
                    .collect::<Vec<_>>()
                    .join("|"),
            Some(""),
        ),
        (
            "intersections",
            "start: A\nA: /(.*a.{30})/ & /(.*b.{30})/ & /(.*c.{30})/ & ~/(.*d.{30})/".into(),
            Some(""),
        ),
        (
            "substrings",
            format!(
                "start: %regex {{\"substring_chars\": \"{}\"}}",
                "abc".repeat(30_000)
            ),
            Some(""),
        ),
    ];
    for (name, lark, refused) in cases {
        let asked = Instant::now();
        let outcome = s.compile(&lark);
        let took = asked.elapsed();
        println!(
            "{name}: {took:?} {:.150}",
            outcome
                .as_ref()
                .map_or_else(|r| r.message.clone(), |g| format!("{} kB", g.bytes() >> 10))
        );
        assert!(took < Duration::from_secs(20), "{name}: {took:?}");
        match (outcome, refused) {
            (Ok(_), None | Some("")) => {}
            (Ok(_), Some(part)) => panic!("{name} is not refused: {part}"),
            (Err(refusal), None) => panic!("{name} is refused: {}", refusal.message),
            (Err(refusal), Some(part)) => {
                assert!(
                    refusal.message.contains(part),
                    "{name}: {}",
                    refusal.message
                );
                assert!(refusal.message.len() < 1024 && !refusal.message.contains('\n'));
            }
        }
    }
}

/// A grammar so ambiguous that each token costs more than the one before.
#[test]
fn a_step_that_takes_too_long_is_cancelled_and_fails_its_sequence() {
    let s = setup();
    let lark = r#"start: "x" t
t: t t t t t t | t t t "a" t t | "s" t t "i" t | t u | u t | "a" | "s" | "i" | "t" | "n"
u: t | u u | "a" | "s" | "t""#;
    let endless = SamplingParams {
        ignore_eos: true,
        ..greedy(1_000)
    };
    let mut generation = s.generation(lark, endless, None);
    let wanted = s.ids("assistant");
    let (mut waited, mut worst) = (0, Duration::ZERO);
    let error = loop {
        // As the engine's loop does where others have work: it comes back later.
        let asked = Instant::now();
        if !generation.ready(asked + Duration::from_millis(5)) {
            waited += 1;
            worst = worst.max(asked.elapsed());
            continue;
        }
        match generation.next(&mut s.row(&wanted)) {
            Ok(next) => assert_eq!(next.finish, None),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("longer than 250 ms"), "{error}");
    assert!(waited > 20 && generation.lags());
    assert!(worst < Duration::from_millis(200), "{worst:?}");
}
