//! What a JSON schema inside a grammar may not ask for, because compiling it would take seconds, gigabytes or the whole
//! stack. Part of the guard.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value};

use super::guard::pattern;

/// Bytes of one schema.
const LARGEST: usize = 256 << 10;
/// References that may follow from one another; longer chains overflow the stack of the compiler.
const CHAIN: usize = 64;
/// Largest factor whose multiples are enforced: the automaton has a state for each remainder.
const MULTIPLE: u64 = 10_000;
/// Sum of all factors of a schema: each remainder of each takes half a kilobyte.
const MULTIPLES: u64 = 50_000;
/// Properties of one object that may be left out.
const OPTIONAL: usize = 400;
/// Values of an enumeration.
const VALUES: usize = 10_000;
/// Counted characters: each is a state of the lexer.
const CHARACTERS: u64 = 10_000;

/// Checks a schema of so many bytes; the error is one sentence that names the keyword.
pub(super) fn check(schema: &Value, bytes: usize) -> Result<(), String> {
    if bytes > LARGEST {
        return Err(format!("a schema is larger than {} kB", LARGEST >> 10));
    }
    objects(schema, &mut keywords)?;
    multiples(schema)?;
    Chains {
        root: schema,
        known: HashMap::new(),
    }
    .follow(schema, 0)?;
    Ok(())
}

/// Calls for each object that may be a schema. Nesting is bounded by the JSON reader.
fn objects<'a>(
    value: &'a Value,
    call: &mut dyn FnMut(&'a Map<String, Value>) -> Result<(), String>,
) -> Result<(), String> {
    match value {
        Value::Object(map) => {
            call(map)?;
            let inner = map.iter().filter(|(key, _)| {
                !matches!(key.as_str(), "const" | "enum" | "default" | "examples")
            });
            inner.into_iter().try_for_each(|(_, v)| objects(v, call))
        }
        Value::Array(items) => items.iter().try_for_each(|v| objects(v, call)),
        _ => Ok(()),
    }
}

fn keywords(schema: &Map<String, Value>) -> Result<(), String> {
    for key in ["minLength", "maxLength"] {
        if schema
            .get(key)
            .and_then(Value::as_u64)
            .is_some_and(|n| n > CHARACTERS)
        {
            return Err(format!("{key} can be enforced up to {CHARACTERS}"));
        }
    }
    if let Some(Value::Array(values)) = schema.get("enum")
        && values.len() > VALUES
    {
        return Err(format!("enum may hold {VALUES} values"));
    }
    if let Some(Value::Object(properties)) = schema.get("properties") {
        let required = match schema.get("required") {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => HashSet::new(),
        };
        let optional = properties.keys().filter(|k| !required.contains(k.as_str()));
        if optional.count() > OPTIONAL {
            return Err(format!(
                "an object may have {OPTIONAL} properties that are not required"
            ));
        }
    }
    if let Some(Value::String(text)) = schema.get("pattern") {
        pattern(text)?;
    }
    if let Some(Value::Object(patterns)) = schema.get("patternProperties") {
        patterns.keys().try_for_each(|text| pattern(text))?;
    }
    Ok(())
}

/// Checks factors: each, and all together where schemas may be merged.
fn multiples(schema: &Value) -> Result<(), String> {
    let mut factors: Vec<(u64, u32)> = Vec::new();
    let mut merges = false;
    objects(schema, &mut |map| {
        merges |= map.contains_key("allOf") || map.contains_key("$ref");
        if let Some(Value::Number(number)) = map.get("multipleOf") {
            factors.push(decimal(number.as_f64().unwrap_or(f64::INFINITY)));
        }
        Ok(())
    })?;
    if factors.iter().any(|&(digits, _)| digits > MULTIPLE) {
        return Err(format!(
            "multipleOf can be enforced up to {MULTIPLE} (digits counted without the decimal point)"
        ));
    }
    let distinct: BTreeSet<u64> = factors.iter().map(|f| f.0).collect();
    if distinct.iter().sum::<u64>() > MULTIPLES {
        return Err(format!(
            "the different multipleOf of a schema may add up to {MULTIPLES}"
        ));
    }
    let places = factors.iter().map(|f| f.1).max().unwrap_or(0);
    let common = factors.iter().try_fold(1u64, |common, &(digits, own)| {
        let digits = digits
            .max(1)
            .checked_mul(10u64.checked_pow(places - own)?)?;
        (common / divisor(common, digits)).checked_mul(digits)
    });
    if merges && factors.len() > 1 && common.is_none_or(|common| common > MULTIPLE) {
        return Err(format!(
            "the multipleOf of schemas with allOf or $ref can be enforced up to a common multiple of {MULTIPLE}"
        ));
    }
    Ok(())
}

fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// A number as an integer and how many of its digits stand after the decimal point: 0.25 is 25 and 2.
fn decimal(number: f64) -> (u64, u32) {
    let text = format!("{}", number.abs());
    let (whole, places) = text.split_once('.').unwrap_or((&text, ""));
    let digits = format!("{whole}{places}").parse().unwrap_or(u64::MAX);
    (digits, places.len() as u32)
}

/// Longest chains of references by the object they start from.
struct Chains<'a> {
    root: &'a Value,
    /// `None` while it is being followed: a recursive schema refers back, which costs nothing.
    known: HashMap<*const Value, Option<usize>>,
}

