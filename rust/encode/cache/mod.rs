//! The cache of a thread: from pretokens that it has merged, and segments of them, to their ids.
//!
//! Pretokens that the lines of the token table (`bpe/token_table.rs`) have are not here; the other tokens,
//! which are long or whose line was full, are. An entry takes half a line of the processor's cache, or a
//! whole line (`line.rs`), and is in one of two neighbouring lines. If an entry does not fit a line, its ids
//! are in a ring, which overwrites its oldest records (`ring.rs`). What an entry holds follows from the
//! vocabulary and the bytes of the pretoken, and is found only by all of these bytes. So the cache changes
//! speed, never ids.
//!
//! It begins with 256 KB of lines. They become four times as many, up to a limit, when five sixteenths
//! of them are in use and growing pays: when enough of what is looked up is found, or when so much was
//! merged that the cost of more memory is nothing in comparison.

mod cache_key;
mod line;
mod ring;

use std::sync::atomic::{AtomicUsize, Ordering};

pub use self::cache_key::{CacheKey, MAX_EXACT_KEY_BYTES};
use self::line::{CacheLine, fits_half};
pub use self::line::{CachedIds, MAX_LINE_IDS};
pub use self::ring::MAX_CACHED_BYTES;
use self::ring::{Record, Ring};
use crate::bpe::index::Seed;
use crate::counters::{Event, count};
use crate::encode::sink::Sink;
use crate::error::Error;
use crate::machine::huge_pages::Table;
use crate::machine::lanes::Lanes;
use crate::machine::prefetch::prefetch;
use crate::text::span::Span;

/// Ids of a record that are emitted at a time.
const RECORD_IDS_AT_ONCE: usize = 16;
/// A third of a cache may be the ring's.
const RING_SHARE: usize = 3;
/// How many lines of 64 bytes a cache begins with, as a power of two.
const FIRST_BITS: u32 = 12;
/// The most bytes that the lines and the ring of a cache may have by default.
pub const DEFAULT_LIMIT: usize = 24 << 20;

/// After so many lookups their counts are halved, so that older lookups count less and less.
const RECENT: u64 = 1 << 14;

/// Bytes of all caches of this process, for [`CacheInfo`]. Written only when a cache grows or is freed.
static ALL_BYTES: AtomicUsize = AtomicUsize::new(0);
/// How many there are.
static ALL_CACHES: AtomicUsize = AtomicUsize::new(0);

/// In place of the number of a half: all four halves of the two lines are taken.
const FULL: u8 = 4;

/// By which of the four halves are taken: the first half of a free line, and a free half.
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
        // A half is taken from a line whose other half is taken, so that whole lines stay free.
        if first == 3 && second != 3 || first == 0 && (second == 1 || second == 2) {
            table[1][taken] = 2 + (second & 1) as u8;
        } else if first != 3 {
            table[1][taken] = (first & 1) as u8;
        }
        taken += 1;
    }
    table
};

/// The cache of one thread.
pub struct Cache {
    seed: Seed,
    /// The number of the vocabulary that the ids are of; 0 for none.
    vocabulary: u64,
    /// Bytes that it may have.
    limit: usize,
    /// A power of two of them, or none.
    lines: Table<CacheLine>,
    ring: Ring,
    /// How many halves of lines are taken.
    used: usize,
    /// How many entries were inserted since it grew.
    inserted: usize,
    /// How many keys were looked up lately.
    looked_up: u64,
    /// How many of these were found.
    found: u64,
    /// How many bytes of it [`ALL_BYTES`] counts.
    counted: usize,
}

/// How large a thread's cache is, and how full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheInfo {
    /// Halves of lines that are taken.
    pub used: usize,
    /// All halves of lines.
    pub entries: usize,
    /// Bytes of lines and ring.
    pub bytes: usize,
    /// Bytes that they may have.
    pub limit: usize,
    /// How many threads have a cache.
    pub all_caches: usize,
    /// Bytes of all caches.
    pub all_bytes: usize,
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

/// The lines of a cache, borrowed once for many lookups.
#[derive(Clone, Copy)]
pub struct CacheLines<'a> {
    seed: Seed,
    lines: &'a [CacheLine],
}

