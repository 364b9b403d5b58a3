//! Merging a word of up to 62 bytes: by the rule itself, from the parts that are certain.
//!
//! ```text
//! begin     joins what is certain (certain.rs), so that fewer parts are left
//! sieve     of each two neighbours: may they be joined? asks for the lines of those that may
//! look up   what they make
//! finish    the rule: the pair of the lowest rank, the leftmost of equals, until there is none
//! ```
//!
//! Each step is done for several words before the next one, so that what they wait for from memory
//! comes together. That short words are merged by running the rule, with what two bytes make in a table
//! of its own and pairs packed in lines behind a sieve, is how gigatoken and fastokens do it; the certain
//! merges are ours.

use crate::bpe::certain::{Bytes, Certain};
use crate::bpe::index::NONE;
use crate::bpe::pairs::Pairs;
use crate::work;

/// The longest word.
pub const SHORT_BYTES: usize = 62;
/// Places for parts: one more before the first and behind the last, and a power of two, so that a number
/// of a place is taken modulo it and needs no check.
const PLACES: usize = 64;
const _: () = assert!(SHORT_BYTES + 2 <= PLACES);

/// The number of the next place, and of the one before.
const NEXT: [u8; PLACES] = numbers(1);
const BEFORE: [u8; PLACES] = numbers(u8::MAX);

const fn numbers(added: u8) -> [u8; PLACES] {
    let mut numbers = [0; PLACES];
    let mut at = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
    while at < PLACES {
        numbers[at] = (at as u8).wrapping_add(added) % PLACES as u8;
        at += 1;
    }
    numbers
}

/// A word while it is merged. Parts stand at the places from 1 to their number.
#[derive(Clone)]
pub struct Word {
    /// The token of each part.
    ids: [u32; PLACES],
    /// The token that each part makes with the next one; [`NONE`] if none.
    codes: [u32; PLACES],
    count: usize,
    /// A bit for each part whose code is not known yet.
    open: u64,
}

impl Default for Word {
    fn default() -> Self {
        Self { ids: [NONE; PLACES], codes: [NONE; PLACES], count: 0, open: 0 }
    }
}

impl Word {
    /// The parts of a word of 1 to [`SHORT_BYTES`] bytes after all certain merges.
    ///
    /// Without a branch on what is certain, which can't be predicted: each byte's part
    /// is written where it stands if it is one, and the next byte's over it if it is not.
    #[inline(always)]
    pub fn begin(&mut self, certain: &Certain, word: &[u8]) {
        let (Some((&first, rest)), true) = (word.split_first(), word.len() <= SHORT_BYTES) else {
            // No parts, and no ids, which is an error where ids are taken.
            debug_assert!(false, "a word of {} bytes", word.len());
            self.count = 0;
            return;
        };
        let mut byte = first;
        let mut this = Bytes::NONE;
        let mut next = rest.first().map_or(Bytes::NONE, |&second| certain.two(first, second));
        let (mut count, mut single, mut is_second) = (0, 0u64, false);
        for at in 0..word.len() {
            let before = std::mem::replace(&mut this, next);
            next = match (rest.get(at), rest.get(at + 1)) {
                (Some(&x), Some(&y)) => certain.two(x, y),
                _ => Bytes::NONE,
            };
            let is_first = this.is_certain(before, next);
            let (token, one) = (this.token(), certain.one(byte));
            *place(&mut self.ids, count + 1) = if is_first { token } else { one };
            *place(&mut self.codes, count + 1) = if is_first { NONE } else { token };
            single |= u64::from(!is_first & !is_second) << (count + 1);
            count += usize::from(!is_second);
            is_second = is_first;
            // Behind the last byte there is none, and no turn that takes it.
            byte = rest.get(at).copied().unwrap_or(0);
        }
        self.count = count;
        // Beside the first and the last part there is nothing to be joined with.
        *place(&mut self.ids, 0) = NONE;
        *place(&mut self.ids, count + 1) = NONE;
        *place(&mut self.codes, count) = NONE;
        // What two single bytes make is known.
        self.open = !(single & single >> 1) & ((1 << count) - 2);
    }

    /// Leaves open only what may be joined, and asks for it.
    #[inline(always)]
    pub fn sieve(&mut self, pairs: &Pairs) {
        let mut rest = self.open;
        while rest != 0 {
            let at = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let pair = pairs.pair(self.id(at), self.id(at + 1));
            if pairs.may_join(pair) {
                pairs.prefetch(pair);
            } else {
                *place(&mut self.codes, at) = NONE;
                self.open &= !(1 << at);
            }
        }
    }

    /// Completes what was left open.
    #[inline(always)]
    pub fn look_up(&mut self, pairs: &Pairs) {
        while self.open != 0 {
            let at = self.open.trailing_zeros() as usize;
            self.open &= self.open - 1;
            let pair = pairs.pair(self.id(at), self.id(at + 1));
            *place(&mut self.codes, at) = pairs.look_up(pair);
        }
    }

    /// Joins by the rule until nothing is left to join, and gives the ids in order, and how many there are.
    #[inline(always)]
    pub fn finish(&mut self, pairs: &Pairs, ids: &mut [u32; SHORT_BYTES]) -> usize {
        let count = self.count;
        let (mut next, mut before) = (NEXT, BEFORE);
        loop {
            let (mut lowest, mut at) = (NONE, 0);
            for other in 1..count {
                let code = *place(&mut self.codes, other);
                if code < lowest {
                    (lowest, at) = (code, other);
                }
            }
            work::done();
            if lowest == NONE {
                break;
            }
            let joined = usize::from(*place(&mut next, at));
            let right = usize::from(*place(&mut next, joined));
            let left = usize::from(*place(&mut before, at));
            *place(&mut self.ids, at) = lowest;
            *place(&mut next, at) = right as u8;
            *place(&mut before, right) = at as u8;
            *place(&mut self.codes, joined) = NONE;
            *place(&mut self.codes, at) = pairs.join(lowest, self.id(right));
            *place(&mut self.codes, left) = pairs.join(self.id(left), lowest);
        }
        let (mut at, mut number) = (1, 0);
        while at <= count {
            if let Some(id) = ids.get_mut(number) {
                *id = self.id(at);
            }
            number += 1;
            at = usize::from(*place(&mut next, at));
        }
        number
    }

    /// All steps at once, for one word.
    pub fn merge(
        &mut self,
        certain: &Certain,
        pairs: &Pairs,
        word: &[u8],
        ids: &mut [u32; SHORT_BYTES],
    ) -> usize {
        self.begin(certain, word);
        self.sieve(pairs);
        self.look_up(pairs);
        self.finish(pairs, ids)
    }

    #[inline(always)]
    fn id(&self, at: usize) -> u32 {
        let [first, ..] = self.ids;
        self.ids.get(at % PLACES).map_or(first, |&id| id)
    }
}

/// A place by its number, which is below [`PLACES`].
#[inline(always)]
fn place<T>(places: &mut [T; PLACES], at: usize) -> &mut T {
    debug_assert!(at < PLACES);
    #[expect(clippy::indexing_slicing, reason = "modulo the length: no check, no panic")]
    &mut places[at % PLACES]
}
