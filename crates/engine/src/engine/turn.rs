//! One turn of the engine thread: receive → schedule → forward → sample → emit.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use super::crew::Crew;
use super::live::Live;
use super::load::Parts;
use super::pace::Pace;
use super::row::Want;
use super::{Command, Shared, Sink};
use crate::model::Batch;
use crate::request::{End, Ending, Output, RefusalKind, RefusalReason, Request};
use crate::sampling::{Finish, Generation, Next};
use crate::scheduler::{Outcome, SequenceId, Step, Submission};

/// Rows that a step may have with guesses: so few are still bound by reading the weights.
const GUESSED_ROWS: usize = 16;

/// State of the thread.
pub(crate) struct Turn {
    pub(super) parts: Parts,
    shared: Arc<Shared>,
    pub(super) live: HashMap<u64, Live>,
    steps: u64,
    pace: Pace,
    crew: Crew,
    /// What the step runs on.
    pub(super) pool: Arc<rayon::ThreadPool>,
    panic_at: Option<u64>,
}

impl Turn {
    pub(crate) fn new(parts: Parts, shared: Arc<Shared>) -> Self {
        let panic_at = std::env::var("SEED_ENGINE_PANIC_AT_STEP")
            .ok()
            .and_then(|v| v.parse().ok());
        Self {
            pool: Arc::clone(parts.threads.pool(false)),
            parts,
            shared,
            live: HashMap::new(),
            steps: 0,
            pace: Pace::default(),
            crew: Crew::default(),
            panic_at,
        }
    }

    /// Turns until told to stop.
    pub(crate) fn run(&mut self, inbox: &Receiver<Command>, sink: &Sink) {
        loop {
            let mut out = Vec::new();
            let mut open = true;
            if self.parts.scheduler.is_idle() {
                match inbox.recv() {
                    Ok(command) => open = self.receive(command, &mut out),
                    Err(_) => return,
                }
            }
            while open && let Ok(command) = inbox.try_recv() {
                open = self.receive(command, &mut out);
            }
            self.shared.beat();
            if open && !self.parts.scheduler.is_idle() {
                self.step(&mut out);
            }
            self.shared.publish(self.parts.scheduler.stats(), &out);
            if !out.is_empty() {
                sink(out);
            }
            if !open {
                return;
            }
        }
    }

    /// Takes one message; false when told to stop.
    fn receive(&mut self, command: Command, out: &mut Vec<Output>) -> bool {
        match command {
            Command::Submit(request, submitted) => self.admit(*request, submitted, out),
            Command::Cancel(id) => {
                if let Some(mut live) = self.live.remove(&id) {
                    self.parts.scheduler.cancel(SequenceId(id));
                    let mut output = live.output(Vec::new(), 0, false);
                    output.end = Some(live.ending(End::Cancelled));
                    out.push(output);
                }
            }
            Command::Shutdown => {
                for id in self.live.keys().copied().collect::<Vec<_>>() {
                    self.receive(Command::Cancel(id), out);
                }
                return false;
            }
        }
        true
    }

    fn admit(&mut self, request: Request, submitted: Instant, out: &mut Vec<Output>) {
        let id = request.id;
        let end = match self.accept(request, submitted) {
            Ok(()) => None,
            Err(reason) => Some(Ending {
                end: End::Refused(reason),
                generated: 0,
                reasoning: 0,
                timing: None,
            }),
        };
        out.push(Output {
            id,
            end,
            ..Output::default()
        });
    }

    fn accept(&mut self, mut request: Request, submitted: Instant) -> Result<(), RefusalReason> {
        let invalid = |message: String| RefusalReason {
            kind: RefusalKind::Invalid,
            message,
        };
        let vocabulary = self.parts.vocabulary;
        if let Some(token) = request.prompt.iter().find(|&&t| t as usize >= vocabulary) {
            return Err(invalid(format!(
                "token id {token} of the prompt is outside the vocabulary of {vocabulary}"
            )));
        }
        let score_only = request.params.max_tokens == 0;
        request.params.max_tokens = request.params.max_tokens.max(1);
        for id in &self.parts.eos {
            if !request.params.eos_ids.contains(id) {
                request.params.eos_ids.push(*id);
            }
        }
        let max_tokens = request.params.max_tokens as usize;
        if let Some(grammar) = &request.constraint
            && !self.parts.compiler.made(grammar)
        {
            return Err(invalid(
                "the constraint was compiled for another model".into(),
            ));
        }
        let generation = Generation::new(
            request.params,
            request.thought,
            request.constraint,
            self.parts.tokenizer.vocabulary(),
            &request.prompt,
        )
        .map_err(|e| invalid(e.to_string()))?;
        let live = Live::new(
            request.id,
            submitted,
            generation,
            score_only,
            &request.prompt,
            request.prompt_logprobs,
            self.parts.speculates,
        );
        let scores = request.prompt_logprobs.is_some();
        self.parts
            .scheduler
            .submit(Submission {
                id: SequenceId(request.id),
                prompt: request.prompt,
                max_tokens,
                salt: request.cache_salt,
                priority: request.priority,
                tenant: request.tenant,
                reuse_prefix: !scores,
                prompt_logits: scores,
            })
            .map_err(RefusalReason::from)?;
        self.live.insert(request.id, live);
        Ok(())
    }

