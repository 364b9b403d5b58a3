//! Ids back to bytes.

use crate::encode::Encoder;
use crate::error::{Check, Error};
use crate::slots::SLOT;

/// Ids that are decoded into memory near the processor before that is added to the result.
const ROUND: usize = 1 << 10;
/// Rounds between two calls of `check`, some tenths of a millisecond.
const CHECK_ROUNDS: usize = 1 << 6;
/// How many ids ahead their slots are asked for.
const AHEAD: usize = 32;
/// From how many ids on a table of slots is worth making.
pub const MANY: usize = 1 << 14;

impl Encoder {
    /// The bytes of `ids`, special tokens as their names or, if `skip_special`, left out.
    ///
    /// Ids are `u32`, `i32` or `i64`; one that no token has is [`Error::InvalidTokenId`], and then
    /// nothing is decoded.
    pub fn decode<I: Copy + Into<i64>>(
        &self,
        ids: &[I],
        skip_special: bool,
        check: &Check,
    ) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.decode_into(&mut bytes, ids, 0, skip_special, check)?;
        Ok(bytes)
    }

    /// Adds the bytes of `ids`, which come behind `before` others, to `bytes`.
    pub fn decode_into<I: Copy + Into<i64>>(
        &self,
        bytes: &mut Vec<u8>,
        ids: &[I],
        before: usize,
        skip_special: bool,
        check: &Check,
    ) -> Result<(), Error> {
        let slots = self.vocabulary.slots();
        let mut buffer = [0; ROUND * SLOT];
        for (round, ids) in (0..).zip(ids.chunks(ROUND)) {
            let mut count = 0;
            for (position, &id) in ids.iter().enumerate() {
                if let Some(slots) = slots {
                    if let Some(&ahead) = ids.get(position + AHEAD) {
                        slots.expect(ahead.into());
                    }
                    if let Some((slot, length)) = slots.get(id.into())
                        && let Some(place) =
                            buffer.get_mut(count..).and_then(<[u8]>::first_chunk_mut)
                    {
                        *place = slot;
                        count += length;
                        continue;
                    }
                }
                let position = before + round * ROUND + position;
                let token = self.decoded(id.into(), position, skip_special)?;
                add(bytes, buffer.get(..count).unwrap_or_default())?;
                add(bytes, token)?;
                count = 0;
            }
            add(bytes, buffer.get(..count).unwrap_or_default())?;
            if round % CHECK_ROUNDS == CHECK_ROUNDS - 1 {
                check()?;
            }
        }
        Ok(())
    }

    /// What becomes of any id.
    fn decoded(&self, id: i64, position: usize, skip_special: bool) -> Result<&[u8], Error> {
        let known = u32::try_from(id).ok().and_then(|id| Some((id, self.token_bytes(id)?)));
        match known {
            Some((id, _)) if skip_special && id >= self.specials.first => Ok(b""),
            Some((_, bytes)) => Ok(bytes),
            None => Err(Error::InvalidTokenId { id, position, vocab_size: self.vocab_size() }),
        }
    }
}

fn add(all: &mut Vec<u8>, some: &[u8]) -> Result<(), Error> {
    all.try_reserve(some.len())?;
    all.extend_from_slice(some);
    Ok(())
}

/// How many bytes of a UTF-8 text's beginning are whole characters: all but up to three. Of other bytes
/// it says nothing.
pub fn whole_characters(bytes: &[u8]) -> usize {
    let before = |&(_, &byte): &(usize, &u8)| byte & 0xC0 == 0x80;
    let last = bytes.iter().enumerate().rev().take(4).find(|byte| !before(byte));
    let Some((start, &first)) = last else { return bytes.len() };
    let length = match first {
        0xF0.. => 4,
        0xE0.. => 3,
        0xC0.. => 2,
        _ => 1,
    };
    if start + length > bytes.len() { start } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{go_on, sample_encoder};

    #[test]
    fn ids_out_of_range_are_named_with_their_position() {
        let encoder = sample_encoder();
        let size = encoder.vocab_size() as i64;
        for bad in [-1, size, 1 << 40, i64::MIN] {
            let error = encoder.decode(&[0, bad], false, &go_on).unwrap_err();
            assert!(matches!(error, Error::InvalidTokenId { id, position: 1, .. } if id == bad));
        }
        assert_eq!(encoder.decode::<u32>(&[], false, &go_on).unwrap(), b"");
    }

    #[test]
    fn special_tokens_are_their_names_or_left_out() {
        let encoder = sample_encoder();
        let eot = encoder.token_id(b"<|eot_id|>").unwrap();
        let a = encoder.token_id(b"a").unwrap();
        assert_eq!(encoder.decode(&[a, eot, a], false, &go_on).unwrap(), b"a<|eot_id|>a");
        assert_eq!(encoder.decode(&[a, eot, a], true, &go_on).unwrap(), b"aa");
    }

    #[test]
    fn slots_change_nothing() {
        let encoder = sample_encoder();
        assert!(encoder.vocabulary.slots().is_none());
        decodes_rightly(encoder);
        encoder.vocabulary.make_slots();
        assert!(encoder.vocabulary.slots().is_some());
        decodes_rightly(encoder);
    }

    fn decodes_rightly(encoder: &Encoder) {
        // Every token on many places of a round, specials and long ones among them.
        let size = encoder.vocab_size() as u32;
        let ids: Vec<u32> = (0..10 * ROUND as u32).map(|number| number * 7919 % size).collect();
        for count in [0, 1, AHEAD, ROUND - 1, ROUND, ROUND + 1, ids.len()] {
            let ids = &ids[..count];
            for skip in [false, true] {
                let kept = ids.iter().filter(|&&id| !skip || id < encoder.specials.first);
                let expected: Vec<u8> =
                    kept.flat_map(|&id| encoder.token_bytes(id).unwrap()).copied().collect();
                assert_eq!(encoder.decode(ids, skip, &go_on).unwrap(), expected);
            }
        }
        let mut ids: Vec<i64> = ids.into_iter().map(i64::from).collect();
        for place in [0, 5, ROUND, ids.len() - 1] {
            let before = std::mem::replace(&mut ids[place], i64::from(size));
            let error = encoder.decode(&ids, false, &go_on).unwrap_err();
            assert!(matches!(error, Error::InvalidTokenId { position, .. } if position == place));
            ids[place] = before;
        }
    }

    #[test]
    fn a_check_that_fails_stops_decoding() {
        let encoder = sample_encoder();
        let ids = vec![0; (CHECK_ROUNDS + 1) * ROUND];
        let stopped = encoder.decode(&ids, false, &|| Err(Error::Interrupted));
        assert!(matches!(stopped, Err(Error::Interrupted)));
    }

    #[test]
    fn whole_characters_end_where_one_is_not_complete() {
        let text = "aß語😀";
        for end in 0..=text.len() {
            let whole = (0..=end).rev().find(|&end| text.is_char_boundary(end)).unwrap();
            assert_eq!(whole_characters(&text.as_bytes()[..end]), whole);
        }
        assert_eq!(whole_characters(&[0x80; 9]), 9);
    }
}
