//! The same for a text that may have added tokens: ordinary ones, as `<think>`, or special ones that are allowed.
//!
//! The text is cut into pieces where that changes no ids (`added/cut.rs`), so that the tokens of pieces add
//! up whatever is cut off. One of them is too much. What is kept of it is
//!
//! - text in which no name stands: the search of plain text is asked;
//! - or it has whole names, or parts of some, and each place is tried. Such a piece ends soon: behind
//!   a token any text may be cut.

use super::PIECE;
use crate::added::Selection;
use crate::encode::Encoder;
use crate::encode::options::Options;
use crate::encode::sink::Count;
use crate::error::{Check, Error, slice};
use crate::text::unicode::char_at;

/// Bytes of the pieces that are looked at closely, unless they can't be cut.
const CLOSE: usize = if cfg!(test) { 4 } else { 1 << 6 };

/// A chain of names that overlap is followed over so many lengths of the longest name.
const CHAIN: usize = 4;

impl Encoder {
    pub(super) fn longest_beginning_with_added(
        &self,
        text: &[u8],
        limit: usize,
        options: &Options,
        check: &Check,
    ) -> Result<usize, Error> {
        let (mut start, mut tokens, mut size) = (0, 0, PIECE.1);
        let end = loop {
            if start == text.len() {
                return Ok(start);
            }
            let end = self.piece_end(text, start, size, &options.allowed, check)?;
            let more = self.count(slice(text, start..end)?, options, check)?;
            if tokens + more <= limit {
                (start, tokens) = (end, tokens + more);
            } else if size > CLOSE {
                size = CLOSE;
            } else {
                break end;
            }
        };
        let piece = slice(text, start..end)?;
        let names = self.added.names_in(piece, &options.allowed, check)?;
        let first = names.iter().map(|name| name.start).min().unwrap_or(piece.len());
        for cut in places(piece).rev().filter(|&cut| cut > first) {
            if tokens + self.count(slice(piece, ..cut)?, options, check)? <= limit {
                return Ok(start + cut);
            }
        }
        Ok(start + self.longest_plain_beginning(slice(piece, ..first)?, limit - tokens, check)?)
    }

    pub(super) fn longest_end_with_added(
        &self,
        text: &[u8],
        limit: usize,
        options: &Options,
        check: &Check,
    ) -> Result<usize, Error> {
        let (mut start, mut end, mut tokens) = (0, text.len(), 0);
        let mut pieces = Vec::new();
        for size in [PIECE.1, CLOSE] {
            let mut at = start;
            while at < end {
                let next =
                    self.piece_end(slice(text, ..end)?, at, size, &options.allowed, check)?;
                pieces.try_reserve(1)?;
                pieces.push(at);
                at = next;
            }
            loop {
                let Some(at) = pieces.pop() else { return Ok(start) };
                let more = self.count(slice(text, at..end)?, options, check)?;
                if tokens + more > limit {
                    start = at;
                    break;
                }
                (end, tokens) = (at, tokens + more);
            }
        }
        // Behind the beginning of a name another one may begin, that goes on beyond the piece, as in `ab<` and
        // `<c>` of `ab<c>`: so names before the piece count as well, as far as such a chain is followed.
        let chain = CHAIN * self.added.longest_name();
        let before = pieces.iter().rev().find(|&&at| at + chain <= start).copied().unwrap_or(0);
        let piece = slice(text, before..end)?;
        let names = self.added.names_in(piece, &options.allowed, check)?;
        let last = names.iter().map(|name| name.end).max().unwrap_or(0).max(start - before);
        for cut in places(piece).skip(1).take_while(|&cut| cut < last) {
            let in_name = names.iter().any(|name| name.start < cut && cut < name.end);
            let fits = match in_name {
                true => self.count(slice(text, before + cut..)?, options, check)? <= limit,
                false if before + cut <= start => false,
                false => tokens + self.count(slice(piece, cut..)?, options, check)? <= limit,
            };
            if fits {
                return Ok(before + cut);
            }
        }
        let behind = self.longest_plain_end(slice(piece, last..)?, limit - tokens, check)?;
        Ok(before + last + behind)
    }

    /// Where a piece of about `size` bytes ends that begins at `start`.
    fn piece_end(
        &self,
        text: &[u8],
        start: usize,
        mut size: usize,
        allowed: &Selection,
        check: &Check,
    ) -> Result<usize, Error> {
        let none = Selection::None;
        while let Some(piece) = text.get(start..start.saturating_add(size)) {
            match self.added.last_cut(piece, allowed, &none, check)? {
                Some(cut) if cut > 0 => return Ok(start + cut),
                _ => size *= 2,
            }
        }
        Ok(text.len())
    }

    pub(super) fn count_plain(&self, text: &[u8], check: &Check) -> Result<usize, Error> {
        let mut count = Count::default();
        self.encode_plain(text, &mut count, check)?;
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

    use crate::added::Selection;
    use crate::added::tests::{encoder, odd_tokens, texts};
    use crate::encode::options::Options;
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
            let beginning = encoder.longest_beginning(text.as_bytes(), limit, &options, &go_on);
            let end = encoder.longest_end(text.as_bytes(), limit, &options, &go_on);
            let Some(last) = cuts.clone().rev().find(|&at| count(&text[..at]) <= limit) else {
                prop_assert!(limit < usize::from(ends.0) + usize::from(ends.1));
                let refused = |end| matches!(end, Err(Error::NoRoom { .. }));
                prop_assert!(refused(beginning) && refused(end));
                return Ok(());
            };
            prop_assert_eq!(beginning.unwrap(), last);
            let first = cuts.into_iter().find(|&at| count(&text[at..]) <= limit).unwrap();
            prop_assert_eq!(end.unwrap(), first);
        }
    }
}
