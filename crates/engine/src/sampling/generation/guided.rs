//! What a grammar adds to a generation: waiting for its next step, tokens it forces, and its end.

use std::time::Instant;

use super::{Chosen, Finish, Generation, Next, SampleError};
use crate::sampling::constraint::{Guide, Offer};

impl Generation {
    /// Whether the grammar's next step is worked out, waiting for it until then. Without a grammar it always is.
    pub fn ready(&mut self, until: Instant) -> bool {
        self.guide.as_mut().is_none_or(|guide| guide.wait(until))
    }

    /// Whether its grammar was slow last time, so that others should not wait for it.
    pub fn lags(&self) -> bool {
        self.guide.as_ref().is_some_and(Guide::lags)
    }

    /// Adds what needs no logits to a step that has not ended: tokens that the grammar forces, and its end. Does
    /// nothing unless `ready`.
    pub fn extend(&mut self, next: &mut Next) {
        if next.finish.is_some() {
            return;
        }
        match self.guide.as_ref().map(Guide::offer) {
            Some(Ok(Offer::Complete)) => {
                let end = self.complete();
                next.released.extend(end.released);
                next.finish = end.finish;
            }
            Some(Ok(Offer::Forced(_))) => self.follow(next),
            // An error fails the request when its turn to sample comes.
            _ => {}
        }
    }

    pub(super) fn complete(&mut self) -> Next {
        Next {
            tokens: Vec::new(),
            released: self.finish_early(),
            finish: Some(Finish::Complete),
        }
    }

    /// Takes the rest of a forced run, as far as no row of logits is needed for it.
    pub(super) fn follow(&mut self, next: &mut Next) {
        let needs_rows = self.params.logprobs.is_some() || self.params.bans_tokens();
        while next.finish.is_none()
            && !needs_rows
            && !self.onward
            && let Some(id) = self.guide.as_ref().and_then(Guide::forced)
        {
            self.accept(Chosen { id, logprob: None }, next);
        }
    }

    /// The one token that the grammar lets come, unless the request bans it.
    pub(super) fn forced(&mut self, logits: &mut [f32]) -> Result<u32, SampleError> {
        let id = self.guide.as_ref().and_then(Guide::forced);
        let id = id.ok_or(SampleError::ConstraintBanned)?;
        if self.params.bans_tokens() {
            self.seen.apply(&self.params, std::iter::empty(), logits);
            if logits
                .get(id as usize)
                .is_none_or(|&l| l == f32::NEG_INFINITY)
            {
                return Err(SampleError::ConstraintBanned);
            }
        }
        Ok(id)
    }
}
