//! One file as chunks: opened, unpacked, and cut where that changes no ids.
//!
//! The chunks of a text end where the pattern always cuts ([`crate::text::cuts::last_cut`]) and never inside
//! the name of an added token. Those of a JSONL file end at ends of lines. So the ids of a file are those of
//! its chunks, end to end, while memory is that of a chunk. Only a text without any such position, as one
//! endless word, is held as a whole. `stream/mod.rs` works on the chunks.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flate2::bufread::GzDecoder;

use crate::added::AddedTokens;
use crate::encode::options::Options;
use crate::error::{Check, Error, always, slice};
use crate::machine::reserve;

/// How many bytes of a packed file are read at a time.
const PACKED_BUFFER_BYTES: usize = 1 << 16;
/// A file with a NUL byte this near its beginning is binary.
const BINARY_HEAD_BYTES: usize = 8192;

/// From so many unpacked bytes on the ratio counts: short files of one character pack better than any text.
const RATIO_FROM_BYTES: u64 = 64 << 20;

/// How much a packed file may be when it is unpacked. More is an error: a few hundred kilobytes can hold
/// gigabytes of zeros.
#[derive(Clone, Copy)]
pub struct PackedLimits {
    /// In bytes.
    pub max_bytes: Option<u64>,
    /// As a multiple of what is stored.
    pub max_ratio: Option<u64>,
}

impl Default for PackedLimits {
    /// A thousand times as much as is stored.
    fn default() -> Self {
        Self { max_bytes: None, max_ratio: Some(1000) }
    }
}

impl PackedLimits {
    fn check(self, stored: u64, unpacked: u64) -> Result<(), String> {
        if let Some(max) = self.max_bytes.filter(|&max| unpacked > max) {
            return Err(format!(
                "it has more than {max} bytes when it is unpacked; max_bytes allows more"
            ));
        }
        let most = |max: u64| stored.saturating_mul(max).max(RATIO_FROM_BYTES);
        match self.max_ratio.filter(|&max| unpacked > most(max)) {
            Some(max) => Err(format!(
                "it has more than {max} times as many bytes when it is unpacked, {unpacked} so far; max_ratio \
                 allows more"
            )),
            None => Ok(()),
        }
    }
}

/// What a packed file unpacks to, within limits.
struct Limited<R> {
    inner: R,
    limits: PackedLimits,
    /// Of this file: bytes read, and bytes they unpack to.
    stored: Arc<AtomicU64>,
    unpacked: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.unpacked += count as u64;
        let stored = self.stored.load(Ordering::Relaxed);
        self.limits.check(stored, self.unpacked).map_err(std::io::Error::other)?;
        Ok(count)
    }
}

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
    /// The file is binary, and binary files are left out.
    Binary,
}

/// What all readers of a stream share: how much was read, and whether to stop.
#[derive(Default)]
pub struct Meter {
    /// Bytes read so far, before unpacking. A file that is given up counts as read.
    pub read: AtomicU64,
    /// Whether reading is to end.
    pub stop: AtomicBool,
}

impl Meter {
    /// An error if reading is to end.
    pub fn check(&self) -> Result<(), Error> {
        reserve::check()?;
        if self.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }
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
    refuses_binary: bool,
}

impl FileReader {
    /// Opens a file, or standard input. `.gz` and `.zst` are unpacked.
    pub fn open(
        path: &Path,
        is_standard_input: bool,
        refuses_binary: bool,
        limits: PackedLimits,
        meter: &Arc<Meter>,
    ) -> Result<Self, Error> {
        let meter = Arc::clone(meter);
        let input = if is_standard_input {
            Box::new(Metered { inner: std::io::stdin(), meter, left: 0, stored: Arc::default() })
        } else {
            unpacked(path, limits, meter)?
        };
        Ok(Self::new(path, input, refuses_binary))
    }

