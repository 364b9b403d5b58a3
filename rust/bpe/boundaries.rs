//! Positions in a word that no merge crosses, which two bytes on either side tell.
//!
//! **Lemma.** If no token that merging gives spans a position, then no merge of any run crosses it, so
//! merging the word gives what merging its two sides gives, end to end. *Proof.* A merge across the
//! position makes a token that spans it, and merging gives that token. Without one, the runs on the two
//! sides don't depend on each other. ∎
//!
//! So a long word is cut into *segments*, which are looked up and merged one by one. Text that is not
//! ASCII has many such positions. Of those between two characters of 80,345 different words in twelve
//! languages, none of them a token, 43% are found to be boundaries, and of 56,459 in Chinese and
//! Japanese text 46%. A trap: a segment that is a token which merging does not give must not become that
//! token, since vocab-first is for pretokens. (`TokenTable::is_reached` tells.)
//!
//! Of each token and each position in it, up to two bytes on either side are noted. So the answer
//! "may be spanned" may be wrong, and "is not spanned" never is. Only positions where a character begins are
//! candidates, and not those between two ASCII characters, where nearly all are spanned.

use crate::bpe::boxed_array;
use crate::bpe::token_table::TokenTable;

/// The number of bits of the set of patterns, as a power of two: 128 KB.
const PATTERN_BITS: u32 = 20;

/// Which positions may be spanned by a token that merging gives.
pub struct Boundaries {
    /// By the byte before a position and the byte after it: how many bytes the tokens that span it have
    /// on either side, as [`ONE_ONE`] and so on.
    kinds: Box<[u8; 1 << 16]>,
    /// A Bloom filter of patterns, with two bits for each.
    bits: Box<[u64; WORDS]>,
}

/// Bytes after a position, as well as before it, that say whether it is a boundary.
pub const BYTES_AFTER: usize = 2;

/// Words of the filter.
const WORDS: usize = 1 << (PATTERN_BITS - 6);

/// A token with just one byte on either side.
const ONE_ONE: u8 = 1;
/// One before, more after.
const ONE_MORE: u8 = 2;
/// More before, one after.
const MORE_ONE: u8 = 4;
/// More on both sides.
const MORE_MORE: u8 = 8;

impl Boundaries {
    /// Goes through the tokens that merging gives.
    pub fn build(table: &TokenTable) -> Self {
        let mut boundaries = Self { kinds: boxed_array(0), bits: boxed_array(0) };
        let reached = table.tokens().iter().filter(|&(id, _)| table.is_reached(id));
        for (_, token) in reached.filter(|(_, token)| !token.is_ascii()) {
            for (place, (&x, &y)) in (1..).zip(token.iter().zip(token.iter().skip(1))) {
                if is_candidate(x, y) {
                    boundaries.add(token, place, x, y);
                }
            }
        }
        boundaries
    }

    /// Notes that a token spans the position between its bytes `x` and `y`.
    fn add(&mut self, token: &[u8], place: usize, x: u8, y: u8) {
        let kind = match outer_bytes(token, place) {
            (None, None) => ONE_ONE,
            (None, Some(z)) => self.add_pattern(ONE_MORE, [0, x, y, z]),
            (Some(w), None) => self.add_pattern(MORE_ONE, [w, x, y, 0]),
            (Some(w), Some(z)) => self.add_pattern(MORE_MORE, [w, x, y, z]),
        };
        #[expect(clippy::indexing_slicing, reason = "16 bits, as many as there are: no check")]
        {
            self.kinds[usize::from(byte_pair(x, y))] |= kind;
        }
    }

