//! Pairs of bytes that merging joins in any case, which the bytes on either side tell.
//!
//! Let `a b c d` be four bytes of a word, where `b c` is a token, of rank `r`. Only the two pairs that
//! `b` and `c` make with their other neighbours can keep them apart. Write
//!
//! - `L(a, b)` for the lowest rank of a token whose last merge joins something that ends in `a` and just `b`,
//! - `R(c, d)` for the lowest rank of a token whose last merge joins just `c` and something that begins
//!   with `d`.
//!
//! **Lemma.** If `r < L(a, b)` and `r < R(c, d)`, and no token of which `b c` is a part ranks below `r`,
//! then merging gives the same with `b c` joined beforehand, and so with all such pairs of a word joined
//! beforehand. (`L` and `R` are infinite where there is no such token, or no byte.)
//!
//! *Proof.* (1) As long as `b` and `c` are parts of their own, the pair chosen next has at most rank
//! `r`. A merge that takes `b` to the left makes a token whose last merge has just `b` on its right and
//! ends in `a` on its left (a token is always formed by its one split, see `pairs.rs`), so it has at
//! least rank `L(a, b)`, above `r`; and likewise for `c`. So `b` and `c` are joined with each other. (2)
//! Two such pairs do not overlap: from `a b` and `b c` follows r(ab) < R(b, c) <= r(bc) < L(a, b) <=
//! r(ab). (3) Let `C` be the set of all such pairs. Claim: the state of a run that begins with `C`
//! joined is that of the plain run with the rest of `C` joined. Let the plain run choose a pair outside
//! `C`, of rank `q`; `q` is at most the rank of each pair of `C` not joined yet. A pair that exists only
//! in the other run has a part that is such a pair, so it ranks above that pair's rank by the third
//! condition, thus above `q`. A pair that exists only in the plain run has just `b` or just `c`, so it
//! ranks above `q`, too, by (1). So both runs choose the same pair, the leftmost of equals, and by
//! induction both end with the same parts. ∎
//!
//! The lemma does not assume that parts rank below their whole. `bpe/tests.rs` compares by brute force,
//! with random vocabularies of random ranks and with Meta's.

use crate::bpe::boxed_array;
use crate::bpe::index::NONE;
use crate::bpe::token_bytes::MAX_TOKENS;
use crate::bpe::token_table::TokenTable;
use crate::error::{Error, always};
use crate::text::span::Span;

/// What is known of two bytes `x y`. From the lowest bit: the rank of `x y`, `L(x, y)` and `R(x, y)`, of
/// 21 bits each; then [`EXCLUDED`].
#[derive(Clone, Copy)]
pub struct BytePair(u64);

/// A rank that no token has.
const INFINITE: u64 = (1 << 21) - 1;
const _: () = assert!((MAX_TOKENS as u64) < INFINITE);
const LEFT: u32 = 21;
const RIGHT: u32 = 42;
/// A token with the part `x y` ranks below it, so it is never certain.
const EXCLUDED: u64 = 1 << 63;

impl BytePair {
    /// Of two bytes that no token has, or of which one is missing.
    pub const UNKNOWN: Self = Self(INFINITE | INFINITE << LEFT | INFINITE << RIGHT);

    fn lower_rank(&mut self, shift: u32, rank: u32) {
        if u64::from(rank) < self.0 >> shift & INFINITE {
            self.0 = self.0 & !(INFINITE << shift) | u64::from(rank) << shift;
        }
    }

    /// The token that the two are, or [`NONE`].
    #[inline(always)]
    pub fn token(self) -> u32 {
        let rank = self.0 & INFINITE;
        if rank == INFINITE { NONE } else { rank as u32 }
    }

    /// Whether the two are joined in any case. `before` is known of the byte before them and the first,
    /// `after` of the second and the byte after them.
    #[inline(always)]
    pub fn is_certain(self, before: Self, after: Self) -> bool {
        let rank = self.0 & INFINITE;
        (self.0 & EXCLUDED == 0)
            & (rank < before.0 >> LEFT & INFINITE)
            & (rank < after.0 >> RIGHT & INFINITE)
    }
}

const NO_PART: &str = "a token that two others make does not have the bytes of both";

