//! A line of the cache, as the processor reads it: two short pretokens with few ids, or one of the others.
//!
//! ```text
//! word     0        1        2        3        4        5        6        7
//! halves   name a b          ids p q           name a b          ids p q
//! whole    ids p    ids q    name c d          ids r    ids s    name a b
//!
//! In the last byte of a half's word b stands the length of its pretoken, 0 if the half is free; in that of words
//! 1 and 5 of a whole line what no length is.
//! Ids have 20 bits. Of the words p q, they are p0 q0 p1 q1 p2, from the lowest bits on, and of r s likewise; so
//! the last byte of q and of s is free. In the highest bits of p stands how many there are.
//! ```
//!
//! So one comparison of all words with a b c d a b a b answers for both halves and for the whole: the first two
//! are the same, or the fifth and sixth, or the others. For the last byte of a name's b is neither 0 nor what
//! marks a whole line: it is a length from 1 to 31, or what stands for a longer one. So words 1 and 5 of a
//! whole line are no b, a free half has none, and neither is word 7 of a line of halves, whose last byte is 0 (it
//! is ids, or how many ids a record has). A half needs no c and d: where the length in b is at most 15, they
//! are zero.

use std::hint::select_unpredictable;

use crate::bpe::token_bytes::MAX_TOKENS;
use crate::encode::cache::cache_key::{LENGTH, LONG, LONGEST_HALF, Name, SHORT_NAME};
use crate::encode::sink::Sink;
use crate::error::Error;
use crate::machine::lanes::Lanes;
use crate::machine::lanes::portable::Portable;

/// Ids that a half holds at most.
const IN_A_HALF: usize = 5;
/// The same of a whole line.
pub const FEW: usize = 2 * IN_A_HALF;

const ID_BITS: u32 = 20;
const ID: u64 = (1 << ID_BITS) - 1;
const _: () = assert!(MAX_TOKENS <= 1 << ID_BITS);
/// Where the count stands, above the ids of a word.
const COUNT: u32 = 3 * ID_BITS;
/// In place of the number of ids: they are in the ring.
const ELSEWHERE: u64 = 15;
/// In words 1 and 5 of a whole line, where a half would have its length.
const WHOLE: u64 = 0xFE << LENGTH;
// No name's length is like it, nor what stands for one, and it stands above two ids.
const _: () = assert!(LONG << LENGTH != WHOLE && (SHORT_NAME as u64) < WHOLE >> LENGTH);
const _: () = assert!(WHOLE >> (2 * ID_BITS) << (2 * ID_BITS) == WHOLE);

/// What is known of a name: its ids, where they are, or nothing.
#[derive(Clone, Copy, Default)]
pub struct Known([u64; 4]);

impl Known {
    /// 1 to [`FEW`] ids.
    pub fn few(ids: &[u32]) -> Self {
        let mut words = [0; 4];
        for (at, &id) in ids.iter().take(FEW).enumerate() {
            let (half, at) = (at / IN_A_HALF, at % IN_A_HALF);
            if let Some(word) = words.get_mut(2 * half + at % 2) {
                *word |= u64::from(id) << (ID_BITS * (at / 2) as u32);
            }
        }
        let [first, ..] = &mut words;
        *first |= (ids.len() as u64) << COUNT;
        Self(words)
    }

    /// A record of the ring, which has `count` ids.
    pub fn elsewhere(record: u64, count: usize) -> Self {
        debug_assert!(record < 1 << COUNT);
        Self([record | ELSEWHERE << COUNT, count as u64, 0, 0])
    }

    #[inline(always)]
    fn tag(&self) -> u64 {
        let [first, ..] = self.0;
        first >> COUNT
    }

    /// How many ids it has; 0 also if they are in the ring.
    #[inline(always)]
    pub fn count(&self) -> usize {
        if self.is_elsewhere() { 0 } else { self.tag() as usize }
    }

    /// Whether it has ids.
    #[inline(always)]
    pub fn has_ids(&self) -> bool {
        self.count() > 0
    }

    /// Whether it has no ids, nor says where they are.
    #[inline(always)]
    pub fn is_nothing(&self) -> bool {
        self.tag() == 0
    }

