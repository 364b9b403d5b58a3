//! Counting files of any size.
//!
//! A file is read in pieces that end where the pattern always cuts ([`last_cut`]), so its count is
//! that of the whole text while memory stays a few megabytes for ordinary text. Only a text without
//! any such place, as one endless word, is held whole.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use flate2::bufread::GzDecoder;

use crate::encode::Encoder;
use crate::error::{Check, Error};
use crate::jsonl::{field_of, why_not};
use crate::parallel::last_cut;
use crate::unicode::count_chars;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// Bytes read at a time.
const PIECE: usize = 1 << 20;
/// Longer than the checks are apart.
const SIGNAL: Duration = Duration::from_millis(60);
/// A file with a NUL byte this near its beginning is binary.
const BINARY_HEAD: u64 = 8192;

/// What a file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Texts: 1 for a text file, the records of a JSONL file.
    pub texts: u64,
    /// Ids, without BOS or EOS.
    pub tokens: u64,
    /// Bytes of text, unpacked.
    pub bytes: u64,
    /// Characters of text; a byte that is not UTF-8 is one.
    pub characters: u64,
    /// Whether some bytes were not UTF-8. They are counted all the same.
    pub invalid_utf8: bool,
}

/// What to count, and how.
pub struct Job<'a> {
    /// The file; `-` is standard input.
    pub path: &'a Path,
    /// Count this field of each line's JSON object, not the text itself.
    pub field: Option<&'a str>,
    /// Give `None` for a binary file.
    pub skip_binary: bool,
    /// Is set to the bytes read so far, before unpacking.
    pub read: &'a Cell<u64>,
    /// Called now and then; an error stops the work.
    pub check: &'a Check<'a>,
}

impl Encoder {
    /// Counts a file. `.gz` and `.zst` are unpacked.
    pub fn count_file(&self, job: &Job) -> Result<Option<Totals>, Error> {
        let mut source = open(job)?;
        if job.skip_binary {
            let mut head = Vec::new();
            let result = source.by_ref().take(BINARY_HEAD).read_to_end(&mut head);
            result.map_err(|error| job.failed(error))?;
            if memchr::memchr(0, &head).is_some() {
                return Ok(None);
            }
            source = Box::new(std::io::Cursor::new(head).chain(source));
        }
        let mut totals = Totals::default();
        match job.field {
            Some(field) => self.count_records(job, field, source, &mut totals)?,
            None => self.count_stream(job, source, &mut totals)?,
        }
        Ok(Some(totals))
    }

    fn count_stream(
        &self,
        job: &Job,
        mut source: impl Read,
        totals: &mut Totals,
    ) -> Result<(), Error> {
        let mut buffer = Vec::new();
        loop {
            // Where no cut was found the next piece is as long as what is there, so that looking
            // for one again stays linear.
            let piece = PIECE.max(buffer.len());
            buffer.try_reserve(piece)?;
            let read = source.by_ref().take(piece as u64).read_to_end(&mut buffer);
            let ended = read.map_err(|error| job.failed(error))? < piece;
            let cut = if ended { buffer.len() } else { last_cut(&buffer).unwrap_or(0) };
            self.add(job, buffer.get(..cut).unwrap_or_default(), totals)?;
            buffer.drain(..cut);
            (job.check)()?;
            if ended {
                totals.texts += 1;
                return Ok(());
            }
        }
    }

    fn count_records(
        &self,
        job: &Job,
        field: &str,
        source: impl Read,
        totals: &mut Totals,
    ) -> Result<(), Error> {
        let mut source = BufReader::with_capacity(PIECE, source);
        let mut record = Vec::new();
        for line in 1.. {
            if !read_line(&mut source, &mut record).map_err(|error| job.failed(error))? {
                break;
            }
            if line == 1 {
                record.drain(..if record.starts_with(BYTE_ORDER_MARK) { 3 } else { 0 });
            }
            if record.trim_ascii().is_empty() {
                continue;
            }
            let text = field_of(&record, field).map_err(|error| Error::Input {
                path: job.path.to_owned(),
                line: Some(line),
                reason: why_not(&record, &error),
            })?;
            self.add(job, &text, totals)?;
            totals.texts += 1;
            if line % 1024 == 0 {
                (job.check)()?;
            }
        }
        Ok(())
    }

