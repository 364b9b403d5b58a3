//! What the fuzz targets check. Each module is a target: its `check` takes any bytes, and panics where the core is
//! wrong. None is content with "no panic": each has something that it compares the core with.
//!
//! ```text
//! shared                the small vocabulary, its encoders, texts in pieces
//! encode                ids of any bytes, on every code path          = the obvious encoder
//! allowed_specials      special tokens in a text, for every release   = a look at every position
//! added_tokens          any added tokens with any flags               = the rule as it is written
//! decode                any ids                                       = their tokens end to end
//! stream_decoder        ids in pieces                                 = all of them at once
//! incremental_encoder   a text in pieces                              = all of it at once
//! truncate              the longest beginning and end                 = each one that there is
//! vocabulary            any vocabulary, and merging with it           = the obvious encoder
//! rank_file             any file                                      = a reader that goes by the rules
//! tokenizer_json        any file                                      = the vocabulary that it says
//! chat                  any conversation                              = the same without `<` in what is said
//! ```

// A check is a test: what should not happen panics.
#![warn(missing_docs)]

pub mod shared;
pub mod encode;
pub mod allowed_specials;
pub mod added_tokens;
pub mod decode;
pub mod stream_decoder;
pub mod incremental_encoder;
pub mod truncate;
pub mod vocabulary;
pub mod rank_file;
pub mod tokenizer_json;
pub mod chat;

/// What a target does with its input.
pub type Check = fn(&[u8]);

/// All targets by their names.
pub const TARGETS: [(&str, Check); 11] = [
    ("encode", encode::check),
    ("allowed_specials", allowed_specials::check),
    ("added_tokens", added_tokens::check),
    ("decode", decode::check),
    ("stream_decoder", stream_decoder::check),
    ("incremental_encoder", incremental_encoder::check),
    ("truncate", truncate::check),
    ("vocabulary", vocabulary::check),
    ("rank_file", rank_file::check),
    ("tokenizer_json", tokenizer_json::check),
    ("chat", chat::check),
];