    /// One forward pass over what the scheduler planned.
    fn step(&mut self, out: &mut Vec<Output>) {
        self.steps += 1;
        if self.panic_at == Some(self.steps) {
            panic!("asked to panic at step {}", self.steps);
        }
        let decoding = self.parts.scheduler.decoding();
        let rows = self.pace.prompt_rows(decoding);
        self.parts.scheduler.bound_prompts(rows);
        self.guess();
        let step = self.parts.scheduler.plan();
        for id in &step.preempted {
            if let Some(live) = self.live.get_mut(&id.0) {
                live.preempted();
            }
        }
        if step.entries.is_empty() {
            self.parts.scheduler.commit(step, &[]);
            return;
        }
        let (batch, wants) = self.batch(&step);
        let rows = batch.tokens.len();
        self.pool = Arc::clone(self.parts.threads.pool(self.crew.is_fewer(rows)));
        let started = Instant::now();
        for entry in &step.entries {
            if let Some(live) = self.live.get_mut(&entry.id.0) {
                live.scheduled(started);
            }
        }
        let hidden = {
            let parts = &self.parts;
            self.pool
                .install(|| parts.model.forward(&batch, &parts.cache))
        };
        let took = started.elapsed();
        self.pace.observe(rows, took);
        self.crew.observe(rows, took);
        self.shared.count(self.steps, &step);
        let outcomes = match hidden {
            Ok(hidden) => self.sample(&step, &hidden, wants, out),
            Err(error) => {
                for entry in &step.entries {
                    self.fail(entry.id.0, format!("the forward pass failed: {error}"), out);
                }
                Vec::new()
            }
        };
        self.parts.scheduler.commit(step, &outcomes);
    }

    /// Lets sequences guess, as long as all rows together still cost about what one does.
    fn guess(&mut self) {
        if !self.parts.speculates {
            return;
        }
        let most = GUESSED_ROWS / self.live.len().max(1);
        for live in self.live.values_mut().filter(|_| most > 1) {
            let guess = live.guess(most);
            if !guess.is_empty() {
                let guess = guess.to_vec();
                self.parts.scheduler.guess(SequenceId(live.id), guess);
            }
        }
    }

    /// The flat batch of a step, and what each wanted row of logits is for.
    fn batch(&self, step: &Step) -> (Batch, Vec<Want>) {
        let mut batch = Batch::default();
        let mut wants = Vec::new();
        for (index, entry) in step.entries.iter().enumerate() {
            let first = batch.push(&entry.tokens, entry.start, entry.page_tables.clone());
            let live = self.live.get(&entry.id.0);
            for row in entry.logits_from.unwrap_or(entry.tokens.len())..entry.tokens.len() {
                let position = entry.start + row;
                if live.is_some_and(|l| l.scored(position).is_some()) {
                    batch.logit_rows.push((first + row) as u32);
                    wants.push(Want::Score {
                        id: entry.id.0,
                        position,
                    });
                }
            }
            if entry.samples && live.is_some_and(|l| !l.score_only) {
                let rows = 1 + entry.drafted;
                let end = first + entry.tokens.len();
                batch
                    .logit_rows
                    .extend((end - rows..end).map(|row| row as u32));
                wants.push(Want::Sample { entry: index, rows });
            }
        }
        (batch, wants)
    }

    /// Emits what the step brought and says what the scheduler must know.
    pub(super) fn report(
        &mut self,
        step: &Step,
        mut sampled: HashMap<usize, Result<Vec<Next>, String>>,
        out: &mut Vec<Output>,
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(step.entries.len());
        let mut generated = 0;
        let mut guessed = Vec::new();
        for (index, entry) in step.entries.iter().enumerate() {
            let id = entry.id.0;
            let Some(live) = self.live.get_mut(&id) else {
                continue;
            };
            let (released, tokens, finish) = match sampled.remove(&index) {
                Some(Ok(said)) => {
                    let tokens: Vec<u32> = said.iter().flat_map(|n| n.tokens.clone()).collect();
                    let right = live.said(&tokens, entry.guesses());
                    if entry.drafted > 0 {
                        guessed.push((entry.drafted, right));
                    }
                    generated += tokens.len() as u64;
                    let mut finish = None;
                    let mut released = Vec::new();
                    for next in said {
                        released.extend(next.released);
                        finish = next.finish;
                    }
                    (released, tokens, finish)
                }
                Some(Err(reason)) => {
                    self.fail(id, reason, out);
                    continue;
                }
                None if entry.samples && live.score_only => {
                    (Vec::new(), Vec::new(), Some(Finish::Length))
                }
                None => (Vec::new(), Vec::new(), None),
            };
            let mut output = live.output(released, entry.cached_tokens, entry.samples);
            let ended = finish.is_some();
            output.end = finish.map(|f| live.ending(End::Finished(f)));
            let says_something = !output.tokens.is_empty()
                || output.cached_tokens.is_some()
                || output.prompt_logprobs.is_some()
                || ended;
            if says_something {
                out.push(output);
            }
            if ended {
                self.live.remove(&id);
            }
            outcomes.push(Outcome {
                id: entry.id,
                tokens,
                ended,
            });
        }
        let mut counters = self.shared.counters();
        counters.generated_tokens += generated;
        for (tokens, right) in guessed {
            counters.guesses.add(tokens, right);
        }
        outcomes
    }

    /// Ends one sequence with an error; the others go on.
    pub(super) fn fail(&mut self, id: u64, reason: String, out: &mut Vec<Output>) {
        if let Some(mut live) = self.live.remove(&id) {
            self.parts.scheduler.fail(SequenceId(id));
            let mut output = live.output(Vec::new(), 0, false);
            output.end = Some(live.ending(End::Failed(reason)));
            out.push(output);
        }
    }
}
