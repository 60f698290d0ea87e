//! Who must go next, told independently of the scheduler's queue: everybody waiting in one list, the next one searched.

use std::collections::HashMap;

/// One waiting request.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub id: u64,
    pub priority: i32,
    pub tenant: u64,
    pub arrival: u64,
    pub returned: bool,
    pub tokens: usize,
}

/// All waiting requests.
#[derive(Debug, Default)]
pub struct Line {
    pub waiting: Vec<Waiting>,
    /// When it is a tenant's turn inside a priority: the smallest number goes next.
    turns: HashMap<(i32, u64), u64>,
    last_turn: u64,
}

impl Line {
    pub fn join(&mut self, request: Waiting) {
        let key = (request.priority, request.tenant);
        let mut others = self.waiting.iter().filter(|w| !w.returned);
        if !request.returned && !others.any(|w| (w.priority, w.tenant) == key) {
            self.last_turn += 1;
            self.turns.insert(key, self.last_turn);
        }
        self.waiting.push(request);
    }

    /// The request whose turn it is.
    pub fn next(&self) -> Option<u64> {
        let order = |w: &Waiting| {
            let turn = self.turns.get(&(w.priority, w.tenant)).copied();
            (
                w.priority,
                !w.returned,
                turn.filter(|_| !w.returned),
                w.arrival,
            )
        };
        self.waiting.iter().min_by_key(|w| order(w)).map(|w| w.id)
    }

    /// Starts to run: its tenant waits for the others' turns.
    pub fn start(&mut self, id: u64) {
        if let Some(request) = self.leave(id)
            && !request.returned
        {
            self.last_turn += 1;
            let key = (request.priority, request.tenant);
            self.turns.insert(key, self.last_turn);
        }
    }

    pub fn leave(&mut self, id: u64) -> Option<Waiting> {
        let index = self.waiting.iter().position(|w| w.id == id)?;
        Some(self.waiting.remove(index))
    }

    pub fn tokens(&self) -> usize {
        self.waiting.iter().map(|w| w.tokens).sum()
    }
}
