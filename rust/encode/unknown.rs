//! Pretokens that neither the table of tokens nor the cache knows: merged, all of a round pretoken_ids.
//!
//! ```text
//! split     a pretoken into segments, at places that no merge crosses      (bpe/boundaries.rs)
//! tokens    is a segment a token that merging gives?                       (bpe/token_table.rs)
//! cache     was it merged before?
//! merge     if not: up to 62 bytes by the rule, eight segments at a time   (bpe/short_merge.rs)
//!           longer ones window by window                                (bpe/merge.rs)
//! ```
//!
//! Each step is done for all segments before the next one, and asks for the memory that the next one needs.

use crate::bpe::index::NONE;
use crate::bpe::merge::MergeMemory;
use crate::bpe::short_merge::{SHORT_BYTES, ShortMerge};
use crate::bpe::token_key::KEY_MASKS;
use crate::counters::{Event, count};
use crate::encode::cache::{Cache, MAX_LINE_IDS, MAX_CACHED_BYTES, CacheKey, MAX_EXACT_KEY_BYTES};
use crate::encode::sink::Sink;
use crate::error::{Check, Error};
use crate::machine::code_path::CodePath;
use crate::machine::lanes::{Lanes, Vectorized, hash, key_of, load_16_bytes};
use crate::vocabulary::Vocabulary;

/// Words that are merged at a time.
const MERGES_AT_ONCE: usize = 8;
/// Parts of a pretoken that is too long for the cache, which are resolved at a time.
const SEGMENTS_AT_ONCE: usize = 256;

/// Ids that there is room for from one text to the next: a megabyte.
const MAX_KEPT_IDS: usize = 1 << 18;

/// What is between two places that no merge crosses.
#[derive(Clone, Copy)]
struct Segment {
    start: usize,
    end: usize,
    state: State,
}

/// What is known of a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing, and nobody is to be lookups: it is a pretoken as a whole, for which table and cache were lookups,
    /// or too long for both, or a token that merging does not give.
    Unmerged,
    /// Nothing yet; the hash of its key.
    Unchecked(u32),
    /// The table does not have it, perhaps the cache: its number among those that are lookups for there.
    InCache(u32),
    /// Neither table nor cache has it: the same number.
    Unknown(u32),
    /// Its id, as the table has it.
    Token(u32),
    /// Where its ids are among those of all, and how many there are.
    Merged(usize, usize),
}

/// Memory that is used again.
#[derive(Default)]
pub struct Unknown {
    segments: Vec<Segment>,
    /// Where the segments of each pretoken end.
    ends: Vec<usize>,
    /// The keys of segments that the cache is lookups for, and their places.
    lookups: Vec<(CacheKey, usize)>,
    ids: Vec<u32>,
    words: Vec<ShortMerge>,
    merging: MergeMemory,
    /// The ids of one pretoken.
    pretoken_ids: Vec<u32>,
}

impl Unknown {
    /// Forgets what it knows of another vocabulary than `vocabulary`, which is not 0.
    pub fn begin(&mut self, vocabulary: u64) {
        if self.ids.capacity() > MAX_KEPT_IDS {
            self.ids = Vec::new();
        }
        self.merging.begin(vocabulary);
    }

    /// Begins a round.
    pub fn clear(&mut self) {
        self.segments.clear();
        self.ends.clear();
        self.lookups.clear();
        self.ids.clear();
    }

    /// Adds the pretoken `text[start..end]`, unless it is longer than [`MAX_CACHED_BYTES`]. Neither the table's lines,
    /// lookups with the `hash` of its key, nor the cache have it.
    #[inline(never)]
    pub fn add(
        &mut self,
        vocabulary: &Vocabulary,
        text: &[u8],
        (start, end): (usize, usize),
        hash: u32,
    ) -> Result<(), Error> {
        let pretoken = text.get(start..end).ok_or_else(outside)?;
        if pretoken.len() > MAX_CACHED_BYTES {
            return Ok(());
        }
        let whole = vocabulary.token_table().find_after_line_miss(pretoken, hash);
        if whole != NONE {
            let state = State::Token(whole);
            self.push(Segment { start, end, state })?;
        } else if pretoken.is_ascii() {
            // Nowhere is it cut.
            self.push(Segment { start, end, state: State::Unmerged })?;
        } else {
            self.split(vocabulary, text, (start, end), start, usize::MAX)?;
        }
        self.ends.try_reserve(1)?;
        self.ends.push(self.segments.len());
        Ok(())
    }

