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
    let line = line
        .split("; following special tokens")
        .next()
        .unwrap_or(line);
    let mut text = line.trim();
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

/// What follows `at 1(8): ` or `1(8): `.
fn without_position(text: &str) -> Option<&str> {
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
            ("1(12): expecting rule", "expecting rule"),
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
