//! Vocab-first: is this byte string, whole, a token?
//!
//! A hash table with open addressing. A slot has a token's length, its first eight bytes and its id,
//! so that for most tokens one slot answers; longer ones are compared with the vocabulary's bytes.
//! The whole token is always compared, so the answer is exact. The table is at most half full, is
//! built once and then only read, by all threads.

use crate::vocab::Tokens;

/// The table from whole byte strings to ids.
pub struct Pieces {
    /// A power of two of slots.
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    /// The first eight bytes; of a shorter token all, with zeros behind.
    head: u64,
    /// No token is empty: a length of 0 marks an empty slot.
    length: u32,
    id: u32,
}

impl Pieces {
    /// Indexes `tokens`, of which none is empty; if two are the same bytes, gives both ids.
    pub fn build(tokens: &Tokens) -> Result<Self, (u32, u32)> {
        let size = (tokens.len() * 2).next_power_of_two();
        let mut pieces = Self { slots: vec![Slot::default(); size] };
        for (id, bytes) in tokens.iter() {
            let (at, found) = pieces.probe(tokens, bytes);
            if let Some(earlier) = found {
                return Err((earlier, id));
            }
            if let Some(slot) = pieces.slots.get_mut(at) {
                *slot = Slot { head: head(bytes), length: bytes.len() as u32, id };
            }
        }
        Ok(pieces)
    }

    /// The id of the token that is exactly `bytes`. `tokens` are those of [`Pieces::build`].
    #[inline]
    pub fn find(&self, tokens: &Tokens, bytes: &[u8]) -> Option<u32> {
        self.probe(tokens, bytes).1
    }

    /// The slot where `bytes` stand or would stand, and the id if they do.
    #[inline]
    fn probe(&self, tokens: &Tokens, bytes: &[u8]) -> (usize, Option<u32>) {
        let (head, length) = (head(bytes), bytes.len() as u32);
        let mask = self.slots.len() - 1;
        let mut at = hash(head, bytes) as usize & mask;
        while let Some(slot) = self.slots.get(at)
            && slot.length != 0
        {
            if slot.head == head
                && slot.length == length
                && (length <= 8 || tokens.get(slot.id) == Some(bytes))
            {
                return (at, Some(slot.id));
            }
            at = (at + 1) & mask;
        }
        (at, None)
    }
}

/// The first eight bytes as a number, with zeros behind fewer; no loop over single bytes.
#[inline]
fn head(bytes: &[u8]) -> u64 {
    if let Some(word) = bytes.first_chunk::<8>() {
        return u64::from_le_bytes(*word);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        // The two may overlap, where they have the same bits.
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << (8 * (bytes.len() - 4));
    }
    match *bytes {
        [a, b, c] => u64::from(a) | u64::from(b) << 8 | u64::from(c) << 16,
        [a, b] => u64::from(a) | u64::from(b) << 8,
        [a] => u64::from(a),
        _ => 0,
    }
}

/// A hash of a byte string whose head is known: eight bytes a step, each step a multiplication whose
/// two halves are folded together. The table's content is fixed, so it need not resist chosen keys.
#[inline]
fn hash(head: u64, bytes: &[u8]) -> u64 {
    let mut state = fold(head ^ bytes.len() as u64);
    if bytes.len() > 8
        && let (Some(tail), Some(last)) = (bytes.get(8..), bytes.last_chunk::<8>())
    {
        for word in tail.as_chunks::<8>().0 {
            state = fold(state ^ u64::from_le_bytes(*word));
        }
        state = fold(state ^ u64::from_le_bytes(*last));
    }
    state
}

#[inline]
fn fold(word: u64) -> u64 {
    // An odd constant with its bits well spread: 2^64 divided by the golden ratio.
    let product = u128::from(word ^ 0x9E37_79B9_7F4A_7C15) * 0x9E37_79B9_7F4A_7C15_u128;
    product as u64 ^ (product >> 64) as u64
}
