//! Byte-pair merges for a pretoken that is no token as a whole.
//!
//! The rule, as tiktoken has it: begin with single bytes; as long as two neighbours together are a
//! token, join the pair whose token has the lowest rank, the leftmost of equals. Both algorithms
//! below do exactly that. The first looks through all pairs at each step, which is fastest for the
//! usual few bytes; the second keeps the pairs in a heap and is O(n log n), for pretokens of any
//! length. `reference.rs` states the rule naively, and both are compared with it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::error::{Check, Error};
use crate::pieces::NONE;
use crate::vocab::Vocabulary;

/// Up to this many bytes, pretokens are merged by the simple loop, with one bit for each byte.
const SHORT: usize = 1 << SHORT_BITS;
const SHORT_BITS: u32 = 6;

/// Merge steps between two calls of `check`, some milliseconds.
const CHECK_STEPS: usize = 1 << 16;

/// Merges `pretoken` and gives each token's range and id, from left to right.
pub fn merge(
    vocabulary: &Vocabulary,
    pretoken: &[u8],
    check: &Check,
    emit: &mut impl FnMut(usize, usize, u32),
) -> Result<(), Error> {
    if pretoken.len() <= SHORT {
        merge_short(vocabulary, pretoken, emit);
        Ok(())
    } else {
        merge_long(vocabulary, pretoken, check, emit)
    }
}

/// Merges by looking through all pairs at each step. An entry of the two arrays belongs to the part
/// that begins at that byte.
pub(crate) fn merge_short(
    vocabulary: &Vocabulary,
    pretoken: &[u8],
    emit: &mut impl FnMut(usize, usize, u32),
) {
    let mut starts = Starts::all(pretoken.len());
    // The parts' tokens, and the pair of each part and the next: rank and start in one word, so
    // that the least word is the leftmost pair of the lowest rank.
    let (mut ids, mut pairs) = ([NONE; SHORT], [NONE; SHORT]);
    let word = |rank: u32, start: usize| match rank {
        NONE => NONE,
        rank => rank << SHORT_BITS | start as u32,
    };
    for (id, &byte) in ids.iter_mut().zip(pretoken) {
        *id = vocabulary.byte_id(byte);
    }
    let neighbours = pretoken.iter().zip(pretoken.iter().skip(1)).enumerate();
    for ((start, (&first, &second)), entry) in neighbours.zip(&mut pairs) {
        *entry = word(vocabulary.two_bytes(first, second), start);
    }
    let groups = pretoken.len().div_ceil(GROUP);
    let id_at = |ids: &[u32; SHORT], at: usize| ids.get(at).copied().unwrap_or(NONE);
    while let least = least(&pairs, groups)
        && least != NONE
    {
        let start = least as usize % SHORT;
        let id = least >> SHORT_BITS;
        let middle = starts.next(start);
        starts.remove(middle);
        let end = starts.next(start);
        let mut set = |at: usize, word: u32| {
            if let Some(entry) = pairs.get_mut(at) {
                *entry = word;
            }
        };
        set(middle, NONE);
        // Behind the last part there is no id, and so no pair.
        set(start, word(vocabulary.pair(id, id_at(&ids, end)), start));
        if let Some(before) = starts.previous(start) {
            set(before, word(vocabulary.pair(id_at(&ids, before), id), before));
        }
        if let Some(entry) = ids.get_mut(start) {
            *entry = id;
        }
    }
    let mut start = 0;
    while start < pretoken.len() {
        let end = starts.next(start);
        emit(start, end, id_at(&ids, start));
        start = end;
    }
}

/// Words that are compared at once.
const GROUP: usize = 8;

/// The least word of the first `groups` groups: the compiler compares each group in one or two steps.
#[inline(always)]
fn least(words: &[u32; SHORT], groups: usize) -> u32 {
    let mut least = [NONE; GROUP];
    for group in words.as_chunks::<GROUP>().0.iter().take(groups) {
        for (least, &word) in least.iter_mut().zip(group) {
            *least = word.min(*least);
        }
    }
    least.into_iter().min().unwrap_or(NONE)
}

/// Where the parts of a short pretoken begin: one bit for each byte.
struct Starts {
    bits: u64,
    length: usize,
}

impl Starts {
    /// A part at every byte; `length` is from 1 to 64.
    fn all(length: usize) -> Self {
        Self { bits: u64::MAX >> (SHORT - length.clamp(1, SHORT)), length }
    }

    fn remove(&mut self, at: usize) {
        self.bits &= !(1 << (at % SHORT));
    }

    /// Where the part behind that at `at` begins; the pretoken's end if it is the last.
    #[inline]
    fn next(&self, at: usize) -> usize {
        match self.bits & (u64::MAX - 1) << (at % SHORT) {
            0 => self.length,
            behind => behind.trailing_zeros() as usize,
        }
    }

    /// Where the part before that at `at` begins.
    #[inline]
    fn previous(&self, at: usize) -> Option<usize> {
        let before = self.bits & ((1 << (at % SHORT)) - 1);
        before.checked_ilog2().map(|bit| bit as usize)
    }
}

