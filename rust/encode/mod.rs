//! The one loop from text to ids. A sink takes the ids: as a list, as a count, or as a list with the
//! byte range of each. There is no second encoder.
//!
//! ```text
//! round     some hundred pretokens; most are in the lines of the token table    (round.rs)
//! missing   those that are not: does this thread's cache have them?             (cache/)
//! unknown   those that it does not have: a long token, or merged                (unknown.rs)
//! segments  what such a pretoken is cut into                                    (segments.rs)
//! ```

pub mod options;
pub mod sink;
#[doc(hidden)]
pub mod cache;
#[doc(hidden)]
pub mod round;
mod segments;
mod unknown;
mod validate;
pub mod offsets;
pub mod canonical;
#[doc(hidden)]
pub mod partial_counts;
pub mod truncate;
pub mod decode;
#[doc(hidden)]
pub mod pool;
#[doc(hidden)]
pub mod groups;
pub mod parallel;
pub mod plainly;
pub mod slices;
pub mod incremental;
pub mod prefixes;
pub mod split;
pub mod token_index;
#[doc(hidden)]
pub mod beginnings;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use once_cell::race::OnceBox;

use crate::added::{AddedToken, AddedTokens, Section};
use crate::counters::{Event, count};
use crate::encode::beginnings::ByBytes;
use crate::encode::cache::{Cache, CacheKey, CachedIds, MAX_CACHED_BYTES};
use crate::encode::options::Options;
use crate::encode::round::{IDS_AT_ONCE, Round};
use crate::encode::sink::{Count, Sink};
use crate::encode::unknown::{Context, Unknown};
use crate::encode::validate::{validate_added, validate_release};
use crate::error::{CHECK_BYTES, Check, Error, slice};
use crate::machine::code_path::CodePath;
use crate::machine::lanes::{Lanes, Vectorized};
use crate::profile::{Profile, Roles};
use crate::text::pretokenize::MAX_ENDS;
use crate::text::utf8::is_utf8;
use crate::vocabulary::Vocabulary;

/// A vocabulary with the added tokens of a release or a folder. It never changes.
pub struct Encoder {
    /// The ranks.
    pub vocabulary: Arc<Vocabulary>,
    /// The special tokens, and what else was added.
    pub added: AddedTokens,
    /// Which of them is BOS, EOS and so on.
    pub roles: Roles,
    /// The release whose special tokens these are, or whose conversations can be written with them.
    pub release: Option<&'static Profile>,
    /// The ids of the release's special tokens, by their index in it.
    release_ids: Vec<Option<u32>>,
    path: CodePath,
    /// Bytes that the cache of a thread may take.
    cache_limit: usize,
    /// Made when it is first asked for.
    by_bytes: OnceBox<ByBytes>,
}

impl Encoder {
    /// With the special tokens of a release. An error if the vocabulary's file, called `file` in it, names
    /// other ones.
    pub fn new(vocabulary: Arc<Vocabulary>, file: &str, profile: &str) -> Result<Self, Error> {
        let (release, first) = (Profile::find(profile)?, vocabulary.len() as u32);
        let added = AddedTokens::of_release(release, first)?;
        validate_release(&vocabulary, file, &added, release)?;
        validate_added(&vocabulary, file, &added)?;
        Self::with(vocabulary, added, release.roles(first), Some(release))
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
        Self::with(vocabulary, added, roles, release)
    }

    fn with(
        vocabulary: Arc<Vocabulary>,
        added: AddedTokens,
        roles: Roles,
        release: Option<&'static Profile>,
    ) -> Result<Self, Error> {
        // A folder's own tokens have no indexes.
        let names = release.map(Profile::special_names).unwrap_or_default();
        let release_ids = names.iter().map(|name| added.id(name.as_bytes())).collect();
        let (path, cache_limit) = (CodePath::chosen()?, cache::DEFAULT_LIMIT);
        let by_bytes = OnceBox::new();
        Ok(Self { vocabulary, added, roles, release, release_ids, path, cache_limit, by_bytes })
    }

