//! Compiles grammars on threads of their own, once each however many ask, and keeps them for later. The engine owns one
//! for its model; its callers send texts and get an answer through a callback.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, available_parallelism};
use std::time::{Duration, Instant};

use llguidance::api::TopLevelGrammar;
use llguidance::{CancellationHandle, Matcher, ParserFactory, panic_utils};

use super::grammar::{Grammar, Offer};
use super::guard;
use super::lexicon;
use super::sentence::sentence;
use super::shelf::Shelf;
use crate::request::{RefusalKind, RefusalReason};
use crate::text::Tokenizer;

/// Receives the compiled grammar or why there is none, on a thread of the compiler's; must not block.
pub type Reply = Box<dyn FnOnce(Result<Arc<Grammar>, RefusalReason>) + Send>;

/// Stack of a thread that compiles: llguidance follows references in a schema by recursion, and running out of stack
/// would end the process. Only what is touched takes memory.
const STACK: usize = 256 << 20;
/// Stack of a thread that works out masks.
const MASK_STACK: usize = 16 << 20;
/// Grammars compiled at once; those that ran out of time do not count.
const AT_ONCE: usize = 2;
/// Threads that may still be busy with grammars that ran out of time, beside those at work.
const OVERDUE: usize = 4;
/// Time from question to answer. Compiling itself cannot be interrupted, so its thread may go on for a while.
const LIMIT: Duration = Duration::from_secs(10);
/// Longest first step of a grammar that is taken: later ones would hardly be faster.
const FIRST_STEP: Duration = Duration::from_secs(1);
/// Grammars kept, and the bytes they may take together.
const KEPT: usize = 256;
const KEPT_BYTES: usize = 64 << 20;
/// Different grammars that may wait.
const WAITING: usize = 256;

static MAKERS: AtomicU64 = AtomicU64::new(0);

type Outcome = Result<Arc<Grammar>, RefusalReason>;

enum Message {
    Compile(Arc<str>, Reply),
    Done(Arc<str>, Outcome),
    Close,
}

/// Turns texts into grammars for one model.
pub struct Compiler {
    inbox: Sender<Message>,
    maker: u64,
}

impl Compiler {
    /// Starts the thread; it first makes the vocabulary's trie, while the caller goes on. `ends` are the ids that end a
    /// generation where a grammar may end; they may also stand inside one.
    pub fn start(tokenizer: Arc<Tokenizer>, ends: Vec<u32>) -> std::io::Result<Self> {
        let (inbox, messages) = channel();
        let maker = MAKERS.fetch_add(1, Ordering::Relaxed);
        let outbox = inbox.clone();
        Builder::new().name("seed-grammar".into()).spawn(move || {
            let factory = lexicon::factory(&tokenizer).and_then(|factory| {
                let masks = mask_threads()?;
                Ok(Workshop {
                    factory,
                    ends: ends.into(),
                    masks: Arc::new(masks),
                    maker,
                })
            });
            match factory {
                Ok(workshop) => Desk::new(Arc::new(workshop), outbox).run(&messages),
                Err(reason) => refuse_all(&messages, &reason),
            }
        })?;
        Ok(Self { inbox, maker })
    }

    /// Compiles a Lark grammar, or finds it; the reply comes exactly once.
    pub fn compile(&self, text: &str, reply: Reply) {
        if let Err(error) = self.inbox.send(Message::Compile(text.into(), reply))
            && let Message::Compile(_, reply) = error.0
        {
            reply(Err(refusal(
                RefusalKind::Unavailable,
                "the engine is closed",
            )));
        }
    }

    /// Whether the grammar was made for this model.
    pub fn made(&self, grammar: &Grammar) -> bool {
        grammar.maker() == self.maker
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        let _ = self.inbox.send(Message::Close);
    }
}

