//! Aligned working memory that threads keep between calls; the linear and attention kernels use it.

use std::cell::RefCell;

/// One cache line of f32, so that vectors never straddle two.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

thread_local! {
    static KEPT: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Lines of the largest buffer an idle thread keeps (16 MiB); a larger buffer is given back after use.
const KEEP: usize = 16 * 1024 * 1024 / size_of::<Line>();

/// Calls `work` with `len` f32 aligned to a cache line, holding whatever the last user left.
///
/// The buffer is taken out for the duration, so that a nested call (a task's inside an operation's, or
/// another job rayon runs while this one waits) gets its own; the outermost gets the same one again.
pub(super) fn with_scratch<T>(len: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut lines = KEPT
        .with(|kept| kept.borrow_mut().pop())
        .unwrap_or_default();
    let needed = len.div_ceil(16);
    if lines.len() < needed {
        lines.resize(needed, Line([0.0; 16]));
    }
    // SAFETY: a Line is sixteen f32 without padding, and `len` of them fit in the vector.
    let floats = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<f32>(), len) };
    let result = work(floats);
    if lines.len() <= KEEP {
        KEPT.with(|kept| kept.borrow_mut().push(lines));
    }
    result
}

/// A pointer into an output slice that parallel tasks write disjoint parts of.
#[derive(Clone, Copy)]
pub(super) struct Shared<T>(*mut T);

// SAFETY: whoever makes a Shared promises that tasks write disjoint elements.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Wraps a slice for tasks that write disjoint elements of it.
    pub fn new(slice: &mut [T]) -> Self {
        Self(slice.as_mut_ptr())
    }

    /// The slice's start.
    pub fn start(self) -> *mut T {
        self.0
    }
}
