//! The masks of a window by plain 64-bit words, for any processor: eight bytes at a time, one bit of
//! each byte at a time. The twin of the vector versions in tests.

use super::masks::{Classify, Masks, SURE_LETTERS, WINDOW};

/// Any processor.
pub struct Portable;

/// The same byte eight times.
const fn splat(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

const HIGH: u64 = splat(0x80);

/// The highest bit of each byte whose lower seven bits are at least `low`, which is at most 0x80.
const fn at_least(word: u64, low: u8) -> u64 {
    (word & !HIGH).wrapping_add(splat(0x80 - low)) & HIGH
}

/// The highest bit of each byte from `first` to `last`, both of the same half.
const fn within(word: u64, first: u8, last: u8) -> u64 {
    let half = if first < 0x80 { !word } else { word };
    half & at_least(word, first & 0x7F) & !at_least(word, (last & 0x7F) + 1)
}

/// The highest bits of eight bytes, side by side, the first byte's lowest.
const fn gather(word: u64) -> u64 {
    (word >> 7 & splat(1)).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

impl Classify for Portable {
    #[inline(always)]
    fn masks(window: &[u8; WINDOW]) -> Masks {
        let mut masks = Masks::default();
        let (words, _) = window.as_chunks::<8>();
        for (word, shift) in words.iter().zip((0..64).step_by(8)) {
            let word = u64::from_le_bytes(*word);
            let lower = word | splat(0x20);
            let newline = within(word, b'\n', b'\n') | within(word, b'\r', b'\r');
            let blank = within(word, b' ', b' ');
            let mut sure_letter = 0;
            for (first, last) in SURE_LETTERS {
                sure_letter |= within(word, first, last);
            }
            masks.letter |= gather(within(lower, b'a', b'z')) << shift;
            masks.number |= gather(within(word, b'0', b'9')) << shift;
            masks.newline |= gather(newline) << shift;
            masks.space |= gather((blank | within(word, b'\t', b'\r')) & !newline) << shift;
            masks.blank |= gather(blank) << shift;
            masks.apostrophe |= gather(within(word, b'\'', b'\'')) << shift;
            masks.wide |= gather(word & HIGH) << shift;
            masks.tail |= gather(within(word, 0x80, 0xBF)) << shift;
            masks.sure_letter |= gather(sure_letter) << shift;
        }
        masks
    }
}
