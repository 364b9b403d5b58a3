//! The one loop from text to ids. What becomes of the ids is the sink's business: a list, a count,
//! or a list with the places they came from. There is no second encoder.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use crate::cache::{Cache, ELSEWHERE, FEW, Few, LONGEST, Round};
use crate::error::{Check, Error};
use crate::index::NONE;
use crate::merge::Merging;
use crate::pieces::{KEY_BYTES, Key};
use crate::pretokenize::{ENDS, Ends, Path};
use crate::special::{BOS, EOS, Profile, Segment, Selection, Specials};
use crate::vocab::Vocabulary;

/// Bytes of text between two calls of `check`, about a millisecond.
const CHECK_BYTES: usize = 1 << 16;

/// Takes the tokens of a text, from left to right.
pub trait Sink {
    /// Whether the ids matter, and not only their number.
    const TAKES_IDS: bool = true;

    /// Takes the next ids of plain text.
    fn take(&mut self, ids: &[u32]) -> Result<(), Error>;

    /// Takes a special token, which is the bytes `range` of the text; empty if it was added.
    fn take_special(&mut self, _range: Range<usize>, id: u32) -> Result<(), Error> {
        self.take(&[id])
    }
}

/// The ids.
impl Sink for Vec<u32> {
    #[inline]
    fn take(&mut self, ids: &[u32]) -> Result<(), Error> {
        self.try_reserve(ids.len())?;
        self.extend_from_slice(ids);
        Ok(())
    }
}

/// How many ids there would be.
#[derive(Default)]
pub struct Count(pub usize);

impl Sink for Count {
    const TAKES_IDS: bool = false;

    #[inline]
    fn take(&mut self, ids: &[u32]) -> Result<(), Error> {
        self.0 += ids.len();
        Ok(())
    }
}

/// The ids and where each token stands, in bytes.
pub struct Offsets<'v> {
    vocabulary: &'v Vocabulary,
    /// The ids.
    pub ids: Vec<u32>,
    /// The byte range of each id; that of BOS and EOS is empty.
    pub spans: Vec<Range<usize>>,
}

impl<'v> Offsets<'v> {
    /// Nothing yet; `vocabulary` is that of the encoder.
    pub fn new(vocabulary: &'v Vocabulary) -> Self {
        Self { vocabulary, ids: Vec::new(), spans: Vec::new() }
    }
}

impl Sink for Offsets<'_> {
    fn take(&mut self, ids: &[u32]) -> Result<(), Error> {
        self.ids.try_reserve(ids.len())?;
        self.spans.try_reserve(ids.len())?;
        let mut start = self.spans.last().map_or(0, |span| span.end);
        for &id in ids {
            let end = start + self.vocabulary.token(id).map_or(0, <[u8]>::len);
            self.ids.push(id);
            self.spans.push(start..end);
            start = end;
        }
        Ok(())
    }

    fn take_special(&mut self, range: Range<usize>, id: u32) -> Result<(), Error> {
        self.ids.try_reserve(1)?;
        self.spans.try_reserve(1)?;
        self.ids.push(id);
        self.spans.push(range);
        Ok(())
    }
}

/// How a text is to be encoded. The default is text alone, without any special token.
pub struct Options {
    /// Begin with the beginning-of-text token.
    pub bos: bool,
    /// End with the end-of-text token.
    pub eos: bool,
    /// Special tokens that the text may have; the others are plain text.
    pub allowed: Selection,
    /// Special tokens that are an error in the text, even if allowed.
    pub disallowed: Selection,
}

impl Default for Options {
    fn default() -> Self {
        Self { bos: false, eos: false, allowed: Selection::None, disallowed: Selection::None }
    }
}

/// A vocabulary with the special tokens of a profile. It never changes.
pub struct Encoder {
    /// The ranks.
    pub vocabulary: Arc<Vocabulary>,
    /// The special tokens.
    pub specials: Specials,
    path: Path,
}

impl Encoder {
    /// An error if the vocabulary's file, called `file` in it, names special tokens that are not
    /// those of `profile`.
    pub fn new(vocabulary: Arc<Vocabulary>, file: &str, profile: &str) -> Result<Self, Error> {
        let specials = Specials::new(Profile::find(profile)?, vocabulary.len() as u32);
        check_added(&vocabulary, file, &specials)?;
        check_names(&vocabulary, file, &specials)?;
        Ok(Self { vocabulary, specials, path: Path::best() })
    }

    /// The same encoder, but it cuts text by `path`; the ids are the same.
    pub fn on_path(self, path: Path) -> Self {
        Self { path, ..self }
    }

