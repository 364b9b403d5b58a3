//! Whether ids are those that encoding their own text gives.

use crate::encode::Encoder;
use crate::encode::options::Options;
use crate::encode::sink::Sink;
use crate::error::{Check, Error, slice};

/// Ids that are looked at between two calls of `check`.
const IDS_AT_ONCE: usize = 1 << 16;

/// Compares the ids that come with those that are expected.
struct SameIds<'i, I> {
    expected: std::slice::Iter<'i, I>,
    is_same: bool,
}

impl<I: Copy + Into<i64>> Sink for SameIds<'_, I> {
    fn take(&mut self, ids: &[u32]) -> Result<(), Error> {
        for &id in ids {
            // `None` if more ids come than are expected.
            let expected = self.expected.next().map(|&id| id.into());
            self.is_same &= expected == Some(i64::from(id));
        }
        Ok(())
    }
}

impl Encoder {
    /// Whether encoding the bytes of `ids` gives the same ids. Special ids stand for themselves: what is
    /// between two of them is one text. An id that no token has is [`Error::InvalidTokenId`].
    pub fn is_canonical<I: Copy + Into<i64>>(
        &self,
        ids: &[I],
        check: &Check,
    ) -> Result<bool, Error> {
        let mut before = 0;
        let mut is_same = true;
        let is_special = |id: &I| {
            let id = u32::try_from((*id).into());
            id.map_or(true, |id| self.added.is_special(id) || self.token_bytes(id).is_none())
        };
        let mut rest = ids;
        while !rest.is_empty() {
            let mut end = 0;
            for part in rest.chunks(IDS_AT_ONCE) {
                check()?;
                let special = part.iter().position(is_special);
                end += special.map_or(part.len(), |at| at + 1);
                if special.is_some() {
                    break;
                }
            }
            let texts = slice(rest, ..end)?;
            rest = slice(rest, end..)?;
            let mut bytes = Vec::new();
            // The id that ends this slice is decoded as well: it may not be an id at all.
            self.decode_into(&mut bytes, texts, before, true, check)?;
            before += texts.len();
            // Further texts are read only for ids that no token has.
            if is_same {
                let plain = match texts.split_last() {
                    Some((last, plain)) if is_special(last) => plain,
                    // After the last special id there are only ids of text.
                    _ => texts,
                };
                let mut same = SameIds { expected: plain.iter(), is_same: true };
                self.encode(&bytes, &Options::default(), &mut same, check)?;
                is_same = same.is_same && same.expected.next().is_none();
            }
        }
        Ok(is_same)
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Error;
    use crate::reference::{go_on, sample_encoder};

    #[test]
    fn ids_are_canonical_if_their_text_gives_them() {
        let encoder = sample_encoder();
        let ids = |text: &[u8]| {
            let mut ids = Vec::new();
            encoder.encode(text, &Default::default(), &mut ids, &go_on).unwrap();
            ids
        };
        let eot = encoder.token_id(b"<|eot_id|>").unwrap();
        let bytes = |text: &[u8]| -> Vec<u32> {
            text.iter().map(|&byte| encoder.token_id(&[byte]).unwrap()).collect()
        };
        let is = |ids: &[u32]| encoder.is_canonical(ids, &go_on).unwrap();
        // A word that is a token.
        let word = b"zzzzz";
        assert_eq!(ids(word).len(), 1);
        assert!(is(&[]) && is(&[eot]) && is(&[eot, eot]) && is(&ids(b"<|eot_id|> \xE6\xBC")));
        assert!(is(&[ids(word), vec![eot], ids(word)].concat()));
        assert!(!is(&bytes(word)) && !is(&[bytes(word), vec![eot]].concat()));
        assert!(!is(&[ids(word), vec![eot], bytes(word), vec![eot]].concat()));
        // What would be one text without the special token between.
        let (first, rest) = word.split_at(1);
        assert!(is(&[ids(first), vec![eot], ids(rest)].concat()));
        assert!(!is(&[ids(first), ids(rest)].concat()));
    }

    #[test]
    fn an_id_that_no_token_has_is_an_error_wherever_it_stands() {
        let encoder = sample_encoder();
        let eot = i64::from(encoder.token_id(b"<|eot_id|>").unwrap());
        let t = i64::from(encoder.token_id(b"t").unwrap());
        let h = i64::from(encoder.token_id(b"h").unwrap());
        for bad in [-1, encoder.vocab_size() as i64, i64::MAX] {
            for ids in [vec![t, h, eot, bad], vec![t, h, bad, t], vec![eot, t, h, t, bad]] {
                let place = ids.iter().position(|&id| id == bad).unwrap();
                let error = encoder.is_canonical(&ids, &go_on).unwrap_err();
                assert!(
                    matches!(error, Error::InvalidTokenId { id, position, .. } if (id, position) == (bad, place))
                );
            }
        }
    }
}