    /// The same, but the special tokens have other names, those that `name_of` gives for theirs.
    /// Tokens that are not special stay as they are.
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
        let same = Self::with(Arc::clone(vocabulary), added, roles.clone(), *release)?;
        Ok(Self { path: self.path, cache_limit: self.cache_limit, ..same })
    }

    /// The same encoder once more.
    pub fn again(&self) -> Result<Self, Error> {
        self.with_special_named(|_| None)
    }

    /// The id of the special token with this index in the release; `None` if this tokenizer has no such
    /// token.
    pub fn release_id(&self, index: u32) -> Option<u32> {
        *self.release_ids.get(index as usize)?
    }

    /// Whose special tokens these are, for messages.
    pub fn profile(&self) -> &'static str {
        self.release.map_or("folder", |release| release.name)
    }

    /// The same encoder, but it cuts text by `path`; the ids are the same.
    pub fn on_path(self, path: CodePath) -> Self {
        Self { path, ..self }
    }

    /// The code path by which it cuts and merges.
    pub fn path(&self) -> CodePath {
        self.path
    }

    /// The same encoder, but the cache of each thread takes at most `bytes`.
    pub fn with_cache(self, bytes: usize) -> Self {
        Self { cache_limit: bytes, ..self }
    }

    /// The tokens that begin with `bytes`, and those that `bytes` begins with, ascending. Special tokens are not
    /// among them.
    pub fn tokens_along(&self, bytes: &[u8]) -> Result<Vec<u32>, Error> {
        let Self { vocabulary, added, by_bytes, .. } = self;
        let make = || ByBytes::new(vocabulary, added).map(Box::new);
        let by_bytes = by_bytes.get_or_try_init(make)?;
        by_bytes.along(vocabulary, added, bytes)
    }

    /// How large this thread's cache is, and how full.
    pub fn cache_info(&self) -> cache::CacheInfo {
        with_scratch(|scratch| {
            scratch.memory.cache.begin(self.vocabulary.serial(), self.cache_limit);
            scratch.memory.cache.info()
        })
    }

    /// How many ids there are, special tokens included.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len().max(self.added.end())
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
            for section in self.added.split(text, &options.allowed, check) {
                match section? {
                    Section::Text(range) => self.encode_plain(slice(text, range)?, sink, check)?,
                    Section::Added(range, id) => sink.take_added(range, id)?,
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
        with_scratch(|scratch| self.encode_plain_with(text, sink, scratch, check))
    }

    /// [`Encoder::encode_plain`] with memory that the caller lends: the loop over rounds.
    fn encode_plain_with<S: Sink>(
        &self,
        text: &[u8],
        sink: &mut S,
        scratch: &mut Scratch,
        check: &Check,
    ) -> Result<(), Error> {
        let is_valid = is_utf8(text, check)?;
        let Scratch { round, missing, memory } = scratch;
        memory.cache.begin(self.vocabulary.serial(), self.cache_limit);
        memory.unknown.begin(self.vocabulary.serial());
        memory.single.begin(self.vocabulary.serial());
        let (mut at, mut next_check) = (0, CHECK_BYTES);
        while at < text.len() {
            // Cuts the next pretokens, and finds those that are tokens: vocab-first.
            let lines = self.vocabulary.token_table().lines();
            round.fill(self.path, text, at, is_valid, lines, check);
            if !round.ends().are_complete() {
                return Err(round.fault());
            }
            let ends = round.ends();
            count(Event::Pretokens, ends.len());
            count(Event::Token, ends.len() - round.missing().len());
            if round.missing().is_empty() {
                emit_tokens(round, 0..ends.len(), sink)?;
            } else {
                let (path, vocabulary) = (self.path, &*self.vocabulary);
                let context = Context { path, vocabulary, lines, text, check };
                path.run(EmitRound { context, round, missing, memory, sink })?;
            }
            at = ends.last();
            if at >= next_check {
                check()?;
                next_check = at + CHECK_BYTES;
            }
        }
        Ok(())
    }

    /// How many ids `options` adds to a text: BOS and EOS. An error for one that there is not.
    pub fn added_ends(&self, options: &Options) -> Result<usize, Error> {
        let (bos, eos) = self.ends(options)?;
        Ok(usize::from(bos.is_some()) + usize::from(eos.is_some()))
    }

    /// The ids of BOS and EOS, as far as `options` asks for them. An error for one that there is not.
    pub fn ends(&self, options: &Options) -> Result<(Option<u32>, Option<u32>), Error> {
        let bos = options.bos.then(|| self.roles.bos()).transpose()?;
        let eos = options.eos.then(|| self.roles.eos()).transpose()?;
        Ok((bos, eos))
    }

    /// How many ids [`Encoder::encode`] gives.
    pub fn count(&self, text: &[u8], options: &Options, check: &Check) -> Result<usize, Error> {
        let mut count = Count::default();
        self.encode(text, options, &mut count, check)?;
        Ok(count.0)
    }
}

/// Emits the ids of a round in which pretokens are missing. The work is `run` below, compiled for each kind of
/// processor; [`CodePath::run`] calls it.
struct EmitRound<'a, S: Sink> {
    context: Context<'a>,
    round: &'a Round,
    missing: &'a mut Missing,
    memory: &'a mut Memory,
    sink: &'a mut S,
}

