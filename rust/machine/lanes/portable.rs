//! Plain 64-bit words, for any processor: eight bytes at a time. The twin of the vector versions in tests.
//!
//! The masks of a window:
//!
//! ```text
//! words    the window as a table of eight rows of eight bytes, a word for each column
//! test     the highest bit of each byte of a word says whether the byte passes
//! mask     what the words before have found moves down one bit for each word that follows
//! ```
//!
//! So byte `8 * row + column` of the window, which is byte `row` of word `column`, is bit
//! `8 * row + column` of the mask. Where there are vector instructions, compilers use them for the
//! tests, for two words or more at a time; that gains less than the layout does.

use super::{Lanes, Masks, Vectorized, WINDOW};

/// Any processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portable;

/// The same byte eight times.
const fn splat(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

const HIGH: u64 = splat(0x80);

/// The columns of the window's bytes: a table is transposed by exchanging ever smaller blocks across
/// its diagonal, as Henry S. Warren, Hacker's Delight, section 7-3, does for bits.
#[inline(always)]
fn columns(window: &[u8; WINDOW]) -> [u64; 8] {
    let mut words = [0; 8];
    for (word, row) in words.iter_mut().zip(window.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*row);
    }
    let [a, b, c, d, e, f, g, h] = words;
    let [[a, b, c, d], [e, f, g, h]] = exchange([a, b, c, d], [e, f, g, h], 4);
    let [[a, b, e, f], [c, d, g, h]] = exchange([a, b, e, f], [c, d, g, h], 2);
    let [[a, c, e, g], [b, d, f, h]] = exchange([a, c, e, g], [b, d, f, h], 1);
    [a, b, c, d, e, f, g, h]
}

/// Exchanges, in blocks of `size` bytes, each second block of the upper words for the block before in
/// the lower ones.
#[inline(always)]
fn exchange(mut upper: [u64; 4], mut lower: [u64; 4], size: u32) -> [[u64; 4]; 2] {
    // The bytes of each first block: 8 bits are 0xFF, 16 above 16 are 0xFFFF_0000_FFFF, and so on.
    let first = u64::MAX / ((1 << (8 * size)) + 1);
    for (upper, lower) in upper.iter_mut().zip(&mut lower) {
        let differences = (*upper >> (8 * size) ^ *lower) & first;
        *lower ^= differences;
        *upper ^= differences << (8 * size);
    }
    [upper, lower]
}

/// One bit for each byte: the highest that `test` leaves in it.
#[inline(always)]
fn mask(columns: &[u64; 8], test: impl Fn(u64) -> u64) -> u64 {
    columns.iter().fold(0, |mask, &column| mask >> 1 | test(column) & HIGH)
}

/// Has the highest bit of each byte that is at least `low`, if no byte has it now.
#[inline(always)]
fn at_least(word: u64, low: u8) -> u64 {
    word.wrapping_add(splat(0x80 - low))
}

/// Has the highest bit of each byte from `first` to `last`, if no byte has it now.
#[inline(always)]
fn within(word: u64, first: u8, last: u8) -> u64 {
    at_least(word, first) & !at_least(word, last + 1)
}

/// Has the highest bit of each byte that is not `byte`, if no byte has it now.
#[inline(always)]
fn other_than(word: u64, byte: u8) -> u64 {
    at_least(word ^ splat(byte), 1)
}

/// A bit for each byte of a window that `wanted` accepts.
#[inline(always)]
fn bytes_that(window: &[u8; WINDOW], wanted: impl Fn(u8) -> bool) -> u64 {
    (0..).zip(window).fold(0, |all, (at, &byte)| all | u64::from(wanted(byte)) << at)
}

impl Lanes for Portable {
    const HAS_FAST_SEARCH: bool = false;

    #[inline]
    fn run<W: Vectorized>(self, work: W) -> W::Output {
        work.run(self)
    }

    #[inline(always)]
    fn masks(self, window: &[u8; WINDOW]) -> Masks {
        let columns = columns(window);
        // The tests are for ASCII. Bytes beyond it are tested without their highest bit, and then left
        // out of the masks.
        let low = columns.map(|column| column & !HIGH);
        let wide = mask(&columns, |column| column);
        let neither = |column| other_than(column, b'\n') & other_than(column, b'\r');
        let newline = !mask(&low, neither) & !wide;
        let blank = !mask(&low, |column| other_than(column, b' ')) & !wide;
        let control = mask(&low, |column| within(column, b'\t', b'\r')) & !wide;
        Masks {
            letter: mask(&low, |column| within(column | splat(0x20), b'a', b'z')) & !wide,
            number: mask(&low, |column| within(column, b'0', b'9')) & !wide,
            newline,
            space: (blank | control) & !newline,
            blank,
            apostrophe: !mask(&low, |column| other_than(column, b'\'')) & !wide,
            wide,
            // The second highest bit is shifted to where the highest is.
            tail: mask(&columns, |column| column & !(column << 1)),
        }
    }

    #[inline(always)]
    fn bytes_in_set(self, window: &[u8; WINDOW], set: u64) -> u64 {
        bytes_that(window, |byte| set >> (byte & 0x3F) & 1 == 1)
    }

    #[inline(always)]
    fn bytes_equal(self, window: &[u8; WINDOW], byte: u8) -> u64 {
        bytes_that(window, |other| other == byte)
    }
}