    fn new(path: &Path, input: Box<dyn Read + Send>, refuses_binary: bool) -> Self {
        let (path, buffer) = (path.to_owned(), Vec::new());
        let (filled, offset, line, begun) = (0, 0, 0, false);
        Self { path, input, buffer, filled, offset, line, begun, refuses_binary }
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
        let head =
            if self.refuses_binary && !self.begun { BINARY_HEAD_BYTES.min(target) } else { 0 };
        let mut more = self.fill(head, size, check)?;
        let text = slice(&self.buffer, ..self.filled)?;
        // The file may be shorter.
        if memchr::memchr(0, text.get(..head).unwrap_or(text)).is_some() {
            return Ok(ReadStep::Binary);
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

/// The content of a file; `.gz` and `.zst` are unpacked.
fn unpacked(
    path: &Path,
    limits: PackedLimits,
    meter: Arc<Meter>,
) -> Result<Box<dyn Read + Send>, Error> {
    let failed = |error| read_error(path, error);
    let file = File::open(path).map_err(failed)?;
    // Only the progress needs the size, so an unknown one may count as 0.
    let left = file.metadata().map_or(0, |metadata| metadata.len());
    let stored = Arc::default();
    let file = Metered { inner: file, meter, left, stored: Arc::clone(&stored) };
    let packed = |file| BufReader::with_capacity(PACKED_BUFFER_BYTES, file);
    Ok(match Packing::of(path) {
        Some(Packing::Gzip) => {
            let inner = GzipMembers::First(packed(file));
            Box::new(Limited { inner, limits, stored, unpacked: 0 })
        }
        Some(Packing::Zstandard) => {
            let inner = zstd::Decoder::with_buffer(packed(file)).map_err(failed)?;
            Box::new(Limited { inner, limits, stored, unpacked: 0 })
        }
        None => Box::new(file),
    })
}

/// A file that is read as it is, but unpacked.
pub struct UnpackedFile {
    path: PathBuf,
    input: Box<dyn Read + Send>,
    meter: Arc<Meter>,
}

impl UnpackedFile {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let meter = Arc::new(Meter::default());
        Ok(Self {
            path: path.to_owned(),
            input: unpacked(path, PackedLimits::default(), Arc::clone(&meter))?,
            meter,
        })
    }

    /// The next `size` bytes; fewer at the end of the file.
    pub fn read(&mut self, size: usize, check: &Check) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while bytes.len() < size {
            let step = PACKED_BUFFER_BYTES.min(size - bytes.len());
            bytes.try_reserve(step)?;
            let limit = step as u64;
            let count = self.input.by_ref().take(limit).read_to_end(&mut bytes);
            if count.map_err(|error| read_error(&self.path, error))? == 0 {
                break;
            }
            check()?;
        }
        Ok(bytes)
    }

    /// Bytes read so far, before unpacking.
    pub fn stored_read(&self) -> u64 {
        self.meter.read.load(Ordering::Relaxed)
    }
}

/// How a file is packed, by the end of its name.
enum Packing {
    Gzip,
    Zstandard,
}

impl Packing {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_ascii_lowercase().to_str()? {
            "gz" => Some(Self::Gzip),
            "zst" => Some(Self::Zstandard),
            _ => None,
        }
    }
}

/// How a gzip file begins (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];
const NOT_GZIP: &str = "this is not a gzip file, though its name ends with .gz";

/// What is wrong with a packed file, in plainer words than its library's.
fn why_damaged(error: &std::io::Error) -> String {
    let reason = error.to_string();
    match (error.kind(), &*reason) {
        (ErrorKind::UnexpectedEof, _) | (_, "incomplete frame") => {
            "the end of the packed file is missing".to_owned()
        }
        (_, "Unknown frame descriptor") => {
            "this is not a Zstandard file, though its name ends with .zst".to_owned()
        }
        _ => reason,
    }
}

/// Whether a file has to be unpacked.
pub fn is_packed(path: &Path) -> bool {
    Packing::of(path).is_some()
}

/// The error of a file that can't be read. If it is not an error of the system, the packed file is damaged.
pub fn read_error(path: &Path, source: std::io::Error) -> Error {
    if source.kind() == ErrorKind::OutOfMemory {
        return Error::OutOfMemory;
    }
    let path = path.to_owned();
    match source.raw_os_error() {
        Some(_) => Error::Io { path, source },
        None => Error::Input { path, line: None, reason: why_damaged(&source) },
    }
}

/// Counts what is read through it, and reads no more once it is to stop. Signals do not end a read: only
/// threads that do nothing else read files that may block.
struct Metered<R> {
    inner: R,
    meter: Arc<Meter>,
    /// Bytes that are not read yet, of as many as the file had when it was opened.
    left: u64,
    /// Bytes read of this file.
    stored: Arc<AtomicU64>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            self.meter.check().map_err(|error| match error {
                Error::OutOfMemory => ErrorKind::OutOfMemory.into(),
                error => std::io::Error::other(error),
            })?;
            match self.inner.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    // The file may have grown.
                    self.left = self.left.saturating_sub(count as u64);
                    self.meter.read.fetch_add(count as u64, Ordering::Relaxed);
                    self.stored.fetch_add(count as u64, Ordering::Relaxed);
                    return Ok(count);
                }
            }
        }
    }
}

