//! UTF-8 across token borders: how many bytes a sequence still wants, and an incremental decoder. Called by
//! `sampling::budget` and by whoever prints a stream.

/// Follows a byte stream and knows whether it stands inside a UTF-8 sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Utf8Tail {
    wanted: u8,
}

impl Utf8Tail {
    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.wanted = match byte {
                0x80..=0xBF => self.wanted.saturating_sub(1),
                0xC2..=0xDF => 1,
                0xE0..=0xEF => 2,
                0xF0..=0xF4 => 3,
                _ => 0,
            };
        }
    }

    /// Whether the last character is still incomplete.
    pub fn is_open(&self) -> bool {
        self.wanted > 0
    }
}

/// Turns the bytes of tokens into text piece by piece; an incomplete character waits for its rest, and what can never
/// become one is printed as U+FFFD. The pieces together equal `String::from_utf8_lossy` of all bytes.
#[derive(Clone, Debug, Default)]
pub struct Detokenizer {
    held: Vec<u8>,
}

impl Detokenizer {
    /// Text that became certain with these bytes.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let mut text = String::with_capacity(self.held.len());
        let mut rest = 0;
        while rest < self.held.len() {
            match std::str::from_utf8(&self.held[rest..]) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = self.held.len();
                }
                Err(error) => {
                    let valid = rest + error.valid_up_to();
                    text.push_str(&String::from_utf8_lossy(&self.held[rest..valid]));
                    rest = valid;
                    match error.error_len() {
                        Some(bad) => {
                            text.push(char::REPLACEMENT_CHARACTER);
                            rest += bad;
                        }
                        None => break,
                    }
                }
            }
        }
        self.held.drain(..rest);
        text
    }

    /// What is still held at the end of the stream, as replacement characters.
    pub fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.held).into_owned();
        self.held.clear();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_splitting_prints_the_same_as_the_whole() {
        let samples: [&[u8]; 4] = [
            "Zürich 日本 😀!".as_bytes(),
            b"\xF0\x9F\x98x\xE2\x82",
            b"\xC0\xAF\xED\xA0\x80ok\xFF",
            b"",
        ];
        for bytes in samples {
            for size in 1..5 {
                let mut detokenizer = Detokenizer::default();
                let mut text: String = bytes.chunks(size).map(|c| detokenizer.push(c)).collect();
                text += &detokenizer.finish();
                assert_eq!(text, String::from_utf8_lossy(bytes), "pieces of {size}");
            }
        }
    }

    #[test]
    fn the_tail_knows_incomplete_characters() {
        for (bytes, open) in [
            (&b"a"[..], false),
            (b"\xC3", true),
            (b"\xC3\xBC", false),
            (b"\xE2\x82", true),
            (b"\xF0\x9F\x98", true),
            (b"\xF0\x9F\x98\x80", false),
            (b"\xF0a", false),
            (b"\x80", false),
        ] {
            let mut tail = Utf8Tail::default();
            for byte in bytes {
                tail.feed(&[*byte]);
            }
            assert_eq!(tail.is_open(), open, "{bytes:?}");
        }
    }
}
