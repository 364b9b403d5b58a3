//! The bytes of a file: opened, unpacked, and counted while they are read.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flate2::bufread::GzDecoder;

use crate::error::{Check, Error};
use crate::files::packed_limits::{Limited, PackedLimits};
use crate::machine::reserve;

/// How many bytes of a packed file are read at a time.
const PACKED_BUFFER_BYTES: usize = 1 << 16;

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

/// The content of a file; `.gz` and `.zst` are unpacked.
pub fn unpacked(
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
    Ok(match Packing::of(path) {
        None => Box::new(file),
        Some(packing) => {
            let input = BufReader::with_capacity(PACKED_BUFFER_BYTES, file);
            packing.unpack(input, limits, stored).map_err(failed)?
        }
    })
}

/// Standard input, which has no name: whether it is packed its first bytes say.
pub fn standard_input(
    path: &Path,
    limits: PackedLimits,
    meter: Arc<Meter>,
) -> Result<Box<dyn Read + Send>, Error> {
    let failed = |error| read_error(path, error);
    let stored = Arc::default();
    let mut input =
        Metered { inner: std::io::stdin(), meter, left: 0, stored: Arc::clone(&stored) };
    let mut head = Vec::new();
    while head.len() < MAGIC_BYTES && may_be_packed(&head) {
        // One byte at a time: no more is waited for than tells what this is.
        let mut byte = [0; 1];
        match input.read(&mut byte).map_err(failed)? {
            0 => break,
            _ => head.extend(byte),
        }
    }
    let packing = Packing::by_content(&head);
    let input = BufReader::with_capacity(PACKED_BUFFER_BYTES, Cursor::new(head).chain(input));
    match packing {
        Some(packing) => packing.unpack(input, limits, stored).map_err(failed),
        None => Ok(Box::new(input)),
    }
}

/// A file that is read as it is, but unpacked.
pub struct UnpackedFile {
    path: PathBuf,
    input: Box<dyn Read + Send>,
    meter: Arc<Meter>,
}

impl UnpackedFile {
    /// Opens a file.
    pub fn open(path: &Path, limits: PackedLimits) -> Result<Self, Error> {
        let meter = Arc::new(Meter::default());
        let input = unpacked(path, limits, Arc::clone(&meter))?;
        Ok(Self { path: path.to_owned(), input, meter })
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

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zstandard,
}

/// How packed files begin: gzip (RFC 1952) with its only method, and Zstandard (RFC 8878).
const MAGICS: [(&[u8], Packing); 2] =
    [(b"\x1F\x8B\x08", Packing::Gzip), (b"\x28\xB5\x2F\xFD", Packing::Zstandard)];
/// Bytes that tell how a file is packed.
const MAGIC_BYTES: usize = 4;

/// Whether a packed file may begin so.
fn may_be_packed(head: &[u8]) -> bool {
    MAGICS.iter().any(|(magic, _)| magic.starts_with(head))
}

impl Packing {
    fn by_content(head: &[u8]) -> Option<Self> {
        MAGICS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, packing)| *packing)
    }

    /// By the end of its name.
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_ascii_lowercase().to_str()? {
            "gz" => Some(Self::Gzip),
            "zst" => Some(Self::Zstandard),
            _ => None,
        }
    }

    /// What `input` unpacks to, of which `stored` counts what is read.
    fn unpack(
        self,
        input: impl BufRead + Send + 'static,
        limits: PackedLimits,
        stored: Arc<AtomicU64>,
    ) -> std::io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Gzip => Box::new(Limited::new(GzipMembers::First(input), limits, stored)),
            Self::Zstandard => {
                Box::new(Limited::new(zstd::Decoder::with_buffer(input)?, limits, stored))
            }
        })
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
    use crate::reference::go_on;

    #[test]
    fn the_first_bytes_tell_how_a_file_is_packed() {
        let gzip = GzEncoder::new(Vec::new(), Compression::fast()).finish().unwrap();
        assert_eq!(Packing::by_content(&gzip), Some(Packing::Gzip));
        let zstandard = zstd::encode_all(&b"text"[..], 1).unwrap();
        assert_eq!(Packing::by_content(&zstandard), Some(Packing::Zstandard));
        for text in [&b""[..], b"(", b"\x1F\x8B", b"\x1F\x8Bab", b"(text", b"text"] {
            assert_eq!(Packing::by_content(text), None);
        }
        assert!(may_be_packed(b"") && may_be_packed(b"(") && !may_be_packed(b"t"));
    }

    #[test]
    fn an_unpacked_file_gives_as_many_bytes_as_there_are() {
        let path = std::env::temp_dir().join(format!("llama3_tok-{}.gz", std::process::id()));
        let text: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&text).unwrap();
        std::fs::write(&path, packed.finish().unwrap()).unwrap();
        let mut file = UnpackedFile::open(&path, PackedLimits::default()).unwrap();
        let parts = [700_001, 1 << 20, 5].map(|size| file.read(size, &go_on).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(parts.each_ref().map(Vec::len), [700_001, 499_999, 0]);
        assert!(parts.concat() == text);
        assert!(file.stored_read() > 0);
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
