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
use crate::bpe::tokens::MAX_TOKENS;
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

/// Codes that are compared at a time, where there are more than a few.
const LANES: usize = 16;
/// So many codes are compared one by one: a word seldom has more parts once what is certain is joined.
const FEW: usize = 8;

/// Bits of a place.
const PLACE: u32 = PLACES.ilog2();
const _: () = assert!(MAX_TOKENS <= 1 << (u32::BITS - PLACE - 1));

/// The code of a token that the part at a place makes with the next one.
#[inline(always)]
fn code(token: u32, at: usize) -> u32 {
    if token == NONE { NONE } else { token << PLACE | at as u32 }
}

/// A word while it is merged. Parts stand at the places from 1 to their number.
#[derive(Clone)]
pub struct Word {
    /// The token of each part.
    ids: [u32; PLACES],
    /// What each part makes with the next one: the token, and in the lowest bits the place, so that the
    /// least of all is the pair that the rule joins; [`NONE`] if nothing, and behind the last part.
    codes: [u32; PLACES + LANES],
    count: usize,
    /// A bit for each part whose code is not known yet.
    open: u64,
}

impl Default for Word {
    fn default() -> Self {
        Self { ids: [NONE; PLACES], codes: [NONE; PLACES + LANES], count: 0, open: 0 }
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
            *place(&mut self.codes, count + 1) =
                if is_first { NONE } else { code(token, count + 1) };
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
        if let Some(behind) = self.codes.get_mut(count..).and_then(<[u32]>::first_chunk_mut) {
            *behind = [NONE; LANES];
        }
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
            *place(&mut self.codes, at) = code(pairs.look_up(pair), at);
        }
    }

    /// Joins by the rule until nothing is left to join, and gives the ids in order, and how many there are.
    #[inline(always)]
    pub fn finish(&mut self, pairs: &Pairs, ids: &mut [u32; SHORT_BYTES]) -> usize {
        let count = self.count;
        let (mut next, mut before) = (NEXT, BEFORE);
        loop {
            let lowest = self.lowest();
            work::done();
            if lowest == NONE {
                break;
            }
            let (lowest, at) = (lowest >> PLACE, lowest as usize % PLACES);
            let joined = usize::from(*place(&mut next, at));
            let right = usize::from(*place(&mut next, joined));
            let left = usize::from(*place(&mut before, at));
            *place(&mut self.ids, at) = lowest;
            *place(&mut next, at) = right as u8;
            *place(&mut before, right) = at as u8;
            *place(&mut self.codes, joined) = NONE;
            *place(&mut self.codes, at) = code(pairs.join(lowest, self.id(right)), at);
            *place(&mut self.codes, left) = code(pairs.join(self.id(left), lowest), left);
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

    /// The least code.
    #[inline(always)]
    fn lowest(&self) -> u32 {
        if self.count <= FEW {
            // Parts begin at place 1. A word without parts, of which `begin` tells, has no codes.
            let codes = self.codes.get(1..self.count).unwrap_or(&[]);
            return codes.iter().fold(NONE, |least, &code| least.min(code));
        }
        let mut least = [NONE; LANES];
        for codes in self.codes.as_chunks::<LANES>().0.iter().take(self.count / LANES + 1) {
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
fn place<T, const COUNT: usize>(places: &mut [T; COUNT], at: usize) -> &mut T {
    const { assert!(COUNT >= PLACES) };
    debug_assert!(at < PLACES);
    #[expect(clippy::indexing_slicing, reason = "modulo the length: no check, no panic")]
    &mut places[at % PLACES]
}
