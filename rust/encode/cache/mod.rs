//! What a thread merged before: its own bounded memory from pretoken to ids.
//!
//! Tokens are not here: the table of the vocabulary answers for them (`bpe/token_table.rs`). An entry is half a
//! line of the processor's cache, or a whole one (`line.rs`), and stands in one of two lines, side by side.
//! Of what does not fit a line the ids stand in a ring, whose oldest part is overwritten. What an entry
//! holds is a pure function of vocabulary and bytes, confirmed by the whole bytes: the cache changes speed,
//! never ids.
//!
//! It begins with 256 KB and grows by four as it pays, up to a limit: when five sixteenths of it are taken and
//! enough of what is looked up is found, or so much was merged that the cost of more memory is nothing
//! beside it.

mod cache_key;
mod line;
mod ring;

use std::sync::atomic::{AtomicUsize, Ordering};

pub use self::cache_key::{CacheKey, MAX_EXACT_KEY_BYTES};
use self::line::{CacheLine, fits_half};
pub use self::line::{CachedIds, MAX_LINE_IDS};
pub use self::ring::MAX_CACHED_BYTES;
use self::ring::Ring;
use crate::bpe::index::Seed;
use crate::counters::{Event, count};
use crate::encode::sink::Sink;
use crate::error::Error;
use crate::machine::huge_pages;
use crate::machine::lanes::Lanes;
use crate::machine::prefetch::prefetch;
use crate::text::span::Span;

/// Ids of a record that are given at a time.
const IDS_AT_ONCE: usize = 16;
/// A third of a cache may be the ring's.
const RING_SHARE: usize = 3;
/// Lines that a cache begins with, of 64 bytes each, as a power of two.
const FIRST_BITS: u32 = 12;
/// Bytes of a cache's lines and ring at most, where nothing else is said.
pub const DEFAULT_LIMIT: usize = 24 << 20;

/// So many lookups count in full, older ones less and less.
const RECENT: u64 = 1 << 14;

/// Bytes of all caches of this process, for people who ask. Written when a cache grows, never while text
/// is encoded.
static ALL_BYTES: AtomicUsize = AtomicUsize::new(0);
/// How many there are.
static ALL_CACHES: AtomicUsize = AtomicUsize::new(0);

/// No room: of two lines with two halves each.
const FULL: u8 = 4;

/// By which of four halves are taken: where there is a whole line free, and where a half.
static ROOM: [[u8; 16]; 2] = {
    let mut table = [[FULL; 16]; 2];
    let mut taken = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
    while taken < 16 {
        let [first, second] = [taken & 3, taken >> 2];
        if first == 0 {
            table[0][taken] = 0;
        } else if second == 0 {
            table[0][taken] = 2;
        }
        // A line with one half taken leaves the other one for what needs it whole.
        if first == 3 && second != 3 || first == 0 && (second == 1 || second == 2) {
            table[1][taken] = 2 + (second & 1) as u8;
        } else if first != 3 {
            table[1][taken] = (first & 1) as u8;
        }
        taken += 1;
    }
    table
};

/// The memory of one thread.
pub struct Cache {
    seed: Seed,
    /// The vocabulary that the ids are of.
    vocabulary: u64,
    /// Bytes that it may take.
    limit: usize,
    lines: Vec<CacheLine>,
    ring: Ring,
    /// How many halves of lines are not free.
    used: usize,
    /// What was kept since it grew.
    inserted: usize,
    /// What was looked for lately, and what of it was found.
    looked_up: u64,
    found: u64,
    /// Bytes that [`ALL_BYTES`] has of it.
    counted: usize,
}

/// What is known of a thread's cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheInfo {
    /// Halves of lines that hold something.
    pub used: usize,
    /// Halves that there are.
    pub entries: usize,
    /// Bytes of lines and ring.
    pub bytes: usize,
    /// Bytes that they may take.
    pub limit: usize,
    /// Caches of all threads, and their bytes.
    pub all: (usize, usize),
}

