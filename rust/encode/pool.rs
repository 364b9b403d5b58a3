//! The threads that batches and files are encoded on. They start with the first batch and are kept,
//! since each has a cache that is worth keeping ([`crate::encode::cache`]). A forked process has only
//! the thread that forked, so it starts a pool of its own.

use std::sync::{Arc, Mutex, TryLockError};
use std::thread;
use std::time::Duration;

use rayon_core::{ThreadPool, ThreadPoolBuilder};

struct ProcessPool {
    process: u32,
    pool: Arc<ThreadPool>,
}

static POOL: Mutex<Option<ProcessPool>> = Mutex::new(None);

/// The pool of this process, with a thread for each processor; `None` if the system gives no threads.
pub fn pool() -> Option<Arc<ThreadPool>> {
    // The lock is held only while a pool starts. If it stays locked, the process was forked meanwhile,
    // and the thread that would unlock it does not exist here.
    for _ in 0..100 {
        match POOL.try_lock() {
            Ok(mut kept) => return current_or_new(&mut kept),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
            // Starting threads panicked, and would do so again.
            Err(TryLockError::Poisoned(_)) => return None,
        }
    }
    None
}

fn current_or_new(kept: &mut Option<ProcessPool>) -> Option<Arc<ThreadPool>> {
    let process = std::process::id();
    if let Some(kept) = kept.as_ref().filter(|kept| kept.process == process) {
        return Some(Arc::clone(&kept.pool));
    }
    // The threads of the parent process can't be stopped from here, so their pool is never dropped.
    std::mem::forget(kept.take());
    let name = |index| format!("llama3_tok-{index}");
    // If the system does not say how many processors there are, one is assumed.
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build().ok()?;
    let pool = Arc::new(pool);
    *kept = Some(ProcessPool { process, pool: Arc::clone(&pool) });
    Some(pool)
}
