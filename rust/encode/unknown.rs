//! Pretokens that neither the lines of the token table nor the cache have: looked up among the tokens that
//! are not in lines, else merged, all of a round together.
//!
//! ```text
//! split         a pretoken into segments, at positions that no merge crosses   (bpe/boundaries.rs)
//! run           segments that repeat themselves are looked up once
//! token table   is a segment a token that merging gives?                       (bpe/token_table.rs)
//! few bytes     if not, and it has up to four bytes, it is merged right away   (bpe/few_bytes.rs)
//! cache         was it merged before?
//! merge         if not: up to 62 bytes by the rule, eight segments at a time   (bpe/short_merge.rs)
//!               longer ones window by window                                   (bpe/merge.rs)
//! ```
//!
//! Each step is done for all segments before the next one, and prefetches what the next one reads.

use crate::bpe::boundaries;
use crate::bpe::few_bytes::{FEW_BYTES, merge_few_bytes};
use crate::bpe::index::NONE;
use crate::bpe::merge::MergeMemory;
use crate::bpe::short_merge::{SHORT_BYTES, ShortMerge};
use crate::bpe::token_key::KEY_MASKS;
use crate::bpe::token_table::TokenLines;
use crate::counters::{Event, count};
use crate::encode::cache::{Cache, CacheKey, MAX_CACHED_BYTES, MAX_EXACT_KEY_BYTES, MAX_LINE_IDS};
use crate::encode::segments::{Segment, SegmentState, emit_segments};
use crate::encode::sink::Sink;
use crate::error::{Check, Error, slice};
use crate::machine::code_path::CodePath;
use crate::machine::lanes::{Lanes, Vectorized, hash, key_of, load_16_bytes};
use crate::text::span::Span;
use crate::vocabulary::Vocabulary;

/// Segments that are merged at a time.
const MERGES_AT_ONCE: usize = 8;
/// Segments of a pretoken that is too long for the cache, which are resolved at a time.
const SEGMENTS_AT_ONCE: usize = 256;

/// After so many segments it is looked whether they repeat themselves: after each one, texts whose segments
/// do now and then would be slower.
const RUN_EVERY: usize = 8;
/// The longest run, in segments, so that signals are looked for between.
const MAX_RUN: usize = 1 << 12;

/// Ids whose memory is kept from one text to the next: a megabyte.
const MAX_KEPT_IDS: usize = 1 << 18;

/// What all steps of one text share.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// How it is merged.
    pub path: CodePath,
    /// What it is merged with.
    pub vocabulary: &'a Vocabulary,
    /// The lines of its token table.
    pub lines: TokenLines<'a>,
    /// The text.
    pub text: &'a [u8],
    /// Called now and then.
    pub check: &'a Check<'a>,
}

/// A lookup in the cache: a key, and the line where its entry may be.
struct CacheLookup {
    key: CacheKey,
    line: usize,
}

/// The unknown pretokens of a round, and memory that is used again.
#[derive(Default)]
pub struct Unknown {
    segments: Vec<Segment>,
    /// Where the segments of each pretoken end.
    ends: Vec<usize>,
    lookups: Vec<CacheLookup>,
    ids: Vec<u32>,
    short: Vec<ShortMerge>,
    memory: MergeMemory,
    /// The ids of one pretoken.
    pretoken_ids: Vec<u32>,
}

impl Unknown {
    /// Begins a text; forgets what it knows of another vocabulary than that with this number.
    pub fn begin(&mut self, vocabulary: u64) {
        if self.ids.capacity() > MAX_KEPT_IDS {
            self.ids = Vec::new();
        }
        self.memory.begin(vocabulary);
    }

    /// Begins a round.
    pub fn clear(&mut self) {
        self.segments.clear();
        self.ends.clear();
        self.lookups.clear();
        self.ids.clear();
    }

