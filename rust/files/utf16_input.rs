//! UTF-16 as UTF-8, for files that begin with its byte order mark. Everything else is passed on as it is.

use std::io::{Cursor, Read};

/// How many bytes are decoded at a time.
const STEP_BYTES: usize = 1 << 14;

/// The byte order marks of UTF-16, little-endian and big-endian.
const LITTLE: [u8; 2] = [0xFF, 0xFE];
const BIG: [u8; 2] = [0xFE, 0xFF];
/// That of little-endian UTF-32 begins as that of UTF-16 does.
const UTF32: [u8; 4] = [0xFF, 0xFE, 0, 0];

/// Whether a file that begins so is UTF-16.
pub fn has_utf16_mark(head: &[u8]) -> bool {
    (head.starts_with(&LITTLE) && !head.starts_with(&UTF32)) || head.starts_with(&BIG)
}

/// What the input turned out to be.
enum Kind {
    /// Not read yet; it needs the first bytes.
    Unknown,
    Plain,
    Little,
    Big,
}

/// A reader that decodes what it reads if that is UTF-16 by its byte order mark, which is left out.
pub struct Utf16Input<R> {
    inner: R,
    kind: Kind,
    /// Bytes that were read and not decoded yet.
    raw: Vec<u8>,
    /// Bytes for the reader.
    decoded: Cursor<Vec<u8>>,
    has_ended: bool,
    /// Bytes of the input before `raw`.
    offset: u64,
}

impl<R: Read> Utf16Input<R> {
    /// Decodes what `inner` gives.
    pub fn new(inner: R) -> Self {
        let (raw, decoded) = (Vec::new(), Cursor::default());
        Self { inner, kind: Kind::Unknown, raw, decoded, has_ended: false, offset: 0 }
    }

    /// Reads more into `raw`. After an error nothing is lost.
    fn more(&mut self) -> std::io::Result<()> {
        let mut step = [0; STEP_BYTES];
        let count = self.inner.read(&mut step)?;
        self.has_ended = count == 0;
        self.raw.extend(step.iter().take(count));
        Ok(())
    }

    fn find_kind(&mut self) -> std::io::Result<()> {
        while self.raw.len() < UTF32.len() && !self.has_ended {
            self.more()?;
        }
        self.kind = match &*self.raw {
            head if !has_utf16_mark(head) => Kind::Plain,
            [0xFF, ..] => Kind::Little,
            _ => Kind::Big,
        };
        if !matches!(self.kind, Kind::Plain) {
            self.raw.drain(..LITTLE.len());
            self.offset = LITTLE.len() as u64;
        }
        Ok(())
    }

    /// Decodes what is in `raw`, less what may be half of something.
    fn decode(&mut self) -> std::io::Result<()> {
        if let Kind::Plain = self.kind {
            self.decoded = Cursor::new(std::mem::take(&mut self.raw));
            return Ok(());
        }
        let is_little = matches!(self.kind, Kind::Little);
        let (pairs, _) = self.raw.as_chunks::<2>();
        let unit =
            |&pair| if is_little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) };
        let is_open = pairs.last().is_some_and(|pair| unit(pair) & 0xFC00 == 0xD800);
        let whole = pairs.len() - usize::from(is_open);
        let (mut used, mut decoded) = (0, Vec::new());
        for character in char::decode_utf16(pairs.iter().take(whole).map(unit)) {
            let Ok(character) = character else { return Err(self.broken(used)) };
            used += 2 * character.len_utf16();
            let mut utf8 = [0; 4];
            decoded.extend(character.encode_utf8(&mut utf8).as_bytes());
        }
        self.decoded = Cursor::new(decoded);
        self.raw.drain(..used);
        self.offset += used as u64;
        if self.has_ended && !self.raw.is_empty() {
            return Err(self.broken(0));
        }
        Ok(())
    }

    fn broken(&self, at: usize) -> std::io::Error {
        std::io::Error::other(format!(
            "this is not valid UTF-16 at byte {}",
            self.offset + at as u64
        ))
    }
}

impl<R: Read> Read for Utf16Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Kind::Unknown = self.kind {
            self.find_kind()?;
        }
        loop {
            let count = self.decoded.read(buffer)?;
            if count > 0 || buffer.is_empty() || (self.raw.is_empty() && self.has_ended) {
                return Ok(count);
            }
            // The first bytes may be there already.
            if !self.has_ended && self.raw.len() < UTF32.len() {
                self.more()?;
            }
            self.decode()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, and is interrupted before each.
    struct Slow<'t>(&'t [u8], bool);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(std::io::ErrorKind::Interrupted.into());
            }
            let room = buffer.len().min(1);
            self.0.read(&mut buffer[..room])
        }
    }

    fn decoded(data: &[u8]) -> Result<Vec<u8>, String> {
        let (mut slow, mut fast) = (Vec::new(), Vec::new());
        let one = Utf16Input::new(Slow(data, false)).read_to_end(&mut slow);
        let all = Utf16Input::new(data).read_to_end(&mut fast);
        assert_eq!(one.is_ok(), all.is_ok());
        all.map_err(|error| error.to_string())?;
        assert!(slow == fast);
        Ok(fast)
    }

    #[test]
    fn utf16_is_decoded_in_both_orders_and_in_any_pieces() {
        for text in ["", "a", "naïve 日本 🦙", &"x🦙é".repeat(20_000)] {
            let units: Vec<u16> = text.encode_utf16().collect();
            let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
            assert!(decoded(&[&LITTLE[..], &little].concat()).unwrap() == text.as_bytes());
            assert!(decoded(&[&BIG[..], &big].concat()).unwrap() == text.as_bytes());
        }
    }

    #[test]
    fn everything_else_is_as_it_was() {
        let long = b"text ".repeat(20_000);
        for data in
            [&b""[..], b"\xFF", b"\xFFtext", b"\xFF\xFE\0\0a\0\0\0", b"\xEF\xBB\xBFa", &long]
        {
            assert!(decoded(data).unwrap() == data);
        }
    }

    #[test]
    fn what_is_not_utf16_after_its_mark_is_an_error_with_its_place() {
        for (data, at) in [
            (&b"\xFF\xFEa\0b"[..], 4),
            (b"\xFF\xFEa\0\x00\xD8", 4),
            (b"\xFF\xFEa\0\x00\xD8a\0", 4),
            (b"\xFE\xFF\xDC\x00\0a", 2),
        ] {
            let message = decoded(data).unwrap_err();
            assert_eq!(message, format!("this is not valid UTF-16 at byte {at}"));
        }
    }
}
