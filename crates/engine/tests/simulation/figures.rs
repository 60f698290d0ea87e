//! What happened in the schedules, for the one line the test prints and for its own check that enough was tried.

use std::fmt;

/// What happened, over one or many schedules.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub schedules: u64,
    pub steps: u64,
    pub rows: u64,
    pub requests: u64,
    pub preemptions: u64,
    pub hit_tokens: u64,
    pub retried: u64,
    pub cancelled_in_flight: u64,
    pub takes: u64,
    pub guessed: u64,
    pub guessed_right: u64,
}

impl Figures {
    pub fn add(&mut self, other: &Self) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        self.rows += other.rows;
        self.requests += other.requests;
        self.preemptions += other.preemptions;
        self.hit_tokens += other.hit_tokens;
        self.retried += other.retried;
        self.cancelled_in_flight += other.cancelled_in_flight;
        self.takes += other.takes;
        self.guessed += other.guessed;
        self.guessed_right += other.guessed_right;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} schedules, {} requests, {} steps, {} rows, {} preemptions, {} tokens hit, {} rows retried, {} cancelled in flight, {} of {} guesses right",
            self.schedules,
            self.requests,
            self.steps,
            self.rows,
            self.preemptions,
            self.hit_tokens,
            self.retried,
            self.cancelled_in_flight,
            self.guessed_right,
            self.guessed
        )
    }
}
