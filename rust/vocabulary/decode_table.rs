//! The table for decoding: each token in 16 bytes, by its id.
//!
//! A token that fits is one load, one store of all 16 bytes, and a step by its length, without a branch
//! on the length. The table, 2 MB for Meta's vocabulary, is made when enough ids are first decoded, so
//! that loading a vocabulary does not wait for it.

use crate::bpe::token_bytes::TokenBytes;
use crate::machine::prefetch::prefetch;

/// Bytes of a slot.
pub const SLOT_BYTES: usize = 16;

/// Up to 15 bytes of a token, and in the last byte its length, or 255 if it does not fit.
#[derive(Clone, Copy)]
#[repr(align(16))]
struct Slot([u8; SLOT_BYTES]);

static NO_SLOT: Slot = Slot([u8::MAX; SLOT_BYTES]);

impl Slot {
    fn new(token: &[u8]) -> Self {
        // A token that does not fit is decoded without the table.
        let mut slot = [0; SLOT_BYTES];
        let [place @ .., length] = &mut slot;
        let Some(place) = place.get_mut(..token.len()) else { return NO_SLOT };
        place.copy_from_slice(token);
        *length = token.len() as u8;
        Self(slot)
    }
}

/// The slots of all tokens.
pub struct DecodeTable(Vec<Slot>);

impl DecodeTable {
    /// `None` if there is no memory for them.
    pub fn new(tokens: &TokenBytes) -> Option<Self> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(tokens.len()).ok()?;
        slots.extend(tokens.iter().map(|(_, token)| Slot::new(token)));
        Some(Self(slots))
    }

    /// The slot of an id; for an id that no token has, one that [`DecodeTable::get`] gives nothing from.
    #[inline(always)]
    fn at(&self, id: i64) -> &Slot {
        usize::try_from(id).ok().and_then(|id| self.0.get(id)).unwrap_or(&NO_SLOT)
    }

    /// The bytes of a token, followed by others up to 16, and its length; `None` for a token that is too
    /// long, and for an id that no token has.
    #[inline(always)]
    pub fn get(&self, id: i64) -> Option<([u8; SLOT_BYTES], usize)> {
        let Slot(slot @ [.., length]) = *self.at(id);
        ((length as usize) < SLOT_BYTES).then_some((slot, length as usize))
    }

    /// Prefetches the slot of an id.
    #[inline(always)]
    pub fn prefetch(&self, id: i64) {
        prefetch(self.at(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_the_token_or_says_that_it_does_not_fit() {
        let mut tokens = TokenBytes::default();
        for length in 1..40 {
            tokens.push(&vec![length; length as usize]).unwrap();
        }
        let slots = DecodeTable::new(&tokens).unwrap();
        for (id, token) in tokens.iter() {
            let found = slots.get(id.into());
            match found {
                Some((slot, length)) => assert_eq!(&slot[..length], token),
                None => assert!(token.len() > 15),
            }
            assert_eq!(found.is_some(), token.len() <= 15);
        }
        for id in [-1, 39, i64::MIN, i64::MAX] {
            assert!(slots.get(id).is_none());
        }
    }
}
