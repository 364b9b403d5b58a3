//! Characters: decoding one from bytes, and its class in the Llama 3 pattern.
//!
//! The classes are exactly those of the regex engine inside tiktoken, for every code point
//! (`scripts/unicode_tables.py` asks it; a test asks it again). Bytes that are not part of valid
//! UTF-8 are characters of one byte and of class [`Class::Other`].

#[path = "unicode_tables.rs"]
mod tables;

use crate::work;

const _: () = assert!(tables::BLOCK == 0x80, "the first block must be ASCII");

pub use tables::UNICODE_VERSION;

/// What the pattern can tell apart. Every code point has exactly one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// `[\r\n]`
    Newline,
    /// `\s` without the newlines
    Space,
    /// `[^\s\p{L}\p{N}]`, and bytes that are not UTF-8
    Other,
}

/// The class of a code point; beyond U+10FFFF there are none, so `Other`.
#[inline]
pub fn class(code_point: u32) -> Class {
    let code_point = code_point as usize;
    tables::INDEX
        .get(code_point / tables::BLOCK)
        .and_then(|&block| tables::BLOCKS.get(usize::from(block)))
        .and_then(|block| block.get(code_point % tables::BLOCK))
        .copied()
        .unwrap_or(Class::Other)
}

/// The classes of 64 characters, one bit each in both words. Beyond ASCII there are no newlines, so
/// four classes are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classes {
    /// Letters and spaces.
    pub low: u64,
    /// Numbers and spaces.
    pub high: u64,
}

impl Classes {
    const OTHERS: Self = Self { low: 0, high: 0 };
}

/// The pages of each block: what differs in the last byte of UTF-8 alone.
static PAGES: [[Classes; 2]; tables::BLOCKS.len()] = pages();

#[expect(clippy::indexing_slicing, reason = "runs at compile time")]
const fn pages() -> [[Classes; 2]; tables::BLOCKS.len()] {
    let mut pages = [[Classes::OTHERS; 2]; tables::BLOCKS.len()];
    let mut at = 0;
    while at < pages.len() * tables::BLOCK {
        let (block, character) = (at / tables::BLOCK, at % tables::BLOCK);
        let page = &mut pages[block][character / 64];
        let bit = 1 << (character % 64);
        match tables::BLOCKS[block][character] {
            Class::Letter => page.low |= bit,
            Class::Number => page.high |= bit,
            Class::Space => {
                page.low |= bit;
                page.high |= bit;
            }
            Class::Newline | Class::Other => {}
        }
        at += 1;
    }
    pages
}

/// The page of the code points that begin with these bits, all but the last six.
#[inline(always)]
pub fn page(number: u32) -> Classes {
    let number = number as usize;
    tables::INDEX
        .get(number / 2)
        .and_then(|&block| PAGES.get(usize::from(block)))
        .and_then(|pages| pages.get(number % 2))
        .copied()
        .unwrap_or(Classes::OTHERS)
}

/// For each first byte of three, by its low four bits: the second bytes with which every character is
/// a letter, one bit each, by their low six bits.
static LETTER_SECONDS: [u64; 16] = letter_seconds_of_all();

/// The first bytes of two or three of which every character is a letter, by their low six bits.
pub const LETTER_LEADS: u64 = letter_leads();

#[expect(clippy::indexing_slicing, reason = "runs at compile time")]
const fn letter_seconds_of_all() -> [u64; 16] {
    let mut seconds = [0; 16];
    let mut number = 0;
    while number < 16 * 64 {
        let page = PAGES[tables::INDEX[number / 2] as usize][number % 2];
        let letters = page.low == u64::MAX && page.high == 0;
        seconds[number / 64] |= (letters as u64) << (number % 64);
        number += 1;
    }
    seconds
}

#[expect(clippy::indexing_slicing, reason = "runs at compile time")]
const fn letter_leads() -> u64 {
    // A first byte of two has one page, and these are the first 32.
    let two = LETTER_SECONDS[0] & u32::MAX as u64;
    let (mut three, mut lead) = (0, 0);
    while lead < 16 {
        three |= ((LETTER_SECONDS[lead] == u64::MAX) as u64) << lead;
        lead += 1;
    }
    two | three << (0xE0 & 0x3F)
}

/// The second bytes with which the first byte 0xF0 begins nothing but letters, by their low six bits.
pub const LETTER_SECONDS_OF_F0: u64 = letter_seconds_of_f0();

#[expect(clippy::indexing_slicing, reason = "runs at compile time")]
const fn letter_seconds_of_f0() -> u64 {
    let (mut seconds, mut number) = (u64::MAX, 0);
    while number < 64 * 64 {
        let page = PAGES[tables::INDEX[number / 2] as usize][number % 2];
        let letters = page.low == u64::MAX && page.high == 0;
        seconds &= !((!letters as u64) << (number / 64));
        number += 1;
    }
    seconds
}

