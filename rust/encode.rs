//! The one loop from text to ids. What becomes of the ids is the sink's business: a list, a count,
//! or a list with the places they came from. There is no second encoder.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use crate::cache::{Cache, LONGEST, OUTPUT, Rest, Round};
use crate::error::{Check, Error};
use crate::index::NONE;
use crate::merge::Merging;
use crate::pieces::Key;
use crate::pretokenize::{Ends, Path};
use crate::profile::{BOS, EOS, Profile};
use crate::special::{Segment, Selection, Specials};
use crate::vocab::Vocabulary;

/// Bytes of text between two calls of `check`, about a millisecond.
pub const CHECK_BYTES: usize = 1 << 16;

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
        let Scratch { ends, output, round, memory } = scratch;
        memory.cache.begin(self.vocabulary.number());
        memory.merging.begin(self.vocabulary.number());
        let (mut at, mut next_check) = (0, CHECK_BYTES);
        while at < text.len() {
            path.fill(text, at, ends);
            let ends = ends.as_slice();
            memory.cache.ask_round(text, at, ends, round);
            let count = memory.cache.take_round(ends.len(), round, output, S::TAKES_IDS);
            let ids = output.get(..count).unwrap_or_default();
            if round.rest().is_empty() {
                sink.take(ids)?;
            } else {
                let pretokens = Pretokens { text, start: at, ends };
                self.take_rest(&pretokens, round, ids, memory, sink, check)?;
            }
            at = ends.last().copied().unwrap_or(text.len());
            if at >= next_check {
                check()?;
                next_check = at + CHECK_BYTES;
            }
        }
        Ok(())
    }

    /// Takes a round of which some ids are not known: `ids` are the known ones.
    #[inline(never)]
    fn take_rest<S: Sink>(
        &self,
        pretokens: &Pretokens,
        round: &mut Round,
        ids: &[u32],
        memory: &mut Memory,
        sink: &mut S,
        check: &Check,
    ) -> Result<(), Error> {
        memory.cache.ask_rest(pretokens.text, pretokens.start, pretokens.ends, round);
        for rest in round.rest() {
            let few = memory.cache.find(round.key(rest));
            if few.is_known() {
                memory.cache.ask_ids(few);
            } else {
                let (start, end) = pretokens.range(rest);
                self.vocabulary.ask(pretokens.text, start, end);
            }
        }
        let mut taken = 0;
        for rest in round.rest() {
            let behind = usize::from(rest.behind);
            sink.take(ids.get(taken..behind).unwrap_or_default())?;
            taken = behind;
            let (range, key) = (pretokens.range(rest), round.key(rest));
            self.take_one(pretokens.text, range, key, memory, sink, check)?;
        }
        sink.take(ids.get(taken..).unwrap_or_default())
    }

    /// Encodes a pretoken whose ids do not stand where the cache has them at once.
    #[inline(always)]
    fn take_one(
        &self,
        text: &[u8],
        (start, end): (usize, usize),
        key: Key,
        Memory { cache, merging }: &mut Memory,
        sink: &mut impl Sink,
        check: &Check,
    ) -> Result<(), Error> {
        let pretoken = text.get(start..end).unwrap_or_default();
        // What was found for the round may be outdated, since others of it have been kept.
        let few = cache.find_again(key);
        if cache.give(few, pretoken, sink)? {
            return Ok(());
        }
        let whole = self.vocabulary.piece(text, start, end);
        let ids = if whole != NONE {
            &[whole]
        } else {
            self.vocabulary.merge(text, start, end, merging, check)?
        };
        if pretoken.len() <= LONGEST {
            cache.keep(key, pretoken, ids);
        }
        sink.take(ids)
    }

    /// How many ids the plain text `text` has.
    pub fn count(&self, text: &[u8], check: &Check) -> Result<usize, Error> {
        let mut count = Count::default();
        self.encode(text, &Options::default(), &mut count, check)?;
        Ok(count.0)
    }
}

/// A round of pretokens.
struct Pretokens<'t> {
    text: &'t [u8],
    start: usize,
    ends: &'t [usize],
}

impl Pretokens<'_> {
    /// Where one of them begins and ends.
    #[inline(always)]
    fn range(&self, rest: &Rest) -> (usize, usize) {
        let number = usize::from(rest.number);
        let end = |number: usize| self.ends.get(number).copied().unwrap_or(self.start);
        (number.checked_sub(1).map_or(self.start, end), end(number))
    }
}

/// What encoding uses again, text after text, on one thread.
struct Scratch {
    ends: Ends,
    round: Round,
    output: [u32; OUTPUT],
    memory: Memory,
}

impl Default for Scratch {
    fn default() -> Self {
        let (ends, round, memory) = <_>::default();
        Self { ends, round, output: [0; OUTPUT], memory }
    }
}

#[derive(Default)]
struct Memory {
    cache: Cache,
    merging: Merging,
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
    let fitting = crate::profile::PROFILES.iter().filter(|other| other.special_names() == added);
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
    use crate::offsets::Offsets;
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
        // One word, so that only merging can ask: of a run, and of letters in no order.
        let mixed = (0..2_000_000u64).map(|n| b'a' + (n.wrapping_mul(n) * 7 % 26) as u8).collect();
        for word in [vec![b'z'; 2_000_000], mixed] {
            let mut merging = Merging::default();
            let result = encoder.vocabulary.merge(&word, 0, word.len(), &mut merging, &stop);
            assert!(matches!(result, Err(Error::Interrupted)));
        }
    }
}
