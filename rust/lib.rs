//! The exact Llama 3 tokenizer: text to ids and back.
//!
//! ```text
//! text (bytes)
//!   -> added                special tokens, where the caller allows them     Text | Added segments
//!   -> text::pretokenize    cut Text by the Llama 3 pattern                   pretokens (byte ranges)
//!   -> bpe::token_table          vocab-first: is the pretoken a token as a whole?    id, done
//!   -> encode::cache        if not: was it merged before on this thread?        ids, done
//!   -> encode::unknown      if not: leftmost-lowest-rank byte-pair merges       ids
//!                           (bpe: how merging is done, and what may be done in its place)
//!   -> encode               the one loop over all of that, with a sink for ids, a count or offsets
//! ids
//!   -> encode::decode       bytes
//! files
//!   -> files                the same for files of any size, many at once
//! messages
//!   -> chat                 text and special tokens as a chat format has them, then ids
//! ```
//!
//! The modules below stand in the order in which they are best read. Text is bytes throughout; a
//! byte that is not part of valid UTF-8 is a character of its own, which is neither letter, number
//! nor space, so encoding is total and loses nothing. Nothing here panics on any input: clippy
//! denies the ways to panic outside tests, and every failure is an [`Error`].

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod error;
pub mod counters;
mod steps;
pub mod machine;
pub mod text;
pub mod profile;
pub mod added;
pub mod bpe;
pub mod vocabulary;
pub mod encode;
pub mod files;
pub mod chat;
#[cfg(feature = "python")]
mod python;
#[cfg(test)]
mod reference;

pub use encode::Encoder;
pub use encode::options::Options;
pub use error::Error;
pub use profile::Profile;
pub use vocabulary::Vocabulary;
