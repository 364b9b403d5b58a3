//! An entry of the cache: one line of the processor's cache, so that one load answers.
//!
//! ```text
//! bytes 0 .. 31    32 ................................. 63
//!       the name   four words, 64 bits each: of 20 bits the ids 0 to 3, 4 to 7, 8 to 11 from the lowest on;
//!                  in the last word's upper bits, how many there are
//! ```

use std::hint::select_unpredictable;

use crate::encode::Sink;
use crate::encode::cache::name::Name;
use crate::error::Error;
use crate::vocab::MAX_TOKENS;

/// Ids that an entry holds at most.
pub const FEW: usize = 12;
const ID_BITS: u32 = 20;
const _: () = assert!(MAX_TOKENS <= 1 << ID_BITS);
/// In place of the number of ids: they are in the ring.
const ELSEWHERE: u64 = 15;

/// A pretoken and its ids.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
pub struct Entry {
    /// What it is found by.
    pub name: Name,
    words: [u64; 4],
}

/// Where the count stands in the last word.
const COUNT: u32 = 60;
const ID: u64 = (1 << ID_BITS) - 1;

impl Entry {
    /// An entry that nothing is known of but its name.
    pub fn unknown(name: Name) -> Self {
        Self { name, words: [0; 4] }
    }

    /// The entry if it `is` that of the name, else one that nothing is known of.
    #[inline(always)]
    pub fn if_known(&self, name: Name, is: bool) -> Self {
        let mask = select_unpredictable(is, u64::MAX, 0);
        Self { name, words: self.words.map(|word| word & mask) }
    }

    /// An entry of 1 to [`FEW`] ids.
    pub fn few(name: Name, ids: &[u32]) -> Self {
        let mut words = [0; 4];
        for (at, &id) in ids.iter().take(FEW).enumerate() {
            if let Some(word) = words.get_mut(at % 4) {
                *word |= u64::from(id) << (ID_BITS * (at as u32 / 4));
            }
        }
        let [.., last] = &mut words;
        *last |= (ids.len() as u64) << COUNT;
        Self { name, words }
    }

    /// An entry whose `count` ids, and its bytes if it is long, are a record of the ring.
    pub fn elsewhere(name: Name, record: u64, count: usize) -> Self {
        Self { name, words: [record, count as u64, 0, ELSEWHERE << COUNT] }
    }

    /// How many ids it has; 0 also if they are in the ring.
    #[inline(always)]
    pub fn count(&self) -> usize {
        let [.., last] = self.words;
        let count = last >> COUNT;
        if count == ELSEWHERE { 0 } else { count as usize }
    }

    /// Whether it has ids.
    #[inline(always)]
    pub fn is_known(&self) -> bool {
        self.count() > 0
    }

    /// Whether it has no ids, nor says where they are.
    #[inline(always)]
    pub fn is_unknown(&self) -> bool {
        let [.., last] = self.words;
        last >> COUNT == 0
    }

    /// Whether its ids are in the ring.
    #[inline(always)]
    pub fn is_elsewhere(&self) -> bool {
        let [.., last] = self.words;
        last >> COUNT == ELSEWHERE
    }

    /// Gives its ids to `sink`.
    #[inline(always)]
    pub fn give(&self, sink: &mut impl Sink) -> Result<(), Error> {
        let four = |number: u32| self.words.map(|word| (word >> (ID_BITS * number) & ID) as u32);
        let ([a, b, c, d], [e, f, g, h], [i, j, k, l]) = (four(0), four(1), four(2));
        sink.put(&[a, b, c, d, e, f, g, h, i, j, k, l], self.count())
    }

    /// Where the record in the ring is, and how many ids it has.
    pub fn record(&self) -> (u64, usize) {
        let [record, count, ..] = self.words;
        (record, count as usize)
    }
}
