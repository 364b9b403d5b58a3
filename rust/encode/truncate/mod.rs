//! Truncation: the longest prefix, or suffix, of a text whose own encoding has at most so many tokens.
//!
//! It can't be read off the tokens of the whole text: the tokens of a prefix are not a prefix of those, and a
//! longer prefix may have fewer tokens. A text may be cut between any two characters. For each such position
//! near the limit, the tokens of what would be kept are counted. Both sides rely on what
//! `pretokenize/scalar.rs` says of the pattern.
//!
//! **Prefixes.** Cut a text at `k`. Pretokens that the scanner finished without looking at `k` or beyond stay
//! as they are. What follows them, from a *base* `b` where a pretoken of the whole text begins, is
//!
//! - white space, if `k` is inside or at the end of a run of white space that begins at `b`: one pretoken, or
//!   two if a newline is in it, the first of which ends after the last newline;
//! - else one pretoken, since any prefix of a pretoken is one pretoken by itself, unless it is white
//!   space alone. If `b` is the last character of a run of white space, which begins a pretoken, only a
//!   `k` after that character belongs to `b`.
//!
//! So the prefixes that belong to a base `b` have the tokens before `b` and at least one more. The last
//! base before which there are fewer tokens than the limit is tried first, then the base before it, and
//! so on. The last eight bases are enough: before the first two of them there is room for seven tokens
//! or more, a white space character and one more character have at most seven bytes, and of two
//! neighbouring bases one has such a prefix (the last white space character before a number, say, has
//! none).
//!
//! **Suffixes.** Nothing before a position decides how the pattern goes on from there. So the suffix that
//! begins at `s` has the tokens of its first pretoken and those of the suffix after that pretoken. From right
//! to left, each position needs one pretoken and a count that is known already. Before a position where every
//! text is cut (`cuts::last_cut`) every suffix has more tokens than the one that begins there.
//!
//! The tokens of all prefixes, or suffixes, of one pretoken are counted together (`partial_counts.rs`).
//! Time is linear in the bytes that are read. Beyond what is kept, only some kilobytes are read, or a
//! chunk that can't be cut, and never more bytes than the limit of the longest tokens would have.

mod with_added;

use std::collections::VecDeque;

use crate::bpe::merge::MergeMemory;
use crate::encode::Encoder;
use crate::encode::options::Options;
use crate::encode::partial_counts::{PrefixCounts, SuffixCounts};
use crate::error::{CHECK_BYTES, Check, Error, always, slice};
use crate::text::cuts::{first_cut, is_cut, last_cut};
use crate::text::pretokenize::reverse_runs::ReverseRuns;
use crate::text::pretokenize::scalar::{Runs, Scan, pretoken_end, pretoken_end_by};
use crate::text::span::Span;
use crate::text::unicode::{Class, char_at, char_before};

/// How many bases are kept: see above.
const MAX_BASES: usize = 8;
/// The sizes of the chunks of a text.
const CHUNK_SIZES: ChunkSizes = ChunkSizes { first: 1 << 12, max: 1 << 16, small: 1 << 6 };
/// Characters between two calls of `check`, about a millisecond.
const CHECK_CHARACTERS: usize = 1 << 12;

const NO_PRETOKEN: &str = "no pretoken begins where a character does";

/// Where a pretoken of the whole text begins.
struct Base {
    start: usize,
    /// Only cuts after this position leave all pretokens before the base as they are.
    after: usize,
    /// How many tokens are before the base.
    tokens: usize,
}

impl Encoder {
    /// Where the longest beginning of `text` ends whose own encoding has at most `limit` tokens, BOS and
    /// EOS among them if `options` has them: between two characters, where a byte outside valid UTF-8
    /// counts as one.
    pub fn longest_prefix(
        &self,
        text: &[u8],
        limit: usize,
        options: &Options,
        check: &Check,
    ) -> Result<usize, Error> {
        let search = Search { encoder: self, sizes: CHUNK_SIZES };
        search.longest_prefix(text, limit, options, check)
    }

    /// Where the longest end of `text` begins whose own encoding has at most `limit` tokens; characters
    /// are as in [`Encoder::longest_prefix`].
    pub fn longest_suffix(
        &self,
        text: &[u8],
        limit: usize,
        options: &Options,
        check: &Check,
    ) -> Result<usize, Error> {
        let search = Search { encoder: self, sizes: CHUNK_SIZES };
        search.longest_suffix(text, limit, options, check)
    }
}

