//! What a thread encoded before: its own bounded memory from pretoken to ids.
//!
//! The same words come again, whether they are one token or were merged, so both are looked for here
//! first. What an entry holds is a pure function of vocabulary and bytes, confirmed by the whole bytes:
//! the cache changes speed, never ids. Entries stand in sets of four; what does not fit an entry stands in
//! a ring, whose oldest part is overwritten.

mod few;
mod ring;

use self::few::{FEW, Few, MOST};
use self::ring::Ring;
use crate::encode::Sink;
use crate::error::Error;
use crate::index::Seed;
use crate::pieces::{Head, KEY_BYTES, Key};
use crate::prefetch::prefetch;
use crate::pretokenize::ENDS;

/// Sets, of two cache lines each: 4 MB.
const SETS: usize = 1 << 15;
const WAYS: usize = 4;
/// Longer pretokens are not kept: they rarely come again.
pub const LONGEST: usize = 255;
/// The memory of one thread: at most 4 MB of entries and 3 MB of what does not fit there.
pub struct Cache {
    seed: Seed,
    /// The vocabulary that the ids are of.
    owner: u64,
    sets: Vec<Set>,
    ring: Ring,
    random: u64,
}

/// Keys in one cache line, what they stand for in another.
#[derive(Clone, Copy, Default)]
#[repr(C, align(128))]
struct Set {
    keys: [Key; WAYS],
    ids: [Few; WAYS],
}

/// A round of pretokens: their keys, where these are kept, and of which the ids are still wanted.
pub struct Round {
    keys: [Key; ENDS],
    places: [u32; ENDS],
    rest: [Rest; ENDS],
    rest_count: usize,
}

/// A pretoken whose ids [`Cache::take_round`] did not find.
#[derive(Clone, Copy, Default)]
pub struct Rest {
    /// Which one of the round.
    pub number: u16,
    /// How many ids of those before it are in the output.
    pub behind: u16,
}

impl Default for Round {
    fn default() -> Self {
        let (keys, places) = ([Key::default(); ENDS], [0; ENDS]);
        Self { keys, places, rest: [Rest::default(); ENDS], rest_count: 0 }
    }
}

impl Round {
    /// Those whose ids were not found.
    #[inline(always)]
    pub fn rest(&self) -> &[Rest] {
        self.rest.get(..self.rest_count).unwrap_or_default()
    }

    /// What one of the round is kept under.
    #[inline(always)]
    pub fn key(&self, rest: &Rest) -> Key {
        self.keys.get(usize::from(rest.number)).copied().unwrap_or_default()
    }
}

/// The set that takes what does not fit into another: that other takes what does not fit into it.
#[inline(always)]
fn beside(place: usize) -> usize {
    place ^ 1
}

/// The ids of a round, and room for those written beyond their number.
pub const OUTPUT: usize = ENDS * MOST + MOST;

#[inline(always)]
fn put<const N: usize>(output: &mut [u32; OUTPUT], at: usize, ids: [u32; N]) {
    if let Some(place) = output.get_mut(at..).and_then(<[u32]>::first_chunk_mut) {
        *place = ids;
    }
}

/// The bytes of a pretoken that its key does not stand for: a short one is its key.
fn beyond_key(pretoken: &[u8]) -> &[u8] {
    if pretoken.len() > KEY_BYTES { pretoken } else { &[] }
}

impl Default for Cache {
    fn default() -> Self {
        let (sets, ring) = <_>::default();
        Self { seed: Seed::random(), owner: 0, sets, ring, random: 0 }
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
        self.ring.clear();
    }

    /// Asks for what [`Cache::take_round`] will look at, all of it before any is used, so that much is
    /// on its way from memory at a time. The first pretoken begins at `start`.
    #[inline(always)]
    pub fn ask_round(&self, text: &[u8], mut start: usize, ends: &[usize], round: &mut Round) {
        let slots = round.keys.iter_mut().zip(&mut round.places);
        for (&end, (key, place)) in ends.iter().zip(slots) {
            *key = Head::at(text, start).key(end - start);
            *place = self.place(*key) as u32;
            self.ask_set(*place as usize);
            start = end;
        }
    }

