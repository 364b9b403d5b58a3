//! Threads that are started only where there is memory for their beginning.
//!
//! A new thread asks the C library for memory for its thread-local values, and where that is refused the C
//! library ends the process: no error reaches anyone. So a thread is not started unless there is memory for its
//! stack and for these values, and whoever starts it waits until it has them.

use std::io;

#[cfg(not(all(test, shuttle)))]
use crate::machine::reserve;
use crate::machine::sync::thread::{Builder, JoinHandle};

/// Bytes of a stack, as the standard library has it, and of what the C library asks for besides: a few pages.
#[cfg(not(all(test, shuttle)))]
const BYTES: usize = (2 << 20) + (1 << 20);

/// Starts a thread. An error if the system refuses it, or memory for it.
#[cfg(not(all(test, shuttle)))]
pub fn spawn<T: Send + 'static>(
    name: Option<String>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    use std::cell::Cell;
    use std::sync::{Arc, Barrier};

    thread_local! {
        /// A value that is dropped when the thread ends, which the C library is told at the first look at it.
        static DROPPED: Cell<Option<Box<u8>>> = const { Cell::new(None) };
    }

    reserve::ask(BYTES).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    let both = Arc::new(Barrier::new(2));
    let begun = Arc::clone(&both);
    let builder = name.into_iter().fold(Builder::new(), Builder::name);
    let thread = builder.spawn(move || {
        DROPPED.set(None);
        begun.wait();
        work()
    })?;
    both.wait();
    Ok(thread)
}

/// Threads whose order the test decides take no memory.
#[cfg(all(test, shuttle))]
pub fn spawn<T: Send + 'static>(
    name: Option<String>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    name.into_iter().fold(Builder::new(), Builder::name).spawn(work)
}
