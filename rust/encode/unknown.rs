//! Pretokens that neither the table of tokens nor the cache knows: merged, all of a round together.
//!
//! ```text
//! split     a pretoken into parts, at places that no merge crosses      (bpe/boundaries.rs)
//! tokens    is a part a token that merging gives?                       (bpe/token_table.rs)
//! cache     was it merged before?
//! merge     if not: up to 62 bytes by the rule, eight parts at a time   (bpe/short_merge.rs)
//!           longer ones window by window                                (bpe/merge.rs)
//! ```
//!
//! Each step is done for all parts before the next one, and asks for the memory that the next one needs.

use crate::bpe::index::NONE;
use crate::bpe::merge::MergeMemory;
use crate::bpe::short_merge::{SHORT_BYTES, ShortMerge};
use crate::bpe::token_key::KEPT;
use crate::counters::{Event, count};
use crate::encode::cache::{Cache, FEW, LONGEST, Name, SHORT_NAME};
use crate::encode::sink::Sink;
use crate::error::{Check, Error};
use crate::machine::code_path::CodePath;
use crate::machine::lanes::{Lanes, Vectorized, hash, key_of, load_16_bytes};
use crate::vocabulary::Vocabulary;

/// Words that are merged at a time.
const WORDS: usize = 8;
/// Parts of a pretoken that is too long for the cache, which are resolved at a time.
const PARTS: usize = 256;

/// Ids that there is room for from one text to the next: a megabyte.
const KEPT_IDS: usize = 1 << 18;

/// What is between two places that no merge crosses.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    end: usize,
    state: State,
}

/// What is known of a part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing, and nobody is to be asked: it is a pretoken as a whole, for which table and cache were asked,
    /// or too long for both, or a token that merging does not give.
    Whole,
    /// Nothing yet; the hash of its key.
    New(u32),
    /// The table does not have it, perhaps the cache: its number among those that are asked for there.
    Asked(u32),
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
    parts: Vec<Part>,
    /// Where the parts of each pretoken end.
    ends: Vec<usize>,
    /// The names of parts that the cache is asked for, and their places.
    asked: Vec<(Name, usize)>,
    ids: Vec<u32>,
    words: Vec<ShortMerge>,
    merging: MergeMemory,
    /// The ids of one pretoken.
    together: Vec<u32>,
}

impl Unknown {
    /// Forgets what it knows of another vocabulary than `owner`, which is not 0.
    pub fn begin(&mut self, owner: u64) {
        if self.ids.capacity() > KEPT_IDS {
            self.ids = Vec::new();
        }
        self.merging.begin(owner);
    }

    /// Begins a round.
    pub fn clear(&mut self) {
        self.parts.clear();
        self.ends.clear();
        self.asked.clear();
        self.ids.clear();
    }

    /// Adds the pretoken `text[start..end]`, unless it is longer than [`LONGEST`]. Neither the table's lines,
    /// asked with the `hash` of its key, nor the cache have it.
    #[inline(never)]
    pub fn add(
        &mut self,
        vocabulary: &Vocabulary,
        text: &[u8],
        (start, end): (usize, usize),
        hash: u32,
    ) -> Result<(), Error> {
        let pretoken = text.get(start..end).ok_or_else(outside)?;
        if pretoken.len() > LONGEST {
            return Ok(());
        }
        let whole = vocabulary.token_table().find_after_line_miss(pretoken, hash);
        if whole != NONE {
            let state = State::Token(whole);
            self.push(Part { start, end, state })?;
        } else if pretoken.is_ascii() {
            // Nowhere is it cut.
            self.push(Part { start, end, state: State::Whole })?;
        } else {
            self.split(vocabulary, text, (start, end), start, usize::MAX)?;
        }
        self.ends.try_reserve(1)?;
        self.ends.push(self.parts.len());
        Ok(())
    }

    fn push(&mut self, part: Part) -> Result<(), Error> {
        self.parts.try_reserve(1)?;
        self.parts.push(part);
        Ok(())
    }

    /// Adds the parts of a pretoken from `at` on, `most` of them at most. Gives where the last one ends.
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
            let mut state = State::Whole;
            if from > start || to < end {
                count(Event::Segments, 1);
                let hash = hash(key_of(load_16_bytes(text, from), to - from, &KEPT));
                lines.prefetch(hash);
                state = State::New(hash);
            }
            self.push(Part { start: from, end: to, state })?;
            at = to;
        }
        Ok(at)
    }

    /// Finds the ids of all parts.
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
    pub fn give(
        &mut self,
        number: usize,
        text: &[u8],
        name: Name,
        cache: &mut Cache,
        sink: &mut impl Sink,
    ) -> Result<(), Error> {
        let from = match number.checked_sub(1) {
            Some(before) => *self.ends.get(before).ok_or_else(outside)?,
            None => 0,
        };
        let to = *self.ends.get(number).ok_or_else(outside)?;
        let parts = self.parts.get(from..to).ok_or_else(outside)?;
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
            return Err(outside());
        };
        self.together.clear();
        for part in parts {
            part.give(&self.ids, &mut self.together)?;
        }
        let pretoken = text.get(first.start..last.end).ok_or_else(outside)?;
        cache.insert(name, pretoken, &self.together);
        sink.take(&self.together)
    }

    /// Gives the ids of a pretoken of any length, some parts at a time, and keeps none of the whole.
    pub fn give_long(
        &mut self,
        path: CodePath,
        vocabulary: &Vocabulary,
        (text, start, end): (&[u8], usize, usize),
        cache: &mut Cache,
        sink: &mut impl Sink,
        check: &Check,
    ) -> Result<(), Error> {
        debug_assert!(end - start > LONGEST);
        let pretoken = text.get(start..end).ok_or_else(outside)?;
        let whole = vocabulary.token_table().find_overflow(pretoken);
        if whole != NONE {
            return sink.take(&[whole]);
        }
        let mut at = start;
        while at < end {
            self.clear();
            at = self.split(vocabulary, text, (start, end), at, PARTS)?;
            self.resolve(path, vocabulary, text, cache, check)?;
            for part in &self.parts {
                part.give(&self.ids, sink)?;
            }
            check()?;
        }
        self.clear();
        Ok(())
    }
}

