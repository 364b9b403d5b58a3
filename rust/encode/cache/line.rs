//! A line of the cache, as the processor reads it: two short pretokens with few ids, or one of the others.
//!
//! ```text
//! word     0        1        2        3        4        5        6        7
//! halves   key a b          ids p q           key a b          ids p q
//! whole    ids p    ids q    key c d          ids r    ids s    key a b
//!
//! In the last byte of a half's word b stands the length of its pretoken, 0 if the half is free; in that of words
//! 1 and 5 of a whole line what no length is.
//! Ids have 20 bits. Of the words p q, they are p0 q0 p1 q1 p2, from the lowest bits on, and of r s likewise; so
//! the last byte of q and of s is free. In the highest bits of p stands how many there are.
//! ```
//!
//! So one comparison of all words with a b c d a b a b answers for both halves and for the whole: the first two
//! are the same, or the fifth and sixth, or the others. For the last byte of a key's b is neither 0 nor what
//! marks a whole line: it is a length from 1 to 31, or what stands for a longer one. So words 1 and 5 of a
//! whole line are no b, a free half has none, and neither is word 7 of a line of halves, whose last byte is 0 (it
//! is ids, or how many ids a record has). A half needs no c and d: where the length in b is at most 15, they
//! are zero.

use std::hint::select_unpredictable;

use crate::bpe::token_bytes::MAX_TOKENS;
use crate::encode::cache::cache_key::{
    CacheKey, HASHED, LENGTH, MAX_EXACT_KEY_BYTES, MAX_HALF_KEY_BYTES,
};
use crate::encode::sink::Sink;
use crate::error::Error;
use crate::machine::lanes::Lanes;
use crate::machine::lanes::portable::Portable;

/// Ids that a half holds at most.
const MAX_HALF_IDS: usize = 5;
/// The same of a whole line.
pub const MAX_LINE_IDS: usize = 2 * MAX_HALF_IDS;

const ID_BITS: u32 = 20;
const ID: u64 = (1 << ID_BITS) - 1;
const _: () = assert!(MAX_TOKENS <= 1 << ID_BITS);
/// Where the count stands, above the ids of a word.
const COUNT: u32 = 3 * ID_BITS;
/// In place of the number of ids: they are in the ring.
const IN_RING: u64 = 15;
/// In words 1 and 5 of a whole line, where a half would have its length.
const WHOLE: u64 = 0xFE << LENGTH;
// No key's length is like it, nor what stands for one, and it stands above two ids.
const _: () = assert!(HASHED << LENGTH != WHOLE && (MAX_EXACT_KEY_BYTES as u64) < WHOLE >> LENGTH);
const _: () = assert!(WHOLE >> (2 * ID_BITS) << (2 * ID_BITS) == WHOLE);

/// What is known of a key: its ids, where they are, or nothing.
#[derive(Clone, Copy, Default)]
pub struct CachedIds([u64; 4]);

impl CachedIds {
    /// 1 to [`MAX_LINE_IDS`] ids.
    pub fn few(ids: &[u32]) -> Self {
        let mut words = [0; 4];
        for (at, &id) in ids.iter().take(MAX_LINE_IDS).enumerate() {
            let (half, at) = (at / MAX_HALF_IDS, at % MAX_HALF_IDS);
            if let Some(word) = words.get_mut(2 * half + at % 2) {
                *word |= u64::from(id) << (ID_BITS * (at / 2) as u32);
            }
        }
        let [first, ..] = &mut words;
        *first |= (ids.len() as u64) << COUNT;
        Self(words)
    }

    /// A record of the ring, which has `count` ids.
    pub fn in_ring(record: u64, count: usize) -> Self {
        debug_assert!(record < 1 << COUNT);
        Self([record | IN_RING << COUNT, count as u64, 0, 0])
    }

    #[inline(always)]
    fn tag(&self) -> u64 {
        let [first, ..] = self.0;
        first >> COUNT
    }

    /// How many ids it has; 0 also if they are in the ring.
    #[inline(always)]
    pub fn count(&self) -> usize {
        if self.is_in_ring() { 0 } else { self.tag() as usize }
    }

    /// Whether it has ids.
    #[inline(always)]
    pub fn has_ids(&self) -> bool {
        self.count() > 0
    }

    /// Whether it has no ids, nor says where they are.
    #[inline(always)]
    pub fn is_none(&self) -> bool {
        self.tag() == 0
    }

    /// Whether its ids are in the ring.
    #[inline(always)]
    pub fn is_in_ring(&self) -> bool {
        self.tag() == IN_RING
    }

    /// Where the record in the ring is, and how many ids it has.
    pub fn record(&self) -> (u64, usize) {
        let [record, count, ..] = self.0;
        // The second word as a whole line has it.
        (record & ((1 << COUNT) - 1), (count & !WHOLE) as usize)
    }