    #[expect(clippy::indexing_slicing, reason = "modulo the length: no check, no panic")]
    fn add_pattern(&mut self, kind: u8, pattern: [u8; 4]) -> u8 {
        let (word, bits) = bits(kind, pattern);
        self.bits[word % WORDS] |= bits;
        kind
    }

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "modulo the length: no check, no panic")]
    fn may_have(&self, kind: u8, pattern: [u8; 4]) -> bool {
        let (word, bits) = bits(kind, pattern);
        self.bits[word % WORDS] & bits == bits
    }

    /// The first boundary after `from`; the word's end if there is none.
    #[inline(always)]
    pub fn next_boundary(&self, word: &[u8], from: usize) -> usize {
        // After the last byte there is no position, only the end.
        let Some(&[mut x, ref rest @ ..]) = word.get(from..) else { return word.len() };
        // The four bytes around the last position that may be spanned. Those around the next one are
        // often the same, since characters repeat themselves.
        let mut spanned = None;
        for (place, &y) in (from + 1..).zip(rest) {
            if is_candidate(x, y) {
                let around = place.checked_sub(2).and_then(|at| word.get(at..)?.first_chunk::<4>());
                if around.is_none() || around != spanned {
                    if !self.may_be_spanned(word, place, x, y) {
                        return place;
                    }
                    spanned = around;
                }
            }
            x = y;
        }
        word.len()
    }

    /// Whether a token may span a position between the bytes `x` and `y`.
    #[inline(always)]
    fn may_be_spanned(&self, word: &[u8], place: usize, x: u8, y: u8) -> bool {
        #[expect(clippy::indexing_slicing, reason = "16 bits, as many as there are: no check")]
        let kinds = self.kinds[usize::from(byte_pair(x, y))];
        if kinds == 0 {
            return false;
        }
        if kinds & ONE_ONE != 0 {
            return true;
        }
        let (w, z) = outer_bytes(word, place);
        // No token goes on where the word ends.
        let may_have = |kind: u8, w: Option<u8>, z: Option<u8>| match (w, z) {
            (Some(w), Some(z)) => kinds & kind != 0 && self.may_have(kind, [w, x, y, z]),
            _ => false,
        };
        may_have(MORE_MORE, w, z)
            || may_have(ONE_MORE, Some(0), z)
            || may_have(MORE_ONE, w, Some(0))
    }
}

/// The second byte on either side of a position, where there is one.
#[inline(always)]
fn outer_bytes(word: &[u8], place: usize) -> (Option<u8>, Option<u8>) {
    let before = place.checked_sub(2).and_then(|before| word.get(before));
    (before.copied(), word.get(place + 1).copied())
}

#[inline(always)]
fn byte_pair(x: u8, y: u8) -> u16 {
    u16::from_be_bytes([x, y])
}

/// Whether a character begins between two bytes, which are not both ASCII.
#[inline(always)]
fn is_candidate(x: u8, y: u8) -> bool {
    y & 0xC0 != 0x80 && (x | y) >= 0x80
}

/// The index of a pattern's word in the filter, and its bits.
#[inline(always)]
fn bits(kind: u8, pattern: [u8; 4]) -> (usize, u64) {
    let all = u64::from(u32::from_le_bytes(pattern)) | u64::from(kind) << 32;
    let hash = all.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let word = (hash >> (64 - PATTERN_BITS + 6)) as usize % WORDS;
    (word, 1 << (hash >> 20 & 63) | 1 << (hash >> 26 & 63))
}

#[cfg(test)]
mod tests {
    use crate::reference::vocabulary_of;

    /// `aé` and `aéb` are tokens. What else has an `a` before the first byte of `é` is told apart by the
    /// byte after, and no place inside a character is a boundary.
    #[test]
    fn boundaries_are_between_characters_and_the_bytes_around_tell_them_apart() {
        let bytes = (0..=255).map(|byte: u8| vec![byte]);
        let tokens = ["é", "aé", "aéb"].map(|token| token.as_bytes().to_vec());
        let vocabulary = vocabulary_of(&bytes.chain(tokens).collect::<Vec<_>>());
        for (word, boundary) in
            [("aé", 3), ("aéb", 4), ("xaéb", 5), ("aè", 1), ("aéc", 3), ("éé", 2), ("日本", 3)]
        {
            let found = vocabulary.boundaries().next_boundary(word.as_bytes(), 0);
            assert_eq!(found, boundary, "{word}");
        }
    }
}
