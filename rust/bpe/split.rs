//! What merging needs to know of a token: how it is formed, and what it may be joined with.

use crate::bpe::token_bytes::MAX_TOKENS;

/// The two tokens that are joined last when a token's bytes are merged alone, and which tokens it may be
/// joined with. One word, so that the splits of many tokens stay near the processor.
///
/// From the lowest bit: the right one of the two, the left one, whether the token is irregular; then, as
/// sets of hashes, the tokens that it is joined with after it, and before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Split(u64);

impl Split {
    /// Bits of an id.
    const BITS: u32 = 20;
    const MASK: u32 = (1 << Self::BITS) - 1;
    /// The bits of both tokens.
    const SPLIT: u64 = (1 << (2 * Self::BITS)) - 1;
    const BYTE: Self = Self::of(Self::MASK, Self::MASK);
    /// The split of a token that merging does not give, and which only a whole pretoken can be.
    pub const NEVER: Self = Self::of(Self::MASK, 0);
    /// Some part of the token, or a part of a part, ranks above what it is a part of.
    const IRREGULAR: u64 = 1 << (2 * Self::BITS);
    const AFTER: u32 = 2 * Self::BITS + 1;
    const BEFORE: u32 = Self::AFTER + Self::AFTER_HASHES;
    /// How many hash values the sets have. More tokens come before a token than after it.
    const AFTER_HASHES: u32 = 11;
    const BEFORE_HASHES: u32 = u64::BITS - Self::BEFORE;

    /// Says that the token is a single byte.
    pub fn set_byte(&mut self) {
        self.0 |= Self::BYTE.0;
    }

    /// Says which two tokens are joined last, and whether all parts rank below what they are parts of.
    pub fn set_parts(&mut self, left: u32, right: u32, is_regular: bool) {
        let flag = if is_regular { 0 } else { Self::IRREGULAR };
        self.0 = self.0 & !Self::SPLIT | Self::of(left, right).0 | flag;
    }

    /// Says that the token is joined with another one after it.
    pub fn add_after(&mut self, token: u32) {
        self.0 |= Self::after(token);
    }

    /// Says that the token is joined with another one before it.
    pub fn add_before(&mut self, token: u32) {
        self.0 |= Self::before(token);
    }

    /// Whether two tokens may be joined. If it says that they are not, that is certain.
    #[inline(always)]
    pub fn may_join((left, before): (u32, Self), (right, after): (u32, Self)) -> bool {
        (before.0 & Self::after(right) != 0) & (after.0 & Self::before(left) != 0)
    }

    const fn of(left: u32, right: u32) -> Self {
        Self((left as u64) << Self::BITS | right as u64)
    }

    /// Whether the token is a single byte.
    #[inline(always)]
    pub fn is_byte(self) -> bool {
        self.0 & Self::SPLIT == Self::BYTE.0
    }

    /// Whether merging gives the token.
    #[inline(always)]
    pub fn is_reached(self) -> bool {
        self.0 & Self::SPLIT != Self::NEVER.0
    }

    /// Whether every part in the token ranks below what it is a part of.
    #[inline(always)]
    pub fn is_regular(self) -> bool {
        self.0 & Self::IRREGULAR == 0
    }

    /// The left one of the two, for a token that merging forms of two.
    #[inline(always)]
    pub fn left(self) -> u32 {
        (self.0 >> Self::BITS) as u32 & Self::MASK
    }

    /// The right one.
    #[inline(always)]
    pub fn right(self) -> u32 {
        self.0 as u32 & Self::MASK
    }

    /// The bit for a token after this one.
    #[inline(always)]
    fn after(token: u32) -> u64 {
        1 << (Self::AFTER + Self::hash(token, Self::AFTER_HASHES))
    }

    /// The bit for a token before this one.
    #[inline(always)]
    fn before(token: u32) -> u64 {
        1 << (Self::BEFORE + Self::hash(token, Self::BEFORE_HASHES))
    }

    #[inline(always)]
    fn hash(token: u32, count: u32) -> u32 {
        ((u64::from(token.wrapping_mul(0x9E37_79B1)) * u64::from(count)) >> 32) as u32
    }
}

const _: () = assert!(MAX_TOKENS < Split::MASK as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_may_be_joined_if_both_were_said_to_be_and_no_others() {
        let (mut left, mut right, other) = (Split(0), Split(0), Split(0));
        assert!(!Split::may_join((1, left), (2, right)));
        left.add_after(2);
        assert!(!Split::may_join((1, left), (2, right)));
        right.add_before(1);
        assert!(Split::may_join((1, left), (2, right)));
        assert!(!Split::may_join((1, left), (2, other)));
        assert!(!Split::may_join((1, other), (2, right)));
    }

    #[test]
    fn the_parts_of_a_token_are_those_that_were_set_and_so_is_whether_it_is_regular() {
        for is_regular in [false, true] {
            let mut split = Split(0);
            split.set_parts(3, 7, is_regular);
            assert_eq!((split.left(), split.right(), split.is_regular()), (3, 7, is_regular));
            assert!(split.is_reached() && !split.is_byte());
        }
    }
}