/// What is known of each two bytes, and the token of each byte. 512 KB, of which 64 KB are for ASCII.
pub struct CertainMerges {
    pairs: Box<[BytePair; 1 << 16]>,
    byte_tokens: [u32; 256],
}

impl CertainMerges {
    /// Needs the splits of the tokens, and that each byte is a token.
    pub fn build(table: &TokenTable) -> Result<Self, Error> {
        let tokens = table.tokens();
        let byte_tokens =
            std::array::from_fn(|byte| table.find(&[byte as u8], Span { start: 0, end: 1 }));
        let mut certain = Self { pairs: boxed_array(BytePair::UNKNOWN), byte_tokens };
        // Both are looked up for each token, so they are small: a bit for each token, and the bytes of
        // the token itself.
        let mut is_byte = vec![0u64; tokens.len().div_ceil(64)];
        for id in byte_tokens {
            *always(is_byte.get_mut(id as usize / 64), "a byte is not a token")? |= 1 << (id % 64);
        }
        // Each token has a bit, and each part is a token.
        let is_byte =
            |id: u32| is_byte.get(id as usize / 64).is_some_and(|word| word >> (id % 64) & 1 == 1);
        let mut is_excluded = vec![false; tokens.len()];
        for (id, token) in tokens.iter() {
            let split = table.split(id);
            if split.is_byte() || !split.is_reached() {
                continue;
            }
            let (left, right) = (split.left(), split.right());
            for part in [left, right].into_iter().filter(|&part| part > id) {
                *always(is_excluded.get_mut(part as usize), NO_PART)? = true;
            }
            let &[w, x] = always(token.first_chunk(), NO_PART)?;
            let &[y, z] = always(token.last_chunk(), NO_PART)?;
            if is_byte(right) {
                certain.pair_mut(y, z).lower_rank(LEFT, id);
            }
            if is_byte(left) {
                certain.pair_mut(w, x).lower_rank(RIGHT, id);
            }
            if token.len() == 2 {
                certain.pair_mut(w, x).lower_rank(0, id);
            }
        }
        for pair in certain.pairs.iter_mut() {
            // Most pairs are not a token.
            if is_excluded.get(pair.token() as usize) == Some(&true) {
                pair.0 |= EXCLUDED;
            }
        }
        Ok(certain)
    }

    /// What is known of two bytes.
    #[inline(always)]
    pub fn pair(&self, x: u8, y: u8) -> BytePair {
        #[expect(clippy::indexing_slicing, reason = "16 bits, as many as there are: no check")]
        self.pairs[usize::from(u16::from_be_bytes([x, y]))]
    }

    fn pair_mut(&mut self, x: u8, y: u8) -> &mut BytePair {
        #[expect(clippy::indexing_slicing, reason = "16 bits, as many as there are: no check")]
        &mut self.pairs[usize::from(u16::from_be_bytes([x, y]))]
    }

    /// The token of a byte.
    #[inline(always)]
    pub fn byte_token(&self, byte: u8) -> u32 {
        #[expect(clippy::indexing_slicing, reason = "8 bits, as many as there are: no check")]
        self.byte_tokens[usize::from(byte)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpe::split::Split;
    use crate::bpe::token_bytes::TokenBytes;
    use crate::error::tests::sees_a_fault;

    #[test]
    fn tokens_that_contradict_each_other_are_an_error_and_not_left_out() {
        let build = |bytes: u16, split: Split| {
            let mut tokens = TokenBytes::default();
            (0..bytes).for_each(|byte| tokens.push(&[byte as u8]).unwrap());
            let mut splits = vec![Split::NEVER; tokens.len()];
            splits[0] = split;
            let mut table = TokenTable::build(tokens).ok().unwrap();
            table.set_splits(splits).unwrap();
            CertainMerges::build(&table).map(|_| ())
        };
        assert!(build(256, Split::NEVER).is_ok());
        // A byte that is not a token, a single byte that two tokens make, and a part that is not a token.
        assert!(sees_a_fault(|| build(255, Split::NEVER)));
        let made_of = |left, right| {
            let mut split = Split::NEVER;
            split.set_parts(left, right, true);
            split
        };
        assert!(sees_a_fault(|| build(256, made_of(1, 2))));
        assert!(sees_a_fault(|| build(256, made_of(1, 256))));
    }
}
