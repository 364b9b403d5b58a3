//! The longest beginning, or end, of a text whose own encoding has at most so many tokens.
//!
//! It can't be read off the tokens of the whole: those of a beginning are not a beginning of those, and
//! a longer beginning may have fewer. So for each place where the text may be cut, which is between any
//! two characters, the tokens of what would be kept are counted, though only near the place where
//! there are too many. Both sides rest on what `pretokenize/scalar.rs` says of the pattern.
//!
//! **Beginnings.** Cut a text at `k`. Pretokens that the scanner finished without looking at `k` or
//! after stay as they are. What follows them, from a place `b` where a pretoken of the whole text
//! begins, is
//!
//! - white space, if `k` is inside or at the end of a run of it that begins at `b`: one pretoken, or
//!   two if a newline is in it, the first of which ends after the last newline;
//! - else one pretoken, since any beginning of a pretoken that is not white space alone is one by itself.
//!   After a run of white space whose last character begins the next pretoken, only a `k` after that
//!   character belongs to that one.
//!
//! So the beginnings that belong to a `b` have the tokens before `b` and at least one more. The last `b`
//! before which there are fewer tokens than may be is asked first, then the one before it. It is enough
//! to know the last eight: before the first two of them there is room for seven tokens or more, a
//! white space character and one more have at most seven bytes, and of two that follow each other one
//! has such a beginning (the last white space character before a number, say, has none).
//!
//! **Ends.** Nothing before a place decides how the pattern goes on from there. So the end that
//! begins at `s` has the tokens of its first pretoken and those of the end that begins after it, and
//! from right to left each place needs one pretoken and what is known already. Before a place where
//! every text is cut (`cuts::last_cut`) every end has more tokens than the one that begins there.
//!
//! The tokens of all beginnings, or ends, of one pretoken are counted together (`partial_counts.rs`). Time is
//! linear in the length of what is looked at, and no more than some kilobytes, or a chunk of text
//! that can't be cut, are looked at beyond what is kept. No token being longer than the longest,
//! nothing is looked at that is too long for so many tokens of that length.

mod with_added;

use std::collections::VecDeque;

use crate::bpe::merge::MergeMemory;
use crate::encode::Encoder;
use crate::encode::partial_counts::{PrefixCounts, SuffixCounts};
use crate::error::{CHECK_BYTES, Check, Error, always, slice};
use crate::text::cuts::{first_cut, is_cut, last_cut};
use crate::text::pretokenize::reverse_runs::ReverseRuns;
use crate::text::pretokenize::scalar::{Runs, Scan, pretoken_end, pretoken_end_by};
use crate::text::span::Span;
use crate::text::unicode::{Class, char_at, char_before};

/// How many places the search may have to go back, and one more: see above.
const MAX_BASES: usize = 8;
/// Bytes of text that are counted at once, at first and at most, unless they can't be cut. Few in tests,
/// whose texts are short.
const CHUNK_BYTES: (usize, usize) = if cfg!(test) { (1 << 4, 1 << 5) } else { (1 << 12, 1 << 16) };
/// Characters between two calls of `check`, about a millisecond.
const CHECK_CHARACTERS: usize = 1 << 12;

const NO_PRETOKEN: &str = "no pretoken begins where a character does";

/// A place where a pretoken of the whole text begins.
struct Base {
    start: usize,
    /// Only cuts after this place keep all pretokens before as they are.
    after: usize,
    /// How many tokens are before.
    tokens: usize,
}