    fn add(&self, job: &Job, text: &[u8], totals: &mut Totals) -> Result<(), Error> {
        let (characters, valid) = count_chars(text);
        totals.tokens += self.count(text, job.check)? as u64;
        totals.bytes += text.len() as u64;
        totals.characters += characters as u64;
        totals.invalid_utf8 |= !valid;
        Ok(())
    }
}

impl Job<'_> {
    /// Says of which file an error is; one that is not the system's is a damaged archive.
    fn failed(&self, source: std::io::Error) -> Error {
        if source.kind() == ErrorKind::OutOfMemory {
            return Error::OutOfMemory;
        }
        let path = self.path.to_owned();
        match source.raw_os_error() {
            Some(_) => Error::Io { path, source },
            None => Error::Input { path, line: None, reason: source.to_string() },
        }
    }
}

/// Counts what is read through it, and checks after each read, since a pipe may be slow.
struct Counted<'a, R> {
    inner: R,
    read: &'a Cell<u64>,
    check: &'a Check<'a>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let result = self.inner.read(buffer);
        match &result {
            Ok(count) => self.read.set(self.read.get() + *count as u64),
            // A signal, which the check must see, though it looks only now and then: the callers
            // read again, and may wait for ever.
            Err(error) if error.kind() == ErrorKind::Interrupted => std::thread::sleep(SIGNAL),
            Err(_) => {}
        }
        (self.check)().map_err(std::io::Error::other)?;
        result
    }
}

fn open<'a>(job: &Job<'a>) -> Result<Box<dyn Read + 'a>, Error> {
    let (read, check) = (job.read, job.check);
    if job.path == Path::new("-") {
        return Ok(Box::new(Counted { inner: std::io::stdin().lock(), read, check }));
    }
    let file = File::open(job.path).map_err(|error| job.failed(error))?;
    let file = BufReader::with_capacity(PIECE, Counted { inner: file, read, check });
    let extension = job.path.extension().map(|extension| extension.to_ascii_lowercase());
    Ok(match extension.as_deref().and_then(|extension| extension.to_str()) {
        Some("gz") => Box::new(Members::Unread(file)),
        Some("zst") => {
            let decoder = zstd::Decoder::with_buffer(file);
            Box::new(decoder.map_err(|error| job.failed(error))?)
        }
        _ => Box::new(file),
    })
}

/// The members of a gzip file one after the other. Zeros behind the last are padding, as of tapes.
enum Members<R> {
    Unread(R),
    Open(Box<GzDecoder<R>>),
    Done,
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            *self = match std::mem::replace(self, Self::Done) {
                Self::Unread(inner) => Self::Open(Box::new(GzDecoder::new(inner))),
                Self::Open(mut member) => {
                    let result = member.read(buffer);
                    if !matches!(result, Ok(0)) || buffer.is_empty() {
                        *self = Self::Open(member);
                        return result;
                    }
                    let mut inner = member.into_inner();
                    if skip_zeros(&mut inner)? { Self::Unread(inner) } else { Self::Done }
                }
                Self::Done => return Ok(0),
            };
        }
    }
}

/// Skips zeros; whether anything is behind them.
fn skip_zeros(source: &mut impl BufRead) -> std::io::Result<bool> {
    loop {
        let available = source.fill_buf()?;
        let zeros = available.iter().take_while(|&&byte| byte == 0).count();
        if zeros < available.len() || available.is_empty() {
            return Ok(!available.is_empty());
        }
        source.consume(zeros);
    }
}

/// Reads a line into `line`; `false` at the end. Memory that is refused is an error.
fn read_line(source: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    loop {
        let available = match source.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            available => available?,
        };
        let end = memchr::memchr(b'\n', available).map(|at| at + 1);
        let taken = end.unwrap_or(available.len());
        line.try_reserve(taken).map_err(|_| std::io::Error::from(ErrorKind::OutOfMemory))?;
        line.extend(available.iter().take(taken));
        source.consume(taken);
        if end.is_some() || taken == 0 {
            return Ok(!line.is_empty());
        }
    }
}
