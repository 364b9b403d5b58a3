//! How many tokens merging gives from each beginning of a pretoken, or from each end of it.
//!
//! The tokens of a beginning are not the beginning of the tokens, and their number goes up and down
//! with the length. By the lemma of `merge.rs`, tokens are what merging gives from their bytes if and only
//! if each is what it gives alone and each two neighbours fit. So whatever leads to a place by tokens
//! that fit is *the* encoding of the bytes up to there: each place has one last token, and a token
//! that fits behind it is the last one of the place where it ends ([`Beginnings`]). Likewise each
//! place has one first token of the bytes from there to the end ([`Endings`]). For each place the
//! tokens that begin there are tried, of which there are at most as many as lengths, and only the
//! places that one token can span are kept: time is linear in the bytes, and memory does not grow.

use crate::index::NONE;
use crate::merge::Merging;
use crate::vocab::Vocabulary;
use crate::work;

/// What leads to a place, or on from it: the token, and how many tokens it makes in all.
type Link = (u32, usize);

/// As many links as one token can span, by their place.
struct Links(Vec<Link>);

impl Links {
    fn new(vocabulary: &Vocabulary) -> Self {
        Self(vec![(NONE, 0); vocabulary.longest_token() + 1])
    }

    fn get(&self, place: usize) -> Link {
        self.0.get(place % self.0.len()).copied().unwrap_or((NONE, 0))
    }

    fn set(&mut self, place: usize, link: Link) {
        let length = self.0.len();
        if let Some(old) = self.0.get_mut(place % length) {
            *old = link;
        }
    }
}

/// The number of tokens of each beginning of `text[start..]`, from the shortest to the longest.
pub struct Beginnings<'v> {
    vocabulary: &'v Vocabulary,
    links: Links,
    start: usize,
    at: usize,
}

impl<'v> Beginnings<'v> {
    /// Those of what begins at `start`.
    pub fn new(vocabulary: &'v Vocabulary, start: usize) -> Self {
        Self { vocabulary, links: Links::new(vocabulary), start, at: start }
    }

    /// Goes to another start.
    pub fn restart(&mut self, start: usize) {
        (self.start, self.at) = (start, start);
    }

    /// How many tokens the pretoken `text[start..end]` has. Each call must ask for more than the one
    /// before, and no call for more than `limit`.
    pub fn count(&mut self, text: &[u8], end: usize, limit: usize, memory: &mut Merging) -> usize {
        let Self { vocabulary, links, start, at } = self;
        while *at < end {
            work::done();
            let (last, count) = if at == start { (NONE, 0) } else { links.get(*at) };
            // None is taken, so that all are tried.
            vocabulary.longest(text, (*at, limit), |id, length| {
                if last == NONE || vocabulary.fits(last, id, memory) {
                    links.set(*at + length, (id, count + 1));
                }
                false
            });
            *at += 1;
        }
        whole_or(vocabulary, text, *start, end, links.get(end).1)
    }
}

/// The number of tokens of each end of `text[..end]`, from the shortest to the longest.
pub struct Endings<'v> {
    vocabulary: &'v Vocabulary,
    links: Links,
    end: usize,
    at: usize,
}

impl<'v> Endings<'v> {
    /// Those of what ends at `end`.
    pub fn new(vocabulary: &'v Vocabulary, end: usize) -> Self {
        Self { vocabulary, links: Links::new(vocabulary), end, at: end }
    }

    /// How many tokens the pretoken `text[start..end]` has. A call with another `end` begins anew; with
    /// the same it must ask for more than the one before.
    pub fn count(
        &mut self,
        text: &[u8],
        (start, end): (usize, usize),
        memory: &mut Merging,
    ) -> usize {
        let Self { vocabulary, links, .. } = self;
        if self.end != end {
            (self.end, self.at) = (end, end);
        }
        while self.at > start {
            work::done();
            let at = self.at - 1;
            let found = vocabulary.longest(text, (at, end), |id, length| {
                at + length == end || vocabulary.fits(id, links.get(at + length).0, memory)
            });
            // There is always one.
            let (id, length) = found.unwrap_or((NONE, 1));
            let rest = if at + length == end { 0 } else { links.get(at + length).1 };
            links.set(at, (id, rest + 1));
            self.at = at;
        }
        whole_or(vocabulary, text, start, end, links.get(start).1)
    }
}

/// Vocab-first: a pretoken that is a token is one, whatever merging would give.
fn whole_or(
    vocabulary: &Vocabulary,
    text: &[u8],
    start: usize,
    end: usize,
    merged: usize,
) -> usize {
    let is_short = end - start <= vocabulary.longest_token();
    if is_short && vocabulary.piece(text, start, end) != NONE { 1 } else { merged }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reference::{cases, merge, rank_file, ranks_of, vocabularies};

    proptest! {
        #![proptest_config(cases(1_000))]

        /// Each beginning and each end has as many tokens as the obvious encoder gives it.
        #[test]
        fn every_part_is_counted_as_the_rule_has_it_for_any_vocabulary(
            tokens in vocabularies(),
            text in prop_oneof!["[abc]{1,64}", "[ab]{30,100}"],
            from in 0..5usize,
        ) {
            let vocabulary =
                Vocabulary::parse(rank_file(&tokens).as_bytes(), "random", false).unwrap();
            let (ranks, text) = (ranks_of(&vocabulary), text.as_bytes());
            let count = |part: &[u8]| match ranks.contains_key(part) {
                true => 1,
                false => merge(&ranks, part).len(),
            };
            let (mut memory, length) = (Merging::default(), text.len());
            memory.begin(vocabulary.number());
            let mut beginnings = Beginnings::new(&vocabulary, 0);
            for from in [0, from.min(length - 1)] {
                beginnings.restart(from);
                for end in from + 1..=length {
                    let found = beginnings.count(text, end, length, &mut memory);
                    prop_assert_eq!(found, count(&text[from..end]), "{}..{}", from, end);
                }
                let end = length - from;
                let mut endings = Endings::new(&vocabulary, end);
                for start in (0..end).rev() {
                    let found = endings.count(text, (start, end), &mut memory);
                    prop_assert_eq!(found, count(&text[start..end]), "{}..{}", start, end);
                }
            }
        }
    }
}
