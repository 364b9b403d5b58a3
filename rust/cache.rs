//! What a thread encoded before: its own bounded memory from pretoken to ids.
//!
//! The same words come again, whether they are one token or were merged, so both are looked for here
//! first. What an entry holds is a pure function of vocabulary and bytes, confirmed by the whole bytes:
//! the cache changes speed, never ids. Entries stand in sets of four. When the memory for longer ones is
//! full all begins anew.

use crate::index::Seed;
use crate::pieces::{Head, Key};
use crate::prefetch::prefetch;
use crate::pretokenize::ENDS;

/// Sets, of two cache lines each: 4 MB.
const SETS: usize = 1 << 15;
const WAYS: usize = 4;
/// Bytes of longer pretokens that are kept at most.
const KEPT_BYTES: usize = 3 << 19;
/// Ids that do not fit an entry and are kept at most.
const KEPT_IDS: usize = 1 << 19;
/// Longer pretokens are not kept: they rarely come again.
pub const LONGEST: usize = 255;

/// The memory of one thread: at most 4 MB of entries, 1 MB of bytes and 2 MB of ids.
pub struct Cache {
    seed: Seed,
    /// The vocabulary that the ids are of.
    owner: u64,
    sets: Vec<Set>,
    bytes: Vec<u8>,
    ids: Vec<u32>,
    /// Which entry of a full set goes is chosen at random: were it the oldest, a set with one pretoken too
    /// many would lose each just before it comes again.
    evicted: u64,
}

/// A round of pretokens: their keys, where these are kept, and what is known.
pub struct Round {
    keys: [Key; ENDS],
    places: [u32; ENDS],
    known: [Few; ENDS],
    /// Which of them have no ids in `known`.
    rest: [u16; ENDS],
    rest_count: usize,
}

impl Default for Round {
    fn default() -> Self {
        Self {
            keys: [Key::default(); ENDS],
            places: [0; ENDS],
            known: [Few::default(); ENDS],
            rest: [0; ENDS],
            rest_count: 0,
        }
    }
}

impl Round {
    /// What is known of the pretokens, in their order.
    #[inline(always)]
    pub fn known(&self) -> &[Few; ENDS] {
        &self.known
    }

    /// The numbers of those of which less than a few ids or more are known.
    #[inline(always)]
    pub fn rest(&self) -> &[u16] {
        self.rest.get(..self.rest_count).unwrap_or_default()
    }
}

/// Keys in one cache line, what they stand for in another.
#[derive(Clone, Copy, Default)]
#[repr(C, align(128))]
struct Set {
    keys: [Key; WAYS],
    ids: [Few; WAYS],
}

/// Up to six ids in two words, twenty bits each; in the highest bits of the first their number, or
/// [`ELSEWHERE`], or 0 if nothing is known.
#[derive(Clone, Copy, Default)]
pub struct Few(u64, u64);

/// The ids a [`Few`] holds at most.
pub const FEW: usize = 6;
/// The ids do not fit: the first word has their number, the second where they and the bytes are kept.
pub const ELSEWHERE: usize = 15;
const ID_BITS: u32 = 20;
const COUNT_SHIFT: u32 = 60;

impl Few {
    /// `ids`, of which there are 1 to 6.
    fn of(ids: &[u32]) -> Self {
        let word =
            |ids: &[u32]| ids.iter().rev().fold(0, |word, &id| word << ID_BITS | u64::from(id));
        let (low, high) = ids.split_at(ids.len().min(3));
        Self(word(low) | (ids.len() as u64) << COUNT_SHIFT, word(high))
    }

    /// How many ids there are; 0 for none known, [`ELSEWHERE`] for those of [`Cache::elsewhere`].
    #[inline(always)]
    pub fn count(self) -> usize {
        (self.0 >> COUNT_SHIFT) as usize
    }

    /// The first three ids; what is beyond their number means nothing.
    #[inline(always)]
    pub fn first(self) -> [u32; 3] {
        three(self.0)
    }

    /// The ids behind them.
    #[inline(always)]
    pub fn rest(self) -> [u32; 3] {
        three(self.1)
    }
}

#[inline(always)]
fn three(word: u64) -> [u32; 3] {
    let id = |place: u32| (word >> (place * ID_BITS)) as u32 & ((1 << ID_BITS) - 1);
    [id(0), id(1), id(2)]
}

impl Default for Cache {
    fn default() -> Self {
        let (sets, bytes, ids) = (Vec::new(), Vec::new(), Vec::new());
        Self { seed: Seed::random(), owner: 0, sets, bytes, ids, evicted: 0 }
    }
}

impl Cache {
    /// Forgets everything if it is of another vocabulary than `owner`, which is not 0.
    pub fn begin(&mut self, owner: u64) {
        if self.owner != owner {
            self.clear();
            self.owner = owner;
        }
    }

    fn clear(&mut self) {
        self.sets.clear();
        self.bytes.clear();
        self.ids.clear();
    }

