//! The pool of pages: who holds which, which may be evicted, which are free. Page tables take from it and give back.
//!
//! A page is in exactly one of three states:
//! * **held** by one or more page tables (counted),
//! * **evictable**: held by none, but labelled with what it contains, so that a prefix can still find it,
//! * **free**: held by none and forgotten.

use std::collections::{BTreeMap, HashMap};

use super::prefix::BlockHash;

/// Stands in a page table where a page lies behind the window.
pub const NO_PAGE: u32 = u32::MAX;

/// What a full page contains, and for which layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageLabel {
    /// Index of the layer group; the same tokens have other keys and values there.
    pub group: u32,
    /// The tokens of the page and all before it.
    pub block: BlockHash,
}

#[derive(Clone, Debug, Default)]
struct Page {
    holders: u32,
    label: Option<PageLabel>,
    /// Its key among the evictable.
    released: u64,
}

/// All pages of the cache.
#[derive(Debug)]
pub struct PagePool {
    pages: Vec<Page>,
    free: Vec<u32>,
    /// Oldest release first.
    evictable: BTreeMap<u64, u32>,
    labels: HashMap<PageLabel, u32>,
    releases: u64,
    takes: u64,
    fail_every: Option<u64>,
}

impl PagePool {
    /// A pool of `count` free pages, numbered from 0.
    pub fn new(count: usize) -> Self {
        let count = u32::try_from(count).unwrap_or(NO_PAGE).min(NO_PAGE - 1);
        Self {
            pages: vec![Page::default(); count as usize],
            free: (0..count).rev().collect(),
            evictable: BTreeMap::new(),
            labels: HashMap::new(),
            releases: 0,
            takes: 0,
            fail_every: None,
        }
    }

    /// A page for one holder, to be written: a free one, else the one released longest ago, which is forgotten.
    pub fn take(&mut self) -> Option<u32> {
        self.takes += 1;
        if self
            .fail_every
            .is_some_and(|n| self.takes.is_multiple_of(n))
        {
            return None;
        }
        let id = match self.free.pop() {
            Some(id) => id,
            None => self.evictable.pop_first()?.1,
        };
        let page = &mut self.pages[id as usize];
        page.holders = 1;
        if let Some(label) = page.label.take() {
            self.labels.remove(&label);
        }
        Some(id)
    }

    /// One more holder for the page that contains `label`, if there is one.
    pub fn share(&mut self, label: &PageLabel) -> Option<u32> {
        let id = *self.labels.get(label)?;
        let page = &mut self.pages[id as usize];
        if page.holders == 0 {
            self.evictable.remove(&page.released);
        }
        page.holders += 1;
        Some(id)
    }

    /// One holder less; without holders a labelled page becomes evictable and any other free.
    pub fn release(&mut self, id: u32) {
        let page = &mut self.pages[id as usize];
        debug_assert!(page.holders > 0, "page {id} released by nobody");
        page.holders = page.holders.saturating_sub(1);
        if page.holders > 0 {
            return;
        }
        if page.label.is_some() {
            self.releases += 1;
            page.released = self.releases;
            self.evictable.insert(self.releases, id);
        } else {
            self.free.push(id);
        }
    }

    /// Says what a held page contains, now that all of it is computed. The first page with a content keeps the label.
    pub fn label(&mut self, id: u32, label: PageLabel) {
        let page = &mut self.pages[id as usize];
        if page.label.is_none() && !self.labels.contains_key(&label) {
            page.label = Some(label);
            self.labels.insert(label, id);
        }
    }

    /// The page that contains `label`.
    pub fn find(&self, label: &PageLabel) -> Option<u32> {
        self.labels.get(label).copied()
    }

    /// How many page tables hold the page.
    pub fn holders(&self, id: u32) -> u32 {
        self.pages[id as usize].holders
    }

    /// What the page is known to contain.
    pub fn label_of(&self, id: u32) -> Option<PageLabel> {
        self.pages[id as usize].label
    }

    /// All pages.
    pub fn total(&self) -> usize {
        self.pages.len()
    }

    /// Pages that can be taken now.
    pub fn available(&self) -> usize {
        self.free.len() + self.evictable.len()
    }

    /// Pages that can be taken now and still can be found by a prefix.
    pub fn evictable(&self) -> usize {
        self.evictable.len()
    }

    /// Pages held by page tables.
    pub fn held(&self) -> usize {
        self.total() - self.available()
    }

    /// Free and evictable pages, for the simulation's audit.
    #[doc(hidden)]
    pub fn unheld(&self) -> (Vec<u32>, Vec<u32>) {
        let evictable = self.evictable.values().copied().collect();
        (self.free.clone(), evictable)
    }

    /// Pages asked for so far, for the simulation's figures.
    #[doc(hidden)]
    pub fn takes(&self) -> u64 {
        self.takes
    }

    /// Makes every n-th `take` fail, for tests of what happens then.
    #[doc(hidden)]
    pub fn fail_every(&mut self, n: Option<u64>) {
        self.fail_every = n.filter(|&n| n > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(n: u8) -> PageLabel {
        PageLabel {
            group: 0,
            block: BlockHash([n; 32]),
        }
    }

    #[test]
    fn unlabelled_pages_are_free_at_once_and_labelled_ones_evictable() {
        let mut pool = PagePool::new(2);
        let (a, b) = (pool.take().unwrap(), pool.take().unwrap());
        assert_eq!(pool.take(), None);
        pool.label(b, label(1));
        pool.release(a);
        pool.release(b);
        assert_eq!(pool.unheld(), (vec![a], vec![b]));
        assert_eq!(pool.share(&label(1)), Some(b));
        assert_eq!((pool.held(), pool.available()), (1, 1));
    }

    #[test]
    fn eviction_takes_the_page_released_longest_ago_and_forgets_it() {
        let mut pool = PagePool::new(2);
        let (a, b) = (pool.take().unwrap(), pool.take().unwrap());
        pool.label(a, label(1));
        pool.label(b, label(2));
        pool.release(b);
        pool.release(a);
        assert_eq!(pool.take(), Some(b));
        assert_eq!(pool.find(&label(2)), None);
        assert_eq!(pool.find(&label(1)), Some(a));
    }

    #[test]
    fn a_shared_page_stays_until_its_last_holder_leaves() {
        let mut pool = PagePool::new(1);
        let page = pool.take().unwrap();
        pool.label(page, label(1));
        assert_eq!(pool.share(&label(1)), Some(page));
        pool.release(page);
        assert_eq!((pool.holders(page), pool.available()), (1, 0));
        pool.release(page);
        assert_eq!(pool.evictable(), 1);
    }

    #[test]
    fn the_first_page_with_a_content_keeps_the_label() {
        let mut pool = PagePool::new(2);
        let (a, b) = (pool.take().unwrap(), pool.take().unwrap());
        pool.label(a, label(1));
        pool.label(b, label(1));
        assert_eq!(pool.find(&label(1)), Some(a));
        assert_eq!(pool.label_of(b), None);
    }
}