    /// Whether its ids are in the ring.
    #[inline(always)]
    pub fn is_elsewhere(&self) -> bool {
        self.tag() == ELSEWHERE
    }

    /// Where the record in the ring is, and how many ids it has.
    pub fn record(&self) -> (u64, usize) {
        let [record, count, ..] = self.0;
        // The second word as a whole line has it.
        (record & ((1 << COUNT) - 1), (count & !WHOLE) as usize)
    }

    /// Gives its ids to `sink`.
    #[inline(always)]
    pub fn give(&self, sink: &mut impl Sink) -> Result<(), Error> {
        let part = |number: u32| self.0.map(|word| (word >> (ID_BITS * number) & ID) as u32);
        let ([a, b, f, g], [c, d, h, i], [e, _, j, _]) = (part(0), part(1), part(2));
        sink.put(&[a, b, c, d, e, f, g, h, i, j], self.count())
    }
}

/// Two halves, or a whole.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
pub struct Line([u64; 8]);

static EMPTY: Line = Line([0; 8]);

/// Where the ids of a name begin in a line that has it: the number of a word.
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

impl Line {
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

    /// Where the ids of a name begin.
    #[inline(always)]
    fn find<L: Lanes>(&self, lanes: L, Name(name): &Name) -> u8 {
        FOUND.get(usize::from(lanes.cache_key_matches(&self.0, name))).copied().unwrap_or(NOWHERE)
    }

    /// Which half has a name, or begins a whole line that has it.
    #[inline(always)]
    pub fn half_of(&self, name: &Name) -> Option<usize> {
        match self.find(Portable, name) {
            NOWHERE => None,
            from => Some(usize::from(from == SECOND)),
        }
    }

    /// What two lines know of a name, and in which of them it is.
    ///
    /// Without a branch, since whether and where it is, is as good as random.
    #[inline(always)]
    pub fn known<L: Lanes>(&self, other: &Self, lanes: L, name: &Name) -> (Known, [bool; 2]) {
        let (here, there) = (self.find(lanes, name), other.find(lanes, name));
        let (is_here, is_there) = (here != NOWHERE, there != NOWHERE);
        let line = select_unpredictable(is_there, other, &EMPTY);
        let Self(words) = select_unpredictable(is_here, self, line);
        // Nowhere in either: at the beginning of no line.
        let from = usize::from(select_unpredictable(is_here, here, there) % NOWHERE);
        let whole = select_unpredictable(from == usize::from(ALL), u64::MAX, 0);
        let &[_, _, _, _, r, s, _, _] = words;
        let &[p, q] = words.get(from..).and_then(|words| words.first_chunk()).unwrap_or(&[0; 2]);
        (Known([p, q, r & whole, s & whole]), [is_here, is_there])
    }

    /// What stands in it.
    pub fn entries(&self) -> [Option<(Name, Known)>; 2] {
        let [a, b, c, d, e, f, g, h] = self.0;
        if self.is_whole() {
            return [Some((Name([g, h, c, d]), Known([a, b & !WHOLE, e, f & !WHOLE]))), None];
        }
        let half =
            |[a, b, c, d]: [u64; 4]| (b != 0).then_some((Name([a, b, 0, 0]), Known([c, d, 0, 0])));
        [half([a, b, c, d]), half([e, f, g, h])]
    }

