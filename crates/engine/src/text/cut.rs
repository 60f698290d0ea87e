//! Cuts very long text at places where a tokenizer would cut anyway, so that one request's text cannot hold the engine.
//! Called by the tokenizer before it encodes.

/// Longest run of one kind of character that is encoded in one go, bytes.
pub(super) const LONGEST_RUN: usize = 64 * 1024;

/// From this size on a piece ends where it can, bytes: the tokenizer needs some hundred bytes of memory a token.
const LONG_PIECE: usize = 256 * 1024;

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

/// The text in pieces. A long piece ends between a line feed and a letter, where the expressions of both families always
/// end a word, so the tokens stay the same; only a run of white space, letters, digits or other characters longer than
/// `LONGEST_RUN` is cut inside.
pub(super) fn long_runs(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut piece, mut run, mut before) = (0, (0, Kind::Other), ' ');
    for (at, c) in text.char_indices() {
        let kind = kind(c);
        let overlong = kind == run.1 && at - run.0 >= LONGEST_RUN;
        if overlong || (at - piece >= LONG_PIECE && before == '\n' && kind == Kind::Word) {
            pieces.push(&text[piece..at]);
            piece = at;
        }
        if overlong || kind != run.1 {
            run = (at, kind);
        }
        before = c;
    }
    pieces.push(&text[piece..]);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_only_inside_overlong_runs() {
        let ordinary = "some words, and 12 numbers \n".repeat(20_000);
        let pieces = long_runs(&ordinary);
        assert_eq!(pieces.concat(), ordinary);
        assert_eq!(pieces.len(), 3);
        assert!(pieces.iter().all(|p| p.ends_with('\n')));
        let word = format!("a b {} c", "ü".repeat(LONGEST_RUN));
        let pieces = long_runs(&word);
        assert_eq!(pieces.concat(), word);
        assert_eq!(pieces.len(), 2);
        assert!(pieces[0].len() <= LONGEST_RUN + 4);
        assert_eq!(long_runs(""), [""]);
    }
}