impl Default for Cache {
    fn default() -> Self {
        ALL_CACHES.fetch_add(1, Ordering::Relaxed);
        let (lines, ring) = <_>::default();
        let (used, inserted, looked_up, found, counted) = (0, 0, 0, 0, 0);
        let limit = DEFAULT_LIMIT;
        Self {
            seed: Seed::random(),
            vocabulary: 0,
            limit,
            lines,
            ring,
            used,
            inserted,
            looked_up,
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
    /// Forgets everything if it is of another vocabulary than `vocabulary`, which is not 0, or has more than
    /// `limit` bytes.
    pub fn begin(&mut self, vocabulary: u64, limit: usize) {
        if self.vocabulary != vocabulary || (self.limit != limit && self.bytes() > limit) {
            self.lines = Vec::new();
            self.ring = Ring::default();
            (self.used, self.looked_up, self.found) = (0, 0, 0);
            self.vocabulary = vocabulary;
            self.grow(limit);
            self.account();
        }
        if self.limit != limit {
            self.limit = limit;
            self.limit_ring(limit);
        }
    }

    /// Lets the ring have its share, and no more than the lines leave, which may be larger than theirs if the
    /// limit was lowered.
    fn limit_ring(&mut self, limit: usize) {
        let left = limit.saturating_sub(self.lines.len() * size_of::<CacheLine>());
        self.ring.set_limit(left.min(limit / RING_SHARE));
    }

    fn bytes(&self) -> usize {
        self.lines.len() * size_of::<CacheLine>() + self.ring.size()
    }

    /// What is known of it.
    pub fn info(&self) -> CacheInfo {
        CacheInfo {
            used: self.used,
            entries: 2 * self.lines.len(),
            bytes: self.bytes(),
            limit: self.limit,
            all: (ALL_CACHES.load(Ordering::Relaxed), ALL_BYTES.load(Ordering::Relaxed)),
        }
    }

    /// The key of `text[start..end]`, and the line where its entry may be.
    #[inline(always)]
    pub fn key(&self, text: &[u8], span: Span) -> (CacheKey, usize) {
        let key = CacheKey::new(text, span, self.seed);
        (key, self.line_index(key))
    }

    #[inline(always)]
    fn line_index(&self, key: CacheKey) -> usize {
        // A power of two, or none.
        (key.hash(self.seed) >> 32) as usize & self.lines.len().wrapping_sub(1)
    }

    /// Asks for the lines of a place.
    #[inline(always)]
    pub fn prefetch(&self, line: usize) {
        prefetch(self.lines.as_ptr().wrapping_add(line));
        prefetch(self.lines.as_ptr().wrapping_add(line ^ 1));
    }

    /// Asks for the record that an entry keys, if it keys one.
    #[inline(always)]
    pub fn prefetch_record(&self, known: &CachedIds) {
        if known.is_in_ring() {
            self.ring.prefetch(known.record().0);
        }
    }

    /// What is known of a key that may be in the line of a place, or in the one beside it. What is in the
    /// ring has [`Cache::emit_record`].
    #[inline(always)]
    pub fn lookup<L: Lanes>(&self, lanes: L, line: usize, key: &CacheKey) -> CachedIds {
        let (Some(line), Some(other)) = (self.lines.get(line), self.lines.get(line ^ 1)) else {
            return CachedIds::default();
        };
        let (cached, [is_here, is_there]) = line.known(other, lanes, key);
        count(Event::Hit, usize::from(is_here));
        count(Event::Second, usize::from(is_there));
        cached
    }

    /// Says how many were looked up, and found: whether growing pays.
    pub fn note_lookups(&mut self, looked_up: usize, found: usize) {
        self.looked_up += looked_up as u64;
        self.found += found as u64;
        if self.looked_up > RECENT {
            (self.looked_up, self.found) = (self.looked_up / 2, self.found / 2);
        }
    }

    /// Gives the ids of the record that an entry keys to `sink`; whether it is still there and is of
    /// `pretoken`.
    #[inline(never)]
    pub fn emit_record(
        &self,
        known: &CachedIds,
        pretoken: &[u8],
        sink: &mut impl Sink,
    ) -> Result<bool, Error> {
        let bytes = bytes_beyond_key(pretoken);
        let (record, ids) = known.record();
        let Some((ids, kept)) = self.ring.get(record, ids, bytes.len()) else { return Ok(false) };
        if !known.is_in_ring() || kept != bytes {
            return Ok(false);
        }
        count(Event::Long, 1);
        for ids in ids.chunks(IDS_AT_ONCE) {
            let mut some = [0; IDS_AT_ONCE];
            let places = some.iter_mut().zip(ids);
            places.for_each(|(id, &[a, b, c])| *id = u32::from_le_bytes([a, b, c, 0]));
            sink.take_first(&some, ids.len())?;
        }
        Ok(true)
    }

    /// Keeps the ids of a pretoken of 1 to [`MAX_CACHED_BYTES`] bytes under its key.
    pub fn insert(&mut self, key: CacheKey, pretoken: &[u8], ids: &[u32]) {
        if self.is_too_small() {
            self.grow(self.limit);
        }
        if self.lines.is_empty() {
            return;
        }
        self.inserted += 1;
        let known = if key.is_exact() && ids.len() <= MAX_LINE_IDS {
            CachedIds::few(ids)
        } else {
            // Without memory nothing is kept.
            let Some(record) = self.ring.add(ids, bytes_beyond_key(pretoken), self.growing_pays())
            else {
                return;
            };
            CachedIds::in_ring(record, ids.len())
        };
        self.account();
        self.put(key, known);
    }

    /// Writes an entry over the one of the same key, or where there is room, or over another, which is as
    /// good as drawn by lot.
    fn put(&mut self, key: CacheKey, known: CachedIds) {
        let line_index = self.line_index(key);
        let (Some(line), Some(other)) =
            (self.lines.get(line_index), self.lines.get(line_index ^ 1))
        else {
            return;
        };
        let taken = line.taken() | other.taken() << 2;
        let spot = match (line.half_of(&key), other.half_of(&key)) {
            (None, None) => {
                let spots =
                    ROOM.get(usize::from(fits_half(key, known))).and_then(|row| row.get(taken));
                let spot = spots.map_or(FULL, |&spot| spot);
                usize::from(if spot < FULL { spot } else { self.inserted as u8 % FULL })
            }
            (Some(half), _) => half,
            (_, Some(half)) => 2 + half,
        };
        let Some(line) = self.lines.get_mut(line_index ^ (spot / 2)) else { return };
        let before = line.taken().count_ones();
        line.put(spot % 2, key, known);
        self.used += line.taken().count_ones() as usize;
        self.used -= before as usize;
    }

    /// Whether more memory would pay: of what is looked for a sixteenth is found, so the text repeats
    /// itself. More is not looked_up, since a cache that is far too small finds little in any text, and
    /// nothing in one that begins anew just after each word was forgotten; so neither is that, once four
    /// times as much was merged as there are lines.
    fn growing_pays(&self) -> bool {
        self.found > self.looked_up / 16 || self.inserted > 4 * self.lines.len()
    }

    /// Whether there should be more lines: five of sixteen halves are taken. Were it half of them, one pretoken
    /// in twenty would find both of its lines full, and two that want the same place would take turns in being
    /// forgotten.
    fn is_too_small(&self) -> bool {
        self.lines.is_empty() || (self.used > self.lines.len() / 8 * 5 && self.growing_pays())
    }

    /// Makes more lines, or the first ones, if that is within the limit and there is memory.
    fn grow(&mut self, limit: usize) {
        (self.inserted, self.looked_up, self.found) = (0, 0, 0);
        self.limit_ring(limit);
        let share = limit - limit / RING_SHARE;
        // The ring may be larger than its share if the limit was lowered.
        let most = share.min(limit.saturating_sub(self.ring.size())) / size_of::<CacheLine>();
        // By four, so that little time goes into moving; or by two, where four are too many.
        let sizes = match self.lines.len() {
            0 => [1 << FIRST_BITS; 2],
            count => [4 * count, 2 * count],
        };
        // The ring may be larger than its share if the limit was lowered.

        let Some(size) = sizes.into_iter().find(|&size| size <= most) else { return };
        let Ok(lines) = huge_pages::table(size, CacheLine::default()) else { return };
        let old = std::mem::replace(&mut self.lines, lines);
        self.used = 0;
        for (key, known) in old.iter().flat_map(CacheLine::entries).flatten() {
            self.put(key, known);
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

/// The bytes of a pretoken that its key does not stand for: a short one is its key.
fn bytes_beyond_key(pretoken: &[u8]) -> &[u8] {
    if pretoken.len() > MAX_EXACT_KEY_BYTES { pretoken } else { &[] }
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
        let (key, place) = cache.key(text.as_bytes(), Span::whole(text.as_bytes()));
        let known = cache.lookup(crate::machine::lanes::portable::Portable, place, &key);
        cache.note_lookups(1, usize::from(!known.is_none()));
        let mut ids = Vec::new();
        known.emit(&mut ids).unwrap();
        let is_known =
            known.has_ids() || cache.emit_record(&known, text.as_bytes(), &mut ids).unwrap();
        is_known.then_some(ids)
    }

    fn keep(cache: &mut Cache, text: &str, ids: &[u32]) {
        let (key, _) = cache.key(text.as_bytes(), Span::whole(text.as_bytes()));
        cache.insert(key, text.as_bytes(), ids);
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
                let CacheInfo { bytes, used, entries, .. } = cache.info();
                assert!(bytes <= limit && used <= entries, "{:?}", cache.info());
            }
            cache.begin(2, limit);
            assert_eq!(known(&mut cache, "1é"), None);
        }
    }

    /// A limit that is lowered holds, too, however lines and ring have shared what there was.
    #[test]
    fn it_stays_within_a_limit_that_is_lowered() {
        for (long, limit) in (0..40).map(|turn| (200 * turn, (1 << 20) + turn as usize * (1 << 16)))
        {
            let mut cache = Cache::default();
            cache.begin(1, DEFAULT_LIMIT);
            // Long ones, which fill the ring alone, again and again.
            for number in 0..4 * long {
                let text = format!("{}{}", number % long, "é".repeat(90));
                if known(&mut cache, &text).is_none() {
                    keep(&mut cache, &text, &[number % long; 60]);
                }
            }
            // Short ones, which fill lines alone.
            for number in 0..4 * (8_000 - long) {
                let (text, id) = (format!("q{number}"), number % 1_000_000);
                keep(&mut cache, &text, &[id]);
            }
            cache.begin(1, limit);
            for number in 0..60_000 {
                let (text, ids) = word(number % 20_000);
                if known(&mut cache, &text).is_none() {
                    keep(&mut cache, &text, &ids);
                }
                let info = cache.info();
                assert!(info.bytes <= limit, "{long} {limit} {info:?}");
            }
        }
        let mut cache = Cache::default();
        cache.begin(1, DEFAULT_LIMIT);
        let before = cache.counted;
        cache.begin(1, 0);
        assert!(before > 0 && cache.counted == 0, "what was given back still counts");
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
