//! Compiled grammars by their text, least recently used ones first to go. Owned by the compiler's thread.

use std::collections::HashMap;
use std::sync::Arc;

/// Values kept under bounds on their number and their bytes.
pub(super) struct Shelf<T> {
    values: HashMap<Arc<str>, Kept<T>>,
    most: usize,
    most_bytes: usize,
    bytes: usize,
    clock: u64,
}

struct Kept<T> {
    value: T,
    bytes: usize,
    used: u64,
}

impl<T: Clone> Shelf<T> {
    pub(super) fn new(most: usize, most_bytes: usize) -> Self {
        Self {
            values: HashMap::new(),
            most,
            most_bytes,
            bytes: 0,
            clock: 0,
        }
    }

    pub(super) fn get(&mut self, text: &str) -> Option<T> {
        self.clock += 1;
        let kept = self.values.get_mut(text)?;
        kept.used = self.clock;
        Some(kept.value.clone())
    }

    /// Keeps a value at the expense of those not used for longest; one above the bound on bytes is not kept.
    pub(super) fn put(&mut self, text: Arc<str>, value: T, bytes: usize) {
        let bytes = bytes + text.len();
        if bytes > self.most_bytes {
            return;
        }
        self.clock += 1;
        let used = self.clock;
        self.bytes += bytes;
        if let Some(old) = self.values.insert(text, Kept { value, bytes, used }) {
            self.bytes -= old.bytes;
        }
        while self.values.len() > self.most || self.bytes > self.most_bytes {
            let oldest = self.values.iter().min_by_key(|(_, kept)| kept.used);
            let Some(text) = oldest.map(|(text, _)| Arc::clone(text)) else {
                return;
            };
            if let Some(kept) = self.values.remove(&text) {
                self.bytes -= kept.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut shelf = Shelf::new(2, 100);
        shelf.put("a".into(), 1, 9);
        shelf.put("b".into(), 2, 9);
        assert_eq!(shelf.get("a"), Some(1));
        shelf.put("c".into(), 3, 9);
        assert_eq!(
            [shelf.get("a"), shelf.get("b"), shelf.get("c")],
            [Some(1), None, Some(3)]
        );
        shelf.put("d".into(), 4, 95);
        assert_eq!(
            [shelf.get("a"), shelf.get("c"), shelf.get("d")],
            [None, None, Some(4)]
        );
        shelf.put("e".into(), 5, 200);
        assert_eq!([shelf.get("d"), shelf.get("e")], [Some(4), None]);
        shelf.put("d".into(), 6, 1);
        assert_eq!((shelf.get("d"), shelf.bytes), (Some(6), 2));
    }
}
