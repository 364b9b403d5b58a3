//! A line of the cache, which is one line of the processor's cache, 64 bytes. It holds two short
//! entries, a half each, or one longer entry.
//!
//! ```text
//! word     0        1        2        3        4        5        6        7
//! halves   key a    key b    ids p    ids q    key a    key b    ids p    ids q
//! whole    ids p    ids q    key c    key d    ids r    ids s    key a    key b
//!
//! The last byte of word b of a key is the length of the pretoken (cache_key.rs). In a free half it is 0.
//! The last byte of words 1 and 5 of a whole line is 0xFE, which is never a length.
//! Ids have 20 bits. In the words p and q they are p0 q0 p1 q1 p2, from the lowest bits on, and likewise in
//! r and s. So the last bytes of q and s are not used by ids. The highest bits of p are the number of ids.
//! ```
//!
//! One comparison of all words with a b c d a b a b finds a key in the first half (words 0 and 1 are the
//! same), in the second half (words 4 and 5), or in a whole line (words 2, 3, 6 and 7). No other words
//! are taken for a key, since the last byte of b is a length from 1 to 31, or 0xFF for longer pretokens:
//!
//! - words 1 and 5 of a whole line have 0xFE there, and in a free half it is 0;
//! - word 7 of a line of halves has 0 there: it holds ids, or the number of ids of a record.
//!
//! A half needs no words c and d: they are zero for all lengths up to 15.

use std::hint::select_unpredictable;

use bytemuck::{Pod, Zeroable};

use crate::bpe::token_bytes::MAX_TOKENS;
use crate::encode::cache::cache_key::{
    CacheKey, HASHED, LENGTH, MAX_EXACT_KEY_BYTES, MAX_HALF_KEY_BYTES,
};
use crate::encode::cache::ring::Record;
use crate::encode::sink::Sink;
use crate::error::Error;
use crate::machine::lanes::Lanes;
use crate::machine::lanes::portable::Portable;

/// The most ids that a half can hold.
const MAX_HALF_IDS: usize = 5;
/// The most ids that a whole line can hold.
pub const MAX_LINE_IDS: usize = 2 * MAX_HALF_IDS;

const ID_BITS: u32 = 20;
const ID: u64 = (1 << ID_BITS) - 1;
const _: () = assert!(MAX_TOKENS <= 1 << ID_BITS);
/// The bits of word p above its ids: how many ids there are.
const COUNT: u32 = 3 * ID_BITS;
/// In place of the number of ids: the ids are in the ring.
const IN_RING: u64 = 15;
/// The last byte of words 1 and 5 of a whole line.
const WHOLE: u64 = 0xFE << LENGTH;
// It is neither a length nor `HASHED`, and leaves room for two ids below it.
const _: () = assert!(HASHED << LENGTH != WHOLE && (MAX_EXACT_KEY_BYTES as u64) < WHOLE >> LENGTH);
const _: () = assert!(WHOLE >> (2 * ID_BITS) << (2 * ID_BITS) == WHOLE);

/// What the cache has for a key: ids, a record of ids in the ring, or nothing. The words p q r s.
#[derive(Clone, Copy, Default)]
pub struct CachedIds([u64; 4]);

impl CachedIds {
    /// 1 to [`MAX_LINE_IDS`] ids.
    pub fn in_line(ids: &[u32]) -> Self {
        debug_assert!((1..=MAX_LINE_IDS).contains(&ids.len()));
        let mut words = [0; 4];
        for (at, &id) in ids.iter().take(MAX_LINE_IDS).enumerate() {
            let (half, at) = (at / MAX_HALF_IDS, at % MAX_HALF_IDS);
            // Each id has its word: with so few ids, `half` is 0 or 1.
            if let Some(word) = words.get_mut(2 * half + at % 2) {
                *word |= u64::from(id) << (ID_BITS * (at / 2) as u32);
            }
        }
        let [first, ..] = &mut words;
        *first |= (ids.len() as u64) << COUNT;
        Self(words)
    }

    /// A record of the ring.
    pub fn in_ring(Record { start, count }: Record) -> Self {
        debug_assert!(start < 1 << COUNT);
        Self([start | IN_RING << COUNT, count as u64, 0, 0])
    }

    #[inline(always)]
    fn tag(&self) -> u64 {
        let [first, ..] = self.0;
        first >> COUNT
    }

    /// How many ids it has itself: 0 if they are in the ring.
    #[inline(always)]
    pub fn count(&self) -> usize {
        if self.is_in_ring() { 0 } else { self.tag() as usize }
    }

    /// Whether it has ids itself.
    #[inline(always)]
    pub fn has_ids(&self) -> bool {
        self.count() > 0
    }

    /// Whether there is no entry.
    #[inline(always)]
    pub fn is_none(&self) -> bool {
        self.tag() == 0
    }

    /// Whether its ids are in the ring.
    #[inline(always)]
    pub fn is_in_ring(&self) -> bool {
        self.tag() == IN_RING
    }

    /// Its record in the ring.
    pub fn record(&self) -> Record {
        let [start, count, ..] = self.0;
        // Of a whole line the second word has its mark.
        Record { start: start & ((1 << COUNT) - 1), count: (count & !WHOLE) as usize }
    }