/// Merges with the pairs in a heap, for any length.
pub(crate) fn merge_long(
    vocabulary: &Vocabulary,
    pretoken: &[u8],
    check: &Check,
    emit: &mut impl FnMut(usize, usize, u32),
) -> Result<(), Error> {
    let boundaries = merged_boundaries(vocabulary, pretoken, check)?;
    let mut start = 0;
    while let Some(end) = boundaries.next(start) {
        emit(start, end, rank(vocabulary, pretoken, start, end));
        start = end;
    }
    Ok(())
}

/// The rank of `pretoken[start..end]`, or [`NONE`], also where that range does not exist.
#[inline]
fn rank(vocabulary: &Vocabulary, pretoken: &[u8], start: usize, end: usize) -> u32 {
    if end <= pretoken.len() { vocabulary.piece(pretoken, start, end) } else { NONE }
}

/// A pair in the heap: rank and start in one word, so that the least word is the leftmost pair of
/// the lowest rank. Ranks are below 2^20, so starts may have 44 bits.
type Pair = Reverse<u64>;
const START_BITS: u32 = 44;

/// Merges with a heap of pairs and a bit for each place where a part begins.
///
/// A rank determines its token and so its length: a pair from the heap is still there if its start
/// and its end are boundaries with exactly one boundary between. Otherwise a merge since has used
/// one of its parts, and it is dropped. Every pair that is there has been pushed when it came to be,
/// so the least one that is still there is the one that the rule asks for. Each merge pushes at most
/// two pairs, and looking for a neighbouring boundary takes no longer than the longest token.
fn merged_boundaries(
    vocabulary: &Vocabulary,
    pretoken: &[u8],
    check: &Check,
) -> Result<Boundaries, Error> {
    let mut boundaries = Boundaries::all(pretoken.len())?;
    let pair = |start: usize, end: usize| {
        let rank = rank(vocabulary, pretoken, start, end);
        (rank != NONE).then_some(Reverse(u64::from(rank) << START_BITS | start as u64))
    };
    let mut pairs: Vec<Pair> = Vec::new();
    pairs.try_reserve(pretoken.len())?;
    for start in 0..pretoken.len() {
        if start % CHECK_STEPS == 0 {
            check()?;
        }
        pairs.extend(pair(start, start + 2));
    }
    let mut heap = BinaryHeap::from(pairs);
    let mut steps = 0;
    while let Some(Reverse(word)) = heap.pop() {
        steps += 1;
        if steps % CHECK_STEPS == 0 {
            check()?;
        }
        let start = (word & ((1 << START_BITS) - 1)) as usize;
        let length = vocabulary.token((word >> START_BITS) as u32).map_or(0, <[u8]>::len);
        let end = start + length;
        let Some(middle) = boundaries.pair_at(start, end) else {
            continue;
        };
        boundaries.clear(middle);
        heap.try_reserve(2)?;
        heap.extend(boundaries.next(end).and_then(|next| pair(start, next)));
        heap.extend(boundaries.previous(start).and_then(|before| pair(before, end)));
    }
    Ok(boundaries)
}

/// One bit for each place in a pretoken, its end included: whether a part begins there.
struct Boundaries {
    words: Vec<u64>,
}

impl Boundaries {
    /// A boundary at every place from 0 to `length`.
    fn all(length: usize) -> Result<Self, Error> {
        let mut words = Vec::new();
        words.try_reserve_exact(length / 64 + 1)?;
        words.resize(length / 64, u64::MAX);
        words.push(u64::MAX >> (63 - length % 64));
        Ok(Self { words })
    }

    fn has(&self, at: usize) -> bool {
        self.words.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    fn clear(&mut self, at: usize) {
        if let Some(word) = self.words.get_mut(at / 64) {
            *word &= !(1 << (at % 64));
        }
    }

    /// The one boundary between the boundaries `start` and `end`; `None` if that is not so.
    fn pair_at(&self, start: usize, end: usize) -> Option<usize> {
        let middle = self.next(start).filter(|_| self.has(start))?;
        (self.next(middle) == Some(end)).then_some(middle)
    }

    /// The first boundary behind `at`.
    fn next(&self, at: usize) -> Option<usize> {
        let from = at + 1;
        let mut mask = u64::MAX << (from % 64);
        for (index, word) in (from / 64..).zip(self.words.get(from / 64..)?) {
            let found = word & mask;
            if found != 0 {
                return Some(index * 64 + found.trailing_zeros() as usize);
            }
            mask = u64::MAX;
        }
        None
    }

    /// The last boundary before `at`.
    fn previous(&self, at: usize) -> Option<usize> {
        let last = at.checked_sub(1)?;
        let mut mask = u64::MAX >> (63 - last % 64);
        for (index, word) in self.words.get(..=last / 64)?.iter().enumerate().rev() {
            let found = word & mask;
            if found != 0 {
                return Some(index * 64 + 63 - found.leading_zeros() as usize);
            }
            mask = u64::MAX;
        }
        None
    }
}