    fn push(&mut self, segment: Segment) -> Result<(), Error> {
        self.segments.try_reserve(1)?;
        self.segments.push(segment);
        Ok(())
    }

    /// Adds the segments of a pretoken from `at` on, `most` of them at most. Gives where the last one ends.
    fn split(
        &mut self,
        vocabulary: &Vocabulary,
        text: &[u8],
        (start, end): (usize, usize),
        mut at: usize,
        most: usize,
    ) -> Result<usize, Error> {
        let pretoken = text.get(start..end).ok_or_else(outside)?;
        let (segments, lines) = (vocabulary.boundaries(), vocabulary.token_table().lines());
        for _ in 0..most {
            if at == end {
                break;
            }
            let (from, to) = (at, start + segments.next_boundary(pretoken, at - start));
            let mut state = State::Unmerged;
            if from > start || to < end {
                count(Event::Segments, 1);
                let hash = hash(key_of(load_16_bytes(text, from), to - from, &KEY_MASKS));
                lines.prefetch(hash);
                state = State::Unchecked(hash);
            }
            self.push(Segment { start: from, end: to, state })?;
            at = to;
        }
        Ok(at)
    }

    /// Finds the ids of all segments.
    #[inline(always)]
    pub fn resolve(
        &mut self,
        path: CodePath,
        vocabulary: &Vocabulary,
        text: &[u8],
        cache: &mut Cache,
        check: &Check,
    ) -> Result<(), Error> {
        path.run(Resolve { unknown: self, path, vocabulary, text, cache, check })
    }

    /// Gives the ids of pretoken `number`, in the order in which they were added, and keeps them.
    pub fn emit(
        &mut self,
        number: usize,
        text: &[u8],
        key: CacheKey,
        cache: &mut Cache,
        sink: &mut impl Sink,
    ) -> Result<(), Error> {
        let from = match number.checked_sub(1) {
            Some(before) => *self.ends.get(before).ok_or_else(outside)?,
            None => 0,
        };
        let to = *self.ends.get(number).ok_or_else(outside)?;
        let segments = self.segments.get(from..to).ok_or_else(outside)?;
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
            return Err(outside());
        };
        self.pretoken_ids.clear();
        for segment in segments {
            segment.emit(&self.ids, &mut self.pretoken_ids)?;
        }
        let pretoken = text.get(first.start..last.end).ok_or_else(outside)?;
        cache.insert(key, pretoken, &self.pretoken_ids);
        sink.take(&self.pretoken_ids)
    }

    /// Gives the ids of a pretoken of any length, batch segments at a time, and keeps none of the whole.
    pub fn emit_long(
        &mut self,
        path: CodePath,
        vocabulary: &Vocabulary,
        (text, start, end): (&[u8], usize, usize),
        cache: &mut Cache,
        sink: &mut impl Sink,
        check: &Check,
    ) -> Result<(), Error> {
        debug_assert!(end - start > MAX_CACHED_BYTES);
        let pretoken = text.get(start..end).ok_or_else(outside)?;
        let whole = vocabulary.token_table().find_overflow(pretoken);
        if whole != NONE {
            return sink.take(&[whole]);
        }
        let mut at = start;
        while at < end {
            self.clear();
            at = self.split(vocabulary, text, (start, end), at, SEGMENTS_AT_ONCE)?;
            self.resolve(path, vocabulary, text, cache, check)?;
            for segment in &self.segments {
                segment.emit(&self.ids, sink)?;
            }
            check()?;
        }
        self.clear();
        Ok(())
    }
}

/// All segments of batch pretokens are to be found.
struct Resolve<'a> {
    unknown: &'a mut Unknown,
    path: CodePath,
    vocabulary: &'a Vocabulary,
    text: &'a [u8],
    cache: &'a mut Cache,
    check: &'a Check<'a>,
}

impl Vectorized for Resolve<'_> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) -> Result<(), Error> {
        self.look_up(lanes)?;
        self.merge()
    }
}