    /// Writes the known ids of the first `count` pretokens of a round, and notes of which none are known.
    /// Gives how many ids there are. Without `ids` only their number is right.
    #[inline(always)]
    pub fn take_round(
        &self,
        count: usize,
        round: &mut Round,
        output: &mut [u32; OUTPUT],
        ids: bool,
    ) -> usize {
        let Round { keys, places, rest, rest_count } = round;
        let (keys, places) = (keys.get(..count), places.get(..count));
        let questions = keys.unwrap_or_default().iter().zip(places.unwrap_or_default());
        let (mut total, mut missing) = (0, 0);
        for (number, (&key, &place)) in questions.enumerate() {
            let few = self.find_in(place as usize, key);
            if ids {
                put(output, total, few.first());
                if few.count() > FEW {
                    put(output, total + FEW, few.last());
                }
            }
            if let Some(slot) = rest.get_mut(missing) {
                *slot = Rest { number: number as u16, behind: total as u16 };
            }
            total += few.count();
            missing += usize::from(few.count() == 0);
        }
        *rest_count = missing;
        total
    }

    /// Completes the keys of the rest, those of up to [`LONGEST`] bytes, and asks for both their sets.
    #[inline(always)]
    pub fn ask_rest(&self, text: &[u8], start: usize, ends: &[usize], round: &mut Round) {
        let Round { keys, places, rest, rest_count } = round;
        for number in rest.iter().take(*rest_count).map(|rest| usize::from(rest.number)) {
            let start = number.checked_sub(1).map_or(Some(&start), |before| ends.get(before));
            let (Some(&start), Some(&end)) = (start, ends.get(number)) else { continue };
            let slots = keys.get_mut(number).zip(places.get_mut(number));
            let Some((key, place)) = slots.filter(|_| end - start <= LONGEST) else { continue };
            if end - start > KEY_BYTES {
                *key = Key::of_long(text.get(start..end).unwrap_or_default(), self.seed);
                *place = self.place(*key) as u32;
                self.ask_set(*place as usize);
            }
            self.ask_set(beside(*place as usize));
        }
    }

    #[inline(always)]
    fn ask_set(&self, place: usize) {
        if let Some(set) = self.sets.get(place) {
            prefetch(&set.keys);
            prefetch(&set.ids);
        }
    }

    /// Asks for what [`Cache::give`] will look at.
    #[inline]
    pub fn ask_ids(&self, few: Few) {
        self.ring.ask(few.at());
    }

    /// What is known of a key in either of its sets. For a long one that is only a guess: see [`Cache::give`].
    #[inline(always)]
    pub fn find(&self, key: Key) -> Few {
        let place = self.place(key);
        let few = self.find_in(place, key);
        if few.is_known() { few } else { self.find_in(beside(place), key) }
    }

    /// The same; what was in the second set then is in the first.
    #[inline(always)]
    pub fn find_again(&mut self, key: Key) -> Few {
        let place = self.place(key);
        let few = self.find_in(place, key);
        if few.is_known() { few } else { self.promote(place, key) }
    }

    /// What is known of a key in the second set, which changes place with one of the first.
    #[inline(never)]
    fn promote(&mut self, place: usize, key: Key) -> Few {
        let way = self.random_way();
        let pair = self.sets.as_chunks_mut().0.get_mut(place / 2);
        let Some([even, odd]) = pair else { return Few::default() };
        let (first, second) = if place.is_multiple_of(2) { (even, odd) } else { (odd, even) };
        let Some(found) = second.keys.iter().position(|other| other.same(key) != 0) else {
            return Few::default();
        };
        let keys = first.keys.get_mut(way).zip(second.keys.get_mut(found));
        let ids = first.ids.get_mut(way).zip(second.ids.get_mut(found));
        let Some(((key, other_key), (ids, other_ids))) = keys.zip(ids) else {
            return Few::default();
        };
        std::mem::swap(key, other_key);
        std::mem::swap(ids, other_ids);
        *ids
    }

    /// Which entry of a full set goes is chosen at random: were it the oldest, a set with one pretoken
    /// too many would lose each just before it comes again.
    fn random_way(&mut self) -> usize {
        self.random = self.random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        (self.random >> 62) as usize
    }

    #[inline(always)]
    fn place(&self, key: Key) -> usize {
        key.hash(self.seed) as usize % SETS
    }

    #[inline(always)]
    fn find_in(&self, place: usize, key: Key) -> Few {
        let Some(set) = self.sets.get(place) else { return Few::default() };
        // By bits, since which of the four it is can't be predicted; that the halves are of one is left
        // to be confirmed.
        let Set { keys: [_, one, two, three], ids } = set;
        let way = key.alike(*one) & 1 | key.alike(*two) & 2 | key.alike(*three) & 3;
        let way = way as usize % WAYS;
        let any = set.keys.get(way).map_or(0, |&other| key.same(other));
        ids.get(way).copied().unwrap_or_default().masked(any)
    }

