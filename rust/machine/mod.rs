//! What depends on the machine: instructions, and the memory that is near the processor.
//!
//! ```text
//! lanes        a few operations on bytes and words, written for each kind of processor
//! path         which of these the process takes
//! prefetch     loads that are begun before their values are needed
//! huge_pages   large tables on large pages
//! ```

pub mod lanes;
pub mod code_path;
pub mod prefetch;
pub mod huge_pages;