    /// Gives its ids to `sink`.
    #[inline(always)]
    pub fn emit(&self, sink: &mut impl Sink) -> Result<(), Error> {
        let part = |number: u32| self.0.map(|word| (word >> (ID_BITS * number) & ID) as u32);
        let ([a, b, f, g], [c, d, h, i], [e, _, j, _]) = (part(0), part(1), part(2));
        sink.take_first(&[a, b, c, d, e, f, g, h, i, j], self.count())
    }
}

/// Two halves, or a whole.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
pub struct CacheLine([u64; 8]);

static EMPTY: CacheLine = CacheLine([0; 8]);

/// Where the ids of a key begin in a line that has it: the number of a word.
const FIRST: u8 = 2;
const SECOND: u8 = 6;
const ALL: u8 = 0;
/// The line does not have it.
const NOWHERE: u8 = 8;

/// By the words that are the same.
static FOUND: [u8; 256] = {
    let mut table = [NOWHERE; 256];
    let mut same = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
    while same < 256 {
        if same & 0b0000_0011 == 0b0000_0011 {
            table[same] = FIRST;
        } else if same & 0b0011_0000 == 0b0011_0000 {
            table[same] = SECOND;
        } else if same & 0b1100_1100 == 0b1100_1100 {
            table[same] = ALL;
        }
        same += 1;
    }
    table
};

impl CacheLine {
    #[inline(always)]
    fn is_whole(&self) -> bool {
        let [_, word, ..] = self.0;
        word & WHOLE == WHOLE
    }

    /// A bit for each half that is taken.
    #[inline(always)]
    pub fn taken(&self) -> usize {
        let [_, first, _, _, _, second, _, _] = self.0;
        usize::from(first != 0) | usize::from(second != 0) << 1
    }

    /// Where the ids of a key begin.
    #[inline(always)]
    fn find<L: Lanes>(&self, lanes: L, CacheKey(key): &CacheKey) -> u8 {
        FOUND.get(usize::from(lanes.cache_key_matches(&self.0, key))).copied().unwrap_or(NOWHERE)
    }

    /// Which half has a key, or begins a whole line that has it.
    #[inline(always)]
    pub fn half_of(&self, key: &CacheKey) -> Option<usize> {
        match self.find(Portable, key) {
            NOWHERE => None,
            from => Some(usize::from(from == SECOND)),
        }
    }

    /// What two lines know of a key, and in which of them it is.
    ///
    /// Without a branch, since whether and where it is, is as good as random.
    #[inline(always)]
    pub fn known<L: Lanes>(
        &self,
        other: &Self,
        lanes: L,
        key: &CacheKey,
    ) -> (CachedIds, [bool; 2]) {
        let (here, there) = (self.find(lanes, key), other.find(lanes, key));
        let (is_here, is_there) = (here != NOWHERE, there != NOWHERE);
        let line = select_unpredictable(is_there, other, &EMPTY);
        let Self(words) = select_unpredictable(is_here, self, line);
        // Nowhere in either: at the beginning of no line.
        let from = usize::from(select_unpredictable(is_here, here, there) % NOWHERE);
        let whole = select_unpredictable(from == usize::from(ALL), u64::MAX, 0);
        let &[_, _, _, _, r, s, _, _] = words;
        let &[p, q] = words.get(from..).and_then(|words| words.first_chunk()).unwrap_or(&[0; 2]);
        (CachedIds([p, q, r & whole, s & whole]), [is_here, is_there])
    }

    /// What stands in it.
    pub fn entries(&self) -> [Option<(CacheKey, CachedIds)>; 2] {
        let [a, b, c, d, e, f, g, h] = self.0;
        if self.is_whole() {
            return [
                Some((CacheKey([g, h, c, d]), CachedIds([a, b & !WHOLE, e, f & !WHOLE]))),
                None,
            ];
        }
        let half = |[a, b, c, d]: [u64; 4]| {
            (b != 0).then_some((CacheKey([a, b, 0, 0]), CachedIds([c, d, 0, 0])))
        };
        [half([a, b, c, d]), half([e, f, g, h])]
    }

    /// Writes an entry into the whole line, or if it [`fits_half`] into the first half or the second. Whatever
    /// stood there is gone.
    ///
    /// Without a branch, since neither how long a word is can be predicted, nor where there is room.
    #[inline(always)]
    pub fn put(&mut self, half: usize, key: CacheKey, known: CachedIds) {
        let (CacheKey([a, b, c, d]), CachedIds([p, q, r, s])) = (key, known);
        let kept = select_unpredictable(self.is_whole(), 0, u64::MAX);
        let [e, f, g, h, i, j, k, l] = self.0.map(|word| word & kept);
        let is_half = fits_half(key, known);
        let (first, second) = (is_half & (half == 0), is_half & (half == 1));
        let pick = |is_first: bool, entry: u64, old: u64, whole: u64| {
            let half = select_unpredictable(is_first, entry, old);
            select_unpredictable(is_half, half, whole)
        };
        self.0 = [
            pick(first, a, e, p),
            pick(first, b, f, q | WHOLE),
            pick(first, p, g, c),
            pick(first, q, h, d),
            pick(second, a, i, r),
            pick(second, b, j, s | WHOLE),
            pick(second, p, k, a),
            pick(second, q, l, b),
        ];
    }
}

