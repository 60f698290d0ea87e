//! Giving the pages of mapped files back, so that a copy takes their place in memory; whoever has copied them asks.

use std::ops::Range;

use memmap2::{Mmap, UncheckedAdvice};

/// Tells the system that a part of a file will hardly be read again.
pub(super) fn release(map: &Mmap, range: &Range<usize>) {
    // SAFETY: the pages are those of a read-only file and come back when they are read again.
    let _ =
        unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
}
