//! A text in chunks, each of which has at most so many tokens by its own encoding.
//!
//! The tokens of a part of a text are not a part of its tokens, so each chunk is measured as it is: the longest
//! beginning of the rest that fits (`truncate/`), less what follows its last paragraph, line, sentence or word. A
//! shorter beginning may have more tokens, so the one that is chosen is counted.

use crate::encode::Encoder;
use crate::encode::options::Options;
use crate::error::{Check, Error, slice};
use crate::text::breaks::BreakKind;
use crate::text::unicode::char_at;

/// How a text is to be divided.
#[derive(Clone, Copy)]
pub struct Division {
    /// The most tokens of a chunk, BOS and EOS among them.
    pub limit: usize,
    /// The most tokens, BOS and EOS not among them, that a chunk repeats of the one before it.
    pub overlap: usize,
    /// What a chunk ends with where it can.
    pub kind: BreakKind,
}

/// A chunk: where it is, and how many tokens it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
    /// Of its own encoding.
    pub tokens: usize,
}

impl Encoder {
    /// The chunk that follows `before`, or the first one; `None` at the end of the text.
    ///
    /// A chunk always goes beyond the one before it. That a special token is disallowed is for the caller to look at,
    /// once for the whole text. [`Error::NothingFits`] for a limit in which not even one character fits.
    pub fn next_chunk(
        &self,
        text: &[u8],
        before: Option<Chunk>,
        division: Division,
        options: &Options,
        check: &Check,
    ) -> Result<Option<Chunk>, Error> {
        let end = before.map_or(0, |before| before.end);
        if end >= text.len() {
            return Ok(None);
        }
        if let Some(before) = before {
            let start = self.overlap_start(text, before, division, check)?;
            // With what it would repeat it may not go beyond the one before.
            if start < end
                && let Some(chunk) = self.chunk(text, start, end, division, options, check)?
            {
                return Ok(Some(chunk));
            }
        }
        let chunk = self.chunk(text, end, end, division, options, check)?;
        let limit = division.limit;
        chunk.map(Some).ok_or(Error::NothingFits { limit, offset: end })
    }

    /// The longest chunk from `start` on that ends after `least`; `None` where nothing so long fits.
    fn chunk(
        &self,
        text: &[u8],
        start: usize,
        least: usize,
        division: Division,
        options: &Options,
        check: &Check,
    ) -> Result<Option<Chunk>, Error> {
        let rest = slice(text, start..)?;
        let length = self.longest_prefix(rest, division.limit, options, check)?;
        let end = start + length;
        let count = |end: usize| self.count(slice(text, start..end)?, options, check);
        if end <= least {
            return Ok(None);
        }
        if end == text.len() {
            return Ok(Some(Chunk { start, end, tokens: count(end)? }));
        }
        for kind in BreakKind::ALL.into_iter().filter(|&kind| kind >= division.kind) {
            let mut from = end;
            while let Some(place) = kind.last(text, least, from) {
                let tokens = count(place)?;
                if tokens <= division.limit {
                    return Ok(Some(Chunk { start, end: place, tokens }));
                }
                let before = kind.last(text, least, place.saturating_sub(1));
                match before {
                    Some(before) => from = before,
                    None => break,
                }
            }
        }
        Err(Error::Internal("the longest beginning that fits does not fit"))
    }

    /// Where the chunk after `before` begins: so that it repeats no more than it should, and whole parts of a kind.
    fn overlap_start(
        &self,
        text: &[u8],
        before: Chunk,
        division: Division,
        check: &Check,
    ) -> Result<usize, Error> {
        if division.overlap == 0 {
            return Ok(before.end);
        }
        let chunk = slice(text, before.start..before.end)?;
        let plain = Options::default();
        let kept = self.longest_suffix(chunk, division.overlap, &plain, check)?;
        let next = |at: usize| at + char_at(text, at).map_or(1, |(_, length)| length);
        // It has to begin after the one before it.
        let from = if kept == 0 { next(before.start) } else { before.start + kept };
        for kind in BreakKind::ALL.into_iter().filter(|&kind| kind >= division.kind) {
            let mut at = from;
            while let Some(place) = kind.first(text, at, before.end) {
                // What is shorter may have more tokens.
                if self.count(slice(text, place..before.end)?, &plain, check)? <= division.overlap {
                    return Ok(place);
                }
                at = next(place);
            }
        }
        Ok(before.end)
    }
}
