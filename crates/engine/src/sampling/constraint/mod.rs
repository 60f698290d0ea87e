//! Constrained generation: one Lark grammar (llguidance's dialect) over a whole generation, control tokens included.
//! The engine owns a `Compiler`; each `Generation` with a grammar owns a `Guide`.
//!
//! ```text
//! text ──Compiler──▶ Grammar (cached, shared) ──Guide (one a sequence)──▶ Offer: one mask, one forced run, or the end
//! ```
//!
//! A grammar is compiled on threads of its own with deep stacks. Its first offer is worked out there too, so that a
//! grammar nothing can match is refused before anything runs. Later offers are worked out on the mask threads while the
//! model runs its next forward pass; a slow one costs its own sequence alone.

mod compiler;
mod grammar;
mod guard;
mod guide;
mod lexicon;
mod schema;
mod sentence;
mod shelf;

pub use compiler::{Compiler, Reply};
pub use grammar::Grammar;
pub(super) use grammar::Offer;
pub(super) use guide::Guide;

#[cfg(test)]
mod tests;
