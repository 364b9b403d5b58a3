//! The errors of the core, each with the data that says where it is. `python/raise.rs` maps all of them
//! to the exceptions of `llama3_tok.errors`.

use std::path::{Path, PathBuf};
use std::slice::SliceIndex;

/// A failure of the core.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A vocabulary file that cannot be used.
    #[error("{file}{}: {reason}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Vocabulary {
        /// The file as the caller named it.
        file: String,
        /// Counted from 1, where the fault is in one line.
        line: Option<usize>,
        /// What is wrong and what to do.
        reason: String,
    },

    /// A profile that does not exist.
    #[error("unknown profile {given:?}; the profiles are {known}")]
    UnknownProfile {
        /// The name that was given.
        given: String,
        /// All profiles.
        known: String,
    },

    /// A code path that this processor does not have.
    #[error("LLAMA3_TOK_PATH is '{given}'; the code paths of this processor are {known}")]
    UnknownCodePath {
        /// The name that was given.
        given: String,
        /// All code paths of this processor.
        known: String,
    },

    /// A name that is not a special token of the profile.
    #[error("{token:?} is not a special token of profile {profile:?}")]
    UnknownSpecialToken {
        /// The name that was given.
        token: String,
        /// The profile that does not have it.
        profile: String,
    },

    /// The tokenizer has no such token: `bos` or `eos`.
    #[error("this tokenizer has no {0} token; pass {0}=False")]
    NoToken(&'static str),

    /// A limit of tokens that BOS and EOS alone exceed.
    #[error("max_tokens is {limit}, and BOS and EOS alone are {ends}; raise it or leave them out")]
    NoRoom {
        /// The limit.
        limit: usize,
        /// How many tokens BOS and EOS are.
        ends: usize,
    },

    /// A limit of tokens that one character exceeds.
    #[error("max_tokens is {limit}, and the character at byte {offset} alone has more; raise it")]
    NothingFits {
        /// The limit.
        limit: usize,
        /// Where the character begins.
        offset: usize,
    },

    /// Text with a special token that the caller forbade.
    #[error(
        "the text has the special token {token} at byte {offset}, which disallowed_special forbids; \
         name it in allowed_special to encode it as the special token, or leave it out of both to \
         encode it as plain text"
    )]
    DisallowedSpecialToken {
        /// The special token's name.
        token: String,
        /// Where it begins, in bytes.
        offset: usize,
    },

    /// An id that no token has.
    #[error("{id} at position {position} is not a token id; ids run from 0 to {}", vocab_size.saturating_sub(1))]
    InvalidTokenId {
        /// The id that was given.
        id: i64,
        /// Where it stands among the ids.
        position: usize,
        /// How many ids there are.
        vocab_size: usize,
    },

    /// Bytes that are not a token; at most the first hundred of them.
    #[error("{} is not a token of the vocabulary", quoted(.0))]
    UnknownToken(Vec<u8>),

    /// A text that is not inside the buffer that it should be in.
    #[error(
        "column[{row}] can't be read: its text is from byte {start} to byte {end} of {}; the column is \
         damaged, and its method validate(full=True) says more",
        length.map_or("a buffer that does not exist".to_owned(), |length| format!("a buffer of {length} bytes"))
    )]
    DamagedColumn {
        /// Which row.
        row: usize,
        /// Where the text should begin.
        start: i64,
        /// Where it should end.
        end: i64,
        /// How many bytes the buffer has; `None` if there is no such buffer.
        length: Option<usize>,
    },

    /// A conversation that its chat format can't hold.
    #[error("{reason}")]
    Chat {
        /// The message, or the tool if `field` is `tools` or `builtin_tools`; `None` for the whole.
        index: Option<usize>,
        /// The field, as in `tool_calls[0].function.name`; empty for the whole message.
        field: String,
        /// What is wrong and what to do.
        reason: String,
    },

    /// An error in one item of a batch.
    #[error("{batch}[{index}]: {error}")]
    Item {
        /// The argument.
        batch: &'static str,
        /// Which item.
        index: usize,
        /// What is wrong with it.
        error: Box<Error>,
    },

    /// An error in a text that is in a file.
    #[error("{}{}: {error}", path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1, where the text is that of one line.
        line: Option<usize>,
        /// What is wrong with it.
        error: Box<Error>,
    },

    /// Input that cannot be read as what it was said to be.
    #[error("{}{}: {reason}", path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Input {
        /// The file.
        path: PathBuf,
        /// Counted from 1, where the fault is in one line.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },

    /// A file that the operating system would not read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// An invariant does not hold: a fault of this library, which becomes an error and never a wrong result.
    #[error(
        "internal error: {0}; this is a fault in llama3_tok, so please report it with the text that \
         shows it"
    )]
    Internal(&'static str),

    /// Memory for the result was refused.
    #[error("out of memory")]
    OutOfMemory,

    /// Files that are being read can't be read on in a forked process.
    #[error(
        "files can't be read on in another process than the one that began; begin again in this one"
    )]
    Forked,

    /// A signal handler asked for the next result of files, while the work that it interrupts does the same.
    #[error("the files are being read by this very thread, which a signal handler interrupts")]
    Busy,

    /// The caller asked for a stop, as Ctrl-C does.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Adds in which item of a batch it is, unless it is not about an item.
    pub fn in_item(self, batch: &'static str, index: usize) -> Self {
        match self {
            Self::OutOfMemory | Self::Interrupted | Self::NoToken(_) => self,
            error => Self::Item { batch, index, error: Box::new(error) },
        }
    }

    /// Adds in which file it is, unless it is not about a file.
    pub fn in_file(self, path: &Path, line: Option<usize>) -> Self {
        match self {
            Self::OutOfMemory | Self::Interrupted | Self::NoToken(_) => self,
            error => Self::File { path: path.to_owned(), line, error: Box::new(error) },
        }
    }

    /// The same error of a text that begins `bytes` earlier.
    pub fn shifted_by(self, bytes: usize) -> Self {
        match self {
            Self::DisallowedSpecialToken { token, offset } => {
                Self::DisallowedSpecialToken { token, offset: offset + bytes }
            }
            error => error,
        }
    }
}

