//! The raw bytes of every token id and which ids are control tokens. Built by the tokenizer; read by `sampling` and the
//! addon.

/// Token ids `0..len()` with their bytes. An id without a token (a hole, or a padded row of the head) has no bytes and
/// is never sampled.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    bytes: Vec<u8>,
    /// `ends[id]` is where the bytes of `id` end; they begin where those of `id - 1` end.
    ends: Vec<usize>,
    control: Vec<bool>,
    holes: Vec<u32>,
}

/// One token while a vocabulary is put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) bytes: Vec<u8>,
    pub(crate) control: bool,
}

impl Vocabulary {
    /// A vocabulary in which entry `id` is the token `id`; `None` is a hole.
    pub(crate) fn from_entries(entries: Vec<Option<Entry>>) -> Self {
        let mut vocabulary = Self::default();
        for (id, entry) in entries.into_iter().enumerate() {
            match entry {
                Some(entry) => {
                    vocabulary.bytes.extend_from_slice(&entry.bytes);
                    vocabulary.control.push(entry.control);
                }
                None => {
                    vocabulary.control.push(false);
                    vocabulary.holes.push(id as u32);
                }
            }
            vocabulary.ends.push(vocabulary.bytes.len());
        }
        vocabulary
    }

    /// One more than the largest id with a token: rows of the head from here on are padding.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Raw bytes of a token, a part of a UTF-8 character perhaps; empty for a hole or a padded id.
    pub fn bytes(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else {
            return &[];
        };
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.bytes[start..end]
    }

    /// Whether the id is a control token; false for ids without a token.
    pub fn is_control(&self, id: u32) -> bool {
        self.control.get(id as usize).copied().unwrap_or(false)
    }

    /// Whether the id has a token.
    pub fn contains(&self, id: u32) -> bool {
        (id as usize) < self.len() && self.holes.binary_search(&id).is_err()
    }

    /// Ids below `len()` without a token, ascending.
    pub fn holes(&self) -> &[u32] {
        &self.holes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_and_padding_have_no_bytes() {
        let entry = |text: &str, control| {
            Some(Entry {
                bytes: text.as_bytes().to_vec(),
                control,
            })
        };
        let v = Vocabulary::from_entries(vec![entry("<x>", true), None, entry("ab", false)]);
        assert_eq!(v.len(), 3);
        assert_eq!(
            (v.bytes(0), v.bytes(1), v.bytes(2), v.bytes(3)),
            (&b"<x>"[..], &b""[..], &b"ab"[..], &b""[..])
        );
        assert!(v.is_control(0) && !v.is_control(2) && !v.is_control(9));
        assert!(v.contains(0) && !v.contains(1) && v.contains(2) && !v.contains(3));
        assert_eq!(v.holes(), [1]);
    }
}
