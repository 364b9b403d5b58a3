//! How many tokens any part of a text has, after one pass over it.
//!
//! ```text
//! text    ....|........|.....|.......|....      places where any text is cut (`text/cuts.rs`)
//! part          [..............]
//!                ^^ counted ^^^ looked up ^^ counted
//! ```
//!
//! At such a place the tokens of both sides are those of the whole, whatever else is on either side. It is one for a part
//! as well, if the two characters beside it are in the part: if it is at least four bytes from either end, which is what
//! a character has at most. So the tokens between the first and the last such place in a part are looked up, and the two
//! ends are encoded.

use crate::encode::Encoder;
use crate::encode::sink::Count;
use crate::error::{CHECK_BYTES, Check, Error, always, slice};
use crate::text::cuts::first_cut;

/// Bytes between two places, if the text can be cut there.
const STEP: usize = 128;
/// The most bytes of a character.
const MAX_CHARACTER_BYTES: usize = 4;

/// A position in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Bytes before it.
    pub bytes: usize,
    /// Characters before it, where each byte outside of UTF-8 is one.
    pub characters: usize,
    /// Tokens before it.
    pub tokens: usize,
}

/// Places of a text where it may be cut, ascending, the beginning and the end among them.
pub struct TokenIndex {
    places: Vec<Place>,
}

impl TokenIndex {
    /// Encodes the text once. Special tokens in it are text; `encoder` must have no other added tokens.
    pub fn new(encoder: &Encoder, text: &[u8], check: &Check) -> Result<Self, Error> {
        let mut places = Vec::new();
        let mut place = Place::default();
        let mut next_check = CHECK_BYTES;
        places.try_reserve(text.len() / STEP + 2)?;
        places.push(place);
        while place.bytes < text.len() {
            let from = place.bytes + STEP;
            let cut = match from < text.len() {
                true => first_cut(text, from, text.len(), check)?,
                false => None,
            };
            let end = cut.unwrap_or(text.len());
            let part = slice(text, place.bytes..end)?;
            let mut tokens = Count::default();
            encoder.encode_plain(part, &mut tokens, check)?;
            place = Place {
                bytes: end,
                characters: place.characters + characters(part),
                tokens: place.tokens + tokens.0,
            };
            places.try_reserve(1)?;
            places.push(place);
            if end >= next_check {
                check()?;
                next_check = end + CHECK_BYTES;
            }
        }
        Ok(Self { places })
    }

    /// The byte at which a character begins, both counted from the beginning of `text`.
    pub fn byte_of(&self, text: &[u8], character: usize) -> Result<usize, Error> {
        let found = self.places.partition_point(|place| place.characters <= character);
        let before = always(found.checked_sub(1).and_then(|at| self.places.get(at)), NO_PLACE)?;
        let mut at = before.bytes;
        for _ in before.characters..character {
            at += character_length(text, at);
        }
        Ok(at.min(text.len()))
    }

    /// How many tokens `text[start..end]` has by itself.
    pub fn count(
        &self,
        encoder: &Encoder,
        text: &[u8],
        start: usize,
        end: usize,
        check: &Check,
    ) -> Result<usize, Error> {
        let count = |start: usize, end: usize| {
            let mut tokens = Count::default();
            encoder.encode_plain(slice(text, start..end)?, &mut tokens, check)?;
            Ok::<_, Error>(tokens.0)
        };
        let from = if start == 0 { 0 } else { start + MAX_CHARACTER_BYTES };
        let to = if end == text.len() { end } else { end.saturating_sub(MAX_CHARACTER_BYTES) };
        let first = self.places.partition_point(|place| place.bytes < from);
        let after = self.places.partition_point(|place| place.bytes <= to);
        let last = after.checked_sub(1).and_then(|at| self.places.get(at));
        match (self.places.get(first), last) {
            (Some(first), Some(last)) if from <= to && first.bytes <= last.bytes => {
                let between = last.tokens - first.tokens;
                Ok(count(start, first.bytes)? + between + count(last.bytes, end)?)
            }
            _ => count(start, end),
        }
    }
}

const NO_PLACE: &str = "the places of a text begin after its beginning";

/// How many bytes the character at `at` has; a byte outside of UTF-8 is one by itself.
fn character_length(text: &[u8], at: usize) -> usize {
    crate::text::unicode::char_at(text, at).map_or(1, |(_, length)| length)
}

/// How many characters there are, each byte outside of UTF-8 being one.
pub fn characters(text: &[u8]) -> usize {
    match simdutf8::basic::from_utf8(text) {
        Ok(text) => text.chars().count(),
        Err(_) => {
            let (mut at, mut count) = (0, 0);
            while at < text.len() {
                at += character_length(text, at);
                count += 1;
            }
            count
        }
    }
}
