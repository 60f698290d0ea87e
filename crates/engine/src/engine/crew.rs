//! With how many threads small steps run: all, or one fewer while somebody else keeps a core busy.
//!
//! A small step is some hundred short parallel regions, and each waits for its slowest thread. A thread that shares its
//! core with a neighbour stands still for milliseconds at a time, and all others with it: one fewer is then faster. Which
//! it is shows by trying. Results do not depend on it. The engine's loop asks before a step and tells how long it took.

use std::time::Duration;

/// Steps with more rows compute for so long between waits that every thread helps.
const SMALL_ROWS: usize = 32;
/// Steps that are compared with as many of the other kind.
const TRIED: usize = 4;
/// The other kind must take less than this share of the time to be taken.
const WORTH: f64 = 0.9;
/// Steps that take so many times the usual are reason to try at once.
const SLOW: f64 = 1.25;
/// Seconds of small steps between trials, at first with all threads and with one fewer, and at most with each.
const FIRST: [f64; 2] = [2.0, 0.5];
const LAST: [f64; 2] = [32.0, 4.0];

/// What is known of the latest small steps.
#[derive(Debug)]
pub(super) struct Crew {
    /// One thread fewer is what serves best.
    fewer: bool,
    /// The other kind is being tried.
    trying: bool,
    /// Rows of the steps that are compared, up to a power of two.
    class: usize,
    /// Seconds of the latest steps of the kind that serves, and of the one that is tried.
    served: Vec<f64>,
    tried: Vec<f64>,
    /// Mean seconds when the last trial ended.
    usual: Option<f64>,
    /// Seconds of steps since then, and until the next trial.
    since: f64,
    wait: f64,
}

impl Default for Crew {
    fn default() -> Self {
        Self {
            fewer: false,
            trying: false,
            class: 0,
            served: Vec::new(),
            tried: Vec::new(),
            usual: None,
            since: 0.0,
            wait: FIRST[0],
        }
    }
}

fn mean(seconds: &[f64]) -> f64 {
    seconds.iter().sum::<f64>() / seconds.len() as f64
}

impl Crew {
    /// Whether a step of so many rows runs with one thread fewer.
    pub(super) fn is_fewer(&self, rows: usize) -> bool {
        rows <= SMALL_ROWS && self.fewer != self.trying
    }

    /// Takes note of how long a step of so many rows took.
    pub(super) fn observe(&mut self, rows: usize, took: Duration) {
        if rows > SMALL_ROWS {
            return;
        }
        let class = rows.next_power_of_two();
        if class != self.class {
            // Nothing to compare with.
            self.class = class;
            self.trying = false;
            self.usual = None;
            self.served.clear();
            self.tried.clear();
        }
        let took = took.as_secs_f64();
        if self.trying {
            self.tried.push(took);
            if self.tried.len() == TRIED {
                self.decide();
            }
            return;
        }
        if self.served.len() == TRIED {
            self.served.remove(0);
        }
        self.served.push(took);
        self.since += took;
        if self.served.len() == TRIED {
            let now = mean(&self.served);
            let usual = *self.usual.get_or_insert(now);
            self.trying = self.since >= self.wait || now > SLOW * usual;
        }
    }

    /// Ends a trial.
    fn decide(&mut self) {
        let is_better = mean(&self.tried) < WORTH * mean(&self.served);
        if is_better {
            self.fewer = !self.fewer;
            self.served = std::mem::take(&mut self.tried);
        }
        let kind = usize::from(self.fewer);
        self.wait = match is_better {
            true => FIRST[kind],
            false => (2.0 * self.wait).min(LAST[kind]),
        };
        self.usual = Some(mean(&self.served));
        self.since = 0.0;
        self.trying = false;
        self.tried.clear();
        // What is compared next comes after this.
        self.served.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs steps of one row and returns how many of them ran with fewer threads.
    fn run(crew: &mut Crew, steps: usize, milliseconds: [u64; 2]) -> usize {
        (0..steps)
            .filter(|_| {
                let fewer = crew.is_fewer(1);
                crew.observe(1, Duration::from_millis(milliseconds[usize::from(fewer)]));
                fewer
            })
            .count()
    }

    #[test]
    fn a_quiet_machine_keeps_all_threads() {
        let mut crew = Crew::default();
        let fewer = run(&mut crew, 10_000, [20, 30]);
        assert!(!crew.fewer);
        assert!((4..100).contains(&fewer), "{fewer} steps for trials");
    }

    #[test]
    fn a_neighbour_takes_one_and_gives_it_back() {
        let mut crew = Crew::default();
        run(&mut crew, 100, [20, 30]);
        let fewer = run(&mut crew, 100, [45, 30]);
        assert!(fewer > 80, "{fewer} of 100 steps");
        let fewer = run(&mut crew, 1000, [45, 30]);
        assert!(fewer > 950, "{fewer} of 1000 steps");
        let fewer = run(&mut crew, 1000, [20, 30]);
        assert!(fewer < 300, "{fewer} of 1000 steps");
        assert!(!crew.fewer);
    }

    #[test]
    fn large_steps_have_all_threads_and_other_sizes_are_not_compared() {
        let mut crew = Crew::default();
        run(&mut crew, 100, [20, 30]);
        run(&mut crew, 100, [45, 30]);
        assert!(crew.is_fewer(32) && !crew.is_fewer(33));
        crew.observe(500, Duration::from_secs(2));
        assert!(crew.is_fewer(1), "a large step says nothing of small ones");
        let mut crew = Crew::default();
        for n in 0..1000 {
            let rows = 1 + n % 2 * 15;
            crew.observe(rows, Duration::from_millis(20 * rows as u64));
            assert!(!crew.is_fewer(rows));
        }
    }
}
