//! Engine and clients of the simulation: random requests, a forward pass over remembered pages, random endings.

use std::collections::{BTreeMap, HashSet};

use seed_engine::scheduler::{
    LayerGroup, Outcome, Scheduler, SchedulerConfig, SequenceId, Step, StepEntry, Submission,
};

use crate::client::Client;
use crate::figures::Figures;
use crate::line::{Line, Waiting};
use crate::{Random, mix};

/// What a position of a page holds: keys and values that depend on group, salt and every token up to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub group: usize,
    pub position: usize,
    pub print: u64,
}

/// One simulated server.
pub struct World {
    pub random: Random,
    pub config: SchedulerConfig,
    pub scheduler: Scheduler,
    /// Pages may be missing without reason.
    pub failing: bool,
    /// No request was ever admitted without being seen.
    order_known: bool,
    pub clients: BTreeMap<u64, Client>,
    pub line: Line,
    /// Planned steps that are not committed.
    pub out: Vec<Step>,
    /// `[page][position in page]`
    pub memory: Vec<Vec<Option<Cell>>>,
    pub figures: Figures,
    steps_at_once: usize,
    longest_prompt: usize,
    longest_answer: usize,
    last_id: u64,
    arrivals: u64,
}

fn random_config(random: &mut Random) -> SchedulerConfig {
    let group = |random: &mut Random| LayerGroup {
        window: (!random.once_in(2)).then(|| random.between(1, 20)),
    };
    let groups: Vec<_> = (0..random.between(1, 3)).map(|_| group(random)).collect();
    let page_size = 1 + random.below(4) * random.below(6);
    let max_model_len = random.between(8, 64);
    // Half of the pools hold little more than one longest sequence.
    let tight = groups.len() * max_model_len.div_ceil(page_size);
    SchedulerConfig {
        page_size,
        pages: match random.once_in(2) {
            true => tight + random.below(4),
            false => random.between(2, 40),
        },
        groups,
        max_sequences: random.between(1, 6),
        max_batched_tokens: random.between(1, 24),
        max_model_len,
        max_queued_requests: random.between(1, 12),
        max_queued_tokens: random.between(16, 200),
        prefix_cache: !random.once_in(8),
        seed: [random.draw() as u8; 32],
    }
}

impl World {
    pub fn new(seed: u64, fail_every: Option<u64>) -> Self {
        let mut random = Random(mix(seed));
        let config = random_config(&mut random);
        let mut scheduler = Scheduler::new(config.clone()).unwrap();
        scheduler.fail_every(fail_every);
        Self {
            memory: vec![vec![None; config.page_size]; config.pages],
            config,
            scheduler,
            failing: fail_every.is_some(),
            order_known: fail_every.is_none(),
            clients: BTreeMap::new(),
            line: Line::default(),
            out: Vec::new(),
            figures: Figures {
                schedules: 1,
                ..Figures::default()
            },
            steps_at_once: if random.once_in(4) { 2 } else { 1 },
            longest_prompt: random.between(1, 40),
            longest_answer: random.between(1, 56),
            random,
            last_id: 0,
            arrivals: 0,
        }
    }

    /// One random action, then every invariant.
    pub fn act(&mut self) {
        match self.random.below(20) {
            0..6 => self.submit(),
            6..12 if self.out.len() < self.steps_at_once => self.plan(),
            6..18 if !self.out.is_empty() => self.commit(false),
            18 => self.leave(),
            _ => {}
        }
        self.audit();
    }

    /// Lets everybody finish; the scheduler must get there in a bounded number of steps.
    pub fn drain(&mut self) {
        self.scheduler.fail_every(None);
        while !self.out.is_empty() {
            self.commit(true);
        }
        let work: usize = self.clients.values().map(|c| c.limit).sum();
        let bound = work * (self.clients.len() + 1);
        for _ in 0..bound {
            if self.clients.is_empty() {
                break;
            }
            // Requests admitted while pages were missing may have no row yet; until then the line is not known.
            self.failing &= self.scheduler.stats().waiting != self.line.waiting.len();
            self.plan();
            assert!(
                !self.out[0].entries.is_empty(),
                "nobody runs, but somebody is there"
            );
            self.commit(true);
            self.audit();
        }
        assert!(self.clients.is_empty(), "not done after {bound} steps");
        assert!(self.scheduler.is_idle());
        let stats = self.scheduler.stats();
        assert_eq!(
            (stats.running, stats.waiting, stats.waiting_tokens),
            (0, 0, 0)
        );
        assert_eq!(stats.pages_used, 0, "pages leaked");
        self.figures.preemptions = stats.preemptions;
        self.figures.hit_tokens = stats.prefix_hits;
        self.figures.takes = self.scheduler.pool().takes();
    }

