//! Finding names in text, in one of two ways.
//!
//! The names of all releases begin with `<|`, end with `|>` and have neither `|` nor brackets inside. So no
//! name is the beginning of another, at most one can be at a position, and it is enough to look at each
//! `<|`. Any other names are found by an automaton (crate `aho-corasick`), in linear time as well.

use std::ops::Range;

use aho_corasick::{AhoCorasick, Input, MatchKind, StartKind};
use memchr::memmem;

use crate::added::token::AddedToken;
use crate::error::{Check, Error, always, slice};

/// How many `<|` are looked at between two calls of `check`, a millisecond.
const CHECK_OPENINGS: usize = 1 << 15;
/// How many bytes the automaton reads between two calls of `check`.
pub(super) const WINDOW_BYTES: usize = 1 << 18;

/// How the name of every token of a release begins.
pub(super) const OPENING: &[u8] = b"<|";

/// Names, each with the number of its token.
pub(super) struct Names {
    /// In order.
    sorted: Vec<(String, usize)>,
    finder: Finder,
    /// The length of the longest.
    pub longest: usize,
    /// How many bytes the automaton reads between two calls of `check`.
    window: usize,
}

enum Finder {
    /// By `<|`, with which all names begin.
    Opening(Box<memmem::Finder<'static>>),
    /// By an automaton, whose patterns are the names in order.
    Automaton(AhoCorasick),
}

impl Names {
    pub fn new(mut sorted: Vec<(String, usize)>, window: usize) -> Result<Self, Error> {
        sorted.sort();
        let finder = if sorted.iter().all(|(name, _)| has_form_of_releases(name)) {
            Finder::Opening(Box::new(memmem::Finder::new(OPENING)))
        } else {
            let automaton = AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .start_kind(StartKind::Unanchored)
                .build(sorted.iter().map(|(name, _)| name));
            Finder::Automaton(automaton.map_err(|_| Error::OutOfMemory)?)
        };
        let longest = sorted.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        Ok(Self { sorted, finder, longest, window })
    }

    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// Whether all have the form of the names of releases.
    pub fn are_simple(&self) -> bool {
        matches!(self.finder, Finder::Opening(_))
    }

    /// The number of the token with a name.
    pub fn index(&self, name: &[u8]) -> Option<usize> {
        let found = self.sorted.binary_search_by(|(known, _)| known.as_bytes().cmp(name));
        self.sorted.get(found.ok()?).map(|&(_, index)| index)
    }

    /// Whether a name begins with these bytes, of which there is one at least.
    pub fn any_begins_with(&self, bytes: &[u8]) -> bool {
        let next = self.sorted.partition_point(|(name, _)| name.as_bytes() < bytes);
        self.sorted.get(next).is_some_and(|(name, _)| name.as_bytes().starts_with(bytes))
    }

    /// The name that begins first at or after `from`, the longest that does: where it stands, and the
    /// number of its token.
    fn find(
        &self,
        text: &[u8],
        from: usize,
        check: &Check,
    ) -> Result<Option<(Range<usize>, usize)>, Error> {
        if self.is_empty() {
            return Ok(None);
        }
        match &self.finder {
            Finder::Opening(opening) => {
                for (count, offset) in (1..).zip(opening.find_iter(slice(text, from..)?)) {
                    if count % CHECK_OPENINGS == 0 {
                        check()?;
                    }
                    let start = from + offset;
                    if let Some((length, index)) = self.at(slice(text, start..)?) {
                        return Ok(Some((start..start + length, index)));
                    }
                }
                Ok(None)
            }
            Finder::Automaton(automaton) => {
                let mut from = from;
                loop {
                    // A name that begins in the window may end after it.
                    let window_end = (from + self.window).min(text.len());
                    let end = (window_end + self.longest).min(text.len());
                    let found = automaton.find(Input::new(text).range(from..end));
                    if let Some(found) = found.filter(|found| found.start() < window_end) {
                        let entry = self.sorted.get(found.pattern().as_usize());
                        let (_, index) = always(entry, "an automaton finds what is not a name")?;
                        return Ok(Some((found.range(), *index)));
                    }
                    if window_end == text.len() {
                        return Ok(None);
                    }
                    check()?;
                    from = window_end;
                }
            }
        }
    }