impl<S: Sink> Vectorized for EmitRound<'_, S> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> Result<(), Error> {
        let Self { context, round, missing, memory, sink } = self;
        let text = context.text;
        let Memory { cache, unknown, single } = memory;
        let numbers = round.missing();
        let unknown_count = missing.look_up(lanes, text, round, cache)?;
        if unknown_count > 0 {
            unknown.clear();
            for (cached, &number) in missing.cached.iter().zip(numbers) {
                if cached.is_none() {
                    let number = usize::from(number);
                    let hash = round.hash(number).ok_or_else(outside)?;
                    unknown.add(&context, round.ends().span(number)?, hash)?;
                }
            }
            unknown.resolve(&context, cache)?;
        }
        let (mut emitted, mut emitted_unknown) = (0, 0);
        let looked_up = missing.cached.iter().zip(&missing.keys);
        for ((cached, &key), &number) in looked_up.zip(numbers) {
            let number = usize::from(number);
            emit_tokens(round, emitted..number, sink)?;
            emitted = number + 1;
            if cached.has_ids() {
                cached.emit(sink)?;
                continue;
            }
            let span = round.ends().span(number)?;
            let pretoken = span.bytes(text).ok_or_else(outside)?;
            if pretoken.len() > MAX_CACHED_BYTES {
                single.emit_long(&context, span, cache, sink)?;
            } else if cached.is_none() {
                unknown.emit(emitted_unknown, text, key, cache, sink)?;
                emitted_unknown += 1;
            } else if !cache.emit_record(cached, pretoken, sink)? {
                // Its record was overwritten, so it is merged again, by itself.
                single.clear();
                let hash = round.hash(number).ok_or_else(outside)?;
                single.add(&context, span, hash)?;
                single.resolve(&context, cache)?;
                single.emit(0, text, key, cache, sink)?;
            }
        }
        cache.note_lookups(numbers.len(), numbers.len() - unknown_count);
        emit_tokens(round, emitted..round.ends().len(), sink)
    }
}

/// Emits the ids of pretokens that are not missing.
#[inline(always)]
fn emit_tokens(round: &Round, numbers: Range<usize>, sink: &mut impl Sink) -> Result<(), Error> {
    // At least once, also for no pretokens: the processor would mispredict a branch on that too often.
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

/// What the cache has of the pretokens of a round that are missing: not in the lines of the token table.
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
    /// Looks all of them up: prefetches the lines of all before it reads the first. Gives how many are
    /// unknown.
    #[inline(always)]
    fn look_up<L: Lanes>(
        &mut self,
        lanes: L,
        text: &[u8],
        round: &Round,
        cache: &Cache,
    ) -> Result<usize, Error> {
        let Self { keys, lines, cached } = self;
        let (numbers, cache_lines) = (round.missing(), cache.lines());
        for ((key, line), &number) in keys.iter_mut().zip(&mut *lines).zip(numbers) {
            (*key, *line) = cache_lines.key(text, round.ends().span(usize::from(number))?);
            cache_lines.prefetch(*line);
        }
        let mut unknown = 0;
        let looked_up = keys.iter().zip(lines).take(numbers.len());
        for (cached, (key, &mut line)) in cached.iter_mut().zip(looked_up) {
            // A copy, since what is merged before it is emitted may overwrite the entry.
            *cached = cache_lines.lookup(lanes, line, key);
            if !cached.has_ids() {
                unknown += usize::from(cached.is_none());
                cache.prefetch_record(cached);
            }
        }
        Ok(unknown)
    }
}

/// Memory of one thread that encoding uses again, text after text.
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
    /// The same for pretokens that are merged one at a time, as those that are too long for the cache.
    single: Unknown,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Not where it is called: it needs room on the stack for all of it.
#[cold]
#[inline(never)]
fn new_scratch() -> Box<Scratch> {
    Box::default()
}

/// The thread's memory, lent to an encoding. It is given back when the encoding ends, but not by a panic, which
/// may leave it half written.
struct Lent(Option<Box<Scratch>>);

impl Drop for Lent {
    #[inline]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            SCRATCH.set(self.0.take());
        }
    }
}

/// Lends the thread's memory. If that is lent already, which is so in a signal handler that interrupts an
/// encoding, lends new memory.
#[inline]
fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    let mut lent = Lent(Some(SCRATCH.take().unwrap_or_else(new_scratch)));
    let Lent(scratch) = &mut lent;
    // It always is there. The result of the work is the result here, so it is not copied.
    work(scratch.get_or_insert_with(new_scratch))
}
