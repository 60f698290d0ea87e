//! How a row of logits becomes the next token and what of it the caller may see. One `Generation` per sequence, called
//! by the engine's loop; pure arithmetic on slices, no clock, no threads (`constraint` has its own).
//!
//! Order of work, as in vLLM (`vllm/v1/sample/sampler.py`): log-probabilities of the raw logits; the grammar's mask;
//! allowed ids, bans, bad words; logit bias; penalties; then greedy, or temperature, min_p, top_k, top_p and a draw.

mod best;
mod budget;
mod constraint;
mod generation;
mod logprobs;
mod params;
mod penalties;
mod random;
mod sampler;
mod stop;

pub use budget::{CALL_WAIT, Messages, ThoughtSpec, UTF8_WAIT};
pub use constraint::{Compiler, Grammar, Reply};
pub use generation::{Finish, Generation, Next, Released, SampleError};
pub use logprobs::{LOGPROB_FLOOR, TokenLogprob, prompt_logprobs};
pub use params::{GoesOn, ParamError, SamplingParams};
