//! Characters and pretokens: everything about text that needs no vocabulary.
//!
//! ```text
//! span          where something stands in a text
//! unicode       the class of a character, from tables
//! pretokenize   cuts text by the Llama 3 pattern
//! cuts          where any text may be cut without changing its pretokens
//! breaks        where people would divide it
//! utf8          whether a text is UTF-8, and where its last whole character ends
//! utf16         UTF-8 to UTF-16, for strings that Python makes
//! ```

pub mod span;
pub mod unicode;
pub mod pretokenize;
pub mod cuts;
pub mod breaks;
pub mod utf8;
#[cfg(target_arch = "x86_64")]
pub mod utf16;
