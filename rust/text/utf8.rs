//! Whether a text is UTF-8, and where its last whole character ends.

use crate::error::{Check, Error};

/// Bytes that are validated at a time, in about a millisecond.
const VALIDATED_BYTES: usize = 1 << 23;

/// Whether a text is UTF-8. Gigabytes take a while, so signals are looked for.
pub fn is_utf8(mut text: &[u8], check: &Check) -> Result<bool, Error> {
    while let Some(part) = text.get(..VALIDATED_BYTES) {
        let Some((part, rest)) = text.split_at_checked(whole_characters(part)) else { break };
        if part.is_empty() || simdutf8::basic::from_utf8(part).is_err() {
            return Ok(false);
        }
        text = rest;
        check()?;
    }
    Ok(simdutf8::basic::from_utf8(text).is_ok())
}

/// How many bytes at the beginning of UTF-8 are whole characters: all but up to three. For other bytes the
/// result means nothing.
pub fn whole_characters(bytes: &[u8]) -> usize {
    let before = |&(_, &byte): &(usize, &u8)| byte & 0xC0 == 0x80;
    let last = bytes.iter().enumerate().rev().take(4).find(|byte| !before(byte));
    let Some((start, &first)) = last else { return bytes.len() };
    let length = match first {
        0xF0.. => 4,
        0xE0.. => 3,
        0xC0.. => 2,
        _ => 1,
    };
    if start + length > bytes.len() { start } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::go_on;

    #[test]
    fn a_text_of_many_parts_is_validated_as_a_whole() {
        let text = "aé漢😀".repeat(VALIDATED_BYTES / 4).into_bytes();
        assert!(is_utf8(&text, &go_on).unwrap());
        for place in [text.len() - 1, VALIDATED_BYTES - 1, VALIDATED_BYTES + 3, 0] {
            let mut broken = text.clone();
            broken[place] = 0xFF;
            assert!(!is_utf8(&broken, &go_on).unwrap());
        }
        assert!(!is_utf8(&vec![0x80; VALIDATED_BYTES + 9], &go_on).unwrap());
        assert!(is_utf8(&text, &|| Err(Error::Interrupted)).is_err());
    }

    #[test]
    fn whole_characters_end_where_one_is_not_complete() {
        let text = "aß語😀";
        for end in 0..=text.len() {
            let whole = (0..=end).rev().find(|&end| text.is_char_boundary(end)).unwrap();
            assert_eq!(whole_characters(&text.as_bytes()[..end]), whole);
        }
        assert_eq!(whole_characters(&[0x80; 9]), 9);
    }
}
