//! The one loop from text to ids. What becomes of the ids is the sink's business: a list, a count,
//! or a list with the places they came from. There is no second encoder.
//!
//! ```text
//! round     some hundred pretokens, of which the table of tokens knows nearly all   (round.rs)
//! missing   those it does not know: merged before?                                  (cache/)
//! unknown   those nobody knows: merged now, several at a time                       (unknown.rs)
//! ```

pub mod options;
pub mod sink;
pub mod cache;
pub mod round;
mod unknown;
mod validate;
pub mod offsets;
pub mod canonical;
pub mod partial_counts;
pub mod truncate;
pub mod decode;
pub mod pool;
mod groups;
pub mod parallel;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use crate::added::{AddedToken, AddedTokens, Segment};
use crate::counters::{Event, count};
use crate::encode::cache::{Cache, CachedIds, MAX_CACHED_BYTES, CacheKey};
use crate::encode::options::Options;
use crate::encode::round::{IDS_AT_ONCE, Round};
use crate::encode::sink::{Count, Sink};
use crate::encode::unknown::Unknown;
use crate::encode::validate::{validate_added, validate_release};
use crate::error::{CHECK_BYTES, Check, Error, slice};
use crate::machine::code_path::CodePath;
use crate::machine::lanes::{Lanes, Vectorized};
use crate::profile::{Profile, Roles};
use crate::text::pretokenize::MAX_ENDS;
use crate::vocabulary::Vocabulary;

/// A vocabulary with the added tokens of a release or a folder. It never changes.
pub struct Encoder {
    /// The ranks.
    pub vocabulary: Arc<Vocabulary>,
    /// The special tokens, and what else was added.
    pub added: AddedTokens,
    /// Which of them begins a text, and so on.
    pub roles: Roles,
    /// The release whose tokens these are, or whose conversations can be written with them.
    pub release: Option<&'static Profile>,
    /// The ids of the release's special tokens, by their places in it.
    release_ids: Vec<Option<u32>>,
    path: CodePath,
    /// Bytes that the cache of a thread may take.
    cache_limit: usize,
}

impl Encoder {
    /// With the special tokens of a release. An error if the vocabulary's file, called `file` in it, keys
    /// others.
    pub fn new(vocabulary: Arc<Vocabulary>, file: &str, profile: &str) -> Result<Self, Error> {
        let (release, first) = (Profile::find(profile)?, vocabulary.len() as u32);
        let added = AddedTokens::of_release(release, first)?;
        validate_release(&vocabulary, file, &added, release)?;
        validate_added(&vocabulary, file, &added)?;
        Ok(Self::with(vocabulary, added, release.roles(first), Some(release)))
    }

    /// With any added tokens. Conversations can be written if they are those of `release`.
    pub fn with_added(
        vocabulary: Arc<Vocabulary>,
        file: &str,
        tokens: Vec<AddedToken>,
        roles: Roles,
        release: Option<&'static Profile>,
    ) -> Result<Self, Error> {
        let added = AddedTokens::new(tokens)?;
        validate_added(&vocabulary, file, &added)?;
        Ok(Self::with(vocabulary, added, roles, release))
    }

    fn with(
        vocabulary: Arc<Vocabulary>,
        added: AddedTokens,
        roles: Roles,
        release: Option<&'static Profile>,
    ) -> Self {
        let names = release.map(Profile::special_names).unwrap_or_default();
        let release_ids = names.iter().map(|name| added.id(name.as_bytes())).collect();
        let (path, cache_limit) = (CodePath::best(), cache::DEFAULT_LIMIT);
        Self { vocabulary, added, roles, release, release_ids, path, cache_limit }
    }

    /// The same, but the special tokens have other keys, those that `name_of` gives for theirs; what is
    /// not special stays as it is.
    pub fn with_special_named(
        &self,
        name_of: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let Self { vocabulary, roles, release, .. } = self;
        let renamed = |token: &AddedToken| match token.special.then(|| name_of(&token.name)) {
            Some(Some(name)) => AddedToken { name, normalized: false, ..token.clone() },
            _ => token.clone(),
        };
        let added = AddedTokens::new(self.added.iter().map(renamed).collect())?;
        let same = Self::with(Arc::clone(vocabulary), added, roles.clone(), *release);
        Ok(Self { path: self.path, cache_limit: self.cache_limit, ..same })
    }

    /// The same in every respect.
    pub fn again(&self) -> Result<Self, Error> {
        self.with_special_named(|_| None)
    }

    /// The id of the release's special token with a place; `None` if this tokenizer has no such token.
    pub fn release_id(&self, index: u32) -> Option<u32> {
        *self.release_ids.get(index as usize)?
    }

