//! Locks, atomics and threads, as the standard library has them.
//!
//! Tests that are compiled with `--cfg shuttle` have those of the crate shuttle in their place. It runs the
//! threads of a test one at a time, chooses at each step which of them goes on, and so tries thousands of orders
//! (scripts/thread_orders.sh). Waiting with a time limit has no limit there: work that needs one to go on would
//! never end, and is told as a deadlock.

#[cfg(not(all(test, shuttle)))]
pub use std::{
    hint::spin_loop,
    sync::atomic::{AtomicPtr, AtomicU32, Ordering},
    sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError},
    thread,
};

#[cfg(all(test, shuttle))]
pub use shuttle::{
    hint::spin_loop,
    sync::atomic::{AtomicPtr, AtomicU32, Ordering},
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};
#[cfg(all(test, shuttle))]
pub use std::sync::{PoisonError, TryLockError};
