//! The classes of characters of several bytes, many at a time.
//!
//! UTF-8 is a tree: every byte of a character chooses one of at most 64 branches, by its low six bits,
//! so a set of branches is one word. A page is the branches of a last byte. The characters of a window
//! are in few pages, and all that are in the same page are classified at once. So are all that are in
//! any of the pages of a first byte which have only letters, as many of Han and Hangul have.

use crate::machine::lanes::WINDOW;
use crate::text::unicode::{Classes, LETTER_LEADS, LETTER_SECONDS_OF_F0, letter_seconds, page};

/// The low six bits of a byte.
#[inline(always)]
fn branch(byte: u8) -> u32 {
    u32::from(byte & 0x3F)
}

/// A byte of a character that the window has whole.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "modulo the length: no check, no panic")]
fn byte_at(window: &[u8; WINDOW], at: usize) -> u8 {
    // The text is UTF-8, and a character that goes on after the window's end is left to the next window.
    debug_assert!(at < WINDOW);
    window[at % WINDOW]
}

/// The classes of the characters that begin at `leads` in a window, which has them whole, page by page.
///
/// `among` gives the bytes of the window whose low six bits are in a set, `equal` those that are equal
/// to a byte.
#[inline(always)]
pub fn by_page(
    window: &[u8; WINDOW],
    leads: u64,
    among: impl Fn(u64) -> u64,
    equal: impl Fn(u8) -> u64,
) -> Classes {
    let mut low = among(LETTER_LEADS) & leads;
    let mut high = 0;
    let mut rest = leads & !low;
    while rest != 0 {
        let at = rest.trailing_zeros() as usize;
        let byte = |offset: usize| byte_at(window, at + offset);
        let [first, second] = [byte(0), byte(1)];
        let mut same_page = rest & equal(first);
        // The second bytes that make only letters with this first byte.
        let letters = match first {
            0xE0..0xF0 => letter_seconds(first),
            0xF0 => LETTER_SECONDS_OF_F0,
            _ => 0,
        };
        if letters >> branch(second) & 1 != 0 {
            same_page &= among(letters) >> 1;
            low |= same_page;
        } else {
            let (page, last) = match first {
                0..0xE0 => (page(branch(first & 0x1F)), 1),
                0xE0..0xF0 => {
                    same_page &= equal(second) >> 1;
                    (page(branch(first & 0x0F) << 6 | branch(second)), 2)
                }
                0xF0.. => {
                    let third = byte(2);
                    same_page &= equal(second) >> 1 & equal(third) >> 2;
                    (page(branch(first & 0x07) << 12 | branch(second) << 6 | branch(third)), 3)
                }
            };
            low |= among(page.low) >> last & same_page;
            high |= among(page.high) >> last & same_page;
        }
        rest &= !same_page;
    }
    Classes { low, high }
}

/// The same character by character, where a window can't be searched in a few instructions.
#[inline(always)]
pub fn one_by_one(window: &[u8; WINDOW], leads: u64) -> Classes {
    let (mut low, mut high, mut rest) = (0, 0, leads);
    while rest != 0 {
        let at = rest.trailing_zeros();
        let byte = |offset: u32| byte_at(window, (at + offset) as usize);
        let [first, second] = [byte(0), byte(1)];
        let (number, last) = match first {
            0..0xE0 => (branch(first & 0x1F), second),
            0xE0..0xF0 => (branch(first & 0x0F) << 6 | branch(second), byte(2)),
            0xF0.. => (branch(first & 0x07) << 12 | branch(second) << 6 | branch(byte(2)), byte(3)),
        };
        let page = page(number);
        low |= (page.low >> branch(last) & 1) << at;
        high |= (page.high >> branch(last) & 1) << at;
        rest &= rest - 1;
    }
    Classes { low, high }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::unicode::{Class, class};

    /// Every character by itself in a window; `reference.rs` tests them together.
    #[test]
    fn every_character_has_its_class() {
        for char in (0x80..0x11_0000).filter_map(char::from_u32) {
            let mut window = [0; WINDOW];
            char.encode_utf8(&mut window);
            let among =
                |set: u64| (0..64).fold(0, |all, at| all | (set >> branch(window[at]) & 1) << at);
            let equal = |byte| (0..64).fold(0, |all, at| all | u64::from(window[at] == byte) << at);
            let expected = match class(u32::from(char)) {
                Class::Letter => Classes { low: 1, high: 0 },
                Class::Number => Classes { low: 0, high: 1 },
                Class::Space => Classes { low: 1, high: 1 },
                Class::Other => Classes { low: 0, high: 0 },
                Class::Newline => panic!("newlines are ASCII"),
            };
            assert_eq!(one_by_one(&window, 1), expected, "U+{:04X}", u32::from(char));
            assert_eq!(by_page(&window, 1, among, equal), expected, "U+{:04X}", u32::from(char));
        }
    }
}