/// Whether a key and its ids have no more than two words each.
#[inline(always)]
pub fn fits_half(key: CacheKey, known: CachedIds) -> bool {
    let CacheKey([_, second, ..]) = key;
    (second >> LENGTH <= MAX_HALF_KEY_BYTES as u64) & (known.count() <= MAX_HALF_IDS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bpe::index::Seed;
    use crate::machine::code_path::CodePath;
    use crate::machine::lanes::Vectorized;
    use crate::text::span::Span;

    struct LookUp<'a>(&'a CacheLine, &'a CacheLine, CacheKey);

    impl Vectorized for LookUp<'_> {
        type Output = (CachedIds, [bool; 2]);

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Self::Output {
            self.0.known(self.1, lanes, &self.2)
        }
    }

    /// What a line knows of a key, on all paths, and whether it stands before an empty one or after it.
    fn look_up(line: &CacheLine, key: CacheKey) -> Option<[u64; 4]> {
        let found = line.half_of(&key).is_some();
        for path in CodePath::available() {
            let (known, places) = path.run(LookUp(line, &EMPTY, key));
            assert_eq!(places, [found, false], "{}", path.name());
            let (after, places) = path.run(LookUp(&EMPTY, line, key));
            assert_eq!((after.0, places), (known.0, [false, found]), "{}", path.name());
            assert_eq!(known.is_none(), !found);
        }
        let (known, _) = CodePath::SCALAR.run(LookUp(line, &EMPTY, key));
        found.then_some(known.0)
    }

    /// The key of a pretoken whose bytes are those of some words.
    fn key_of(words: [u64; 4], length: usize) -> CacheKey {
        let [a, b, c, d] = words.map(u64::to_le_bytes);
        let text = [&a[..], &b[..7], &c[..], &d[..]].concat();
        CacheKey::new(&text.repeat(2), Span { start: 0, end: length }, Seed::random())
    }

    fn ids_of(known: CachedIds) -> Vec<u32> {
        let mut ids = Vec::new();
        known.emit(&mut ids).unwrap();
        ids
    }

    fn is_same(known: CachedIds, other: CachedIds) -> bool {
        let is_in_ring = known.is_in_ring() && known.record() == other.record();
        known.tag() == other.tag() && (is_in_ring || ids_of(known) == ids_of(other))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn a_line_has_what_was_put_last_and_nothing_else(
            puts in prop::collection::vec(
                (any::<[u64; 4]>(), 1..40usize, prop::collection::vec(0..1u32 << 20, 1..14), 0..2usize),
                1..6,
            ),
        ) {
            let mut line = CacheLine::default();
            // What should stand in each half, or in both.
            let mut there: [Option<(CacheKey, CachedIds, Vec<u32>)>; 2] = [None, None];
            let mut keys = Vec::new();
            for (words, length, ids, half) in puts {
                let key = key_of(words, length);
                let known = if ids.len() > MAX_LINE_IDS {
                    CachedIds::in_ring(words[0] >> 4, ids.len())
                } else {
                    CachedIds::few(&ids)
                };
                keys.push(key);
                let half = line.half_of(&key).unwrap_or(half);
                line.put(half, key, known);
                if !fits_half(key, known) {
                    there = [Some((key, known, ids)), None];
                } else {
                    if there[0].as_ref().is_some_and(|(key, known, _)| !fits_half(*key, *known)) {
                        there = [None, None];
                    }
                    there[half] = Some((key, known, ids));
                }
                let is_whole = line.is_whole();
                let taken = there.iter().flatten().count() * (1 + usize::from(is_whole));
                prop_assert_eq!(line.taken().count_ones() as usize, taken);
                // What stands there is found, with its ids or where they are.
                for (key, known, ids) in there.iter().flatten() {
                    let found = CachedIds(look_up(&line, *key).unwrap());
                    prop_assert!(is_same(found, *known));
                    prop_assert!(known.is_in_ring() || &ids_of(found) == ids);
                }
                // And is all that moves when the cache grows.
                let mut moved: Vec<_> = line.entries().into_iter().flatten().collect();
                for (key, _, _) in there.iter().flatten() {
                    let at = moved.iter().position(|(other, _)| other == key).unwrap();
                    let (key, known) = moved.swap_remove(at);
                    prop_assert!(is_same(CachedIds(look_up(&line, key).unwrap()), known));
                }
                prop_assert!(moved.is_empty());
                // Nothing else is, even if its bytes are those of keys or ids in the line.
                let words = line.0;
                for at in 0..words.len() * words.len() {
                    let (i, j) = (at / words.len(), at % words.len());
                    for length in [8, 15, 16, 31, 40] {
                        keys.push(key_of([words[i], words[j], 0, 0], length));
                        keys.push(key_of([words[i], words[j], words[2], words[3]], length));
                    }
                }
                for key in keys.drain(..) {
                    if !there.iter().flatten().any(|(other, _, _)| *other == key) {
                        prop_assert_eq!(look_up(&line, key), None);
                    }
                }
            }
        }
    }
}