    /// How many ids there are, special tokens included.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len() + self.specials.names().len()
    }

    /// The bytes of any token; a special token's are its name.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.vocabulary.token(id).or_else(|| self.specials.name(id).map(str::as_bytes))
    }

    /// The id of any token, a special token by its name.
    pub fn token_id(&self, token: &[u8]) -> Result<u32, Error> {
        let id = self.vocabulary.id(token).or_else(|| self.specials.id(token));
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
        self.specials.refuse(text, &options.disallowed, check)?;
        if options.bos {
            sink.take_special(0..0, self.specials.first + BOS)?;
        }
        if options.allowed.is_none() {
            with_scratch(|scratch| self.encode_text(text, sink, scratch, check))?;
        } else {
            for segment in self.specials.split(text, &options.allowed, check) {
                match segment? {
                    Segment::Text(range) => {
                        let text = text.get(range).unwrap_or_default();
                        with_scratch(|scratch| self.encode_text(text, sink, scratch, check))?;
                    }
                    Segment::Special(range, id) => sink.take_special(range, id)?,
                }
            }
        }
        if options.eos {
            sink.take_special(text.len()..text.len(), self.specials.first + EOS)?;
        }
        Ok(())
    }

    /// Encodes plain text.
    fn encode_text<S: Sink>(
        &self,
        text: &[u8],
        sink: &mut S,
        scratch: &mut Scratch,
        check: &Check,
    ) -> Result<(), Error> {
        let path = if simdutf8::basic::from_utf8(text).is_ok() { self.path } else { Path::SCALAR };
        let Scratch { ends, round, memory } = scratch;
        memory.cache.begin(self.vocabulary.number());
        memory.merging.begin(self.vocabulary.number());
        let (mut at, mut next_check) = (0, CHECK_BYTES);
        while at < text.len() {
            path.fill(text, at, ends);
            memory.cache.find_round(text, at, ends.as_slice(), round);
            self.ask_for_rest(text, at, ends.as_slice(), round, &memory.cache);
            let mut count = 0;
            for (&end, few) in ends.as_slice().iter().zip(round.known()) {
                if let ids @ 1..=FEW = few.count() {
                    if S::TAKES_IDS {
                        memory.output.put(count, few.first());
                        if ids > 3 {
                            memory.output.put(count + 3, few.rest());
                        }
                    }
                    count += ids;
                } else {
                    let pretoken = Pretoken { text, start: at, end };
                    count = self.seldom(pretoken, memory, count, sink, check)?;
                }
                at = end;
            }
            sink.take(memory.output.first(count))?;
            if at >= next_check {
                check()?;
                next_check = at + CHECK_BYTES;
            }
        }
        Ok(())
    }

    /// Asks for what the pretokens will need that the cache knows less of, or more, than a few ids: one
    /// after the other each would wait for memory several times.
    #[inline(always)]
    fn ask_for_rest(&self, text: &[u8], from: usize, ends: &[usize], round: &Round, cache: &Cache) {
        let bounds = |number: &u16| {
            let number = usize::from(*number);
            let start = number.checked_sub(1).map_or(Some(&from), |before| ends.get(before));
            Some((*start?, *ends.get(number)?))
        };
        let rest = || {
            round.rest().iter().filter_map(|number| {
                Some((bounds(number)?, round.known().get(usize::from(*number))?))
            })
        };
        for ((start, end), &known) in rest() {
            match self.key(text, start, end, cache).filter(|_| end - start > KEY_BYTES) {
                Some(long) => cache.ask(long),
                None if known.count() == ELSEWHERE => cache.ask_elsewhere(known),
                None => self.vocabulary.ask(text, start, end),
            }
        }
        for ((start, end), _) in rest().filter(|((start, end), _)| end - start > KEY_BYTES) {
            match self.key(text, start, end, cache).map(|long| cache.find(long)) {
                Some(known) if known.count() == ELSEWHERE => cache.ask_elsewhere(known),
                _ => self.vocabulary.ask(text, start, end),
            }
        }
    }

    /// What the cache keeps a pretoken under; `None` if it is too long.
    #[inline]
    fn key(&self, text: &[u8], start: usize, end: usize, cache: &Cache) -> Option<Key> {
        Key::new(text, start, end).or_else(|| {
            let pretoken = text.get(start..end).filter(|pretoken| pretoken.len() <= LONGEST)?;
            Some(cache.long_key(pretoken))
        })
    }

    /// Encodes a pretoken of which the cache knows nothing, or more than a few ids. `count` ids are in
    /// the output; gives the new number.
    #[inline(never)]
    fn seldom<S: Sink>(
        &self,
        Pretoken { text, start, end }: Pretoken,
        Memory { cache, output, merging }: &mut Memory,
        count: usize,
        sink: &mut S,
        check: &Check,
    ) -> Result<usize, Error> {
        let pretoken = text.get(start..end).unwrap_or_default();
        let key = self.key(text, start, end, cache);
        // What was found for the round may be outdated, since others of it have been kept.
        let few = key.map_or(Few::default(), |key| cache.find(key));
        if let ids @ 1..=FEW = few.count() {
            output.put(count, few.first());
            output.put(count + 3, few.rest());
            return Ok(count + ids);
        }
        if few.count() == ELSEWHERE
            && let Some(ids) = cache.elsewhere(few, pretoken)
        {
            return output.add(count, ids, sink);
        }
        let whole = self.vocabulary.piece(text, start, end);
        let ids = if whole != NONE {
            &[whole]
        } else {
            self.vocabulary.merge(text, start, end, merging, check)?
        };
        if let Some(key) = key {
            cache.keep(key, pretoken, ids);
        }
        output.add(count, ids, sink)
    }

    /// How many ids the plain text `text` has.
    pub fn count(&self, text: &[u8], check: &Check) -> Result<usize, Error> {
        let mut count = Count::default();
        self.encode(text, &Options::default(), &mut count, check)?;
        Ok(count.0)
    }
}