fn mask_threads() -> Result<rayon::ThreadPool, String> {
    let cores = available_parallelism().map_or(2, |n| n.get());
    rayon::ThreadPoolBuilder::new()
        .num_threads((cores / 2).clamp(2, 8))
        .stack_size(MASK_STACK)
        // Who waits for the answer hears that there is none.
        .panic_handler(|_| {})
        .thread_name(|n| format!("seed-mask-{n}"))
        .build()
        .map_err(|e| e.to_string())
}

fn refusal(kind: RefusalKind, message: impl Into<String>) -> RefusalReason {
    RefusalReason {
        kind,
        message: message.into(),
    }
}

fn invalid(message: impl std::fmt::Display) -> RefusalReason {
    refusal(
        RefusalKind::Invalid,
        format!("the constraint cannot be used: {message}"),
    )
}

fn refuse_all(messages: &Receiver<Message>, reason: &str) {
    for message in messages {
        match message {
            Message::Compile(_, reply) => {
                let reason =
                    format!("constraints do not work with this model's vocabulary: {reason}");
                reply(Err(refusal(RefusalKind::Unavailable, reason)));
            }
            Message::Done(..) => {}
            Message::Close => return,
        }
    }
}

/// What a thread needs to compile one grammar.
struct Workshop {
    factory: ParserFactory,
    ends: Arc<[u32]>,
    masks: Arc<rayon::ThreadPool>,
    maker: u64,
}

impl Workshop {
    /// Compiles and takes the first step. `cancel` is filled when the step can be interrupted.
    fn compile(&self, text: &str, cancel: &OnceLock<CancellationHandle>) -> Outcome {
        guard::check(text).map_err(invalid)?;
        // This catches panics without a word on stderr.
        let create = AssertUnwindSafe(|| {
            self.factory
                .create_parser(TopLevelGrammar::from_lark(text.into()))
        });
        let parser =
            panic_utils::catch_unwind(create).map_err(|e| invalid(sentence(&e.to_string())))?;
        // Shares the lexer, and so can tell how large the first step made it.
        let lexer = parser.parser.clone();
        let mut matcher = Matcher::new(Ok(parser)).into_cancellable();
        if let Some(handle) = matcher.cancellation_handle() {
            let _ = cancel.set(handle);
        }
        let asked = Instant::now();
        let first = Offer::of(&mut matcher, &self.ends);
        if matcher.is_cancelled() || asked.elapsed() > FIRST_STEP {
            return Err(invalid("its first step takes too long"));
        }
        // llguidance counts the lexer alone; measured, rules and symbols take some sixty times their text.
        let bytes = lexer.lexer_stats().num_bytes + 60 * text.len();
        let masks = Arc::clone(&self.masks);
        let grammar = Grammar::new(
            matcher,
            first.map_err(invalid)?,
            Arc::clone(&self.ends),
            bytes,
            self.maker,
            masks,
        );
        Ok(Arc::new(grammar))
    }
}

/// A grammar somebody waits for.
struct Pending {
    replies: Vec<Reply>,
    asked: Instant,
    /// Set when a thread has taken it up.
    started: bool,
    /// Answered already because it took too long.
    overdue: bool,
    cancel: Arc<OnceLock<CancellationHandle>>,
}

/// The compiler's thread: hands texts to threads and answers to callers.
struct Desk {
    workshop: Arc<Workshop>,
    outbox: Sender<Message>,
    shelf: Shelf<Arc<Grammar>>,
    pending: HashMap<Arc<str>, Pending>,
    queue: VecDeque<Arc<str>>,
}

impl Desk {
    fn new(workshop: Arc<Workshop>, outbox: Sender<Message>) -> Self {
        Self {
            workshop,
            outbox,
            shelf: Shelf::new(KEPT, KEPT_BYTES),
            pending: HashMap::new(),
            queue: VecDeque::new(),
        }
    }

