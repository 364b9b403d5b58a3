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
use crate::encode::cache::{Cache, Known, LONGEST, Name};
use crate::encode::options::Options;
use crate::encode::round::{RUN, Round};
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
    places: Vec<Option<u32>>,
    path: CodePath,
    /// Bytes that the cache of a thread may take.
    cache_limit: usize,
}

impl Encoder {
    /// With the special tokens of a release. An error if the vocabulary's file, called `file` in it, names
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
        let places = names.iter().map(|name| added.id(name.as_bytes())).collect();
        let (path, cache_limit) = (CodePath::best(), cache::DEFAULT_LIMIT);
        Self { vocabulary, added, roles, release, places, path, cache_limit }
    }

    /// The same, but the special tokens have other names, those that `name_of` gives for theirs; what is
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
    pub fn place(&self, place: u32) -> Option<u32> {
        *self.places.get(place as usize)?
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
    pub fn cache_info(&self) -> cache::Info {
        with_scratch(|scratch| {
            scratch.memory.cache.begin(self.vocabulary.number(), self.cache_limit);
            scratch.memory.cache.info()
        })
    }

    /// How many ids there are, special tokens included.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len().max(self.added.end() as usize)
    }

    /// The bytes of any token; an added token's are its name.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        let added = || self.added.get(id).map(|token| token.name.as_bytes());
        self.vocabulary.token(id).or_else(added)
    }

    /// The id of any token, an added token by its name.
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

    /// Encodes text in which the names of added tokens are text, too.
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
                put_known(round, 0..ends.len(), sink)?;
            } else {
                let vocabulary = &*self.vocabulary;
                let path = self.path;
                path.run(Take { path, vocabulary, text, round, missing, memory, sink, check })?;
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
struct Take<'a, S: Sink> {
    path: CodePath,
    vocabulary: &'a Vocabulary,
    text: &'a [u8],
    round: &'a Round,
    missing: &'a mut Missing,
    memory: &'a mut Memory,
    sink: &'a mut S,
    check: &'a Check<'a>,
}

impl<S: Sink> Vectorized for Take<'_, S> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> Result<(), Error> {
        let Self { path, vocabulary, text, round, missing, memory, sink, check } = self;
        let Memory { cache, unknown, long } = memory;
        let numbers = round.missing();
        let unknown_count = missing.find(lanes, text, round, cache)?;
        if unknown_count > 0 {
            unknown.clear();
            for (known, &number) in missing.known.iter().zip(numbers) {
                if known.is_nothing() {
                    let number = usize::from(number);
                    let hash = round.hash(number).ok_or_else(outside)?;
                    unknown.add(vocabulary, text, round.ends().range(number)?, hash)?;
                }
            }
            unknown.resolve(path, vocabulary, text, cache, check)?;
        }
        let (mut taken, mut given) = (0, 0);
        let questions = missing.known.iter().zip(&missing.names);
        for ((known, &name), &number) in questions.zip(numbers) {
            let number = usize::from(number);
            put_known(round, taken..number, sink)?;
            taken = number + 1;
            if known.has_ids() {
                known.give(sink)?;
                continue;
            }
            let (start, end) = round.ends().range(number)?;
            let pretoken = text.get(start..end).ok_or_else(outside)?;
            if pretoken.len() > LONGEST {
                let place = (text, start, end);
                long.give_long(path, vocabulary, place, cache, sink, check)?;
            } else if known.is_nothing() {
                unknown.give(given, text, name, cache, sink)?;
                given += 1;
            } else if !cache.give_record(known, pretoken, sink)? {
                // Overwritten since: merged again, by itself.
                long.clear();
                let hash = round.hash(number).ok_or_else(outside)?;
                long.add(vocabulary, text, (start, end), hash)?;
                long.resolve(path, vocabulary, text, cache, check)?;
                long.give(0, text, name, cache, sink)?;
            }
        }
        cache.note(numbers.len(), numbers.len() - unknown_count);
        put_known(round, taken..round.ends().len(), sink)
    }
}

/// Gives the ids of pretokens that the table of tokens knows.
#[inline(always)]
fn put_known(round: &Round, numbers: Range<usize>, sink: &mut impl Sink) -> Result<(), Error> {
    // Once in any case, since whether there is one is a question that is answered wrongly too often.
    let mut number = numbers.start;
    loop {
        let ids = round.ids_from(number).ok_or_else(outside)?;
        sink.put(ids, RUN.min(numbers.end - number))?;
        number += RUN;
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
    names: [Name; MAX_ENDS],
    places: [usize; MAX_ENDS],
    known: [Known; MAX_ENDS],
}

impl Default for Missing {
    fn default() -> Self {
        let (names, known) = ([Name::default(); MAX_ENDS], [Known::default(); MAX_ENDS]);
        Self { names, places: [0; MAX_ENDS], known }
    }
}

impl Missing {
    /// Looks all of them up: asks for all places before it looks at the first. Gives how many have no ids.
    #[inline(always)]
    fn find<L: Lanes>(
        &mut self,
        lanes: L,
        text: &[u8],
        round: &Round,
        cache: &Cache,
    ) -> Result<usize, Error> {
        let Self { names, places, known } = self;
        let numbers = round.missing();
        for ((name, place), &number) in names.iter_mut().zip(&mut *places).zip(numbers) {
            let (start, end) = round.ends().range(usize::from(number))?;
            (*name, *place) = cache.name(text, start, end);
            cache.prefetch(*place);
        }
        let mut unknown = 0;
        let questions = names.iter().zip(places).take(numbers.len());
        for (known, (name, &mut place)) in known.iter_mut().zip(questions) {
            // A copy, since what is merged meanwhile may take its place.
            *known = cache.lookup(lanes, place, name);
            if !known.has_ids() {
                unknown += usize::from(known.is_nothing());
                cache.prefetch_record(known);
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
