//! Which two tokens together are a token: what merging asks at every step.
//!
//! A hash table of one word a pair: left, right and merged id, of 20 bits each, eight to a cache line.
//! It is built once and then only read, by all threads.
//!
//! Of a token that could be cut into two tokens in several ways, merging only ever joins one: as long
//! as no merge crosses a token's ends, merging inside it runs as on the token alone, and that ends in
//! one certain pair. `meta_splits.bin` has it for Meta's vocabulary; for others all ways are in the
//! table, which gives the same ids.

use crate::pieces::{NONE, Seed};
use crate::vocab::MAX_TOKENS;

const ID_BITS: u32 = 20;
const _: () = assert!(MAX_TOKENS <= 1 << ID_BITS);

/// Pairs in a bucket, which is a cache line. The first ones are filled first, the others 0: a token is
/// never part of itself, so no pair is 0.
const WAYS: usize = 8;

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Bucket([u64; WAYS]);

/// The table of pairs.
pub struct Pairs {
    seed: Seed,
    /// A power of two; half of all places are filled at most.
    buckets: Vec<Bucket>,
}

impl Pairs {
    /// A table of `(left, right, merged)`.
    pub fn build(pairs: &[(u32, u32, u32)]) -> Self {
        let size = (pairs.len() * 2).div_ceil(WAYS).next_power_of_two();
        let seed = Seed::random();
        let mut table = Self { seed, buckets: vec![Bucket([0; WAYS]); size] };
        for &(left, right, merged) in pairs {
            let parts = parts(left, right);
            let mut at = seed.mix(parts, 0) as usize & (size - 1);
            while let Some(Bucket(places)) = table.buckets.get_mut(at) {
                if let Some(place) = places.iter_mut().find(|place| **place == 0) {
                    *place = parts << ID_BITS | u64::from(merged);
                    break;
                }
                at = (at + 1) & (size - 1);
            }
        }
        table
    }

    /// The token that `left` and `right` are together, or [`NONE`]. Either may be [`NONE`].
    #[inline(always)]
    pub fn find(&self, left: u32, right: u32) -> u32 {
        let (parts, mask) = (parts(left, right), self.buckets.len() - 1);
        let mut at = self.seed.mix(parts, 0) as usize & mask;
        while let Some(Bucket(places)) = self.buckets.get(at) {
            // Selections, not branches: whether and where a pair stands can't be predicted.
            let mut found = 0;
            for &place in places {
                found |= if place >> ID_BITS == parts { place } else { 0 };
            }
            let full = places.last().is_some_and(|&place| place != 0);
            if found != 0 || !full {
                let id = (found & ((1 << ID_BITS) - 1)) as u32;
                return if found == 0 { NONE } else { id };
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
