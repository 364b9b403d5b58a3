//! Counting files of any size, and finding them.
//!
//! A file is read in pieces that end where the pattern always cuts ([`last_cut`]), so its count is
//! that of the whole text while memory stays a few megabytes for ordinary text. Only a text without
//! any such place, as one endless word, is held whole.

use std::cell::Cell;
use std::error::Error as _;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ignore::WalkBuilder;
use ignore::overrides::OverrideBuilder;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::encode::Encoder;
use crate::error::{Check, Error};
use crate::parallel::last_cut;
use crate::unicode::count_chars;

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
            record.clear();
            let read = source.read_until(b'\n', &mut record).map_err(|error| job.failed(error))?;
            if read == 0 {
                break;
            }
            if record.trim_ascii().is_empty() {
                continue;
            }
            let text = field_of(&record, field).map_err(|error| {
                let reason = error.to_string();
                // The record is one line of the file, so the parser's own line number misleads.
                let reason = reason.split(" at line ").next().unwrap_or_default().to_owned();
                Error::Input { path: job.path.to_owned(), line: Some(line), reason }
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
        Some("gz") => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Some("zst") => {
            let decoder = zstd::Decoder::with_buffer(file);
            Box::new(decoder.map_err(|error| job.failed(error))?)
        }
        _ => Box::new(file),
    })
}

/// The text of `field` in a JSON object. Lone surrogates become U+FFFD, as in a Python `str`; other
/// bytes that are not UTF-8 stay as they are.
fn field_of(record: &[u8], field: &str) -> Result<Vec<u8>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(record);
    let text = Field(field).deserialize(&mut deserializer)?;
    deserializer.end()?;
    let mut text = text.ok_or_else(|| serde_json::Error::custom(format!("no field {field:?}")))?;
    replace_surrogates(&mut text);
    Ok(text)
}

/// The JSON parser writes a lone surrogate as the three bytes ED A0..BF 80..BF, which valid UTF-8
/// never has; U+FFFD is also three bytes.
fn replace_surrogates(text: &mut [u8]) {
    let mut from = 0;
    while let Some(offset) = text.get(from..).and_then(|tail| memchr::memchr(0xED, tail)) {
        from += offset + 1;
        if let Some(bytes) = text.get_mut(from - 1..).and_then(|tail| tail.first_chunk_mut::<3>())
            && matches!(bytes, [0xED, 0xA0..=0xBF, 0x80..=0xBF])
        {
            *bytes = [0xEF, 0xBF, 0xBD];
        }
    }
}

/// Reads an object for one field; of several with its name the last counts.
struct Field<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = Option<Vec<u8>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<Vec<u8>>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut text = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0 {
                text = Some(map.next_value_seed(Text(self.0))?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(text)
    }
}

/// Reads a JSON string as bytes.
struct Text<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = Vec<u8>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Text<'_> {
    type Value = Vec<u8>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "a string in the field {:?}", self.0)
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(bytes.to_vec())
    }
}

/// How folders are walked.
pub struct Walk<'a> {
    /// Hidden files too.
    pub hidden: bool,
    /// Also what `.gitignore` and `.ignore` leave out.
    pub no_ignore: bool,
    /// Only what one of these matches; with `!` in front, not what it matches.
    pub globs: &'a [String],
}

impl Walk<'_> {
    /// The files under `root` in the order of their paths, and what could not be read.
    pub fn files(&self, root: &Path) -> Result<Vec<Result<PathBuf, Error>>, Error> {
        let input = |error: ignore::Error| Error::Input {
            path: root.to_owned(),
            line: None,
            reason: error.to_string(),
        };
        let mut globs = OverrideBuilder::new(root);
        for glob in self.globs {
            globs.add(glob).map_err(input)?;
        }
        let walk = WalkBuilder::new(root)
            .standard_filters(!self.no_ignore)
            .hidden(!self.hidden)
            .require_git(false)
            .overrides(globs.build().map_err(input)?)
            .filter_entry(|entry| entry.file_name() != ".git")
            .sort_by_file_path(Path::cmp)
            .build();
        let is_file =
            |entry: &ignore::DirEntry| entry.file_type().is_some_and(|kind| kind.is_file());
        Ok(walk
            .filter_map(|entry| match entry {
                Ok(entry) => is_file(&entry).then(|| Ok(entry.into_path())),
                Err(error) => Some(Err(walk_error(root, error))),
            })
            .collect())
    }
}

/// Finds the path and the system's error inside what the walk reports.
fn walk_error(root: &Path, error: ignore::Error) -> Error {
    match error {
        ignore::Error::WithPath { path, err } => walk_error(&path, *err),
        ignore::Error::WithDepth { err, .. } => walk_error(root, *err),
        ignore::Error::Io(source) => {
            let path = root.to_owned();
            match system_error(&source) {
                Some(number) => {
                    Error::Io { path, source: std::io::Error::from_raw_os_error(number) }
                }
                None => Error::Input { path, line: None, reason: source.to_string() },
            }
        }
        other => Error::Input { path: root.to_owned(), line: None, reason: other.to_string() },
    }
}

/// The system's number of an error that the walk may have wrapped in one of its own.
fn system_error(error: &std::io::Error) -> Option<i32> {
    let inner = || error.source()?.downcast_ref::<std::io::Error>()?.raw_os_error();
    error.raw_os_error().or_else(inner)
}