    fn submit(&mut self) {
        // Now and then a name that is taken or was used before.
        let reused = self.last_id > 0 && self.random.once_in(10);
        let id = match reused {
            true => self.random.between(1, self.last_id as usize) as u64,
            false => self.last_id + 1,
        };
        let scored = self.random.once_in(8);
        let submission = Submission {
            id: SequenceId(id),
            prompt: self.random_prompt(),
            max_tokens: self.random.below(self.longest_answer + 1),
            salt: vec![1; self.random.below(4) / 2],
            priority: self.random.below(3) as i32 / 2,
            tenant: self.random.below(3) as u64,
            reuse_prefix: !scored && !self.random.once_in(16),
            prompt_logits: scored,
        };
        let answer = self.scheduler.submit(submission.clone());
        self.check_answer(&submission, &answer);
        if answer.is_ok() {
            self.last_id = self.last_id.max(id);
            self.accept(submission);
        }
    }

    /// Prompts of few kinds that agree over a random length and then part.
    fn random_prompt(&mut self) -> Vec<u32> {
        let len = self.random.below(self.longest_prompt + 1);
        let (kind, own) = (self.random.below(2) as u64, self.random.draw());
        let parted = match self.random.once_in(2) {
            true => len,
            false => self.random.below(len + 1),
        };
        let token = |i: usize| mix(i as u64 ^ if i < parted { kind << 40 } else { own }) % 3;
        (0..len).map(|i| token(i) as u32).collect()
    }

    fn accept(&mut self, submission: Submission) {
        self.figures.requests += 1;
        self.arrivals += 1;
        let most = submission.max_tokens.max(1);
        let wanted = match self.random.once_in(2) {
            true => most,
            // Beyond what is allowed, the scheduler must end it.
            false => self.random.between(1, most + 2),
        };
        let client = Client::new(&submission, self.arrivals, wanted);
        self.wait(submission.id.0, &client, false);
        self.clients.insert(submission.id.0, client);
    }

    fn wait(&mut self, id: u64, client: &Client, returned: bool) {
        self.line.join(Waiting {
            id,
            priority: client.rank.0,
            tenant: client.tenant,
            arrival: client.rank.1,
            returned,
            tokens: client.tokens.len(),
        });
    }

    /// A client leaves or something breaks for it, wherever it is; sometimes one that is gone already.
    fn leave(&mut self) {
        let id = self.random.between(1, self.last_id as usize + 1) as u64;
        let alive = self.clients.get(&id);
        self.figures.cancelled_in_flight += u64::from(alive.is_some_and(|c| c.in_flight));
        if self.random.once_in(3) {
            self.scheduler.fail(SequenceId(id));
        } else {
            assert_eq!(
                self.scheduler.cancel(SequenceId(id)),
                alive.is_some(),
                "ends exactly once"
            );
        }
        self.end(id);
    }

    /// The one end of a request.
    fn end(&mut self, id: u64) {
        self.clients.remove(&id);
        self.line.leave(id);
    }

    /// Guesses what some clients say next, rightly or not; also for those who cannot use it now.
    fn guess(&mut self) {
        for (&id, client) in &mut self.clients {
            if client.in_flight || !self.random.once_in(3) {
                continue;
            }
            let mut print = client.prints[client.prints.len() - 1];
            let length = self.random.below(5);
            let mut guess = Vec::new();
            for _ in 0..length {
                // The model's own next token most of the time (see `outcome`).
                let token = if self.random.once_in(4) {
                    1
                } else {
                    (mix(print) % 3) as u32
                };
                guess.push(token);
                print = Client::print_after(print, token);
            }
            client.guess.clone_from(&guess);
            self.scheduler.guess(SequenceId(id), guess);
        }
    }

    fn plan(&mut self) {
        self.guess();
        let step = self.scheduler.plan();
        self.figures.steps += 1;
        self.check_preempted(&step);
        for id in step.preempted.iter().map(|id| id.0) {
            let mut client = self.clients.remove(&id).unwrap();
            client.next_row = None;
            // Admitted without a row while pages were missing: it never left the line.
            assert!(self.line.leave(id).is_none() || !self.order_known);
            self.wait(id, &client, true);
            self.clients.insert(id, client);
        }
        self.check_rows(&step);
        let mut seen = HashSet::new();
        for entry in &step.entries {
            assert!(seen.insert(entry.id), "two entries of one sequence");
            self.figures.rows += entry.tokens.len() as u64;
            self.receive(entry);
        }
        self.check_decoding(&step);
        self.out.push(step);
    }

    /// A planned entry must go on where its client stands, and newcomers must come in their turn.
    fn receive(&mut self, entry: &StepEntry) {
        let id = entry.id.0;
        let client = self
            .clients
            .get_mut(&id)
            .expect("an entry of a sequence that is gone");
        assert!(!client.in_flight, "in two steps at once");
        if client.next_row.is_none() {
            assert!(
                !self.order_known || self.line.next() == Some(id),
                "out of turn"
            );
            self.line.start(id);
            let skippable = client.skippable();
            assert!(entry.start <= skippable && entry.start.is_multiple_of(self.config.page_size));
        } else {
            assert_eq!(
                client.next_row,
                Some(entry.start),
                "a row twice or left out"
            );
        }
        client.enter(entry);
    }

