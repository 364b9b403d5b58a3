//! GPT-2's byte-level alphabet, in which `tokenizer.json` and GGUF write tokens: a printable Latin-1
//! character stands for its own byte; the other bytes, in order, are U+0100 and the following.

use std::collections::HashMap;

/// The characters of the alphabet with the bytes that they stand for, in the order of the bytes.
fn alphabet() -> impl Iterator<Item = (char, u8)> {
    let mut others = 0x100..;
    (0..=u8::MAX).filter_map(move |byte| {
        let code_point = match byte {
            b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => u32::from(byte),
            _ => others.next()?,
        };
        Some((char::from_u32(code_point)?, byte))
    })
}

/// Reads tokens that are written in the alphabet.
pub(crate) struct Reader(HashMap<char, u8>);

impl Reader {
    pub(crate) fn new() -> Self {
        Self(alphabet().collect())
    }

    /// The bytes of a token.
    pub(crate) fn bytes(&self, token: &str) -> Result<Vec<u8>, String> {
        let byte = |char| {
            self.0.get(&char).copied().ok_or_else(|| {
                format!(
                    "{token:?} has the character {char:?}, which is not in the byte-level alphabet"
                )
            })
        };
        token.chars().map(byte).collect()
    }
}

/// Writes tokens in the alphabet.
pub(crate) struct Writer(Vec<char>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self(alphabet().map(|(char, _)| char).collect())
    }

    /// Adds a token to `text`.
    pub(crate) fn write(&self, token: &[u8], text: &mut String) {
        text.extend(token.iter().filter_map(|&byte| self.0.get(usize::from(byte))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_character_of_its_own_that_is_seen_and_no_space() {
        let (reader, writer) = (Reader::new(), Writer::new());
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        let mut text = String::new();
        writer.write(&bytes, &mut text);
        assert_eq!(text.chars().count(), 256);
        assert!(text.chars().all(|char| !char.is_whitespace() && !char.is_control()));
        assert_eq!(reader.bytes(&text).unwrap(), bytes);
        assert!(reader.bytes("a b").unwrap_err().contains("' '"));
        // Two that everybody who has read such a file knows: the space and the newline.
        text.clear();
        writer.write(b"a b\n", &mut text);
        assert_eq!(text, "aĠbĊ");
    }
}
