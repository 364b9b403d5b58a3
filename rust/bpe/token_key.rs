//! The key of a short byte string: one number, which is made, hashed and compared without a branch on
//! the length.
//!
//! ```text
//! bit   0 ............ 103   104 .. 107   108 ........ 127
//!       the text, 13 bytes   its length   free: in the token table, the id
//! ```

use crate::machine::lanes::{self, KeyMask, KeyMasks};
use crate::text::span::Span;

/// The longest byte string that has a key. With 13 bytes, its length and an id fit 16 bytes.
pub const KEY_BYTES: usize = 13;

/// The bit where the length begins.
const LENGTH: u32 = 8 * KEY_BYTES as u32;
/// The bit where an id begins.
pub const ID: u32 = LENGTH + 4;
/// The bits of a key.
pub const KEY: u128 = (1 << ID) - 1;
/// In place of the length of strings that are too long, and of the empty one. No token has it.
const TOO_LONG: u128 = 15;

/// How keys are made, for each length.
pub static KEY_MASKS: KeyMasks = {
    let mut table = [KeyMask { keep: 0, set: TOO_LONG << LENGTH }; 16];
    // The empty string has no key of its own: it would be that of a free entry.
    let mut length = 1;
    #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
    while length <= KEY_BYTES {
        table[length] = KeyMask { keep: (1 << (8 * length)) - 1, set: (length as u128) << LENGTH };
        length += 1;
    }
    table
};

/// The key of the bytes of a span. That of a longer byte string is the key of no token.
#[inline(always)]
pub fn key(text: &[u8], Span { start, end }: Span) -> u128 {
    lanes::key_of(lanes::load_16_bytes(text, start), end - start, &KEY_MASKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_text_and_length() {
        let text = b"a\0b\0 thirteen bytes";
        let keys: Vec<u128> =
            (1..=KEY_BYTES).map(|end| key(text, Span { start: 0, end })).collect();
        assert!(!keys.contains(&0) && !keys.contains(&key(text, Span { start: 0, end: 0 })));
        assert!((0..keys.len()).all(|at| !keys[..at].contains(&keys[at])));
        assert_eq!(key(text, Span { start: 0, end: 3 }), u128::from(0x62_00_61u32) | 3 << LENGTH);
        assert_eq!(key(text, Span { start: 0, end: 14 }), key(text, Span { start: 1, end: 19 }));
        assert_eq!(key(text, Span { start: 0, end: 14 }), key(text, Span { start: 0, end: 0 }));
        assert_eq!(
            key(&text[..4], Span { start: 1, end: 4 }),
            key(text, Span { start: 1, end: 4 })
        );
        assert!(keys.iter().all(|&key| key >> ID == 0));
    }
}