    /// Gives what is known of a pretoken to `sink`; whether anything is. It is not if `few` is of other
    /// bytes, or the record overwritten.
    #[inline(always)]
    pub fn give(&self, few: Few, pretoken: &[u8], sink: &mut impl Sink) -> Result<bool, Error> {
        let bytes = beyond_key(pretoken);
        let ids = if bytes.is_empty() && few.count() > 0 {
            &[]
        } else {
            let record = self.ring.get(few.at(), few.many(), bytes.len());
            match record.filter(|(_, kept)| few.is_known() && *kept == bytes) {
                Some((ids, _)) => ids,
                None => return Ok(false),
            }
        };
        sink.take(few.first().get(..few.count().min(FEW)).unwrap_or_default())?;
        if few.count() > FEW {
            sink.take(few.last().get(..few.count() - FEW).unwrap_or_default())?;
        }
        for ids in ids.chunks(16) {
            let mut some = [0; 16];
            some.iter_mut()
                .zip(ids)
                .for_each(|(id, &[a, b, c])| *id = u32::from_le_bytes([a, b, c, 0]));
            sink.take(some.get(..ids.len()).unwrap_or_default())?;
        }
        Ok(true)
    }

    /// Keeps the ids of a pretoken of 1 to [`LONGEST`] bytes under its key.
    pub fn keep(&mut self, key: Key, pretoken: &[u8], ids: &[u32]) {
        // Without memory nothing is kept.
        let missing = SETS - self.sets.len();
        if self.sets.try_reserve_exact(missing).is_err() {
            return;
        }
        self.sets.resize(SETS, Set::default());
        let Some(few) = self.entry(pretoken, ids) else { return self.clear() };
        let (place, random) = (self.place(key), self.random_way());
        let way = |place: usize| {
            let Set { keys, ids } = self.sets.get(place)?;
            let same = keys.iter().position(|other| other.same(key) != 0);
            same.or_else(|| ids.iter().position(|ids| !ids.is_known()))
        };
        let (place, way) = match (way(place), way(beside(place))) {
            (Some(way), _) => (place, way),
            (None, Some(way)) => (beside(place), way),
            (None, None) => (place, random),
        };
        let Some(Set { keys, ids }) = self.sets.get_mut(place) else { return };
        if let Some((of_key, of_ids)) = keys.get_mut(way).zip(ids.get_mut(way)) {
            (*of_key, *of_ids) = (key, few);
        }
    }

    /// `None` without memory, and when the ring must be cleared.
    fn entry(&mut self, pretoken: &[u8], ids: &[u32]) -> Option<Few> {
        let bytes = beyond_key(pretoken);
        if bytes.is_empty() && ids.len() <= MOST {
            return Some(Few::of(ids));
        }
        if ids.len() <= FEW {
            return Some(Few::of_long(ids, self.ring.add(&[], bytes)?));
        }
        Some(Few::of_many(ids.len() as u32, self.ring.add(ids, bytes)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pretokens of many lengths, and for each a number of ids that follows from it.
    fn word(number: u32) -> (String, Vec<u32>) {
        let text = format!("{number}{}", "é".repeat(number as usize % 13));
        (
            text,
            (0..1 + number % 9).map(|place| number.wrapping_mul(31 + place) & 0xF_FFFF).collect(),
        )
    }

    fn key(cache: &Cache, text: &str) -> Key {
        let text = text.as_bytes();
        Key::new(text, 0, text.len()).unwrap_or_else(|| Key::of_long(text, cache.seed))
    }

    fn known(cache: &mut Cache, text: &str) -> Option<Vec<u32>> {
        let key = key(cache, text);
        let (few, mut ids) = (cache.find_again(key), Vec::new());
        assert_eq!(few.is_known(), cache.find(key).is_known());
        cache.give(few, text.as_bytes(), &mut ids).unwrap().then_some(ids)
    }

    #[test]
    fn what_is_kept_is_found_or_forgotten_but_never_another() {
        let mut cache = Cache::default();
        for (count, at_least) in [(1_000, 1_000), (60_000, 59_000), (300_000, 50_000)] {
            for _ in 0..2 {
                for number in 0..count {
                    let (text, ids) = word(number);
                    if known(&mut cache, &text).is_none() {
                        cache.keep(key(&cache, &text), text.as_bytes(), &ids);
                    }
                    assert_eq!(known(&mut cache, &text), Some(ids));
                }
            }
            let found = (0..count).filter(|&number| {
                let (text, ids) = word(number);
                known(&mut cache, &text).is_some_and(|known| known == ids || panic!("{text}"))
            });
            assert!(found.count() >= at_least);
        }
        cache.begin(1);
        assert_eq!(known(&mut cache, "1é"), None);
    }
}