impl From<std::collections::TryReserveError> for Error {
    fn from(_: std::collections::TryReserveError) -> Self {
        Self::OutOfMemory
    }
}

fn quoted(bytes: &[u8]) -> String {
    format!("b\"{}\"", bytes.escape_ascii())
}

/// A value that always exists. If it does not, gives an internal error that says `what` is wrong, since
/// going on without it would lose ids or text.
#[inline(always)]
pub fn always<T>(found: Option<T>, what: &'static str) -> Result<T, Error> {
    debug_assert!(found.is_some(), "{what}");
    // The error is only made if it is needed: otherwise it would have to be dropped.
    found.ok_or_else(|| internal(what))
}

#[cold]
fn internal(what: &'static str) -> Error {
    Error::Internal(what)
}

/// The items of a range that is always inside.
#[inline(always)]
pub fn slice<T>(items: &[T], range: impl SliceIndex<[T], Output = [T]>) -> Result<&[T], Error> {
    always(items.get(range), "a range is not inside of what it is a part of")
}

/// Bytes of text between two calls of a [`Check`], about a millisecond.
pub const CHECK_BYTES: usize = 1 << 16;

/// Called now and then during long work; an error stops it.
pub type Check<'a> = dyn Fn() -> Result<(), Error> + 'a;

#[cfg(test)]
pub(crate) mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Whether `work` fails with [`Error::Internal`], or in a debug build at the assertion before it.
    pub fn sees_a_fault<T>(work: impl FnOnce() -> Result<T, Error>) -> bool {
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(result) => matches!(result, Err(Error::Internal(_))),
            Err(_) => cfg!(debug_assertions),
        }
    }

    #[test]
    fn a_range_that_is_not_inside_is_an_error_and_no_empty_text() {
        assert_eq!(slice(b"abc", 1..3).unwrap(), b"bc");
        for range in [2..4, 4..4, 3..usize::MAX] {
            assert!(sees_a_fault(|| slice(b"abc", range)));
        }
        assert!(!sees_a_fault(|| slice(b"abc", ..)));
    }
}