/// The sizes of chunks in bytes. Chunks that can't be cut are longer.
#[derive(Clone, Copy)]
struct ChunkSizes {
    /// The first chunk whose tokens are counted at once.
    first: usize,
    /// The most that such a chunk has.
    max: usize,
    /// The small chunks in which each position is tried.
    small: usize,
}

/// The search for a cut.
struct Search<'e> {
    encoder: &'e Encoder,
    sizes: ChunkSizes,
}

impl Search<'_> {
    fn longest_prefix(
        &self,
        text: &[u8],
        limit: usize,
        options: &Options,
        check: &Check,
    ) -> Result<usize, Error> {
        let limit = self.limit_of_text(text, limit, options, check)?;
        // No token is empty.
        if text.len() <= limit {
            return Ok(text.len());
        }
        if !self.encoder.added.none_in(&options.allowed) {
            let options = &Options { allowed: options.allowed.clone(), ..Options::default() };
            return self.longest_prefix_with_added(text, limit, options, check);
        }
        self.longest_plain_prefix(text, limit, check)
    }

    /// The same for a text in which the names of added tokens are text.
    fn longest_plain_prefix(
        &self,
        text: &[u8],
        limit: usize,
        check: &Check,
    ) -> Result<usize, Error> {
        let (cut, mut tokens) = self.skip_beginning(text, limit, check)?;
        let (mut start, mut after) = (cut, cut);
        let mut bases = VecDeque::with_capacity(MAX_BASES);
        let mut checked = cut;
        while tokens < limit
            && let Some(end) = pretoken_end(text, start, check)?
        {
            if end - checked >= CHECK_BYTES {
                checked = end;
                check()?;
            }
            if bases.len() == MAX_BASES {
                bases.pop_front();
            }
            bases.push_back(Base { start, after, tokens });
            after = unchanged_after(text, start, end, check)?;
            // A pretoken that is too long in any case need not be counted.
            if end - start > self.most_bytes(limit - tokens) {
                break;
            }
            tokens += self.count_plain(slice(text, start..end)?, check)?;
            start = end;
        }
        if start == text.len() && tokens <= limit {
            return Ok(start);
        }
        for base in bases.iter().rev() {
            if let Some(end) = self.longest_after(text, base, limit - base.tokens, check)? {
                return Ok(end);
            }
        }
        Ok(cut)
    }

    /// Skips what is certainly kept: gives a position where every text is cut, and how many tokens are
    /// before it.
    fn skip_beginning(
        &self,
        text: &[u8],
        limit: usize,
        check: &Check,
    ) -> Result<(usize, usize), Error> {
        let (mut at, mut tokens, mut size) = (0, 0, self.sizes.first);
        while let Some(chunk) = text.get(at..at + size) {
            let Some(cut) = last_cut(chunk, check)? else {
                size *= 2;
                continue;
            };
            check()?;
            let more = self.count_plain(slice(chunk, ..cut)?, check)?;
            if tokens + more > limit {
                break;
            }
            (at, tokens, size) = (at + cut, tokens + more, (size * 2).min(self.sizes.max));
        }
        Ok((at, tokens))
    }

    /// The last cut that belongs to `base` and leaves at most `room` tokens, at least one of them, after
    /// the start of the base; `None` if there is none.
    fn longest_after(
        &self,
        text: &[u8],
        &Base { start, after, .. }: &Base,
        room: usize,
        check: &Check,
    ) -> Result<Option<usize>, Error> {
        let scan = Scan::new(text, check);
        let white_space_end = scan.white_space(start).end;
        let pretoken_end = pretoken_end_by(text, start, &scan);
        let end = always(scan.result(pretoken_end)?, NO_PRETOKEN)?.max(white_space_end);
        let end = end.min(start.saturating_add(self.most_bytes(room)));
        let mut memory = MergeMemory::default();
        memory.begin(self.encoder.vocabulary.serial());
        let mut all = PrefixCounts::new(&self.encoder.vocabulary, start);
        // The white space after the last newline, and how many tokens are before it.
        let mut rest = PrefixCounts::new(&self.encoder.vocabulary, start);
        let mut before_rest = None;
        let (mut at, mut best) = (start, None);
        for number in 1.. {
            let Some((class, length)) = char_at(text, at).filter(|(_, length)| at + length <= end)
            else {
                break;
            };
            at += length;
            let mut tokens = all.count(text, at, end, &mut memory)?;
            if at <= white_space_end {
                if class == Class::Newline {
                    before_rest = Some(tokens);
                    rest.restart(at);
                } else if let Some(before) = before_rest {
                    tokens = before + rest.count(text, at, end, &mut memory)?;
                }
            }
            if at > after && tokens <= room {
                best = Some(at);
            }
            if number % CHECK_CHARACTERS == 0 {
                check()?;
            }
        }
        Ok(best)
    }

    fn longest_suffix(
        &self,
        text: &[u8],
        limit: usize,
        options: &Options,
        check: &Check,
    ) -> Result<usize, Error> {
        let limit = self.limit_of_text(text, limit, options, check)?;
        if text.len() <= limit {
            return Ok(0);
        }
        if !self.encoder.added.none_in(&options.allowed) {
            let options = &Options { allowed: options.allowed.clone(), ..Options::default() };
            return self.longest_suffix_with_added(text, limit, options, check);
        }
        self.longest_plain_suffix(text, limit, check)
    }

    /// How many tokens are left for the text when BOS and EOS are counted. An error if it has a special
    /// token that is disallowed.
    fn limit_of_text(
        &self,
        text: &[u8],
        limit: usize,
        options: &Options,
        check: &Check,
    ) -> Result<usize, Error> {
        self.encoder.added.refuse(text, &options.disallowed, check)?;
        let ends = self.encoder.added_ends(options)?;
        limit.checked_sub(ends).ok_or(Error::NoRoom { limit, ends })
    }

    /// The same for a text in which the names of added tokens are text.
    fn longest_plain_suffix(
        &self,
        text: &[u8],
        limit: usize,
        check: &Check,
    ) -> Result<usize, Error> {
        let (end, tokens) = self.skip_end(text, limit, check)?;
        let floor = end.saturating_sub(self.most_bytes(limit - tokens));
        let mut memory = MergeMemory::default();
        memory.begin(self.encoder.vocabulary.serial());
        let mut endings = SuffixCounts::new(&self.encoder.vocabulary, end);
        let mut runs = ReverseRuns::new(end);
        // At index `n`, the tokens of the suffix that begins `n` bytes before `end`.
        let mut counts = vec![tokens];
        let (mut at, mut best, mut tokens, mut class_after) = (end, end, tokens, None);
        for number in 1.. {
            let Some((class, length)) =
                char_before(text, at).filter(|(_, length)| floor + length <= at)
            else {
                break;
            };
            if class_after.is_some_and(|after| is_cut(class, after)) && tokens >= limit {
                break;
            }
            at -= length;
            runs.add(at, class, length);
            let first = always(pretoken_end_by(text, at, &runs), NO_PRETOKEN)?;
            let after = end.checked_sub(first).and_then(|place| counts.get(place));
            tokens = endings.count(text, Span { start: at, end: first }, &mut memory)?
                + always(after, "a pretoken goes on where every text is cut")?;
            counts.try_reserve(length)?;
            counts.resize(counts.len() + length, tokens);
            if tokens <= limit {
                best = at;
            }
            class_after = Some(class);
            if number % CHECK_CHARACTERS == 0 {
                check()?;
            }
        }
        Ok(best)
    }

    /// The same as `skip_beginning` from the end: gives a position and how many tokens are after it.
    fn skip_end(&self, text: &[u8], limit: usize, check: &Check) -> Result<(usize, usize), Error> {
        let (mut end, mut tokens, mut size) = (text.len(), 0, self.sizes.first);
        while let Some(from) = end.checked_sub(size) {
            let Some(cut) = first_cut(text, from, end, check)? else {
                size *= 2;
                continue;
            };
            check()?;
            let more = self.count_plain(slice(text, cut..end)?, check)?;
            if tokens + more > limit {
                break;
            }
            (end, tokens, size) = (cut, tokens + more, (size * 2).min(self.sizes.max));
        }
        Ok((end, tokens))
    }

    /// The most bytes that so many tokens can have.
    fn most_bytes(&self, tokens: usize) -> usize {
        tokens.saturating_mul(self.encoder.vocabulary.longest_token())
    }
}

/// Cuts up to this position change the pretoken `start..end`. If it is white space whose last character
/// begins the next pretoken, it is the end of that white space; else the end of the pretoken.
fn unchanged_after(text: &[u8], start: usize, end: usize, check: &Check) -> Result<usize, Error> {
    // Only a pretoken that begins with a space leaves a character of its run to the next pretoken.
    let Some((Class::Space, _)) = char_at(text, start) else { return Ok(end) };
    let scan = Scan::new(text, check);
    let run = scan.white_space(start);
    scan.result(if run.newline_end.is_none() && end < run.end { run.end } else { end })
}

#[cfg(test)]
mod tests;
