//! What depends on the machine: instructions, and the memory that is near the processor.
//!
//! ```text
//! lanes        a few operations on bytes and words, written for each kind of processor
//! code_path    which of these the process uses
//! prefetch     begins to load memory before its value is needed
//! huge_pages   memory for large tables
//! sync         locks, atomics and threads; tests can have others, which try all orders
//! reserve      memory that is refused, without the end of the process
//! threads      started only where there is memory for them
//! fork_lock    a lock that a forked process can take, too
//! ```

pub mod lanes;
pub mod code_path;
pub mod prefetch;
pub mod huge_pages;
pub mod sync;
pub mod reserve;
pub mod threads;
pub mod fork_lock;