    /// Whose tokens they are, for messages.
    pub fn profile(&self) -> &'static str {
        self.release.map_or("folder", |release| release.name)
    }

    /// The same encoder, but it cuts text by `path`; the ids are the same.
    pub fn on_path(self, path: CodePath) -> Self {
        Self { path, ..self }
    }

    /// How it cuts and merges.
    pub fn path(&self) -> CodePath {
        self.path
    }

    /// The same encoder, but the cache of each thread takes at most `bytes`.
    pub fn with_cache(self, bytes: usize) -> Self {
        Self { cache_limit: bytes, ..self }
    }

    /// What is known of this thread's cache.
    pub fn cache_info(&self) -> cache::CacheInfo {
        with_scratch(|scratch| {
            scratch.memory.cache.begin(self.vocabulary.number(), self.cache_limit);
            scratch.memory.cache.info()
        })
    }

    /// How many ids there are, special tokens included.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len().max(self.added.end() as usize)
    }

    /// The bytes of any token; an added token's are its key.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        let added = || self.added.get(id).map(|token| token.name.as_bytes());
        self.vocabulary.token(id).or_else(added)
    }

    /// The id of any token, an added token by its key.
    pub fn token_id(&self, token: &[u8]) -> Result<u32, Error> {
        let id = self.vocabulary.id(token).or_else(|| self.added.id(token));
        id.ok_or_else(|| Error::UnknownToken(token.iter().copied().take(100).collect()))
    }

    /// Encodes `text` into `sink`.
    pub fn encode(
        &self,
        text: &[u8],
        options: &Options,
        sink: &mut impl Sink,
        check: &Check,
    ) -> Result<(), Error> {
        self.added.refuse(text, &options.disallowed, check)?;
        if options.bos {
            sink.take_added(0..0, self.roles.bos()?)?;
        }
        if self.added.none_in(&options.allowed) {
            self.encode_plain(text, sink, check)?;
        } else {
            for segment in self.added.split(text, &options.allowed, check) {
                match segment? {
                    Segment::Text(range) => self.encode_plain(slice(text, range)?, sink, check)?,
                    Segment::Added(range, id) => sink.take_added(range, id)?,
                }
            }
        }
        if options.eos {
            sink.take_added(text.len()..text.len(), self.roles.eos()?)?;
        }
        Ok(())
    }

    /// Encodes text in which the keys of added tokens are text, too.
    pub fn encode_plain(
        &self,
        text: &[u8],
        sink: &mut impl Sink,
        check: &Check,
    ) -> Result<(), Error> {
        with_scratch(|scratch| self.encode_text(text, sink, scratch, check))
    }

    /// The same with memory that is lent.
    fn encode_text<S: Sink>(
        &self,
        text: &[u8],
        sink: &mut S,
        scratch: &mut Scratch,
        check: &Check,
    ) -> Result<(), Error> {
        let is_valid = simdutf8::basic::from_utf8(text).is_ok();
        let Scratch { round, missing, memory } = scratch;
        memory.cache.begin(self.vocabulary.number(), self.cache_limit);
        memory.unknown.begin(self.vocabulary.number());
        memory.long.begin(self.vocabulary.number());
        let (mut at, mut next_check) = (0, CHECK_BYTES);
        while at < text.len() {
            round.fill(self.path, text, at, is_valid, self.vocabulary.token_table().lines());
            let ends = round.ends();
            if !ends.are_complete() {
                return Err(Error::Internal("a round of pretokens lost some of its text"));
            }
            count(Event::Pretokens, ends.len());
            count(Event::Token, ends.len() - round.missing().len());
            if round.missing().is_empty() {
                emit_tokens(round, 0..ends.len(), sink)?;
            } else {
                let vocabulary = &*self.vocabulary;
                let path = self.path;
                path.run(EmitRound { path, vocabulary, text, round, missing, memory, sink, check })?;
            }
            at = ends.last();
            if at >= next_check {
                check()?;
                next_check = at + CHECK_BYTES;
            }
        }
        Ok(())
    }

    /// How many ids `text` has without any special token.
    pub fn count(&self, text: &[u8], check: &Check) -> Result<usize, Error> {
        let mut count = Count::default();
        self.encode(text, &Options::default(), &mut count, check)?;
        Ok(count.0)
    }
}

/// Takes a round of which the table does not know all.
struct EmitRound<'a, S: Sink> {
    path: CodePath,
    vocabulary: &'a Vocabulary,
    text: &'a [u8],
    round: &'a Round,
    missing: &'a mut Missing,
    memory: &'a mut Memory,
    sink: &'a mut S,
    check: &'a Check<'a>,
}

