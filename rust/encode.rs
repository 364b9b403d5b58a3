//! The one loop from text to ids. What becomes of the ids is the sink's business: a list, a count,
//! or a list with the places they came from. There is no second encoder.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use crate::cache::{self, Cache};
use crate::error::{Check, Error};
use crate::merge::merge;
use crate::pieces::NONE;
use crate::pretokenize::{Ends, Path};
use crate::special::{BOS, EOS, Profile, Segment, Selection, Specials};
use crate::vocab::Vocabulary;

/// Bytes of text between two calls of `check`, about a millisecond.
const CHECK_BYTES: usize = 1 << 16;

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

/// Takes the tokens of a text, from left to right.
pub trait Sink {
    /// Makes room for `count` more tokens, so that [`Sink::token`] can't fail.
    fn reserve(&mut self, count: usize) -> Result<(), Error>;
    /// Takes the token `id`, which is the bytes `start..end` of the text.
    fn token(&mut self, start: usize, end: usize, id: u32);
}

/// The ids.
impl Sink for Vec<u32> {
    #[inline]
    fn reserve(&mut self, count: usize) -> Result<(), Error> {
        Ok(self.try_reserve(count)?)
    }

    #[inline]
    fn token(&mut self, _start: usize, _end: usize, id: u32) {
        self.push(id);
    }
}

/// How many ids there would be.
#[derive(Default)]
pub struct Count(pub usize);

impl Sink for Count {
    #[inline]
    fn reserve(&mut self, _count: usize) -> Result<(), Error> {
        Ok(())
    }

    #[inline]
    fn token(&mut self, _start: usize, _end: usize, _id: u32) {
        self.0 += 1;
    }
}

/// The ids and where each token stands, in bytes.
#[derive(Default)]
pub struct Offsets {
    /// The ids.
    pub ids: Vec<u32>,
    /// The byte range of each id; that of BOS and EOS is empty.
    pub spans: Vec<Range<usize>>,
}

impl Sink for Offsets {
    fn reserve(&mut self, count: usize) -> Result<(), Error> {
        self.ids.try_reserve(count)?;
        Ok(self.spans.try_reserve(count)?)
    }

    fn token(&mut self, start: usize, end: usize, id: u32) {
        self.ids.push(id);
        self.spans.push(start..end);
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
        sink.reserve(2)?;
        if options.bos {
            sink.token(0, 0, self.specials.first + BOS);
        }
        for segment in self.specials.split(text, &options.allowed, check) {
            match segment? {
                Segment::Text(range) => self.encode_text(text, range, sink, check)?,
                Segment::Special(range, id) => {
                    sink.reserve(2)?;
                    sink.token(range.start, range.end, id);
                }
            }
        }
        sink.reserve(1)?;
        if options.eos {
            sink.token(text.len(), text.len(), self.specials.first + EOS);
        }
        Ok(())
    }

    /// Encodes a part of `text` as plain text, as if nothing stood around it.
    fn encode_text(
        &self,
        text: &[u8],
        range: Range<usize>,
        sink: &mut impl Sink,
        check: &Check,
    ) -> Result<(), Error> {
        let base = range.start;
        let text = text.get(range).unwrap_or_default();
        let path = if std::str::from_utf8(text).is_ok() { self.path } else { Path::SCALAR };
        let mut ends = Ends::default();
        let (mut at, mut next_check) = (0, CHECK_BYTES);
        while at < text.len() {
            path.fill(text, at, &mut ends);
            for &end in ends.as_slice() {
                let id = self.vocabulary.piece(text, at, end);
                if id == NONE {
                    let bytes = text.get(at..end).unwrap_or_default();
                    self.encode_merged(bytes, base + at, sink, check)?;
                } else {
                    sink.reserve(1)?;
                    sink.token(base + at, base + end, id);
                }
                at = end;
            }
            if at >= next_check {
                check()?;
                next_check = at + CHECK_BYTES;
            }
        }
        Ok(())
    }

    /// Encodes a pretoken that is no token as a whole, from the thread's memory or by merging.
    fn encode_merged(
        &self,
        bytes: &[u8],
        start: usize,
        sink: &mut impl Sink,
        check: &Check,
    ) -> Result<(), Error> {
        sink.reserve(bytes.len())?;
        if bytes.len() > cache::LONGEST {
            return merge(&self.vocabulary, bytes, check, &mut |from, to, id| {
                sink.token(start + from, start + to, id);
            });
        }
        CACHE.with_borrow_mut(|cache| {
            cache.begin(self.vocabulary.number());
            let (hash, known) = cache.find(bytes);
            if let Some(ids) = known {
                let mut at = start;
                for &id in ids {
                    let end = at + self.vocabulary.token(id).map_or(0, <[u8]>::len);
                    sink.token(at, end, id);
                    at = end;
                }
                return Ok(());
            }
            let (mut ids, mut count) = ([NONE; cache::LONGEST], 0);
            // Too short to be worth a check, which might run a handler that encodes on this thread.
            merge(&self.vocabulary, bytes, &|| Ok(()), &mut |from, to, id| {
                sink.token(start + from, start + to, id);
                if let Some(slot) = ids.get_mut(count) {
                    *slot = id;
                    count += 1;
                }
            })?;
            cache.keep(hash, bytes, ids.get(..count).unwrap_or_default());
            Ok(())
        })
    }

    /// How many ids the plain text `text` has.
    pub fn count(&self, text: &[u8], check: &Check) -> Result<usize, Error> {
        let mut count = Count::default();
        self.encode(text, &Options::default(), &mut count, check)?;
        Ok(count.0)
    }
}

/// A `tokenizer.json` says which special tokens its ids mean; another profile would misname them.
fn check_added(vocabulary: &Vocabulary, file: &str, specials: &Specials) -> Result<(), Error> {
    let Some(added) = vocabulary.added().filter(|added| *added != specials.names()) else {
        return Ok(());
    };
    let profile = specials.profile.name;
    let fitting = crate::special::PROFILES.iter().find(|other| other.special_names() == added);
    let reason = match fitting {
        Some(other) => format!(
            "its special tokens are those of profile {:?}, not of {profile:?}; pass profile={:?}",
            other.name, other.name
        ),
        None => format!("its {} special tokens are not those of any Llama 3 profile", added.len()),
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
        let (mut ids, mut offsets, mut count) = (Vec::new(), Offsets::default(), Count::default());
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
