//! Merging a word of up to 62 bytes: by the rule itself, after the merges that are certain.
//!
//! ```text
//! begin     joins what is certain (certain_merges.rs), so that fewer parts are left
//! filter    of each two neighbours: may they be joined? prefetches the lines of those that may
//! look_up   the token that they make
//! finish    the rule: the pair of the lowest rank, the leftmost of equals, until there is none
//! ```
//!
//! Each step is done for several words before the next one, so that the processor waits for all their
//! memory together. That short words are merged by running the rule, with a table for two bytes and
//! pairs packed in lines after a filter, is how gigatoken and fastokens do it. The certain merges are
//! new here.

use crate::bpe::certain_merges::{BytePair, CertainMerges};
use crate::bpe::index::NONE;
use crate::bpe::pairs::Pairs;
use crate::bpe::token_bytes::MAX_TOKENS;
use crate::steps;

/// The longest word.
pub const SHORT_BYTES: usize = 62;
/// Positions for parts: one more before the first part and one after the last. It is a power of two, so
/// that a position modulo it needs no check.
const POSITIONS: usize = 64;
const _: () = assert!(SHORT_BYTES + 2 <= POSITIONS);

/// The position after each, and that before it.
const NEXT: [u8; POSITIONS] = numbers(1);
const BEFORE: [u8; POSITIONS] = numbers(u8::MAX);

const fn numbers(added: u8) -> [u8; POSITIONS] {
    let mut numbers = [0; POSITIONS];
    let mut at = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
    while at < POSITIONS {
        numbers[at] = (at as u8).wrapping_add(added) % POSITIONS as u8;
        at += 1;
    }
    numbers
}

/// Codes that are compared at a time, if there are more than a few.
const CODES_AT_ONCE: usize = 16;
/// Up to so many codes are compared one by one: a word seldom has more parts after the certain merges.
const MAX_CODES_ONE_BY_ONE: usize = 8;

/// Bits of a position.
const POSITION_BITS: u32 = POSITIONS.ilog2();
const _: () = assert!(MAX_TOKENS <= 1 << (u32::BITS - POSITION_BITS - 1));

/// The code of the token that the part at a position makes with the next part.
#[inline(always)]
fn code(token: u32, at: usize) -> u32 {
    if token == NONE { NONE } else { token << POSITION_BITS | at as u32 }
}

/// A word while it is merged. Its parts are at the positions from 1 on.
#[derive(Clone)]
pub struct ShortMerge {
    /// The token of each part.
    ids: [u32; POSITIONS],
    /// The code of each part and the next one: the token that they make, and in the lowest bits the
    /// position, so that the least code is that of the pair that the rule joins. [`NONE`] if they make
    /// none, and after the last part.
    codes: [u32; POSITIONS + CODES_AT_ONCE],
    count: usize,
    /// A bit for each part whose code is not known yet.
    unresolved: u64,
}

impl Default for ShortMerge {
    fn default() -> Self {
        Self {
            ids: [NONE; POSITIONS],
            codes: [NONE; POSITIONS + CODES_AT_ONCE],
            count: 0,
            unresolved: 0,
        }
    }
}

impl ShortMerge {
    /// The parts of a word of 1 to [`SHORT_BYTES`] bytes after all certain merges.
    ///
    /// There is no branch on what is certain, which can't be predicted: each byte's part is written, and
    /// if it is not a part of its own, the part of the next byte is written over it.
    #[inline(always)]
    pub fn begin(&mut self, certain: &CertainMerges, word: &[u8]) {
        let (Some((&first, rest)), true) = (word.split_first(), word.len() <= SHORT_BYTES) else {
            // A word without parts gives no ids, which is an error where ids are taken.
            debug_assert!(false, "a word of {} bytes", word.len());
            self.count = 0;
            return;
        };
        let mut byte = first;
        let mut this = BytePair::UNKNOWN;
        let mut next =
            rest.first().map_or(BytePair::UNKNOWN, |&second| certain.pair(first, second));
        let (mut count, mut single, mut is_second) = (0, 0u64, false);
        for at in 0..word.len() {
            let before = std::mem::replace(&mut this, next);
            next = match (rest.get(at), rest.get(at + 1)) {
                (Some(&x), Some(&y)) => certain.pair(x, y),
                _ => BytePair::UNKNOWN,
            };
            let is_first = this.is_certain(before, next);
            let (token, single_token) = (this.token(), certain.byte_token(byte));
            *at_mut(&mut self.ids, count + 1) = if is_first { token } else { single_token };
            *at_mut(&mut self.codes, count + 1) =
                if is_first { NONE } else { code(token, count + 1) };
            single |= u64::from(!is_first & !is_second) << (count + 1);
            count += usize::from(!is_second);
            is_second = is_first;
            // After the last byte any value will do, since the loop ends.
            byte = rest.get(at).copied().unwrap_or(0);
        }
        self.count = count;
        // Before the first part and after the last one there is nothing to be joined with.
        *at_mut(&mut self.ids, 0) = NONE;
        *at_mut(&mut self.ids, count + 1) = NONE;
        match self.codes.get_mut(count..).and_then(<[u32]>::first_chunk_mut) {
            Some(after) => *after = [NONE; CODES_AT_ONCE],
            // There is room after as many parts as there may be. Without it there are no parts, so that no
            // ids come out, which is an error.
            None => {
                debug_assert!(false, "no room after {count} parts");
                self.count = 0;
            }
        }
        // The token that two single bytes make is known.
        self.unresolved = !(single & single >> 1) & ((1 << count) - 2);
    }

