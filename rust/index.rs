//! A hash table of ids that is small: what is looked up at random must stay near the processor.
//!
//! One word an id: the id and twelve bits of its hash, eight words to a bucket. What the words leave
//! open the caller confirms. Built once and then only read, by all threads.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::prefetch::prefetch;
use crate::vocab::MAX_TOKENS;
use crate::work;

/// The id that no token has.
pub const NONE: u32 = u32::MAX;

const ID_BITS: u32 = 20;
const ID_MASK: u32 = (1 << ID_BITS) - 1;
/// No id is so high.
const FREE: u32 = u32::MAX;
const _: () = assert!(MAX_TOKENS <= ID_MASK as usize);

/// Words in a bucket, half a cache line. The first ones are filled first.
const WAYS: usize = 8;

#[derive(Clone, Copy)]
#[repr(align(32))]
struct Bucket([u32; WAYS]);

/// How many ids ahead of the one that is indexed the next buckets are asked for.
pub const AHEAD: usize = 16;

/// The table.
pub struct Index {
    /// A power of two; half of all words are filled at most.
    buckets: Vec<Bucket>,
}

impl Index {
    /// Room for `count` ids.
    pub fn with_room(count: usize) -> Self {
        let size = (count * 2).div_ceil(WAYS).next_power_of_two();
        Self { buckets: vec![Bucket([FREE; WAYS]); size] }
    }

    /// The bucket to begin at, and the bits that a word must have.
    #[inline(always)]
    fn place(&self, hash: u64) -> (usize, u32) {
        (hash as usize & (self.buckets.len() - 1), (hash >> 32) as u32 & !ID_MASK)
    }

    /// Begins to load the bucket for a hash.
    #[inline(always)]
    pub fn ask(&self, hash: u64) {
        if let Some(bucket) = self.buckets.get(self.place(hash).0) {
            prefetch(bucket);
        }
    }

    /// Adds an id under its hash.
    pub fn insert(&mut self, hash: u64, id: u32) {
        let (mut at, tag) = self.place(hash);
        while let Some(Bucket(words)) = self.buckets.get_mut(at) {
            if let Some(word) = words.iter_mut().find(|word| **word == FREE) {
                *word = tag | id;
                return;
            }
            at = (at + 1) & (self.buckets.len() - 1);
        }
    }

    /// The id under `hash` that `confirm` is true for, or [`NONE`].
    #[inline(always)]
    pub fn find(&self, hash: u64, confirm: impl Fn(u32) -> bool) -> u32 {
        let (mut at, tag) = self.place(hash);
        while let Some(Bucket(words)) = self.buckets.get(at) {
            work::done();
            // All at once, without a branch for each: one byte a word, 1 where they are alike.
            let mut alike = u64::from_le_bytes(words.map(|word| u8::from(word & !ID_MASK == tag)));
            while alike != 0 {
                let word = words.get(alike.trailing_zeros() as usize / 8);
                let id = word.map_or(ID_MASK, |word| word & ID_MASK);
                if id != ID_MASK && confirm(id) {
                    return id;
                }
                alike &= alike - 1;
            }
            if words.last() == Some(&FREE) {
                return NONE;
            }
            at = (at + 1) & (self.buckets.len() - 1);
        }
        NONE
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

    /// Two words mixed under this seed: the halves of their product folded together.
    #[inline(always)]
    pub fn mix(self, a: u64, b: u64) -> u64 {
        let product = u128::from(a ^ self.0) * u128::from(b ^ self.1);
        product as u64 ^ (product >> 64) as u64
    }

    /// A hash of any bytes, eight a step.
    #[inline]
    pub fn hash(self, bytes: &[u8]) -> u64 {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut state = bytes.len() as u64;
        for word in words {
            state = self.mix(state, u64::from_le_bytes(*word));
        }
        let last = rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
        self.mix(state, last)
    }
}
