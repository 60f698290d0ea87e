//! What the engine's loop does for sequences that follow a grammar: waits for their next step to be worked out, but
//! never long on account of others, and takes forced tokens without logits. Part of a turn.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::row::Want;
use super::turn::Turn;
use crate::sampling::Next;
use crate::scheduler::Step;

/// How long a step with other sequences in it waits for a grammar that is not ready.
const GRACE: Duration = Duration::from_millis(5);
/// How long a step waits that has nothing else to do.
const ALONE: Duration = Duration::from_millis(250);
/// How long a step waits to learn whether grammars force more tokens. Mostly they answer within 0.1 ms.
const FORCED: Duration = Duration::from_millis(2);

impl Turn {
    /// Marks the rows of sequences whose grammars are not ready.
    pub(super) fn ready(&mut self, step: &Step, mut wants: Vec<Want>) -> Vec<Want> {
        let arrived = Instant::now();
        let mut late = self.late(step, &wants, |lags| match lags {
            true => arrived,
            false => arrived + GRACE,
        });
        if !late.is_empty() && late.len() == wants.len() {
            late = self.late(step, &wants, |_| arrived + ALONE);
        }
        for index in late {
            wants[index] = Want::Late {
                rows: wants[index].rows(),
            };
        }
        wants
    }

    /// Which of the rows are not ready by then; `until` is asked with whether the sequence was slow before.
    fn late(&mut self, step: &Step, wants: &[Want], until: impl Fn(bool) -> Instant) -> Vec<usize> {
        let mut late = Vec::new();
        for (index, want) in wants.iter().enumerate() {
            if let Want::Sample { entry, .. } = want
                && let Some(live) = self.live.get_mut(&step.entries[*entry].id.0)
                && !live.generation.ready(until(live.generation.lags()))
            {
                late.push(index);
            }
        }
        late
    }

    /// Adds tokens that grammars force to what the step brought.
    pub(super) fn extend(
        &mut self,
        step: &Step,
        sampled: &mut HashMap<usize, Result<Vec<Next>, String>>,
    ) {
        let until = Instant::now() + FORCED;
        for (&entry, said) in sampled.iter_mut() {
            if let Ok(said) = said
                && let Some(last) = said.last_mut()
                && let Some(live) = self.live.get_mut(&step.entries[entry].id.0)
                && !live.generation.lags()
                && live.generation.ready(until)
            {
                live.generation.extend(last);
            }
        }
    }
}
