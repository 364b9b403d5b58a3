//! Which two tokens together are a token: what merging asks at every step.
//!
//! A hash table of one word a pair: left, right and merged id, of 20 bits each. It is built once and
//! then only read, by all threads.
//!
//! Of a token that could be cut into two tokens in several ways, merging only ever joins one: as long
//! as no merge crosses a token's ends, merging inside it runs as on the token alone, and that ends in
//! one certain pair. `meta_splits.bin` has it for Meta's vocabulary; for others all ways are in the
//! table, which gives the same ids.

use crate::pieces::{NONE, fold};
use crate::vocab::MAX_TOKENS;

const ID_BITS: u32 = 20;
const _: () = assert!(MAX_TOKENS <= 1 << ID_BITS);

/// The table of pairs.
pub struct Pairs {
    /// A power of two, at most half full. A token is never part of itself, so no pair is 0.
    slots: Vec<u64>,
}

impl Pairs {
    /// A table of `(left, right, merged)`.
    pub fn build(pairs: &[(u32, u32, u32)]) -> Self {
        let mut table = Self { slots: vec![0; (pairs.len() * 2 + 1).next_power_of_two()] };
        let mask = table.slots.len() - 1;
        for &(left, right, merged) in pairs {
            let parts = parts(left, right);
            let mut at = slot_of(parts) & mask;
            while let Some(slot) = table.slots.get_mut(at) {
                if *slot == 0 {
                    *slot = parts << ID_BITS | u64::from(merged);
                    break;
                }
                at = (at + 1) & mask;
            }
        }
        table
    }

    /// The token that `left` and `right` are together, or [`NONE`]. Either may be [`NONE`].
    #[inline(always)]
    pub fn find(&self, left: u32, right: u32) -> u32 {
        let (parts, mask) = (parts(left, right), self.slots.len() - 1);
        let mut at = slot_of(parts) & mask;
        while let Some(&slot) = self.slots.get(at).filter(|&&slot| slot != 0) {
            if slot >> ID_BITS == parts {
                return (slot & ((1 << ID_BITS) - 1)) as u32;
            }
            at = (at + 1) & mask;
        }
        NONE
    }
}

#[inline(always)]
fn parts(left: u32, right: u32) -> u64 {
    u64::from(left) << ID_BITS | u64::from(right)
}

#[inline(always)]
fn slot_of(parts: u64) -> usize {
    fold(parts, 0x9E37_79B9_7F4A_7C15) as usize
}
