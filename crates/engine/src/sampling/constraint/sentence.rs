//! llguidance's error texts made fit for a client: one line, no position in a grammar the client never saw, no lists
//! of the model's tokens. Called where a grammar is compiled or a step of it fails.

/// Longest error shown, in bytes.
const LONGEST: usize = 600;

/// The first line of an error without its position.
pub(super) fn sentence(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    if line.starts_with("panic:") {
        return "it is too complex".into();
    }
    // An excerpt of the pattern follows; what is wrong with it stands last.
    if line.ends_with("regex parse error:") {
        let last = error.lines().rfind(|l| l.starts_with("error: "));
        let reason = last.and_then(|l| l.strip_prefix("error: "));
        return format!(
            "a pattern is no regular expression it knows: {}",
            reason.unwrap_or("syntax error")
        );
    }
    let mut text = line.trim();
    for tail in ["; following special tokens", " (at \"", " at line "] {
        text = text.split(tail).next().unwrap_or(text);
    }
    while let Some(rest) = without_position(text) {
        text = rest;
    }
    if text.contains("NoExtensionBias") || text.is_empty() {
        return "nothing can match it".into();
    }
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_string()
}

/// What follows `at 1(8): `, `1(8): ` or `at EOF: `.
fn without_position(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix("at EOF: ") {
        return Some(rest);
    }
    let text = text.strip_prefix("at ").unwrap_or(text);
    let digits = |text: &'_ str| text.find(|c: char| !c.is_ascii_digit()).filter(|&n| n > 0);
    let rest = text[digits(text)?..].strip_prefix('(')?;
    rest[digits(rest)?..].strip_prefix("): ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_lists_and_further_lines_go() {
        for (raw, shown) in [
            (
                "at 1(8): failed to compile JSON schema: Unimplemented keys: [\"not\"]\nstart: %json {…}\n  ^",
                "failed to compile JSON schema: Unimplemented keys: [\"not\"]",
            ),
            (
                "1(12): expecting rule (at \"\\n\" ('\\n'))",
                "expecting rule",
            ),
            ("at EOF: at EOF: unexpected", "unexpected"),
            (
                "failed to compile JSON schema: regex parse error:\n    (a\n    ^\nerror: unclosed group\n",
                "a pattern is no regular expression it knows: unclosed group",
            ),
            (
                "at 3(4): at 1(1): duplicate rule: \"a\"",
                "duplicate rule: \"a\"",
            ),
            (
                "unknown special token: \"<|nope|>\"; following special tokens are available: \"<|x|>\"",
                "unknown special token: \"<|nope|>\"",
            ),
            (
                "panic: index out of bounds\n<backtrace>",
                "it is too complex",
            ),
            ("stop reason: NoExtensionBias", "nothing can match it"),
            ("12 things: wrong", "12 things: wrong"),
        ] {
            assert_eq!(sentence(raw), shown);
        }
        assert!(sentence(&"é".repeat(5_000)).len() <= LONGEST);
    }
}
