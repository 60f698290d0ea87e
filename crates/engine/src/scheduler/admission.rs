//! From waiting to running: prefix hits, and whether there is room beside those who run already. Part of `plan`.

use super::sequence::{Sequence, Stage};
use super::step::Draft;
use super::{Scheduler, SequenceId};

impl Scheduler {
    /// Admits from the head of the queue while rows, places and pages last.
    pub(super) fn admit(&mut self, draft: &mut Draft) {
        // Every running sequence must be able to have a row in each step.
        let places = self
            .config
            .max_sequences
            .min(self.config.max_batched_tokens);
        while draft.rows_left > 0
            && self.running.len() < places
            && let Some(id) = self.queue.head()
            && let Some(pages) = self.admissible(id)
        {
            self.start(id, pages);
            if !self.give_rows(id, draft) {
                break;
            }
        }
    }

    /// How many pages of its prefix are known, if the sequence has room to run.
    fn admissible(&mut self, id: SequenceId) -> Option<usize> {
        let promised = self.promised();
        if promised >= self.pool.available() {
            return None;
        }
        let page_size = self.config.page_size;
        let sequence = self.sequences.get_mut(&id)?;
        let mut hit = 0;
        if self.config.prefix_cache {
            sequence.chain.extend(&sequence.tokens, page_size);
            let limit = sequence.skippable() / page_size;
            let groups = &self.config.groups;
            hit = sequence
                .chain
                .longest_hit(&self.pool, groups, page_size, limit);
        }
        let sequence = self.sequences.get(&id)?;
        let (found, of_these_evictable) = self.pages_of_hit(sequence, hit);
        let needed = self.most_pages(sequence.known()).saturating_sub(found);
        let room = self.pool.available() - of_these_evictable;
        (needed + promised <= room).then_some(hit)
    }

    /// Pages that a hit brings, and how many of them are evictable now and so would not be available any more.
    fn pages_of_hit(&self, sequence: &Sequence, hit: usize) -> (usize, usize) {
        let page_size = self.config.page_size;
        let (mut found, mut evictable) = (0, 0);
        for (index, group) in self.config.groups.iter().enumerate() {
            for page in group.first_page(hit * page_size, page_size)..hit {
                let label = sequence.chain.label(index, page);
                if let Some(id) = label.and_then(|l| self.pool.find(&l)) {
                    found += 1;
                    evictable += usize::from(self.pool.holders(id) == 0);
                }
            }
        }
        (found, evictable)
    }

    /// Pages that running sequences will still take: for known tokens, and one more a group to grow into.
    ///
    /// Without it a newcomer would take what the next decode rows need and be preempted at once.
    fn promised(&self) -> usize {
        let running = self
            .running
            .iter()
            .filter_map(|(_, id)| self.sequences.get(id));
        let groups = self.config.groups.len();
        running
            .map(|s| self.most_pages(s.known()).saturating_sub(s.tables.held()) + groups)
            .sum()
    }

    /// Makes the head of the queue run, behind the first `pages` of its prefix.
    fn start(&mut self, id: SequenceId, pages: usize) {
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return;
        };
        self.queue.pop(sequence.place(), sequence.known());
        let (groups, page_size) = (&self.config.groups, self.config.page_size);
        sequence
            .tables
            .adopt(&mut self.pool, &sequence.chain, groups, page_size, pages);
        sequence.computed = pages * page_size;
        sequence.stage = Stage::Running;
        if !sequence.started {
            sequence.cached = sequence.computed;
            self.prefix_queries += sequence.known() as u64;
            self.prefix_hits += sequence.computed as u64;
        }
        self.running.insert((sequence.rank, id));
    }

    /// Sends a running sequence back to the front of the queue; all its tokens will be computed again.
    pub(super) fn preempt(&mut self, id: SequenceId, draft: &mut Draft) {
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return;
        };
        sequence.tables.release_all(&mut self.pool);
        sequence.computed = 0;
        sequence.draft.clear();
        sequence.returned = true;
        sequence.stage = Stage::Waiting;
        self.running.remove(&(sequence.rank, id));
        self.queue.push(sequence.place(), sequence.known());
        self.preemptions += 1;
        draft.take_back(id);
    }
}
