//! Arithmetic on slices and nothing else; `seed-engine`'s ops call it. No tensors, no model names, and
//! the only crate of the house with `unsafe` arithmetic.
//!
//! In reading order:
//! - [`cpu`]: the public kernels, their shape checks and the choice of instruction set at run time
//! - `format`: how elements of a checkpoint are widened to f32 (block formats will live there too)
//!
//! # Determinism
//! Every output element is reduced in one fixed order that depends only on its own row: not on the
//! number of rows beside it, not on the number of threads, not on how a prompt was cut into chunks.
//! Different instruction sets may round differently; within one, results are bitwise reproducible.

#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]
// Elsewhere the vector kernels wait for vectors of that machine; the scalar ones serve.
#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]

pub mod cpu;
mod format;
