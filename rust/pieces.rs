//! Vocab-first: is this byte string, whole, a token?
//!
//! A hash table with open addressing over the vocabulary's own bytes: a slot holds a token's id and
//! 32 bits of its hash, and a hit is confirmed byte for byte, so the answer is exact. The table is
//! at most half full. It is built once and then only read, by all threads.

use crate::vocab::Tokens;

/// The table from whole byte strings to ids.
pub struct Pieces {
    /// A power of two; a slot is (hash's low half, id + 1), and id + 1 == 0 marks an empty one.
    slots: Vec<(u32, u32)>,
}

impl Pieces {
    /// Indexes `tokens`; if two are the same bytes, gives both ids.
    pub fn build(tokens: &Tokens) -> Result<Self, (u32, u32)> {
        let size = (tokens.len() * 2).next_power_of_two();
        let mut pieces = Self { slots: vec![(0, 0); size] };
        for (id, bytes) in tokens.iter() {
            if let Some(earlier) = pieces.find(tokens, bytes) {
                return Err((earlier, id));
            }
            let hash = hash(bytes);
            let mut at = pieces.first_slot(hash);
            while let Some(slot) = pieces.slots.get_mut(at) {
                if slot.1 == 0 {
                    *slot = (hash as u32, id + 1);
                    break;
                }
                at = (at + 1) & (size - 1);
            }
        }
        Ok(pieces)
    }

    /// The id of the token that is exactly `bytes`. `tokens` are those of [`Pieces::build`].
    #[inline]
    pub fn find(&self, tokens: &Tokens, bytes: &[u8]) -> Option<u32> {
        let hash = hash(bytes);
        let mut at = self.first_slot(hash);
        loop {
            let &(tag, next_id) = self.slots.get(at)?;
            let id = next_id.checked_sub(1)?;
            if tag == hash as u32 && tokens.get(id) == Some(bytes) {
                return Some(id);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// The hash's high half chooses the slot, since its low half is the tag.
    #[inline]
    fn first_slot(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.slots.len() - 1)
    }
}

/// A hash of short byte strings: eight bytes at a time, each step a multiplication whose two halves
/// are folded together. The table's content is fixed, so it need not resist chosen keys.
#[inline]
fn hash(bytes: &[u8]) -> u64 {
    let mut state = bytes.len() as u64;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word));
    }
    // What is left is read as two words that may overlap: no loop over single bytes.
    let tail = match rest {
        [] => return fold(state),
        [a] => u64::from(*a),
        [a, .., y, z] if rest.len() < 4 => u64::from(*a) | u64::from(*y) << 8 | u64::from(*z) << 16,
        [a, z] => u64::from(*a) | u64::from(*z) << 16,
        _ => match (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
            }
            _ => 0,
        },
    };
    fold(fold(state ^ tail))
}

#[inline]
fn fold(word: u64) -> u64 {
    // An odd constant with its bits well spread: 2^64 divided by the golden ratio.
    let product = u128::from(word ^ 0x9E37_79B9_7F4A_7C15) * 0x9E37_79B9_7F4A_7C15_u128;
    product as u64 ^ (product >> 64) as u64
}