    /// Adds the pretoken `span`, unless it is longer than [`MAX_CACHED_BYTES`]. Neither the token
    /// table's line, which the `hash` of its key names, nor the cache has it.
    #[inline(never)]
    pub fn add(&mut self, context: &Context, span: Span, hash: u32) -> Result<(), Error> {
        let pretoken = span.bytes(context.text).ok_or_else(outside)?;
        if pretoken.len() > MAX_CACHED_BYTES {
            return Ok(());
        }
        let table = context.vocabulary.token_table();
        let id = table.find_after_line_miss(context.lines, pretoken, hash);
        if id != NONE {
            self.push(Segment { span, state: SegmentState::Token(id) })?;
        } else if pretoken.len() <= FEW_BYTES {
            let state = merge_few(context.vocabulary, pretoken, &mut self.ids)?;
            self.push(Segment { span, state })?;
        } else if pretoken.is_ascii() {
            // Between ASCII characters no boundary is looked for.
            self.push(Segment { span, state: SegmentState::ToMerge })?;
        } else {
            self.split(context, span, span.start, usize::MAX)?;
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

    /// Adds the segments of a pretoken from `at` on, but no more than `limit`. Gives where the last one ends.
    fn split(
        &mut self,
        context: &Context,
        pretoken: Span,
        mut at: usize,
        limit: usize,
    ) -> Result<usize, Error> {
        let Context { vocabulary, lines, text, .. } = *context;
        let (start, bytes) = (pretoken.start, pretoken.bytes(text).ok_or_else(outside)?);
        let boundaries = vocabulary.boundaries();
        for _ in 0..limit {
            if at == pretoken.end {
                break;
            }
            let span = Span { start: at, end: start + boundaries.next_boundary(bytes, at - start) };
            let mut state = SegmentState::ToMerge;
            if span != pretoken {
                count(Event::Segments, 1);
                let key = key_of(load_16_bytes(text, span.start), span.length(), &KEY_MASKS);
                let hash = hash(key);
                lines.prefetch(hash);
                state = SegmentState::New(hash);
            }
            self.push(Segment { span, state })?;
            at = span.end;
            if self.segments.len().is_multiple_of(RUN_EVERY) {
                at = self.add_run(text, pretoken)?;
            }
        }
        Ok(at)
    }

    /// If the last two segments of a pretoken are the same, adds those after them that are, too, as one. Gives
    /// where that ends.
    ///
    /// Two bytes on either side of a position tell whether it is a boundary. So as long as the bytes are those of
    /// one segment before, and two bytes more, the boundaries are, too.
    #[inline(always)]
    fn add_run(&mut self, text: &[u8], pretoken: Span) -> Result<usize, Error> {
        let [.., before, Segment { span: last, .. }] = *self.segments.as_slice() else {
            return Err(outside());
        };
        let is_run =
            before.span.start >= pretoken.start && before.span.bytes(text) == last.bytes(text);
        if !is_run {
            return Ok(last.end);
        }
        let bytes = slice(text, last.end..pretoken.end)?.iter();
        let before = slice(text, last.start..pretoken.end)?;
        let both = bytes.zip(before).take(MAX_RUN * last.length());
        let same = both.take_while(|(byte, before)| byte == before).count();
        let times = same.saturating_sub(boundaries::BYTES_AFTER) / last.length();
        let span = Span { start: last.end, end: last.end + times * last.length() };
        if times > 0 {
            self.push(Segment { span, state: SegmentState::Again(times) })?;
        }
        Ok(span.end)
    }

    /// Finds the ids of all segments.
    #[inline(always)]
    pub fn resolve(&mut self, context: &Context, cache: &mut Cache) -> Result<(), Error> {
        context.path.run(Resolve { unknown: self, context, cache })
    }

    /// Emits the ids of pretoken `number`, in the order in which they were added, and inserts them into the
    /// cache.
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
        emit_segments(segments, &self.ids, &mut self.pretoken_ids)?;
        let pretoken = text.get(first.span.start..last.span.end).ok_or_else(outside)?;
        cache.insert(key, pretoken, &self.pretoken_ids);
        sink.take(&self.pretoken_ids)
    }

    /// Emits the ids of a pretoken of any length, [`SEGMENTS_AT_ONCE`] segments at a time. The cache
    /// keeps none of the whole.
    pub fn emit_long(
        &mut self,
        context: &Context,
        span: Span,
        cache: &mut Cache,
        sink: &mut impl Sink,
    ) -> Result<(), Error> {
        debug_assert!(span.length() > MAX_CACHED_BYTES);
        let pretoken = span.bytes(context.text).ok_or_else(outside)?;
        let id = context.vocabulary.token_table().find_overflow(pretoken);
        if id != NONE {
            return sink.take(&[id]);
        }
        let mut at = span.start;
        while at < span.end {
            self.clear();
            at = self.split(context, span, at, SEGMENTS_AT_ONCE)?;
            self.resolve(context, cache)?;
            emit_segments(&self.segments, &self.ids, sink)?;
            (context.check)()?;
        }
        self.clear();
        Ok(())
    }
}

/// Finds the ids of all segments of some pretokens.
struct Resolve<'a> {
    unknown: &'a mut Unknown,
    context: &'a Context<'a>,
    cache: &'a mut Cache,
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
    /// Looks segments up in the token table, then in the cache.
    #[inline(always)]
    fn look_up<L: Lanes>(&mut self, lanes: L) -> Result<(), Error> {
        let Self { unknown, context, cache } = self;
        let Context { vocabulary, lines, text, .. } = **context;
        let (table, cache_lines) = (vocabulary.token_table(), cache.lines());
        let Unknown { segments, lookups, ids, .. } = unknown;
        for segment in segments.iter_mut() {
            // The others are known, or whole pretokens.
            let SegmentState::New(hash) = segment.state else { continue };
            let span = segment.span;
            let id = table.find_in(lines, text, span, hash);
            if id != NONE && table.is_reached(id) {
                segment.state = SegmentState::Token(id);
                continue;
            }
            if span.length() <= FEW_BYTES {
                let bytes = span.bytes(text).ok_or_else(outside)?;
                segment.state = merge_few(vocabulary, bytes, ids)?;
                continue;
            }
            // A token that merging does not give has other ids as a segment than as a pretoken. So such
            // a segment is neither looked up in the cache, which is for both, nor inserted.
            segment.state = SegmentState::ToMerge;
            if id == NONE && span.length() <= MAX_EXACT_KEY_BYTES {
                let (key, line) = cache_lines.key(text, span);
                cache_lines.prefetch(line);
                segment.state = SegmentState::LookUp(lookups.len() as u32);
                lookups.try_reserve(1)?;
                lookups.push(CacheLookup { key, line });
            }
        }
        for segment in segments.iter_mut() {
            // The others are not looked up in the cache.
            let SegmentState::LookUp(index) = segment.state else { continue };
            let CacheLookup { key, line } = lookups.get(index as usize).ok_or_else(outside)?;
            let cached = cache_lines.lookup(lanes, *line, key);
            segment.state = if cached.has_ids() {
                let first = ids.len();
                cached.emit(ids)?;
                SegmentState::Merged { first, count: cached.count() }
            } else {
                SegmentState::ToMergeAndInsert(index)
            };
        }
        Ok(())
    }

