//! Tokens by how they begin: all that a text may go on with if its next bytes are known.

use crate::encode::Encoder;
use crate::error::Error;

/// The ids of all tokens that text can have, in the order of their bytes.
pub struct ByBytes(Vec<u32>);

impl ByBytes {
    pub(super) fn new(encoder: &Encoder) -> Result<Self, Error> {
        let ordinary = encoder.added.iter().filter(|token| !token.special).map(|token| token.id);
        let mut ids = Vec::new();
        ids.try_reserve_exact(encoder.vocab_size())?;
        ids.extend(
            (0..encoder.vocabulary.len() as u32).filter(|&id| !encoder.added.is_special(id)),
        );
        ids.extend(ordinary.filter(|&id| id as usize >= encoder.vocabulary.len()));
        ids.sort_unstable_by_key(|&id| (encoder.token_bytes(id), id));
        Ok(Self(ids))
    }
}

impl Encoder {
    /// The tokens that begin with `bytes`, and those that `bytes` begins with, ascending. Special tokens are not
    /// among them. For no bytes that is every token.
    pub fn tokens_along(&self, bytes: &[u8]) -> Result<Vec<u32>, Error> {
        let all = &self.by_bytes()?.0;
        let of = |id: &u32| self.token_bytes(*id).unwrap_or_default();
        let first = all.partition_point(|id| of(id) < bytes);
        let following = all.get(first..).unwrap_or_default();
        let count = following.partition_point(|id| of(id).starts_with(bytes));
        let mut found = Vec::new();
        found.try_reserve(count + bytes.len())?;
        found.extend_from_slice(following.get(..count).unwrap_or_default());
        for end in 1..bytes.len() {
            let Some(beginning) = bytes.get(..end) else { break };
            // Several added tokens can't have one name, but one of the vocabulary may have it as well.
            let from = all.partition_point(|id| of(id) < beginning);
            let same = all.get(from..).unwrap_or_default().iter();
            let same = same.copied().take_while(|id| of(id) == beginning);
            for id in same {
                found.try_reserve(1)?;
                found.push(id);
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use crate::reference::sample_encoder;

    #[test]
    fn they_are_those_that_a_look_at_every_token_finds() {
        let encoder = sample_encoder();
        let ids = 0..encoder.vocab_size() as u32;
        let texts: [&[u8]; 6] = [b"", b"a", b" the", b"\xE6\xBC", b"ab cd", b"<|eot_id|>"];
        for bytes in texts {
            let expected = ids.clone().filter(|&id| !encoder.added.is_special(id)).filter(|&id| {
                encoder
                    .token_bytes(id)
                    .is_some_and(|token| token.starts_with(bytes) || bytes.starts_with(token))
            });
            assert_eq!(
                encoder.tokens_along(bytes).unwrap(),
                expected.collect::<Vec<_>>(),
                "{bytes:?}"
            );
        }
    }
}
