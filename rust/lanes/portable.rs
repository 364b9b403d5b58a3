//! Plain 64-bit words, for any processor: eight bytes at a time, one bit of each byte at a time.

use super::{Lanes, Masks, WINDOW};

/// Any processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portable;

/// How many places are written before it is asked whether there are more: how many there are can't be
/// foreseen, and each question would be a branch taken wrongly in most windows.
const BATCH: usize = 8;

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

/// A bit for each byte of a window that is as wanted.
#[inline(always)]
fn bytes_that(window: &[u8; WINDOW], wanted: impl Fn(u8) -> bool) -> u64 {
    (0..).zip(window).fold(0, |all, (at, &byte)| all | u64::from(wanted(byte)) << at)
}

/// [`Lanes::places`] by counting zeros.
#[inline(always)]
pub fn places_by_count(mut bits: u64, base: usize, places: &mut [usize; WINDOW]) {
    for places in places.as_chunks_mut::<BATCH>().0 {
        for place in places {
            *place = base + bits.trailing_zeros() as usize;
            bits &= bits.wrapping_sub(1);
        }
        if bits == 0 {
            break;
        }
    }
}

impl Lanes for Portable {
    const SEARCHES: bool = false;

    #[inline(always)]
    fn masks(self, window: &[u8; WINDOW]) -> Masks {
        let mut masks = Masks::default();
        let (words, _) = window.as_chunks::<8>();
        for (word, shift) in words.iter().zip((0..64).step_by(8)) {
            let word = u64::from_le_bytes(*word);
            let lower = word | splat(0x20);
            let newline = within(word, b'\n', b'\n') | within(word, b'\r', b'\r');
            let blank = within(word, b' ', b' ');
            masks.letter |= gather(within(lower, b'a', b'z')) << shift;
            masks.number |= gather(within(word, b'0', b'9')) << shift;
            masks.newline |= gather(newline) << shift;
            masks.space |= gather((blank | within(word, b'\t', b'\r')) & !newline) << shift;
            masks.blank |= gather(blank) << shift;
            masks.apostrophe |= gather(within(word, b'\'', b'\'')) << shift;
            masks.wide |= gather(word & HIGH) << shift;
            masks.tail |= gather(within(word, 0x80, 0xBF)) << shift;
        }
        masks
    }

    #[inline(always)]
    fn among(self, window: &[u8; WINDOW], set: u64) -> u64 {
        bytes_that(window, |byte| set >> (byte & 0x3F) & 1 == 1)
    }

    #[inline(always)]
    fn equal(self, window: &[u8; WINDOW], byte: u8) -> u64 {
        bytes_that(window, |other| other == byte)
    }

    #[inline(always)]
    fn places(self, bits: u64, base: usize, places: &mut [usize; WINDOW]) {
        places_by_count(bits, base, places);
    }

    #[inline(always)]
    fn same_of_four(self, four: &[u64; 8], word: u128, mask: u128) -> usize {
        let halves = |word: u128| (word as u64, (word >> 64) as u64);
        let ((low, high), (low_mask, high_mask)) = (halves(word), halves(mask));
        let (words, _) = four.as_chunks::<2>();
        // Selections, not branches: which one it is can't be predicted.
        (1..).step_by(2).zip(words).fold(8, |found, (half, &[a, b])| {
            if (a ^ low) & low_mask | (b ^ high) & high_mask == 0 { half } else { found }
        })
    }
}
