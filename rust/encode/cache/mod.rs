//! What a thread merged before: its own bounded memory from pretoken to ids.
//!
//! Tokens are not here: the table of the vocabulary answers for them (`bpe/pieces.rs`). An entry is one
//! line of the processor's cache and stands at one of two places, side by side. What does not fit an entry
//! stands in a ring, whose oldest part is overwritten. What an entry holds is a pure function of vocabulary
//! and bytes, confirmed by the whole bytes: the cache changes speed, never ids.
//!
//! It begins with 256 KB and doubles as it pays, up to a limit: when it is more than a quarter full and
//! enough of what is looked up is found, or so much was merged that the cost of more memory is nothing
//! beside it.

mod entry;
mod name;
mod ring;

use std::hint::select_unpredictable;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use self::entry::{Entry, FEW};
pub use self::name::{Name, SHORT_NAME};
use self::ring::Ring;
use crate::bpe::index::Seed;
use crate::counters::{Event, count};
use crate::encode::Sink;
use crate::error::Error;
use crate::huge_pages;
use crate::prefetch::prefetch;

/// Longer pretokens are not kept: they rarely come again.
pub const LONGEST: usize = 255;
/// Ids of a record that are given at a time.
const SOME: usize = 16;
/// A third of a cache may be the ring's.
const RING_SHARE: usize = 3;
/// Entries that a cache begins with, of 64 bytes each, as a power of two.
const FIRST_BITS: u32 = 12;
/// Bytes of a cache's entries and ring at most, where nothing else is said.
pub const DEFAULT_LIMIT: usize = 24 << 20;

/// So many lookups count in full, older ones less and less.
const RECENT: u64 = 1 << 14;

/// Bytes of all caches of this process, for people who ask. Written when a cache grows, never while text
/// is encoded.
static ALL_BYTES: AtomicUsize = AtomicUsize::new(0);
/// How many there are.
static ALL_CACHES: AtomicUsize = AtomicUsize::new(0);

/// The memory of one thread.
pub struct Cache {
    seed: Seed,
    /// The vocabulary that the ids are of.
    owner: u64,
    /// Bytes that it may take.
    limit: usize,
    entries: Vec<Entry>,
    ring: Ring,
    /// How many entries are not free.
    used: usize,
    /// What was kept since it grew.
    inserted: usize,
    /// What was looked for lately, and what of it was found.
    asked: u64,
    found: u64,
    /// Bytes that [`ALL_BYTES`] has of it.
    counted: usize,
}

/// What is known of a thread's cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Entries that hold something.
    pub used: usize,
    /// Entries that there are.
    pub entries: usize,
    /// Bytes of entries and ring.
    pub bytes: usize,
    /// Bytes that they may take.
    pub limit: usize,
    /// Caches of all threads, and their bytes.
    pub all: (usize, usize),
}

