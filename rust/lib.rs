#![doc = include_str!("README.md")]
//!
//! # How it works
//!
//! ```text
//! text (bytes)
//!   -> added                split at the added tokens that the text may have    Text | Added
//!   -> text::pretokenize    cut Text by the Llama 3 pattern                     pretokens (spans)
//!   -> bpe::token_table     vocab-first: is the whole pretoken a token?         id, done
//!   -> encode::cache        if not: did this thread merge it before?            ids, done
//!   -> encode::unknown      if not: leftmost-lowest-rank byte-pair merges       ids
//!                           (bpe: the merge rule, and faster ways to the same ids)
//!   -> encode               the one loop over all of that, with a sink for ids, a count or offsets
//! ids
//!   -> encode::decode       bytes
//! files
//!   -> files                the same for files of any size, many at once
//! messages
//!   -> chat                 text and special tokens as a chat format has them, then ids
//! ```
//!
//! The modules below are in an order in which each uses only earlier ones; the first three can be skipped at
//! first. Text is bytes throughout; a byte that is not part of valid UTF-8 is a character of its own, which
//! is neither letter, number nor space, so encoding is total and loses nothing. Nothing here panics on any
//! input: clippy denies the ways to panic outside tests, and every failure is an [`Error`].
//!
//! Modules that these pages do not show are public for benchmarks and may change in any release.

// Comments link to what is private, for those who read the source: `cargo doc --document-private-items`.
#![allow(rustdoc::private_intra_doc_links)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod error;
#[doc(hidden)]
pub mod counters;
mod steps;
#[doc(hidden)]
pub mod machine;
pub mod text;
pub mod profile;
pub mod added;
#[doc(hidden)]
pub mod bpe;
pub mod vocabulary;
pub mod encode;
pub mod files;
pub mod chat;
#[cfg(feature = "python")]
mod python;
#[cfg(test)]
mod reference;

pub use added::Selection;
pub use encode::Encoder;
pub use encode::options::Options;
pub use error::Error;
pub use profile::Profile;
pub use vocabulary::Vocabulary;
pub use vocabulary::content::Content;
