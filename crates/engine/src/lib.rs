//! The engine: a Rust library that serves Seed-OSS and gpt-oss models, and knows neither Node nor OpenAI.
//!
//! In reading order: the loop and its thread, what it takes and answers, who runs next, where keys and values lie,
//! the models and what they are made of, weights on disk, how logits become tokens, text, memory, ranks.
#![deny(missing_docs)]

pub mod cache;
pub mod engine;
pub mod memory;
pub mod model;
pub mod ops;
pub mod parallel;
pub mod request;
pub mod sampling;
pub mod scheduler;
pub mod text;
pub mod weights;