impl<'a> Chains<'a> {
    /// References that follow from a schema, itself reached by `before` of them.
    fn follow(&mut self, schema: &'a Value, before: usize) -> Result<usize, String> {
        let too_long = || format!("more than {CHAIN} references ($ref) follow from one another");
        if let Some(known) = self.known.get(&std::ptr::from_ref(schema)) {
            let after = known.unwrap_or(0);
            return if before + after > CHAIN {
                Err(too_long())
            } else {
                Ok(after)
            };
        }
        if before > CHAIN {
            return Err(too_long());
        }
        self.known.insert(schema, None);
        let mut targets = Vec::new();
        objects(schema, &mut |map| {
            if let Some(Value::String(target)) = map.get("$ref") {
                targets.extend(
                    target
                        .strip_prefix('#')
                        .and_then(|p| self.root.pointer(&decoded(p))),
                );
            }
            Ok(())
        })?;
        let mut longest = 0;
        for target in targets {
            longest = longest.max(1 + self.follow(target, before + 1)?);
        }
        self.known.insert(schema, Some(longest));
        Ok(longest)
    }
}

/// A JSON pointer without percent signs.
fn decoded(pointer: &str) -> String {
    let mut bytes = Vec::with_capacity(pointer.len());
    let mut rest = pointer.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(schema: &Value) -> Result<(), String> {
        check(schema, schema.to_string().len())
    }

    #[test]
    fn hostile_keywords_are_named() {
        let optional = |n: usize| {
            let names = (0..n).map(|i| (format!("p{i}"), json!({})));
            json!({"type": "array", "items": {"properties": names.collect::<Map<_, _>>()}})
        };
        let values = |n: usize| json!({"enum": (0..n).collect::<Vec<_>>()});
        for (schema, keyword) in [
            (
                json!({"type": "integer", "multipleOf": 999_983}),
                "multipleOf",
            ),
            (json!({"allOf": [{"multipleOf": 1234.56}]}), "multipleOf"),
            (
                json!({"allOf": [{"multipleOf": 9_973}, {"multipleOf": 9_967}]}),
                "multipleOf",
            ),
            (
                json!({"$ref": "#/$defs/a", "multipleOf": 1e-9, "$defs": {"a": {"multipleOf": 7}}}),
                "multipleOf",
            ),
            (
                json!({"properties": {"a": {"maxLength": 100_000}}}),
                "maxLength",
            ),
            (json!({"minLength": 1_000_000}), "minLength"),
            (
                json!({"items": (0..20).map(|n| json!({"multipleOf": 9_000 + n})).collect::<Vec<_>>()}),
                "multipleOf",
            ),
            (values(10_001), "enum"),
            (optional(401), "not required"),
            (json!({"pattern": "^(a{1000}){1000}$"}), "pattern"),
            (
                json!({"patternProperties": {"(a{200}){200}": {}}}),
                "pattern",
            ),
            (json!({"description": "x".repeat(300_000)}), "256 kB"),
        ] {
            let error = checked(&schema).unwrap_err();
            assert!(error.contains(keyword), "{error}");
        }
        for fine in [
            json!({"multipleOf": 0.01}),
            json!({"multipleOf": 1e-9}),
            json!({"multipleOf": 10_000}),
            json!({"allOf": [{"multipleOf": 0.01}, {"multipleOf": 5}, {"multipleOf": 0.5}]}),
            json!({"properties": {"a": {"multipleOf": 9_973}, "b": {"multipleOf": 9_967}}}),
            json!({"const": {"multipleOf": 999_983}}),
            json!({"properties": {"multipleOf": {"type": "string"}, "enum": {}, "pattern": {}}}),
            values(10_000),
            optional(400),
        ] {
            assert_eq!(checked(&fine), Ok(()), "{fine:.80}");
        }
    }

    /// `$defs` in which each refers to the next, wrapped as `link` says.
    fn chain(links: usize, link: fn(Value) -> Value) -> Value {
        let defs = (0..links).map(|i| {
            let next = json!({"$ref": format!("#/$defs/d{}", i + 1)});
            (
                format!("d{i}"),
                if i + 1 == links {
                    json!({})
                } else {
                    link(next)
                },
            )
        });
        json!({"$ref": "#/$defs/d0", "$defs": defs.collect::<Map<_, _>>()})
    }

    #[test]
    fn chains_of_references_are_bounded_and_circles_are_none() {
        let links: [fn(Value) -> Value; 3] = [
            |next| next,
            |next| json!({"properties": {"a": next}}),
            |next| json!({"allOf": [next, {"type": "object"}]}),
        ];
        for link in links {
            assert_eq!(checked(&chain(50, link)), Ok(()));
            let error = checked(&chain(3_000, link)).unwrap_err();
            assert!(error.contains("$ref"), "{error}");
        }
        assert_eq!(checked(&json!({"$ref": "#"})), Ok(()));
        let tree = json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#/%24defs/x"}},
            "$defs": {"x": {"items": {"$ref": "#/properties/right"}}}});
        assert_eq!(checked(&tree), Ok(()));
        // Twice to each next one: 2^60 paths.
        let doubling = chain(
            60,
            |next| json!({"properties": {"a": next.clone(), "b": next}}),
        );
        assert_eq!(checked(&doubling), Ok(()));
    }
}
