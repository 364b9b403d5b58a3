//! Tokens by how they begin: all that a text may go on with if its next bytes are known.

use crate::added::AddedTokens;
use crate::error::{Error, always, slice};
use crate::vocabulary::Vocabulary;

/// The ids of all tokens that text can have, special ones not among them, in the order of their bytes.
pub struct ByBytes(Vec<u32>);

impl ByBytes {
    /// Those of a vocabulary and of added tokens; an added token's bytes are its name.
    pub fn new(vocabulary: &Vocabulary, added: &AddedTokens) -> Result<Self, Error> {
        let count = vocabulary.len() as u32;
        let ordinary = added.iter().filter(|token| !token.special && token.id >= count);
        let mut ids = Vec::new();
        ids.try_reserve_exact(vocabulary.len().max(added.end()))?;
        ids.extend((0..count).filter(|&id| !added.is_special(id)));
        ids.extend(ordinary.map(|token| token.id));
        for &id in &ids {
            always(known_bytes(vocabulary, added, id), "an id is neither a token nor added")?;
        }
        ids.sort_unstable_by_key(|&id| (bytes_of(vocabulary, added, id), id));
        Ok(Self(ids))
    }

    /// The tokens that begin with `bytes`, and those that `bytes` begins with, ascending. For no bytes that is every
    /// token.
    pub fn along(
        &self,
        vocabulary: &Vocabulary,
        added: &AddedTokens,
        bytes: &[u8],
    ) -> Result<Vec<u32>, Error> {
        let of = |id: u32| bytes_of(vocabulary, added, id);
        let from = |bytes: &[u8]| {
            let first = self.0.partition_point(|&id| of(id) < bytes);
            slice(&self.0, first..)
        };
        let following = from(bytes)?;
        let count = following.partition_point(|&id| of(id).starts_with(bytes));
        let mut found = Vec::new();
        found.try_reserve(count + bytes.len())?;
        found.extend_from_slice(slice(following, ..count)?);
        for end in 1..bytes.len() {
            let beginning = slice(bytes, ..end)?;
            // An added token may have the bytes of one of the vocabulary.
            for &id in from(beginning)?.iter().take_while(|&&id| of(id) == beginning) {
                found.try_reserve(1)?;
                found.push(id);
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

fn known_bytes<'a>(
    vocabulary: &'a Vocabulary,
    added: &'a AddedTokens,
    id: u32,
) -> Option<&'a [u8]> {
    let name = || added.get(id).map(|token| token.name.as_bytes());
    vocabulary.token(id).or_else(name)
}

/// The bytes of an id of [`ByBytes`], which all have some: that was checked when it was made.
fn bytes_of<'a>(vocabulary: &'a Vocabulary, added: &'a AddedTokens, id: u32) -> &'a [u8] {
    known_bytes(vocabulary, added, id).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::reference::sample_encoder;

    #[test]
    fn they_are_those_that_a_look_at_every_token_finds() {
        let encoder = sample_encoder();
        let texts: [&[u8]; 6] = [b"", b"a", b" the", b"\xE6\xBC", b"ab cd", b"<|eot_id|>"];
        for bytes in texts {
            let mut expected = Vec::new();
            for id in 0..encoder.vocab_size() as u32 {
                let Some(token) = encoder.token_bytes(id) else { continue };
                let fits = token.starts_with(bytes) || bytes.starts_with(token);
                if fits && !encoder.added.is_special(id) {
                    expected.push(id);
                }
            }
            assert_eq!(encoder.tokens_along(bytes).unwrap(), expected, "{bytes:?}");
        }
    }
}
