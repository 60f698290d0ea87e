//! Follows one sequence through its grammar. What comes next is worked out on the mask threads, beside the model's
//! forward pass; the engine's loop waits for it for as long as it can afford to. Owned by `Generation`.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use llguidance::{CancellationHandle, Matcher};

use super::grammar::{Grammar, Offer};
use super::sentence::sentence;

/// Longest time an offer may take; beyond it the sequence fails.
const LIMIT: Duration = Duration::from_millis(250);
/// Nobody waits for a sequence whose last offer took longer: the next one hardly takes less.
const QUICK: Duration = Duration::from_millis(2);

type Answer = (Option<Box<Matcher>>, Result<Offer, String>, Duration);

/// An offer being worked out.
struct Working {
    answer: Receiver<Answer>,
    cancel: Option<CancellationHandle>,
    /// When a thread took it up: waiting for a thread is nobody's fault.
    started: Arc<OnceLock<Instant>>,
}

enum State {
    /// The matcher, unless it is still the grammar's own, and what it offers.
    Ready(Option<Box<Matcher>>, Result<Offer, String>),
    Working(Working),
}

/// A sequence's place in its grammar.
pub(in crate::sampling) struct Guide {
    grammar: Arc<Grammar>,
    state: State,
    /// Tokens taken of a forced run that is offered.
    taken: usize,
    lags: bool,
}

impl std::fmt::Debug for Guide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &self.state {
            State::Ready(_, offer) => format!("{offer:?}"),
            State::Working(_) => "working".into(),
        };
        f.debug_struct("Guide")
            .field("state", &state)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

impl Guide {
    pub(in crate::sampling) fn new(grammar: Arc<Grammar>) -> Self {
        Self {
            state: State::Ready(None, Ok(grammar.first())),
            grammar,
            taken: 0,
            lags: false,
        }
    }

    /// Whether the offer is there, waiting for it until then. An offer that takes too long becomes an error.
    pub(in crate::sampling) fn wait(&mut self, until: Instant) -> bool {
        let State::Working(working) = &mut self.state else {
            return true;
        };
        loop {
            let now = Instant::now();
            let late = working.started.get().map(|&started| started + LIMIT);
            if late.is_some_and(|late| now >= late)
                && let Some(cancel) = working.cancel.take()
            {
                cancel.cancel();
            }
            // Looks again when the limit is reached; the thread that was told to stop does so within milliseconds.
            let next = match (&working.cancel, late) {
                (Some(_), late) => late.unwrap_or(now + LIMIT).min(until),
                (None, _) => until,
            };
            let patience = next.saturating_duration_since(now);
            match working.answer.recv_timeout(patience) {
                Ok((matcher, offer, took)) => {
                    self.lags = took > QUICK;
                    self.state = State::Ready(matcher, offer);
                    return true;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.state = State::Ready(None, Err("it is too complex".into()));
                    return true;
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() >= until => return false,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Whether its last offer took so long that the next one is better not waited for.
    pub(in crate::sampling) fn lags(&self) -> bool {
        self.lags
    }

    /// What may come next; `wait` must have said that it is there.
    pub(in crate::sampling) fn offer(&self) -> Result<Offer, String> {
        match &self.state {
            State::Ready(_, offer) => offer.clone(),
            State::Working(_) => Err("its next step is not worked out yet".into()),
        }
    }

    /// The next token, where only one may come.
    pub(in crate::sampling) fn forced(&self) -> Option<u32> {
        match &self.state {
            State::Ready(_, Ok(Offer::Forced(run))) => run.get(self.taken).copied(),
            _ => None,
        }
    }

    /// Whether this token may come next.
    pub(in crate::sampling) fn admits(&self, id: u32) -> bool {
        match &self.state {
            State::Ready(_, Ok(Offer::Forced(run))) => run.get(self.taken) == Some(&id),
            State::Ready(_, Ok(Offer::Mask(mask))) => {
                (id as usize) < mask.len() && mask.is_allowed(id)
            }
            _ => false,
        }
    }

    /// Takes a token that may come next and has the step after it worked out.
    pub(in crate::sampling) fn take(&mut self, id: u32) {
        let State::Ready(matcher, Ok(offer)) = &mut self.state else {
            return;
        };
        let tokens: Arc<[u32]> = match offer {
            Offer::Forced(run) => {
                self.taken += 1;
                if self.taken < run.len() {
                    return;
                }
                Arc::clone(run)
            }
            _ => [id].into(),
        };
        self.taken = 0;
        let matcher = matcher.take();
        self.state = State::Working(work(&self.grammar, matcher, tokens));
    }
}

fn work(grammar: &Arc<Grammar>, matcher: Option<Box<Matcher>>, tokens: Arc<[u32]>) -> Working {
    let (sender, answer) = sync_channel(1);
    let started = Arc::new(OnceLock::new());
    let mut matcher = matcher.unwrap_or_else(|| Box::new(grammar.matcher()));
    let cancel = matcher.cancellation_handle();
    let ends = Arc::clone(grammar.ends());
    grammar.masks().spawn_fifo({
        let started = Arc::clone(&started);
        move || {
            let now = Instant::now();
            let _ = started.set(now);
            let offer = advance(&mut matcher, &tokens, &ends);
            let _ = sender.send((Some(matcher), offer, now.elapsed()));
        }
    });
    Working {
        answer,
        cancel,
        started,
    }
}

fn advance(matcher: &mut Matcher, tokens: &[u32], ends: &[u32]) -> Result<Offer, String> {
    let slow = || format!("its next step takes longer than {} ms", LIMIT.as_millis());
    let taken = matcher.try_consume_tokens(tokens);
    let offer = match taken {
        Ok(taken) if taken == tokens.len() => Offer::of(matcher, ends),
        Ok(taken) => Err(format!("it does not admit token id {} here", tokens[taken])),
        Err(error) => Err(sentence(&error.to_string())),
    };
    if matcher.is_cancelled() {
        return Err(slow());
    }
    offer
}
