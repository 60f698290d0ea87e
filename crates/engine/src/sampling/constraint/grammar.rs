//! A compiled grammar, and what a grammar offers for the next token. Made by the compiler, shared by all sequences that
//! follow it.

use std::sync::Arc;

use llguidance::Matcher;
use llguidance::toktrie::SimpleVob;

use super::sentence::sentence;

/// What may come next.
#[derive(Clone)]
pub(in crate::sampling) enum Offer {
    /// These tokens and no others, in this order; at least one.
    Forced(Arc<[u32]>),
    /// One of these, indexed by token id.
    Mask(Arc<SimpleVob>),
    /// Nothing: the grammar has come to its end.
    Complete,
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Forced(run) => write!(f, "Forced({run:?})"),
            Self::Mask(mask) => write!(f, "Mask({} tokens)", mask.num_set()),
            Self::Complete => write!(f, "Complete"),
        }
    }
}

impl Offer {
    /// What the matcher offers where it stands, where the grammar may end also the tokens that end a generation; the
    /// error is one sentence.
    pub(super) fn of(matcher: &mut Matcher, ends: &[u32]) -> Result<Self, String> {
        let failed = |matcher: &Matcher| matcher.get_error().map(|e| sentence(&e));
        if let Some(error) = failed(matcher) {
            return Err(error);
        }
        if matcher.is_stopped() {
            return Ok(Self::Complete);
        }
        let run = matcher.compute_ff_tokens();
        if let Some(error) = failed(matcher) {
            return Err(error);
        }
        let env = matcher.tok_env().map_err(|e| sentence(&e.to_string()))?;
        if let Some(hole) = run.iter().find(|&&id| env.tok_trie().token(id).is_empty()) {
            return Err(format!(
                "it asks for token id {hole}, which stands for no token"
            ));
        }
        if !run.is_empty() {
            return Ok(Self::Forced(run.into()));
        }
        let mut mask = matcher
            .compute_mask_or_eos()
            .map_err(|e| sentence(&e.to_string()))?;
        if matcher.is_accepting().unwrap_or(false) {
            let tokens = mask.len();
            for &id in ends.iter().filter(|&&id| (id as usize) < tokens) {
                mask.allow_token(id);
            }
        }
        Ok(Self::Mask(Arc::new(mask)))
    }
}

/// A grammar ready to be followed.
pub struct Grammar {
    /// Stands at the start and has its first offer in its caches. Only ever cloned.
    matcher: Matcher,
    first: Offer,
    ends: Arc<[u32]>,
    bytes: usize,
    /// Which compiler made it, and so for which vocabulary.
    maker: u64,
    masks: Arc<rayon::ThreadPool>,
}

impl std::fmt::Debug for Grammar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Grammar({} bytes)", self.bytes)
    }
}

impl Grammar {
    pub(super) fn new(
        matcher: Matcher,
        first: Offer,
        ends: Arc<[u32]>,
        bytes: usize,
        maker: u64,
        masks: Arc<rayon::ThreadPool>,
    ) -> Self {
        Self {
            matcher,
            first,
            ends,
            bytes,
            maker,
            masks,
        }
    }

    /// Roughly what it takes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The compiler that made it.
    pub(super) fn maker(&self) -> u64 {
        self.maker
    }

    pub(super) fn ends(&self) -> &Arc<[u32]> {
        &self.ends
    }

    pub(super) fn first(&self) -> Offer {
        self.first.clone()
    }

    /// A matcher at the start that shares nothing with others, not even a lock.
    pub(super) fn matcher(&self) -> Matcher {
        self.matcher.deep_clone()
    }

    /// Threads on which offers are worked out.
    pub(super) fn masks(&self) -> &rayon::ThreadPool {
        &self.masks
    }
}
