//! Where keys and values lie. All but `storage` is pure: no tensors, no clock, only page numbers.
//!
//! In reading order: which layers share a page table, the pool that pages come from, one sequence's tables, the hash
//! chain that finds pages of an equal prefix, and the tensors behind the page numbers.

pub mod group;
pub mod pages;
pub mod prefix;
pub mod storage;
pub mod tables;