impl<R> Drop for Metered<R> {
    fn drop(&mut self) {
        self.meter.read.fetch_add(self.left, Ordering::Relaxed);
    }
}

/// The members of a gzip file end to end. Zeros after the last one are padding, as on tapes.
enum GzipMembers<R> {
    /// Nothing was read of the file, which may be of another kind than its name says.
    First(R),
    Unread(R),
    Open(Box<GzDecoder<R>>),
    /// After a member, where zeros may be, or another member.
    Between(R),
    Done,
}

impl<R: BufRead> Read for GzipMembers<R> {
    /// Between members it gives [`ErrorKind::Interrupted`], so that a file of empty members does not hold its
    /// reader up. After an error reading goes on at the same position; an error is never the end of the file.
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        *self = match std::mem::replace(self, Self::Done) {
            Self::First(mut inner) => match inner.fill_buf() {
                Ok(head) if head.len() >= GZIP_MAGIC.len() && !head.starts_with(&GZIP_MAGIC) => {
                    *self = Self::First(inner);
                    return Err(std::io::Error::other(NOT_GZIP));
                }
                Ok(_) => Self::Unread(inner),
                Err(error) => {
                    *self = Self::First(inner);
                    return Err(error);
                }
            },
            Self::Unread(inner) => Self::Open(Box::new(GzDecoder::new(inner))),
            Self::Open(mut member) => match member.read(buffer) {
                Ok(0) => Self::Between(member.into_inner()),
                result => {
                    *self = Self::Open(member);
                    return result;
                }
            },
            Self::Between(mut inner) => {
                let available = match inner.fill_buf() {
                    Ok(available) => available,
                    Err(error) => {
                        *self = Self::Between(inner);
                        return Err(error);
                    }
                };
                let zeros = available.iter().take_while(|&&byte| byte == 0).count();
                if available.is_empty() {
                    return Ok(0);
                }
                let another = zeros < available.len();
                inner.consume(zeros);
                if another { Self::Unread(inner) } else { Self::Between(inner) }
            }
            Self::Done => return Ok(0),
        };
        Err(ErrorKind::Interrupted.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::error::tests::sees_a_fault;
    use crate::reference::go_on;

    fn file_reader(input: impl Read + Send + 'static) -> FileReader {
        FileReader::new("file".as_ref(), Box::new(input), false)
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
    fn an_unpacked_file_gives_as_many_bytes_as_there_are() {
        let path = std::env::temp_dir().join(format!("llama3_tok-{}.gz", std::process::id()));
        let text: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&text).unwrap();
        std::fs::write(&path, packed.finish().unwrap()).unwrap();
        let mut file = UnpackedFile::open(&path).unwrap();
        let parts = [700_001, 1 << 20, 5].map(|size| file.read(size, &go_on).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(parts.each_ref().map(Vec::len), [700_001, 499_999, 0]);
        assert!(parts.concat() == text);
        assert!(file.stored_read() > 0);
    }

    #[test]
    fn a_reader_that_says_too_much_is_an_error() {
        assert!(sees_a_fault(|| read(&mut file_reader(Boaster))));
    }

    /// Is interrupted before each byte.
    struct Interrupted<'t>(&'t [u8], bool);

    impl Read for Interrupted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1 = !self.1;
            let room = buffer.len().min(1);
            if self.1 {
                Err(ErrorKind::Interrupted.into())
            } else {
                self.0.read(&mut buffer[..room])
            }
        }
    }

    #[test]
    fn an_interrupted_gzip_file_is_read_to_its_end() {
        let mut packed = Vec::new();
        for text in ["first, ", "second"] {
            let mut member = GzEncoder::new(Vec::new(), Compression::fast());
            member.write_all(text.as_bytes()).unwrap();
            packed.extend(member.finish().unwrap());
        }
        let mut members = GzipMembers::Unread(BufReader::new(Interrupted(&packed, false)));
        // `read_to_end` goes on where it was interrupted.
        let mut text = Vec::new();
        members.read_to_end(&mut text).unwrap();
        assert_eq!(text, b"first, second");
    }
}