    /// Merges the segments that nothing knows.
    #[inline(always)]
    fn merge(&mut self) -> Result<(), Error> {
        let Self { unknown, context, cache } = self;
        let Context { path, vocabulary, text, check, .. } = **context;
        let (certain, pairs) = (vocabulary.certain(), vocabulary.pairs());
        let Unknown { segments, lookups, ids, short, memory, .. } = unknown;
        short.resize(MERGES_AT_ONCE, ShortMerge::default());
        let is_open = |segment: &Segment| {
            matches!(segment.state, SegmentState::ToMerge | SegmentState::ToMergeAndInsert(_))
        };
        let mut open = segments.iter_mut().filter(|segment| is_open(segment));
        loop {
            let mut batch: [Option<&mut Segment>; MERGES_AT_ONCE] =
                [const { None }; MERGES_AT_ONCE];
            let mut begun = 0;
            for segment in open.by_ref() {
                let bytes = segment.span.bytes(text).ok_or_else(outside)?;
                if bytes.len() > SHORT_BYTES {
                    let merged = vocabulary.merge(path, text, segment.span, memory, check)?;
                    finish(segment, lookups, ids, merged, cache, text)?;
                    continue;
                }
                // There is room for as many as are begun. A segment that is left out is not merged, which is
                // an error in [`emit_segments`].
                if let (Some(merge), Some(slot)) = (short.get_mut(begun), batch.get_mut(begun)) {
                    merge.begin(certain, bytes);
                    *slot = Some(segment);
                    begun += 1;
                }
                if begun == MERGES_AT_ONCE {
                    break;
                }
            }
            if begun == 0 {
                return Ok(());
            }
            let short = short.get_mut(..begun).ok_or_else(outside)?;
            short.iter_mut().for_each(|merge| merge.filter(pairs));
            short.iter_mut().for_each(|merge| merge.look_up(pairs));
            for (merge, segment) in short.iter_mut().zip(batch.into_iter().flatten()) {
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

#[cold]
fn nothing() -> Error {
    Error::Internal("a segment of a pretoken was merged to nothing")
}

/// Merges a word of up to [`FEW_BYTES`] bytes that merging does not make one token. That takes less time than to
/// look it up in the cache, and so it is not inserted there as a segment.
#[inline(always)]
fn merge_few(
    vocabulary: &Vocabulary,
    word: &[u8],
    ids: &mut Vec<u32>,
) -> Result<SegmentState, Error> {
    count(Event::Merged, 1);
    let (merged, count) = merge_few_bytes(vocabulary.certain(), vocabulary.pairs(), word);
    if count == 0 {
        return Err(nothing());
    }
    let state = SegmentState::Merged { first: ids.len(), count };
    ids.take_first(&merged, count)?;
    Ok(state)
}

/// Notes what a segment was merged to, and inserts that into the cache if the segment was looked up there.
/// (Whole pretokens are inserted in any case, see [`Unknown::emit`].)
fn finish(
    segment: &mut Segment,
    lookups: &[CacheLookup],
    ids: &mut Vec<u32>,
    merged: &[u32],
    cache: &mut Cache,
    text: &[u8],
) -> Result<(), Error> {
    if merged.is_empty() {
        return Err(nothing());
    }
    count(Event::Merged, 1);
    let state = SegmentState::Merged { first: ids.len(), count: merged.len() };
    ids.take(merged)?;
    if let SegmentState::ToMergeAndInsert(index) = std::mem::replace(&mut segment.state, state) {
        let bytes = segment.span.bytes(text).ok_or_else(outside)?;
        let CacheLookup { key, .. } = lookups.get(index as usize).ok_or_else(outside)?;
        if merged.len() <= MAX_LINE_IDS {
            cache.insert(*key, bytes, merged);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::best_encoder;

    #[test]
    fn a_word_that_has_not_few_bytes_is_an_error_and_not_fewer_ids() {
        let vocabulary = &best_encoder().0.vocabulary;
        for word in ["", "q", "qqqqq"] {
            let mut ids = Vec::new();
            let merged = merge_few(vocabulary, word.as_bytes(), &mut ids);
            assert!(matches!(merged, Err(Error::Internal(_))) && ids.is_empty(), "{word:?}");
        }
    }
}
