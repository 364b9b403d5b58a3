//! How many tokens merging gives from each prefix of a pretoken, or from each suffix.
//!
//! The tokens of a prefix are not a prefix of the tokens, and their number goes up and down with the
//! length. By the lemma of `merge.rs`, tokens are what merging gives from their bytes if and only if
//! each token is what merging gives from its own bytes and each two neighbours fit. So any sequence of
//! tokens that fit and end at a position is *the* encoding of the bytes up to there. Each position has
//! one last token, and a token that fits after it is the last token of the position where it ends
//! ([`PrefixCounts`]). Likewise each position has one first token of the bytes from there to the end
//! ([`SuffixCounts`]). At each position the tokens that begin there are tried, at most one for each
//! length, and only the positions that one token can span are kept. So time is linear in the bytes, and
//! memory does not grow.

use crate::bpe::index::NONE;
use crate::bpe::merge::MergeMemory;
use crate::error::{Error, always};
use crate::steps;
use crate::text::span::Span;
use crate::vocabulary::Vocabulary;

/// Never happens: each single byte is a token, so some tokens lead to each position.
const NO_TOKEN: &str = "no token of a pretoken leads to one of its positions";

/// The last token up to a position, or the first from it on.
#[derive(Clone, Copy)]
struct Link {
    position: usize,
    id: u32,
    /// How many tokens there are up to the position, or from it on.
    count: usize,
}

/// The links of as many positions as one token can span, each with the origin that it was set for.
struct Links {
    links: Vec<(usize, Link)>,
    /// Where the bytes begin whose prefixes are counted, or end whose suffixes are.
    origin: usize,
}

impl Links {
    fn new(vocabulary: &Vocabulary, origin: usize) -> Self {
        let none = (usize::MAX, Link { position: usize::MAX, id: NONE, count: 0 });
        Self { links: vec![none; vocabulary.longest_token() + 1], origin }
    }

    /// The link of a position; `None` if it has none.
    fn get(&self, position: usize) -> Option<Link> {
        // A remainder is always inside.
        let &(origin, link) = self.links.get(position % self.links.len())?;
        (origin == self.origin && link.position == position).then_some(link)
    }

    fn set(&mut self, link: Link) {
        // A remainder is always inside. Without the link, no token would lead to its position.
        let length = self.links.len();
        if let Some(old) = self.links.get_mut(link.position % length) {
            *old = (self.origin, link);
        }
    }

    /// How many tokens the pretoken `span`, between `position` and the origin, has. Vocab-first: one if
    /// it is a token, whatever merging gives.
    fn count(
        &self,
        vocabulary: &Vocabulary,
        text: &[u8],
        span: Span,
        position: usize,
    ) -> Result<usize, Error> {
        let is_short = span.length() <= vocabulary.longest_token();
        if is_short && vocabulary.find(text, span) != NONE {
            return Ok(1);
        }
        Ok(always(self.get(position), NO_TOKEN)?.count)
    }
}

/// The number of tokens of each prefix of `text[start..]`, from the shortest to the longest.
pub struct PrefixCounts<'v> {
    vocabulary: &'v Vocabulary,
    links: Links,
    at: usize,
}

impl<'v> PrefixCounts<'v> {
    /// Of the prefixes that begin at `start`.
    pub fn new(vocabulary: &'v Vocabulary, start: usize) -> Self {
        Self { vocabulary, links: Links::new(vocabulary, start), at: start }
    }

    /// Goes to another start.
    pub fn restart(&mut self, start: usize) {
        (self.links.origin, self.at) = (start, start);
    }

    /// How many tokens the pretoken `text[start..end]` has. `end` must grow from call to call, up to `limit`.
    pub fn count(
        &mut self,
        text: &[u8],
        end: usize,
        limit: usize,
        memory: &mut MergeMemory,
    ) -> Result<usize, Error> {
        let Self { vocabulary, links, at } = self;
        while *at < end {
            steps::count();
            let (count, last) = if *at == links.origin {
                (1, None)
            } else {
                let before = always(links.get(*at), NO_TOKEN)?;
                (before.count + 1, Some(before.id))
            };
            // No token is accepted, so that all are tried.
            vocabulary.longest(text, Span { start: *at, end: limit }, |id, length| {
                let position = *at + length;
                let fits = |last| vocabulary.fits(last, id, memory);
                if links.get(position).is_none() && last.is_none_or(fits) {
                    links.set(Link { position, id, count });
                }
                false
            });
            *at += 1;
        }
        links.count(vocabulary, text, Span { start: links.origin, end }, end)
    }
}

