//! A text that comes in pieces: its ids as soon as nothing that follows can change them.
//!
//! ```text
//! settled               | pending
//! its ids were given    | has no place to cut yet
//!                       ^ a cut (`added/last_cut.rs`): the ids of both sides are those of the whole
//! ```
//!
//! Each byte is encoded once: when it is settled, or at the end.

use std::sync::Arc;

use crate::encode::Encoder;
use crate::encode::options::Options;
use crate::error::{Check, Error, slice};

/// With fewer pending bytes every push looks for a cut. With more the next look is when there is half as much
/// again, so that text without any cut is not searched over and over.
const SEARCHED_BYTES: usize = 1 << 12;

/// An encoder in the middle of a text.
pub struct IncrementalEncoder {
    encoder: Arc<Encoder>,
    /// Without BOS and EOS, which are these.
    options: Options,
    bos: Option<u32>,
    eos: Option<u32>,
    /// What is not settled yet.
    pending: Vec<u8>,
    /// How many bytes there must be before a cut is looked for.
    next_search: usize,
    /// Bytes of the text before `pending`.
    settled: usize,
    has_begun: bool,
}

impl IncrementalEncoder {
    /// At the beginning of a text. An error if there is no such token as `options` asks for.
    pub fn new(encoder: Arc<Encoder>, options: Options) -> Result<Self, Error> {
        let (bos, eos) = encoder.ends(&options)?;
        Ok(Self {
            encoder,
            options: Options { bos: false, eos: false, ..options },
            bos,
            eos,
            pending: Vec::new(),
            next_search: 0,
            settled: 0,
            has_begun: false,
        })
    }

    /// What is not settled yet.
    pub fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// How many bytes the text has so far.
    pub fn bytes(&self) -> usize {
        self.settled + self.pending.len()
    }

    /// Takes more of the text, and adds to `ids` those that are now settled. After an error all is as before.
    pub fn push(&mut self, text: &[u8], ids: &mut Vec<u32>, check: &Check) -> Result<(), Error> {
        let before = self.pending.len();
        self.pending.try_reserve(text.len())?;
        self.pending.extend_from_slice(text);
        let settled = self.settle(ids, check);
        if settled.is_err() {
            self.pending.truncate(before);
        }
        settled
    }

    fn settle(&mut self, ids: &mut Vec<u32>, check: &Check) -> Result<(), Error> {
        let length = self.pending.len();
        if length < self.next_search {
            return Ok(());
        }
        let Options { allowed, disallowed, .. } = &self.options;
        let cut = self.encoder.added.last_cut(&self.pending, allowed, disallowed, check)?;
        let Some(cut) = cut else {
            self.next_search = if length < SEARCHED_BYTES { 0 } else { length + length / 2 };
            return Ok(());
        };
        self.encode(cut, ids, check)?;
        self.pending.drain(..cut);
        (self.settled, self.next_search) = (self.settled + cut, 0);
        Ok(())
    }

    /// Adds the ids of what is pending, and EOS if it is asked for. A new text begins after that. After an error
    /// all is as before.
    pub fn finish(&mut self, ids: &mut Vec<u32>, check: &Check) -> Result<(), Error> {
        let (before, has_begun) = (ids.len(), self.has_begun);
        self.encode(self.pending.len(), ids, check)?;
        if let Some(eos) = self.eos {
            if let Err(error) = ids.try_reserve(1) {
                ids.truncate(before);
                self.has_begun = has_begun;
                return Err(error.into());
            }
            ids.push(eos);
        }
        self.pending.clear();
        (self.settled, self.next_search, self.has_begun) = (0, 0, false);
        Ok(())
    }

    /// Adds the ids of the first `length` pending bytes, after BOS if the text begins with them.
    fn encode(&mut self, length: usize, ids: &mut Vec<u32>, check: &Check) -> Result<(), Error> {
        let before = ids.len();
        if let Some(bos) = self.bos.filter(|_| !self.has_begun) {
            ids.try_reserve(1)?;
            ids.push(bos);
        }
        let text = slice(&self.pending, ..length)?;
        if let Err(error) = self.encoder.encode(text, &self.options, ids, check) {
            ids.truncate(before);
            return Err(error.shifted_by(self.settled));
        }
        self.has_begun = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::added::Selection;
    use crate::reference::{go_on, sample_encoder};

    fn pieces(text: &[u8], sizes: &[usize], options: Options) -> Vec<u32> {
        let mut encoder =
            IncrementalEncoder::new(Arc::new(sample_encoder().again().unwrap()), options).unwrap();
        let (mut ids, mut rest, mut sizes) = (Vec::new(), text, sizes.iter().cycle());
        while !rest.is_empty() {
            let (piece, more) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            encoder.push(piece, &mut ids, &go_on).unwrap();
            assert_eq!(encoder.bytes(), text.len() - more.len());
            rest = more;
        }
        encoder.finish(&mut ids, &go_on).unwrap();
        ids
    }

    #[test]
    fn a_text_without_a_cut_is_searched_a_few_times_alone() {
        let mut encoder = IncrementalEncoder::new(
            Arc::new(sample_encoder().again().unwrap()),
            Options::default(),
        )
        .unwrap();
        let (mut ids, mut searches) = (Vec::new(), 0);
        for _ in 0..1 << 18 {
            searches +=
                usize::from(encoder.pending.len() >= encoder.next_search.max(SEARCHED_BYTES));
            encoder.push(b" ", &mut ids, &go_on).unwrap();
        }
        assert!(ids.is_empty() && searches < 20, "{searches}");
        encoder.finish(&mut ids, &go_on).unwrap();
        assert_eq!(ids, pieces(&vec![b' '; 1 << 18], &[1 << 18], Options::default()));
    }

    #[test]
    fn after_an_error_all_is_as_before() {
        let all = || Options { disallowed: Selection::All, ..Options::default() };
        let mut encoder =
            IncrementalEncoder::new(Arc::new(sample_encoder().again().unwrap()), all()).unwrap();
        let mut ids = Vec::new();
        encoder.push(b"some text ", &mut ids, &go_on).unwrap();
        let before = (ids.clone(), encoder.pending().to_vec());
        let error = encoder.push(b"and <|eot_id|> more", &mut ids, &go_on).unwrap_err();
        assert!(matches!(error, Error::DisallowedSpecialToken { offset: 14, .. }), "{error:?}");
        assert_eq!((ids.clone(), encoder.pending().to_vec()), before);
        encoder.push(b"and more", &mut ids, &go_on).unwrap();
        encoder.finish(&mut ids, &go_on).unwrap();
        assert_eq!(ids, pieces(b"some text and more", &[100], Options::default()));
    }
}
