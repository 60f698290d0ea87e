//! The invariants: pages, figures and the shape of a step. Called by the world after each action.

use seed_engine::scheduler::{Refusal, Step, Submission};

use crate::world::World;

impl World {
    /// Everything that must hold between two actions.
    pub fn audit(&mut self) {
        self.every_page_is_in_one_place();
        self.pages_of_steps_that_are_out_stay_theirs();
        self.figures_agree();
    }

    /// Free, evictable or held as often as page tables say; what is free is wiped, so that nobody can read it.
    fn every_page_is_in_one_place(&mut self) {
        let pool = self.scheduler.pool();
        let (free, evictable) = pool.unheld();
        let mut held = vec![0u32; self.config.pages];
        for (_, tables) in self.scheduler.page_tables() {
            for &page in tables.iter().flatten().filter(|&&page| page != u32::MAX) {
                held[page as usize] += 1;
            }
        }
        let mut places: Vec<u32> = held.iter().map(|&n| n.min(1)).collect();
        for &page in free.iter().chain(&evictable) {
            places[page as usize] += 1;
        }
        assert!(
            places.iter().all(|&n| n == 1),
            "a page in two places or in none"
        );
        for (page, holders) in (0..).zip(held) {
            assert_eq!(
                pool.holders(page),
                holders,
                "page {page} is counted wrongly"
            );
            if let Some(label) = pool.label_of(page) {
                assert_eq!(pool.find(&label), Some(page));
            }
        }
        for &page in &free {
            assert_eq!(pool.label_of(page), None, "a free page can be found");
            self.memory[page as usize].fill(None);
        }
        for &page in &evictable {
            assert!(
                pool.label_of(page).is_some(),
                "an evictable page cannot be found"
            );
        }
        assert!(self.config.prefix_cache || evictable.is_empty());
    }

    /// Whatever happens to a sequence, the pages of its planned rows are nobody else's before the commit.
    fn pages_of_steps_that_are_out_stay_theirs(&self) {
        let page_size = self.config.page_size;
        let pool = self.scheduler.pool();
        let mut written = vec![false; self.config.pages];
        for entry in self.out.iter().flat_map(|step| &step.entries) {
            for table in &entry.page_tables {
                for &page in table.iter().filter(|&&page| page != u32::MAX) {
                    assert!(pool.holders(page) > 0, "a page in use was given up");
                }
                for &page in &table[entry.start / page_size..=(entry.context - 1) / page_size] {
                    assert_eq!(pool.holders(page), 1, "a page being written is shared");
                    let before = std::mem::replace(&mut written[page as usize], true);
                    assert!(!before, "a page is written twice");
                }
            }
        }
    }

    fn figures_agree(&self) {
        let stats = self.scheduler.stats();
        assert_eq!(stats.pages_total, self.config.pages);
        assert_eq!(
            stats.pages_used + stats.pages_free + stats.pages_cached,
            stats.pages_total
        );
        assert_eq!(stats.running + stats.waiting, self.clients.len());
        assert!(stats.running <= self.config.max_sequences);
        if !self.failing {
            assert_eq!(stats.waiting, self.line.waiting.len());
            assert_eq!(stats.waiting_tokens, self.line.tokens());
        }
        let leaving = self.out.iter().any(|step| !step.entries.is_empty());
        assert_eq!(
            self.scheduler.is_idle(),
            self.clients.is_empty() && !self.anyone_leaving()
        );
        assert!(leaving || !self.anyone_leaving());
    }

    fn anyone_leaving(&self) -> bool {
        let mut entries = self.out.iter().flat_map(|step| &step.entries);
        entries.any(|e| self.clients.get(&e.id.0).is_none_or(|c| !c.in_flight))
    }

    /// The budget holds, and who ran before comes in the order: decoding, forced tokens, then the rest.
    pub fn check_rows(&self, step: &Step) {
        let rows: usize = step.entries.iter().map(|e| e.tokens.len()).sum();
        assert!(rows <= self.config.max_batched_tokens, "over the budget");
        let ran = step.entries.iter().filter_map(|e| {
            let client = self.clients.get(&e.id.0)?;
            client.next_row.map(|_| (client.turn(), client.rank))
        });
        assert!(ran.is_sorted(), "decoding first, each by rank");
        for entry in &step.entries {
            assert!(!entry.tokens.is_empty());
            assert_eq!(entry.context, entry.start + entry.tokens.len());
            let pages = entry.context.div_ceil(self.config.page_size);
            assert_eq!(entry.page_tables.len(), self.config.groups.len());
            assert!(entry.page_tables.iter().all(|t| t.len() >= pages));
        }
    }

    /// Only the lowest-ranked go, and never for somebody below them.
    pub fn check_preempted(&self, step: &Step) {
        for id in &step.preempted {
            let victim = self
                .clients
                .get(&id.0)
                .expect("preempted a sequence that is gone");
            assert!(!victim.in_flight, "preempted while a step is out");
            for entry in &step.entries {
                assert_ne!(entry.id, *id, "preempted and planned");
                let rank = self.clients[&entry.id.0].rank;
                assert!(
                    self.failing || rank < victim.rank,
                    "preempted for a lower rank"
                );
            }
        }
    }

    /// Nobody who decodes waits while there are pages, and the best-ranked runner always has a row.
    pub fn check_decoding(&self, step: &Step) {
        if self.failing {
            return;
        }
        let running = || self.clients.values().filter(|c| c.next_row.is_some());
        if self.scheduler.pool().available() >= self.config.groups.len()
            && step.preempted.is_empty()
        {
            assert!(
                running().all(|c| c.in_flight || !c.is_decoding()),
                "decode starves"
            );
        }
        let best = running().min_by_key(|c| c.rank);
        if self.out.is_empty() {
            assert!(
                best.is_none_or(|c| c.in_flight),
                "the best-ranked does not progress"
            );
        }
    }

    /// A submission is refused for a true reason, and accepted only without one.
    pub fn check_answer(&self, submission: &Submission, answer: &Result<(), Refusal>) {
        let (prompt, waiting) = (submission.prompt.len(), self.line.waiting.len());
        let positions = prompt + submission.max_tokens.max(1) - 1;
        let tokens = self.line.tokens();
        // A cancelled request keeps its name until its step is committed.
        let steps = self.out.iter().flat_map(|s| &s.entries);
        let in_flight = steps.map(|e| e.id).any(|id| id == submission.id);
        let duplicate = self.clients.contains_key(&submission.id.0) || in_flight;
        match answer {
            Err(Refusal::Empty) => assert_eq!(prompt, 0),
            Err(Refusal::DuplicateId) => assert!(duplicate),
            Err(Refusal::TooLong { .. }) => assert!(positions > self.config.max_model_len),
            Err(Refusal::NeverFits { needed, pages }) => {
                assert!(needed > pages && *pages == self.config.pages);
                assert!(
                    positions.div_ceil(self.config.page_size) * self.config.groups.len() > *pages
                );
            }
            Err(Refusal::QueueFull { .. }) => assert!(waiting >= self.config.max_queued_requests),
            Err(Refusal::TokensFull { .. }) => {
                assert!(tokens > 0 && tokens + prompt > self.config.max_queued_tokens);
            }
            Ok(()) => {
                assert!(prompt > 0 && !duplicate && positions <= self.config.max_model_len);
                assert!(self.failing || waiting < self.config.max_queued_requests);
                assert!(
                    self.failing || tokens == 0 || tokens + prompt <= self.config.max_queued_tokens
                );
            }
        }
    }
}
