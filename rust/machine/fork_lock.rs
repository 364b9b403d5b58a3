//! A lock that a forked process can take, too.
//!
//! A fork copies all memory, with its locks, but of the threads only the one that forks. A lock that another thread
//! held at that moment would stay locked in the new process for ever, and what it protects may be half changed. So a
//! [`ForkLock`] notes which process uses its value, and how many of its threads do. Where these are threads of
//! another process, they do not exist here: the value is given up, and this process begins with a new one.
//!
//! A value that nobody used at the moment of the fork goes on to be used.

use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use once_cell::race::OnceBox;

/// How many threads use a value; the bits above are the process that they are of.
const THREADS: u64 = u32::MAX as u64;

/// A value for one thread at a time, which a forked process can use as well.
pub struct ForkLock<T> {
    /// How many threads hold the lock or wait for it, and of which process.
    users: AtomicU64,
    value: Mutex<T>,
    /// The value of a process that found this one locked. Each fork of a fork may add one.
    next: OnceBox<ForkLock<T>>,
}

/// A thread that holds a lock or waits for it.
struct User<'a>(&'a AtomicU64);

impl Drop for User<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

impl<T> ForkLock<T> {
    /// With its first value.
    pub const fn new(value: T) -> Self {
        Self { users: AtomicU64::new(0), value: Mutex::new(value), next: OnceBox::new() }
    }

    /// Gives the value to `work` when no other thread has it; `new` makes one where it was given up. After a panic
    /// of `work` the value is as that left it.
    pub fn with<R>(&self, new: impl Fn() -> T, work: impl FnOnce(&mut T) -> R) -> R {
        let process = u64::from(process::id()) << 32;
        let mut at = self;
        let user = loop {
            match at.enter(process) {
                Some(user) => break user,
                None => at = at.next.get_or_init(|| Box::new(Self::new(new()))),
            }
        };
        let result = work(&mut at.value.lock().unwrap_or_else(PoisonError::into_inner));
        drop(user);
        result
    }

    /// `None` if threads of another process use the value.
    fn enter(&self, process: u64) -> Option<User<'_>> {
        let one_more = |users: u64| match users & THREADS {
            0 => Some(process | 1),
            _ if users & !THREADS == process => Some(users + 1),
            _ => None,
        };
        let entered = self.users.fetch_update(Ordering::Acquire, Ordering::Relaxed, one_more);
        entered.is_ok().then(|| User(&self.users))
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn one_thread_at_a_time_has_the_value() {
        let lock = ForkLock::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1000).for_each(|_| lock.with(|| 0, |value| *value += 1)));
            }
        });
        assert_eq!(lock.with(|| 0, |value| *value), 8000);
        assert_eq!(lock.users.load(Ordering::Relaxed) & THREADS, 0);
    }

    #[test]
    fn a_value_that_threads_of_another_process_use_is_given_up() {
        let lock = ForkLock::new(1);
        // As a fork leaves it: threads of the parent hold the lock, and wait for it.
        let other = u64::from(process::id() + 1) << 32;
        let held = lock.value.lock().unwrap();
        lock.users.store(other | 2, Ordering::Relaxed);
        assert_eq!(lock.with(|| 7, |value| std::mem::replace(value, 8)), 7);
        for _ in 0..3 {
            assert_eq!(lock.with(|| 7, |value| *value), 8);
        }
        assert_eq!(lock.users.load(Ordering::Relaxed), other | 2);
        drop(held);
        // What nobody used at that moment stays.
        lock.users.store(other, Ordering::Relaxed);
        assert_eq!(lock.with(|| 7, |value| *value), 1);
    }

    #[test]
    fn a_panic_leaves_it_usable() {
        let lock = ForkLock::new(3);
        let work = || lock.with(|| 0, |_| panic!("in work"));
        assert!(catch_unwind(AssertUnwindSafe(work)).is_err());
        assert_eq!(lock.with(|| 0, |value| *value), 3);
    }
}
