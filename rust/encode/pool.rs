//! The threads that batches and files are encoded on. They start with the first batch and are kept,
//! since each has a cache that is worth keeping ([`crate::encode::cache`]). A forked process has only
//! the thread that forked, so it starts a pool of its own.

use std::sync::Arc;
use std::thread;

use rayon_core::{ThreadBuilder, ThreadPool, ThreadPoolBuilder};

use crate::machine::fork_lock::ForkLock;
use crate::machine::threads;

struct ProcessPool {
    process: u32,
    pool: Arc<ThreadPool>,
}

/// The pool of the process that made it, and whether one is being made.
struct Kept {
    pool: Option<ProcessPool>,
    is_starting: bool,
}

impl Kept {
    const NOTHING: Self = Self { pool: None, is_starting: false };
}

static POOL: ForkLock<Kept> = ForkLock::new(Kept::NOTHING);

/// The pool of this process, with a thread for each processor; `None` if the system gives no threads.
pub fn pool() -> Option<Arc<ThreadPool>> {
    POOL.with(|| Kept::NOTHING, current_or_new)
}

fn current_or_new(kept: &mut Kept) -> Option<Arc<ThreadPool>> {
    let process = std::process::id();
    if let Some(kept) = kept.pool.as_ref().filter(|kept| kept.process == process) {
        return Some(Arc::clone(&kept.pool));
    }
    // Starting threads panicked, and would do so again.
    if kept.is_starting {
        return None;
    }
    // The threads of the parent process can't be stopped from here, so their pool is never dropped.
    std::mem::forget(kept.pool.take());
    kept.is_starting = true;
    let name = |index| format!("llama3_tok-{index}");
    // If the system does not say how many processors there are, one is assumed.
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let start = |thread: ThreadBuilder| {
        let name = thread.name().map(str::to_owned);
        threads::spawn(name, || thread.run()).map(drop)
    };
    let builder = ThreadPoolBuilder::new().num_threads(threads).thread_name(name);
    let built = builder.spawn_handler(start).build();
    kept.is_starting = false;
    let pool = Arc::new(built.ok()?);
    kept.pool = Some(ProcessPool { process, pool: Arc::clone(&pool) });
    Some(pool)
}
