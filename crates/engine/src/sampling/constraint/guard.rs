//! Refuses grammars that would abort the process, hang or eat memory while they are compiled: llguidance has no limit
//! against those. Called before it sees the text. The numbers come from measurements of each kind of input.

use super::schema;

/// Bytes of a grammar.
const LARGEST: usize = 1 << 20;
/// How often counted repetitions may multiply in one pattern: `(a{1000}){1000}` takes seconds and 350 MB.
const REPETITIONS: u64 = 10_000;

/// Checks a Lark text; the error is one sentence.
pub(super) fn check(text: &str) -> Result<(), String> {
    if text.len() > LARGEST {
        return Err(format!("it is larger than {} kB", LARGEST >> 10));
    }
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => quoted(rest, '"'),
            '#' => line(rest),
            '/' if rest.starts_with("//") => line(rest),
            '/' => {
                let length = quoted(rest, '/');
                pattern(&rest[..length])?;
                length
            }
            '<' => special(rest),
            '%' => match rest.strip_prefix("%json") {
                Some(after) => "%json".len() + json(after)?,
                None => 1,
            },
            other => other.len_utf8(),
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(())
}

/// Length of what begins and ends with a mark; a backslash hides the character after it.
fn quoted(text: &str, mark: char) -> usize {
    let mut hidden = true;
    for (at, c) in text.char_indices() {
        match c {
            _ if hidden => hidden = false,
            '\\' => hidden = true,
            c if c == mark => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

fn line(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// Length of a token in angle brackets, else of the bracket alone.
fn special(text: &str) -> usize {
    let end = text[1..].find(|c: char| c == '<' || c == '>' || c.is_whitespace());
    match end {
        Some(end) if end > 0 && text[1 + end..].starts_with('>') => end + 2,
        _ => 1,
    }
}

/// Checks the JSON value that follows and returns its length; what is no JSON is left to the compiler to refuse.
fn json(text: &str) -> Result<usize, String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    let Some(Ok(value)) = values.next() else {
        return Ok(0);
    };
    let length = values.byte_offset();
    schema::check(&value, length)?;
    Ok(length)
}

/// Checks the repetitions of a regular expression.
pub(super) fn pattern(text: &str) -> Result<(), String> {
    // Largest product in each open group, outermost first, and that of the item just read.
    let mut groups: Vec<u64> = vec![1];
    let mut item = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        match first {
            '\\' => {
                length += rest[1..].chars().next().map_or(0, char::len_utf8);
                item = 1;
            }
            '[' => {
                length = class(rest);
                item = 1;
            }
            '(' => groups.push(1),
            ')' => {
                item = groups.pop().unwrap_or(1);
                if groups.is_empty() {
                    groups.push(1);
                }
            }
            '{' => {
                if let Some((count, end)) = counted(rest) {
                    item = item.saturating_mul(count);
                    length = end;
                    if item > REPETITIONS {
                        return Err(format!(
                            "a pattern repeats something more than {REPETITIONS} times in all"
                        ));
                    }
                }
            }
            '*' | '+' | '?' => {}
            _ => item = 1,
        }
        if let Some(group) = groups.last_mut() {
            *group = item.max(*group);
        }
        rest = &rest[length..];
    }
    Ok(())
}

/// Length of a class in square brackets.
fn class(text: &str) -> usize {
    let mut hidden = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if hidden => hidden = false,
            '\\' => hidden = true,
            // A bracket that comes first stands for itself.
            ']' if at > 1 && &text[..at] != "[^" => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The larger count of `{n}`, `{n,}` or `{n,m}` and its length.
fn counted(text: &str) -> Option<(u64, usize)> {
    let end = text.find('}')?;
    let (least, most) = match text[1..end].split_once(',') {
        Some((least, most)) => (least, most),
        None => (&text[1..end], ""),
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let least = number(least).or(least.trim().is_empty().then_some(0))?;
    let most = if most.trim().is_empty() {
        least
    } else {
        number(most)?
    };
    Some((least.max(most).max(1), end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_multiply_only_where_they_nest() {
        for fine in [
            r"[a-z]{1,63}(\.[a-z]{1,63}){0,127}",
            r"a{9000}b{9000}(c{9000})d{9000}",
            r"\(a{500}\){500}",
            r"[(]{5000}[)]{5000}",
            r"x{,y}{a}{",
            "(a|(b{10}){10}){10}",
        ] {
            assert_eq!(pattern(fine), Ok(()), "{fine}");
        }
        for wild in [
            "(a{1000}){1000}",
            "((a{30}){30}b){30}",
            "(x(?:y|z{200})*){,200}",
            "a{20000,}",
        ] {
            assert!(pattern(wild).is_err(), "{wild}");
        }
    }

    #[test]
    fn finds_schemas_and_patterns_where_lark_has_them() {
        let wild = r#"{"multipleOf": 999983}"#;
        for (text, ok) in [
            (format!("start: %json {wild}"), false),
            (format!("start: </think> x\nx: %json\n {wild}"), false),
            (format!("start: \"\\\"\" x // \"\nx: %json {wild}"), false),
            (format!("start: \"a\" // %json {wild}\n"), true),
            (
                "start: \"%json {}\" </seed:think> /(a{1000}){1000}/".into(),
                false,
            ),
            (
                "start: \"/(a{1000}){1000}/\" <[1-9]> /a\\/b/ # /(a{1000}){1000}/".into(),
                true,
            ),
            ("start: %json nonsense".into(), true),
            ("start: /unclosed".into(), true),
            ("start: \"é\" < é".into(), true),
            (" ".repeat(LARGEST + 1), false),
        ] {
            assert_eq!(check(&text).is_ok(), ok, "{:.60}", text);
        }
    }
}