    fn run(&mut self, messages: &Receiver<Message>) {
        loop {
            let message = match self.next_deadline() {
                Some(deadline) => {
                    messages.recv_timeout(deadline.saturating_duration_since(Instant::now()))
                }
                None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                Ok(Message::Compile(text, reply)) => self.ask(text, reply),
                Ok(Message::Done(text, outcome)) => self.done(&text, outcome),
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => return self.close(),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.expire();
            self.start_some();
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.pending.values().filter(|p| !p.overdue);
        waiting.map(|p| p.asked + LIMIT).min()
    }

    fn ask(&mut self, text: Arc<str>, reply: Reply) {
        if let Some(grammar) = self.shelf.get(&text) {
            return reply(Ok(grammar));
        }
        if let Some(pending) = self.pending.get_mut(&text) {
            if pending.overdue {
                return reply(Err(too_slow()));
            }
            pending.replies.push(reply);
            return;
        }
        if self.pending.len() >= WAITING {
            let message =
                format!("{WAITING} constraints are being compiled already; try again later");
            return reply(Err(refusal(RefusalKind::Busy, message)));
        }
        self.queue.push_back(Arc::clone(&text));
        self.pending.insert(
            text,
            Pending {
                replies: vec![reply],
                asked: Instant::now(),
                started: false,
                overdue: false,
                cancel: Arc::default(),
            },
        );
    }

    fn done(&mut self, text: &Arc<str>, outcome: Outcome) {
        if let Ok(grammar) = &outcome {
            self.shelf
                .put(Arc::clone(text), Arc::clone(grammar), grammar.bytes());
        }
        if let Some(pending) = self.pending.remove(text) {
            for reply in pending.replies {
                reply(outcome.clone());
            }
        }
    }

    /// Answers those that waited too long; a thread at work on it may go on, but for nobody.
    fn expire(&mut self) {
        let now = Instant::now();
        for pending in self.pending.values_mut() {
            if !pending.overdue && now >= pending.asked + LIMIT {
                pending.overdue = true;
                if let Some(cancel) = pending.cancel.get() {
                    cancel.cancel();
                }
                for reply in pending.replies.drain(..) {
                    reply(Err(too_slow()));
                }
            }
        }
        self.pending.retain(|_, p| p.started || !p.overdue);
    }

    fn start_some(&mut self) {
        while let Some(text) = self.queue.pop_front() {
            let started = self.pending.values().filter(|p| p.started);
            let (overdue, working): (Vec<_>, Vec<_>) = started.partition(|p| p.overdue);
            if working.len() >= AT_ONCE || overdue.len() >= OVERDUE {
                self.queue.push_front(text);
                return;
            }
            let Some(pending) = self.pending.get_mut(&text).filter(|p| !p.started) else {
                continue;
            };
            pending.started = true;
            let cancel = Arc::clone(&pending.cancel);
            if let Err(error) = self.start(&text, cancel) {
                let message =
                    format!("no thread could be started to compile the constraint: {error}");
                self.done(&text, Err(refusal(RefusalKind::Busy, message)));
            }
        }
    }

    fn start(
        &self,
        text: &Arc<str>,
        cancel: Arc<OnceLock<CancellationHandle>>,
    ) -> std::io::Result<()> {
        let workshop = Arc::clone(&self.workshop);
        let outbox = self.outbox.clone();
        let text = Arc::clone(text);
        Builder::new()
            .name("seed-compile".into())
            .stack_size(STACK)
            .spawn(move || {
                let work = AssertUnwindSafe(|| workshop.compile(&text, &cancel));
                let outcome =
                    catch_unwind(work).unwrap_or_else(|_| Err(invalid("it is too complex")));
                let _ = outbox.send(Message::Done(text, outcome));
            })
            .map(|_| ())
    }

    fn close(&mut self) {
        for (_, pending) in self.pending.drain() {
            for reply in pending.replies {
                reply(Err(refusal(
                    RefusalKind::Unavailable,
                    "the engine is closed",
                )));
            }
        }
    }
}

fn too_slow() -> RefusalReason {
    invalid(format!(
        "compiling it takes longer than {} s; use a smaller schema, pattern or grammar",
        LIMIT.as_secs()
    ))
}