    /// Writes an entry into the whole line, or if it [`fits_half`] into the first half or the second. Whatever
    /// stood there is gone.
    ///
    /// Without a branch, since neither how long a word is can be predicted, nor where there is room.
    #[inline(always)]
    pub fn put(&mut self, half: usize, name: Name, known: Known) {
        let (Name([a, b, c, d]), Known([p, q, r, s])) = (name, known);
        let kept = select_unpredictable(self.is_whole(), 0, u64::MAX);
        let [e, f, g, h, i, j, k, l] = self.0.map(|word| word & kept);
        let is_half = fits_half(name, known);
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

/// Whether a name and its ids have no more than two words each.
#[inline(always)]
pub fn fits_half(name: Name, known: Known) -> bool {
    let Name([_, second, ..]) = name;
    (second >> LENGTH <= LONGEST_HALF as u64) & (known.count() <= IN_A_HALF)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bpe::index::Seed;
    use crate::machine::code_path::CodePath;
    use crate::machine::lanes::Vectorized;

    struct Ask<'a>(&'a Line, &'a Line, Name);

    impl Vectorized for Ask<'_> {
        type Output = (Known, [bool; 2]);

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Self::Output {
            self.0.known(self.1, lanes, &self.2)
        }
    }

    /// What a line knows of a name, on all paths, and whether it stands before an empty one or after it.
    fn ask(line: &Line, name: Name) -> Option<[u64; 4]> {
        let found = line.half_of(&name).is_some();
        for path in CodePath::available() {
            let (known, places) = path.run(Ask(line, &EMPTY, name));
            assert_eq!(places, [found, false], "{}", path.name());
            let (behind, places) = path.run(Ask(&EMPTY, line, name));
            assert_eq!((behind.0, places), (known.0, [false, found]), "{}", path.name());
            assert_eq!(known.is_nothing(), !found);
        }
        let (known, _) = CodePath::SCALAR.run(Ask(line, &EMPTY, name));
        found.then_some(known.0)
    }

    /// The name of a pretoken whose bytes are those of some words.
    fn name_of(words: [u64; 4], length: usize) -> Name {
        let [a, b, c, d] = words.map(u64::to_le_bytes);
        let text = [&a[..], &b[..7], &c[..], &d[..]].concat();
        Name::new(&text.repeat(2), 0, length, Seed::random())
    }

    fn ids_of(known: Known) -> Vec<u32> {
        let mut ids = Vec::new();
        known.give(&mut ids).unwrap();
        ids
    }

    fn is_same(known: Known, other: Known) -> bool {
        let is_elsewhere = known.is_elsewhere() && known.record() == other.record();
        known.tag() == other.tag() && (is_elsewhere || ids_of(known) == ids_of(other))
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
            let mut line = Line::default();
            // What should stand in each half, or in both.
            let mut there: [Option<(Name, Known, Vec<u32>)>; 2] = [None, None];
            let mut names = Vec::new();
            for (words, length, ids, half) in puts {
                let name = name_of(words, length);
                let known = if ids.len() > FEW {
                    Known::elsewhere(words[0] >> 4, ids.len())
                } else {
                    Known::few(&ids)
                };
                names.push(name);
                let half = line.half_of(&name).unwrap_or(half);
                line.put(half, name, known);
                if !fits_half(name, known) {
                    there = [Some((name, known, ids)), None];
                } else {
                    if there[0].as_ref().is_some_and(|(name, known, _)| !fits_half(*name, *known)) {
                        there = [None, None];
                    }
                    there[half] = Some((name, known, ids));
                }
                let is_whole = line.is_whole();
                let taken = there.iter().flatten().count() * (1 + usize::from(is_whole));
                prop_assert_eq!(line.taken().count_ones() as usize, taken);
                // What stands there is found, with its ids or where they are.
                for (name, known, ids) in there.iter().flatten() {
                    let found = Known(ask(&line, *name).unwrap());
                    prop_assert!(is_same(found, *known));
                    prop_assert!(known.is_elsewhere() || &ids_of(found) == ids);
                }
                // And is all that moves when the cache grows.
                let mut moved: Vec<_> = line.entries().into_iter().flatten().collect();
                for (name, _, _) in there.iter().flatten() {
                    let at = moved.iter().position(|(other, _)| other == name).unwrap();
                    let (name, known) = moved.swap_remove(at);
                    prop_assert!(is_same(Known(ask(&line, name).unwrap()), known));
                }
                prop_assert!(moved.is_empty());
                // Nothing else is, even if its bytes are those of names or ids in the line.
                let words = line.0;
                for at in 0..words.len() * words.len() {
                    let (i, j) = (at / words.len(), at % words.len());
                    for length in [8, 15, 16, 31, 40] {
                        names.push(name_of([words[i], words[j], 0, 0], length));
                        names.push(name_of([words[i], words[j], words[2], words[3]], length));
                    }
                }
                for name in names.drain(..) {
                    if !there.iter().flatten().any(|(other, _, _)| *other == name) {
                        prop_assert_eq!(ask(&line, name), None);
                    }
                }
            }
        }
    }
}