impl Encoder {
    /// Where the longest beginning of `text` ends whose own encoding has at most `limit` tokens: between
    /// two characters, where a byte outside valid UTF-8 counts as one.
    pub fn longest_prefix(&self, text: &[u8], limit: usize, check: &Check) -> Result<usize, Error> {
        // No token is empty.
        if text.len() <= limit {
            return Ok(text.len());
        }
        if self.added.has_ordinary() {
            return self.longest_prefix_with_added(text, limit, check);
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
            && let Some(end) = pretoken_end(text, start)
        {
            if end - checked >= CHECK_BYTES {
                checked = end;
                check()?;
            }
            if bases.len() == MAX_BASES {
                bases.pop_front();
            }
            bases.push_back(Base { start, after, tokens });
            after = unchanged_after(text, start, end);
            // What is too long anyway need not be counted.
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

    /// Skips what is certainly kept: gives a place where every text is cut, and the tokens before it.
    fn skip_beginning(
        &self,
        text: &[u8],
        limit: usize,
        check: &Check,
    ) -> Result<(usize, usize), Error> {
        let (mut at, mut tokens, mut size) = (0, 0, CHUNK_BYTES.0);
        while let Some(chunk) = text.get(at..at + size) {
            let Some(cut) = last_cut(chunk) else {
                size *= 2;
                continue;
            };
            check()?;
            let more = self.count_plain(slice(chunk, ..cut)?, check)?;
            if tokens + more > limit {
                break;
            }
            (at, tokens, size) = (at + cut, tokens + more, (size * 2).min(CHUNK_BYTES.1));
        }
        Ok((at, tokens))
    }

    /// The last cut after `base` that leaves at most `room` tokens, of which there is at least one, after
    /// its start; `None` if there is none.
    fn longest_after(
        &self,
        text: &[u8],
        &Base { start, after, .. }: &Base,
        room: usize,
        check: &Check,
    ) -> Result<Option<usize>, Error> {
        let white_space_end = Scan(text).white_space(start).end;
        let end = always(pretoken_end(text, start), NO_PRETOKEN)?.max(white_space_end);
        let end = end.min(start.saturating_add(self.most_bytes(room)));
        let mut memory = MergeMemory::default();
        memory.begin(self.vocabulary.number());
        let mut all = PrefixCounts::new(&self.vocabulary, start);
        // What is after the last newline, and how many tokens are before that.
        let mut rest = PrefixCounts::new(&self.vocabulary, start);
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

    /// Where the longest end of `text` begins whose own encoding has at most `limit` tokens; characters
    /// are as in [`Encoder::longest_prefix`].
    pub fn longest_suffix(&self, text: &[u8], limit: usize, check: &Check) -> Result<usize, Error> {
        if text.len() <= limit {
            return Ok(0);
        }
        if self.added.has_ordinary() {
            return self.longest_suffix_with_added(text, limit, check);
        }
        self.longest_plain_suffix(text, limit, check)
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
        memory.begin(self.vocabulary.number());
        let mut endings = SuffixCounts::new(&self.vocabulary, end);
        let mut runs = ReverseRuns::new(end);
        // The tokens of the end that begins so many bytes before `end`, where a character begins.
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

    /// The same as `skip_beginning` from the end: the tokens after the place.
    fn skip_end(&self, text: &[u8], limit: usize, check: &Check) -> Result<(usize, usize), Error> {
        let (mut end, mut tokens, mut size) = (text.len(), 0, CHUNK_BYTES.0);
        while let Some(from) = end.checked_sub(size) {
            let Some(cut) = first_cut(text, from, end) else {
                size *= 2;
                continue;
            };
            check()?;
            let more = self.count_plain(slice(text, cut..end)?, check)?;
            if tokens + more > limit {
                break;
            }
            (end, tokens, size) = (cut, tokens + more, (size * 2).min(CHUNK_BYTES.1));
        }
        Ok((end, tokens))
    }

    /// The most bytes that so many tokens can have.
    fn most_bytes(&self, tokens: usize) -> usize {
        tokens.saturating_mul(self.vocabulary.longest_token())
    }
}

/// Cuts up to this place change the pretoken `start..end`: the end of the white space that it is a part
/// of, if it leaves the last character of that to the next pretoken.
fn unchanged_after(text: &[u8], start: usize, end: usize) -> usize {
    // Only a white space character leaves another one after it.
    match char_at(text, start) {
        Some((Class::Space, _)) => {
            let run = Scan(text).white_space(start);
            if run.newline_end.is_none() && end < run.end { run.end } else { end }
        }
        _ => end,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::tests::sees_a_fault;
    use crate::reference::{best_encoder, cases, go_on, long_texts, sample_encoder, texts};
    use crate::steps::tests::{steps_of, worst_inputs};

    /// The places between characters.
    fn places(text: &[u8]) -> Vec<usize> {
        let next = |at: &usize| char_at(text, *at).map(|(_, length)| at + length);
        std::iter::successors(Some(0), next).collect()
    }

    /// Both sides against what each place gives, for every limit.
    fn is_the_longest(encoder: &Encoder, text: &[u8]) -> Result<(), TestCaseError> {
        let places = places(text);
        let count = |text: &[u8]| encoder.count(text, &go_on).unwrap();
        let beginnings: Vec<usize> = places.iter().map(|&at| count(&text[..at])).collect();
        let ends: Vec<usize> = places.iter().map(|&at| count(&text[at..])).collect();
        let most = *beginnings.iter().chain(&ends).max().unwrap();
        // Each limit of a short text, of a long one some.
        for limit in (0..=most + 1).step_by(1 + most / 100) {
            let fits = |&tokens: &usize| tokens <= limit;
            let expected = places[beginnings.iter().rposition(fits).unwrap()];
            prop_assert_eq!(encoder.longest_prefix(text, limit, &go_on).unwrap(), expected);
            let expected = places[ends.iter().position(fits).unwrap()];
            prop_assert_eq!(encoder.longest_suffix(text, limit, &go_on).unwrap(), expected);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(cases(800))]

        #[test]
        fn the_longest_part_of_any_text_is_found(text in texts()) {
            is_the_longest(&best_encoder().0, &text)?;
            is_the_longest(sample_encoder(), &text)?;
        }
    }

    proptest! {
        // Fewer, since all parts of long texts are encoded.
        #![proptest_config(cases(100))]

        #[test]
        fn the_longest_part_of_long_runs_is_found(text in long_texts()) {
            is_the_longest(&best_encoder().0, &text)?;
        }
    }

    #[test]
    fn a_base_where_no_pretoken_begins_is_an_error_and_gives_no_cut() {
        let after_the_text = Base { start: 3, after: 3, tokens: 0 };
        assert!(sees_a_fault(|| sample_encoder().longest_after(
            b"abc",
            &after_the_text,
            1,
            &go_on
        )));
    }

    #[test]
    fn a_check_that_fails_stops_the_search() {
        let encoder = sample_encoder();
        let stop = || Err(Error::Interrupted);
        // Too short for the scanner's own checks, so that those of the search are met.
        let word = "z".repeat(3 * CHECK_CHARACTERS);
        // In each of these another loop is long: what is skipped in chunks, and what has no place to cut.
        for text in [word, "a few words, ".repeat(20_000), "! ".repeat(4 * CHECK_BYTES)] {
            let found = encoder.longest_prefix(text.as_bytes(), text.len() / 5, &stop);
            assert!(matches!(found, Err(Error::Interrupted)), "{text:.20}");
            let found = encoder.longest_suffix(text.as_bytes(), text.len() / 5, &stop);
            assert!(matches!(found, Err(Error::Interrupted)), "{text:.20}");
        }
    }

    /// Steps of both sides, for a limit that cuts in the middle and for a small one.
    #[test]
    fn work_grows_linearly_on_the_worst_inputs() {
        let encoder = &best_encoder().0;
        let find = |text: &str, limit: usize| {
            steps_of(|| {
                encoder.longest_prefix(text.as_bytes(), limit, &go_on).unwrap();
            }) + steps_of(|| {
                encoder.longest_suffix(text.as_bytes(), limit, &go_on).unwrap();
            })
        };
        let (small, large) = (2_000, 20_000);
        for (name, text) in worst_inputs() {
            let (few, many) = (text(small), text(large));
            let half = |text: &str| encoder.count(text.as_bytes(), &go_on).unwrap() / 2;
            for (of_few, of_many) in [(half(&few), half(&many)), (5, 5)] {
                let (of_few, of_many) = (find(&few, of_few), find(&many, of_many));
                let growth = of_many as f64 / of_few.max(2_000) as f64;
                // Short texts find more in the memory of what fits; quadratic work would grow by 100.
                assert!(growth < 18.0, "{name}: {of_few} steps, {of_many} for 10 times as much");
                // Where a hundred tokens are possible at each place, as of spaces, there are most.
                assert!(of_many < 300 * many.len(), "{name}: {of_many} steps");
            }
        }
    }
}