/// All parts of some pretokens are to be found.
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
        let Unknown { parts, asked, ids, .. } = unknown;
        for part in parts.iter_mut() {
            // The others are known, or pretokens as a whole.
            let State::New(hash) = part.state else { continue };
            let (start, end) = (part.start, part.end);
            let id = table.find_with_hash(text, (start, end), hash);
            if id != NONE && table.is_reached(id) {
                part.state = State::Token(id);
                continue;
            }
            // As a pretoken, a token that merging does not give has another id than as a part: the cache is
            // not asked for such a part, nor told of it.
            part.state = State::Whole;
            if id == NONE && end - start <= SHORT_NAME {
                let (name, place) = cache.name(text, start, end);
                cache.prefetch(place);
                part.state = State::Asked(asked.len() as u32);
                asked.try_reserve(1)?;
                asked.push((name, place));
            }
        }
        for part in parts.iter_mut() {
            // The cache was not asked for the others.
            let State::Asked(number) = part.state else { continue };
            let (name, place) = asked.get(number as usize).ok_or_else(outside)?;
            let known = cache.lookup(lanes, *place, name);
            part.state = if known.has_ids() {
                let from = ids.len();
                known.give(ids)?;
                State::Merged(from, known.count())
            } else {
                State::Unknown(number)
            };
        }
        Ok(())
    }

    /// Merges the parts that nobody knows.
    #[inline(always)]
    fn merge(&mut self) -> Result<(), Error> {
        let Self { unknown, path, vocabulary, text, cache, check } = self;
        let (certain, pairs) = (vocabulary.certain(), vocabulary.pairs());
        let Unknown { parts, asked, ids, words, merging, .. } = unknown;
        words.resize(WORDS, ShortMerge::default());
        let is_open = |part: &Part| matches!(part.state, State::Whole | State::Unknown(_));
        let mut open = parts.iter_mut().filter(|part| is_open(part));
        loop {
            let mut some: [Option<&mut Part>; WORDS] = [const { None }; WORDS];
            let mut begun = 0;
            for part in open.by_ref() {
                let bytes = text.get(part.start..part.end).ok_or_else(outside)?;
                if bytes.len() > SHORT_BYTES {
                    let place = (*text, part.start, part.end);
                    let merged = vocabulary.merge(*path, place, merging, check)?;
                    finish(part, asked, ids, merged, cache, text)?;
                    continue;
                }
                if let (Some(word), Some(slot)) = (words.get_mut(begun), some.get_mut(begun)) {
                    word.begin(certain, bytes);
                    *slot = Some(part);
                    begun += 1;
                }
                if begun == WORDS {
                    break;
                }
            }
            if begun == 0 {
                return Ok(());
            }
            let words = words.get_mut(..begun).unwrap_or(&mut []);
            words.iter_mut().for_each(|word| word.filter(pairs));
            words.iter_mut().for_each(|word| word.look_up(pairs));
            for (word, part) in words.iter_mut().zip(some.into_iter().flatten()) {
                let mut merged = [0; SHORT_BYTES];
                let count = word.finish(pairs, &mut merged);
                let merged = merged.get(..count).ok_or_else(outside)?;
                finish(part, asked, ids, merged, cache, text)?;
            }
        }
    }
}

#[cold]
fn outside() -> Error {
    Error::Internal("a part of a pretoken is outside of it")
}

impl Part {
    fn give(&self, ids: &[u32], sink: &mut impl Sink) -> Result<(), Error> {
        match self.state {
            State::Token(id) => sink.take(&[id]),
            State::Merged(from, count) => {
                sink.take(ids.get(from..from + count).ok_or_else(outside)?)
            }
            _ => Err(Error::Internal("a part of a pretoken was not merged")),
        }
    }
}

/// Notes what a part was merged to, and keeps it if the cache was asked for it. (A pretoken as a whole is
/// kept anyway.)
fn finish(
    part: &mut Part,
    asked: &[(Name, usize)],
    ids: &mut Vec<u32>,
    merged: &[u32],
    cache: &mut Cache,
    text: &[u8],
) -> Result<(), Error> {
    if merged.is_empty() {
        return Err(Error::Internal("a part of a pretoken was merged to nothing"));
    }
    count(Event::Merged, 1);
    let state = State::Merged(ids.len(), merged.len());
    ids.take(merged)?;
    if let State::Unknown(number) = std::mem::replace(&mut part.state, state) {
        let bytes = text.get(part.start..part.end).ok_or_else(outside)?;
        let &(name, _) = asked.get(number as usize).ok_or_else(outside)?;
        if merged.len() <= FEW {
            cache.insert(name, bytes, merged);
        }
    }
    Ok(())
}
