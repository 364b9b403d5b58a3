//! The same for a text that may have ordinary added tokens, as `<think>`.
//!
//! The text is cut into pieces where that changes no ids (`added/last_cut.rs`), so that the tokens of pieces add
//! up whatever is cut off. One of them is too much. What is kept of it is
//!
//! - text in which no name stands: the search of plain text is asked;
//! - or it has whole names, or parts of some, and each place is tried. Such a piece ends soon: after
//!   a token any text may be cut.

use super::PIECE;
use crate::added::Selection;
use crate::encode::Encoder;
use crate::encode::sink::Count;
use crate::error::{Check, Error, slice};
use crate::text::unicode::char_at;

/// Bytes of the pieces that are looked at closely, unless they can't be cut.
const CLOSE: usize = if cfg!(test) { 4 } else { 1 << 6 };

/// A chain of names that overlap is followed over so many lengths of the longest name.
const CHAIN: usize = 4;

impl Encoder {
    pub(super) fn longest_prefix_with_added(
        &self,
        text: &[u8],
        limit: usize,
        check: &Check,
    ) -> Result<usize, Error> {
        let (mut start, mut tokens, mut size) = (0, 0, PIECE.1);
        let end = loop {
            if start == text.len() {
                return Ok(start);
            }
            let end = self.piece_end(text, start, size, check)?;
            let more = self.count(slice(text, start..end)?, check)?;
            if tokens + more <= limit {
                (start, tokens) = (end, tokens + more);
            } else if size > CLOSE {
                size = CLOSE;
            } else {
                break end;
            }
        };
        let piece = slice(text, start..end)?;
        let names = self.added.names_in(piece, check)?;
        let first = names.iter().map(|name| name.start).min().unwrap_or(piece.len());
        for cut in places(piece).rev().filter(|&cut| cut > first) {
            if tokens + self.count(slice(piece, ..cut)?, check)? <= limit {
                return Ok(start + cut);
            }
        }
        Ok(start + self.longest_plain_prefix(slice(piece, ..first)?, limit - tokens, check)?)
    }

    pub(super) fn longest_suffix_with_added(
        &self,
        text: &[u8],
        limit: usize,
        check: &Check,
    ) -> Result<usize, Error> {
        let (mut start, mut end, mut tokens) = (0, text.len(), 0);
        let mut pieces = Vec::new();
        for size in [PIECE.1, CLOSE] {
            let mut at = start;
            while at < end {
                let next = self.piece_end(slice(text, ..end)?, at, size, check)?;
                pieces.try_reserve(1)?;
                pieces.push(at);
                at = next;
            }
            loop {
                let Some(at) = pieces.pop() else { return Ok(start) };
                let more = self.count(slice(text, at..end)?, check)?;
                if tokens + more > limit {
                    start = at;
                    break;
                }
                (end, tokens) = (at, tokens + more);
            }
        }
        // After the beginning of a name another one may begin, that goes on beyond the piece, as in `ab<` and
        // `<c>` of `ab<c>`: so names before the piece count as well, as far as such a chain is followed.
        let chain = CHAIN * self.added.longest_name();
        let before = pieces.iter().rev().find(|&&at| at + chain <= start).copied().unwrap_or(0);
        let piece = slice(text, before..end)?;
        let names = self.added.names_in(piece, check)?;
        let last = names.iter().map(|name| name.end).max().unwrap_or(0).max(start - before);
        for cut in places(piece).skip(1).take_while(|&cut| cut < last) {
            let in_name = names.iter().any(|name| name.start < cut && cut < name.end);
            let fits = match in_name {
                true => self.count(slice(text, before + cut..)?, check)? <= limit,
                false if before + cut <= start => false,
                false => tokens + self.count(slice(piece, cut..)?, check)? <= limit,
            };
            if fits {
                return Ok(before + cut);
            }
        }
        let behind = self.longest_plain_suffix(slice(piece, last..)?, limit - tokens, check)?;
        Ok(before + last + behind)
    }

    /// Where a piece of about `size` bytes ends that begins at `start`.
    fn piece_end(
        &self,
        text: &[u8],
        start: usize,
        mut size: usize,
        check: &Check,
    ) -> Result<usize, Error> {
        let none = Selection::None;
        while let Some(piece) = text.get(start..start.saturating_add(size)) {
            match self.added.last_cut(piece, &none, &none, check)? {
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

    use crate::added::tests::{encoder, odd_tokens, texts};
    use crate::reference::go_on;

    proptest! {
        #[test]
        fn nothing_longer_would_fit(text in texts(), limit in 0usize..12) {
            let encoder = encoder(odd_tokens());
            let cuts = (0..=text.len()).filter(|&at| text.is_char_boundary(at));
            let count = |text: &str| encoder.count(text.as_bytes(), &go_on).unwrap();
            let end = cuts.clone().rev().find(|&at| count(&text[..at]) <= limit).unwrap();
            prop_assert_eq!(encoder.longest_prefix(text.as_bytes(), limit, &go_on).unwrap(), end);
            let start = cuts.into_iter().find(|&at| count(&text[at..]) <= limit).unwrap();
            prop_assert_eq!(encoder.longest_suffix(text.as_bytes(), limit, &go_on).unwrap(), start);
        }
    }
}
