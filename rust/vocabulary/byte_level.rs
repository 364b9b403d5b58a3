//! GPT-2's byte-level alphabet, in which `tokenizer.json` and GGUF write tokens: a printable Latin-1
//! character stands for its own byte; the other bytes, in order, are U+0100 and the following.

use std::collections::HashMap;

/// The character of each byte.
static ALPHABET: [char; 256] = alphabet();

#[expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "runs at compile time")]
const fn alphabet() -> [char; 256] {
    let mut alphabet = ['\0'; 256];
    let (mut byte, mut other) = (0, 0x100);
    while byte < alphabet.len() {
        let is_printable = matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
        let code_point = if is_printable { byte as u32 } else { other };
        other += !is_printable as u32;
        alphabet[byte] = char::from_u32(code_point).unwrap();
        byte += 1;
    }
    alphabet
}

/// Reads tokens that are written in the byte-level alphabet.
pub(crate) struct Alphabet(HashMap<char, u8>);

impl Alphabet {
    pub(crate) fn new() -> Self {
        Self(ALPHABET.into_iter().zip(0..=u8::MAX).collect())
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

/// Adds a token, written in the alphabet, to `text`.
pub(crate) fn write(token: &[u8], text: &mut String) {
    #[expect(clippy::indexing_slicing, reason = "8 bits, as many as there are: no check")]
    text.extend(token.iter().map(|&byte| ALPHABET[usize::from(byte)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_visible_character_of_its_own() {
        let reader = Alphabet::new();
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        let mut text = String::new();
        write(&bytes, &mut text);
        assert_eq!(text.chars().count(), 256);
        assert!(text.chars().all(|char| !char.is_whitespace() && !char.is_control()));
        assert_eq!(reader.bytes(&text).unwrap(), bytes);
        assert!(reader.bytes("a b").unwrap_err().contains("' '"));
        // Two that are well known: the space and the newline.
        text.clear();
        write(b"a b\n", &mut text);
        assert_eq!(text, "aĠbĊ");
    }
}
