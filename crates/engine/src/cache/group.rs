//! Layers that see the same positions and so share a page table; asked by prefix search, tables and scheduler.

/// Layers that share page tables: full attention, or a sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerGroup {
    /// Positions a query sees, itself included; none sees all.
    pub window: Option<usize>,
}

impl LayerGroup {
    /// The first page that a row at `position`, or any row after it, reads or writes.
    pub fn first_page(&self, position: usize, page_size: usize) -> usize {
        match self.window {
            Some(window) => (position + 1).saturating_sub(window) / page_size,
            None => 0,
        }
    }

    /// The most pages held while `positions` are computed one row at a time.
    ///
    /// A window of `w` positions touches at most `⌈(w − 1) / page_size⌉ + 1` pages, however it lies on them.
    pub fn most_pages(&self, positions: usize, page_size: usize) -> usize {
        let all = positions.div_ceil(page_size);
        match self.window {
            Some(window) => all.min(window.saturating_sub(1).div_ceil(page_size) + 1),
            None => all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_pages_is_exact() {
        for window in 1..20 {
            for page_size in 1..9 {
                for positions in 1..60usize {
                    let group = LayerGroup {
                        window: Some(window),
                    };
                    let held = |p: usize| p / page_size + 1 - group.first_page(p, page_size);
                    let most = (0..positions).map(held).max().unwrap();
                    let bound = group.most_pages(positions, page_size);
                    assert!(most <= bound, "window {window}, page {page_size}");
                    if positions > window + page_size * page_size {
                        assert_eq!(most, bound, "window {window}, page {page_size}");
                    }
                }
            }
        }
    }

    #[test]
    fn full_attention_keeps_everything() {
        let full = LayerGroup { window: None };
        assert_eq!(full.first_page(1000, 16), 0);
        assert_eq!(full.most_pages(33, 16), 3);
    }
}
