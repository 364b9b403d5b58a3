//! The exact Llama 3 tokenizer: text to ids and back.
//!
//! ```text
//! text (bytes)
//!   -> added        split at added tokens: special ones if allowed        Text | Added segments
//!   -> pretokenize  cut Text by the Llama 3 pattern                       pretokens (byte ranges)
//!   -> bpe::pieces  vocab-first: is the pretoken a token as a whole?        id, done
//!   -> encode::cache    if not: was it merged before on this thread?        ids, done
//!   -> encode::unknown  if not: leftmost-lowest-rank byte-pair merges       ids
//!                   (bpe: how merging is done, and what may be done in its place)
//!   -> encode       the one loop over all of that, with a sink for ids, a count or offsets
//!                   (lanes: what processors do differently)
//!                   (truncate: as much as fits; partial: counts of all beginnings of a pretoken)
//! ids
//!   -> decode       bytes (slots: each token as it is copied; utf16: bytes to text beyond ASCII)
//!   -> canonical    are they the ids of their own text?
//! messages
//!   -> chat         text and special tokens as a chat format has them, then ids
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
pub mod vocab;
mod byte_level;
mod vocab_ranks;
mod vocab_json;
mod vocab_write;
pub mod profile;
pub mod added;
pub mod lanes;
pub mod unicode;
pub mod pretokenize;
mod prefetch;
mod huge_pages;
mod work;
pub mod bpe;
pub mod encode;
pub mod offsets;
pub mod canonical;
pub mod partial;
pub mod cuts;
mod pool;
pub mod parallel;
pub mod truncate;
mod jsonl;
pub mod files;
pub mod parts;
pub mod stream;
pub mod walk;
pub mod slots;
pub mod decode;
pub mod chat;
#[cfg(target_arch = "x86_64")]
pub mod utf16;
#[cfg(feature = "python")]
mod python;
#[cfg(test)]
mod reference;

pub use encode::{Encoder, Options};
pub use error::Error;
pub use profile::Profile;
pub use vocab::Vocabulary;