impl CacheLines<'_> {
    /// The key of the bytes of `span`, and the index of the line where its entry may be.
    #[inline(always)]
    pub fn key(self, text: &[u8], span: Span) -> (CacheKey, usize) {
        let key = CacheKey::new(text, span, self.seed);
        (key, self.line_index(key))
    }

    #[inline(always)]
    fn line_index(self, key: CacheKey) -> usize {
        // The number of lines is a power of two. If there are none, the index is wrong, and no line has it.
        (key.hash(self.seed) >> 32) as usize & self.lines.len().wrapping_sub(1)
    }

    /// Prefetches the two lines where an entry may be.
    #[inline(always)]
    pub fn prefetch(self, line: usize) {
        prefetch(self.lines.as_ptr().wrapping_add(line));
        prefetch(self.lines.as_ptr().wrapping_add(line ^ 1));
    }

    /// The entry of a key that may be in this line or in its neighbour. If the ids are in the ring,
    /// [`Cache::emit_record`] gives them.
    #[inline(always)]
    pub fn lookup<L: Lanes>(self, lanes: L, line: usize, key: &CacheKey) -> CachedIds {
        // A cache that may keep nothing has no lines. Any other one has each line that a key leads to.
        let (Some(line), Some(other)) = (self.lines.get(line), self.lines.get(line ^ 1)) else {
            return CachedIds::default();
        };
        let (cached, [is_here, is_there]) = line.cached(other, lanes, key);
        count(Event::FirstLine, usize::from(is_here));
        count(Event::SecondLine, usize::from(is_there));
        cached
    }
}

