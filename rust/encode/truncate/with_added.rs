//! Truncating a text that may have added tokens: ordinary ones, as `<think>`, or special ones that are
//! allowed.
//!
//! The text is cut into chunks where that changes no ids (`added/last_cut.rs`), so that the numbers of
//! tokens of the chunks add up. One chunk is too much. What is kept of it is
//!
//! - text without names: then it is truncated as plain text is;
//! - or text with names, or with parts of some: then each position is tried. Such a chunk is short, since any
//!   text may be cut after a token.

use super::Search;
use crate::added::Selection;
use crate::encode::options::Options;
use crate::encode::sink::Count;
use crate::error::{Check, Error, slice};
use crate::text::unicode::char_at;

/// A chain of overlapping names is followed over as many bytes as so many of the longest name have.
const MAX_CHAIN_NAMES: usize = 4;

impl Search<'_> {
    pub(super) fn longest_prefix_with_added(
        &self,
        text: &[u8],
        limit: usize,
        options: &Options,
        check: &Check,
    ) -> Result<usize, Error> {
        let (mut start, mut tokens, mut size) = (0, 0, self.sizes.max);
        let end = loop {
            if start == text.len() {
                return Ok(start);
            }
            let end = self.chunk_end(text, start, size, &options.allowed, check)?;
            let more = self.encoder.count(slice(text, start..end)?, options, check)?;
            if tokens + more <= limit {
                (start, tokens) = (end, tokens + more);
            } else if size > self.sizes.small {
                size = self.sizes.small;
            } else {
                break end;
            }
        };
        let chunk = slice(text, start..end)?;
        let names = self.encoder.added.names_in(chunk, &options.allowed, check)?;
        // Without a name the whole chunk is plain text.
        let first = names.iter().map(|name| name.start).min().unwrap_or(chunk.len());
        for cut in places(chunk).rev().filter(|&cut| cut > first) {
            if tokens + self.encoder.count(slice(chunk, ..cut)?, options, check)? <= limit {
                return Ok(start + cut);
            }
        }
        Ok(start + self.longest_plain_prefix(slice(chunk, ..first)?, limit - tokens, check)?)
    }

    pub(super) fn longest_suffix_with_added(
        &self,
        text: &[u8],
        limit: usize,
        options: &Options,
        check: &Check,
    ) -> Result<usize, Error> {
        let (mut start, mut end, mut tokens) = (0, text.len(), 0);
        let mut chunks = Vec::new();
        for size in [self.sizes.max, self.sizes.small] {
            let mut at = start;
            while at < end {
                let next =
                    self.chunk_end(slice(text, ..end)?, at, size, &options.allowed, check)?;
                chunks.try_reserve(1)?;
                chunks.push(at);
                at = next;
            }
            loop {
                let Some(at) = chunks.pop() else { return Ok(start) };
                let more = self.encoder.count(slice(text, at..end)?, options, check)?;
                if tokens + more > limit {
                    start = at;
                    break;
                }
                (end, tokens) = (at, tokens + more);
            }
        }
        // After the beginning of a name another one may begin, that goes on beyond the chunk, as in `ab<` and
        // `<c>` of `ab<c>`: so names before the chunk count as well, as far as such a chain is followed.
        let chain = MAX_CHAIN_NAMES * self.encoder.added.longest_name();
        // If no chunk begins so far before, it is from the beginning of the text.
        let before = chunks.iter().rev().find(|&&at| at + chain <= start).copied().unwrap_or(0);
        let chunk = slice(text, before..end)?;
        let names = self.encoder.added.names_in(chunk, &options.allowed, check)?;
        let last = names.iter().map(|name| name.end).max().unwrap_or(0).max(start - before);
        for cut in places(chunk).skip(1).take_while(|&cut| cut < last) {
            let in_name = names.iter().any(|name| name.start < cut && cut < name.end);
            let fits = match in_name {
                true => self.encoder.count(slice(text, before + cut..)?, options, check)? <= limit,
                false if before + cut <= start => false,
                false => {
                    tokens + self.encoder.count(slice(chunk, cut..)?, options, check)? <= limit
                }
            };
            if fits {
                return Ok(before + cut);
            }
        }
        let after = self.longest_plain_suffix(slice(chunk, last..)?, limit - tokens, check)?;
        Ok(before + last + after)
    }

    /// The end of a chunk of about `size` bytes that begins at `start`.
    fn chunk_end(
        &self,
        text: &[u8],
        start: usize,
        mut size: usize,
        allowed: &Selection,
        check: &Check,
    ) -> Result<usize, Error> {
        let none = Selection::None;
        while let Some(chunk) = text.get(start..start.saturating_add(size)) {
            match self.encoder.added.last_cut(chunk, allowed, &none, check)? {
                Some(cut) if cut > 0 => return Ok(start + cut),
                _ => size *= 2,
            }
        }
        Ok(text.len())
    }

    pub(super) fn count_plain(&self, text: &[u8], check: &Check) -> Result<usize, Error> {
        let mut count = Count::default();
        self.encoder.encode_plain(text, &mut count, check)?;
        Ok(count.0)
    }
}

/// Where the characters of a text begin, and where the last ends.
fn places(text: &[u8]) -> std::vec::IntoIter<usize> {
    let mut places = vec![0];
    let mut at = 0;
    while let Some((_, length)) = char_at(text, at) {
        at += length;
        places.push(at);
    }
    places.into_iter()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Search;
    use crate::added::Selection;
    use crate::added::tests::{encoder, odd_tokens, texts};
    use crate::encode::options::Options;
    use crate::encode::truncate::CHUNK_SIZES;
    use crate::encode::truncate::tests::FEW_BYTES;
    use crate::error::Error;
    use crate::reference::go_on;

    fn selection() -> impl Strategy<Value = Selection> {
        let flags = proptest::collection::vec(any::<bool>(), odd_tokens().len());
        prop_oneof![Just(Selection::None), Just(Selection::All), flags.prop_map(Selection::Some)]
    }

    proptest! {
        #[test]
        fn nothing_longer_would_fit(
            text in texts(),
            limit in 0usize..12,
            allowed in selection(),
            ends in (any::<bool>(), any::<bool>()),
        ) {
            let encoder = encoder(odd_tokens());
            let options = Options { bos: ends.0, eos: ends.1, allowed, ..Options::default() };
            let cuts = (0..=text.len()).filter(|&at| text.is_char_boundary(at));
            let count = |text: &str| encoder.count(text.as_bytes(), &options, &go_on).unwrap();
            let last = cuts.clone().rev().find(|&at| count(&text[..at]) <= limit);
            let first = cuts.into_iter().find(|&at| count(&text[at..]) <= limit);
            for sizes in [FEW_BYTES, CHUNK_SIZES] {
                let search = Search { encoder: &encoder, sizes };
                let end = search.longest_prefix(text.as_bytes(), limit, &options, &go_on);
                let start = search.longest_suffix(text.as_bytes(), limit, &options, &go_on);
                if let (Some(last), Some(first)) = (last, first) {
                    prop_assert_eq!((end.unwrap(), start.unwrap()), (last, first));
                } else {
                    prop_assert!(limit < usize::from(ends.0) + usize::from(ends.1));
                    let refused = |found| matches!(found, Err(Error::NoRoom { .. }));
                    prop_assert!(refused(end) && refused(start));
                }
            }
        }
    }
}
