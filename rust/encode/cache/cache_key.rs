//! The key of a cache entry: the bytes of a short pretoken, or two hashes of a longer one.

use crate::bpe::index::Seed;
use crate::text::span::Span;

/// The longest pretoken whose key is exact: it holds all of its bytes.
pub const MAX_EXACT_KEY_BYTES: usize = 31;
/// The longest pretoken whose bytes are all in the first two words of its key.
pub const MAX_HALF_KEY_BYTES: usize = 15;
/// The bit of the second word where the length begins, above seven bytes of text.
pub const LENGTH: u32 = 56;
/// In place of the length of a pretoken whose key is hashes.
pub const HASHED: u64 = 0xFF;

/// Of a pretoken of up to 31 bytes: its first 15 bytes, its length, its other bytes, and zeros. Of a
/// longer one: a hash, another hash with [`HASHED`] in place of the length, and the length. What is
/// found by hashes is confirmed by the bytes in the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(32))]
pub struct CacheKey(pub [u64; 4]);

/// By length: a mask of the bytes of the text, and the length at its position.
static LENGTH_MASKS: [[CacheKey; 2]; 32] = {
    let mut table = [[CacheKey([0; 4]); 2]; 32];
    let mut length = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
    while length < 32 {
        let mut at = 0;
        while at < length {
            // The sixteenth byte is the length.
            let byte = if at < HEAD_BYTES { at } else { at + 1 };
            table[length][0].0[byte / 8] |= 0xFF << (8 * (byte % 8));
            at += 1;
        }
        table[length][1].0[1] = (length as u64) << LENGTH;
        length += 1;
    }
    table
};

/// Bytes of the text before the length.
const HEAD_BYTES: usize = MAX_HALF_KEY_BYTES;

impl CacheKey {
    /// The key of the bytes of `span`, which is not empty.
    #[inline(always)]
    pub fn new(text: &[u8], span: Span, seed: Seed) -> Self {
        let Span { start, end } = span;
        debug_assert!(start < end && end <= text.len());
        let Some([Self(mask), Self(length)]) = LENGTH_MASKS.get(end - start) else {
            // If the span were not inside the text, the entry's bytes would not be those of the pretoken.
            return Self::hashed(span.bytes(text).unwrap_or(&[]), seed);
        };
        let words = match text.get(start..).and_then(|rest| rest.first_chunk::<32>()) {
            Some(bytes) => words(bytes),
            None => words(&load_last_bytes(text, start)),
        };
        // One operation on all 32 bytes where the processor has it.
        let mut key = [0; 4];
        for (at, word) in key.iter_mut().enumerate() {
            // There are four of each.
            let of = |words: &[u64; 4]| words.get(at).copied().unwrap_or(0);
            *word = of(&words) & of(mask) | of(length);
        }
        Self(key)
    }

    #[inline(never)]
    fn hashed(pretoken: &[u8], seed: Seed) -> Self {
        let hash = seed.hash(pretoken);
        let other = seed.mix(hash, 1) & ((1 << LENGTH) - 1);
        Self([hash, other | HASHED << LENGTH, pretoken.len() as u64, 0])
    }

    /// Whether it holds all bytes of the pretoken.
    #[inline(always)]
    pub fn is_exact(self) -> bool {
        let Self([_, second, ..]) = self;
        second >> LENGTH != HASHED
    }

    /// A hash under `seed`, which says where the entry may be.
    #[inline(always)]
    pub fn hash(self, seed: Seed) -> u64 {
        let Self([a, b, c, d]) = self;
        seed.mix(a, b) ^ seed.mix(c ^ 0x9E37_79B9_7F4A_7C15, d)
    }
}

/// The first 15 bytes, one byte that is masked out, and the next 16.
#[inline(always)]
fn words(bytes: &[u8; 32]) -> [u64; 4] {
    // There are eight bytes at each of these positions.
    let word = |at: usize| {
        let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
        word.map_or(0, |word| u64::from_le_bytes(*word))
    };
    [word(0), word(8), word(HEAD_BYTES), word(HEAD_BYTES + 8)]
}

/// The next 32 bytes of a text that has fewer, with zeros after.
#[inline]
fn load_last_bytes(text: &[u8], start: usize) -> [u8; 32] {
    let mut padded = [0; 32];
    // After the text there is nothing.
    let rest = text.get(start..).unwrap_or(&[]);
    padded.iter_mut().zip(rest).for_each(|(target, &byte)| *target = byte);
    padded
}
