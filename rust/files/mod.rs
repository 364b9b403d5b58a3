//! Files to counts and ids, one or many, of any size, in bounded memory.
//!
//! ```text
//! walk           the files of a folder
//! packed_limits  how large a packed file may be when it is unpacked
//! input          the bytes of a file, unpacked
//! utf16_input    UTF-16 to UTF-8, if that is asked for
//! reader         a file -> chunks, which end where no id depends on the cut
//! jsonl          a field of a line of JSON
//! output         a chunk -> counts or ids
//! stream         many files at once, on all threads, their results in order
//! ```

pub mod walk;
pub mod packed_limits;
pub mod input;
pub mod utf16_input;
pub mod reader;
pub mod jsonl;
pub mod output;
pub mod stream;