    /// Rules out pairs that make no token, and prefetches the lines of the others.
    #[inline(always)]
    pub fn filter(&mut self, pairs: &Pairs) {
        let mut rest = self.unresolved;
        while rest != 0 {
            let at = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let pair = pairs.pair(self.id(at), self.id(at + 1));
            if pairs.may_join(pair) {
                pairs.prefetch(pair);
            } else {
                *at_mut(&mut self.codes, at) = NONE;
                self.unresolved &= !(1 << at);
            }
        }
    }

    /// Looks up the pairs that are left.
    #[inline(always)]
    pub fn look_up(&mut self, pairs: &Pairs) {
        while self.unresolved != 0 {
            let at = self.unresolved.trailing_zeros() as usize;
            self.unresolved &= self.unresolved - 1;
            let pair = pairs.pair(self.id(at), self.id(at + 1));
            *at_mut(&mut self.codes, at) = code(pairs.look_up(pair), at);
        }
    }

    /// Joins by the rule until no pair is left. Writes the ids in order, and gives how many there are.
    #[inline(always)]
    pub fn finish(&mut self, pairs: &Pairs, ids: &mut [u32; SHORT_BYTES]) -> usize {
        let count = self.count;
        let (mut next, mut before) = (NEXT, BEFORE);
        loop {
            let lowest = self.lowest();
            steps::count();
            if lowest == NONE {
                break;
            }
            let (lowest, at) = (lowest >> POSITION_BITS, lowest as usize % POSITIONS);
            let joined = usize::from(*at_mut(&mut next, at));
            let right = usize::from(*at_mut(&mut next, joined));
            let left = usize::from(*at_mut(&mut before, at));
            *at_mut(&mut self.ids, at) = lowest;
            *at_mut(&mut next, at) = right as u8;
            *at_mut(&mut before, right) = at as u8;
            *at_mut(&mut self.codes, joined) = NONE;
            *at_mut(&mut self.codes, at) = code(pairs.join(lowest, self.id(right)), at);
            *at_mut(&mut self.codes, left) = code(pairs.join(self.id(left), lowest), left);
        }
        let (mut at, mut number) = (1, 0);
        while at <= count {
            // If there were more parts than `ids` has room for, the caller would see it from the number.
            if let Some(id) = ids.get_mut(number) {
                *id = self.id(at);
            }
            number += 1;
            at = usize::from(*at_mut(&mut next, at));
        }
        number
    }

    /// The least code.
    #[inline(always)]
    fn lowest(&self) -> u32 {
        if self.count <= MAX_CODES_ONE_BY_ONE {
            // Parts begin at position 1. A word without parts, which `begin` asserts against, has no codes.
            let codes = self.codes.get(1..self.count).unwrap_or(&[]);
            return codes.iter().fold(NONE, |least, &code| least.min(code));
        }
        let mut least = [NONE; CODES_AT_ONCE];
        for codes in
            self.codes.as_chunks::<CODES_AT_ONCE>().0.iter().take(self.count / CODES_AT_ONCE + 1)
        {
            for (least, &code) in least.iter_mut().zip(codes) {
                *least = code.min(*least);
            }
        }
        least.into_iter().fold(NONE, u32::min)
    }

    /// All steps at once, for one word.
    #[inline(always)]
    pub fn merge(
        &mut self,
        certain: &CertainMerges,
        pairs: &Pairs,
        word: &[u8],
        ids: &mut [u32; SHORT_BYTES],
    ) -> usize {
        self.begin(certain, word);
        self.filter(pairs);
        self.look_up(pairs);
        self.finish(pairs, ids)
    }

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "modulo the length: no check, no panic")]
    fn id(&self, at: usize) -> u32 {
        debug_assert!(at < POSITIONS);
        self.ids[at % POSITIONS]
    }
}

/// The item at a position, which is below [`POSITIONS`].
#[inline(always)]
fn at_mut<T, const COUNT: usize>(array: &mut [T; COUNT], at: usize) -> &mut T {
    const { assert!(COUNT >= POSITIONS) };
    debug_assert!(at < POSITIONS);
    #[expect(clippy::indexing_slicing, reason = "modulo the length: no check, no panic")]
    &mut array[at % POSITIONS]
}