impl Resolve<'_> {
    /// Asks the table, then the cache.
    #[inline(always)]
    fn look_up<L: Lanes>(&mut self, lanes: L) -> Result<(), Error> {
        let Self { unknown, vocabulary, text, cache, .. } = self;
        let table = vocabulary.token_table();
        let Unknown { segments, lookups, ids, .. } = unknown;
        for segment in segments.iter_mut() {
            // The others are known, or pretokens as a whole.
            let State::Unchecked(hash) = segment.state else { continue };
            let (start, end) = (segment.start, segment.end);
            let id = table.find_with_hash(text, (start, end), hash);
            if id != NONE && table.is_reached(id) {
                segment.state = State::Token(id);
                continue;
            }
            // As a pretoken, a token that merging does not give has another id than as a segment: the cache is
            // not lookups for such a segment, nor told of it.
            segment.state = State::Unmerged;
            if id == NONE && end - start <= MAX_EXACT_KEY_BYTES {
                let (key, place) = cache.key(text, start, end);
                cache.prefetch(place);
                segment.state = State::InCache(lookups.len() as u32);
                lookups.try_reserve(1)?;
                lookups.push((key, place));
            }
        }
        for segment in segments.iter_mut() {
            // The cache was not lookups for the others.
            let State::InCache(number) = segment.state else { continue };
            let (key, place) = lookups.get(number as usize).ok_or_else(outside)?;
            let known = cache.lookup(lanes, *place, key);
            segment.state = if known.has_ids() {
                let from = ids.len();
                known.emit(ids)?;
                State::Merged(from, known.count())
            } else {
                State::Unknown(number)
            };
        }
        Ok(())
    }

    /// Merges the segments that nobody knows.
    #[inline(always)]
    fn merge(&mut self) -> Result<(), Error> {
        let Self { unknown, path, vocabulary, text, cache, check } = self;
        let (certain, pairs) = (vocabulary.certain(), vocabulary.pairs());
        let Unknown { segments, lookups, ids, words, merging, .. } = unknown;
        words.resize(MERGES_AT_ONCE, ShortMerge::default());
        let is_open = |segment: &Segment| matches!(segment.state, State::Unmerged | State::Unknown(_));
        let mut open = segments.iter_mut().filter(|segment| is_open(segment));
        loop {
            let mut batch: [Option<&mut Segment>; MERGES_AT_ONCE] = [const { None }; MERGES_AT_ONCE];
            let mut count = 0;
            for segment in open.by_ref() {
                let bytes = text.get(segment.start..segment.end).ok_or_else(outside)?;
                if bytes.len() > SHORT_BYTES {
                    let place = (*text, segment.start, segment.end);
                    let merged = vocabulary.merge(*path, place, merging, check)?;
                    finish(segment, lookups, ids, merged, cache, text)?;
                    continue;
                }
                if let (Some(merge), Some(slot)) = (words.get_mut(count), batch.get_mut(count)) {
                    merge.begin(certain, bytes);
                    *slot = Some(segment);
                    count += 1;
                }
                if count == MERGES_AT_ONCE {
                    break;
                }
            }
            if count == 0 {
                return Ok(());
            }
            let words = words.get_mut(..count).unwrap_or(&mut []);
            words.iter_mut().for_each(|merge| merge.filter(pairs));
            words.iter_mut().for_each(|merge| merge.look_up(pairs));
            for (merge, segment) in words.iter_mut().zip(batch.into_iter().flatten()) {
                let mut merged = [0; SHORT_BYTES];
                let count = merge.finish(pairs, &mut merged);
                let merged = merged.get(..count).ok_or_else(outside)?;
                finish(segment, lookups, ids, merged, cache, text)?;
            }
        }
    }
}

#[cold]
fn outside() -> Error {
    Error::Internal("a segment of a pretoken is outside of it")
}

impl Segment {
    fn emit(&self, ids: &[u32], sink: &mut impl Sink) -> Result<(), Error> {
        match self.state {
            State::Token(id) => sink.take(&[id]),
            State::Merged(from, count) => {
                sink.take(ids.get(from..from + count).ok_or_else(outside)?)
            }
            _ => Err(Error::Internal("a segment of a pretoken was not merged")),
        }
    }
}

/// Notes what a segment was merged to, and keeps it if the cache was lookups for it. (A pretoken as a whole is
/// kept anyway.)
fn finish(
    segment: &mut Segment,
    lookups: &[(CacheKey, usize)],
    ids: &mut Vec<u32>,
    merged: &[u32],
    cache: &mut Cache,
    text: &[u8],
) -> Result<(), Error> {
    if merged.is_empty() {
        return Err(Error::Internal("a segment of a pretoken was merged to nothing"));
    }
    count(Event::Merged, 1);
    let state = State::Merged(ids.len(), merged.len());
    ids.take(merged)?;
    if let State::Unknown(number) = std::mem::replace(&mut segment.state, state) {
        let bytes = text.get(segment.start..segment.end).ok_or_else(outside)?;
        let &(key, _) = lookups.get(number as usize).ok_or_else(outside)?;
        if merged.len() <= MAX_LINE_IDS {
            cache.insert(key, bytes, merged);
        }
    }
    Ok(())
}
