//! Cuts very long text at places where a tokenizer would cut anyway, so that one request's text cannot hold the engine.
//! Called by the tokenizer before it encodes.

/// Longest run of one kind of character that is encoded in one go, bytes.
pub(super) const LONGEST_RUN: usize = 64 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    Word,
    Digit,
    Other,
}

fn kind(c: char) -> Kind {
    if c.is_whitespace() {
        Kind::Space
    } else if c.is_alphabetic() {
        Kind::Word
    } else if c.is_numeric() {
        Kind::Digit
    } else {
        Kind::Other
    }
}

/// The text in pieces; a piece ends early only inside a run of white space, letters, digits or other characters longer
/// than `LONGEST_RUN`. Text without such a run, that is every ordinary text, comes back whole.
pub(super) fn long_runs(text: &str) -> Vec<&str> {
    if text.len() <= LONGEST_RUN {
        return vec![text];
    }
    let mut pieces = Vec::new();
    let mut piece = 0;
    let mut run = (0, Kind::Other);
    for (at, c) in text.char_indices() {
        let kind = kind(c);
        if kind != run.1 {
            run = (at, kind);
        } else if at - run.0 >= LONGEST_RUN {
            pieces.push(&text[piece..at]);
            piece = at;
            run = (at, kind);
        }
    }
    pieces.push(&text[piece..]);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_only_inside_overlong_runs() {
        let ordinary = "some words, and 12 numbers\n".repeat(20_000);
        assert_eq!(long_runs(&ordinary), [ordinary.as_str()]);
        let word = format!("a b {} c", "ü".repeat(LONGEST_RUN));
        let pieces = long_runs(&word);
        assert_eq!(pieces.concat(), word);
        assert_eq!(pieces.len(), 2);
        assert!(pieces[0].len() <= LONGEST_RUN + 4);
        assert_eq!(long_runs(""), [""]);
    }
}