impl Cache {
    /// Begins a text. Empties the cache if it is of another vocabulary than the one with this number,
    /// which is not 0, or if it has more than `limit` bytes.
    pub fn begin(&mut self, vocabulary: u64, limit: usize) {
        if self.vocabulary != vocabulary || (self.limit != limit && self.bytes() > limit) {
            self.lines = Table::default();
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

    /// Lets the ring have its share, but no more than the lines leave of the limit: they may have more
    /// than their share if the limit was lowered.
    fn limit_ring(&mut self, limit: usize) {
        let left = limit.saturating_sub(self.lines.len() * size_of::<CacheLine>());
        self.ring.set_limit(left.min(limit / RING_SHARE));
    }

    fn bytes(&self) -> usize {
        self.lines.len() * size_of::<CacheLine>() + self.ring.size()
    }

    /// How large it is, and how full.
    pub fn info(&self) -> CacheInfo {
        CacheInfo {
            used: self.used,
            entries: 2 * self.lines.len(),
            bytes: self.bytes(),
            limit: self.limit,
            all_caches: ALL_CACHES.load(Ordering::Relaxed),
            all_bytes: ALL_BYTES.load(Ordering::Relaxed),
        }
    }

    /// Its lines, for lookups.
    #[inline(always)]
    pub fn lines(&self) -> CacheLines<'_> {
        CacheLines { seed: self.seed, lines: &self.lines }
    }

    /// Prefetches the record of an entry whose ids are in the ring.
    #[inline(always)]
    pub fn prefetch_record(&self, cached: &CachedIds) {
        if cached.is_in_ring() {
            self.ring.prefetch(cached.record().start);
        }
    }

    /// Counts keys that were looked up, and those found, which tells whether growing pays.
    pub fn note_lookups(&mut self, looked_up: usize, found: usize) {
        self.looked_up += looked_up as u64;
        self.found += found as u64;
        if self.looked_up > RECENT {
            (self.looked_up, self.found) = (self.looked_up / 2, self.found / 2);
        }
    }

    /// Emits the ids of an entry's record to `sink`. `false` if the record was overwritten, or is that
    /// of another pretoken.
    #[inline(never)]
    pub fn emit_record(
        &self,
        cached: &CachedIds,
        pretoken: &[u8],
        sink: &mut impl Sink,
    ) -> Result<bool, Error> {
        let bytes = bytes_beyond_key(pretoken);
        let record = cached.record();
        // `None` means that the record was overwritten.
        let Some((ids, kept)) = self.ring.get(record, bytes.len()) else { return Ok(false) };
        if !cached.is_in_ring() || kept != bytes {
            return Ok(false);
        }
        count(Event::Long, 1);
        for ids in ids.chunks(RECORD_IDS_AT_ONCE) {
            let mut wide = [0; RECORD_IDS_AT_ONCE];
            let pairs = wide.iter_mut().zip(ids);
            pairs.for_each(|(id, &[a, b, c])| *id = u32::from_le_bytes([a, b, c, 0]));
            sink.take_first(&wide, ids.len())?;
        }
        Ok(true)
    }

    /// Inserts the ids of a pretoken of 1 to [`MAX_CACHED_BYTES`] bytes.
    pub fn insert(&mut self, key: CacheKey, pretoken: &[u8], ids: &[u32]) {
        if self.is_too_small() {
            self.grow(self.limit);
        }
        if self.lines.is_empty() {
            return;
        }
        self.inserted += 1;
        let cached = if key.is_exact() && ids.len() <= MAX_LINE_IDS {
            CachedIds::in_line(ids)
        } else {
            // Without memory nothing is inserted.
            let Some(start) = self.ring.add(ids, bytes_beyond_key(pretoken), self.growing_pays())
            else {
                return;
            };
            CachedIds::in_ring(Record { start, count: ids.len() })
        };
        self.account();
        self.put(key, cached);
    }

    /// Writes an entry over the one of the same key, or into a free half or line, or else over any other
    /// entry, which is as good as chosen at random. A pretoken that is not written is merged again, which
    /// costs time and never changes ids.
    fn put(&mut self, key: CacheKey, cached: CachedIds) {
        let line_index = self.lines().line_index(key);
        let lines: &mut [CacheLine] = &mut self.lines;
        let (Some(line), Some(other)) = (lines.get(line_index), lines.get(line_index ^ 1)) else {
            return;
        };
        let taken = line.taken() | other.taken() << 2;
        // The number of a half of the two lines.
        let half = match (line.half_of(&key), other.half_of(&key)) {
            (None, None) => {
                let free =
                    ROOM.get(usize::from(fits_half(key, cached))).and_then(|row| row.get(taken));
                // Each pair of lines has an item. Without it another entry would be overwritten.
                let free = free.map_or(FULL, |&half| half);
                usize::from(if free < FULL { free } else { self.inserted as u8 % FULL })
            }
            (Some(half), _) => half,
            (_, Some(half)) => 2 + half,
        };
        let Some(line) = lines.get_mut(line_index ^ (half / 2)) else { return };
        let before = line.taken().count_ones();
        line.put(half % 2, key, cached);
        self.used += line.taken().count_ones() as usize;
        self.used -= before as usize;
    }

    /// Whether more memory would pay. It does if a sixteenth of what is looked up is found, since then
    /// the text repeats itself. A larger share is not demanded, since a cache that is far too small
    /// finds little in any text. It finds nothing in a text that repeats each word just after it was
    /// overwritten. So growing also pays, whatever is found, once four times as much was inserted as
    /// there are lines.
    fn growing_pays(&self) -> bool {
        self.found > self.looked_up / 16 || self.inserted > 4 * self.lines.len()
    }

    /// Whether there should be more lines: five sixteenths of the halves are taken. With half of them
    /// taken, one pretoken in twenty would find both of its lines full, and two pretokens of the same
    /// lines would overwrite each other in turn.
    fn is_too_small(&self) -> bool {
        self.lines.is_empty() || (self.used > self.lines.len() / 8 * 5 && self.growing_pays())
    }

    /// Makes more lines, or the first ones, if that is within the limit and there is memory.
    fn grow(&mut self, limit: usize) {
        (self.inserted, self.looked_up, self.found) = (0, 0, 0);
        self.limit_ring(limit);
        let share = limit - limit / RING_SHARE;
        // The ring may have more than its share if the limit was lowered.
        let max_lines = share.min(limit.saturating_sub(self.ring.size())) / size_of::<CacheLine>();
        // Four times as many, so that moving entries takes little time; twice as many if that would be
        // too many.
        let sizes = match self.lines.len() {
            0 => [1 << FIRST_BITS; 2],
            count => [4 * count, 2 * count],
        };
        // If no size is allowed, or memory is refused, the lines stay as they are.
        let Some(size) = sizes.into_iter().find(|&size| size <= max_lines) else { return };
        let Ok(lines) = Table::zeroed(size) else { return };
        let old = std::mem::replace(&mut self.lines, lines);
        self.used = 0;
        for (key, cached) in old.iter().flat_map(CacheLine::entries).flatten() {
            self.put(key, cached);
        }
        self.account();
    }

    /// Updates [`ALL_BYTES`].
    fn account(&mut self) {
        let bytes = self.bytes();
        if bytes != self.counted {
            ALL_BYTES.fetch_add(bytes, Ordering::Relaxed);
            ALL_BYTES.fetch_sub(std::mem::replace(&mut self.counted, bytes), Ordering::Relaxed);
        }
    }
}

/// The bytes of a pretoken that its record must have: none if the key is exact.
fn bytes_beyond_key(pretoken: &[u8]) -> &[u8] {
    if pretoken.len() > MAX_EXACT_KEY_BYTES { pretoken } else { &[] }
}

#[cfg(test)]
mod tests;