    /// The name of a release's form that `text` begins with: its length and the number of its token.
    ///
    /// A name that is the beginning of `text` sorts before it, and any name between the two would begin
    /// with that name, which none does; so only the last name before `text` can be it.
    pub fn at(&self, text: &[u8]) -> Option<(usize, usize)> {
        let next = self.sorted.partition_point(|(name, _)| name.as_bytes() <= text);
        // `None` if no name sorts before the text.
        let (name, index) = self.sorted.get(next.checked_sub(1)?)?;
        text.starts_with(name.as_bytes()).then_some((name.len(), *index))
    }
}

fn has_form_of_releases(name: &str) -> bool {
    let inner = name.strip_prefix("<|").and_then(|name| name.strip_suffix("|>"));
    inner.is_some_and(|inner| !inner.contains(['|', '<', '>']))
}

/// A name in a text.
#[derive(Debug)]
pub(super) struct NameMatch {
    /// Where it stands.
    pub name: Range<usize>,
    /// The same with the white space that the token takes.
    pub range: Range<usize>,
    /// The number of its token.
    pub index: usize,
    /// Whether it is a token here; else it is text.
    pub is_token: bool,
}

/// The search in a part of a text, as if that were the whole text.
pub(super) struct NameSearch {
    part: Range<usize>,
    from: usize,
    /// Where the last token ends.
    free: usize,
}

impl NameSearch {
    pub fn new(part: Range<usize>) -> Self {
        let from = part.start;
        Self { part, from, free: from }
    }

    /// The next name in the part.
    pub fn next(
        &mut self,
        text: &[u8],
        names: &Names,
        tokens: &[AddedToken],
        wants: &dyn Fn(usize) -> Result<bool, Error>,
        check: &Check,
    ) -> Result<Option<NameMatch>, Error> {
        let text = slice(text, ..self.part.end)?;
        let Some((name, index)) = names.find(text, self.from, check)? else { return Ok(None) };
        let token = always(tokens.get(index), super::NO_TOKEN)?;
        let (before, after) = (slice(text, self.part.start..name.start)?, slice(text, name.end..)?);
        let beside = || [last_char(before), first_char(after)].into_iter().flatten();
        let in_word = || beside().any(|(character, _)| is_word(character));
        let is_token = wants(index)? && !(token.single_word && in_word());
        let mut range = name.clone();
        if is_token {
            if token.lstrip {
                let free = slice(text, self.free..name.start)?;
                range.start -= white_space_at_end(free);
            }
            if token.rstrip {
                range.end += white_space_at_start(after);
            }
            self.free = range.end;
        }
        self.from = range.end;
        Ok(Some(NameMatch { name, range, index, is_token }))
    }
}

/// As `\w` of the crate `regex`, which the library tokenizers uses. The tables are from that crate.
fn is_word(character: char) -> bool {
    regex_syntax::is_word_character(character)
}

/// The first character, and what is after it; `None` if there is none, or bytes that are not UTF-8.
fn first_char(text: &[u8]) -> Option<(char, &[u8])> {
    let mut parts = (1..=4).map_while(|length| text.split_at_checked(length));
    parts.find_map(|(head, rest)| Some((only_char(head)?, rest)))
}

/// The last character, and what is before it; `None` as for the first.
fn last_char(text: &[u8]) -> Option<(char, &[u8])> {
    let mut parts =
        (1..=4).map_while(|length| text.split_at_checked(text.len().checked_sub(length)?));
    parts.find_map(|(rest, tail)| Some((only_char(tail)?, rest)))
}

/// The character that some bytes are, if they are one.
fn only_char(bytes: &[u8]) -> Option<char> {
    std::str::from_utf8(bytes).ok()?.chars().next()
}

/// How many bytes of white space there are at the end.
fn white_space_at_end(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some((_, shorter)) =
        last_char(rest).filter(|(character, _)| character.is_whitespace())
    {
        rest = shorter;
    }
    text.len() - rest.len()
}

/// How many bytes of white space there are at the beginning.
fn white_space_at_start(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some((_, shorter)) =
        first_char(rest).filter(|(character, _)| character.is_whitespace())
    {
        rest = shorter;
    }
    text.len() - rest.len()
}