/// A part of a text.
struct Pretoken<'t> {
    text: &'t [u8],
    start: usize,
    end: usize,
}

/// What encoding uses again, text after text, on one thread.
#[derive(Default)]
struct Scratch {
    ends: Ends,
    round: Round,
    memory: Memory,
}

#[derive(Default)]
struct Memory {
    cache: Cache,
    output: Output,
    merging: Merging,
}

/// Ids on their way to the sink.
struct Output([u32; OUTPUT]);

/// As many as a round of pretokens may have, if none has more than [`FEW`].
const OUTPUT: usize = ENDS * FEW;

impl Default for Output {
    fn default() -> Self {
        Self([0; OUTPUT])
    }
}

impl Output {
    /// Writes behind the first `count` ids, which are at most `OUTPUT - 3`.
    #[inline(always)]
    fn put(&mut self, count: usize, ids: [u32; 3]) {
        if let Some(place) = self.0.get_mut(count..).and_then(|rest| rest.first_chunk_mut()) {
            *place = ids;
        }
    }

    #[inline(always)]
    fn first(&self, count: usize) -> &[u32] {
        self.0.get(..count).unwrap_or_default()
    }

    /// Adds any number of ids to the first `count`, or if they are many gives all to the sink. How many
    /// are here then.
    #[inline]
    fn add(&mut self, count: usize, ids: &[u32], sink: &mut impl Sink) -> Result<usize, Error> {
        if ids.len() <= FEW {
            let places = self.0.get_mut(count..).unwrap_or_default();
            places.iter_mut().zip(ids).for_each(|(place, &id)| *place = id);
            return Ok(count + ids.len());
        }
        sink.take(self.first(count))?;
        sink.take(ids)?;
        Ok(0)
    }
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

/// A `tokenizer.json` says which special tokens its ids mean; another profile would misname them.
fn check_added(vocabulary: &Vocabulary, file: &str, specials: &Specials) -> Result<(), Error> {
    let Some(added) = vocabulary.added().filter(|added| *added != specials.names()) else {
        return Ok(());
    };
    let profile = specials.profile.name;
    let fitting = crate::special::PROFILES.iter().filter(|other| other.special_names() == added);
    let names: Vec<String> = fitting.map(|other| format!("{:?}", other.name)).collect();
    let reason = match names.join(" or ") {
        names if names.is_empty() => {
            format!("its {} special tokens are not those of any Llama 3 profile", added.len())
        }
        names => format!(
            "its special tokens are those of profile {names}, not of {profile:?}; pass profile={names}"
        ),
    };
    Err(Error::Vocabulary { file: file.to_owned(), line: None, reason })
}

/// A token whose bytes are a special token's name would leave open which of the two is meant.
fn check_names(vocabulary: &Vocabulary, file: &str, specials: &Specials) -> Result<(), Error> {
    let ambiguous = |name: &&String| vocabulary.id(name.as_bytes()).is_some();
    let Some(name) = specials.names().iter().find(ambiguous) else { return Ok(()) };
    let reason = format!("{name:?} is an ordinary token in it, and the name of a special one");
    Err(Error::Vocabulary { file: file.to_owned(), line: None, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{self, sample_encoder};

    #[test]
    fn the_sinks_agree() {
        let encoder = sample_encoder();
        let options =
            Options { bos: true, eos: true, allowed: Selection::All, ..Options::default() };
        let text = "The quick <|eot_id|> brown\n\nfox's 12345 Ünïcödé <|nope|>".as_bytes();
        let (mut ids, mut count) = (Vec::new(), Count::default());
        let mut offsets = Offsets::new(&encoder.vocabulary);
        encoder.encode(text, &options, &mut ids, &reference::go_on).unwrap();
        encoder.encode(text, &options, &mut offsets, &reference::go_on).unwrap();
        encoder.encode(text, &options, &mut count, &reference::go_on).unwrap();
        assert_eq!(offsets.ids, ids);
        assert_eq!(count.0, ids.len());
        let mut at = 0;
        for (range, &id) in offsets.spans.iter().zip(&ids) {
            assert_eq!(range.start, at);
            at = range.end;
            if !range.is_empty() {
                assert_eq!(encoder.token_bytes(id), Some(&text[range.clone()]));
            }
        }
        assert_eq!(at, text.len());
    }

    #[test]
    fn a_check_that_fails_stops_a_long_text_and_a_long_merge() {
        let encoder = sample_encoder();
        let stop = || Err(Error::Interrupted);
        for text in ["some words ".repeat(20_000), "z".repeat(200_000)] {
            let result = encoder.count(text.as_bytes(), &stop);
            assert!(matches!(result, Err(Error::Interrupted)));
        }
    }
}