/// The number of tokens of each suffix of `text[..end]`, from the shortest to the longest.
pub struct SuffixCounts<'v> {
    vocabulary: &'v Vocabulary,
    links: Links,
    at: usize,
}

impl<'v> SuffixCounts<'v> {
    /// Of the suffixes that end at `end`.
    pub fn new(vocabulary: &'v Vocabulary, end: usize) -> Self {
        Self { vocabulary, links: Links::new(vocabulary, end), at: end }
    }

    /// How many tokens the pretoken `span` has. A call with another end begins anew; with the same end,
    /// the start must be before that of the last call.
    pub fn count(
        &mut self,
        text: &[u8],
        span: Span,
        memory: &mut MergeMemory,
    ) -> Result<usize, Error> {
        let Span { start, end } = span;
        let Self { vocabulary, links, .. } = self;
        if links.origin != end {
            (links.origin, self.at) = (end, end);
        }
        while self.at > start {
            steps::count();
            self.at -= 1;
            let position = self.at;
            let found = vocabulary.longest(text, Span { start: position, end }, |id, length| {
                let link = links.get(position + length);
                link.map_or(position + length == end, |link| vocabulary.fits(id, link.id, memory))
            });
            let (id, length) = always(found, NO_TOKEN)?;
            // It was accepted because it reaches the end, or because a link follows it.
            let after = match position + length {
                after if after == end => 0,
                after => always(links.get(after), NO_TOKEN)?.count,
            };
            let count = after + 1;
            links.set(Link { position, id, count });
        }
        links.count(vocabulary, text, span, start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::tests::sees_a_fault;
    use crate::reference::{cases, merge, ranks_of, sample_encoder, vocabularies, vocabulary_of};

    proptest! {
        #![proptest_config(cases(200))]

        /// Each prefix and each suffix has as many tokens as the obvious encoder gives it.
        #[test]
        fn every_prefix_and_suffix_is_counted_as_the_rule_has_it_for_any_vocabulary(
            tokens in vocabularies(),
            text in prop_oneof!["[abc]{1,64}", "[ab]{30,100}"],
            from in 0..5usize,
        ) {
            let vocabulary = vocabulary_of(&tokens);
            let (ranks, text) = (ranks_of(&vocabulary), text.as_bytes());
            let count = |part: &[u8]| match ranks.contains_key(part) {
                true => 1,
                false => merge(&ranks, part).len(),
            };
            let (mut memory, length) = (MergeMemory::default(), text.len());
            memory.begin(vocabulary.serial());
            let mut beginnings = PrefixCounts::new(&vocabulary, 0);
            for from in [0, from.min(length - 1)] {
                beginnings.restart(from);
                for end in from + 1..=length {
                    let found = beginnings.count(text, end, length, &mut memory).unwrap();
                    prop_assert_eq!(found, count(&text[from..end]), "{}..{}", from, end);
                }
                let end = length - from;
                let mut endings = SuffixCounts::new(&vocabulary, end);
                for start in (0..end).rev() {
                    let found = endings.count(text, Span { start, end }, &mut memory).unwrap();
                    prop_assert_eq!(found, count(&text[start..end]), "{}..{}", start, end);
                }
            }
        }
    }

    #[test]
    fn a_place_that_no_token_leads_to_is_an_error_and_no_smaller_count() {
        let vocabulary = &sample_encoder().vocabulary;
        let (text, length) = (b"qxqxqxqx", 8);
        let mut memory = MergeMemory::default();
        memory.begin(vocabulary.serial());
        let mut beginnings = PrefixCounts::new(vocabulary, 0);
        beginnings.at = 2;
        assert!(sees_a_fault(|| beginnings.count(text, 4, length, &mut memory)));
        let mut endings = SuffixCounts::new(vocabulary, length);
        endings.at = 2;
        assert!(sees_a_fault(|| endings.count(text, Span { start: 0, end: length }, &mut memory)));
    }
}
