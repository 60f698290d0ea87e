//! Going on after a token that else ends a generation, as several calls in one reply need it. The grammar says what may
//! follow, but the model decides whether it does: nothing is invented for one that has come to its end.

use super::{Generation, SampleError};
use crate::sampling::sampler::sample;

impl Generation {
    /// Whether generation goes on after this token, which is being taken.
    pub(super) fn goes_on_after(&mut self, id: u32) -> bool {
        let Some(spec) = self.params.goes_on.filter(|_| self.guide.is_some()) else {
            return false;
        };
        if id == spec.after {
            // Twice in a row it is an end like any other.
            self.onward = !self.onward;
            return self.onward;
        }
        if id == spec.until {
            self.onward = false;
        }
        false
    }

    /// What the model writes next of its own; `None` where the grammar does not admit it.
    pub(super) fn own_choice(&mut self, logits: &mut [f32]) -> Result<Option<u32>, SampleError> {
        self.seen.apply(&self.params, std::iter::empty(), logits);
        let id = sample(logits, &self.params, &mut self.random).ok_or(SampleError::AllBanned)?;
        let admits = self.guide.as_ref().is_some_and(|guide| guide.admits(id));
        Ok(admits.then_some(id))
    }
}
