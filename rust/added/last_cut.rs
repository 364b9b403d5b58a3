//! Where a text with added tokens may be cut, so that the ids of both sides are those of the whole.

use super::{AddedTokens, NameMatches, Selection};
use crate::error::{Check, Error, always, slice};
use crate::text::cuts;

/// The most bytes of a character.
const MAX_CHARACTER_BYTES: usize = 4;

impl AddedTokens {
    /// The last position where `text` may be cut whatever follows it; `None` if there is none yet. Each
    /// side is then encoded with the same options.
    pub fn last_cut(
        &self,
        text: &[u8],
        allowed: &Selection,
        disallowed: &Selection,
        check: &Check,
    ) -> Result<Option<usize>, Error> {
        if self.none_in(allowed) && disallowed.is_none() {
            return cuts::last_cut(text, check);
        }
        if self.is_simple {
            let text = self.settled(text)?;
            let after_token = |cut| self.after_token(text, cut, allowed, disallowed);
            return cuts::last_cut(text, check)?.map(after_token).transpose();
        }
        self.last_cut_by_names(text, allowed, check)
    }

    /// The part of `text` that is certain whatever follows: `text` may end with the beginning of a name.
    fn settled<'t>(&self, text: &'t [u8]) -> Result<&'t [u8], Error> {
        let [names, _] = &self.names;
        // Only the first byte of a name is a `<`.
        let Some(opening) = memchr::memrchr(b'<', text) else { return Ok(text) };
        let begins = names.any_begins_with(slice(text, opening..)?);
        if begins { slice(text, ..opening) } else { Ok(text) }
    }

    /// The position `cut`, or if that is inside a token that is allowed or disallowed, the end of that
    /// token. `text` must be settled.
    fn after_token(
        &self,
        text: &[u8],
        cut: usize,
        allowed: &Selection,
        disallowed: &Selection,
    ) -> Result<usize, Error> {
        let [names, _] = &self.names;
        let Some(opening) = memchr::memrchr(b'<', slice(text, ..cut)?) else { return Ok(cut) };
        match names.at(slice(text, opening..)?) {
            Some((length, index))
                if self.wants(allowed, index)? || self.selects(disallowed, index)? =>
            {
                Ok(cut.max(opening + length))
            }
            _ => Ok(cut),
        }
    }

    /// The same for any names.
    ///
    /// A search from the left finds names one after the other. At a position where no name lies across
    /// or touches, a search of either side finds the names of the whole: nothing before the position
    /// reads what is after it, and the search goes on as if it began there. There the text is cut as
    /// `cuts::last_cut` says. White space that a token takes does not go across such a position. The end
    /// of a token is such a position as well, unless the name that follows is a token only as a whole
    /// word.
    ///
    /// A name that begins nearer to the end than the longest name is long may go on.
    fn last_cut_by_names(
        &self,
        text: &[u8],
        allowed: &Selection,
        check: &Check,
    ) -> Result<Option<usize>, Error> {
        let Some(known) = text.len().checked_sub(self.longest_name().max(MAX_CHARACTER_BYTES))
        else {
            return Ok(None);
        };
        let mut stop = known;
        let mut found = Vec::new();
        let mut matches = NameMatches::new(self, text, check);
        while let Some(name) = matches.next(&|index| self.wants(allowed, index))? {
            if name.range.end < known {
                let single_word = always(self.tokens.get(name.index), super::NO_TOKEN)?.single_word;
                found.try_reserve(1)?;
                found.push((name.range, name.is_token, single_word));
            } else {
                stop = stop.min(name.range.start);
            }
        }
        // Names that are text may have normalized names inside.
        found.sort_by_key(|(range, ..)| range.start);
        // Each stretch of text between two names, and whether it begins at a position where the text may
        // be cut: the end of a token.
        let mut gaps = Vec::new();
        let (mut end, mut after_token) = (0, false);
        let last = (stop..stop, false, true);
        for (range, is_token, single_word) in found.into_iter().chain([last]) {
            if range.start > stop {
                break;
            }
            if range.start >= end {
                let is_cut = after_token && (range.start > end || !single_word);
                gaps.try_reserve(1)?;
                gaps.push((end..range.start, is_cut));
            }
            // A name that is text may end where a token inside it ends.
            after_token = is_token && (range.end > end || (range.end == end && after_token))
                || (range.end < end && after_token);
            end = end.max(range.end);
        }
        for (gap, is_cut) in gaps.into_iter().rev() {
            let start = gap.start;
            if let Some(cut) = cuts::last_cut(slice(text, gap)?, check)? {
                return Ok(Some(start + cut));
            }
            if is_cut {
                return Ok(Some(start));
            }
        }
        Ok(None)
    }
}
