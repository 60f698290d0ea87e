//! How many prompt rows may join a step beside decoding sequences, so that a long prompt does not hold up everybody's
//! next token. The engine's loop tells it how long steps took; the scheduler gets the bound.

use std::time::Duration;

/// A step with both kinds of rows should take no longer. Below it a reader sees a steady stream; above it prompts are
/// computed in larger and so cheaper chunks.
const TARGET: Duration = Duration::from_millis(150);
/// Fewer rows would waste the pass over the weights that the step makes anyway.
const LEAST_ROWS: usize = 32;
/// Steps with fewer rows are bound by reading the weights and say little of what a row costs.
const TELLING_ROWS: usize = 32;
/// Weight of the newest step in the running mean.
const NEWEST: f64 = 0.3;

/// Running mean of what a row of a large step costs.
#[derive(Debug, Default)]
pub(super) struct Pace {
    seconds_per_row: Option<f64>,
}

impl Pace {
    /// Takes note of a step with so many rows.
    pub(super) fn observe(&mut self, rows: usize, took: Duration) {
        if rows < TELLING_ROWS {
            return;
        }
        let now = took.as_secs_f64() / rows as f64;
        self.seconds_per_row = Some(match self.seconds_per_row {
            Some(mean) => mean + NEWEST * (now - mean),
            None => now,
        });
    }

    /// Prompt rows that fit beside so many decoding ones; no bound before the first large step.
    pub(super) fn prompt_rows(&self, decoding: usize) -> usize {
        match self.seconds_per_row {
            Some(seconds) if seconds > 0.0 => {
                let rows = (TARGET.as_secs_f64() / seconds) as usize;
                rows.saturating_sub(decoding).max(LEAST_ROWS)
            }
            _ => usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_machines_get_small_chunks_and_fast_ones_large() {
        let mut pace = Pace::default();
        assert_eq!(pace.prompt_rows(0), usize::MAX);
        pace.observe(1, Duration::from_secs(9));
        assert_eq!(pace.prompt_rows(0), usize::MAX, "one row tells nothing");
        pace.observe(500, Duration::from_secs(5));
        assert_eq!(pace.prompt_rows(0), LEAST_ROWS);
        for _ in 0..50 {
            pace.observe(500, Duration::from_millis(50));
        }
        let alone = pace.prompt_rows(0);
        assert!((1450..=1500).contains(&alone), "{pace:?}");
        assert_eq!(pace.prompt_rows(450), alone - 450);
        assert_eq!(pace.prompt_rows(2000), LEAST_ROWS);
    }
}