/// The second bytes with which the first byte `lead` of three begins nothing but letters, by their low
/// six bits.
#[inline(always)]
pub fn letter_seconds(lead: u8) -> u64 {
    LETTER_SECONDS.get(usize::from(lead & 0x0F)).copied().unwrap_or(0)
}

/// The class and the length in bytes of the character that begins at `at`; `None` at the end.
#[inline]
pub fn char_at(text: &[u8], at: usize) -> Option<(Class, usize)> {
    work::done();
    let &first = text.get(at)?;
    // The first block is ASCII; a byte that is not in it begins a longer character or none.
    let [ascii, ..] = &tables::BLOCKS;
    if let Some(&class) = ascii.get(usize::from(first)) {
        return Some((class, 1));
    }
    Some(match decode(text, at) {
        Some((code_point, length)) => (class(code_point), length),
        None => (Class::Other, 1),
    })
}

/// The code point of several bytes that begins at `at`, if the bytes there are valid UTF-8.
///
/// The length comes from the first byte. A code point below what that length is for is an overlong
/// form; surrogates and code points beyond U+10FFFF are not UTF-8 either.
fn decode(text: &[u8], at: usize) -> Option<(u32, usize)> {
    let tail = text.get(at..)?;
    match *tail {
        [a @ 0xC2..=0xDF, b, ..] => Some(((u32::from(a) & 0x1F) << 6 | tail_bits(b)?, 2)),
        [a @ 0xE0..=0xEF, b, c, ..] => {
            let code_point = (u32::from(a) & 0x0F) << 12 | tail_bits(b)? << 6 | tail_bits(c)?;
            (code_point >= 0x800 && !(0xD800..0xE000).contains(&code_point))
                .then_some((code_point, 3))
        }
        [a @ 0xF0..=0xF4, b, c, d, ..] => {
            let code_point = (u32::from(a) & 0x07) << 18
                | tail_bits(b)? << 12
                | tail_bits(c)? << 6
                | tail_bits(d)?;
            (0x1_0000..0x11_0000).contains(&code_point).then_some((code_point, 4))
        }
        _ => None,
    }
}

/// The six bits of a continuation byte.
#[inline]
fn tail_bits(byte: u8) -> Option<u32> {
    (byte & 0xC0 == 0x80).then_some(u32::from(byte) & 0x3F)
}

/// How many characters `text` has, and whether all of it is UTF-8.
pub fn count_chars(text: &[u8]) -> (usize, bool) {
    if let Ok(text) = std::str::from_utf8(text) {
        return (text.chars().count(), true);
    }
    let mut count = 0;
    let mut valid = true;
    for chunk in text.utf8_chunks() {
        count += chunk.valid().chars().count() + chunk.invalid().len();
        valid &= chunk.invalid().is_empty();
    }
    (count, valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The standard library's decoder is the oracle for what is valid UTF-8.
    #[test]
    fn characters_are_those_of_the_standard_library() {
        for bytes in (0u32..=0xFFFF).flat_map(|n| {
            let [a, b] = (n as u16).to_be_bytes();
            [vec![a, b, 0x80], vec![a, b, 0xBF, 0x80], vec![a, b]]
        }) {
            let chunk = bytes.utf8_chunks().next().unwrap();
            let expected = match chunk.valid().chars().next() {
                Some(char) => (class(u32::from(char)), char.len_utf8()),
                None => (Class::Other, 1),
            };
            assert_eq!(char_at(&bytes, 0), Some(expected), "{bytes:02x?}");
        }
        assert_eq!(char_at(b"a", 1), None);
    }

    #[test]
    fn every_code_point_has_the_class_of_a_regex_engine() {
        let matcher = |pattern: &str| fancy_regex::Regex::new(pattern).unwrap();
        let (letter, number) = (matcher(r"^\p{L}$"), matcher(r"^\p{N}$"));
        let (newline, space) = (matcher(r"^[\r\n]$"), matcher(r"^\s$"));
        for char in (0..0x11_0000).filter_map(char::from_u32) {
            let text = char.to_string();
            let is = |regex: &fancy_regex::Regex| regex.is_match(&text).unwrap();
            let expected = match () {
                () if is(&letter) => Class::Letter,
                () if is(&number) => Class::Number,
                () if is(&newline) => Class::Newline,
                () if is(&space) => Class::Space,
                () => Class::Other,
            };
            assert_eq!(class(u32::from(char)), expected, "U+{:04X}", u32::from(char));
        }
    }

    #[test]
    fn invalid_bytes_count_as_one_character_each() {
        assert_eq!(count_chars("añ漢😀".as_bytes()), (4, true));
        assert_eq!(count_chars(b"a\xE2\x82b\xFF"), (5, false));
        assert_eq!(count_chars(b""), (0, true));
    }
}
