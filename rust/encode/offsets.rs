//! Where each token stands in its text: its range of bytes, and of characters.

use std::ops::Range;

use crate::encode::sink::Sink;
use crate::error::{Check, Error, always};
use crate::text::unicode::char_at;
use crate::vocabulary::Vocabulary;

/// Spans between two calls of `check`, about a millisecond.
const CHECK_SPANS: usize = 1 << 16;

/// The ids and where each token stands, in bytes.
pub struct Offsets<'v> {
    vocabulary: &'v Vocabulary,
    /// The ids.
    pub ids: Vec<u32>,
    /// The byte range of each id; that of BOS and EOS is empty.
    pub spans: Vec<Range<usize>>,
}

impl<'v> Offsets<'v> {
    /// Nothing yet; `vocabulary` is that of the encoder.
    pub fn new(vocabulary: &'v Vocabulary) -> Self {
        Self { vocabulary, ids: Vec::new(), spans: Vec::new() }
    }
}

impl Sink for Offsets<'_> {
    fn take(&mut self, ids: &[u32]) -> Result<(), Error> {
        self.ids.try_reserve(ids.len())?;
        self.spans.try_reserve(ids.len())?;
        // The first token begins where the text does.
        let mut start = self.spans.last().map_or(0, |span| span.end);
        for &id in ids {
            let token = self.vocabulary.token(id);
            let end = start + always(token, "encoding gave an id that no token has")?.len();
            self.ids.push(id);
            self.spans.push(start..end);
            start = end;
        }
        Ok(())
    }

    fn take_added(&mut self, range: Range<usize>, id: u32) -> Result<(), Error> {
        self.ids.try_reserve(1)?;
        self.spans.try_reserve(1)?;
        self.ids.push(id);
        self.spans.push(range);
        Ok(())
    }
}

/// Goes through the characters of a text once, to tell which character a byte is in.
pub struct Characters<'t> {
    text: &'t [u8],
    /// Where characters begin that count as two, beyond the current one.
    wide: &'t [usize],
    /// Where the current character ends.
    end: usize,
    /// The number of the current character.
    number: usize,
    /// As how many characters it counts; 0 before the first and after the last.
    width: usize,
}

impl<'t> Characters<'t> {
    /// A byte outside valid UTF-8 is a character. The characters that begin at the bytes `wide`, in
    /// order, count as two each.
    pub fn new(text: &'t [u8], wide: &'t [usize]) -> Self {
        Self { text, wide, end: 0, number: 0, width: 0 }
    }

    /// From the number of the character that byte `offset` is in, counted from 0, to that of the next
    /// character. At the end of the text both are the number of all characters. `offset` must not be
    /// before the character of the last call.
    pub fn at(&mut self, offset: usize) -> Range<usize> {
        while self.end <= offset {
            self.number += self.width;
            let Some((_, length)) = char_at(self.text, self.end) else {
                self.width = 0;
                break;
            };
            self.width = match self.wide.split_first() {
                Some((&start, rest)) if start == self.end => {
                    self.wide = rest;
                    2
                }
                _ => 1,
            };
            self.end += length;
        }
        self.number..self.number + self.width
    }

    /// An error if a position that was passed is in `wide`, but no character begins there.
    pub fn check(&self) -> Result<(), Error> {
        let is_passed = self.wide.first().is_some_and(|&start| start < self.end);
        always((!is_passed).then_some(()), "a wide character is not in the text")
    }
}

/// The character ranges of byte ranges, which follow each other and cover `text`: a range has all
/// characters of which it has a byte. `wide` is as in [`Characters::new`].
pub fn char_spans(
    text: &[u8],
    wide: &[usize],
    spans: &[Range<usize>],
    check: &Check,
) -> Result<Vec<Range<usize>>, Error> {
    let mut characters = Characters::new(text, wide);
    let mut found = Vec::new();
    found.try_reserve_exact(spans.len())?;
    let mut covered = 0;
    for (number, span) in (1..).zip(spans) {
        let follows = (span.start == covered).then_some(());
        always(follows, "a token does not begin where the one before it ends")?;
        covered = span.end;
        let first = characters.at(span.start);
        found.push(match span.end.checked_sub(1) {
            Some(last) if !span.is_empty() => first.start..characters.at(last).end,
            _ => first.start..first.start,
        });
        if number % CHECK_SPANS == 0 {
            check()?;
        }
    }
    let is_all = (covered == text.len() && characters.wide.is_empty()).then_some(());
    always(is_all, "the tokens' characters are not those of the text")?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::tests::sees_a_fault;
    use crate::reference::{go_on, sample_encoder};

    #[test]
    fn parts_of_a_character_have_its_span_and_wide_ones_are_two() {
        // é, a stray byte, an emoji that counts as two, b.
        let text = b"\xC3\xA9\xFF\xF0\x9F\x98\x80b";
        let spans = [0..0, 0..1, 1..2, 2..3, 3..5, 5..8, 8..8];
        let found = char_spans(text, &[3], &spans, &go_on).unwrap();
        assert_eq!(found, [0..0, 0..1, 0..1, 1..2, 2..4, 2..5, 5..5]);
        let empty = [0..0, 0..0];
        assert_eq!(char_spans(b"", &[], &empty, &go_on).unwrap(), empty);
    }

    #[test]
    fn a_wide_character_that_does_not_exist_is_an_error() {
        let text = "aéb".as_bytes();
        for (wide, exists) in [(&[1][..], true), (&[3], true), (&[9], true), (&[2], false)] {
            let mut characters = Characters::new(text, wide);
            characters.at(2);
            assert_eq!(sees_a_fault(|| characters.check()), !exists, "{wide:?}");
        }
    }

    #[test]
    fn tokens_that_do_not_cover_the_text_are_an_error() {
        let text = "aé".as_bytes();
        assert_eq!(char_spans(text, &[1], &[0..1, 1..3], &go_on).unwrap(), [0..1, 1..3]);
        let gap = [0..1, 2..3];
        for spans in [&gap, &[0..1, 1..2][..], &[]] {
            assert!(sees_a_fault(|| char_spans(text, &[], spans, &go_on)));
        }
        // No character begins at byte 2.
        assert!(sees_a_fault(|| char_spans(text, &[2], &[0..1, 1..3], &go_on)));
    }

    #[test]
    fn an_id_that_no_token_has_is_an_error_and_no_empty_span() {
        let vocabulary = &sample_encoder().vocabulary;
        let none = vocabulary.len() as u32;
        assert!(sees_a_fault(|| Offsets::new(vocabulary).take(&[none])));
    }
}
