//! One file as chunks: cut where that changes no ids.
//!
//! The chunks of a text end where the pattern always cuts ([`crate::text::cuts::last_cut`]) and never inside
//! the name of an added token. Those of a JSONL file end at ends of lines. So the ids of a file are those of
//! its chunks, end to end, while memory is that of a chunk. Only a text without any such position, as one
//! endless word, is held as a whole. `stream/mod.rs` works on the chunks.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::added::AddedTokens;
use crate::encode::options::Options;
use crate::error::{Check, Error, always, slice};
use crate::files::input::{Meter, read_error, standard_input, unpacked};
use crate::files::packed_limits::PackedLimits;
use crate::files::utf16_input::{Utf16Input, has_utf16_mark};

/// A file with a NUL byte this near its beginning is binary.
const BINARY_HEAD_BYTES: usize = 8192;

/// Where a file may be cut.
pub enum CutRule<'a> {
    /// After a line.
    Lines,
    /// Where the ids of a text stay the same, with the special tokens that options allow and disallow.
    Text(&'a AddedTokens, &'a Options),
}

impl CutRule<'_> {
    /// The last position where `text` may be cut whatever follows it.
    fn last(&self, text: &[u8], check: &Check) -> Result<Option<usize>, Error> {
        match self {
            Self::Lines => Ok(memchr::memrchr(b'\n', text).map(|at| at + 1)),
            Self::Text(added, options) => {
                added.last_cut(text, &options.allowed, &options.disallowed, check)
            }
        }
    }
}

/// A chunk of a file, which can be encoded apart from the others.
#[derive(Default)]
pub struct FileChunk {
    buffer: Vec<u8>,
    end: usize,
    /// Where it begins in the unpacked file, in bytes.
    pub offset: usize,
    /// How many lines are before it, where the file is cut after lines.
    pub line: usize,
    /// Whether it is the file's first.
    pub first: bool,
    /// Whether it is the file's last, which alone may be empty.
    pub last: bool,
}

impl FileChunk {
    /// The bytes of the chunk.
    pub fn text(&self) -> Result<&[u8], Error> {
        slice(&self.buffer, ..self.end)
    }

    /// How many bytes the chunk has.
    #[expect(clippy::len_without_is_empty, reason = "nothing asks")]
    pub fn len(&self) -> usize {
        self.end
    }

    /// Its memory, to be used again.
    pub fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
}

/// The result of one step of reading.
pub enum ReadStep {
    /// What was read so far can't be cut: read on.
    More,
    /// The next chunk.
    Chunk(FileChunk),
    /// The file is left out.
    Refused(Refusal),
}

/// Why a file is left out that nobody named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has a NUL byte near its beginning.
    Binary,
    /// It begins with the byte order mark of UTF-16.
    Utf16,
}

/// How a file is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Leave it out if it is binary or UTF-16.
    pub refuses_binary: bool,
    /// Decode it if it begins with the byte order mark of UTF-16.
    pub decodes_utf16: bool,
}

/// A file that is being read.
pub struct FileReader {
    path: PathBuf,
    input: Box<dyn Read + Send>,
    /// First `filled` bytes that were read and are in no chunk yet, then memory for more.
    buffer: Vec<u8>,
    filled: usize,
    offset: usize,
    line: usize,
    begun: bool,
    reading: Reading,
}

impl FileReader {
    /// Opens a file, or standard input. `.gz` and `.zst` are unpacked, and so is standard input that begins as
    /// such a file.
    pub fn open(
        path: &Path,
        is_standard_input: bool,
        reading: Reading,
        limits: PackedLimits,
        meter: &Arc<Meter>,
    ) -> Result<Self, Error> {
        let meter = Arc::clone(meter);
        let input = if is_standard_input {
            standard_input(path, limits, meter)?
        } else {
            unpacked(path, limits, meter)?
        };
        let input = if reading.decodes_utf16 { Box::new(Utf16Input::new(input)) } else { input };
        Ok(Self::new(path, input, reading))
    }

    fn new(path: &Path, input: Box<dyn Read + Send>, reading: Reading) -> Self {
        let (path, buffer) = (path.to_owned(), Vec::new());
        let (filled, offset, line, begun) = (0, 0, 0, false);
        Self { path, input, buffer, filled, offset, line, begun, reading }
    }

    /// How many bytes it has read that are in no chunk yet.
    pub fn held(&self) -> usize {
        self.filled
    }

