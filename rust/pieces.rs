//! Vocab-first: is this byte string, whole, a token?
//!
//! One table, built once and then only read by all threads. A token of up to 15 bytes, as 98.8% of
//! Meta's are, is a [`Key`]: its bytes in 16, with the length in the last. Keys stand by three in
//! buckets of one cache line, the lower ranks first, so that almost every question is one load, one
//! mask, one hash and one cache line, without a branch on the length. Whole keys are compared, so the
//! answer is exact. Longer tokens have a small table of their own.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::vocab::Tokens;

/// The longest byte string that has a key.
pub const KEY_BYTES: usize = 15;

/// The id that no token has. Its complement is 0.
pub const NONE: u32 = u32::MAX;

/// A byte string of 1 to 15 bytes: the bytes, zeros, and in the last byte the length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key {
    low: u64,
    high: u64,
}

/// For each length the bits of both words that are text, and the length in its place.
static KEPT: [(u64, u64, u64); KEY_BYTES + 1] = kept();

const fn kept() -> [(u64, u64, u64); KEY_BYTES + 1] {
    let mut table = [(0, 0, 0); KEY_BYTES + 1];
    let mut length = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
    while length <= KEY_BYTES {
        let bits = (1u128 << (8 * length)) - 1;
        table[length] = (bits as u64, (bits >> 64) as u64, (length as u64) << 56);
        length += 1;
    }
    table
}

impl Key {
    /// The key of `text[start..end]`; `None` if that has more than 15 bytes.
    #[inline(always)]
    pub fn new(text: &[u8], start: usize, end: usize) -> Option<Self> {
        let &(low_bits, high_bits, length) = KEPT.get(end - start)?;
        let bytes = match text.get(start..).and_then(|rest| rest.first_chunk::<16>()) {
            Some(bytes) => u128::from_le_bytes(*bytes),
            None => near_the_end(text.get(start..end)?),
        };
        Some(Self { low: bytes as u64 & low_bits, high: (bytes >> 64) as u64 & high_bits | length })
    }

    #[inline(always)]
    fn hash(self, seed: Seed) -> u64 {
        seed.mix(self.low, self.high)
    }
}

/// Two numbers that differ from process to process, so that no file can be made whose tokens collide.
#[derive(Clone, Copy)]
pub struct Seed(u64, u64);

impl Seed {
    /// Other numbers each time.
    pub fn random() -> Self {
        let number = || RandomState::new().build_hasher().finish();
        Self(number(), number())
    }

    /// Two words mixed under this seed.
    #[inline(always)]
    pub fn mix(self, a: u64, b: u64) -> u64 {
        fold(a ^ self.0, b ^ self.1)
    }
}

/// The bytes where fewer than 16 are left in the text.
#[cold]
fn near_the_end(bytes: &[u8]) -> u128 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u128::from(byte))
}

/// Mixes two words: the halves of their product folded together.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// A hash of any byte string, eight bytes a step.
#[inline]
pub fn hash(bytes: &[u8], seed: Seed) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut state = bytes.len() as u64;
    for word in words {
        state = seed.mix(state, u64::from_le_bytes(*word));
    }
    let last = rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
    seed.mix(state, last)
}

/// Three keys with their ids, filled from the first on; the rest is a cache line's.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    keys: [Key; 3],
    ids: [u32; 3],
}

impl Bucket {
    /// The id of `key` if it is here, else [`NONE`]; by bits, since which of the three it is can't be
    /// predicted.
    #[inline(always)]
    fn find(&self, key: Key) -> u32 {
        let mut found = 0;
        for (other, &id) in self.keys.iter().zip(&self.ids) {
            let differs = (other.low ^ key.low) | (other.high ^ key.high);
            found |= !id & u32::from(differs == 0).wrapping_neg();
        }
        !found
    }

    #[inline(always)]
    fn is_full(&self) -> bool {
        let [.., last] = self.ids;
        last != NONE
    }
}

const EMPTY: Bucket = Bucket { keys: [Key { low: 0, high: 0 }; 3], ids: [NONE; 3] };

/// The table from whole byte strings to ids.
pub struct Pieces {
    seed: Seed,
    /// A power of two.
    buckets: Vec<Bucket>,
    /// The tokens without a key, by hash; a power of two, at most half full, [`NONE`] where empty.
    long: Vec<u32>,
}

impl Pieces {
    /// Indexes `tokens`; if two are the same bytes, gives both ids.
    pub fn build(tokens: &Tokens) -> Result<Self, (u32, u32)> {
        let size = tokens.len().next_power_of_two();
        let long = tokens.iter().filter(|(_, bytes)| bytes.len() > KEY_BYTES).count();
        let mut pieces = Self {
            seed: Seed::random(),
            buckets: vec![EMPTY; size],
            long: vec![NONE; (long * 2 + 1).next_power_of_two()],
        };
        for (id, bytes) in tokens.iter() {
            let earlier = match Key::new(bytes, 0, bytes.len()) {
                Some(key) => pieces.insert(key, id),
                None => pieces.insert_long(tokens, bytes, id),
            };
            if let Some(earlier) = earlier {
                return Err((earlier, id));
            }
        }
        Ok(pieces)
    }

    /// Adds a key, or gives the id of the same key.
    fn insert(&mut self, key: Key, id: u32) -> Option<u32> {
        let mask = self.buckets.len() - 1;
        let mut at = key.hash(self.seed) as usize & mask;
        loop {
            let bucket = self.buckets.get_mut(at)?;
            for (place, found) in bucket.keys.iter_mut().zip(&mut bucket.ids) {
                if *found == NONE {
                    (*place, *found) = (key, id);
                    return None;
                }
                if *place == key {
                    return Some(*found);
                }
            }
            at = (at + 1) & mask;
        }
    }

    fn insert_long(&mut self, tokens: &Tokens, bytes: &[u8], id: u32) -> Option<u32> {
        let mask = self.long.len() - 1;
        let mut at = hash(bytes, self.seed) as usize & mask;
        while let Some(slot) = self.long.get_mut(at) {
            if *slot == NONE {
                *slot = id;
                return None;
            }
            if tokens.get(*slot) == Some(bytes) {
                return Some(*slot);
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// The id of the token that is exactly `key`, or [`NONE`].
    #[inline(always)]
    pub fn find(&self, key: Key) -> u32 {
        let mask = self.buckets.len() - 1;
        let mut at = key.hash(self.seed) as usize & mask;
        while let Some(bucket) = self.buckets.get(at) {
            let id = bucket.find(key);
            if id != NONE || !bucket.is_full() {
                return id;
            }
            at = (at + 1) & mask;
        }
        NONE
    }

    /// The id of the token that is exactly `bytes`, which have no key, or [`NONE`]. `tokens` are those
    /// of [`Pieces::build`].
    pub fn find_long(&self, tokens: &Tokens, bytes: &[u8]) -> u32 {
        let mask = self.long.len() - 1;
        let mut at = hash(bytes, self.seed) as usize & mask;
        while let Some(&id) = self.long.get(at).filter(|&&id| id != NONE) {
            if tokens.get(id) == Some(bytes) {
                return id;
            }
            at = (at + 1) & mask;
        }
        NONE
    }
}
