//! The threads that compute: one pool for all engines of a process, unless one is given its own. The loader asks.
//!
//! Two engines that are busy at once with a pool each would have twice as many threads as cores, and each step's slowest
//! thread would wait for a core. In one pool their steps take turns, and either has all cores while the other is idle.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::load::LoadError;

/// Pools that live, by their number of threads as asked for; 0 stands for one a core.
static SHARED: Mutex<Option<HashMap<usize, Weak<ThreadPool>>>> = Mutex::new(None);

/// The pools of an engine.
pub(crate) struct Threads {
    all: Arc<ThreadPool>,
    /// With one thread fewer, where there are several.
    fewer: Option<Arc<ThreadPool>>,
}

impl Threads {
    /// So many threads, one per core unless told otherwise, shared with other engines unless they are to be its `own`.
    pub(crate) fn new(threads: Option<usize>, own: bool) -> Result<Self, LoadError> {
        let all = pool(threads, own)?;
        let fewer = match all.current_num_threads() {
            0 | 1 => None,
            count => Some(pool(Some(count - 1), own)?),
        };
        Ok(Self { all, fewer })
    }

    /// All of them, or one fewer where that can be.
    pub(crate) fn pool(&self, fewer: bool) -> &Arc<ThreadPool> {
        self.fewer.as_ref().filter(|_| fewer).unwrap_or(&self.all)
    }
}

/// The pool of so many threads, one per core unless told otherwise. `own` makes one that nobody else gets.
fn pool(threads: Option<usize>, own: bool) -> Result<Arc<ThreadPool>, LoadError> {
    let count = threads.unwrap_or(0);
    if own {
        return built(count);
    }
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let pools = shared.get_or_insert_default();
    if let Some(pool) = pools.get(&count).and_then(Weak::upgrade) {
        return Ok(pool);
    }
    let pool = built(count)?;
    pools.insert(count, Arc::downgrade(&pool));
    Ok(pool)
}

fn built(threads: usize) -> Result<Arc<ThreadPool>, LoadError> {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|n| format!("seed-compute-{n}"))
        .build()
        .map(Arc::new)
        .map_err(|e| LoadError::new(format!("cannot start the compute threads: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_share_a_pool_unless_one_is_given_its_own() {
        let [one, two] = [pool(Some(3), false).unwrap(), pool(Some(3), false).unwrap()];
        assert!(Arc::ptr_eq(&one, &two));
        assert!(!Arc::ptr_eq(&one, &pool(Some(3), true).unwrap()));
        assert!(!Arc::ptr_eq(&one, &pool(Some(2), false).unwrap()));
        assert_eq!(one.current_num_threads(), 3);
        // The last engine takes the threads with it.
        let kept = Arc::downgrade(&one);
        drop((one, two));
        assert!(kept.upgrade().is_none());
        assert_eq!(pool(Some(3), false).unwrap().current_num_threads(), 3);
    }

    #[test]
    fn one_fewer_than_several() {
        let count = |threads: &Threads, fewer| threads.pool(fewer).current_num_threads();
        let three = Threads::new(Some(3), true).unwrap();
        assert_eq!((count(&three, false), count(&three, true)), (3, 2));
        let one = Threads::new(Some(1), true).unwrap();
        assert_eq!((count(&one, false), count(&one, true)), (1, 1));
    }
}