    /// Reads `size` more bytes, and cuts off a chunk if that is possible. `spare` is memory to use.
    pub fn read(
        &mut self,
        cut_rule: &CutRule,
        size: usize,
        mut spare: Vec<u8>,
        check: &Check,
    ) -> Result<ReadStep, Error> {
        if self.buffer.is_empty() {
            std::mem::swap(&mut self.buffer, &mut spare);
        }
        // If no cut was found, the next step reads as many bytes as are held, so that looking for a cut takes
        // linear time in all.
        let target = self.filled + size.max(self.filled);
        let head = if self.reading.refuses_binary && !self.begun {
            BINARY_HEAD_BYTES.min(target)
        } else {
            0
        };
        let mut more = self.fill(head, size, check)?;
        let text = slice(&self.buffer, ..self.filled)?;
        // The file may be shorter.
        let beginning = text.get(..head).unwrap_or(text);
        if head > 0 && has_utf16_mark(beginning) {
            return Ok(ReadStep::Refused(Refusal::Utf16));
        }
        if memchr::memchr(0, beginning).is_some() {
            return Ok(ReadStep::Refused(Refusal::Binary));
        }
        more = more && self.fill(target, size, check)?;
        let text = slice(&self.buffer, ..self.filled)?;
        match if more { cut_rule.last(text, check)? } else { Some(text.len()) } {
            None => Ok(ReadStep::More),
            Some(end) => self.cut(end, !more, cut_rule, spare).map(ReadStep::Chunk),
        }
    }

    /// Reads until there are `target` bytes; `false` if the file ended before.
    fn fill(&mut self, target: usize, size: usize, check: &Check) -> Result<bool, Error> {
        // A buffer that is used again may already be longer.
        self.buffer.try_reserve_exact(target.saturating_sub(self.buffer.len()))?;
        while self.filled < target {
            let end = target.min(self.filled + size);
            if self.buffer.len() < end {
                self.buffer.resize(end, 0);
            }
            // With an empty buffer a reader would give 0, as at the end of the file.
            let room = self.buffer.get_mut(self.filled..end).filter(|room| !room.is_empty());
            match self.input.read(always(room, "there is no room to read into")?) {
                Ok(0) => return Ok(false),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(read_error(&self.path, error)),
            }
            check()?;
        }
        Ok(true)
    }

    /// Cuts a chunk off; what follows it is copied to `rest`.
    fn cut(
        &mut self,
        end: usize,
        last: bool,
        cut_rule: &CutRule,
        mut rest: Vec<u8>,
    ) -> Result<FileChunk, Error> {
        let kept = slice(&self.buffer, end..self.filled)?;
        rest.try_reserve_exact(kept.len().saturating_sub(rest.len()))?;
        rest.resize(kept.len().max(rest.len()), 0);
        let room = rest.get_mut(..kept.len());
        always(room, "there is no room for what follows a cut")?.copy_from_slice(kept);
        self.filled = kept.len();
        let buffer = std::mem::replace(&mut self.buffer, rest);
        let (offset, line, first) = (self.offset, self.line, !self.begun);
        let chunk = FileChunk { buffer, end, offset, line, first, last };
        self.offset += end;
        if let CutRule::Lines = cut_rule {
            self.line += memchr::memchr_iter(b'\n', chunk.text()?).count();
        }
        self.begun = true;
        Ok(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::tests::sees_a_fault;
    use crate::reference::go_on;

    fn file_reader(input: impl Read + Send + 'static) -> FileReader {
        FileReader::new("file".as_ref(), Box::new(input), Reading::default())
    }

    fn read(reader: &mut FileReader) -> Result<ReadStep, Error> {
        reader.read(&CutRule::Lines, 4, Vec::new(), &go_on)
    }

    #[test]
    fn a_chunk_without_its_bytes_is_an_error_and_no_empty_text() {
        let chunk = |end| FileChunk { buffer: b"text".to_vec(), end, ..FileChunk::default() };
        assert_eq!(chunk(2).text().unwrap(), b"te");
        assert!(sees_a_fault(|| chunk(5).text().map(<[u8]>::len)));
    }

    #[test]
    fn a_buffer_without_what_was_read_is_an_error_and_no_end_of_the_file() {
        let broken = |filled| {
            let mut reader = file_reader("some text".as_bytes());
            reader.filled = filled;
            reader
        };
        assert!(!sees_a_fault(|| read(&mut broken(0))));
        assert!(sees_a_fault(|| read(&mut broken(10))));
        let cut = |end| broken(2).cut(end, false, &CutRule::Lines, Vec::new());
        assert!(sees_a_fault(|| cut(1)));
        // No room at all, as for steps of no bytes.
        let mut full = file_reader("some text".as_bytes());
        (full.buffer, full.filled) = (vec![b'a'; 2], 2);
        assert!(sees_a_fault(|| full.fill(4, 0, &go_on)));
    }

    /// Says that it has read more than there was room for.
    struct Boaster;

    impl Read for Boaster {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            Ok(buffer.len() + 1)
        }
    }

    #[test]
    fn a_reader_that_says_too_much_is_an_error() {
        assert!(sees_a_fault(|| read(&mut file_reader(Boaster))));
    }
}