impl<S: Sink> Vectorized for EmitRound<'_, S> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> Result<(), Error> {
        let Self { path, vocabulary, text, round, missing, memory, sink, check } = self;
        let Memory { cache, unknown, long } = memory;
        let numbers = round.missing();
        let unknown_count = missing.look_up(lanes, text, round, cache)?;
        if unknown_count > 0 {
            unknown.clear();
            for (cached, &number) in missing.cached.iter().zip(numbers) {
                if cached.is_none() {
                    let number = usize::from(number);
                    let hash = round.hash(number).ok_or_else(outside)?;
                    unknown.add(vocabulary, text, round.ends().range(number)?, hash)?;
                }
            }
            unknown.resolve(path, vocabulary, text, cache, check)?;
        }
        let (mut taken, mut given) = (0, 0);
        let looked_up = missing.cached.iter().zip(&missing.keys);
        for ((cached, &key), &number) in looked_up.zip(numbers) {
            let number = usize::from(number);
            emit_tokens(round, taken..number, sink)?;
            taken = number + 1;
            if cached.has_ids() {
                cached.emit(sink)?;
                continue;
            }
            let (start, end) = round.ends().range(number)?;
            let pretoken = text.get(start..end).ok_or_else(outside)?;
            if pretoken.len() > MAX_CACHED_BYTES {
                let place = (text, start, end);
                long.emit_long(path, vocabulary, place, cache, sink, check)?;
            } else if cached.is_none() {
                unknown.emit(given, text, key, cache, sink)?;
                given += 1;
            } else if !cache.emit_record(cached, pretoken, sink)? {
                // Overwritten since: merged again, by itself.
                long.clear();
                let hash = round.hash(number).ok_or_else(outside)?;
                long.add(vocabulary, text, (start, end), hash)?;
                long.resolve(path, vocabulary, text, cache, check)?;
                long.emit(0, text, key, cache, sink)?;
            }
        }
        cache.note_lookups(numbers.len(), numbers.len() - unknown_count);
        emit_tokens(round, taken..round.ends().len(), sink)
    }
}

/// Gives the ids of pretokens that the table of tokens knows.
#[inline(always)]
fn emit_tokens(round: &Round, numbers: Range<usize>, sink: &mut impl Sink) -> Result<(), Error> {
    // Once in any case, since whether there is one is a question that is answered wrongly too often.
    let mut number = numbers.start;
    loop {
        let ids = round.ids_from(number).ok_or_else(outside)?;
        sink.take_first(ids, IDS_AT_ONCE.min(numbers.end - number))?;
        number += IDS_AT_ONCE;
        if number >= numbers.end {
            return Ok(());
        }
    }
}

#[cold]
fn outside() -> Error {
    Error::Internal("a pretoken is outside of its text or round")
}

/// The pretokens of a round that the table of tokens does not know: what the cache has of them.
struct Missing {
    keys: [CacheKey; MAX_ENDS],
    lines: [usize; MAX_ENDS],
    cached: [CachedIds; MAX_ENDS],
}

impl Default for Missing {
    fn default() -> Self {
        let (keys, cached) = ([CacheKey::default(); MAX_ENDS], [CachedIds::default(); MAX_ENDS]);
        Self { keys, lines: [0; MAX_ENDS], cached }
    }
}

impl Missing {
    /// Looks all of them up: asks for all places before it looks at the first. Gives how many have no ids.
    #[inline(always)]
    fn look_up<L: Lanes>(
        &mut self,
        lanes: L,
        text: &[u8],
        round: &Round,
        cache: &Cache,
    ) -> Result<usize, Error> {
        let Self { keys, lines, cached } = self;
        let numbers = round.missing();
        for ((key, line), &number) in keys.iter_mut().zip(&mut *lines).zip(numbers) {
            let (start, end) = round.ends().range(usize::from(number))?;
            (*key, *line) = cache.key(text, start, end);
            cache.prefetch(*line);
        }
        let mut unknown = 0;
        let looked_up = keys.iter().zip(lines).take(numbers.len());
        for (cached, (key, &mut line)) in cached.iter_mut().zip(looked_up) {
            // A copy, since what is merged meanwhile may take its place.
            *cached = cache.lookup(lanes, line,  key);
            if !cached.has_ids() {
                unknown += usize::from(cached.is_none());
                cache.prefetch_record(cached);
            }
        }
        Ok(unknown)
    }
}

/// What encoding uses again, text after text, on one thread.
#[derive(Default)]
struct Scratch {
    round: Round,
    missing: Missing,
    memory: Memory,
}

#[derive(Default)]
struct Memory {
    cache: Cache,
    unknown: Unknown,
    /// The same for one pretoken at a time, as those that are too long for the cache.
    long: Unknown,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Lends the thread's memory; a new one if it is lent already, to what a signal handler interrupted.
fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let result = work(&mut scratch);
    SCRATCH.set(Some(scratch));
    result
}