impl Default for Cache {
    fn default() -> Self {
        ALL_CACHES.fetch_add(1, Ordering::Relaxed);
        let (entries, ring) = <_>::default();
        let (used, inserted, asked, found, counted) = (0, 0, 0, 0, 0);
        let limit = DEFAULT_LIMIT;
        Self {
            seed: Seed::random(),
            owner: 0,
            limit,
            entries,
            ring,
            used,
            inserted,
            asked,
            found,
            counted,
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        ALL_CACHES.fetch_sub(1, Ordering::Relaxed);
        ALL_BYTES.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

impl Cache {
    /// Forgets everything if it is of another vocabulary than `owner`, which is not 0, or has more than
    /// `limit` bytes.
    pub fn begin(&mut self, owner: u64, limit: usize) {
        if self.owner != owner || (self.limit != limit && self.bytes() > limit) {
            self.entries = Vec::new();
            self.ring = Ring::default();
            (self.used, self.asked, self.found) = (0, 0, 0);
            self.owner = owner;
            self.grow(limit);
        }
        if self.limit != limit {
            self.limit = limit;
            self.ring.allow(limit / RING_SHARE);
        }
    }

    fn bytes(&self) -> usize {
        self.entries.len() * size_of::<Entry>() + self.ring.size()
    }

    /// What is known of it.
    pub fn info(&self) -> Info {
        Info {
            used: self.used,
            entries: self.entries.len(),
            bytes: self.bytes(),
            limit: self.limit,
            all: (ALL_CACHES.load(Ordering::Relaxed), ALL_BYTES.load(Ordering::Relaxed)),
        }
    }

    /// The name of `text[start..end]`, and where its entry may be.
    #[inline(always)]
    pub fn name(&self, text: &[u8], start: usize, end: usize) -> (Name, usize) {
        let name = Name::new(text, start, end, self.seed);
        (name, self.place(name))
    }

    #[inline(always)]
    fn place(&self, name: Name) -> usize {
        // A power of two, or none.
        (name.hash(self.seed) >> 32) as usize & self.entries.len().wrapping_sub(1)
    }

    /// Asks for the entry at a place.
    #[inline(always)]
    pub fn prefetch(&self, place: usize) {
        prefetch(self.entries.as_ptr().wrapping_add(place));
        prefetch(self.entries.as_ptr().wrapping_add(place ^ 1));
    }

    /// Asks for the record that an entry names, if it names one.
    #[inline(always)]
    pub fn prefetch_record(&self, entry: &Entry) {
        if entry.is_elsewhere() {
            self.ring.prefetch(entry.record().0);
        }
    }

    /// What is known of a name that may be at a place, or at the one beside it: an entry without ids if
    /// nothing. What is in the ring has [`Cache::give_record`].
    ///
    /// Without a branch, since at which of the two it is, is as good as random.
    #[inline(always)]
    pub fn lookup(&self, place: usize, name: Name) -> Entry {
        let (Some(first), Some(second)) = (self.entries.get(place), self.entries.get(place ^ 1))
        else {
            return Entry::unknown(name);
        };
        let (at_first, at_second) = (first.name.is(name), second.name.is(name));
        count(Event::Hit, usize::from(at_first));
        count(Event::Second, usize::from(at_second & !at_first));
        let entry = select_unpredictable(at_first, first, second);
        entry.if_known(name, at_first | at_second)
    }

    #[inline(always)]
    fn find_at(&self, place: usize, name: Name) -> Option<usize> {
        let is_at =
            |&place: &usize| self.entries.get(place).is_some_and(|entry| entry.name.is(name));
        Some(place).filter(is_at).or(Some(place ^ 1).filter(is_at))
    }

    /// Says how many were looked up, and found: whether growing pays.
    pub fn note(&mut self, asked: usize, found: usize) {
        self.asked += asked as u64;
        self.found += found as u64;
        if self.asked > RECENT {
            (self.asked, self.found) = (self.asked / 2, self.found / 2);
        }
    }

    /// Gives the ids of the record that an entry names to `sink`; whether it is still there and is of
    /// `pretoken`.
    #[inline(never)]
    pub fn give_record(
        &self,
        entry: &Entry,
        pretoken: &[u8],
        sink: &mut impl Sink,
    ) -> Result<bool, Error> {
        let bytes = beyond_name(pretoken);
        let (record, ids) = entry.record();
        let Some((ids, kept)) = self.ring.get(record, ids, bytes.len()) else { return Ok(false) };
        if !entry.is_elsewhere() || kept != bytes {
            return Ok(false);
        }
        count(Event::Long, 1);
        for ids in ids.chunks(SOME) {
            let mut some = [0; SOME];
            let places = some.iter_mut().zip(ids);
            places.for_each(|(id, &[a, b, c])| *id = u32::from_le_bytes([a, b, c, 0]));
            sink.put(&some, ids.len())?;
        }
        Ok(true)
    }

    /// Keeps the ids of a pretoken of 1 to [`LONGEST`] bytes under its name. What was at its first place
    /// moves to the second.
    pub fn insert(&mut self, name: Name, pretoken: &[u8], ids: &[u32]) {
        if self.is_too_small() {
            self.grow(self.limit);
        }
        if self.entries.is_empty() {
            return;
        }
        self.inserted += 1;
        let entry = if name.is_short() && ids.len() <= FEW {
            Entry::few(name, ids)
        } else {
            // Without memory nothing is kept.
            let Some(record) = self.ring.add(ids, beyond_name(pretoken), self.pays()) else {
                return;
            };
            Entry::elsewhere(name, record, ids.len())
        };
        self.account();
        let place = self.place(name);
        match self.find_at(place, name) {
            Some(place) => _ = self.put(place, entry),
            None => {
                // Free in the end is the first place, the second, or none, and then one is forgotten.
                let mut last = self.put(place, entry);
                if let Some(moved) = last.filter(|moved| !moved.name.is_free()) {
                    last = self.put(place ^ 1, moved);
                }
                self.used += usize::from(last.is_some_and(|last| last.name.is_free()));
            }
        }
    }

    fn put(&mut self, place: usize, entry: Entry) -> Option<Entry> {
        Some(std::mem::replace(self.entries.get_mut(place)?, entry))
    }

    /// Whether more memory would pay: of what is looked for a sixteenth is found, so the text repeats
    /// itself. More is not asked, since a cache that is far too small finds little in any text, and
    /// nothing in one that begins anew just after each word was forgotten; so neither is that, once four
    /// times as much was merged as there is room for.
    fn pays(&self) -> bool {
        self.found > self.asked / 16 || self.inserted > 4 * self.entries.len()
    }

    /// Whether there should be more entries: a quarter is in use. With two places for each, three pretokens
    /// that want the same two would take turns in being forgotten were it half.
    fn is_too_small(&self) -> bool {
        self.entries.is_empty() || (self.used > self.entries.len() / 4 && self.pays())
    }

    /// Doubles the entries, or makes the first ones, if that is within the limit and there is memory.
    fn grow(&mut self, limit: usize) {
        (self.inserted, self.asked, self.found) = (0, 0, 0);
        let size = if self.entries.is_empty() { 1 << FIRST_BITS } else { 2 * self.entries.len() };
        let most = (limit - limit / RING_SHARE) / size_of::<Entry>();
        self.ring.allow(limit / RING_SHARE);
        if size > most {
            return;
        }
        let Ok(entries) = huge_pages::table(size, Entry::default()) else { return };
        let old = std::mem::replace(&mut self.entries, entries);
        self.used = 0;
        for entry in old.into_iter().filter(|entry| !entry.name.is_free()) {
            let place = self.place(entry.name);
            let free = |place: usize| self.entries.get(place).is_some_and(|at| at.name.is_free());
            let place = if free(place) { place } else { place ^ 1 };
            if self.put(place, entry).is_some_and(|before| before.name.is_free()) {
                self.used += 1;
            }
        }
        self.account();
    }

    /// Says how many bytes it has, where that has changed.
    fn account(&mut self) {
        let bytes = self.bytes();
        if bytes != self.counted {
            ALL_BYTES.fetch_add(bytes, Ordering::Relaxed);
            ALL_BYTES.fetch_sub(std::mem::replace(&mut self.counted, bytes), Ordering::Relaxed);
        }
    }
}

/// The bytes of a pretoken that its name does not stand for: a short one is its name.
fn beyond_name(pretoken: &[u8]) -> &[u8] {
    if pretoken.len() > SHORT_NAME { pretoken } else { &[] }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pretokens of many lengths, and for each a number of ids that follows from it.
    fn word(number: u32) -> (String, Vec<u32>) {
        let text = format!("{number}{}", "é".repeat(number as usize % 23));
        let count = 1 + number % 17;
        (text, (0..count).map(|at| number.wrapping_mul(31 + at) & 0xF_FFFF).collect())
    }

    fn known(cache: &mut Cache, text: &str) -> Option<Vec<u32>> {
        let (name, place) = cache.name(text.as_bytes(), 0, text.len());
        let entry = cache.lookup(place, name);
        cache.note(1, usize::from(entry.is_known() || entry.is_elsewhere()));
        let mut ids = Vec::new();
        entry.give(&mut ids).unwrap();
        let is_known =
            entry.is_known() || cache.give_record(&entry, text.as_bytes(), &mut ids).unwrap();
        is_known.then_some(ids)
    }

    fn keep(cache: &mut Cache, text: &str, ids: &[u32]) {
        let (name, _) = cache.name(text.as_bytes(), 0, text.len());
        cache.insert(name, text.as_bytes(), ids);
    }

    #[test]
    fn what_is_kept_is_found_or_forgotten_but_never_another() {
        for limit in [0, 1, 1 << 20, DEFAULT_LIMIT, 32 << 20] {
            let mut cache = Cache::default();
            cache.begin(1, limit);
            for (count, at_least) in [(1_000, 950), (60_000, 50_000), (300_000, 50_000)] {
                for _ in 0..2 {
                    for number in 0..count {
                        let (text, ids) = word(number);
                        if known(&mut cache, &text).is_none() {
                            keep(&mut cache, &text, &ids);
                        }
                        let found = known(&mut cache, &text);
                        assert!(
                            found == Some(ids) || (found.is_none() && limit < 1 << 20),
                            "{text}"
                        );
                    }
                }
                let found = (0..count).filter(|&number| {
                    let (text, ids) = word(number);
                    known(&mut cache, &text).is_some_and(|known| known == ids || panic!("{text}"))
                });
                let found = found.count();
                assert!(found >= at_least || limit < DEFAULT_LIMIT, "{found} {:?}", cache.info());
                let Info { bytes, used, entries, .. } = cache.info();
                assert!(bytes <= limit && used <= entries, "{:?}", cache.info());
            }
            cache.begin(2, limit);
            assert_eq!(known(&mut cache, "1é"), None);
        }
    }

    #[test]
    fn it_begins_small_and_grows_as_it_pays() {
        let mut cache = Cache::default();
        cache.begin(1, DEFAULT_LIMIT);
        let take = |cache: &mut Cache, number: u32| {
            let (text, ids) = word(number);
            if known(cache, &text).is_none() {
                keep(cache, &text, &ids);
            }
        };
        // Few words, all new: it stays as it is.
        (0..10_000).for_each(|number| take(&mut cache, number));
        assert!(cache.info().bytes < 1 << 20, "{:?}", cache.info());
        // Some come often, as words do.
        (0..60_000).for_each(|n| take(&mut cache, n * 7919 % 20_000 * (n % 100) / 100));
        assert!(cache.info().bytes > 2 << 20, "{:?}", cache.info());
        cache.begin(1, 1 << 20);
        assert!(cache.info().bytes <= 1 << 20, "{:?}", cache.info());
        // With less allowed than it has room to grow to, it stays within that.
        cache.begin(3, DEFAULT_LIMIT);
        cache.begin(3, 3 << 20);
        (0..400_000).for_each(|number| take(&mut cache, number % 100_000));
        assert!(cache.info().bytes <= 3 << 20, "{:?}", cache.info());
        // Each comes again just after it was forgotten.
        cache.begin(2, DEFAULT_LIMIT);
        (0..400_000).for_each(|number| take(&mut cache, number % 20_000));
        assert!(cache.info().used > 18_000, "{:?}", cache.info());
    }
}