    /// Emits its ids to `sink`.
    #[inline(always)]
    pub fn emit(&self, sink: &mut impl Sink) -> Result<(), Error> {
        let part = |number: u32| self.0.map(|word| (word >> (ID_BITS * number) & ID) as u32);
        let ([a, b, f, g], [c, d, h, i], [e, _, j, _]) = (part(0), part(1), part(2));
        sink.take_first(&[a, b, c, d, e, f, g, h, i, j], self.count())
    }
}

/// Two halves, or a whole line.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct CacheLine([u64; 8]);

static EMPTY: CacheLine = CacheLine([0; 8]);

/// Where the ids of a key begin in a line that has it, as the number of a word: in the first half,
const FIRST_HALF: u8 = 2;
/// in the second half,
const SECOND_HALF: u8 = 6;
/// in a whole line.
const WHOLE_LINE: u8 = 0;
/// The line does not have the key.
const NOT_FOUND: u8 = 8;

/// Where the ids begin, by a bit for each word that is the same as the key's.
static FOUND: [u8; 256] = {
    let mut table = [NOT_FOUND; 256];
    let mut same = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
    while same < 256 {
        if same & 0b0000_0011 == 0b0000_0011 {
            table[same] = FIRST_HALF;
        } else if same & 0b0011_0000 == 0b0011_0000 {
            table[same] = SECOND_HALF;
        } else if same & 0b1100_1100 == 0b1100_1100 {
            table[same] = WHOLE_LINE;
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
        #[expect(clippy::indexing_slicing, reason = "8 bits, as many as there are: no check")]
        FOUND[usize::from(lanes.cache_key_matches(&self.0, key))]
    }

    /// The half that has a key; 0 for a whole line that has it.
    #[inline(always)]
    pub fn half_of(&self, key: &CacheKey) -> Option<usize> {
        match self.find(Portable, key) {
            NOT_FOUND => None,
            from => Some(usize::from(from == SECOND_HALF)),
        }
    }

    /// What two lines have for a key, and in which of them it is.
    ///
    /// Without a branch: whether and where a key is found can't be predicted.
    #[inline(always)]
    pub fn cached<L: Lanes>(
        &self,
        other: &Self,
        lanes: L,
        key: &CacheKey,
    ) -> (CachedIds, [bool; 2]) {
        let (here, there) = (self.find(lanes, key), other.find(lanes, key));
        let (is_here, is_there) = (here != NOT_FOUND, there != NOT_FOUND);
        let line = select_unpredictable(is_there, other, &EMPTY);
        let Self(words) = select_unpredictable(is_here, self, line);
        // If neither has it, this is the beginning of the empty line.
        let from = usize::from(select_unpredictable(is_here, here, there) % NOT_FOUND);
        let whole = select_unpredictable(from == usize::from(WHOLE_LINE), u64::MAX, 0);
        let &[_, _, _, _, r, s, _, _] = words;
        // There always are two words from 0, 2 or 6 on. Without them the pretoken would not be found.
        let &[p, q] = words.get(from..).and_then(|words| words.first_chunk()).unwrap_or(&[0; 2]);
        (CachedIds([p, q, r & whole, s & whole]), [is_here, is_there])
    }

    /// Its entries.
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

    /// Writes an entry over the whole line or, if it [`fits_half`], over this half.
    ///
    /// Without a branch: neither the length of a pretoken nor the free half can be predicted.
    #[inline(always)]
    pub fn put(&mut self, half: usize, key: CacheKey, cached: CachedIds) {
        let (CacheKey([a, b, c, d]), CachedIds([p, q, r, s])) = (key, cached);
        let kept = select_unpredictable(self.is_whole(), 0, u64::MAX);
        let [e, f, g, h, i, j, k, l] = self.0.map(|word| word & kept);
        let is_half = fits_half(key, cached);
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
pub fn fits_half(key: CacheKey, cached: CachedIds) -> bool {
    let CacheKey([_, second, ..]) = key;
    (second >> LENGTH <= MAX_HALF_KEY_BYTES as u64) & (cached.count() <= MAX_HALF_IDS)
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
            self.0.cached(self.1, lanes, &self.2)
        }
    }

    /// What a line has for a key, on all code paths, and as the first and the second of two lines.
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

    /// The key of a pretoken whose bytes are those of these words.
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
            // What should be in each half, or in the whole line.
            let mut there: [Option<(CacheKey, CachedIds, Vec<u32>)>; 2] = [None, None];
            let mut keys = Vec::new();
            for (words, length, ids, half) in puts {
                let key = key_of(words, length);
                let known = if ids.len() > MAX_LINE_IDS {
                    CachedIds::in_ring(Record { start: words[0] >> 4, count: ids.len() })
                } else {
                    CachedIds::in_line(&ids)
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
                // What should be there is found, with its ids or their record.
                for (key, known, ids) in there.iter().flatten() {
                    let found = CachedIds(look_up(&line, *key).unwrap());
                    prop_assert!(is_same(found, *known));
                    prop_assert!(known.is_in_ring() || &ids_of(found) == ids);
                }
                // It is also what moves when the cache grows, and nothing else does.
                let mut moved: Vec<_> = line.entries().into_iter().flatten().collect();
                for (key, _, _) in there.iter().flatten() {
                    let at = moved.iter().position(|(other, _)| other == key).unwrap();
                    let (key, known) = moved.swap_remove(at);
                    prop_assert!(is_same(CachedIds(look_up(&line, key).unwrap()), known));
                }
                prop_assert!(moved.is_empty());
                // No other key is found, even if its bytes are those of keys or ids in the line.
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