    /// The key of a pretoken of 16 to [`LONGEST`] bytes.
    pub fn long_key(&self, pretoken: &[u8]) -> Key {
        Key::of_long(pretoken, self.seed)
    }

    /// Finds what is known of a round of pretokens, the first of which begins at `start`: asks for all of
    /// it before it looks at any, so that much is on its way from memory at a time.
    #[inline(always)]
    pub fn find_round(&self, text: &[u8], mut start: usize, ends: &[usize], round: &mut Round) {
        let Round { keys, places, known, rest, rest_count } = round;
        for (&end, (asked, place)) in ends.iter().zip(keys.iter_mut().zip(places.iter_mut())) {
            let key = Head::at(text, start).key(end - start);
            (*asked, *place) = (key, self.place(key) as u32);
            self.ask_at(*place as usize);
            start = end;
        }
        let mut count = 0;
        let questions = keys.iter().zip(places.iter()).zip(known);
        for (number, ((&key, &place), known)) in (0..).zip(questions.take(ends.len())) {
            *known = self.find_in(place as usize, key);
            if let Some(slot) = rest.get_mut(count) {
                *slot = number;
            }
            count += usize::from(!(1..=FEW).contains(&known.count()));
        }
        *rest_count = count;
    }

    #[inline(always)]
    fn ask_at(&self, place: usize) {
        if let Some(set) = self.sets.get(place) {
            prefetch(&set.keys);
            prefetch(&set.ids);
        }
    }

    /// Asks for what is known of a key.
    #[inline]
    pub fn ask(&self, key: Key) {
        self.ask_at(self.place(key));
    }

    /// Asks for the ids that are [`ELSEWHERE`].
    #[inline]
    pub fn ask_elsewhere(&self, few: Few) {
        if let (Some(ids), Some(bytes)) =
            (self.ids.get(few.1 as u32 as usize), self.bytes.get((few.1 >> 32) as usize))
        {
            prefetch(ids);
            prefetch(bytes);
        }
    }

    /// What is known of a key. For a long one that is only a guess: see [`Cache::elsewhere`].
    #[inline]
    pub fn find(&self, key: Key) -> Few {
        self.find_in(self.place(key), key)
    }

    #[inline(always)]
    fn place(&self, key: Key) -> usize {
        key.hash(self.seed) as usize % SETS
    }

    #[inline(always)]
    fn find_in(&self, set: usize, key: Key) -> Few {
        let Some(set) = self.sets.get(set) else { return Few::default() };
        // By bits: which of the four it is can't be predicted.
        let (mut way, mut any) = (0, 0);
        for (number, &other) in (0..).zip(&set.keys) {
            let same = key.same(other);
            way |= number & same;
            any |= same;
        }
        let few = set.ids.get(way as usize % WAYS).copied().unwrap_or_default();
        Few(few.0 & any, few.1 & any)
    }

    /// The ids that are [`ELSEWHERE`]; `None` if they are of other bytes than `pretoken`.
    #[inline]
    pub fn elsewhere(&self, few: Few, pretoken: &[u8]) -> Option<&[u32]> {
        let (count, ids, bytes) = (few.0 as u32 as usize, few.1 as u32 as usize, few.1 >> 32);
        let bytes = self.bytes.get(bytes as usize..)?.get(..pretoken.len())?;
        self.ids.get(ids..ids + count).filter(|_| bytes == pretoken)
    }

    /// Keeps the ids of a pretoken of 1 to [`LONGEST`] bytes under its key.
    pub fn keep(&mut self, key: Key, pretoken: &[u8], ids: &[u32]) {
        if self.bytes.len() + pretoken.len() > KEPT_BYTES || self.ids.len() + ids.len() > KEPT_IDS {
            self.clear();
        }
        // Without memory nothing is kept.
        let missing = SETS - self.sets.len();
        if self.sets.try_reserve_exact(missing).is_err()
            || self.bytes.try_reserve(pretoken.len()).is_err()
            || self.ids.try_reserve(ids.len()).is_err()
        {
            return;
        }
        self.sets.resize(SETS, Set::default());
        let few = if ids.len() <= FEW && pretoken.len() <= crate::pieces::KEY_BYTES {
            Few::of(ids)
        } else {
            let places = (self.bytes.len() as u64) << 32 | self.ids.len() as u64;
            self.bytes.extend_from_slice(pretoken);
            self.ids.extend_from_slice(ids);
            Few((ELSEWHERE as u64) << COUNT_SHIFT | ids.len() as u64, places)
        };
        let place = self.place(key);
        if let Some(set) = self.sets.get_mut(place) {
            let free = set.ids.iter().position(|ids| ids.count() == 0);
            let way = free.unwrap_or_else(|| {
                self.evicted = self.evicted.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
                (self.evicted >> 62) as usize
            });
            if let Some((of_key, of_ids)) = set.keys.get_mut(way).zip(set.ids.get_mut(way)) {
                (*of_key, *of_ids) = (key, few);
            }
        }
    }
}
