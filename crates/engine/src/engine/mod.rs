//! The engine as its callers see it: load a model, submit and cancel requests, read counters, close.
//!
//! One thread owns all state (scheduler, cache, model, samplers) and turns: receive → schedule → forward → sample →
//! emit. Everyone else sends messages. `crates/node` is the caller.

mod crew;
mod files;
mod guided;
mod head;
mod live;
mod load;
mod lookup;
mod pace;
mod prospect;
mod row;
mod tally;
mod threads;
mod turn;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

pub use files::quantize;
pub use load::{LoadError, LoadOptions, ModelFacts, shares};
pub use prospect::{Prospect, prospect};
pub use tally::{Guesses, STEP_SIZES, StepSizes};

use crate::request::{End, Ending, Output, RefusalKind, RefusalReason, Request};
use crate::sampling::{Compiler, Reply};
use crate::scheduler::{Stats, Step};
use crate::text::Tokenizer;
use turn::Turn;

/// Receives every step's outputs, on the engine thread; must not block and must not panic.
pub type Sink = Box<dyn Fn(Vec<Output>) + Send>;

pub(crate) enum Command {
    /// With the moment it was given in.
    Submit(Box<Request>, Instant),
    Cancel(u64),
    Shutdown,
}

/// Counters of a running engine.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// The scheduler's figures after the last step.
    pub scheduler: Stats,
    /// Prompt tokens computed.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub generated_tokens: u64,
    /// Steps run.
    pub steps: u64,
    /// How many rows they had.
    pub step_sizes: StepSizes,
    /// What came of guesses.
    pub guesses: Guesses,
    /// Why the engine is dead, if it is.
    pub dead: Option<String>,
}

/// What the thread shares with its callers.
pub(crate) struct Shared {
    counters: Mutex<Counters>,
    live: Mutex<HashSet<u64>>,
    beat: AtomicU64,
    born: Instant,
}

impl Shared {
    fn new() -> Self {
        Self {
            counters: Mutex::new(Counters::default()),
            live: Mutex::new(HashSet::new()),
            beat: AtomicU64::new(0),
            born: Instant::now(),
        }
    }

    pub(crate) fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn live(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn beat(&self) {
        let now = self.born.elapsed().as_millis() as u64;
        self.beat.store(now, Ordering::Relaxed);
    }

    /// Counts the rows of a step.
    fn count(&self, steps: u64, step: &Step) {
        let mut counters = self.counters();
        counters.steps = steps;
        counters
            .step_sizes
            .add(step.entries.iter().map(|e| e.tokens.len()).sum());
        let prompt_rows = step.entries.iter().map(|e| e.prompt_rows as u64);
        counters.prompt_tokens += prompt_rows.sum::<u64>();
    }

    /// Shows what a turn left behind.
    fn publish(&self, scheduler: Stats, out: &[Output]) {
        self.counters().scheduler = scheduler;
        let mut live = self.live();
        for output in out {
            if output.end.is_some() {
                live.remove(&output.id);
            }
        }
    }
}

/// A loaded model with its thread.
pub struct Engine {
    commands: Sender<Command>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    tokenizer: Arc<Tokenizer>,
    compiler: Arc<Compiler>,
    facts: ModelFacts,
}

impl Engine {
    /// Loads the model on the calling thread, then starts the engine thread. `progress` gets a phase and 0..1.
    pub fn load(
        options: &LoadOptions,
        progress: &mut dyn FnMut(&str, f32),
        sink: Sink,
    ) -> Result<Self, LoadError> {
        let loaded = load::load(options, progress)?;
        let (commands, inbox) = channel();
        let shared = Arc::new(Shared::new());
        let turn = Turn::new(loaded.parts, Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("seed-engine".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || main(turn, inbox, &shared, &sink)
            })
            .map_err(|e| LoadError::new(format!("cannot start the engine thread: {e}")))?;
        Ok(Self {
            commands,
            shared,
            thread: Mutex::new(Some(thread)),
            tokenizer: loaded.tokenizer,
            compiler: loaded.compiler,
            facts: loaded.facts,
        })
    }

    /// Facts about the model and the plan it runs under.
    pub fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// Compiles a Lark grammar over a whole generation, or finds it among those compiled before. The reply comes once,
    /// on another thread.
    pub fn compile_constraint(&self, lark: &str, reply: Reply) {
        self.compiler.compile(lark, reply);
    }

    /// Queues a request. What becomes of it, refusal included, arrives at the sink; each request ends exactly once.
    pub fn submit(&self, request: Request) -> Result<(), RefusalReason> {
        let dead = || RefusalReason {
            kind: RefusalKind::Unavailable,
            message: self
                .counters()
                .dead
                .unwrap_or_else(|| "the engine is closed".into()),
        };
        let id = request.id;
        if !self.shared.live().insert(id) {
            return Err(RefusalReason {
                kind: RefusalKind::Invalid,
                message: format!("request id {id} is already in use"),
            });
        }
        // The thread clears `live` when it ends, so a send into a closing engine must take its id back.
        let sent = self
            .commands
            .send(Command::Submit(Box::new(request), Instant::now()));
        let gone = sent.is_err() || self.counters().dead.is_some();
        if gone && self.shared.live().remove(&id) {
            return Err(dead());
        }
        Ok(())
    }

    /// Ends a request within one step, wherever it is.
    pub fn cancel(&self, id: u64) {
        let _ = self.commands.send(Command::Cancel(id));
    }

    /// Counters after the last step.
    pub fn counters(&self) -> Counters {
        self.shared.counters().clone()
    }

    /// Seconds since the thread last turned; an idle thread counts as turning.
    pub fn beat_age(&self) -> f64 {
        if self.shared.live().is_empty() {
            return 0.0;
        }
        let now = self.shared.born.elapsed().as_millis() as u64;
        now.saturating_sub(self.shared.beat.load(Ordering::Relaxed)) as f64 / 1000.0
    }

    /// Cancels what is left and waits for the thread.
    pub fn close(&self) {
        let _ = self.commands.send(Command::Shutdown);
        let handle = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(handle) = handle {
            let _ = handle.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Shutdown);
    }
}

/// The thread: turns until told to stop; a panic fails what is live and marks the engine dead.
fn main(mut turn: Turn, inbox: Receiver<Command>, shared: &Shared, sink: &Sink) {
    let outcome = catch_unwind(AssertUnwindSafe(|| turn.run(&inbox, sink)));
    let reason = match outcome {
        Ok(()) => "the engine is closed".to_string(),
        Err(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(|s| (*s).to_string())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "unknown panic".into());
            format!("the engine stopped after an internal error: {text}")
        }
    };
    shared.counters().dead = Some(reason.clone());
    let left: Vec<u64> = shared.live().drain().collect();
    let outputs = left
        .into_iter()
        .map(|id| Output {
            id,
            end: Some(Ending {
                end: End::Failed(reason.clone()),
                generated: 0,
                reasoning: 0,
                timing: None,
            }),
            ..Output::default()
        })
        .collect();
    sink(outputs);
}
