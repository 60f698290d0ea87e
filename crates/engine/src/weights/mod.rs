//! Weights on disk: where tensors come from, how they are named and checked, and how a matrix keeps its bytes.
//! `engine.rs` opens a source, `model/*` read from it.

mod apart;
mod checkpoint;
mod entry;
mod gguf;
mod index;
mod keeping;
mod matrix;
mod original;
mod pages;
mod promised;
mod rewrite;
mod safetensors;
mod source;
mod tiles;

pub use checkpoint::{Checkpoint, Expected};
pub use gguf::GgufFile;
pub use keeping::Keeping;
pub use matrix::{Matrix, StorageDType};
pub use promised::Promised;
pub use rewrite::rewrite;
pub use safetensors::SafetensorsFolder;
pub use source::{Shard, TensorInfo, WeightError, WeightSource};
pub use tiles::Tiles;