    /// Runs and commits one of the steps that are out.
    fn commit(&mut self, faithful: bool) {
        let index = self.random.below(self.out.len());
        let step = self.out.remove(index);
        let broken = !faithful && self.random.once_in(25);
        let mut outcomes = Vec::new();
        for entry in &step.entries {
            let lost = broken || (!faithful && self.random.once_in(20));
            self.forward(entry, lost);
            if !lost {
                outcomes.extend(self.outcome(entry, faithful));
            } else if let Some(client) = self.clients.get_mut(&entry.id.0) {
                client.in_flight = false;
                self.figures.retried += entry.tokens.len() as u64;
            }
        }
        let reversed = self.random.once_in(2);
        if reversed {
            outcomes.reverse();
        }
        self.scheduler.commit(step, &outcomes);
    }

    /// Writes an entry's rows into their pages and checks all that they read; a lost pass leaves rubbish.
    fn forward(&mut self, entry: &StepEntry, lost: bool) {
        let page_size = self.config.page_size;
        let client = self.clients.get(&entry.id.0);
        let known = client.filter(|_| !lost);
        let prints = known.map_or_else(Vec::new, |c| c.prints_of(entry));
        for (group, table) in entry.page_tables.iter().enumerate() {
            for position in entry.start..entry.context {
                let page = table[position / page_size];
                let print = prints.get(position).copied().unwrap_or(0);
                let pool = self.scheduler.pool();
                assert_eq!(pool.holders(page), 1, "writes a page that is not its own");
                assert_eq!(
                    pool.label_of(page),
                    None,
                    "writes a page that others may find"
                );
                self.memory[page as usize][position % page_size] = Some(Cell {
                    group,
                    position,
                    print,
                });
            }
            if known.is_none() {
                continue;
            }
            let window = self.config.groups[group].window.unwrap_or(usize::MAX);
            for position in (entry.start + 1).saturating_sub(window)..entry.context {
                let page = table[position / page_size];
                assert_ne!(page, u32::MAX, "reads behind what is kept");
                let cell = Cell {
                    group,
                    position,
                    print: prints[position],
                };
                let found = self.memory[page as usize][position % page_size];
                assert_eq!(found, Some(cell), "reads what is not its own");
            }
        }
    }

    /// What the model and the sampler made of an entry; also for a client that left meanwhile, at times.
    fn outcome(&mut self, entry: &StepEntry, faithful: bool) -> Option<Outcome> {
        let id = entry.id.0;
        let Some(client) = self.clients.get_mut(&id) else {
            return self.random.once_in(2).then(|| Outcome {
                id: entry.id,
                tokens: vec![0],
                ended: self.random.once_in(2),
            });
        };
        client.in_flight = false;
        client.started = true;
        let again = entry.samples && !faithful && self.random.once_in(30);
        let computed = entry.context - entry.drafted - usize::from(again);
        client.next_row = Some(computed);
        client.scored = client.scored.max(computed.min(client.prompt));
        if again || !entry.samples {
            return Some(Outcome {
                id: entry.id,
                tokens: Vec::new(),
                ended: false,
            });
        }
        // Each row says a token; the next row counts only if its guess was that one.
        let guesses = &entry.tokens[entry.tokens.len() - entry.drafted..];
        let mut print = *client.prints.last().unwrap();
        let mut tokens = Vec::new();
        for row in 0..=guesses.len() {
            let token = (mix(print) % 3) as u32;
            tokens.push(token);
            print = Client::print_after(print, token);
            // A right guess may still go unused: its grammar was not ready.
            if guesses.get(row) != Some(&token) || print % 13 == 0 {
                break;
            }
        }
        // Some tokens are forced; by chance they may be those that were guessed.
        if print % 9 == 0 {
            let forced = 2 + print % 5;
            tokens.extend((0..forced).map(|n| (mix(print ^ n) % 3) as u32));
        }
        let right = tokens.iter().zip(guesses).take_while(|(t, g)| t == g);
        let right = right.count().min(tokens.len() - 1);
        self.figures.guessed += entry.drafted as u64;
        self.figures.guessed_right += right as u64;
        client.next_row = Some(computed + right);
        client.fresh = tokens.len();
        let before = client.tokens.len();
        tokens
            .iter()
            .take(client.limit - before)
            .for_each(|&t| client.push(t));
        let generated = client.tokens.len() - client.prompt;
        let ended = generated >= client.wanted;
        if ended || client.tokens.len() == client.limit {
            assert!(!client.prompt_logits || client.scored == client.prompt);
            self.end(id);
        }
        Some(Outcome {
            id: entry.id,
            tokens,
            ended,
        })
    }
}
