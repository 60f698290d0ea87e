//! Finds pages of an equal prefix: a SHA-256 chain over full pages of tokens. Sequences keep a chain each.
//!
//! A block's hash covers its tokens and, through its parent, all tokens before, the salt and the process's random
//! seed: equal hashes mean equal keys and values, and nobody outside can aim at a hash.

use sha2::{Digest, Sha256};

use super::group::LayerGroup;
use super::pages::{PageLabel, PagePool};

/// Hash of one full page of tokens and everything before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockHash(pub [u8; 32]);

/// The hashes of a sequence's full pages, in order; grows with the sequence.
#[derive(Clone, Debug)]
pub struct PrefixChain {
    root: BlockHash,
    blocks: Vec<BlockHash>,
}

impl PrefixChain {
    /// An empty chain; callers with different salts never share a block.
    pub fn new(seed: &[u8; 32], salt: &[u8]) -> Self {
        let root = Sha256::new().chain_update(seed).chain_update(salt);
        Self {
            root: BlockHash(root.finalize().into()),
            blocks: Vec::new(),
        }
    }

    /// Hashes the full pages of `tokens`, the sequence from its first token on, that are not hashed yet.
    pub fn extend(&mut self, tokens: &[u32], page_size: usize) {
        for page in tokens.chunks_exact(page_size).skip(self.blocks.len()) {
            let parent = self.blocks.last().unwrap_or(&self.root);
            let mut hash = Sha256::new().chain_update(parent.0);
            for token in page {
                hash.update(token.to_le_bytes());
            }
            self.blocks.push(BlockHash(hash.finalize().into()));
        }
    }

    /// What page `index` contains for a group, if it is hashed.
    pub fn label(&self, group: usize, index: usize) -> Option<PageLabel> {
        Some(PageLabel {
            group: group as u32,
            block: *self.blocks.get(index)?,
        })
    }

    /// The longest prefix, in pages and at most `limit`, from which every group can go on.
    ///
    /// Full attention needs every page of it, a window only those that the next row still reads.
    pub fn longest_hit(
        &self,
        pool: &PagePool,
        groups: &[LayerGroup],
        page_size: usize,
        limit: usize,
    ) -> usize {
        // Per group, from which page on everything is present without a gap.
        let mut present_from = vec![0; groups.len()];
        let mut longest = 0;
        for index in 0..limit.min(self.blocks.len()) {
            for (group, from) in present_from.iter_mut().enumerate() {
                let found = self.label(group, index).and_then(|l| pool.find(&l));
                if found.is_none() {
                    if groups[group].window.is_none() {
                        return longest;
                    }
                    *from = index + 1;
                }
            }
            let next_row = (index + 1) * page_size;
            let mut pairs = groups.iter().zip(&present_from);
            if pairs.all(|(g, &from)| from <= g.first_page(next_row, page_size)) {
                longest = index + 1;
            }
        }
        longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: LayerGroup = LayerGroup { window: None };

    fn chain(salt: &[u8], tokens: &[u32]) -> PrefixChain {
        let mut chain = PrefixChain::new(&[7; 32], salt);
        chain.extend(tokens, 2);
        chain
    }

    /// A pool that contains the given pages of a chain for a group.
    fn fill(pool: &mut PagePool, chain: &PrefixChain, group: usize, pages: &[usize]) {
        for &index in pages {
            let id = pool.take().unwrap();
            pool.label(id, chain.label(group, index).unwrap());
            pool.release(id);
        }
    }

    #[test]
    fn a_block_depends_on_seed_salt_and_all_tokens_before() {
        let a = chain(b"", &[1, 2, 3, 4]);
        assert_eq!(a.blocks, chain(b"", &[1, 2, 3, 4, 5]).blocks);
        assert_ne!(a.blocks[1], chain(b"", &[9, 2, 3, 4]).blocks[1]);
        assert_ne!(a.blocks[0], chain(b"x", &[1, 2, 3, 4]).blocks[0]);
        assert_ne!(a.root, PrefixChain::new(&[8; 32], b"").root);
    }

    #[test]
    fn growing_equals_hashing_at_once() {
        let mut grown = chain(b"s", &[1, 2, 3]);
        grown.extend(&[1, 2, 3, 4, 5, 6], 2);
        assert_eq!(grown.blocks, chain(b"s", &[1, 2, 3, 4, 5, 6]).blocks);
    }

    #[test]
    fn full_attention_needs_every_page() {
        let (mut pool, chain) = (PagePool::new(8), chain(b"", &[1, 2, 3, 4, 5, 6, 7, 8]));
        fill(&mut pool, &chain, 0, &[0, 1, 3]);
        assert_eq!(chain.longest_hit(&pool, &[FULL], 2, 4), 2);
        assert_eq!(chain.longest_hit(&pool, &[FULL], 2, 1), 1);
    }

    #[test]
    fn a_window_needs_only_its_last_pages_and_shortens_the_hit_to_where_it_has_them() {
        let (mut pool, chain) = (PagePool::new(16), chain(b"", &[1, 2, 3, 4, 5, 6, 7, 8]));
        let groups = [FULL, LayerGroup { window: Some(3) }];
        fill(&mut pool, &chain, 0, &[0, 1, 2, 3]);
        fill(&mut pool, &chain, 1, &[2]);
        // After page 2 the next row sits at 6 and reads from 4: page 2 is enough. After page 3 it would need page 3.
        assert_eq!(chain.longest_hit(&pool, &groups, 2, 4), 3);
        fill(&mut pool, &chain, 1, &[3]);
        assert_eq!(chain.longest_hit(&pool, &groups, 2, 4), 4);
    }

    #[test]
    fn groups_do_not_share_pages() {
        let (mut pool, chain) = (PagePool::new(4), chain(b"", &[1, 2]));
        fill(&mut pool, &chain, 0, &[0]);
        assert_eq!(chain.longest_hit(&pool, &[FULL, FULL], 2, 1), 0);
    }
}
