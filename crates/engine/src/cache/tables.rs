//! One sequence's page tables, one per layer group; the scheduler grows, labels and releases them.

use super::group::LayerGroup;
use super::pages::{NO_PAGE, PagePool};
use super::prefix::PrefixChain;

/// Which page holds positions `index * page_size ..`, per layer group.
#[derive(Clone, Debug)]
pub struct PageTables {
    tables: Vec<Vec<u32>>,
    /// Per group, the first index still held.
    held_from: Vec<usize>,
    /// Indices below are labelled in every group.
    labelled: usize,
}

impl PageTables {
    /// Empty tables.
    pub fn new(groups: usize) -> Self {
        Self {
            tables: vec![Vec::new(); groups],
            held_from: vec![0; groups],
            labelled: 0,
        }
    }

    /// The tables, one per group and all of one length; `NO_PAGE` behind a window.
    pub fn tables(&self) -> &[Vec<u32>] {
        &self.tables
    }

    /// Pages held, over all groups.
    pub fn held(&self) -> usize {
        let pairs = self.tables.iter().zip(&self.held_from);
        pairs.map(|(table, from)| table.len() - from).sum()
    }

    fn len(&self) -> usize {
        self.tables.first().map_or(0, Vec::len)
    }

    /// Starts empty tables with the first `count` pages of a prefix found by `longest_hit`.
    pub fn adopt(
        &mut self,
        pool: &mut PagePool,
        chain: &PrefixChain,
        groups: &[LayerGroup],
        page_size: usize,
        count: usize,
    ) {
        for (group, table) in self.tables.iter_mut().enumerate() {
            let first = groups[group].first_page(count * page_size, page_size);
            self.held_from[group] = first.min(count);
            for index in 0..count {
                let label = chain.label(group, index).filter(|_| index >= first);
                table.push(label.and_then(|l| pool.share(&l)).unwrap_or(NO_PAGE));
            }
        }
        self.labelled = count;
    }

    /// Takes pages until `positions` are covered or none is left; answers how many are covered.
    pub fn grow(&mut self, pool: &mut PagePool, positions: usize, page_size: usize) -> usize {
        while self.len() * page_size < positions {
            let column: Vec<u32> = self.tables.iter().map_while(|_| pool.take()).collect();
            if column.len() < self.tables.len() {
                column.into_iter().for_each(|page| pool.release(page));
                break;
            }
            for (table, page) in self.tables.iter_mut().zip(column) {
                table.push(page);
            }
        }
        positions.min(self.len() * page_size)
    }

    /// Labels the pages that lie wholly below `computed`, so that later sequences find them.
    pub fn label(
        &mut self,
        pool: &mut PagePool,
        chain: &PrefixChain,
        computed: usize,
        page_size: usize,
    ) {
        let full = computed / page_size;
        for index in self.labelled..full {
            for (group, table) in self.tables.iter().enumerate() {
                let page = table.get(index).filter(|&&page| page != NO_PAGE);
                if let (Some(&page), Some(label)) = (page, chain.label(group, index)) {
                    pool.label(page, label);
                }
            }
        }
        self.labelled = self.labelled.max(full);
    }

    /// Gives back what no row at `position` or later reads.
    pub fn release_behind(
        &mut self,
        pool: &mut PagePool,
        groups: &[LayerGroup],
        position: usize,
        page_size: usize,
    ) {
        for (group, table) in self.tables.iter_mut().enumerate() {
            let first = groups[group]
                .first_page(position, page_size)
                .min(table.len());
            for page in table.iter_mut().take(first).skip(self.held_from[group]) {
                pool.release(std::mem::replace(page, NO_PAGE));
            }
            self.held_from[group] = self.held_from[group].max(first);
        }
    }

    /// Gives everything back, the last pages first: a prefix loses its tail before its head.
    pub fn release_all(&mut self, pool: &mut PagePool) {
        for index in (0..self.len()).rev() {
            for table in &self.tables {
                if table[index] != NO_PAGE {
                    pool.release(table[index]);
                }
            }
        }
        *self = Self::new(self.tables.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: [LayerGroup; 2] = [LayerGroup { window: None }, LayerGroup { window: Some(3) }];

    fn chain(tokens: &[u32]) -> PrefixChain {
        let mut chain = PrefixChain::new(&[0; 32], b"");
        chain.extend(tokens, 2);
        chain
    }

    #[test]
    fn grows_in_whole_columns_and_says_what_is_covered() {
        let mut pool = PagePool::new(5);
        let mut tables = PageTables::new(2);
        assert_eq!(tables.grow(&mut pool, 3, 2), 3);
        assert_eq!(tables.grow(&mut pool, 9, 2), 4);
        assert_eq!((tables.held(), pool.available()), (4, 1));
        tables.release_all(&mut pool);
        assert_eq!((tables.held(), pool.available()), (0, 5));
    }

    #[test]
    fn a_page_behind_the_window_goes_back_but_can_still_be_found() {
        let (mut pool, chain) = (PagePool::new(8), chain(&[1, 2, 3, 4, 5, 6]));
        let mut tables = PageTables::new(2);
        tables.grow(&mut pool, 6, 2);
        tables.label(&mut pool, &chain, 6, 2);
        let behind = tables.tables()[1][0];
        tables.release_behind(&mut pool, &GROUPS, 6, 2);
        assert_eq!(
            tables.tables()[1],
            [NO_PAGE, NO_PAGE, tables.tables()[1][2]]
        );
        assert_eq!(pool.holders(behind), 0);
        assert_eq!(chain.label(1, 0).and_then(|l| pool.find(&l)), Some(behind));
    }

    #[test]
    fn adopted_pages_are_shared_and_windows_hold_only_their_last() {
        let (mut pool, chain) = (PagePool::new(8), chain(&[1, 2, 3, 4, 5, 6]));
        let mut first = PageTables::new(2);
        first.grow(&mut pool, 6, 2);
        first.label(&mut pool, &chain, 6, 2);
        let mut second = PageTables::new(2);
        second.adopt(&mut pool, &chain, &GROUPS, 2, 3);
        assert_eq!(second.tables()[0], first.tables()[0]);
        assert_eq!(second.tables()[1], [NO_PAGE, NO_PAGE, first.tables()[1][2]]);
        assert_eq!(second.held(), 4);
        first.release_all(&mut pool);
        second.release_all(&mut pool);
        assert_eq!((pool.held(), pool.evictable()), (0, 6));
    }
}
