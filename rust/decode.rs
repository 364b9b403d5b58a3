//! Ids back to bytes.

use crate::encode::Encoder;
use crate::error::{Check, Error};

/// Ids between two calls of `check`, about a millisecond.
const CHECK_IDS: usize = 1 << 16;

impl Encoder {
    /// The bytes of `ids`, special tokens as their names or, if `skip_special`, left out.
    ///
    /// Ids are `u32` or `i64`; one that no token has is [`Error::InvalidTokenId`], and then nothing
    /// is decoded.
    pub fn decode<I: Copy + Into<i64>>(
        &self,
        ids: &[I],
        skip_special: bool,
        check: &Check,
    ) -> Result<Vec<u8>, Error> {
        let first_special = self.specials.first;
        let token = |(position, &id): (usize, &I)| {
            let known =
                u32::try_from(id.into()).ok().and_then(|id| Some((id, self.token_bytes(id)?)));
            match known {
                Some((id, _)) if skip_special && id >= first_special => Ok(b"".as_slice()),
                Some((_, bytes)) => Ok(bytes),
                None => {
                    let vocab_size = self.vocab_size();
                    Err(Error::InvalidTokenId { id: id.into(), position, vocab_size })
                }
            }
        };
        let mut length = 0;
        for item in ids.iter().enumerate() {
            length += token(item)?.len();
            if item.0 % CHECK_IDS == CHECK_IDS - 1 {
                check()?;
            }
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length)?;
        for item in ids.iter().enumerate() {
            bytes.extend_from_slice(token(item)?);
            if item.0 % CHECK_IDS == CHECK_IDS - 1 {
                check()?;
            }
        }
        Ok(bytes)
    }
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
}
